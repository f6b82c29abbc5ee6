/* One NOP at a time, on many rings in turn. Cells: how many rings. */
#include "floor.h"

struct many {
    struct ur *rings;
    unsigned n;
};

static void run(void *what, uint64_t ops)
{
    struct many *many = what;
    unsigned at = 0;
    for (uint64_t i = 0; i < ops; i++) {
        struct ur *r = &many->rings[at];
        if (++at == many->n) at = 0;
        need_sqe(r)->opcode = OP_NOP;
        sink += finish(r, 1);
    }
}

int main(int argc, char **argv)
{
    arguments(argc, argv);
    for (int i = 0; i < A.cells; i++) {
        struct many many = {NULL, (unsigned)atoi(A.cell[i])};
        many.rings = calloc(many.n, sizeof *many.rings);
        if (!many.rings) die("calloc", ENOMEM);
        for (unsigned k = 0; k < many.n; k++) {
            int e = ur_open(&many.rings[k], 8, BEST, 0);
            if (e) die("io_uring_setup", e);
            if (k < 16) ur_regfd(&many.rings[k]); /* as many as a thread can register */
        }
        measure(A.cell[i], run, &many, many.n, 1u << 24);
        for (unsigned k = 0; k < many.n; k++) ur_close(&many.rings[k]);
        free(many.rings);
    }
    return 0;
}
