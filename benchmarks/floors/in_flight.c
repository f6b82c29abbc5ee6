/*
 * What a request costs as more of them are in flight. Cells: "beside N": NOPs in batches of 32
 * while N polls wait; "turnover N": N polls are armed, woken and taken; per poll.
 */
#include "floor.h"
#include <poll.h>
#include <sys/eventfd.h>

enum { BATCH = 32, ENTRIES = 1024 };
static struct ur R;
static int quiet;

static void arm(int fd, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (i % ENTRIES == 0 && ur_submit_wait(&R, 0) < 0) die("io_uring_enter", errno);
        struct ur_sqe *s = need_sqe(&R);
        s->opcode = OP_POLL_ADD;
        s->fd = fd;
        s->opflags = POLLIN;
        s->user_data = i;
    }
    if (ur_submit_wait(&R, 0) < 0) die("io_uring_enter", errno);
}

static void nops(void *what, uint64_t ops)
{
    (void)what;
    for (uint64_t done = 0; done < ops; done += BATCH) {
        for (unsigned i = 0; i < BATCH; i++) need_sqe(&R)->opcode = OP_NOP;
        sink += finish(&R, BATCH);
    }
}

static void turnover(void *what, uint64_t ops)
{
    uint64_t held = *(uint64_t *)what, one = 1;
    for (uint64_t done = 0; done < ops; done += held) {
        arm(quiet, held);
        if (write(quiet, &one, 8) != 8) die("eventfd", errno);
        uint64_t before = sink;
        sink += finish(&R, (unsigned)held);
        if (sink - before != held * (held - 1) / 2) die("completions", EIO);
        if (read(quiet, &one, 8) != 8) die("eventfd", errno);
    }
}

int main(int argc, char **argv)
{
    arguments(argc, argv);
    for (int i = 0; i < A.cells; i++) {
        const char *number = strchr(A.cell[i], ' ');
        if (!number) die(A.cell[i], EINVAL);
        uint64_t held = strtoull(number, NULL, 10);
        open_best(&R, ENTRIES, 65536);
        quiet = eventfd(0, EFD_CLOEXEC);
        if (A.cell[i][0] == 'b') {
            arm(quiet, held);
            measure(A.cell[i], nops, NULL, BATCH, 1u << 24);
        } else {
            measure(A.cell[i], turnover, &held, held, 1u << 22);
        }
        ur_close(&R);
        close(quiet);
    }
    return 0;
}
