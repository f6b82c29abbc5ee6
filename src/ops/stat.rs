//! Asking for what is known of a file.

use crate::ops::args::Args;
use crate::ops::entry;
use crate::ops::path::Place;
use crate::sys::abi::{io_uring_sqe, statx as Statx};
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
