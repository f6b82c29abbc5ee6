//! Asking for what is known of a file.

use crate::ops::args::Args;
use crate::ops::entry;
use crate::ops::path::Place;
use crate::sys::abi::{io_uring_sqe, statx as Statx, statx_timestamp};
use crate::sys::consts::*;
use std::ffi::CString;

/// What statx(2) points at: the path, and where the kernel writes its answer.
pub struct StatxArgs {
    path: CString,
    answer: Statx,
}

impl StatxArgs {
    /// What the kernel said. Only of a request that succeeded.
    pub fn answer(&self) -> &Statx {
        &self.answer
    }
}

/// statx(2): what `mask` asks for, and perhaps more.
pub fn statx(at: Place, flags: u32, mask: u32) -> (io_uring_sqe, Args) {
    let mut args = Box::new(StatxArgs { path: at.path, answer: Statx::default() });
    let sqe = io_uring_sqe {
        addr: args.path.as_ptr() as u64,
        len: mask,
        off: core::ptr::from_mut(&mut args.answer) as u64,
        op_flags: flags,
        ..entry(IORING_OP_STATX, at.dir_fd)
    };
    (sqe, Args::Statx(args))
}

/// Nanoseconds since 1970. Seconds of 64 bits make more of them than fit into 64 bits.
pub fn nanoseconds(time: statx_timestamp) -> i128 {
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

/// Seconds since 1970, as `os.stat_result` has them.
pub fn seconds(time: statx_timestamp) -> f64 {
    time.tv_sec as f64 + 1e-9 * f64::from(time.tv_nsec)
}
