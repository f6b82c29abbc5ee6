/* NOPs: submit a batch, wait, take every completion. Cells: the size of the batch. */
#include "floor.h"

static struct ur R;

static void run(void *what, uint64_t ops)
{
    unsigned batch = *(unsigned *)what;
    for (uint64_t done = 0; done < ops; done += batch) {
        for (unsigned i = 0; i < batch; i++) {
            struct ur_sqe *s = need_sqe(&R);
            s->opcode = OP_NOP;
            s->user_data = i;
        }
        sink += finish(&R, batch);
    }
}

int main(int argc, char **argv)
{
    arguments(argc, argv);
    open_best(&R, 1024, 4096);
    for (int i = 0; i < A.cells; i++) {
        unsigned batch = (unsigned)atoi(A.cell[i]);
        uint64_t before = sink;
        run(&batch, batch);
        if (sink - before != (uint64_t)batch * (batch - 1) / 2) die("completions", EIO);
        measure(A.cell[i], run, &batch, batch, 1u << 24);
    }
    ur_close(&R);
    return 0;
}
