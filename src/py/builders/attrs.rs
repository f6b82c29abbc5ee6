//! Extended attributes.

use super::*;
use crate::py::build::attrs::{self, Subject};

builders! {
    /// Read an extended attribute of a file. Symbolic links are followed.
    ///
    /// Args:
    ///     path: str, bytes or os.PathLike.
    ///     attribute: its name, such as 'user.comment'.
    ///     buf: a writable buffer for the value (default: memory of ours).
    ///     size: without a buffer: the longest value there is room for (default 65536, the longest
    ///         there can be); 0 only asks how long it is.
    ///
    /// Raises:
    ///     ValueError: both `buf` and `size`, or a size out of range.
    ///
    /// `Completion.value` is the value as bytes; None with a buffer, or a size of 0.
    ///
    /// Kernel: 5.19.
    /// Memory: `buf` is locked until the completion; path and name are copied.
    /// Result: the length of the value; -ENODATA where there is none, -ERANGE if it is too long.
    /// Source: io_uring_prep_getxattr(3).
    fn prep_getxattr / getxattr(path: Any<'_, '_>, attribute: Any<'_, '_>,
        buf: Option<Any<'_, '_>>, size: Option<i64>)
        [path, attribute, buf = None,] [size = None,]
        = |keep| attrs::get(keep, Subject::Path(path), attribute, buf, size);

    /// Read an extended attribute of an open file.
    ///
    /// Args:
    ///     file: a descriptor, or an object with fileno().
    ///     attribute, buf, size: as for prep_getxattr.
    ///
    /// Raises: as prep_getxattr.
    ///
    /// `Completion.value` is the value as bytes; None with a buffer, or a size of 0.
    ///
    /// Kernel: 5.19.
    /// Memory: `buf` is locked until the completion; the name is copied.
    /// Result: the length of the value; -ENODATA where there is none, -ERANGE if it is too long.
    /// Source: io_uring_prep_fgetxattr(3).
    fn prep_fgetxattr / fgetxattr(file: Any<'_, '_>, attribute: Any<'_, '_>,
        buf: Option<Any<'_, '_>>, size: Option<i64>)
        [file, attribute, buf = None,] [size = None,]
        = |keep| attrs::get(keep, Subject::File(file), attribute, buf, size);

    /// Set an extended attribute of a file. Symbolic links are followed.
    ///
    /// Args:
    ///     path: str, bytes or os.PathLike.
    ///     attribute: its name, such as 'user.comment'.
    ///     value: any bytes-like object, up to 65536 bytes.
    ///     xattr_flags: os.XATTR_CREATE, os.XATTR_REPLACE.
    ///
    /// Raises:
    ///     ValueError: `xattr_flags` has other bits.
    ///
    /// Kernel: 5.19.
    /// Memory: `value` is locked until the completion; path and name are copied.
    /// Result: 0.
    /// Source: io_uring_prep_setxattr(3).
    fn prep_setxattr / setxattr(path: Any<'_, '_>, attribute: Any<'_, '_>, value: Any<'_, '_>,
        xattr_flags: u32)
        [path, attribute, value, xattr_flags = 0,] []
        = |keep| attrs::set(keep, Subject::Path(path), attribute, value, xattr_flags);

    /// Set an extended attribute of an open file.
    ///
    /// Args:
    ///     file: a descriptor, or an object with fileno().
    ///     attribute, value, xattr_flags: as for prep_setxattr.
    ///
    /// Raises: as prep_setxattr.
    ///
    /// Kernel: 5.19.
    /// Memory: `value` is locked until the completion; the name is copied.
    /// Result: 0.
    /// Source: io_uring_prep_fsetxattr(3).
    fn prep_fsetxattr / fsetxattr(file: Any<'_, '_>, attribute: Any<'_, '_>,
        value: Any<'_, '_>, xattr_flags: u32)
        [file, attribute, value, xattr_flags = 0,] []
        = |keep| attrs::set(keep, Subject::File(file), attribute, value, xattr_flags);
}
