//! Opening and closing.

use std::ffi::CString;

use crate::ops::args::Args;
use crate::ops::entry;
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;

/// openat(2).
pub fn openat(dir_fd: i32, path: CString, flags: u32, mode: u32) -> (io_uring_sqe, Args) {
    let sqe = io_uring_sqe {
        addr: path.as_ptr() as u64,
        len: mode,
        op_flags: flags,
        ..entry(IORING_OP_OPENAT, dir_fd)
    };
    (sqe, Args::Path(path))
}

/// close(2).
pub fn close(fd: i32) -> io_uring_sqe {
    entry(IORING_OP_CLOSE, fd)
}
