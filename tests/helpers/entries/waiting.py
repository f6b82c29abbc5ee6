"""Cases: readiness, time, cancelling, futexes, children, other rings."""

READINESS = [
    ("Sqe.poll_add(5, 1)", "io_uring_prep_poll_add(sqe, 5, 1)"),
    (
        "Sqe.poll_add(5, 1 << 31, multishot=True)",
        "io_uring_prep_poll_multishot(sqe, 5, 1U << 31)",
    ),
    (
        "Sqe.poll_add(5, 1, level=True)",
        "io_uring_prep_poll_add(sqe, 5, 1); sqe->len = IORING_POLL_ADD_LEVEL",
    ),
    ("Sqe.poll_remove(TIMEOUT)", "io_uring_prep_poll_remove(sqe, TIMEOUT)"),
    (
        "Sqe.poll_update(TIMEOUT, 5)",
        "io_uring_prep_poll_update(sqe, TIMEOUT, 0, 5, IORING_POLL_UPDATE_EVENTS)",
    ),
    (
        "Sqe.epoll_ctl(5, EpollOp.MOD, 6, 1)",
        "struct epoll_event event = {.events = 1, .data.u64 = 6}; "
        "io_uring_prep_epoll_ctl(sqe, 5, 6, EPOLL_CTL_MOD, &event); "
        "COPY(addr, &event, sizeof(event))",
    ),
    (
        "Sqe.epoll_ctl(5, EpollOp.ADD, 6, 1 << 31, 1 << 63)",
        "struct epoll_event event = {.events = 1U << 31, .data.u64 = 1ULL << 63}; "
        "io_uring_prep_epoll_ctl(sqe, 5, 6, EPOLL_CTL_ADD, &event); "
        "COPY(addr, &event, sizeof(event))",
    ),
    ("Sqe.epoll_wait(5, 8)", "io_uring_prep_epoll_wait(sqe, 5, events, 8, 0); ROOM(addr)"),
]

_SHORT = "COPY(addr, &short_time, sizeof(short_time))"

TIME = [
    ("Sqe.timeout(0.25)", f"io_uring_prep_timeout(sqe, &short_time, 0, 0); {_SHORT}"),
    (
        "Sqe.timeout(1, count=3, absolute=True)",
        "io_uring_prep_timeout(sqe, &second, 3, IORING_TIMEOUT_ABS); "
        "COPY(addr, &second, sizeof(second))",
    ),
    (
        'Sqe.timeout(0.25, clock="boottime")',
        f"io_uring_prep_timeout(sqe, &short_time, 0, IORING_TIMEOUT_BOOTTIME); {_SHORT}",
    ),
    (
        'Sqe.timeout(0.25, clock="realtime", etime_success=True)',
        "io_uring_prep_timeout(sqe, &short_time, 0, "
        f"IORING_TIMEOUT_REALTIME | IORING_TIMEOUT_ETIME_SUCCESS); {_SHORT}",
    ),
    (
        "Sqe.timeout(0.25, multishot=True)",
        f"io_uring_prep_timeout(sqe, &short_time, 0, IORING_TIMEOUT_MULTISHOT); {_SHORT}",
    ),
    (
        'Sqe.link_timeout(0.25, absolute=True, clock="boottime", etime_success=True)',
        "io_uring_prep_link_timeout(sqe, &short_time, IORING_TIMEOUT_ABS | "
        f"IORING_TIMEOUT_BOOTTIME | IORING_TIMEOUT_ETIME_SUCCESS); {_SHORT}",
    ),
    ("Sqe.timeout_remove(TIMEOUT)", "io_uring_prep_timeout_remove(sqe, TIMEOUT, 0)"),
    (
        "Sqe.timeout_update(TIMEOUT, 0.25, absolute=True)",
        "io_uring_prep_timeout_update(sqe, &short_time, TIMEOUT, IORING_TIMEOUT_ABS); "
        "COPY(off, &short_time, sizeof(short_time))",
    ),
    (
        "Sqe.timeout_update(LIMIT, 0.25)",
        "io_uring_prep_timeout_update(sqe, &short_time, LIMIT, IORING_LINK_TIMEOUT_UPDATE); "
        "COPY(off, &short_time, sizeof(short_time))",
    ),
]

CANCEL = [
    ("Sqe.cancel(TIMEOUT)", "io_uring_prep_cancel64(sqe, TIMEOUT, 0)"),
    ("Sqe.cancel_fd(5)", "io_uring_prep_cancel_fd(sqe, 5, 0)"),
    ("Sqe.cancel_fd(5, all=True)", "io_uring_prep_cancel_fd(sqe, 5, IORING_ASYNC_CANCEL_ALL)"),
    (
        "Sqe.cancel_all()",
        "io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL)",
    ),
    (
        'Sqe.cancel_op("READ")',
        "io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_OP); sqe->len = IORING_OP_READ",
    ),
    (
        "Sqe.cancel_op(Op.RECV, file=5, all=True)",
        "io_uring_prep_cancel_fd(sqe, 5, IORING_ASYNC_CANCEL_OP | IORING_ASYNC_CANCEL_ALL); "
        "sqe->len = IORING_OP_RECV",
    ),
]

PROCESSES = [
    (
        "Sqe.waitid(1, 77, 4)",
        "io_uring_prep_waitid(sqe, P_PID, 77, &child, WEXITED, 0); ROOM(off)",
    ),
    (
        "Sqe.futex_wait(BUF, 7, 8, mask=15)",
        "io_uring_prep_futex_wait(sqe, BUF + 8, 7, 15, FUTEX2_SIZE_U32 | FUTEX2_PRIVATE, 0)",
    ),
    (
        "Sqe.futex_wait(BUF, 7, shared=True)",
        "io_uring_prep_futex_wait(sqe, BUF, 7, 0xffffffff, FUTEX2_SIZE_U32, 0)",
    ),
    (
        "Sqe.futex_wake(BUF, 7, 8)",
        "io_uring_prep_futex_wake(sqe, BUF + 8, 7, ~0U, FUTEX2_SIZE_U32 | FUTEX2_PRIVATE, 0)",
    ),
    (
        "Sqe.futex_waitv([(BUF, 7, 8), (BUF2, 9)])",
        "struct futex_waitv words[] = {"
        "{7, (unsigned long)(BUF + 8), FUTEX2_SIZE_U32 | FUTEX2_PRIVATE}, "
        "{9, (unsigned long)BUF2, FUTEX2_SIZE_U32 | FUTEX2_PRIVATE}}; "
        "io_uring_prep_futex_waitv(sqe, words, 2, 0); COPY(addr, words, sizeof(words))",
    ),
]

# A message's number is in the upper 56 bits of the key: the lower 8 say that it is one.
_MESSAGE = "(9ULL << 8 | MESSAGE_KIND)"

MESSAGES = [
    ("Sqe.msg_ring(5, 3, 9)", f"io_uring_prep_msg_ring(sqe, 5, 3, {_MESSAGE}, 0)"),
    ("Sqe.msg_ring(5, -3, 9)", f"io_uring_prep_msg_ring(sqe, 5, -3, {_MESSAGE}, 0)"),
    (
        "Sqe.msg_ring(5, 3, 9, cqe_flags=4)",
        f"io_uring_prep_msg_ring_cqe_flags(sqe, 5, 3, {_MESSAGE}, 0, 4)",
    ),
]
