//! Moving data between files and pipes within the kernel.

use super::*;
use crate::py::build::splice;

builders! {
    /// Move data from one file to another within the kernel; one of them is a pipe.
    ///
    /// Args:
    ///     src, dst: where from and where to. `src` must stay open until the completion.
    ///     nbytes: at most so many, up to 4 GiB - 1.
    ///     offset_src, offset_dst: where in the files; -1 is a file's own position, and what a
    ///         pipe needs.
    ///     splice_flags: SpliceFlags. SqeFlags.FIXED_FILE is about `dst`, SpliceFlags.FD_IN_FIXED
    ///         about `src`; for a DirectFile they are set.
    ///
    /// Raises:
    ///     ValueError: `splice_flags` has bits that are none of SpliceFlags.
    ///
    /// It takes a worker thread, and waits there on an empty or full pipe.
    ///
    /// Kernel: 5.7.
    /// Memory: none.
    /// Result: bytes moved, perhaps fewer than asked for; 0 at the end of `src`. Cancelled while it
    ///     waits: -512, a number of the kernel's own that `result()` raises as InterruptedError.
    /// Source: io_uring_prep_splice(3).
    fn prep_splice / splice(src: Any<'_, '_>, dst: Any<'_, '_>, nbytes: i64, offset_src: i64,
        offset_dst: i64, splice_flags: u32)
        [src, dst, nbytes, offset_src = -1, offset_dst = -1, splice_flags = 0,] []
        = |keep| splice::splice(keep, src, dst, nbytes, offset_src, offset_dst, splice_flags);

    /// Copy data from one pipe to another, and leave it in the first.
    ///
    /// Args:
    ///     src, dst, nbytes, splice_flags: as for prep_splice.
    ///
    /// Raises:
    ///     ValueError: `splice_flags` has bits that are none of SpliceFlags.
    ///
    /// Kernel: 5.8.
    /// Memory: none.
    /// Result: bytes copied, perhaps fewer than asked for; 0 at the end of `src`.
    /// Source: io_uring_prep_tee(3).
    fn prep_tee / tee(src: Any<'_, '_>, dst: Any<'_, '_>, nbytes: i64, splice_flags: u32)
        [src, dst, nbytes, splice_flags = 0,] []
        = |keep| splice::tee(keep, src, dst, nbytes, splice_flags);
}
