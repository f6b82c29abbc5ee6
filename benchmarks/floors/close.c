/*
 * Cancel what is in flight, take its completions, unmap and close; per close. Cells: how many polls
 * are waiting. Opening and arming are not timed. variant: empty cancels all by one register call,
 * "each" every one by its user_data.
 */
#include "floor.h"
#include <poll.h>
#include <sys/eventfd.h>

struct cancel {
    uint64_t addr;
    int32_t fd;
    uint32_t flags;
    int64_t sec, nsec;
    uint8_t opcode, pad[7];
    uint64_t pad2[3];
};
enum { CANCEL_ALL = 1, CANCEL_ANY = 4, ENTRIES = 1024, CLOSES = 5 };

static void cancel_all(struct ur *r)
{
    struct cancel all = {.fd = -1, .flags = CANCEL_ALL | CANCEL_ANY, .sec = -1, .nsec = -1};
    long x = ur_register(r->realfd, RG_SYNC_CANCEL, &all, 1);
    if (x < 0) die("cancel", x);
}

static void cancel_each(struct ur *r, uint64_t held)
{
    for (uint64_t i = 0; i < held; i++) {
        if (i % ENTRIES == 0 && ur_submit_wait(r, 0) < 0) die("io_uring_enter", errno);
        struct ur_sqe *s = need_sqe(r);
        s->opcode = OP_ASYNC_CANCEL;
        s->fd = -1;
        s->addr = i;
        s->flags = SF_SKIP;
        s->user_data = ~0ull;
    }
}

static double once(uint64_t held, int quiet)
{
    int each = !strcmp(A.variant, "each");
    struct ur r;
    open_best(&r, ENTRIES, 65536);
    for (uint64_t i = 0; i < held; i++) {
        if (i % ENTRIES == 0 && ur_submit_wait(&r, 0) < 0) die("io_uring_enter", errno);
        struct ur_sqe *s = need_sqe(&r);
        s->opcode = OP_POLL_ADD;
        s->fd = quiet;
        s->opflags = POLLIN;
        s->user_data = i;
    }
    if (ur_submit_wait(&r, 0) < 0) die("io_uring_enter", errno);
    uint64_t t = now_ns();
    if (each) cancel_each(&r, held);
    else cancel_all(&r);
    for (uint64_t got = 0; got < held;) {
        long x = ur_ready(&r) ? 0 : ur_submit_wait(&r, (unsigned)(held - got));
        if (x < 0) die("wait", x);
        unsigned k = ur_ready(&r);
        ur_seen(&r, k);
        got += k;
    }
    ur_close(&r);
    return (double)(now_ns() - t);
}

int main(int argc, char **argv)
{
    arguments(argc, argv);
    int quiet = eventfd(0, EFD_CLOEXEC);
    for (int i = 0; i < A.cells; i++) {
        double took[CLOSES];
        for (int k = 0; k < CLOSES; k++) took[k] = once(strtoull(A.cell[i], NULL, 10), quiet);
        report(A.cell[i], ur_median(took, CLOSES), 0, CLOSES);
    }
    return 0;
}
