//! Which kernel a Python ring talks to: the running one, or a simulated one.

use core::ffi::{c_void, CStr};
use core::ptr::NonNull;

use crate::bulk::host::Host;
use crate::bulk::queue::host::QueueHost;
use crate::bulk::queue::op::Op;
use crate::bulk::store::Store;
use crate::bulk::work::Work;
use crate::ring::kernel::{Kernel, Linux, Readiness};
use crate::ring::sim::SimKernel;
use crate::sys::abi::io_uring_params;
use crate::sys::direct::Alignment;
use crate::sys::file::{Entry, Status};
use crate::sys::os::pollfd;
use crate::sys::readiness::FileIdentity;
use crate::sys::Errno;

/// The kernel behind a ring. The branch costs a nanosecond per system call, and lets one Python
/// class serve both.
#[derive(Clone)]
pub(crate) enum AnyKernel {
    /// The running kernel.
    Linux(Linux),
    /// A simulated one.
    Sim(SimKernel),
}

macro_rules! ask {
    ($self:ident, $kernel:ident => $call:expr) => {
        match $self {
            AnyKernel::Linux($kernel) => $call,
            AnyKernel::Sim($kernel) => $call,
        }
    };
}

impl Kernel for AnyKernel {
    fn setup(&self, entries: u32, params: &mut io_uring_params) -> Result<i32, Errno> {
        ask!(self, k => k.setup(entries, params))
    }

    #[inline]
    unsafe fn enter(
        &self,
        fd: i32,
        to_submit: u32,
        min_complete: u32,
        flags: u32,
        arg: *const c_void,
        argsz: usize,
    ) -> Result<u32, Errno> {
        // SAFETY: the caller's contract is the same (I2).
        ask!(self, k => unsafe { k.enter(fd, to_submit, min_complete, flags, arg, argsz) })
    }

    unsafe fn register(
        &self,
        fd: i32,
        opcode: u32,
        arg: *mut c_void,
        nr: u32,
    ) -> Result<u32, Errno> {
        // SAFETY: the caller's contract is the same (I2).
        ask!(self, k => unsafe { k.register(fd, opcode, arg, nr) })
    }

    fn map(&self, fd: i32, len: usize, offset: u64) -> Result<NonNull<u8>, Errno> {
        ask!(self, k => k.map(fd, len, offset))
    }

    fn allocate(&self, len: usize, huge: bool) -> Result<NonNull<u8>, Errno> {
        ask!(self, k => k.allocate(len, huge))
    }

    unsafe fn unmap(&self, addr: NonNull<u8>, len: usize) {
        // SAFETY: the caller's contract is the same (I8).
        ask!(self, k => unsafe { k.unmap(addr, len) })
    }

    unsafe fn close(&self, fd: i32) {
        // SAFETY: the caller's contract is the same (I10).
        ask!(self, k => unsafe { k.close(fd) })
    }

    fn now_ns(&self) -> u64 {
        ask!(self, k => k.now_ns())
    }
}

impl Host for AnyKernel {
    type Kernel = AnyKernel;

    fn kernel(&self) -> AnyKernel {
        self.clone()
    }

    unsafe fn carry_out(&self, work: &Work) -> i32 {
        // SAFETY: the caller's contract is the same (I2).
        ask!(self, k => unsafe { k.carry_out(work) })
    }

    #[inline]
    unsafe fn try_now(&self, work: &Work) -> Option<i32> {
        // SAFETY: the caller's contract is the same (I2).
        ask!(self, k => unsafe { k.try_now(work) })
    }

    unsafe fn drop_fd(&self, fd: i32) {
        // SAFETY: the caller's contract is the same (I10).
        ask!(self, k => unsafe { k.drop_fd(fd) })
    }

    fn let_it_wait(&self, fd: i32) {
        ask!(self, k => k.let_it_wait(fd));
    }

    fn status(&self, fd: i32) -> Result<Status, Errno> {
        ask!(self, k => k.status(fd))
    }

