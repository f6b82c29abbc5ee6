/*
 * stat of many files. variant: "loop" (one statx after the other), "threads" (16 threads, which
 * take the next file of all).
 */
#include "jobs.h"
#include <linux/stat.h>
#include <pthread.h>

enum { THREADS = 16 };

static atomic_uint next_file;
static atomic_ullong total;

static void some(unsigned (*which)(unsigned), unsigned first)
{
    struct statx st;
    unsigned long long sum = 0;
    for (unsigned i = first; i < P.count; i = which(i)) {
        if (syscall(SYS_statx, AT_FDCWD, P.name[i], 0, STATX_BASIC_STATS, &st))
            die(P.name[i], errno);
        sum += st.stx_size;
    }
    total += sum;
}

static unsigned following(unsigned i)
{
    return i + 1;
}

static unsigned taken(unsigned i)
{
    (void)i;
    return next_file++;
}

static void loop(void)
{
    some(following, 0);
}

static void *worker(void *unused)
{
    some(taken, next_file++);
    return unused;
}

static void threads(void)
{
    pthread_t thread[THREADS];
    next_file = 0;
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&thread[i], NULL, worker, NULL)) die("pthread_create", EAGAIN);
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
}

int main(int argc, char **argv)
{
    arguments(argc, argv);
    load_paths(A.file);
    void (*run)(void) = strcmp(A.variant, "threads") ? loop : threads;
    measure_job(A.cell[0], run, P.count);
    total = 0;
    run();
    if (total != (unsigned long long)P.count * BLOCK) die("sizes differ", EIO);
    return 0;
}
