/*
 * 4 KiB reads (this file) or writes (-DWRITES) at random offsets of a file. Cells: the depth.
 * variant: empty (READ/WRITE, plain descriptor and buffers), "fixed" (registered file and
 * buffers), "syscall" (pread/pwrite, one after the other).
 *
 * Page-cache transfers complete while they are submitted: a batch of the depth is submitted and
 * taken. O_DIRECT ones are kept in flight: wait for a quarter of them, take what is there, refill.
 */
#include "floor.h"

static struct ur R;
static int fd, fixed;
static char *memory;

static void stage(unsigned slot, uint64_t offset)
{
    struct ur_sqe *s = need_sqe(&R);
#ifdef WRITES
    s->opcode = fixed ? OP_WRITE_FIXED : OP_WRITE;
#else
    s->opcode = fixed ? OP_READ_FIXED : OP_READ;
#endif
    s->fd = fixed ? 0 : fd;
    s->flags = fixed ? SF_FIXED : 0;
    s->addr = U64(memory + (size_t)slot * BLOCK);
    s->len = BLOCK;
    s->off = offset;
    s->user_data = slot;
}

/* Take what has completed; the slots that are free again go on the stack. */
static unsigned take(unsigned *stack, unsigned *depth)
{
    unsigned n = ur_ready(&R);
    uint32_t h = atomic_load_explicit(R.cq_head, memory_order_relaxed);
    for (unsigned i = 0; i < n; i++) {
        struct ur_cqe *c = &R.cqes[(h + i) & R.cq_mask];
        if (c->res != (int)BLOCK) die("transfer", c->res < 0 ? c->res : EIO);
        stack[(*depth)++] = (unsigned)c->user_data;
    }
    ur_seen(&R, n);
    return n;
}

static void run(void *what, uint64_t ops)
{
    unsigned depth = *(unsigned *)what, idle = depth, stack[1024];
    for (unsigned i = 0; i < depth; i++) stack[i] = depth - 1 - i;
    for (uint64_t next = 0, done = 0; done < ops;) {
        while (idle && next < ops) {
            stage(stack[--idle], A.offsets[next % A.count]);
            next++;
        }
        unsigned flying = (unsigned)(next - done);
        unsigned want = A.direct ? (flying / 4 ? flying / 4 : 1) : flying;
        long x = ur_submit_wait(&R, want);
        if (x < 0) die("io_uring_enter", x);
        done += take(stack, &idle);
        if (!A.direct) /* the slots in order again */
            for (unsigned i = 0; i < depth; i++) stack[i] = depth - 1 - i;
    }
}

static void run_syscalls(void *what, uint64_t ops)
{
    (void)what;
    for (uint64_t i = 0; i < ops; i++) {
#ifdef WRITES
        ssize_t n = pwrite(fd, memory, BLOCK, (off_t)A.offsets[i % A.count]);
#else
        ssize_t n = pread(fd, memory, BLOCK, (off_t)A.offsets[i % A.count]);
#endif
        if (n != BLOCK) die("transfer", n < 0 ? errno : EIO);
    }
}

static void fill(uint64_t *block, uint64_t number)
{
    for (unsigned i = 0; i < BLOCK / 8; i++) block[i] = PATTERN(number);
}

static void check(unsigned slot, uint64_t number)
{
    uint64_t *have = (uint64_t *)(memory + (size_t)slot * BLOCK);
    for (unsigned i = 0; i < BLOCK / 8; i++)
        if (have[i] != PATTERN(number)) die("data differs", EIO);
}

/* One batch, and its data compared. */
static void verify(unsigned depth, int syscalls)
{
    unsigned one = syscalls ? 1 : depth;
#ifdef WRITES
    for (unsigned i = 0; i < one; i++) fill((uint64_t *)(memory + (size_t)i * BLOCK), ~0ull - i);
#endif
    (syscalls ? run_syscalls : run)(&depth, one);
    for (unsigned i = 0; i < one; i++) {
#ifdef WRITES
        if (pread(fd, memory + (size_t)i * BLOCK, BLOCK, (off_t)A.offsets[i]) != BLOCK)
            die("read back", errno);
        check(i, ~0ull - i);
#else
        check(i, A.offsets[i] / BLOCK);
#endif
    }
}

int main(int argc, char **argv)
{
    arguments(argc, argv);
    fixed = !strcmp(A.variant, "fixed");
    int syscalls = !strcmp(A.variant, "syscall");
    size_t size = (size_t)1024 * BLOCK;
    memory = mmap(0, size, 3, MAP_PRIVATE | MAP_ANON | MAP_POPULATE, -1, 0);
    fd = open(A.file, O_RDWR | (A.direct ? O_DIRECT : 0));
    if (memory == MAP_FAILED || fd < 0) die(A.file, errno);
    open_best(&R, 1024, 2048);
    if (fixed) {
        struct iovec v = {memory, size};
        long x = ur_register(R.realfd, RG_BUFFERS, &v, 1);
        if (x >= 0) x = ur_register(R.realfd, RG_FILES, &fd, 1);
        if (x < 0) die("register", x);
    }
    fill((uint64_t *)memory, 0);
    for (int i = 0; i < A.cells; i++) {
        unsigned depth = (unsigned)atoi(A.cell[i]);
        verify(depth, syscalls);
        measure(A.cell[i], syscalls ? run_syscalls : run, &depth, depth, A.direct ? 1u << 24 : A.count);
    }
    ur_close(&R);
    return 0;
}
