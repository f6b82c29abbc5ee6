//! Closing: refuse, roll back, cancel, drain, unmap, close (I12).
//!
//! close(2) of a ring is no barrier: reads were seen to write 210 ms after it returned. So nothing
//! is unmapped or freed before the last request's terminal completion was seen; what cannot be
//! seen in time is leaked, never freed (I2, I8).

use crate::ring::cq::Cq;
use crate::ring::error::RingError;
use crate::ring::kernel::Kernel;
use crate::ring::slots::{internal_key, Kind, Slots, Zeroed};
use crate::ring::sq::Sq;
use crate::ring::wait::EnterPlan;
use crate::ring::{ringfd, Phase, Ring};
use crate::sys::abi::{__kernel_timespec, io_uring_sqe, io_uring_sync_cancel_reg};
use crate::sys::consts::*;
use crate::sys::Errno;

impl<K: Kernel, P: Zeroed> Ring<K, P> {
    /// Refuse new work and take back what the kernel has not taken; `each` gets the slots of
    /// those requests, reserved again, to be released and freed. Nobody may be inside enter.
    pub fn begin_close(&mut self, mut each: impl FnMut(u32)) {
        if self.phase != Phase::Open {
            return;
        }
        self.phase = Phase::Closing;
        // A poll thread reads the queue whenever it likes: what it was shown stays shown.
        // Of a disabled ring it takes nothing.
        if !self.is_sqpoll() || self.disabled {
            self.sq.unpublish();
        }
        self.discard(&mut each);
    }

    /// Refuse new work from now on; what is staged may still be published by [`Ring::plan_poke`].
    pub fn refuse(&mut self) {
        self.refusing = true;
    }

    /// Plan `count` completions that nobody asked for, to get waiters out of the kernel.
    pub fn plan_poke(&mut self, count: u32) -> Result<Option<EnterPlan>, RingError> {
        let sqe = io_uring_sqe {
            opcode: IORING_OP_NOP,
            fd: -1,
            user_data: internal_key(Kind::Filler),
            ..Default::default()
        };
        for _ in 0..count {
            // A full queue gets submitted below, and the next poke finds room.
            if self.sq.push(sqe).is_err() {
                break;
            }
        }
        self.plan_submit(0)
    }

    /// Put an entry of the ring's own into the queue, whose completion nobody gets to see: a
    /// cancellation. Not behind an open link: it would be part of that chain.
    pub fn push_internal(&mut self, mut sqe: io_uring_sqe) -> Result<(), RingError> {
        sqe.user_data = internal_key(Kind::Internal);
        self.sq.push(sqe).map_err(|_| RingError::SqFull)?;
        self.cancelling += 1;
        Ok(())
    }

    /// Entries not taken by the kernel; 0 once the ring is closed.
    pub fn pending_or_zero(&mut self) -> u32 {
        if self.phase == Phase::Closed {
            0
        } else {
            self.pending()
        }
    }

    /// Ask the kernel to cancel everything in flight. Each request still ends with its own
    /// completion, and some (disk transfers under way) cannot be cancelled, only waited for.
    pub fn cancel_in_flight(&mut self) -> Result<(), RingError> {
        if self.disabled {
            return Ok(());
        }
        if self.live() == 0 {
            // A cancellation that the kernel did not take when it could have helped is waited for all
            // the same: it has to be sent to come back.
            return if self.cancelling > 0 && self.sq.pending() > 0 {
                self.submit_now()
            } else {
                Ok(())
            };
        }
        let mut cancel = io_uring_sync_cancel_reg {
            fd: -1,
            flags: IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL,
            // Zero time: do not sleep in here, the drain loop does the waiting.
            timeout: __kernel_timespec { tv_sec: 0, tv_nsec: 0 },
            ..Default::default()
        };
        let arg = core::ptr::from_mut(&mut cancel).cast();
        // SAFETY: `cancel` is what SYNC_CANCEL takes and is read during the call only (I12).
        match unsafe { self.register_raw(IORING_REGISTER_SYNC_CANCEL, arg, 1) } {
            // Linux before 6.0 knows no synchronous cancellation.
            Err(Errno::EINVAL) => self.cancel_one_by_one(),
            Err(Errno::EEXIST) => Err(RingError::WrongThread),
            _ => Ok(()),
        }
    }

    fn cancel_one_by_one(&mut self) -> Result<(), RingError> {
        // Those of the last round may wait behind a drain: more of them would only pile up there.
        if self.cancelling > 0 {
            return self.submit_now();
        }
        // What cannot be taken back any more may end in an open link. Behind it cancellations would be
        // part of that chain, and wait for what they are to cancel; a submission ends it.
        if self.sq.pending() > 0 {
            self.submit_now()?;
            if self.sq.pending() > 0 {
                return Ok(());
            }
        }
        let Some(slots) = &self.slots else { return Ok(()) };
        let mut keys: Vec<u64> = slots.live_indices().map(|index| slots.key(index)).collect();
        keys.extend(self.batches.keys_in_flight());
        for key in keys {
            let sqe = io_uring_sqe {
                opcode: IORING_OP_ASYNC_CANCEL,
                fd: -1,
                addr: key,
                user_data: internal_key(Kind::Internal),
                ..Default::default()
            };
            if self.sq.push(sqe).is_err() {
                self.submit_now()?;
                if self.sq.push(sqe).is_err() {
                    // Still full: the next round of the drain loop tries again.
                    break;
                }
            }
            self.cancelling += 1;
        }
        self.submit_now()
    }

