//! Cancelling requests. Each cancelled request still completes, most often with ECANCELED.

use crate::ops::entry;
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;

/// Cancel the request that has `key`.
pub fn by_key(key: u64) -> io_uring_sqe {
    io_uring_sqe { addr: key, ..entry(IORING_OP_ASYNC_CANCEL, -1) }
}

/// Cancel one request on `fd`, or all of them; `fixed` says that it is a slot.
pub fn by_fd(fd: i32, fixed: bool, all: bool) -> io_uring_sqe {
    let all = if all { IORING_ASYNC_CANCEL_ALL } else { 0 };
    let fixed = if fixed { IORING_ASYNC_CANCEL_FD_FIXED } else { 0 };
    io_uring_sqe {
        op_flags: IORING_ASYNC_CANCEL_FD | fixed | all,
        ..entry(IORING_OP_ASYNC_CANCEL, fd)
    }
}

/// Cancel a request of operation `opcode`, or all of them; on a file only, if given (see
/// [`by_fd`]).
pub fn by_op(opcode: u8, file: Option<(i32, bool)>, all: bool) -> io_uring_sqe {
    let on_file =
        file.map_or(entry(IORING_OP_ASYNC_CANCEL, -1), |(fd, fixed)| by_fd(fd, fixed, false));
    let all = if all { IORING_ASYNC_CANCEL_ALL } else { 0 };
    io_uring_sqe {
        len: u32::from(opcode),
        op_flags: IORING_ASYNC_CANCEL_OP | on_file.op_flags | all,
        ..on_file
    }
}

/// Cancel everything that can be cancelled.
pub fn everything() -> io_uring_sqe {
    io_uring_sqe {
        op_flags: IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL,
        ..entry(IORING_OP_ASYNC_CANCEL, -1)
    }
}
