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
    ///     direct: make a direct descriptor: True to have the kernel choose its slot (Linux 5.19), or
    ///         a reserved DirectFile (FileTable.reserve) for it to go into (Linux 5.15).
    ///
    /// Kernel: 5.6.
    /// Memory: the path is copied.
    /// Result: the new descriptor, yours to close. A direct one is `Completion.value`, a DirectFile,
    ///     and the result is its slot, or 0 for a reserved one.
    /// Source: io_uring_prep_openat(3), io_uring_prep_openat_direct(3).
    fn prep_openat / openat(path: Any<'_, '_>, open_flags: i32, mode: u32,
        dir_fd: Option<Any<'_, '_>>, direct: Option<Any<'_, '_>>)
        [path, open_flags = 0, mode = 0o777,] [dir_fd = None, direct = None,]
        = |keep| build::openat(keep, path, open_flags, mode, dir_fd, direct);

    /// Close a descriptor. Requests in flight on it go on with the file they hold.
    ///
    /// For a Python file or socket object detach it first, or its own close comes second.
    ///
    /// A DirectFile must have no requests in flight (its own close() waits for them), and takes no
    /// new ones from here on unless this fails. A reserved one is only emptied, and goes on: the
    /// order of what is done to it is that of your chains.
    ///
    /// Raises:
    ///     ValueError: a request or an Sqe uses the DirectFile.
    ///
    /// Kernel: 5.6; of a direct descriptor 5.15.
    /// Memory: none.
    /// Result: 0.
    /// Source: io_uring_prep_close(3), io_uring_prep_close_direct(3).
    fn prep_close / close(file: Any<'_, '_>)
        [file,] []
        = |keep| build::close(keep, file);
}
