//! Entering the kernel: what to submit, what to wait for, and how long.
//!
//! A plan is made while the ring is held and carried out while it is not ([`EnterPlan::run`]), so
//! that nobody is kept out of the ring by somebody who sleeps in the kernel (I6).

use core::ffi::c_void;

use crate::ring::error::RingError;
use crate::ring::kernel::Kernel;
use crate::ring::params::enter_error;
use crate::ring::slots::Zeroed;
use crate::ring::{Phase, Ring};
use crate::sys::abi::{__kernel_timespec, io_uring_getevents_arg};
use crate::sys::consts::*;
use crate::sys::Errno;

/// One call of io_uring_enter(2), decided on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnterPlan {
    /// The ring's descriptor, or its index in the table of the owner's thread.
    pub fd: i32,
    /// Which of the two.
    pub registered: bool,
    /// Entries to take.
    pub to_submit: u32,
    /// Completions to wait for, counting those already in the queue.
    pub min_complete: u32,
    /// IORING_ENTER_* flags.
    pub flags: u32,
}

/// What the kernel said to an [`EnterPlan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entered {
    /// It took so many entries. A wait may have been cut short by a signal all the same: with
    /// entries taken, the kernel reports only those.
    Took(u32),
    /// A signal came before anything was done.
    Interrupted,
    /// The time was up.
    TimedOut,
    /// The completion queue is overcommitted: reap first.
    Busy,
}

/// What bounds a wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// The most it takes; with ABS_TIMER among the plan's flags, the time at which it ends.
    pub timeout_ns: Option<u64>,
    /// Once that has passed, one completion will do (Linux 6.12).
    pub min_wait_us: u32,
    /// Signals to be blocked meanwhile, instead of those the thread blocks: a bit for each.
    pub sigmask: Option<u64>,
}

impl EnterPlan {
    /// May this call sleep?
    #[inline]
    pub fn may_block(&self) -> bool {
        self.min_complete > 0 || self.flags & IORING_ENTER_SQ_WAIT != 0
    }

    /// Enter the kernel. `timeout_ns` bounds the wait; `min_wait_us` lets the kernel return with
    /// fewer than `min_complete` once that time has passed and something is there (Linux 6.12).
    pub fn run<K: Kernel>(
        &self,
        kernel: &K,
        timeout_ns: Option<u64>,
        min_wait_us: u32,
    ) -> Result<Entered, RingError> {
        self.run_within(kernel, Limits { timeout_ns, min_wait_us, sigmask: None })
    }

    /// Enter the kernel, with a wait bounded by `limits`.
    pub fn run_within<K: Kernel>(&self, kernel: &K, limits: Limits) -> Result<Entered, RingError> {
        let Limits { timeout_ns, min_wait_us, sigmask } = limits;
        let ts = timeout_ns.map(|ns| __kernel_timespec {
            tv_sec: (ns / 1_000_000_000).min(i64::MAX as u64) as i64,
            tv_nsec: (ns % 1_000_000_000) as i64,
        });
        let result = if ts.is_some() || min_wait_us > 0 || sigmask.is_some() {
            let arg = io_uring_getevents_arg {
                sigmask: sigmask.as_ref().map_or(0, |mask| core::ptr::from_ref(mask) as u64),
                sigmask_sz: if sigmask.is_some() { size_of::<u64>() as u32 } else { 0 },
                min_wait_usec: min_wait_us,
                ts: ts.as_ref().map_or(0, |ts| core::ptr::from_ref(ts) as u64),
            };
            let size = core::mem::size_of::<io_uring_getevents_arg>();
            self.call(kernel, IORING_ENTER_EXT_ARG, core::ptr::from_ref(&arg).cast(), size)
        } else {
            self.call(kernel, 0, core::ptr::null(), 0)
        };
        match result {
            Ok(count) => Ok(Entered::Took(count)),
            Err(Errno::EINTR) => Ok(Entered::Interrupted),
            Err(Errno::ETIME) => Ok(Entered::TimedOut),
            Err(Errno::EBUSY) => Ok(Entered::Busy),
            Err(errno) => Err(enter_error(errno)),
        }
    }

    #[inline(always)]
    fn call<K: Kernel>(
        &self,
        kernel: &K,
        extra: u32,
        arg: *const c_void,
        size: usize,
    ) -> Result<u32, Errno> {
        let index = if self.registered { IORING_ENTER_REGISTERED_RING } else { 0 };
        let flags = self.flags | extra | index;
        // SAFETY: every published entry's memory is held by its slot (I2); `arg` lives in the
        // caller's frame.
        unsafe { kernel.enter(self.fd, self.to_submit, self.min_complete, flags, arg, size) }
    }
}

