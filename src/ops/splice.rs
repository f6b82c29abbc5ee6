//! Moving data between files and pipes within the kernel.

use crate::ops::entry;
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;

/// One end of a splice: the file, and where in it.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// The file.
    pub fd: i32,
    /// Where; all ones is its own position, or that it is a pipe.
    pub offset: u64,
}

/// splice(2).
pub fn splice(src: End, dst: End, len: u32, flags: u32) -> io_uring_sqe {
    io_uring_sqe {
        off: dst.offset,
        addr: src.offset,
        len,
        op_flags: flags,
        file_index: src.fd as u32,
        ..entry(IORING_OP_SPLICE, dst.fd)
    }
}

/// tee(2).
pub fn tee(src: i32, dst: i32, len: u32, flags: u32) -> io_uring_sqe {
    io_uring_sqe { len, op_flags: flags, file_index: src as u32, ..entry(IORING_OP_TEE, dst) }
}
