//! Files: reading, writing, syncing.

use super::*;
use crate::py::keep::Access::{Destination, Source};

builders! {
    /// Read from a file into a buffer.
    ///
    /// Args:
    ///     file: a descriptor, or an object with fileno().
    ///     buf: writable C-contiguous buffer, up to 4 GiB - 1 bytes. Never copied. None with a
    ///         pool.
    ///     offset: where in the file; -1 is its own position (needed for pipes and sockets).
    ///     nbytes: read at most so many (default: as many as `buf` has).
    ///     rw_flags: RWF_* flags of os.preadv.
    ///     ioprio: I/O priority, ioprio_set(2).
    ///     pool: a BufferRing or ProvidedBuffers: the kernel chooses a buffer, and
    ///         `Completion.buffer` is what was read.
    ///
    /// Kernel: 5.6.
    /// Memory: `buf` is locked until the completion.
    /// Result: bytes read, perhaps fewer than asked for; 0 at the end of the file.
    /// Source: io_uring_prep_read(3).
    fn prep_read / read(file: Any<'_, '_>, buf: Option<Any<'_, '_>>, offset: i64,
        nbytes: Option<i64>, rw_flags: u32, ioprio: u16, pool: Option<Any<'_, '_>>)
        [file, buf = None, offset = -1, nbytes = None,] [rw_flags = 0, ioprio = 0, pool = None,]
        = |keep| match provided::either(buf, pool)? {
            Ok(buf) => {
                build::rw(keep, Destination, file, buf, offset, nbytes, rw(rw_flags, ioprio))
            }
            Err(pool) => {
                provided::read(keep, file, pool, offset, nbytes, rw(rw_flags, ioprio))
            }
        };

    /// Write a buffer to a file.
    ///
    /// Args:
    ///     file: a descriptor, or an object with fileno().
    ///     buf: any bytes-like object, up to 4 GiB - 1 bytes. Never copied.
    ///     offset: where in the file; -1 is its own position (needed for pipes and sockets).
    ///     nbytes: write only so many (default: all).
    ///     rw_flags: RWF_* flags of os.pwritev.
    ///     ioprio: I/O priority, ioprio_set(2).
    ///
    /// Kernel: 5.6.
    /// Memory: `buf` is locked until the completion; what is changed before then may be written.
    /// Result: bytes written, perhaps fewer than asked for.
    /// Source: io_uring_prep_write(3).
    fn prep_write / write(file: Any<'_, '_>, buf: Any<'_, '_>, offset: i64, nbytes: Option<i64>,
        rw_flags: u32, ioprio: u16)
        [file, buf, offset = -1, nbytes = None,] [rw_flags = 0, ioprio = 0,]
        = |keep| build::rw(keep, Source, file, buf, offset, nbytes, rw(rw_flags, ioprio));

    /// Read from a file into several buffers, in order.
    ///
    /// Args: as for prep_read; `bufs` is an iterable of at most 1024 writable buffers.
    ///
    /// Kernel: 5.1.
    /// Memory: all of `bufs` are locked until the completion.
    /// Result: bytes read in all, perhaps fewer than asked for.
    /// Source: io_uring_prep_readv2(3).
    fn prep_readv / readv(file: Any<'_, '_>, bufs: Any<'_, '_>, offset: i64, rw_flags: u32,
        ioprio: u16)
        [file, bufs, offset = -1,] [rw_flags = 0, ioprio = 0,]
        = |keep| build::rwv(keep, Destination, file, bufs, offset, rw(rw_flags, ioprio));

    /// Write several buffers to a file, in order.
    ///
    /// Args: as for prep_write; `bufs` is an iterable of at most 1024 bytes-like objects.
    ///
    /// Kernel: 5.1.
    /// Memory: all of `bufs` are locked until the completion.
    /// Result: bytes written in all, perhaps fewer than asked for.
    /// Source: io_uring_prep_writev2(3).
    fn prep_writev / writev(file: Any<'_, '_>, bufs: Any<'_, '_>, offset: i64, rw_flags: u32,
        ioprio: u16)
        [file, bufs, offset = -1,] [rw_flags = 0, ioprio = 0,]
        = |keep| build::rwv(keep, Source, file, bufs, offset, rw(rw_flags, ioprio));

    /// Read from a file into a registered buffer.
    ///
    /// Args:
    ///     buf: a RegisteredBuffer, or a FixedBuffer of this ring's pool.
    ///     nbytes: read at most so many bytes (default: to the end of `buf`).
    ///     start: from this byte of `buf` on.
    ///     file, offset, rw_flags, ioprio: as for prep_read.
    ///
    /// Raises:
    ///     TypeError: `buf` is not from a pool.
    ///
    /// Kernel: 5.1.
    /// Memory: the buffer cannot be given back to its pool before the completion.
    /// Result: bytes read, perhaps fewer than asked for; 0 at the end of the file.
    /// Source: io_uring_prep_read_fixed(3).
    fn prep_read_fixed / read_fixed(file: Any<'_, '_>, buf: Any<'_, '_>, offset: i64,
        nbytes: Option<i64>, start: i64, rw_flags: u32, ioprio: u16)
        [file, buf, offset = -1, nbytes = None,] [start = 0, rw_flags = 0, ioprio = 0,]
        = |keep| build::rw_fixed(keep, Destination, file, buf, offset, nbytes, start,
            rw(rw_flags, ioprio));

    /// Write a registered buffer to a file.
    ///
    /// Args: as for prep_read_fixed.
    ///
    /// Kernel: 5.1.
    /// Memory: the buffer cannot be given back to its pool before the completion.
    /// Result: bytes written, perhaps fewer than asked for.
    /// Source: io_uring_prep_write_fixed(3).
    fn prep_write_fixed / write_fixed(file: Any<'_, '_>, buf: Any<'_, '_>, offset: i64,
        nbytes: Option<i64>, start: i64, rw_flags: u32, ioprio: u16)
        [file, buf, offset = -1, nbytes = None,] [start = 0, rw_flags = 0, ioprio = 0,]
        = |keep| build::rw_fixed(keep, Source, file, buf, offset, nbytes, start,
            rw(rw_flags, ioprio));

    /// Bring a file's data and metadata to the disk.
    ///
    /// Args:
    ///     datasync: only the metadata needed to read the data back, as os.fdatasync.
    ///     offset, nbytes: only this range (0 bytes: to the end).
    ///
    /// It orders nothing by itself: link or drain it behind the writes it is to cover.
    ///
    /// Kernel: 5.1.
    /// Memory: none.
    /// Result: 0.
    /// Source: io_uring_prep_fsync(3).
    fn prep_fsync / fsync(file: Any<'_, '_>, datasync: bool, offset: i64, nbytes: i64)
        [file,] [datasync = false, offset = 0, nbytes = 0,]
        = |keep| build::fsync(keep, file, datasync, offset, nbytes);

    /// Bring a file's data to the disk: prep_fsync with datasync.
    ///
    /// Kernel: 5.1.
    /// Memory: none.
    /// Result: 0.
    /// Source: io_uring_prep_fsync(3).
    fn prep_fdatasync / fdatasync(file: Any<'_, '_>)
        [file,] []
        = |keep| build::fsync(keep, file, true, 0, 0);

    /// Start or await the writing out of a range of a file; no guarantee against power loss.
    ///
    /// Args:
    ///     offset, nbytes: the range (0 bytes: to the end).
    ///     sync_flags: SyncFileRangeFlags (default: wait, write, wait).
    ///
    /// Kernel: 5.2.
    /// Memory: none.
    /// Result: 0.
    /// Source: io_uring_prep_sync_file_range(3).
    fn prep_sync_file_range / sync_file_range(file: Any<'_, '_>, offset: i64, nbytes: i64,
        sync_flags: u32)
        [file, offset = 0, nbytes = 0, sync_flags = 7,] []
        = |keep| build::sync_file_range(keep, file, offset, nbytes, sync_flags);
}
