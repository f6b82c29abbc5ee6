//! Waking a ring's waiter from any thread: a completion of our own, sent with
//! IORING_REGISTER_SEND_MSG_RING, which needs no ring of the sender's.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::py::kernel::AnyKernel;
use crate::ring::error::RingError;
use crate::ring::kernel::Kernel;
use crate::ring::params::register_error;
use crate::ring::slots::{internal_key, Kind};
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;
use crate::sys::Errno;

/// A ring's bell.
pub(crate) struct Wake {
    /// The ring's descriptor, -1 once closed. The lock is held while ringing, so that the number
    /// cannot come to mean somebody else's ring meanwhile.
    fd: Mutex<i32>,
    /// A wake-up is on its way: more of them change nothing.
    pending: AtomicBool,
}

impl Wake {
    pub(crate) fn new(fd: i32) -> Self {
        Wake { fd: Mutex::new(fd), pending: AtomicBool::new(false) }
    }

    /// The wake-up was seen; the next one is a new one.
    pub(crate) fn arrived(&self) {
        self.pending.store(false, Ordering::Release);
    }

    /// The ring is about to close: ring no more.
    pub(crate) fn mute(&self) {
        *self.fd.lock().unwrap_or_else(PoisonError::into_inner) = -1;
    }

    /// Wake the waiter, or the next one to wait.
    pub(crate) fn ring(&self, kernel: &AnyKernel) -> Result<(), RingError> {
        let fd = self.fd.lock().unwrap_or_else(PoisonError::into_inner);
        if *fd < 0 {
            return Err(RingError::Closed);
        }
        if self.pending.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let mut sqe = io_uring_sqe {
            opcode: IORING_OP_MSG_RING,
            fd: *fd,
            off: internal_key(Kind::Wake),
            addr: IORING_MSG_DATA,
            ..Default::default()
        };
        let arg = core::ptr::from_mut(&mut sqe).cast();
        // SAFETY: one entry, read during the call; the target ring is open: `fd` is locked (I9).
        let sent = unsafe { kernel.register(-1, IORING_REGISTER_SEND_MSG_RING, arg, 1) };
        match sent {
            Ok(_) => Ok(()),
            Err(errno) => {
                self.arrived();
                Err(match errno {
                    Errno::EINVAL => RingError::Unsupported {
                        what: "wake-up of a ring from outside (REGISTER_SEND_MSG_RING)",
                        since: (6, 13),
                    },
                    errno => register_error(errno),
                })
            }
        }
    }
}