impl<K: Kernel, P: Zeroed> Ring<K, P> {
    /// Publish what is staged and plan to submit it and to wait for `min_complete` completions.
    /// None when there is nothing to enter the kernel for.
    #[inline]
    pub fn plan_submit(&mut self, min_complete: u32) -> Result<Option<EnterPlan>, RingError> {
        if self.phase == Phase::Closed {
            return Err(RingError::Closed);
        }
        if self.shared {
            self.chains.close_mine(&mut self.sq)?;
        }
        let pending = self.sq.publish();
        self.chains.cut();
        Ok(self.plan(pending, min_complete))
    }

    /// Plan to wait for `min_complete` completions without submitting anything.
    pub fn plan_wait(&mut self, min_complete: u32) -> Option<EnterPlan> {
        // A poll thread may have fallen asleep before it saw what it was shown: then the wait would
        // never end.
        let shown = if self.is_sqpoll() { self.sq.pending() - self.sq.staged() } else { 0 };
        self.plan(shown, min_complete)
    }

    /// Publish without entering the kernel. Returns how many entries wait to be taken.
    pub fn publish(&mut self) -> Result<u32, RingError> {
        if self.phase() != Phase::Open {
            return Err(RingError::Closed);
        }
        if self.shared {
            self.chains.close_mine(&mut self.sq)?;
        }
        self.chains.cut();
        Ok(self.sq.publish())
    }

    /// Publish what is staged except a chain that is still open, which must reach the kernel whole.
    /// Returns how many entries wait to be taken.
    fn publish_whole_chains(&mut self) -> Result<u32, RingError> {
        if self.phase() != Phase::Open {
            return Err(RingError::Closed);
        }
        Ok(match self.chains.open_at() {
            Some(start) => self.sq.publish_to(start),
            None => self.sq.publish(),
        })
    }

    /// Plan to submit what is staged, leaving a chain that is still open behind. None when there is
    /// nothing to enter the kernel for.
    pub fn plan_whole_chains(&mut self) -> Result<Option<EnterPlan>, RingError> {
        let pending = self.publish_whole_chains()?;
        Ok(self.plan(pending, 0))
    }

    /// Plan to make room in a full submission queue, leaving a chain that is still open behind.
    pub fn plan_room(&mut self) -> Result<Option<EnterPlan>, RingError> {
        let pending = self.publish_whole_chains()?;
        // A poll thread may have made room in the meantime.
        if pending == 0 && self.chains.open_at().is_some() && self.sq.space() == 0 {
            return Err(RingError::ChainTooLong { max: self.sq.size() });
        }
        let mut plan = self.plan(pending, 0);
        if self.is_sqpoll() {
            let plan = plan.get_or_insert(self.bare_plan());
            plan.flags |= IORING_ENTER_SQ_WAIT;
        }
        Ok(plan)
    }

    /// Plan to enter the kernel with nothing to submit and nothing to wait for.
    pub fn plan_nothing(&self) -> EnterPlan {
        self.bare_plan()
    }

    fn bare_plan(&self) -> EnterPlan {
        let registered = self.registered_by != 0;
        EnterPlan { fd: self.enter_fd, registered, to_submit: 0, min_complete: 0, flags: 0 }
    }

    #[inline]
    fn plan(&mut self, pending: u32, min_complete: u32) -> Option<EnterPlan> {
        if self.enters_to_register > 0 {
            self.enters_to_register -= 1;
            if self.enters_to_register == 0 {
                self.register_fd();
            }
        }
        let mut plan = self.bare_plan();
        plan.min_complete = min_complete;
        if self.is_sqpoll() {
            // The poll thread takes the entries; we only enter to wake it.
            if pending > 0 && self.sq.needs_wakeup() {
                plan.flags |= IORING_ENTER_SQ_WAKEUP;
                plan.to_submit = pending;
            }
        } else {
            plan.to_submit = pending;
        }
        if min_complete > 0 || self.sq.wants_enter() {
            plan.flags |= IORING_ENTER_GETEVENTS | self.wait_flags;
        }
        (plan.to_submit > 0 || plan.flags != 0).then_some(plan)
    }

    /// Plan a call that brings in completions the kernel holds back: overflowed ones, and those
    /// whose work it defers until we enter.
    #[inline]
    pub fn plan_flush(&mut self) -> Option<EnterPlan> {
        self.sq
            .wants_enter()
            .then(|| EnterPlan { flags: IORING_ENTER_GETEVENTS, ..self.bare_plan() })
    }

    /// Plan exactly the call an expert asks for, after publishing what is staged.
    pub fn plan_raw(
        &mut self,
        to_submit: u32,
        min_complete: u32,
        flags: u32,
    ) -> Result<EnterPlan, RingError> {
        self.publish()?;
        Ok(EnterPlan { to_submit, min_complete, flags, ..self.bare_plan() })
    }
}
