//! Paths and descriptors: opening, closing.

use super::*;

builders! {
    /// Open a file.
    ///
    /// Args:
    ///     path: str, bytes or os.PathLike.
    ///     open_flags: O_* flags of os.open; O_CLOEXEC is always added.
    ///     mode: permissions of a file it creates.
    ///     dir_fd: a directory that a relative path starts from.
    ///
    /// Kernel: 5.6.
    /// Memory: the path is copied.
    /// Result: the new descriptor, yours to close.
    /// Source: io_uring_prep_openat(3).
    fn prep_openat / openat(path: Any<'_, '_>, open_flags: i32, mode: u32,
        dir_fd: Option<Any<'_, '_>>)
        [path, open_flags = 0, mode = 0o777,] [dir_fd = None,]
        = |keep| build::openat(keep, path, open_flags, mode, dir_fd);

    /// Close a descriptor. Requests in flight on it go on with the file they hold.
    ///
    /// For a Python file or socket object detach it first, or its own close comes second.
    ///
    /// Kernel: 5.6.
    /// Memory: none.
    /// Result: 0.
    /// Source: io_uring_prep_close(3).
    fn prep_close / close(file: Any<'_, '_>)
        [file,] []
        = |_keep| build::close(file);
}
