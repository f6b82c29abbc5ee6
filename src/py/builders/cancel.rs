//! Cancelling.

use super::*;
use crate::ops::cancel;

builders! {
    /// Cancel a request. It still completes: with ECANCELED, or as if nothing had happened.
    ///
    /// `Ring.find(user_data)` has the requests that carry an object.
    ///
    /// Kernel: 5.5.
    /// Memory: none.
    /// Result: 0, -ENOENT (no such request any more) or -EALREADY (too late). For a futex or a
    ///     child that is waited for, the kernel says 1 for 0.
    /// Source: io_uring_prep_cancel(3).
    fn prep_cancel / cancel(request: Any<'_, '_>)
        [request,] []
        = |keep| build::cancel_request(keep, request);

    /// Cancel a request on a file, or all of them.
    ///
    /// Kernel: 5.19.
    /// Memory: none.
    /// Result: 0, or how many with `all`; -ENOENT or -EALREADY.
    /// Source: io_uring_prep_cancel_fd(3).
    fn prep_cancel_fd / cancel_fd(file: Any<'_, '_>, all: bool)
        [file,] [all = false,]
        = |keep| build::cancel_fd(keep, file, all);

    /// Cancel a request of one operation, or all of them.
    ///
    /// Args:
    ///     op: its name, such as 'READ', or its number.
    ///     file: only on this file.
    ///     all: not only the first that is found. Rows of batches count too.
    ///
    /// Raises:
    ///     ValueError: no such operation.
    ///
    /// Kernel: 6.6.
    /// Memory: none.
    /// Result: 0, or how many with `all`; -ENOENT or -EALREADY.
    /// Source: io_uring_prep_cancel(3).
    fn prep_cancel_op / cancel_op(op: Any<'_, '_>, file: Option<Any<'_, '_>>, all: bool)
        [op,] [file = None, all = false,]
        = |keep| build::cancel_op(keep, op, file, all);

    /// Cancel everything on this ring.
    ///
    /// Kernel: 5.19.
    /// Memory: none.
    /// Result: how many requests.
    /// Source: io_uring_prep_cancel(3).
    fn prep_cancel_all / cancel_all()
        [] []
        = |_keep| Ok(cancel::everything());
}
