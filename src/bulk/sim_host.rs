//! The simulated kernel's files, by plain system calls.

use core::ffi::CStr;

use crate::bulk::host::Host;
use crate::bulk::work::Work;
use crate::ring::kernel::Kernel as _;
use crate::ring::sim::{Plain, SimKernel};
use crate::sys::file::Status;
use crate::sys::Errno;

/// The call that does a work.
///
/// # Safety
/// What the work points at must be live.
unsafe fn call_of(work: &Work) -> Plain<'_> {
    match *work {
        Work::Open { dir, path, flags, .. } => {
            // SAFETY: the caller's promise: a live string (I2).
            let path = unsafe { CStr::from_ptr(path) }.to_bytes();
            Plain::Open { dir, path, flags }
        }
        Work::Read { fd, addr, len, offset } => {
            Plain::Read { fd, addr: addr as u64, len: len as usize, offset }
        }
        Work::Write { fd, addr, len, offset } => {
            Plain::Write { fd, addr: addr as u64, len: len as usize, offset }
        }
        Work::Fsync { fd, .. } => Plain::Sync { fd },
        Work::Close { fd } => Plain::Close { fd },
    }
}

impl Host for SimKernel {
    type Kernel = SimKernel;

    fn kernel(&self) -> SimKernel {
        self.clone()
    }

    unsafe fn carry_out(&self, work: &Work) -> i32 {
        // SAFETY: the caller's promise (I2).
        unsafe { self.plain_call(call_of(work), false) }.unwrap_or(-Errno::EAGAIN.0)
    }

    unsafe fn try_now(&self, work: &Work) -> Option<i32> {
        if !matches!(work, Work::Open { .. } | Work::Read { .. }) {
            return None;
        }
        // SAFETY: the caller's promise (I2).
        unsafe { self.plain_call(call_of(work), true) }
    }

    unsafe fn drop_fd(&self, fd: i32) {
        // SAFETY: the caller's promise (I10).
        unsafe { self.close(fd) };
    }

    fn status(&self, fd: i32) -> Result<Status, Errno> {
        self.may_fail("fstat")?;
        let (size, ino) = self.regular_file(fd)?;
        Ok(Status { mode: 0o100_644, size, dev: 1, ino })
    }
}
