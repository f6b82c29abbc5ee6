//! Paths: opening, renaming, removing, making.

use pyo3::prelude::*;

use crate::ops::path::{self, Place};
use crate::py::keep::Keep;
use crate::py::{convert, direct};
use crate::sys::abi::{io_uring_sqe, open_how};
use crate::sys::consts::*;
use crate::sys::os::{O_CLOEXEC, O_CREAT, O_TMPFILE};

type Any<'a, 'py> = &'a Bound<'py, PyAny>;
type DirFd<'a, 'py> = Option<Any<'a, 'py>>;

/// What a new file may be, for everybody that the umask lets.
const ANY_MODE: u32 = 0o777;

fn place(keep: &mut Keep, path: Any<'_, '_>, dir_fd: DirFd<'_, '_>) -> PyResult<Place> {
    let dir_fd = convert::folder(keep, dir_fd)?;
    Ok(Place { dir_fd, path: convert::path(path)? })
}

pub(crate) fn openat2(
    keep: &mut Keep,
    path: Any<'_, '_>,
    flags: u64,
    mode: Option<u32>,
    resolve: u64,
    dir_fd: DirFd<'_, '_>,
    direct: Option<&Bound<'_, PyAny>>,
) -> PyResult<io_uring_sqe> {
    const KNOWN: u64 = RESOLVE_NO_XDEV
        | RESOLVE_NO_MAGICLINKS
        | RESOLVE_NO_SYMLINKS
        | RESOLVE_BENEATH
        | RESOLVE_IN_ROOT
        | RESOLVE_CACHED;
    let resolve = convert::known_flags("resolve", resolve, KNOWN)?;
    let at = place(keep, path, dir_fd)?;
    let creates = |flag: i32| flags & flag as u64 == flag as u64;
    // The kernel refuses a mode where nothing is created.
    let default = if creates(O_CREAT) || creates(O_TMPFILE) { ANY_MODE } else { 0 };
    let mode = u64::from(mode.unwrap_or(default));
    let file_index = direct::target(keep, direct)?;
    let cloexec = O_CLOEXEC as u64;
    let flags = if file_index == 0 { flags | cloexec } else { flags & !cloexec };
    let (sqe, args) = path::openat2(at.dir_fd, at.path, open_how { flags, mode, resolve });
    keep.keep_args(args);
    Ok(io_uring_sqe { file_index, ..sqe })
}

pub(crate) fn renameat(
    keep: &mut Keep,
    src: Any<'_, '_>,
    dst: Any<'_, '_>,
    src_dir_fd: DirFd<'_, '_>,
    dst_dir_fd: DirFd<'_, '_>,
    flags: u32,
) -> PyResult<io_uring_sqe> {
    const KNOWN: u32 = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT;
    let flags = convert::known_flags("rename_flags", flags, KNOWN)?;
    let (src, dst) = (place(keep, src, src_dir_fd)?, place(keep, dst, dst_dir_fd)?);
    let (sqe, args) = path::renameat(src, dst, flags);
    keep.keep_args(args);
    Ok(sqe)
}

pub(crate) fn linkat(
    keep: &mut Keep,
    src: Any<'_, '_>,
    dst: Any<'_, '_>,
    src_dir_fd: DirFd<'_, '_>,
    dst_dir_fd: DirFd<'_, '_>,
    flags: u32,
) -> PyResult<io_uring_sqe> {
    let flags = convert::known_flags("link_flags", flags, AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)?;
    let (src, dst) = (place(keep, src, src_dir_fd)?, place(keep, dst, dst_dir_fd)?);
    let (sqe, args) = path::linkat(src, dst, flags);
    keep.keep_args(args);
    Ok(sqe)
}

pub(crate) fn symlinkat(
    keep: &mut Keep,
    src: Any<'_, '_>,
    dst: Any<'_, '_>,
    dir_fd: DirFd<'_, '_>,
) -> PyResult<io_uring_sqe> {
    let target = convert::path(src)?;
    let (sqe, args) = path::symlinkat(target, place(keep, dst, dir_fd)?);
    keep.keep_args(args);
    Ok(sqe)
}

pub(crate) fn unlinkat(
    keep: &mut Keep,
    path: Any<'_, '_>,
    flags: u32,
    dir_fd: DirFd<'_, '_>,
) -> PyResult<io_uring_sqe> {
    let flags = convert::known_flags("unlink_flags", flags, AT_REMOVEDIR)?;
    let (sqe, args) = path::unlinkat(place(keep, path, dir_fd)?, flags);
    keep.keep_args(args);
    Ok(sqe)
}

pub(crate) fn mkdirat(
    keep: &mut Keep,
    path: Any<'_, '_>,
    mode: u32,
    dir_fd: DirFd<'_, '_>,
) -> PyResult<io_uring_sqe> {
    let (sqe, args) = path::mkdirat(place(keep, path, dir_fd)?, mode);
    keep.keep_args(args);
    Ok(sqe)
}
