/*
 * A large file read into memory ("read") or written from it to new= ("save", with fsync of the
 * file and of its directory): O_DIRECT, 1 MiB a piece, 16 in flight. A cell begins with how many.
 */
#include "jobs.h"
#include <libgen.h>

enum { FLYING = 16 };

static struct ur R;
static char *memory;
static unsigned count;
static int saving;

static void transfer(int fd)
{
    unsigned next = 0, done = 0;
    while (done < count) {
        for (; next < count && next - done < FLYING; next++) {
            struct ur_sqe *s = need_sqe(&R);
            s->opcode = saving ? OP_WRITE : OP_READ;
            s->fd = fd;
            s->addr = U64(memory + (size_t)next * MIB);
            s->len = MIB;
            s->off = (uint64_t)next * MIB;
        }
        long x = ur_submit_wait(&R, 1);
        if (x < 0) die("io_uring_enter", x);
        for (struct ur_cqe *c; (c = ur_peek(&R)); done++) {
            if (c->res != (int)MIB) die("transfer", c->res < 0 ? c->res : EIO);
            ur_seen(&R, 1);
        }
    }
}

static void load(void)
{
    int fd = open(A.file, O_RDONLY | O_DIRECT);
    if (fd < 0) die(A.file, errno);
    transfer(fd);
    close(fd);
}

static void save(void)
{
    char parent[4096];
    int fd = open(A.new, O_WRONLY | O_CREAT | O_EXCL | O_DIRECT, 0644);
    if (fd < 0 || fallocate(fd, 0, 0, (off_t)count * MIB)) die(A.new, errno);
    transfer(fd);
    if (fsync(fd)) die("fsync", errno);
    close(fd);
    snprintf(parent, sizeof parent, "%s", A.new);
    fd = open(dirname(parent), O_RDONLY);
    if (fd < 0 || fsync(fd)) die("fsync of the directory", errno);
    close(fd);
}

static void read_back(void)
{
    int fd = open(A.new, O_RDONLY);
    if (fd < 0) die(A.new, errno);
    memset(memory, 0, (size_t)count * MIB);
    for (unsigned i = 0; i < count; i++)
        if (read(fd, memory + (size_t)i * MIB, MIB) != MIB) die("read back", errno);
    close(fd);
}

int main(int argc, char **argv)
{
    arguments(argc, argv);
    saving = !strcmp(A.variant, "save");
    noted = saving ? A.new : A.file;
    count = (unsigned)atoi(A.cell[0]);
    memory = populated((size_t)count * MIB);
    uint64_t *word = (uint64_t *)memory, blocks = (uint64_t)count * (MIB / BLOCK);
    for (uint64_t i = 0; saving && i < blocks * (BLOCK / 8); i++) word[i] = PATTERN(i / (BLOCK / 8));
    open_best(&R, FLYING, 2 * FLYING);
    measure_job(A.cell[0], saving ? save : load, count);
    if (saving) read_back();
    for (uint64_t i = 0; i < blocks; i++) check_block(memory + i * BLOCK, i);
    ur_close(&R);
    return 0;
}
