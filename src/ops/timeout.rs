//! Timeouts.

use crate::ops::args::Args;
use crate::ops::entry;
use crate::sys::abi::{__kernel_timespec, io_uring_sqe};
use crate::sys::consts::*;

/// A time and what to make of it.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    /// Nanoseconds: from now, or since the clock's beginning.
    pub ns: u64,
    /// IORING_TIMEOUT_* flags: absolute, clock, expiry is success.
    pub flags: u32,
}

impl Time {
    fn boxed(&self) -> Box<__kernel_timespec> {
        Box::new(__kernel_timespec {
            tv_sec: (self.ns / 1_000_000_000) as i64,
            tv_nsec: (self.ns % 1_000_000_000) as i64,
        })
    }
}

/// Complete when the time has come, or after `count` other completions (0: only by time). With
/// IORING_TIMEOUT_MULTISHOT among the flags, complete each time anew, `count` times (0: for ever).
pub fn timeout(time: Time, count: u32) -> (io_uring_sqe, Args) {
    let ts = time.boxed();
    let sqe = io_uring_sqe {
        addr: core::ptr::from_ref(&*ts) as u64,
        len: 1,
        off: u64::from(count),
        op_flags: time.flags,
        ..entry(IORING_OP_TIMEOUT, -1)
    };
    (sqe, Args::Time(ts))
}

/// Limit the time of the request linked before.
pub fn link_timeout(time: Time) -> (io_uring_sqe, Args) {
    let ts = time.boxed();
    let sqe = io_uring_sqe {
        addr: core::ptr::from_ref(&*ts) as u64,
        len: 1,
        op_flags: time.flags,
        ..entry(IORING_OP_LINK_TIMEOUT, -1)
    };
    (sqe, Args::Time(ts))
}

/// End the timeout whose request has `key`.
pub fn remove(key: u64) -> io_uring_sqe {
    io_uring_sqe { addr: key, ..entry(IORING_OP_TIMEOUT_REMOVE, -1) }
}

/// Give the timeout whose request has `key` a new time.
pub fn update(key: u64, time: Time, link: bool) -> (io_uring_sqe, Args) {
    let ts = time.boxed();
    // Of a link timeout as well as, not instead of: with that bit alone the kernel would remove.
    let update = IORING_TIMEOUT_UPDATE | if link { IORING_LINK_TIMEOUT_UPDATE } else { 0 };
    let sqe = io_uring_sqe {
        addr: key,
        off: core::ptr::from_ref(&*ts) as u64,
        op_flags: time.flags | update,
        ..entry(IORING_OP_TIMEOUT_REMOVE, -1)
    };
    (sqe, Args::Time(ts))
}
