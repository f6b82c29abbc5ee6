/*
 * Bytes of resident memory per ring of 256 entries ("ring") and, in user space, per request that
 * waits ("request").
 */
#include "floor.h"
#include <poll.h>
#include <sys/eventfd.h>

static double resident(void)
{
    unsigned long size = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%lu %lu", &size, &pages) != 2) die("statm", EIO);
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void per_ring(const char *cell)
{
    enum { RINGS = 200 };
    static struct ur rings[RINGS];
    memset(rings, 1, sizeof rings);
    double before = resident();
    for (int i = 0; i < RINGS; i++) {
        int e = ur_open(&rings[i], 256, BEST, 0);
        if (e) die("io_uring_setup", e);
    }
    report(cell, (resident() - before) / RINGS, 0, RINGS);
    for (int i = 0; i < RINGS; i++) ur_close(&rings[i]);
}

static void per_request(const char *cell)
{
    enum { REQUESTS = 32768 };
    static struct ur r;
    open_best(&r, 1024, 65536);
    int quiet = eventfd(0, EFD_CLOEXEC);
    double before = resident();
    for (int i = 0; i < REQUESTS; i++) {
        struct ur_sqe *s = need_sqe(&r);
        s->opcode = OP_POLL_ADD;
        s->fd = quiet;
        s->opflags = POLLIN;
        s->user_data = (uint64_t)i;
        if (i % 1024 == 1023 && ur_submit_wait(&r, 0) < 0) die("io_uring_enter", errno);
    }
    report(cell, (resident() - before) / REQUESTS, 0, REQUESTS);
    ur_close(&r);
}

int main(int argc, char **argv)
{
    arguments(argc, argv);
    for (int i = 0; i < A.cells; i++)
        (!strcmp(A.cell[i], "ring") ? per_ring : per_request)(A.cell[i]);
    return 0;
}
