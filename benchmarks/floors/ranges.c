/*
 * Random ranges of 4 KiB of one file, each into its place in one piece of memory; a cell begins
 * with how many. variant: "direct" (O_DIRECT, 64 in flight), "cached" (the same through the page
 * cache), "loop" (pread).
 */
#include "jobs.h"

enum { FLYING = 64 };

static struct ur R;
static char *memory;
static unsigned count;
static int fd;

static void loop(void)
{
    for (unsigned i = 0; i < count; i++)
        if (pread(fd, memory + (size_t)i * BLOCK, BLOCK, (off_t)A.offsets[i]) != BLOCK)
            die("pread", errno);
}

static void stage(unsigned range)
{
    struct ur_sqe *s = need_sqe(&R);
    s->opcode = OP_READ;
    s->fd = fd;
    s->addr = U64(memory + (size_t)range * BLOCK);
    s->len = BLOCK;
    s->off = A.offsets[range];
}

static void ring(void)
{
    unsigned next = 0, done = 0;
    while (done < count) {
        while (next < count && next - done < FLYING) stage(next++);
        unsigned flying = next - done;
        long x = ur_submit_wait(&R, flying / 4 ? flying / 4 : 1);
        if (x < 0) die("io_uring_enter", x);
        unsigned n = ur_ready(&R);
        uint32_t h = atomic_load_explicit(R.cq_head, memory_order_relaxed);
        for (unsigned i = 0; i < n; i++) {
            int res = R.cqes[(h + i) & R.cq_mask].res;
            if (res != (int)BLOCK) die("read", res < 0 ? res : EIO);
        }
        ur_seen(&R, n);
        done += n;
    }
}

int main(int argc, char **argv)
{
    arguments(argc, argv);
    count = (unsigned)atoi(A.cell[0]);
    if (count > A.count) die("offsets", EINVAL);
    memory = populated((size_t)count * BLOCK);
    fd = open(A.file, O_RDONLY | (strcmp(A.variant, "direct") ? 0 : O_DIRECT));
    if (fd < 0) die(A.file, errno);
    open_best(&R, FLYING, 2 * FLYING);
    measure_job(A.cell[0], strcmp(A.variant, "loop") ? ring : loop, count);
    for (unsigned i = 0; i < count; i++)
        check_block(memory + (size_t)i * BLOCK, A.offsets[i] / BLOCK);
    ur_close(&R);
    return 0;
}
