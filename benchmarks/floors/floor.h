/*
 * floor.h: what all floor programs share: arguments, offsets, timing and the one line of output
 * per cell. Arguments are key=value: variant= seconds= repeats= cells=1,32,128 and, where there is
 * a file, file= offsets= (unsigned 64-bit numbers) direct=0|1. Jobs have once=0|1 (the state of
 * things is good for one run) and new= (where what is written goes).
 */
#ifndef FLOOR_H
#define FLOOR_H
#include "uring_raw.h"
#include <fcntl.h>
#include <sys/stat.h>

#define BLOCK 4096u
#define BEST (UR_SINGLE | UR_DEFER | UR_NO_SQARRAY | UR_SUBMIT_ALL)
/* What block `n` of a data file holds: 512 times this number. The harness writes the same. */
#define PATTERN(n) (0x9E3779B97F4A7C15ull * ((uint64_t)(n) + 1))

static struct {
    const char *variant, *file, *new;
    double seconds;
    int repeats, direct, once, cells;
    const char *cell[32];
    uint64_t *offsets, count;
} A = {.variant = "", .seconds = 0.05, .repeats = 3};

static void load_offsets(const char *path)
{
    int fd = open(path, O_RDONLY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) die(path, errno);
    A.count = (uint64_t)st.st_size / 8;
    A.offsets = malloc((size_t)st.st_size);
    if (!A.offsets || read(fd, A.offsets, (size_t)st.st_size) != st.st_size) die(path, EIO);
    close(fd);
}

static inline void arguments(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        if (!value) die(argv[i], EINVAL);
        *value++ = 0;
        if (!strcmp(argv[i], "variant")) A.variant = value;
        else if (!strcmp(argv[i], "seconds")) A.seconds = atof(value);
        else if (!strcmp(argv[i], "repeats")) A.repeats = atoi(value);
        else if (!strcmp(argv[i], "file")) A.file = value;
        else if (!strcmp(argv[i], "new")) A.new = value;
        else if (!strcmp(argv[i], "direct")) A.direct = atoi(value);
        else if (!strcmp(argv[i], "once")) A.once = atoi(value);
        else if (!strcmp(argv[i], "offsets")) load_offsets(value);
        else if (!strcmp(argv[i], "cells")) {
            for (char *p = strtok(value, ","); p && A.cells < 32; p = strtok(NULL, ","))
                A.cell[A.cells++] = p;
        } else die(argv[i], EINVAL);
    }
}

/* Carry out `ops` operations, a multiple of `unit`; at most `most` in one go. */
typedef void (*work)(void *what, uint64_t ops);

static inline void report(const char *cell, double value, double cpu, uint64_t ops)
{
    printf("{\"cell\": \"%s\", \"value\": %.3f, \"cpu\": %.3f, \"ops\": %llu}\n", cell, value, cpu,
           (unsigned long long)ops);
    fflush(stdout);
}

static inline void measure(const char *cell, work run, void *what, uint64_t unit, uint64_t most)
{
    double took[64], cpu[64];
    uint64_t ops = unit;
    for (;;) { /* warms up, and finds how many operations fill the time */
        uint64_t t = now_ns();
        run(what, ops);
        double seconds = (double)(now_ns() - t) * 1e-9;
        if (seconds >= A.seconds / 4 || ops * 2 > most) {
            double fill = (double)ops * A.seconds / (seconds > 0 ? seconds : 1e-9);
            ops = (fill > (double)most ? most : (uint64_t)fill) / unit * unit;
            if (!ops) ops = unit;
            break;
        }
        ops *= 2;
    }
    int repeats = A.repeats < 64 ? A.repeats : 64;
    for (int i = 0; i < repeats; i++) {
        uint64_t c = cpu_ns(), t = now_ns();
        run(what, ops);
        took[i] = (double)(now_ns() - t) / (double)ops;
        cpu[i] = (double)(cpu_ns() - c) / (double)ops;
    }
    report(cell, ur_median(took, repeats), ur_median(cpu, repeats), ops);
}

/* A ring with the best flags; its descriptor registered. */
static inline void open_best(struct ur *r, unsigned entries, unsigned cq)
{
    int e = ur_open(r, entries, BEST, cq);
    if (e) die("io_uring_setup", e);
    e = ur_regfd(r);
    if (e) die("register ring fd", e);
}

static inline struct ur_sqe *need_sqe(struct ur *r)
{
    struct ur_sqe *s = ur_sqe(r);
    if (!s) die("submission queue", EBUSY);
    return s;
}

/* Submit, wait for `n` completions and take them; each must have succeeded. */
static inline uint64_t finish(struct ur *r, unsigned n)
{
    uint64_t sum = 0;
    long x = ur_submit_wait(r, n);
    if (x < 0) die("io_uring_enter", x);
    for (unsigned got = 0; got < n;) {
        unsigned k = ur_ready(r);
        if (!k) {
            x = ur_submit_wait(r, 1);
            if (x < 0) die("io_uring_enter", x);
            continue;
        }
        uint32_t h = atomic_load_explicit(r->cq_head, memory_order_relaxed);
        for (unsigned i = 0; i < k; i++) {
            struct ur_cqe *c = &r->cqes[(h + i) & r->cq_mask];
            if (c->res < 0) die("request", c->res);
            sum += c->user_data;
        }
        ur_seen(r, k);
        got += k;
    }
    return sum;
}

static volatile uint64_t sink; /* keeps the reading of results from being optimised away */
#endif
