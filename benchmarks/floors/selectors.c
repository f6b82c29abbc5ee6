/*
 * What a selector is asked, of epoll itself. Cells: "READY of COUNT", "wait of COUNT",
 * "modify N of COUNT", "flip N of COUNT", "register": see harness/selecting.py. Per call of
 * epoll_wait(2), with the changes before it.
 */
#include "floor.h"
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { MOST = 20000 };
static int ends[2 * MOST], peer[2 * MOST], count, set, ready, changed, turn;
static struct epoll_event found[MOST];

static void control(int op, int at, unsigned events)
{
    struct epoll_event event = {.events = events, .data.u32 = (unsigned)at};
    if (epoll_ctl(set, op, ends[at], &event)) die("epoll_ctl", errno);
}

static int look(int timeout)
{
    int n = epoll_wait(set, found, count, timeout);
    if (n < 0) die("epoll_wait", errno);
    return n;
}

static void run_ready(void *what, uint64_t ops)
{
    (void)what;
    for (uint64_t i = 0; i < ops; i++)
        if (look(0) != ready) die("not what is ready", EIO);
}

static void run_wait(void *what, uint64_t ops)
{
    (void)what;
    char byte = 'x';
    for (uint64_t i = 0; i < ops; i++) {
        if (write(peer[turn++ * 7u % (unsigned)count], &byte, 1) != 1) die("write", errno);
        if (look(-1) != 1) die("not one", EIO);
        if (read(ends[found[0].data.u32], &byte, 1) != 1) die("read", errno);
    }
}

static void run_modify(void *what, uint64_t ops)
{
    (void)what;
    for (uint64_t i = 0; i < ops; i++) {
        unsigned events = i & 1 ? EPOLLIN : EPOLLIN | EPOLLOUT;
        for (int at = 0; at < changed; at++) control(EPOLL_CTL_MOD, at, events);
        sink += (uint64_t)look(0);
    }
}

static void run_register(void *what, uint64_t ops)
{
    (void)what;
    for (uint64_t i = 0; i < ops; i++) {
        control(EPOLL_CTL_ADD, 0, EPOLLIN);
        if (look(0)) die("ready", EIO);
        control(EPOLL_CTL_DEL, 0, 0);
    }
}

/* Every end is watched, except where the peers must stay full. */
static void connect_all(int both)
{
    for (int n = 0; n < count;) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair)) die("socketpair", errno);
        ends[n] = pair[0], peer[n++] = pair[1];
        if (both && n < count) ends[n] = pair[1], peer[n++] = pair[0];
    }
}

int main(int argc, char **argv)
{
    static char full[65536];
    arguments(argc, argv);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (int i = 0; i < A.cells; i++) {
        const char *cell = A.cell[i], *of = strstr(cell, "of ");
        work run = run_ready;
        count = of ? atoi(of + 3) : 1;
        ready = atoi(cell);
        changed = 0;
        turn = 0;
        if (!strncmp(cell, "wait", 4)) run = run_wait;
        if (!strncmp(cell, "register", 8)) run = run_register;
        if (sscanf(cell, "modify %d", &changed) == 1 || sscanf(cell, "flip %d", &changed) == 1)
            run = run_modify;
        set = epoll_create1(EPOLL_CLOEXEC);
        connect_all(cell[0] != 'm');
        for (int at = 0; at < count; at++) {
            if (cell[0] == 'm')
                while (write(ends[at], full, sizeof full) > 0) {}
            if (run != run_register) control(EPOLL_CTL_ADD, at, EPOLLIN);
            if (at < ready && write(peer[at], "x", 1) != 1) die("write", errno);
        }
        if (look(0) != ready) die("not what is ready", EIO);
        measure(cell, run, NULL, changed ? 2 : 1, 1u << 22);
        close(set);
        for (int at = 0; at < count; at++) close(ends[at]), close(peer[at]);
    }
    return 0;
}
