/*
 * Small files read whole. variant: "loop" (open, read, close), "ring" (the three as requests, 64
 * files in flight, each going its own way).
 *
 * A read asks for one byte more than there is, so that its result also says that the file ended.
 */
#include "jobs.h"

enum { FLYING = 64, OPEN = 0, READ = 1, CLOSE = 2 };
#define ROOM (2 * BLOCK)

static struct ur R;
static char *memory;
static struct {
    unsigned file;
    int fd;
} slots[FLYING];
static int checking;

static void arrived(const char *data, long got, unsigned file)
{
    if (got != BLOCK) die(P.name[file], got < 0 ? got : EIO);
    if (checking) check_block(data, file);
}

static void loop(void)
{
    for (unsigned i = 0; i < P.count; i++) {
        int fd = open(P.name[i], O_RDONLY | O_CLOEXEC);
        if (fd < 0) die(P.name[i], errno);
        ssize_t got = read(fd, memory, BLOCK + 1);
        arrived(memory, got < 0 ? -errno : got, i);
        close(fd);
    }
}

static void stage(unsigned slot, unsigned step)
{
    struct ur_sqe *s = need_sqe(&R);
    s->user_data = (uint64_t)step << 32 | slot;
    if (step == OPEN) {
        s->opcode = OP_OPENAT;
        s->fd = AT_FDCWD;
        s->addr = U64(P.name[slots[slot].file]);
        s->opflags = O_RDONLY | O_CLOEXEC;
        return;
    }
    s->fd = slots[slot].fd;
    s->opcode = step == READ ? OP_READ : OP_CLOSE;
    if (step == READ) {
        s->addr = U64(memory + (size_t)slot * ROOM);
        s->len = BLOCK + 1;
    }
}

/* What has completed goes its next step, or makes room for the next file. */
static unsigned advance(unsigned *next)
{
    unsigned closed = 0;
    struct ur_cqe *c;
    while ((c = ur_peek(&R))) {
        unsigned slot = (unsigned)c->user_data, step = (unsigned)(c->user_data >> 32);
        int res = c->res;
        ur_seen(&R, 1);
        if (res < 0) die(P.name[slots[slot].file], res);
        if (step == OPEN) {
            slots[slot].fd = res;
            stage(slot, READ);
        } else if (step == READ) {
            arrived(memory + (size_t)slot * ROOM, res, slots[slot].file);
            stage(slot, CLOSE);
        } else {
            closed++;
            if (*next < P.count) {
                slots[slot].file = (*next)++;
                stage(slot, OPEN);
            }
        }
    }
    return closed;
}

static void ring(void)
{
    unsigned next = 0, closed = 0;
    for (; next < FLYING && next < P.count; next++) {
        slots[next].file = next;
        stage(next, OPEN);
    }
    while (closed < P.count) {
        long x = ur_submit_wait(&R, 1);
        if (x < 0) die("io_uring_enter", x);
        closed += advance(&next);
    }
}

int main(int argc, char **argv)
{
    arguments(argc, argv);
    load_paths(A.file);
    memory = populated((size_t)FLYING * ROOM);
    open_best(&R, 2 * FLYING, 4 * FLYING);
    void (*run)(void) = !strcmp(A.variant, "ring") ? ring : loop;
    measure_job(A.cell[0], run, P.count);
    checking = 1;
    run();
    ur_close(&R);
    return 0;
}
