//! io_uring_enter(2): submit, then wait in virtual time.

use std::ffi::c_void;

use super::faults::{Action, Call};
use super::files::Object;
use super::request::read_user;
use super::world::World;
use crate::sys::abi::{__kernel_timespec, io_uring_getevents_arg};
use crate::sys::consts::*;
use crate::sys::sync::thread;
use crate::sys::Errno;

/// How much deferred work one round of a wait does at most, unless it waits for more.
const LOCAL_WORK_MAX: usize = 20;

/// The arguments of one call.
#[derive(Clone, Copy)]
pub(super) struct Enter {
    pub(super) fd: i32,
    pub(super) to_submit: u32,
    pub(super) min_complete: u32,
    pub(super) flags: u32,
    pub(super) arg: *const c_void,
    pub(super) argsz: usize,
}

/// What the extended argument says about a wait.
#[derive(Clone, Copy, Default)]
struct Limits {
    deadline: Option<u64>,
    /// From here on one completion is enough.
    min_deadline: Option<u64>,
}

/// How a call of enter ended: done, or, with so many entries taken, in a wait that nothing
/// simulated can end.
pub(super) enum Entered {
    Done(Result<u32, Errno>),
    Stuck(u32),
}

impl World {
    pub(super) fn ring_of_fd(&self, fd: i32) -> Result<usize, Errno> {
        let file = self.files.lookup(fd).ok_or(Errno::EBADF)?;
        match self.files.object(file) {
            Some(Object::Ring(ring)) => Ok(ring),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    /// The ring that `fd` names, a descriptor or a registered index.
    pub(super) fn ring_of_call(&self, fd: i32, registered: bool) -> Result<usize, Errno> {
        if !registered {
            return self.ring_of_fd(fd);
        }
        let index = usize::try_from(fd).map_err(|_| Errno::EINVAL)?;
        match self.registered.get(index) {
            Some(ring) => ring.filter(|ring| !self.rings[*ring].closed).ok_or(Errno::EBADF),
            None => Err(Errno::EINVAL),
        }
    }

    /// Does the calling thread own the ring, as far as anybody does?
    pub(super) fn check_issuer(&self, ring: usize) -> Result<(), Errno> {
        match self.rings[ring].issuer {
            Some(issuer) if issuer != thread::current().id() => Err(Errno::EEXIST),
            _ => Ok(()),
        }
    }

    pub(super) fn enter(&mut self, call: Enter) -> Entered {
        let action = self.faults.call(Call::Enter, "io_uring_enter");
        let now = self.now.saturating_add(self.options.call_ns);
        self.advance_to(now);
        if let Some(Action::Err(errno)) = action {
            return Entered::Done(Err(errno));
        }
        let entered = self.enter_ring(call, action);
        self.settle_call();
        entered
    }

    /// Go on with a wait that was stuck: another thread may have done something.
    pub(super) fn wait_on(&mut self, call: Enter) -> Entered {
        let entered = self.enter_ring(Enter { to_submit: 0, ..call }, None);
        self.settle_call();
        entered
    }

    fn enter_ring(&mut self, call: Enter, action: Option<Action>) -> Entered {
        let refuse = |errno| Entered::Done(Err(errno));
        if call.flags & !self.options.enter_flags != 0 {
            return refuse(Errno::EINVAL);
        }
        let registered = call.flags & IORING_ENTER_REGISTERED_RING != 0;
        let ring = match self.ring_of_call(call.fd, registered) {
            Ok(ring) => ring,
            Err(errno) => return refuse(errno),
        };
        if self.rings[ring].disabled {
            return refuse(Errno::EBADFD);
        }
        let mut taken = 0;
        if self.rings[ring].sq_thread.is_some() {
            self.poke_sq_thread(ring, call.flags);
            taken = call.to_submit;
        } else if call.to_submit > 0 {
            if let Err(errno) = self.check_issuer(ring) {
                return refuse(errno);
            }
            let count = match action {
                Some(Action::ShortSubmit(0)) => return refuse(Errno::EAGAIN),
                Some(Action::ShortSubmit(n)) => call.to_submit.min(n),
                _ => call.to_submit,
            };
            taken = self.submit(ring, count);
            if taken != call.to_submit {
                // The kernel does not wait when it could not take everything.
                return Entered::Done(Ok(taken));
            }
        }
        if call.flags & IORING_ENTER_GETEVENTS == 0 {
            return Entered::Done(Ok(taken));
        }
        if taken > 0 && self.rings[ring].has(IORING_SETUP_DEFER_TASKRUN) {
            let min = call.min_complete as usize;
            self.run_some_work(ring, min, min.max(LOCAL_WORK_MAX));
        }
        let waited = match self.limits(&call) {
            Ok(limits) => self.wait(ring, call.min_complete, limits, action),
            Err(errno) => Some(Err(errno)),
        };
        match waited {
            None => Entered::Stuck(taken),
            // Whatever ended the wait, entries that were taken are told first.
            Some(_) if taken > 0 => Entered::Done(Ok(taken)),
            Some(result) => {
                // The user has been told, and may go on without what was dropped.
                self.rings[ring].lost &= result != Err(Errno::EBADR);
                Entered::Done(result.map(|()| 0))
            }
        }
    }

    fn poke_sq_thread(&mut self, ring: usize, flags: u32) {
        if flags & IORING_ENTER_SQ_WAKEUP != 0 {
            let now = self.now;
            if let Some(thread) = &mut self.rings[ring].sq_thread {
                thread.asleep = false;
                thread.worked_at = now;
            }
            self.rings[ring].memory.set_sq_flag(IORING_SQ_NEED_WAKEUP, false);
        }
        self.sq_thread_step(ring);
    }

    fn limits(&self, call: &Enter) -> Result<Limits, Errno> {
        let mut limits = Limits::default();
        if call.flags & IORING_ENTER_EXT_ARG == 0 {
            return Ok(limits);
        }
        if call.flags & IORING_ENTER_EXT_ARG_REG != 0
            || call.argsz != size_of::<io_uring_getevents_arg>()
        {
            return Err(Errno::EINVAL);
        }
        // SAFETY: the caller of enter vouches for the argument during the call (I2).
        let arg: io_uring_getevents_arg = unsafe { read_user(call.arg as usize as u64) }?;
        let min_wait = self.options.features & IORING_FEAT_MIN_TIMEOUT != 0;
        if arg.min_wait_usec != 0 && !min_wait {
            return Err(Errno::EINVAL);
        }
        if arg.min_wait_usec != 0 {
            let least = u64::from(arg.min_wait_usec) * 1_000;
            limits.min_deadline = Some(self.now.saturating_add(least));
        }
        if arg.ts != 0 {
            // SAFETY: as above (I2).
            let ts: __kernel_timespec = unsafe { read_user(arg.ts) }?;
            let ns = (ts.tv_sec.max(0) as u64)
                .saturating_mul(1_000_000_000)
                .saturating_add(ts.tv_nsec.max(0) as u64);
            let absolute = call.flags & IORING_ENTER_ABS_TIMER != 0;
            limits.deadline = Some(if absolute { ns } else { self.now.saturating_add(ns) });
        }
        Ok(limits)
    }

    /// Work that the kernel does for a ring on behalf of the task that has entered it.
    fn run_entered(&mut self, ring: usize, min: usize, max: usize) {
        if self.rings[ring].has(IORING_SETUP_DEFER_TASKRUN) {
            self.run_some_work(ring, min, max);
        } else {
            self.run_work(ring);
        }
        self.settle_call();
        self.flush_overflow(ring);
    }

    /// The same, from within a wait for `wanted` completions.
    fn run_round(&mut self, ring: usize, wanted: u32) {
        let missing = wanted.saturating_sub(self.cq_ready(ring)).max(1) as usize;
        self.run_entered(ring, missing, missing);
    }

    /// Wait for completions (`io_cqring_wait`). None if nothing can ever end the wait.
    fn wait(
        &mut self,
        ring: usize,
        min_complete: u32,
        limits: Limits,
        action: Option<Action>,
    ) -> Option<Result<(), Errno>> {
        if self.rings[ring].has(IORING_SETUP_DEFER_TASKRUN) {
            if let Err(errno) = self.check_issuer(ring) {
                return Some(Err(errno));
            }
        }
        let mut wanted = min_complete.min(self.rings[ring].cq_entries);
        let min = wanted as usize;
        self.run_entered(ring, min, min.max(LOCAL_WORK_MAX));
        let timeouts = self.rings[ring].cq_timeouts;
        if self.cq_ready(ring) >= wanted && !self.rings[ring].lost {
            return Some(Ok(()));
        }
        let mut min_deadline = limits.min_deadline;
        let error = loop {
            if self.rings[ring].lost {
                break Errno::EBADR;
            }
            // Its timeouts end a wait whatever their number.
            if self.cq_ready(ring) >= wanted || self.rings[ring].cq_timeouts != timeouts {
                return Some(Ok(()));
            }
            if core::mem::take(&mut self.signal) || action == Some(Action::Interrupt) {
                break Errno::EINTR;
            }
            if action == Some(Action::WakeEarly) {
                return Some(Ok(()));
            }
            if !self.rings[ring].work.is_empty() {
                self.run_round(ring, wanted);
                continue;
            }
            let until = match (min_deadline, limits.deadline) {
                (Some(min), Some(deadline)) => Some(min.min(deadline)),
                (min, deadline) => min.or(deadline),
            };
            if self.sq_thread_step(ring) {
                self.run_round(ring, wanted);
                continue;
            }
            let next = self.events.first_key_value().map(|((at, _), _)| *at);
            match (next, until) {
                (Some(at), until) if until.is_none_or(|until| at <= until) => {
                    self.now = self.now.max(at);
                    self.run_due();
                }
                (_, Some(until)) => {
                    self.now = self.now.max(until);
                    self.run_round(ring, wanted);
                    if min_deadline.take().is_none() || limits.deadline.is_none_or(|d| d <= until) {
                        break Errno::ETIME;
                    }
                    wanted = wanted.min(1);
                }
                (_, None) => return None,
            }
            self.run_round(ring, wanted);
        };
        // With something to take the caller is told of that, not of what ended the wait.
        if error != Errno::EBADR && self.cq_ready(ring) > 0 {
            return Some(Ok(()));
        }
        Some(Err(error))
    }

    /// The end of a wait that nothing simulated can end: a signal, so that nobody hangs, until it
    /// has been too many.
    pub(super) fn stuck(&mut self, taken: u32) -> Result<u32, Errno> {
        self.stuck += 1;
        if taken > 0 {
            return Ok(taken);
        }
        self.stuck_in_a_row += 1;
        if self.stuck_in_a_row > self.options.stuck_limit {
            let fds: Vec<String> = self.describe_waiting();
            self.violation(format!("waiting for what can never happen; in flight: {fds:?}"));
            return Err(Errno::EDEADLK);
        }
        Err(Errno::EINTR)
    }

    fn describe_waiting(&self) -> Vec<String> {
        let one =
            |r: &super::request::Request| format!("op {} {:#x} {:?}", r.op, r.user_data, r.state);
        self.requests.values().take(8).map(one).collect()
    }
}
