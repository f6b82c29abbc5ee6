//! Readiness: poll requests and epoll sets.

use super::*;

builders! {
    /// Wait until a file is ready.
    ///
    /// Args:
    ///     events: select.POLLIN, POLLOUT, ... or-ed together.
    ///     multishot: report again and again, with `more` set, until cancelled (Linux 5.13).
    ///
    /// Kernel: 5.1.
    /// Memory: none.
    /// Result: the events that are ready.
    /// Source: io_uring_prep_poll_add(3), io_uring_prep_poll_multishot(3).
    fn prep_poll_add / poll_add(file: Any<'_, '_>, events: u32, multishot: bool)
        [file, events,] [multishot = false,]
        = |keep| build::poll_add(keep, file, events, multishot);

    /// End a poll request, which then completes with ECANCELED.
    ///
    /// Kernel: 5.1.
    /// Memory: none.
    /// Result: 0, -ENOENT (no such request any more) or -EALREADY (just completing).
    /// Source: io_uring_prep_poll_remove(3).
    fn prep_poll_remove / poll_remove(request: Any<'_, '_>)
        [request,] []
        = |keep| build::poll_remove(keep, request);

    /// Change the events of a poll request. A multishot one stays that.
    ///
    /// Args:
    ///     events: the new ones.
    ///
    /// Kernel: 5.13.
    /// Memory: none.
    /// Result: 0, -ENOENT or -EALREADY.
    /// Source: io_uring_prep_poll_update(3).
    fn prep_poll_update / poll_update(request: Any<'_, '_>, events: u32)
        [request, events,] []
        = |keep| build::poll_update(keep, request, events);

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
