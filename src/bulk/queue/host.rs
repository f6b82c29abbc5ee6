//! What a queue asks of the system beside rings: files of its own, a bell, plain calls.

use crate::bulk::host::Host;
use crate::bulk::queue::bell;
use crate::bulk::queue::op::Op;
use crate::ring::kernel::Linux;
use crate::sys::{file, Errno};

/// The system that the files of a queue are on.
pub trait QueueHost: Host {
    /// An eventfd that a ring of this system can poll, counting from 0.
    fn bell(&self) -> Result<i32, Errno>;

    /// Add one to it. That it is full already is no error.
    fn ring_bell(&self, bell: i32) -> Result<(), Errno>;

    /// Take what it has counted: was that more than nothing?
    fn take_bell(&self, bell: i32) -> bool;

    /// Another descriptor of an open file, which the caller then owns.
    fn duplicate(&self, fd: i32) -> Result<i32, Errno>;

    /// Do it by a plain system call, however long that takes: what a completion would say.
    ///
    /// # Safety
    /// What it points at must be what it says, and live for the call.
    unsafe fn perform(&self, fd: i32, op: &Op, offset: u64) -> i32;
}

impl QueueHost for Linux {
    fn bell(&self) -> Result<i32, Errno> {
        bell::new()
    }

    fn ring_bell(&self, bell: i32) -> Result<(), Errno> {
        bell::ring(bell)
    }

    fn take_bell(&self, bell: i32) -> bool {
        bell::take(bell)
    }

    fn duplicate(&self, fd: i32) -> Result<i32, Errno> {
        file::duplicate(fd)
    }

    unsafe fn perform(&self, fd: i32, op: &Op, offset: u64) -> i32 {
        // SAFETY: the caller's promise (I2).
        unsafe { op.carry_out(fd, offset) }
    }
}

#[cfg(feature = "sim")]
mod sim {
    use super::*;
    use crate::ring::sim::{Plain, SimKernel};
    use crate::sys::os::iovec;

    impl QueueHost for SimKernel {
        fn bell(&self) -> Result<i32, Errno> {
            self.may_fail("eventfd2")?;
            self.eventfd()
        }

        fn ring_bell(&self, bell: i32) -> Result<(), Errno> {
            self.feed(bell, &1u64.to_ne_bytes())
        }

        fn take_bell(&self, bell: i32) -> bool {
            matches!(self.eventfd_count(bell), Some(1..)) && self.drain(bell).is_ok()
        }

        fn duplicate(&self, fd: i32) -> Result<i32, Errno> {
            self.may_fail("fcntl")?;
            self.duplicate_file(fd)
        }

        unsafe fn perform(&self, fd: i32, op: &Op, offset: u64) -> i32 {
            let plain = |call| {
                // SAFETY: the caller's promise (I2).
                unsafe { self.plain_call(call, false) }.unwrap_or(-Errno::EAGAIN.0)
            };
            let one = |reads: bool, addr: u64, len: usize, offset| match reads {
                true => plain(Plain::Read { fd, addr, len, offset }),
                false => plain(Plain::Write { fd, addr, len, offset }),
            };
            let many = |reads: bool, parts: *const iovec, count: u32| {
                let mut done = 0;
                for at in 0..count as usize {
                    // SAFETY: the caller's promise: so many live vectors (I2).
                    let part = unsafe { parts.add(at).read() };
                    let here = offset.saturating_add(done as u64);
                    let n = one(reads, part.iov_base as u64, part.iov_len, here);
                    if n < 0 {
                        return if done > 0 { done } else { n };
                    }
                    done += n;
                    if (n as usize) < part.iov_len {
                        break;
                    }
                }
                done
            };
            match *op {
                Op::Read { addr, len, .. } => one(true, addr as u64, len as usize, offset),
                Op::Write { addr, len, .. } => one(false, addr as u64, len as usize, offset),
                Op::Readv { parts, count } => many(true, parts, count),
                Op::Writev { parts, count } => many(false, parts, count),
                Op::Sync { .. } => plain(Plain::Sync { fd }),
                Op::Discard { len } => plain(Plain::Punch { fd, offset, len }),
            }
        }
    }
}