    fn submit_now(&mut self) -> Result<(), RingError> {
        if let Some(plan) = self.plan_submit(0)? {
            plan.run(&self.kernel, None, 0)?;
        }
        Ok(())
    }

    /// Plan to wait for one more completion of what is still in flight; None when all is done.
    /// Cancellations that say at once that they can do nothing do not end the wait: it would be the
    /// next round's cancellations that it ends for, and so on without a pause.
    pub fn plan_drain(&mut self) -> Option<EnterPlan> {
        if !self.in_flight() || self.phase == Phase::Closed {
            return None;
        }
        let one = u32::from(self.live() > 0);
        self.plan_wait((self.cancelling + one).min(self.params.cq_entries))
    }

    /// Is anything with the kernel, the ring's own cancellations included? Those keep no memory and
    /// do not stand in the way of closing; they are waited for while there is time.
    fn in_flight(&self) -> bool {
        self.live() > 0 || (self.cancelling > 0 && self.phase != Phase::Closed)
    }

    /// Unmap and close. False, with nothing done, while a request is live.
    pub fn finish_close(&mut self) -> bool {
        if self.live() > 0 {
            return false;
        }
        if self.phase != Phase::Closed {
            self.phase = Phase::Closed;
            self.unregister_fd();
            self.detach_queues();
            if let Some(maps) = self.maps.take() {
                // SAFETY: no slot is live and the queues over the maps are gone (I8).
                unsafe { maps.unmap(&self.kernel) };
            }
            self.shut_pools();
            if !self.gone {
                // SAFETY: the ring's own descriptor, used by nobody from here on (I10, I12).
                unsafe { ringfd::close(&self.kernel, self.fd, self.params.flags) };
            }
            self.fd = -1;
            self.wait_region = None;
        }
        true
    }

    /// From here on, whoever looks at the queues sees empty ones, and no unmapped memory (I8).
    pub(super) fn detach_queues(&mut self) {
        self.sq = Sq::detached();
        self.cq = Cq::detached();
    }

    /// The ring lives in the parent process: forget everything, touch nothing (I9). The maps are
    /// not there in this process, and the descriptor was closed by the fork handler.
    pub fn abandon(&mut self) {
        self.phase = Phase::Closed;
        self.detach_queues();
        self.maps = None;
        self.fd = -1;
        if let Some(slots) = self.slots.take() {
            if slots.live() > 0 || slots.reserved() > 0 {
                slots.leak();
            }
        }
    }

    /// Close by itself, for a ring whose payloads need no releasing: cancel, drain for at most
    /// `patience_ns`, unmap and close, or leak what is left. True when nothing was left.
    pub fn close_within(
        &mut self,
        patience_ns: u64,
        mut release: impl FnMut(&Slots<P>, u32),
    ) -> bool {
        let mut back = Vec::new();
        self.begin_close(|index| back.push(index));
        let deadline = self.kernel.now_ns().saturating_add(patience_ns);
        let (mut naps, mut failures) = (Naps::default(), 0);
        loop {
            while let Some(event) = self.next_event() {
                if event.terminal {
                    back.push(event.index);
                }
            }
            self.reaped();
            for index in back.drain(..) {
                if let Some(slots) = &self.slots {
                    release(slots, index);
                }
                self.free(index);
            }
            let now = self.kernel.now_ns();
            if !self.in_flight() || now >= deadline {
                break;
            }
            let nap = Some((deadline - now).min(naps.next(self.live())));
            let waited = self.cancel_in_flight().and_then(|()| match self.plan_drain() {
                Some(plan) => plan.run(&self.kernel, nap, 0).map(|_| ()),
                None => Ok(()),
            });
            match waited {
                // The kernel is short of something just now.
                Ok(()) => {}
                Err(error) if error.passes() => {}
                Err(_) if failures < FAILURES => failures += 1,
                Err(_) => break,
            }
        }
        self.finish_close()
    }
}

/// So often may draining fail for a reason that is not known to pass, before it is given up.
pub(crate) const FAILURES: u32 = 3;

/// How long each wait of a drain loop lasts before cancelling anew.
///
/// A request that was cancelled may let the next of its chain start, or those behind a drain, which
/// need cancelling in their turn: so short at first, and after each step that was made. Where only
/// the disk can be waited for, longer and longer.
#[derive(Default)]
pub struct Naps {
    nap_ns: u64,
    last_live: u32,
}

const SHORTEST_NAP_NS: u64 = 50_000;
const LONGEST_NAP_NS: u64 = 20_000_000;

impl Naps {
    /// The nap to take now that so many requests are left.
    pub fn next(&mut self, live: u32) -> u64 {
        let stalled = live >= self.last_live && self.nap_ns > 0;
        self.last_live = live;
        self.nap_ns = if stalled { (self.nap_ns * 2).min(LONGEST_NAP_NS) } else { SHORTEST_NAP_NS };
        self.nap_ns
    }
}

impl<K: Kernel, P: Zeroed> Drop for Ring<K, P> {
    fn drop(&mut self) {
        // A ring that lost its queues is closed with requests in flight.
        if !self.finish_close() {
            // Requests are in flight and nobody waited for them: the kernel may write to their
            // memory at any time, so all of it stays (I2, I8).
            if let Some(slots) = self.slots.take() {
                slots.leak();
            }
            core::mem::forget(core::mem::take(&mut self.pools));
        }
    }
}
