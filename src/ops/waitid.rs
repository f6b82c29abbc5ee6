//! Waiting for child processes.

use crate::ops::args::Args;
use crate::ops::entry;
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;
use crate::sys::os::siginfo_t;

/// What became of a child: the part of `siginfo_t` that waitid(2) fills in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its process number.
    pub pid: i32,
    /// Its real user.
    pub uid: u32,
    /// SIGCHLD.
    pub signo: i32,
    /// Exit status or signal, as `code` says.
    pub status: i32,
    /// CLD_EXITED, CLD_KILLED, ...
    pub code: i32,
}

/// waitid(2): until a child of `idtype` and `id` changes its state in one of the ways of `options`.
pub fn waitid(idtype: u32, id: i32, options: u32) -> (io_uring_sqe, Args) {
    // SAFETY: plain numbers and padding, all of which may be zero.
    let info: Box<siginfo_t> = Box::new(unsafe { core::mem::zeroed() });
    let sqe = io_uring_sqe {
        off: core::ptr::from_ref(&*info) as u64,
        len: idtype,
        file_index: options,
        ..entry(IORING_OP_WAITID, id)
    };
    (sqe, Args::Waitid(info))
}

/// What the kernel reported; None when no child had anything to report (WNOHANG).
pub fn child(info: &siginfo_t) -> Option<Child> {
    // SAFETY: written by WAITID, whose union member is the one for SIGCHLD; or all zero (I2).
    let (pid, uid, status) = unsafe { (info.si_pid(), info.si_uid(), info.si_status()) };
    (pid != 0).then_some(Child { pid, uid, signo: info.si_signo, status, code: info.si_code })
}
