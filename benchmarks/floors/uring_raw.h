/*
 * uring_raw.h: the smallest io_uring layer on raw system calls that the floor programs need. No
 * liburing and no <linux/io_uring.h>: the ABI numbers are written out, so it builds on any Linux
 * with a C compiler. Not a library: one thread, and no recovery from errors beyond die().
 */
#ifndef URING_RAW_H
#define URING_RAW_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct ur_sqe { /* 64 bytes */
    uint8_t opcode, flags;
    uint16_t ioprio;
    int32_t fd;
    uint64_t off;  /* addr2, cmd_op | pad<<32 */
    uint64_t addr; /* splice_off_in, level | optname<<32 */
    uint32_t len;
    uint32_t opflags; /* rw_flags, msg_flags, ... */
    uint64_t user_data;
    uint16_t buf_index; /* buf_group */
    uint16_t personality;
    uint32_t file_index; /* splice_fd_in, optlen, addr_len */
    uint64_t addr3;      /* attr_ptr, optval */
    uint64_t pad2;       /* attr_type_mask */
};
struct ur_cqe {
    uint64_t user_data;
    int32_t res;
    uint32_t flags;
};
struct ur_sqoff {
    uint32_t head, tail, mask, entries, flags, dropped, array, r1;
    uint64_t user_addr;
};
struct ur_cqoff {
    uint32_t head, tail, mask, entries, overflow, cqes, flags, r1;
    uint64_t user_addr;
};
struct ur_params {
    uint32_t sq_entries, cq_entries, flags, sq_thread_cpu, sq_thread_idle, features, wq_fd, resv[3];
    struct ur_sqoff sq;
    struct ur_cqoff cq;
};
_Static_assert(sizeof(struct ur_sqe) == 64, "sqe");
_Static_assert(sizeof(struct ur_params) == 120, "params");

/* setup flags */
enum {
    UR_IOPOLL = 1u << 0,
    UR_SQPOLL = 1u << 1,
    UR_SQ_AFF = 1u << 2,
    UR_CQSIZE = 1u << 3,
    UR_CLAMP = 1u << 4,
    UR_ATTACH_WQ = 1u << 5,
    UR_R_DISABLED = 1u << 6,
    UR_SUBMIT_ALL = 1u << 7,
    UR_COOP = 1u << 8,
    UR_TASKRUN_FLAG = 1u << 9,
    UR_SQE128 = 1u << 10,
    UR_CQE32 = 1u << 11,
    UR_SINGLE = 1u << 12,
    UR_DEFER = 1u << 13,
    UR_NO_MMAP = 1u << 14,
    UR_REGFD_ONLY = 1u << 15,
    UR_NO_SQARRAY = 1u << 16,
    UR_HYBRID = 1u << 17,
    UR_CQE_MIXED = 1u << 18,
    UR_SQE_MIXED = 1u << 19,
    UR_SQ_REWIND = 1u << 20,
};
/* enter flags */
enum {
    UE_GETEVENTS = 1,
    UE_SQ_WAKEUP = 2,
    UE_SQ_WAIT = 4,
    UE_EXT_ARG = 8,
    UE_REGRING = 16,
    UE_ABS = 32,
    UE_EXT_ARG_REG = 64,
    UE_NO_IOWAIT = 128
};
/* sqe flags */
enum {
    SF_FIXED = 1,
    SF_DRAIN = 2,
    SF_LINK = 4,
    SF_HARDLINK = 8,
    SF_ASYNC = 16,
    SF_BUFSEL = 32,
    SF_SKIP = 64
};
/* cqe flags */
enum {
    CF_BUFFER = 1,
    CF_MORE = 2,
    CF_NONEMPTY = 4,
    CF_NOTIF = 8,
    CF_BUFMORE = 16,
    CF_SKIP = 32,
    CF_32 = 1 << 15
};
/* opcodes */
enum {
    OP_NOP,
    OP_READV,
    OP_WRITEV,
    OP_FSYNC,
    OP_READ_FIXED,
    OP_WRITE_FIXED,
    OP_POLL_ADD,
    OP_POLL_REMOVE,
    OP_SYNC_FILE_RANGE,
    OP_SENDMSG,
    OP_RECVMSG,
    OP_TIMEOUT,
    OP_TIMEOUT_REMOVE,
    OP_ACCEPT,
    OP_ASYNC_CANCEL,
    OP_LINK_TIMEOUT,
    OP_CONNECT,
    OP_FALLOCATE,
    OP_OPENAT,
    OP_CLOSE,
    OP_FILES_UPDATE,
    OP_STATX,
    OP_READ,
    OP_WRITE,
    OP_FADVISE,
    OP_MADVISE,
    OP_SEND,
    OP_RECV,
    OP_OPENAT2,
    OP_EPOLL_CTL,
    OP_SPLICE,
    OP_PROVIDE_BUFFERS,
    OP_REMOVE_BUFFERS,
    OP_TEE,
    OP_SHUTDOWN,
    OP_RENAMEAT,
    OP_UNLINKAT,
    OP_MKDIRAT,
    OP_SYMLINKAT,
    OP_LINKAT,
    OP_MSG_RING,
    OP_FSETXATTR,
    OP_SETXATTR,
    OP_FGETXATTR,
    OP_GETXATTR,
    OP_SOCKET,
    OP_URING_CMD,
    OP_SEND_ZC,
    OP_SENDMSG_ZC,
    OP_READ_MULTISHOT,
    OP_WAITID,
    OP_FUTEX_WAIT,
    OP_FUTEX_WAKE,
    OP_FUTEX_WAITV,
    OP_FIXED_FD_INSTALL,
    OP_FTRUNCATE,
    OP_BIND,
    OP_LISTEN,
    OP_RECV_ZC,
    OP_EPOLL_WAIT,
    OP_READV_FIXED,
    OP_WRITEV_FIXED,
    OP_PIPE,
    OP_NOP128,
    OP_URING_CMD128,
    OP_LAST
};
/* register opcodes */
enum {
    RG_BUFFERS,
    RG_UNREG_BUFFERS,
    RG_FILES,
    RG_UNREG_FILES,
    RG_EVENTFD,
    RG_UNREG_EVENTFD,
    RG_FILES_UPDATE,
    RG_EVENTFD_ASYNC,
    RG_PROBE,
    RG_PERSONALITY,
    RG_UNREG_PERSONALITY,
    RG_RESTRICTIONS,
    RG_ENABLE_RINGS,
    RG_FILES2,
    RG_FILES_UPDATE2,
    RG_BUFFERS2,
    RG_BUFFERS_UPDATE,
    RG_IOWQ_AFF,
    RG_UNREG_IOWQ_AFF,
    RG_IOWQ_MAX_WORKERS,
    RG_RING_FDS,
    RG_UNREG_RING_FDS,
    RG_PBUF_RING,
    RG_UNREG_PBUF_RING,
    RG_SYNC_CANCEL,
    RG_FILE_ALLOC_RANGE,
    RG_PBUF_STATUS,
    RG_NAPI,
    RG_UNREG_NAPI,
    RG_CLOCK,
    RG_CLONE_BUFFERS,
    RG_SEND_MSG_RING,
    RG_ZCRX_IFQ,
    RG_RESIZE_RINGS,
    RG_MEM_REGION,
    RG_QUERY,
    RG_ZCRX_CTRL,
    RG_BPF_FILTER
};

