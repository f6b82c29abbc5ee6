/*
 * jobs.h: what the floor programs of whole files share: the list of names that file= is, one run
 * that is timed as a whole, and the check of what was read.
 */
#ifndef JOBS_H
#define JOBS_H
#include "floor.h"

#define MIB (1u << 20)

static struct {
    char **name;
    unsigned count;
} P;

static inline void load_paths(const char *file)
{
    int fd = open(file, O_RDONLY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) die(file, errno);
    char *text = malloc((size_t)st.st_size + 1);
    P.name = malloc((size_t)st.st_size * sizeof *P.name);
    if (!text || !P.name || read(fd, text, (size_t)st.st_size) != st.st_size) die(file, EIO);
    text[st.st_size] = 0;
    close(fd);
    for (char *p = strtok(text, "\n"); p; p = strtok(NULL, "\n")) P.name[P.count++] = p;
}

/* Small file `n`, and block `n` of a large one, hold this. */
static inline void check_block(const void *have, uint64_t n)
{
    const uint64_t *word = have;
    for (unsigned i = 0; i < BLOCK / 8; i++)
        if (word[i] != PATTERN(n)) die("data differs", EIO);
}

static inline char *populated(size_t size)
{
    char *memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) die("mmap", errno);
    return memory;
}

/* Bytes of a file that are in the page cache. */
static inline double cached_bytes(const char *path)
{
    int fd = open(path, O_RDWR);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) die(path, errno);
    size_t pages = ((size_t)st.st_size + BLOCK - 1) / BLOCK, there = 0;
    void *mapped = mmap(0, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    unsigned char *in = malloc(pages);
    if (mapped == MAP_FAILED || !in || mincore(mapped, (size_t)st.st_size, in)) die("mincore", errno);
    for (size_t i = 0; i < pages; i++) there += in[i] & 1;
    munmap(mapped, (size_t)st.st_size);
    free(in);
    close(fd);
    return (double)there * BLOCK;
}

/* The file of which is noted how much is in the page cache after the job. */
static const char *noted;

static inline void report_job(const char *cell, double value, double cpu, uint64_t ops)
{
    if (!noted) return report(cell, value, cpu, ops);
    printf("{\"cell\": \"%s\", \"value\": %.3f, \"cpu\": %.3f, \"ops\": %llu, "
           "\"notes\": {\"cached\": %.0f}}\n",
           cell, value, cpu, (unsigned long long)ops, cached_bytes(noted));
    fflush(stdout);
}

/* The whole job: once if the state of things is good for one run, else after a first run. */
static inline void measure_job(const char *cell, void (*run)(void), uint64_t ops)
{
    double took[64], cpu[64];
    int repeats = A.once ? 1 : A.repeats < 64 ? A.repeats : 64;
    if (!A.once) run();
    for (int i = 0; i < repeats; i++) {
        uint64_t c = cpu_ns(), t = now_ns();
        run();
        took[i] = (double)(now_ns() - t) / (double)ops;
        cpu[i] = (double)(cpu_ns() - c) / (double)ops;
    }
    report_job(cell, ur_median(took, repeats), ur_median(cpu, repeats), ops);
}
#endif
