//! The system that files are on: the running one, or a simulated one.

use core::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::bulk::work::Work;
use crate::ring::kernel::{Kernel, Linux};
use crate::sys::abi::open_how;
use crate::sys::consts::RESOLVE_CACHED;
use crate::sys::direct::{self, Alignment};
use crate::sys::file::{self, Status};
use crate::sys::os::{O_CREAT, O_TRUNC, RWF_NOWAIT};
use crate::sys::{syscall, Errno};

/// What engines ask of the system besides rings.
pub trait Host: Clone + Send + Sync + 'static {
    /// Where its rings come from.
    type Kernel: Kernel + Clone + 'static;

    /// The kernel for rings.
    fn kernel(&self) -> Self::Kernel;

    /// Do it by a plain system call, however long that takes: what a completion would say.
    ///
    /// # Safety
    /// What the work points at must be what it says, and live for the call.
    unsafe fn carry_out(&self, work: &Work) -> i32;

    /// Do it if that needs no waiting. None: it would have to wait, or there is no way to know.
    ///
    /// # Safety
    /// As for [`Host::carry_out`].
    unsafe fn try_now(&self, work: &Work) -> Option<i32>;

    /// close(2) of a descriptor that was only read.
    ///
    /// # Safety
    /// The caller owns `fd`, and nobody uses it afterwards.
    unsafe fn drop_fd(&self, fd: i32);

    /// A ring answers EAGAIN where a read of a file that was opened with O_NONBLOCK would wait: have
    /// reads of it wait. For files that have no other flag that can be changed (O_DIRECT, O_APPEND).
    fn let_it_wait(&self, fd: i32) {
        let _ = fd;
    }

    /// fstat(2).
    fn status(&self, fd: i32) -> Result<Status, Errno>;

    /// Where a file ends, as cheaply as that can be found out. It may move the file's own position.
    fn end_of(&self, fd: i32) -> Result<u64, Errno> {
        self.status(fd).map(|status| status.size)
    }

    /// How many pages of a range are in the page cache; an error where nobody can tell.
    fn cached_pages(&self, fd: i32, offset: u64, len: u64) -> Result<u64, Errno> {
        let _ = (fd, offset, len);
        Err(Errno::ENOSYS)
    }

    /// What direct I/O on a file needs; None where there is none.
    fn direct_alignment(&self, fd: i32) -> Option<Alignment> {
        let _ = fd;
        None
    }

    /// Open the file behind a descriptor once more, with flags of its own.
    fn reopen(&self, fd: i32, flags: i32) -> Result<i32, Errno> {
        let _ = (fd, flags);
        Err(Errno::ENOSYS)
    }

    /// The flags that a descriptor was opened with.
    fn status_flags(&self, fd: i32) -> Result<i32, Errno> {
        let _ = fd;
        Ok(0)
    }

    /// Is the file on a file system without a device, where nothing ever waits for one?
    fn in_memory(&self, fd: i32) -> bool {
        let _ = fd;
        false
    }

    /// The file is read here and there: reading ahead is of no use.
    fn advise_random(&self, fd: i32) {
        let _ = fd;
    }

    /// Is there something to read, or nothing more to come, within that time?
    fn poll_in(&self, fd: i32, patience_ns: u64) -> Result<bool, Errno> {
        let _ = (fd, patience_ns);
        Ok(true)
    }
}

/// openat2(2) with RESOLVE_CACHED is refused here (before Linux 5.12, or by a filter).
static OPENS_WAIT: AtomicBool = AtomicBool::new(false);

fn as_result<T: TryInto<i32>>(done: Result<T, Errno>) -> i32 {
    match done {
        // Nothing transfers more than INT_MAX bytes.
        Ok(value) => value.try_into().unwrap_or(i32::MAX),
        Err(errno) => -errno.0,
    }
}

impl Host for Linux {
    type Kernel = Linux;

    fn kernel(&self) -> Linux {
        Linux
    }

