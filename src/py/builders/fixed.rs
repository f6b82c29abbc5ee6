//! Reads and writes of several parts of one registered buffer.

use super::*;
use crate::py::keep::Access::{Destination, Source};

builders! {
    /// Read from a file into several parts of one registered buffer, in order.
    ///
    /// Args:
    ///     buf: a RegisteredBuffer, or a FixedBuffer of this ring's pool.
    ///     parts: an iterable of at most 1024 (start, nbytes) pairs within it.
    ///     file, offset, rw_flags, ioprio: as for prep_read.
    ///
    /// Kernel: 6.15.
    /// Memory: the buffer is held until the completion.
    /// Result: bytes read in all, perhaps fewer than asked for; 0 at the end of the file.
    /// Source: io_uring_prep_readv_fixed(3).
    fn prep_readv_fixed / readv_fixed(file: Any<'_, '_>, buf: Any<'_, '_>, parts: Any<'_, '_>,
        offset: i64, rw_flags: u32, ioprio: u16)
        [file, buf, parts, offset = -1,] [rw_flags = 0, ioprio = 0,]
        = |keep| build::rwv_fixed(keep, Destination, file, buf, parts, offset,
            rw(rw_flags, ioprio));

    /// Write several parts of one registered buffer to a file, in order.
    ///
    /// Args: as for prep_readv_fixed.
    ///
    /// Kernel: 6.15.
    /// Memory: the buffer is held until the completion; what is changed before then may be written.
    /// Result: bytes written in all, perhaps fewer than asked for.
    /// Source: io_uring_prep_writev_fixed(3).
    fn prep_writev_fixed / writev_fixed(file: Any<'_, '_>, buf: Any<'_, '_>, parts: Any<'_, '_>,
        offset: i64, rw_flags: u32, ioprio: u16)
        [file, buf, parts, offset = -1,] [rw_flags = 0, ioprio = 0,]
        = |keep| build::rwv_fixed(keep, Source, file, buf, parts, offset, rw(rw_flags, ioprio));
}
