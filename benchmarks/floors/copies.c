/*
 * Copies to new=. variant: "file" (copy_file_range of one file), "tree" (directories made, small
 * files opened, read, written, closed, one after the other, by nftw(3)).
 */
#include "jobs.h"
#include <ftw.h>

static char *memory;
static size_t prefix;
static unsigned copied;

static int compare(const char *one, const char *other)
{
    static char a[MIB], b[MIB];
    int f = open(one, O_RDONLY), g = open(other, O_RDONLY);
    ssize_t n = 0;
    if (f < 0 || g < 0) die(other, errno);
    do {
        n = read(f, a, sizeof a);
        if (n < 0 || read(g, b, sizeof b) != n || memcmp(a, b, (size_t)n)) die("copy differs", EIO);
    } while (n > 0);
    close(f);
    close(g);
    return 0;
}

static void file(void)
{
    int from = open(A.file, O_RDONLY), to = open(A.new, O_WRONLY | O_CREAT | O_EXCL, 0644);
    struct stat st;
    if (from < 0 || to < 0 || fstat(from, &st)) die("open", errno);
    for (off_t left = st.st_size; left > 0;) {
        ssize_t n = copy_file_range(from, NULL, to, NULL, (size_t)left, 0);
        if (n <= 0) die("copy_file_range", n < 0 ? errno : EIO);
        left -= n;
    }
    close(from);
    close(to);
}

static void small(const char *path, const char *target, mode_t mode)
{
    int from = open(path, O_RDONLY), to = open(target, O_WRONLY | O_CREAT | O_EXCL, mode);
    if (from < 0 || to < 0) die(target, errno);
    for (;;) {
        ssize_t n = read(from, memory, 128 << 10);
        if (n < 0) die(path, errno);
        if (!n) break;
        if (write(to, memory, (size_t)n) != n) die(target, errno);
    }
    close(from);
    close(to);
    copied++;
}

static int visit(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)where;
    char target[4096];
    snprintf(target, sizeof target, "%s%s", A.new, path + prefix);
    if (kind == FTW_F) small(path, target, st->st_mode & 0777);
    else if (kind != FTW_D || mkdir(target, st->st_mode & 0777)) die(target, errno);
    return 0;
}

static void tree(void)
{
    if (nftw(A.file, visit, 32, FTW_PHYS)) die(A.file, errno);
}

static int check(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)where, (void)st;
    char target[4096];
    snprintf(target, sizeof target, "%s%s", A.new, path + prefix);
    return kind == FTW_F ? compare(path, target) : 0;
}

int main(int argc, char **argv)
{
    arguments(argc, argv);
    memory = populated(128 << 10);
    prefix = strlen(A.file);
    int whole = !strcmp(A.variant, "tree");
    unsigned count = (unsigned)atoi(A.cell[0]);
    measure_job(A.cell[0], whole ? tree : file, count);
    if (whole && copied != count) die("files are missing", EIO);
    if (nftw(A.file, check, 32, FTW_PHYS)) die("copy", errno);
    return 0;
}
