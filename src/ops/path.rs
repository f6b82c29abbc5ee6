//! Paths: opening, renaming, removing, making; and closing.

use core::ffi::c_char;
use std::ffi::CString;

use crate::ops::args::Args;
use crate::ops::entry;
use crate::sys::abi::{io_uring_sqe, open_how};
use crate::sys::consts::*;

/// openat(2).
pub fn openat(dir_fd: i32, path: CString, flags: u32, mode: u32) -> (io_uring_sqe, Args) {
    (openat_entry(dir_fd, path.as_ptr(), flags, mode), Args::Path(path))
}

/// The same, of a path that the caller keeps.
pub fn openat_entry(dir_fd: i32, path: *const c_char, flags: u32, mode: u32) -> io_uring_sqe {
    io_uring_sqe {
        addr: path as u64,
        len: mode,
        op_flags: flags,
        ..entry(IORING_OP_OPENAT, dir_fd)
    }
}

/// close(2).
pub fn close(fd: i32) -> io_uring_sqe {
    entry(IORING_OP_CLOSE, fd)
}

/// What openat2(2) points at.
pub struct HowArgs {
    path: CString,
    how: open_how,
}

/// openat2(2).
pub fn openat2(dir_fd: i32, path: CString, how: open_how) -> (io_uring_sqe, Args) {
    let args = Box::new(HowArgs { path, how });
    let sqe = io_uring_sqe {
        addr: args.path.as_ptr() as u64,
        len: size_of::<open_how>() as u32,
        off: core::ptr::from_ref(&args.how) as u64,
        ..entry(IORING_OP_OPENAT2, dir_fd)
    };
    (sqe, Args::How(args))
}

/// A path, and the directory that it starts from where it is relative.
pub struct Place {
    /// The directory, or AT_FDCWD.
    pub dir_fd: i32,
    /// The path.
    pub path: CString,
}

/// An operation on two places, both directories in the entry.
fn from_to(opcode: u8, from: Place, to: Place, flags: u32) -> (io_uring_sqe, Args) {
    let sqe = io_uring_sqe {
        addr: from.path.as_ptr() as u64,
        len: to.dir_fd as u32,
        off: to.path.as_ptr() as u64,
        op_flags: flags,
        ..entry(opcode, from.dir_fd)
    };
    (sqe, Args::Paths(Box::new([from.path, to.path])))
}

/// renameat2(2).
pub fn renameat(from: Place, to: Place, flags: u32) -> (io_uring_sqe, Args) {
    from_to(IORING_OP_RENAMEAT, from, to, flags)
}

/// linkat(2): another name for a file.
pub fn linkat(from: Place, to: Place, flags: u32) -> (io_uring_sqe, Args) {
    from_to(IORING_OP_LINKAT, from, to, flags)
}

/// symlinkat(2): `at` becomes a link that says `target`.
pub fn symlinkat(target: CString, at: Place) -> (io_uring_sqe, Args) {
    let sqe = io_uring_sqe {
        addr: target.as_ptr() as u64,
        off: at.path.as_ptr() as u64,
        ..entry(IORING_OP_SYMLINKAT, at.dir_fd)
    };
    (sqe, Args::Paths(Box::new([target, at.path])))
}

/// unlinkat(2).
pub fn unlinkat(at: Place, flags: u32) -> (io_uring_sqe, Args) {
    let sqe = io_uring_sqe {
        addr: at.path.as_ptr() as u64,
        op_flags: flags,
        ..entry(IORING_OP_UNLINKAT, at.dir_fd)
    };
    (sqe, Args::Path(at.path))
}

/// mkdirat(2).
pub fn mkdirat(at: Place, mode: u32) -> (io_uring_sqe, Args) {
    let sqe = io_uring_sqe {
        addr: at.path.as_ptr() as u64,
        len: mode,
        ..entry(IORING_OP_MKDIRAT, at.dir_fd)
    };
    (sqe, Args::Path(at.path))
}