    fn end_of(&self, fd: i32) -> Result<u64, Errno> {
        ask!(self, k => k.end_of(fd))
    }

    fn cached_pages(&self, fd: i32, offset: u64, len: u64) -> Result<u64, Errno> {
        ask!(self, k => k.cached_pages(fd, offset, len))
    }

    fn direct_alignment(&self, fd: i32) -> Option<Alignment> {
        ask!(self, k => k.direct_alignment(fd))
    }

    fn reopen(&self, fd: i32, flags: i32) -> Result<i32, Errno> {
        ask!(self, k => k.reopen(fd, flags))
    }

    fn status_flags(&self, fd: i32) -> Result<i32, Errno> {
        ask!(self, k => k.status_flags(fd))
    }

    fn in_memory(&self, fd: i32) -> bool {
        ask!(self, k => k.in_memory(fd))
    }

    fn advise_random(&self, fd: i32) {
        ask!(self, k => k.advise_random(fd));
    }

    fn poll_in(&self, fd: i32, patience_ns: u64) -> Result<bool, Errno> {
        ask!(self, k => k.poll_in(fd, patience_ns))
    }
}

impl QueueHost for AnyKernel {
    fn bell(&self) -> Result<i32, Errno> {
        ask!(self, k => k.bell())
    }

    fn ring_bell(&self, bell: i32) -> Result<(), Errno> {
        ask!(self, k => k.ring_bell(bell))
    }

    fn take_bell(&self, bell: i32) -> bool {
        ask!(self, k => k.take_bell(bell))
    }

    fn duplicate(&self, fd: i32) -> Result<i32, Errno> {
        ask!(self, k => k.duplicate(fd))
    }

    unsafe fn perform(&self, fd: i32, op: &Op, offset: u64) -> i32 {
        // SAFETY: the caller's contract is the same (I2).
        ask!(self, k => unsafe { k.perform(fd, op, offset) })
    }
}

impl Readiness for AnyKernel {
    fn identity(&self, fd: i32) -> Result<FileIdentity, Errno> {
        ask!(self, k => k.identity(fd))
    }

    fn waitable(&self, fd: i32) -> Result<FileIdentity, Errno> {
        ask!(self, k => k.waitable(fd))
    }

    #[inline]
    fn poll(&self, fds: &mut [pollfd], timeout_ns: Option<u64>) -> Result<u32, Errno> {
        ask!(self, k => k.poll(fds, timeout_ns))
    }
}

impl Store for AnyKernel {
    fn open_directory(&self, dir: i32, path: &CStr, to_sync: bool) -> Result<i32, Errno> {
        ask!(self, k => k.open_directory(dir, path, to_sync))
    }

    fn entry(&self, dir: i32, name: &CStr) -> Result<Entry, Errno> {
        ask!(self, k => k.entry(dir, name))
    }

    fn rename(&self, dir: i32, from: &CStr, to: &CStr, over: bool) -> Result<(), Errno> {
        ask!(self, k => k.rename(dir, from, to, over))
    }

    fn unlink(&self, dir: i32, name: &CStr) -> Result<(), Errno> {
        ask!(self, k => k.unlink(dir, name))
    }

    fn dress(&self, fd: i32, like: &Entry) -> Result<(), Errno> {
        ask!(self, k => k.dress(fd, like))
    }

    fn set_aside(&self, fd: i32, offset: u64, len: u64) -> Result<(), Errno> {
        ask!(self, k => k.set_aside(fd, offset, len))
    }

    fn truncate(&self, fd: i32, len: u64) -> Result<(), Errno> {
        ask!(self, k => k.truncate(fd, len))
    }

    fn start_writeback(&self, fd: i32, offset: u64, len: u64) {
        ask!(self, k => k.start_writeback(fd, offset, len))
    }

    fn direct_needs(&self, fd: i32) -> Option<Alignment> {
        ask!(self, k => k.direct_needs(fd))
    }

    fn leave_direct(&self, fd: i32) -> Result<(), Errno> {
        ask!(self, k => k.leave_direct(fd))
    }
}