static inline long ur_setup(unsigned n, struct ur_params *p)
{
    long r = syscall(425, n, p);
    return r < 0 ? -errno : r;
}
static inline long ur_enter(int fd, unsigned sub, unsigned min, unsigned fl, const void *arg, size_t sz)
{
    long r = syscall(426, fd, sub, min, fl, arg, sz);
    return r < 0 ? -errno : r;
}
static inline long ur_register(int fd, unsigned op, const void *arg, unsigned n)
{
    long r = syscall(427, fd, op, arg, n);
    return r < 0 ? -errno : r;
}

struct ur {
    int fd; /* fd (or registered index if reg) used with enter */
    int realfd;
    unsigned eflags; /* UE_REGRING when the ring fd is registered */
    uint32_t flags, features;
    _Atomic uint32_t *sq_head, *sq_tail, *sq_flags, *cq_head, *cq_tail, *cq_overflow, *sq_dropped;
    uint32_t sq_mask, cq_mask, sq_n, cq_n, *sq_array;
    struct ur_sqe *sqes;
    struct ur_cqe *cqes;
    uint32_t tail; /* local SQ tail */
    uint32_t sub;  /* SQEs already told to the kernel */
    void *ring_mem, *sqe_mem;
    size_t ring_sz, sqe_sz;
    unsigned sqshift, cqshift;
};

static inline void die(const char *m, long e)
{
    fprintf(stderr, "%s: %s\n", m, strerror((int)(e < 0 ? -e : e)));
    exit(1);
}

static inline int ur_map(struct ur *r, const struct ur_params *p)
{
    r->sqshift = !!(p->flags & UR_SQE128);
    r->cqshift = !!(p->flags & UR_CQE32);
    size_t sqsz = (p->flags & UR_NO_SQARRAY) ? 0 : p->sq.array + p->sq_entries * 4;
    size_t cqsz = p->cq.cqes + ((size_t)p->cq_entries * sizeof(struct ur_cqe) << r->cqshift);
    r->ring_sz = sqsz > cqsz ? sqsz : cqsz;
    r->sqe_sz = (size_t)p->sq_entries * 64 << r->sqshift;
    if (!(p->flags & UR_NO_MMAP)) {
        r->ring_mem = mmap(0, r->ring_sz, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r->realfd, 0);
        if (r->ring_mem == MAP_FAILED) return -errno;
        r->sqe_mem =
            mmap(0, r->sqe_sz, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r->realfd, 0x10000000);
        if (r->sqe_mem == MAP_FAILED) return -errno;
    }
    char *m = r->ring_mem;
    r->sqes = r->sqe_mem;
    r->sq_head = (void *)(m + p->sq.head);
    r->sq_tail = (void *)(m + p->sq.tail);
    r->sq_flags = (void *)(m + p->sq.flags);
    r->sq_dropped = (void *)(m + p->sq.dropped);
    r->cq_head = (void *)(m + p->cq.head);
    r->cq_tail = (void *)(m + p->cq.tail);
    r->cq_overflow = (void *)(m + p->cq.overflow);
    r->cqes = (void *)(m + p->cq.cqes);
    r->sq_n = p->sq_entries;
    r->cq_n = p->cq_entries;
    r->sq_mask = r->sq_n - 1;
    r->cq_mask = r->cq_n - 1;
    r->sq_array = (p->flags & UR_NO_SQARRAY) ? NULL : (uint32_t *)(m + p->sq.array);
    if (r->sq_array)
        for (uint32_t i = 0; i < r->sq_n; i++) r->sq_array[i] = i;
    r->flags = p->flags;
    r->features = p->features;
    r->tail = r->sub = atomic_load(r->sq_tail);
    return 0;
}

