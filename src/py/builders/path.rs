//! Paths and descriptors: opening, closing, renaming, removing, making.

use super::*;
use crate::py::build::paths;

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

    /// Open a file, with a say in how its path is resolved.
    ///
    /// Args:
    ///     path: str, bytes or os.PathLike.
    ///     open_flags: O_* flags of os.open; O_CLOEXEC is always added. Unknown ones are an error.
    ///     mode: permissions of a file it creates (default 0o777); an error where it creates none.
    ///     resolve: ResolveFlags.
    ///     dir_fd: a directory that a relative path starts from; open until the completion.
    ///     direct: as for prep_openat.
    ///
    /// Raises:
    ///     ValueError: `resolve` has bits that are none of ResolveFlags.
    ///
    /// Kernel: 5.6.
    /// Memory: the path is copied.
    /// Result: the new descriptor, yours to close; -EXDEV or -ELOOP where `resolve` forbids the
    ///     way, -EAGAIN with ResolveFlags.CACHED where it is not cached. A direct one is
    ///     `Completion.value`, as with prep_openat.
    /// Source: io_uring_prep_openat2(3), io_uring_prep_openat2_direct(3).
    fn prep_openat2 / openat2(path: Any<'_, '_>, open_flags: u64, mode: Option<u32>, resolve: u64,
        dir_fd: Option<Any<'_, '_>>, direct: Option<Any<'_, '_>>)
        [path, open_flags = 0, mode = None, resolve = 0,] [dir_fd = None, direct = None,]
        = |keep| paths::openat2(keep, path, open_flags, mode, resolve, dir_fd, direct);

    /// Rename a file or directory, replacing what has the new name.
    ///
    /// Args:
    ///     src, dst: the old and the new path: str, bytes or os.PathLike.
    ///     src_dir_fd, dst_dir_fd: directories that relative paths start from; open until the
    ///         completion.
    ///     rename_flags: RenameFlags.
    ///
    /// Raises:
    ///     ValueError: `rename_flags` has bits that are none of RenameFlags.
    ///
    /// Kernel: 5.11.
    /// Memory: the paths are copied.
    /// Result: 0.
    /// Source: io_uring_prep_renameat(3).
    fn prep_renameat / renameat(src: Any<'_, '_>, dst: Any<'_, '_>,
        src_dir_fd: Option<Any<'_, '_>>, dst_dir_fd: Option<Any<'_, '_>>, rename_flags: u32)
        [src, dst,] [src_dir_fd = None, dst_dir_fd = None, rename_flags = 0,]
        = |keep| paths::renameat(keep, src, dst, src_dir_fd, dst_dir_fd, rename_flags);

    /// Rename a file or directory: prep_renameat without directories and flags.
    ///
    /// Kernel: 5.11.
    /// Memory: the paths are copied.
    /// Result: 0.
    /// Source: io_uring_prep_rename(3).
    fn prep_rename / rename(src: Any<'_, '_>, dst: Any<'_, '_>)
        [src, dst,] []
        = |keep| paths::renameat(keep, src, dst, None, None, 0);

    /// Remove a file, or an empty directory.
    ///
    /// Args:
    ///     path: str, bytes or os.PathLike.
    ///     unlink_flags: AtFlags.REMOVEDIR for a directory.
    ///     dir_fd: a directory that a relative path starts from; open until the completion.
    ///
    /// Raises:
    ///     ValueError: `unlink_flags` has other bits.
    ///
    /// Kernel: 5.11.
    /// Memory: the path is copied.
    /// Result: 0.
    /// Source: io_uring_prep_unlinkat(3).
    fn prep_unlinkat / unlinkat(path: Any<'_, '_>, unlink_flags: u32,
        dir_fd: Option<Any<'_, '_>>)
        [path, unlink_flags = 0,] [dir_fd = None,]
        = |keep| paths::unlinkat(keep, path, unlink_flags, dir_fd);

    /// Remove a file, or an empty directory: prep_unlinkat without a directory to start from.
    ///
    /// Args: as for prep_unlinkat.
    ///
    /// Kernel: 5.11.
    /// Memory: the path is copied.
    /// Result: 0.
    /// Source: io_uring_prep_unlink(3).
    fn prep_unlink / unlink(path: Any<'_, '_>, unlink_flags: u32)
        [path, unlink_flags = 0,] []
        = |keep| paths::unlinkat(keep, path, unlink_flags, None);

    /// Make a directory.
    ///
    /// Args:
    ///     path: str, bytes or os.PathLike.
    ///     mode: its permissions, less the umask.
    ///     dir_fd: a directory that a relative path starts from; open until the completion.
    ///
    /// Kernel: 5.15.
    /// Memory: the path is copied.
    /// Result: 0.
    /// Source: io_uring_prep_mkdirat(3).
    fn prep_mkdirat / mkdirat(path: Any<'_, '_>, mode: u32, dir_fd: Option<Any<'_, '_>>)
        [path, mode = 0o777,] [dir_fd = None,]
        = |keep| paths::mkdirat(keep, path, mode, dir_fd);

    /// Make a directory: prep_mkdirat without a directory to start from.
    ///
    /// Kernel: 5.15.
    /// Memory: the path is copied.
    /// Result: 0.
    /// Source: io_uring_prep_mkdir(3).
    fn prep_mkdir / mkdir(path: Any<'_, '_>, mode: u32)
        [path, mode = 0o777,] []
        = |keep| paths::mkdirat(keep, path, mode, None);

    /// Make a symbolic link.
    ///
    /// Args:
    ///     src: what the link says, as it is.
    ///     dst: the path of the link.
    ///     dir_fd: a directory that a relative `dst` starts from; open until the completion.
    ///
    /// Kernel: 5.15.
    /// Memory: the paths are copied.
    /// Result: 0.
    /// Source: io_uring_prep_symlinkat(3).
    fn prep_symlinkat / symlinkat(src: Any<'_, '_>, dst: Any<'_, '_>,
        dir_fd: Option<Any<'_, '_>>)
        [src, dst,] [dir_fd = None,]
        = |keep| paths::symlinkat(keep, src, dst, dir_fd);

    /// Make a symbolic link: prep_symlinkat without a directory to start from.
    ///
    /// Kernel: 5.15.
    /// Memory: the paths are copied.
    /// Result: 0.
    /// Source: io_uring_prep_symlink(3).
    fn prep_symlink / symlink(src: Any<'_, '_>, dst: Any<'_, '_>)
        [src, dst,] []
        = |keep| paths::symlinkat(keep, src, dst, None);

    /// Give a file one more name.
    ///
    /// Args:
    ///     src: a path of the file. A symbolic link is not followed, unless by `link_flags`.
    ///     dst: the new path.
    ///     src_dir_fd, dst_dir_fd: directories that relative paths start from; open until the
    ///         completion.
    ///     link_flags: AtFlags.SYMLINK_FOLLOW; AtFlags.EMPTY_PATH: with an empty `src`, the file
    ///         that `src_dir_fd` is.
    ///
    /// Raises:
    ///     ValueError: `link_flags` has other bits.
    ///
    /// Kernel: 5.15.
    /// Memory: the paths are copied.
    /// Result: 0.
    /// Source: io_uring_prep_linkat(3).
    fn prep_linkat / linkat(src: Any<'_, '_>, dst: Any<'_, '_>,
        src_dir_fd: Option<Any<'_, '_>>, dst_dir_fd: Option<Any<'_, '_>>, link_flags: u32)
        [src, dst,] [src_dir_fd = None, dst_dir_fd = None, link_flags = 0,]
        = |keep| paths::linkat(keep, src, dst, src_dir_fd, dst_dir_fd, link_flags);

    /// Give a file one more name: prep_linkat without directories to start from.
    ///
    /// Args: as for prep_linkat.
    ///
    /// Kernel: 5.15.
    /// Memory: the paths are copied.
    /// Result: 0.
    /// Source: io_uring_prep_link(3).
    fn prep_link / link(src: Any<'_, '_>, dst: Any<'_, '_>, link_flags: u32)
        [src, dst,] [link_flags = 0,]
        = |keep| paths::linkat(keep, src, dst, None, None, link_flags);
}