    unsafe fn carry_out(&self, work: &Work) -> i32 {
        match *work {
            Work::Open { dir, path, flags, mode } => {
                // SAFETY: the caller's promise: a live string (I2).
                let path = unsafe { CStr::from_ptr(path) };
                as_result(file::openat(dir, path, flags, mode))
            }
            Work::Read { fd, addr, len, offset } => {
                // SAFETY: the caller's promise (I2).
                as_result(unsafe { file::pread(fd, addr, len as usize, offset, 0) })
            }
            Work::Write { fd, addr, len, offset } => {
                // SAFETY: the caller's promise (I2).
                as_result(unsafe { file::pwrite(fd, addr, len as usize, offset, 0) })
            }
            Work::Fsync { fd, data_only } => as_result(file::fsync(fd, data_only).map(|()| 0)),
            // SAFETY: the work owns the descriptor (I10).
            Work::Close { fd } => as_result(unsafe { file::close(fd) }.map(|()| 0)),
        }
    }

    #[inline]
    unsafe fn try_now(&self, work: &Work) -> Option<i32> {
        let done = match *work {
            Work::Open { dir, path, flags, mode } => {
                let makes = flags & (O_CREAT | O_TRUNC) != 0;
                if makes || OPENS_WAIT.load(Ordering::Relaxed) {
                    return None;
                }
                let how =
                    open_how { flags: flags as u64, mode: mode.into(), resolve: RESOLVE_CACHED };
                // SAFETY: the caller's promise: a live string (I2).
                let path = unsafe { CStr::from_ptr(path) };
                let opened = file::openat2(dir, path, how);
                if matches!(opened, Err(Errno::EINVAL | Errno::ENOSYS | Errno::EPERM)) {
                    // It may be the flag or the file: the ordinary call will tell.
                    OPENS_WAIT.store(opened == Err(Errno::ENOSYS), Ordering::Relaxed);
                    return None;
                }
                as_result(opened)
            }
            Work::Read { fd, addr, len, offset } => {
                // SAFETY: the caller's promise (I2).
                as_result(unsafe { file::pread(fd, addr, len as usize, offset, RWF_NOWAIT) })
            }
            // Most file systems wait in a write for one thing or another; closing may, too.
            Work::Write { .. } | Work::Fsync { .. } | Work::Close { .. } => return None,
        };
        // EOPNOTSUPP: this file system cannot tell whether it would have to wait.
        let waits = [Errno::EAGAIN, Errno::EOPNOTSUPP, Errno::EINTR];
        (!waits.iter().any(|errno| done == -errno.0)).then_some(done)
    }

    unsafe fn drop_fd(&self, fd: i32) {
        // SAFETY: the caller's promise (I10).
        unsafe { syscall::close(fd) };
    }

    fn let_it_wait(&self, fd: i32) {
        // It cannot fail for a descriptor that is open.
        let _ = file::clear_nonblock(fd);
    }

    fn status(&self, fd: i32) -> Result<Status, Errno> {
        file::fstat(fd)
    }

    fn end_of(&self, fd: i32) -> Result<u64, Errno> {
        file::end_of(fd)
    }

    fn cached_pages(&self, fd: i32, offset: u64, len: u64) -> Result<u64, Errno> {
        file::cached_pages(fd, offset, len)
    }

    fn direct_alignment(&self, fd: i32) -> Option<Alignment> {
        direct::direct_alignment(fd)
    }

    fn reopen(&self, fd: i32, flags: i32) -> Result<i32, Errno> {
        direct::reopen(fd, flags)
    }

    fn status_flags(&self, fd: i32) -> Result<i32, Errno> {
        direct::status_flags(fd)
    }

    fn in_memory(&self, fd: i32) -> bool {
        direct::in_memory(fd)
    }

    fn advise_random(&self, fd: i32) {
        direct::advise_random(fd);
    }

    fn poll_in(&self, fd: i32, patience_ns: u64) -> Result<bool, Errno> {
        direct::poll_in(fd, patience_ns)
    }
}
