//! Timeouts.

use super::*;

builders! {
    /// Complete when time has passed, or after other requests have completed.
    ///
    /// Args:
    ///     seconds: from now; with `absolute` the clock's time.
    ///     ns: the same in nanoseconds, in place of `seconds`.
    ///     count: complete earlier, with result 0, after so many other completions (0: never); with
    ///         `multishot`, so many times (0: until cancelled).
    ///     clock: 'monotonic', 'boottime' or 'realtime' (the latter two: Linux 5.15).
    ///     etime_success: running out does not break a link (Linux 5.16).
    ///     multishot: again and again, `seconds` apart, each time a completion of -ETIME with `more`
    ///         set until the last (Linux 6.4). Not with `absolute`.
    ///
    /// Kernel: 5.4.
    /// Memory: none of yours.
    /// Result: -ETIME when the time is up, 0 by count, -ECANCELED.
    /// Source: io_uring_prep_timeout(3).
    fn prep_timeout / timeout(seconds: Option<Any<'_, '_>>,
        ns: Option<Any<'_, '_>>, count: i64, absolute: bool, clock: &str, etime_success: bool,
        multishot: bool)
        [seconds = None,] [ns = None, count = 0, absolute = false, clock = "monotonic",
        etime_success = false, multishot = false,]
        = |keep| build::timeout_(keep, convert::time(seconds, ns, absolute, clock, etime_success)?,
            count, multishot);

    /// End a timeout, which then completes with ECANCELED.
    ///
    /// Kernel: 5.5.
    /// Memory: none.
    /// Result: 0, -ENOENT or -EALREADY.
    /// Source: io_uring_prep_timeout_remove(3).
    fn prep_timeout_remove / timeout_remove(request: Any<'_, '_>)
        [request,] []
        = |keep| build::timeout_remove(keep, request);

    /// Give a timeout or link timeout a new time, on the clock it was made with.
    ///
    /// Args: as for prep_timeout.
    ///
    /// Kernel: 5.11; for link timeouts 5.15.
    /// Memory: none of yours.
    /// Result: 0, -ENOENT or -EALREADY.
    /// Source: io_uring_prep_timeout_update(3).
    fn prep_timeout_update / timeout_update(request: Any<'_, '_>, seconds: Option<Any<'_, '_>>,
        ns: Option<Any<'_, '_>>, absolute: bool)
        [request, seconds = None,] [ns = None, absolute = false,]
        = |keep| build::timeout_update(keep, request,
            convert::time(seconds, ns, absolute, "monotonic", false)?);

    /// Limit the time of the request staged just before, which must have SqeFlags.IO_LINK.
    ///
    /// Args: as for prep_timeout.
    ///
    /// Kernel: 5.5.
    /// Memory: none of yours.
    /// Result: -ETIME when it ran out and the request was cancelled, -ECANCELED when the request
    ///     was done in time. For a futex or a child that is waited for, the kernel says 1 in place of
    ///     -ETIME.
    /// Source: io_uring_prep_link_timeout(3).
    fn prep_link_timeout / link_timeout(seconds: Option<Any<'_, '_>>,
        ns: Option<Any<'_, '_>>, absolute: bool, clock: &str, etime_success: bool)
        [seconds = None,] [ns = None, absolute = false, clock = "monotonic", etime_success = false,]
        = |keep| build::link_timeout(keep,
            convert::time(seconds, ns, absolute, clock, etime_success)?);
}
