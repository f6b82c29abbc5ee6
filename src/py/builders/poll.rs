//! Readiness: poll requests and epoll sets.

use super::*;

builders! {
    /// Wait until a file is ready.
    ///
    /// Args:
    ///     events: select.POLLIN, POLLOUT, ... or-ed together.
    ///     multishot: report again and again, with `more` set, until cancelled (Linux 5.13). Each
    ///         report is of something that has happened, not of what is still so: edge-triggered.
    ///     level: ask for level-triggered reports instead. Kernels up to 6.18 have the flag
    ///         (IORING_POLL_ADD_LEVEL) and refuse it: -EINVAL.
    ///
    /// Kernel: 5.1.
    /// Memory: none.
    /// Result: the events that are ready.
    /// Source: io_uring_prep_poll_add(3), io_uring_prep_poll_multishot(3).
    fn prep_poll_add / poll_add(file: Any<'_, '_>, events: u32, multishot: bool, level: bool)
        [file, events,] [multishot = false, level = false,]
        = |keep| build::poll_add(keep, file, events, multishot, level);

    /// End a poll request, which then completes with ECANCELED.
    ///
    /// Kernel: 5.1.
    /// Memory: none.
    /// Result: 0, -ENOENT (no such request any more) or -EALREADY (just completing).
    /// Source: io_uring_prep_poll_remove(3).
    fn prep_poll_remove / poll_remove(request: Any<'_, '_>)
        [request,] []
        = |keep| build::poll_remove(keep, request);

    /// Change the events of a poll request. A multishot one stays that, and no other becomes one.
    ///
    /// Args:
    ///     events: the new ones.
    ///
    /// What its completions carry is changed by `Ring.set_user_data`, without the kernel.
    ///
    /// Kernel: 5.13.
    /// Memory: none.
    /// Result: 0, -ENOENT or -EALREADY.
    /// Source: io_uring_prep_poll_update(3).
    fn prep_poll_update / poll_update(request: Any<'_, '_>, events: u32)
        [request, events,] []
        = |keep| build::poll_update(keep, request, events);

    /// Wait until an epoll set has events.
    ///
    /// Args:
    ///     epfd: the epoll descriptor or object.
    ///     maxevents: report at most so many, 1 to 65536.
    ///
    /// `Completion.value` is a list of (data, events): what the file was added with, and what it is
    /// ready for. `prep_epoll_ctl` adds files with their descriptor as data; what select.epoll has
    /// added has the descriptor in the lower 32 bits, and anything in the others.
    ///
    /// Raises:
    ///     ValueError: `maxevents` is out of range.
    ///
    /// Kernel: 6.15.
    /// Memory: none of yours.
    /// Result: how many events.
    /// Source: io_uring_prep_epoll_wait(3), epoll_wait(2).
    fn prep_epoll_wait / epoll_wait(epfd: Any<'_, '_>, maxevents: i64)
        [epfd, maxevents = 64,] []
        = |keep| build::epoll_wait(keep, epfd, maxevents);

    /// Add a file to an epoll set, change its events, or take it out.
    ///
    /// Args:
    ///     epfd: the epoll descriptor or object.
    ///     op: EpollOp.ADD, MOD or DEL.
    ///     file: the file to watch.
    ///     events: select.EPOLLIN, ... or-ed together.
    ///     data: what epoll_wait reports for it (default: the descriptor).
    ///
    /// Kernel: 5.6.
    /// Memory: none of yours.
    /// Result: 0.
    /// Source: io_uring_prep_epoll_ctl(3).
    fn prep_epoll_ctl / epoll_ctl(epfd: Any<'_, '_>, op: i64, file: Any<'_, '_>, events: u32,
        data: Option<u64>)
        [epfd, op, file, events = 0, data = None,] []
        = |keep| build::epoll_ctl(keep, epfd, op, file, events, data);
}
