//! Asking for what is known of a file.

use super::*;
use crate::py::build::stat;

builders! {
    /// Ask for what is known of a file.
    ///
    /// Args:
    ///     path: str, bytes or os.PathLike; or an open file, as a descriptor or an object with
    ///         fileno(), which stays open until the completion.
    ///     statx_flags: AtFlags: NO_AUTOMOUNT, STATX_FORCE_SYNC, STATX_DONT_SYNC; EMPTY_PATH: an
    ///         empty path means `dir_fd` itself.
    ///     mask: StatxMask: what is wanted (default: all of stat(2), and the time of creation). The
    ///         answer may have more, or less.
    ///     dir_fd: a directory that a relative path starts from; open until the completion.
    ///     follow_symlinks: False for what is known of the link itself.
    ///
    /// Raises:
    ///     ValueError: unknown bits, or a `dir_fd` beside an open file.
    ///
    /// `Completion.value` is a StatxResult: the attributes of os.stat_result, and more.
    ///
    /// Kernel: 5.6.
    /// Memory: the path is copied; the answer is written into memory of ours.
    /// Result: 0.
    /// Source: io_uring_prep_statx(3).
    fn prep_statx / statx(path: Any<'_, '_>, statx_flags: u32, mask: u32,
        dir_fd: Option<Any<'_, '_>>, follow_symlinks: bool)
        [path, statx_flags = 0, mask = 0xfff,] [dir_fd = None, follow_symlinks = true,]
        = |keep| stat::statx(keep, path, statx_flags, mask, dir_fd, follow_symlinks);
}
