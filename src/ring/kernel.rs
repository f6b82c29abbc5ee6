//! The door to the kernel: everything the ring core asks of it goes through [`Kernel`].
//!
//! [`Linux`] is the real one. The simulated kernel (`ring::sim`, feature `sim`) implements the
//! same trait over ordinary memory, so that the very same ring code runs under a fault plan.

use core::ffi::c_void;
use core::ptr::NonNull;

use crate::ring::fork;
use crate::sys::abi::io_uring_params;
use crate::sys::consts::IORING_SETUP_REGISTERED_FD_ONLY;
use crate::sys::os::pollfd;
use crate::sys::readiness::{self, FileIdentity};
use crate::sys::{syscall, Errno};

/// The system calls a ring needs. One value serves any number of rings and threads.
pub trait Kernel: Send + Sync {
    /// io_uring_setup(2). On success the kernel has filled in `params`.
    fn setup(&self, entries: u32, params: &mut io_uring_params) -> Result<i32, Errno>;

    /// io_uring_enter(2). Returns how many submission entries the kernel took.
    ///
    /// # Safety
    /// `arg`/`argsz` must be what `flags` say they are (see io_uring_enter(2)) and live for the
    /// call. Every published SQE must point at memory that its request's slot keeps alive.
    unsafe fn enter(
        &self,
        fd: i32,
        to_submit: u32,
        min_complete: u32,
        flags: u32,
        arg: *const c_void,
        argsz: usize,
    ) -> Result<u32, Errno>;

    /// io_uring_register(2). `fd` is -1 for the operations that need no ring.
    ///
    /// # Safety
    /// `arg`/`nr` must be what `opcode` says they are and live for as long as the kernel uses them.
    unsafe fn register(
        &self,
        fd: i32,
        opcode: u32,
        arg: *mut c_void,
        nr: u32,
    ) -> Result<u32, Errno>;

    /// Map `len` bytes of the ring at one of the `IORING_OFF_*` offsets, shared and populated, and
    /// keep the mapping out of forked children (MADV_DONTFORK).
    fn map(&self, fd: i32, len: usize, offset: u64) -> Result<NonNull<u8>, Errno>;

    /// Memory of our own that a ring can be set up in (NO_MMAP), of huge pages if so wanted, kept
    /// out of forked children. Undone by [`Kernel::unmap`].
    fn allocate(&self, len: usize, huge: bool) -> Result<NonNull<u8>, Errno> {
        let _ = (len, huge);
        Err(Errno::EINVAL)
    }

    /// Undo [`Kernel::map`].
    ///
    /// # Safety
    /// `addr` and `len` must be those of one `map` of this kernel, not yet unmapped; nothing may
    /// touch the memory afterwards.
    unsafe fn unmap(&self, addr: NonNull<u8>, len: usize);

    /// Close a descriptor: a ring, or a descriptor that a request opened and nobody claimed.
    ///
    /// # Safety
    /// The caller owns `fd`, and nobody uses it afterwards.
    unsafe fn close(&self, fd: i32);

    /// Nanoseconds of the clock that timeouts run on (CLOCK_MONOTONIC).
    fn now_ns(&self) -> u64;
}

/// What a selector asks of the kernel beside its ring.
pub trait Readiness: Kernel + Clone {
    /// Which file `fd` is. EBADF if it is not open.
    fn identity(&self, fd: i32) -> Result<FileIdentity, Errno>;

    /// The same, if the file can be waited for; EPERM for files that are always ready.
    fn waitable(&self, fd: i32) -> Result<FileIdentity, Errno>;

    /// ppoll(2). The simulated kernel does not wait.
    fn poll(&self, fds: &mut [pollfd], timeout_ns: Option<u64>) -> Result<u32, Errno>;
}

/// The running Linux kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linux;

impl Kernel for Linux {
    #[inline]
    fn setup(&self, entries: u32, params: &mut io_uring_params) -> Result<i32, Errno> {
        let fd = syscall::io_uring_setup(entries, params)?;
        // Otherwise it is an index in the calling thread's table, which no child inherits.
        if params.flags & IORING_SETUP_REGISTERED_FD_ONLY == 0 {
            fork::remember(fd);
        }
        Ok(fd)
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
        // SAFETY: the caller's contract is the same (I2: slots keep what SQEs point at).
        unsafe { syscall::io_uring_enter(fd, to_submit, min_complete, flags, arg, argsz) }
    }

    #[inline]
    unsafe fn register(
        &self,
        fd: i32,
        opcode: u32,
        arg: *mut c_void,
        nr: u32,
    ) -> Result<u32, Errno> {
        // SAFETY: the caller's contract is the same (I2).
        unsafe { syscall::io_uring_register(fd, opcode, arg, nr) }
    }

    fn map(&self, fd: i32, len: usize, offset: u64) -> Result<NonNull<u8>, Errno> {
        syscall::map_ring(fd, len, offset)
    }

    fn allocate(&self, len: usize, huge: bool) -> Result<NonNull<u8>, Errno> {
        syscall::map_for_ring(len, huge)
    }

    unsafe fn unmap(&self, addr: NonNull<u8>, len: usize) {
        // SAFETY: the caller's contract is the same (I8).
        unsafe { syscall::unmap(addr, len) }
    }

    unsafe fn close(&self, fd: i32) {
        fork::forget(fd);
        // SAFETY: the caller owns `fd` (I10).
        unsafe { syscall::close(fd) }
    }

    #[inline]
    fn now_ns(&self) -> u64 {
        syscall::monotonic_ns()
    }
}

impl Readiness for Linux {
    #[inline]
    fn identity(&self, fd: i32) -> Result<FileIdentity, Errno> {
        readiness::identity(fd)
    }

    #[inline]
    fn waitable(&self, fd: i32) -> Result<FileIdentity, Errno> {
        readiness::waitable(fd)
    }

    #[inline]
    fn poll(&self, fds: &mut [pollfd], timeout_ns: Option<u64>) -> Result<u32, Errno> {
        readiness::poll(fds, timeout_ns)
    }
}
