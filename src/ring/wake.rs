//! Waking a ring's waiter from any thread: a completion of our own, sent with
//! IORING_REGISTER_SEND_MSG_RING, which needs no ring of the sender's.

use std::sync::PoisonError;

use crate::ring::error::RingError;
use crate::ring::kernel::Kernel;
use crate::ring::params::register_error;
use crate::ring::slots::{internal_key, Kind};
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;
use crate::sys::sync::atomic::{AtomicBool, AtomicU32, Ordering};
#[cfg(shuttle)]
use crate::sys::sync::broken::{self, Rule};
use crate::sys::sync::{Mutex, MutexGuard};
use crate::sys::Errno;

/// A ring's bell.
pub struct Wake {
    /// The ring's descriptor, -1 once closed. The lock is held while ringing, so that the number
    /// cannot come to mean somebody else's ring meanwhile.
    fd: Mutex<i32>,
    /// A wake-up is on its way: more of them change nothing.
    pending: AtomicBool,
    /// How many completions the owner sleeps for, if it does for more than one.
    wanted: AtomicU32,
    /// A wake-up came before anybody used the ring: the kernel takes none until it is enabled.
    early: AtomicBool,
}

impl Wake {
    /// The bell of the ring behind `fd`.
    pub fn new(fd: i32) -> Self {
        Wake {
            fd: Mutex::new(fd),
            pending: AtomicBool::new(false),
            wanted: AtomicU32::new(0),
            early: AtomicBool::new(false),
        }
    }

    fn fd(&self) -> MutexGuard<'_, i32> {
        self.fd.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The owner is about to sleep for `count` completions: for how many may it? A wake-up that is
    /// on its way is one completion, and was sent without knowing of any more.
    ///
    /// Each side tells and then looks, in one order for all: one of them sees the other.
    #[inline(always)]
    pub fn before_sleep(&self, count: u32) -> u32 {
        if count <= 1 {
            return count;
        }
        #[cfg(shuttle)]
        if broken::is(Rule::TellThenLook) {
            let pending = self.pending.load(Ordering::SeqCst);
            self.wanted.store(count, Ordering::SeqCst);
            return if pending { 1 } else { count };
        }
        self.wanted.store(count, Ordering::SeqCst);
        if self.pending.load(Ordering::SeqCst) {
            1
        } else {
            count
        }
    }

    /// The owner sleeps no more.
    #[inline(always)]
    pub fn after_sleep(&self) {
        self.wanted.store(0, Ordering::Relaxed);
    }

    /// The wake-up was seen; the next one is a new one.
    pub fn arrived(&self) {
        self.pending.store(false, Ordering::Release);
    }

    /// Was there a wake-up that could not be sent? It counts once.
    #[inline(always)]
    pub fn take_early(&self) -> bool {
        self.early.load(Ordering::Relaxed) && self.early.swap(false, Ordering::SeqCst)
    }

    /// Do something with the ring's descriptor, which stays what it is meanwhile.
    pub fn with_fd<T>(
        &self,
        what: impl FnOnce(i32) -> Result<T, RingError>,
    ) -> Result<T, RingError> {
        match *self.fd() {
            fd if fd < 0 => Err(RingError::Closed),
            fd => what(fd),
        }
    }

    /// The ring is about to close: ring no more.
    pub fn mute(&self) {
        *self.fd() = -1;
    }

    /// The ring's descriptor; None once it is closed or about to be.
    pub fn descriptor(&self) -> Option<i32> {
        let fd = *self.fd();
        (fd >= 0).then_some(fd)
    }

    /// Wake the waiter, or the next one to wait.
    pub fn ring(&self, kernel: &impl Kernel) -> Result<(), RingError> {
        let fd = self.fd();
        if *fd < 0 {
            return Err(RingError::Closed);
        }
        if self.pending.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        // The kernel lets a waiter sleep until there are as many as it wants.
        for _ in 1..self.wanted.load(Ordering::SeqCst) {
            if send(kernel, *fd, Kind::Filler).is_err() {
                break;
            }
        }
        let mut sent = send(kernel, *fd, Kind::Wake);
        if matches!(sent, Err(Errno::EBADFD)) {
            self.early.store(true, Ordering::SeqCst);
            // The owner may have come meanwhile and be asleep already; if it still has not, it
            // will find the note when it does.
            sent = match send(kernel, *fd, Kind::Wake) {
                Err(Errno::EBADFD) => return Ok(()),
                sent => sent,
            };
            self.early.store(false, Ordering::SeqCst);
        }
        match sent {
            Ok(()) => Ok(()),
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

/// Post a completion of our own into the ring behind `fd`, which must be open.
fn send(kernel: &impl Kernel, fd: i32, kind: Kind) -> Result<(), Errno> {
    let mut sqe = io_uring_sqe {
        opcode: IORING_OP_MSG_RING,
        fd,
        off: internal_key(kind),
        addr: IORING_MSG_DATA,
        ..Default::default()
    };
    let arg = core::ptr::from_mut(&mut sqe).cast();
    // SAFETY: one entry, read during the call; the target ring is open, says the caller (I9).
    unsafe { kernel.register(-1, IORING_REGISTER_SEND_MSG_RING, arg, 1) }.map(drop)
}