/* returns 0 or -errno */
static inline int ur_open_p(struct ur *r, unsigned n, struct ur_params *p)
{
    memset(r, 0, sizeof *r);
    long fd = ur_setup(n, p);
    if (fd < 0) return (int)fd;
    r->fd = r->realfd = (int)fd;
    return ur_map(r, p);
}
static inline int ur_open(struct ur *r, unsigned n, unsigned flags, unsigned cq)
{
    struct ur_params p;
    memset(&p, 0, sizeof p);
    p.flags = flags;
    if (cq) {
        p.flags |= UR_CQSIZE;
        p.cq_entries = cq;
    }
    if (flags & UR_SQPOLL) p.sq_thread_idle = 1000;
    return ur_open_p(r, n, &p);
}
static inline void ur_close(struct ur *r)
{
    if (r->eflags & UE_REGRING) { /* a thread has 16 places for registered rings */
        struct {
            uint32_t offset, resv;
            uint64_t data;
        } u = {(uint32_t)r->fd, 0, 0};
        ur_register(r->realfd, RG_UNREG_RING_FDS, &u, 1);
    }
    if (r->ring_mem && !(r->flags & UR_NO_MMAP)) {
        munmap(r->ring_mem, r->ring_sz);
        munmap(r->sqe_mem, r->sqe_sz);
    }
    close(r->realfd);
}
/* register the ring fd so that io_uring_enter skips fget/fput */
static inline int ur_regfd(struct ur *r)
{
    struct {
        uint32_t offset, resv;
        uint64_t data;
    } u = {~0u, 0, (uint64_t)r->realfd};
    long x = ur_register(r->realfd, RG_RING_FDS, &u, 1);
    if (x != 1) return (int)x;
    r->fd = (int)u.offset;
    r->eflags = UE_REGRING;
    return 0;
}
static inline struct ur_sqe *ur_sqe(struct ur *r)
{
    if (r->tail - atomic_load_explicit(r->sq_head, memory_order_acquire) >= r->sq_n) return NULL;
    struct ur_sqe *s = &r->sqes[(r->tail++ & r->sq_mask) << r->sqshift];
    memset(s, 0, (size_t)64 << r->sqshift);
    return s;
}
/* publish local SQEs; returns how many the kernel has not been told about */
static inline unsigned ur_flush(struct ur *r)
{
    atomic_store_explicit(r->sq_tail, r->tail, memory_order_release);
    unsigned n = r->tail - r->sub;
    r->sub = r->tail;
    return n;
}
static inline long ur_submit_wait(struct ur *r, unsigned wait)
{
    unsigned n = ur_flush(r), fl = r->eflags | (wait ? UE_GETEVENTS : 0);
    if (r->flags & UR_SQPOLL) {
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_load_explicit(r->sq_flags, memory_order_relaxed) & 1)
            fl |= UE_SQ_WAKEUP;
        else if (!wait)
            return n;
    }
    return ur_enter(r->fd, n, wait, fl, NULL, 0);
}
static inline struct ur_cqe *ur_peek(struct ur *r)
{
    uint32_t h = atomic_load_explicit(r->cq_head, memory_order_relaxed);
    if (h == atomic_load_explicit(r->cq_tail, memory_order_acquire)) return NULL;
    return &r->cqes[(h & r->cq_mask) << r->cqshift];
}
static inline unsigned ur_ready(struct ur *r)
{
    return atomic_load_explicit(r->cq_tail, memory_order_acquire) -
           atomic_load_explicit(r->cq_head, memory_order_relaxed);
}
static inline void ur_seen(struct ur *r, unsigned n)
{
    atomic_store_explicit(r->cq_head, atomic_load_explicit(r->cq_head, memory_order_relaxed) + n,
                          memory_order_release);
}

static inline uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + t.tv_nsec;
}
static inline uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + t.tv_nsec;
}
static int ur_cmpd(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static inline double ur_median(double *v, int n)
{
    qsort(v, n, sizeof *v, ur_cmpd);
    return n & 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}
#define U64(p) ((uint64_t)(uintptr_t)(p))
#endif
