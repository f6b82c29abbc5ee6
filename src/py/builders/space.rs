//! The space that files and memory take: allocating, cutting, advice.

use super::*;
use crate::py::build::space;

builders! {
    /// Allocate, free or shift a range of a file.
    ///
    /// Args:
    ///     offset, nbytes: the range.
    ///     mode: FallocateFlags (default: allocate, and let the file grow).
    ///
    /// Raises:
    ///     ValueError: a negative offset, no bytes, or bits that are none of FallocateFlags.
    ///
    /// Kernel: 5.6.
    /// Memory: none.
    /// Result: 0; -EOPNOTSUPP where the file system does not do it.
    /// Source: io_uring_prep_fallocate(3).
    fn prep_fallocate / fallocate(file: Any<'_, '_>, offset: i64, nbytes: i64, mode: u32)
        [file, offset, nbytes, mode = 0,] []
        = |keep| space::fallocate(keep, file, offset, nbytes, mode);

    /// Make a file just so long, with zeroes for what it had not.
    ///
    /// Kernel: 6.9.
    /// Memory: none.
    /// Result: 0.
    /// Source: io_uring_prep_ftruncate(3).
    fn prep_ftruncate / ftruncate(file: Any<'_, '_>, length: i64)
        [file, length,] []
        = |keep| space::ftruncate(keep, file, length);

    /// Say how a range of a file will be used.
    ///
    /// Args:
    ///     offset, nbytes: the range (0 bytes: to the end). Before Linux 6.10 at most 4 GiB - 1.
    ///     advice: one of os.POSIX_FADV_*.
    ///
    /// Raises:
    ///     ValueError: an advice there is not, or a negative number.
    ///
    /// Kernel: 5.6.
    /// Memory: none.
    /// Result: 0.
    /// Source: io_uring_prep_fadvise(3).
    fn prep_fadvise / fadvise(file: Any<'_, '_>, offset: i64, nbytes: i64, advice: i64)
        [file, offset, nbytes, advice,] []
        = |keep| space::fadvise(keep, file, offset, nbytes, advice);

    /// Say how memory will be used.
    ///
    /// Args:
    ///     buf: any buffer whose memory begins on a page, best an mmap.mmap.
    ///     advice: one of mmap.MADV_*, or MadviseAdvice for those that `mmap` has no name for.
    ///     start, nbytes: only this part, of whole pages (default: to the end).
    ///
    /// Raises:
    ///     TypeError: the advice loses what memory holds (DONTNEED, FREE, REMOVE, WIPEONFORK, ...),
    ///         and `buf` is not an mmap.mmap: an object's neighbours could be on the same page.
    ///     ValueError: the part is not of whole pages; the advice does not exist, or it would make
    ///         touching the memory a crash (DONTFORK, HWPOISON, ...).
    ///
    /// Kernel: 5.6.
    /// Memory: `buf` is locked until the completion.
    /// Result: 0.
    /// Source: io_uring_prep_madvise(3).
    fn prep_madvise / madvise(buf: Any<'_, '_>, advice: i64, start: i64, nbytes: Option<i64>)
        [buf, advice, start = 0, nbytes = None,] []
        = |keep| space::madvise(keep, buf, advice, start, nbytes);
}
