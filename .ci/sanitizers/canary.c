/* An allocator that notices writes to freed memory, whoever makes them.
 *
 * AddressSanitizer sees what instrumented code does, and the kernel is not: a request that is still
 * in flight when its buffer is freed writes unseen. Here freed memory is filled with a pattern and
 * kept back; before it is used again, after half a second or more where memory allows, and at the
 * end of the process, the pattern must still be there.
 *
 * For LD_PRELOAD, over glibc's own allocator: nox -s canary. */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

enum { PLACES = 1 << 18, PATTERN = 0xdb };
#define MOST_BYTES ((size_t)256 << 20)
#define HOLD_NS 500000000LL

struct kept {
    unsigned char *at;
    size_t len;
    int64_t since;
    void *freed_by;
};

static struct kept kept[PLACES];
static size_t first, count, bytes;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void check(const struct kept *k)
{
    /* Equal to itself one byte on, and the first is right: then all are. */
    if (k->len == 0 || (k->at[0] == PATTERN && !memcmp(k->at, k->at + 1, k->len - 1)))
        return;
    size_t from = 0, to = k->len;
    while (k->at[from] == PATTERN)
        from++;
    while (k->at[to - 1] == PATTERN)
        to--;
    char text[256];
    int n = snprintf(text, sizeof text,
                     "canary: written after free: bytes %zu to %zu of %zu at %p, freed by %p, "
                     "%lld ms ago\n",
                     from, to, k->len, (void *)k->at, k->freed_by,
                     (long long)((now() - k->since) / 1000000));
    if (write(2, text, (size_t)n) < 0) {
        /* Then the signal is all there is. */
    }
    abort();
}

static void let_go_of_first(void)
{
    struct kept *k = &kept[first % PLACES];
    check(k);
    bytes -= k->len;
    __libc_free(k->at);
    first++;
    count--;
}

static void keep(void *at, void *freed_by)
{
    size_t len = malloc_usable_size(at);
    memset(at, PATTERN, len);
    pthread_mutex_lock(&lock);
    int64_t t = now();
    while (count > 0
           && (count == PLACES || bytes + len > MOST_BYTES || t - kept[first % PLACES].since > HOLD_NS))
        let_go_of_first();
    kept[(first + count++) % PLACES] = (struct kept){at, len, t, freed_by};
    bytes += len;
    pthread_mutex_unlock(&lock);
}

static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }

__attribute__((constructor)) static void begin(void)
{
    pthread_atfork(before_fork, after_fork, after_fork);
}

__attribute__((destructor)) static void end(void)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < count; i++)
        check(&kept[(first + i) % PLACES]);
    pthread_mutex_unlock(&lock);
}

void *malloc(size_t n) { return __libc_malloc(n); }
void *calloc(size_t m, size_t n) { return __libc_calloc(m, n); }

void free(void *at)
{
    int saved = errno;
    if (at)
        keep(at, __builtin_return_address(0));
    errno = saved;
}

void *realloc(void *at, size_t n)
{
    if (!at)
        return malloc(n);
    if (n == 0) {
        free(at);
        return NULL;
    }
    size_t has = malloc_usable_size(at);
    if (n <= has && n >= has / 2)
        return at;
    void *to = malloc(n);
    if (!to)
        return NULL;
    memcpy(to, at, has < n ? has : n);
    keep(at, __builtin_return_address(0));
    return to;
}

void *reallocarray(void *at, size_t m, size_t n)
{
    size_t all;
    if (__builtin_mul_overflow(m, n, &all)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(at, all);
}

void *memalign(size_t align, size_t n) { return __libc_memalign(align, n); }
void *aligned_alloc(size_t align, size_t n) { return __libc_memalign(align, n); }

int posix_memalign(void **to, size_t align, size_t n)
{
    if (align < sizeof(void *) || (align & (align - 1)))
        return EINVAL;
    void *at = __libc_memalign(align, n);
    if (!at)
        return ENOMEM;
    *to = at;
    return 0;
}
