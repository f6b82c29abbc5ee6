/*
 * 64 bytes back and forth over a Unix socket pair, both ends in one thread; per message.
 * Cells: "inline" sends and receives in one submission; "armed" submits the receive first, so that
 * it has to wait for the message. variant "syscall": send(2) and recv(2).
 */
#include "floor.h"
#include <sys/socket.h>

enum { SIZE = 64 };
static struct ur R;
static int ends[2];
static char out[SIZE], in[SIZE];

static void stage(int op, int fd, char *buf)
{
    struct ur_sqe *s = need_sqe(&R);
    s->opcode = (uint8_t)op;
    s->fd = fd;
    s->addr = U64(buf);
    s->len = SIZE;
}

static void run_inline(void *what, uint64_t ops)
{
    (void)what;
    for (uint64_t i = 0; i < ops; i++) {
        stage(OP_SEND, ends[i & 1], out);
        stage(OP_RECV, ends[~i & 1], in);
        sink += finish(&R, 2);
    }
}

static void run_armed(void *what, uint64_t ops)
{
    (void)what;
    for (uint64_t i = 0; i < ops; i++) {
        stage(OP_RECV, ends[~i & 1], in);
        long x = ur_submit_wait(&R, 0);
        if (x < 0) die("io_uring_enter", x);
        stage(OP_SEND, ends[i & 1], out);
        sink += finish(&R, 2);
    }
}

static void run_syscalls(void *what, uint64_t ops)
{
    (void)what;
    for (uint64_t i = 0; i < ops; i++)
        if (send(ends[i & 1], out, SIZE, 0) != SIZE || recv(ends[~i & 1], in, SIZE, 0) != SIZE)
            die("socket", errno);
}

int main(int argc, char **argv)
{
    arguments(argc, argv);
    open_best(&R, 64, 0);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) die("socketpair", errno);
    for (int i = 0; i < A.cells; i++) {
        work run = !strcmp(A.cell[i], "armed") ? run_armed : run_inline;
        if (!strcmp(A.variant, "syscall")) run = run_syscalls;
        memset(out, 'a' + i, SIZE);
        run(NULL, 2);
        if (memcmp(in, out, SIZE)) die("data differs", EIO);
        measure(A.cell[i], run, NULL, 2, 1u << 24);
    }
    ur_close(&R);
    return 0;
}
