//! The selector's own ring: made, woken from outside, and let go of.

use crate::poll::table::{of_key, QUEUED};
use crate::poll::{thread, PollSet};
use crate::ring::error::RingError;
use crate::ring::kernel::Readiness;
use crate::ring::params::Config;
use crate::ring::slots::{internal_key, Kind, Zeroed};
use crate::ring::wait::EnterPlan;
use crate::ring::Ring;
use crate::sys::abi::{io_uring_cqe, io_uring_sqe};
use crate::sys::consts::*;

/// A completion queue of more places is of no use: the kernel's table of polls, whose size follows
/// from it, grows no further than with 8192.
const CQ_ENTRIES_MOST: u32 = 16_384;
/// So many descriptors for each place of the completion queue before it grows.
const CROWD: u32 = 2;

/// What a poll request keeps alive.
pub(super) struct Nothing;

// SAFETY: there are no bytes that could be invalid (I1).
unsafe impl Zeroed for Nothing {}

/// A ring for poll requests, which keep no memory: its slots stay empty.
pub(super) struct PollRing<K: Readiness> {
    ring: Ring<K, Nothing>,
    /// `Cq::dropped` of a healthy ring.
    dropped: u32,
    /// Poll requests staged or with the kernel.
    in_flight: u32,
}

impl<K: Readiness> PollRing<K> {
    pub(super) fn new(kernel: &K, config: &Config) -> Result<Self, RingError> {
        let mut ring = Ring::new(kernel.clone(), config)?;
        // Another thread may come to close it, and must not leave it open in this one's table: its
        // requests keep files.
        ring.stay_unregistered();
        // To wait for a connection is not to wait for a disk.
        let _ = ring.set_iowait(false);
        let dropped = ring.cq().dropped();
        Ok(PollRing { ring, dropped, in_flight: 0 })
    }

    pub(super) fn enable(&mut self) -> Result<(), RingError> {
        self.ring.enable()
    }

    pub(super) fn cq_entries(&self) -> u32 {
        self.ring.params().cq_entries
    }

    /// Has the kernel lost completions, for want of memory?
    pub(super) fn has_lost_some(&mut self) -> bool {
        self.ring.cq().dropped() != self.dropped
    }

    pub(super) fn has_news(&mut self) -> bool {
        self.ring.has_news()
    }

    /// Does the kernel hold completions back?
    pub(super) fn holds_back(&mut self) -> bool {
        self.ring.sq().wants_enter()
    }

    /// Entries that the kernel has not taken.
    pub(super) fn pending(&mut self) -> u32 {
        self.ring.pending()
    }

    /// False if there is no room.
    #[inline]
    pub(super) fn push(&mut self, sqe: io_uring_sqe) -> bool {
        let pushed = self.ring.sq().push(sqe).is_ok();
        self.in_flight += u32::from(pushed && sqe.opcode == IORING_OP_POLL_ADD);
        pushed
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<io_uring_cqe> {
        let cqe = self.ring.cq().pop()?;
        if cqe.flags & IORING_CQE_F_MORE == 0 && of_key(cqe.user_data).is_some() {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        Some(cqe)
    }

    /// Poll requests that have not ended.
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub(super) fn reaped(&mut self) {
        self.ring.reaped();
    }

    /// Submit, and bring in what there is.
    pub(super) fn plan_now(&mut self) -> Result<EnterPlan, RingError> {
        let plan = self.ring.plan_submit(0)?;
        let mut plan = plan.unwrap_or_else(|| self.ring.plan_nothing());
        plan.flags |= IORING_ENTER_GETEVENTS;
        Ok(plan)
    }

    /// Submit, and wait for one completion.
    pub(super) fn plan_wait(&mut self) -> Result<Option<EnterPlan>, RingError> {
        self.ring.plan_submit(1)
    }

    /// Can other threads end a wait (REGISTER_SEND_MSG_RING, Linux 6.13)? The kernel has no bit for
    /// it; the next version has one for something else.
    pub(super) fn can_be_woken(&self) -> bool {
        self.ring.params().features & IORING_FEAT_RW_ATTR != 0
    }

    /// May the end of a cancellation that found its target go unsaid?
    pub(super) fn can_be_silent(&self) -> bool {
        self.ring.params().features & IORING_FEAT_CQE_SKIP != 0
    }

    /// The ring is the parent process's.
    pub(super) fn abandon(mut self) {
        self.ring.abandon();
    }
}

impl<K: Readiness> PollSet<K> {
    /// Make sure of a ring that the calling thread may use and that is large enough.
    #[inline]
    pub(super) fn claim_ring(&mut self) -> Result<(), RingError> {
        let me = thread::me();
        if let Some(ring) = &mut self.ring {
            let crowded = self.registered > CROWD.saturating_mul(ring.cq_entries())
                && ring.cq_entries() < CQ_ENTRIES_MOST
                && !self.growth_refused;
            if self.owner == me && !crowded && !ring.has_lost_some() {
                return Ok(());
            }
            if self.owner == thread::NOBODY && !crowded {
                ring.enable()?;
                self.owner = me;
                return Ok(());
            }
        }
        self.new_ring(me)
    }

    /// Go over to a new ring, and arm everything anew.
    #[cold]
    fn new_ring(&mut self, me: u64) -> Result<(), RingError> {
        let old = self.ring.as_mut().map(|ring| (ring.cq_entries(), ring.has_lost_some()));
        let (entries, must) = match old {
            Some((entries, lost)) => (entries, lost || self.owner != me),
            None => (0, true),
        };
        let crowd = self.registered.next_power_of_two().min(CQ_ENTRIES_MOST);
        let mut config = self.config.clone();
        if crowd.max(entries) > CROWD.saturating_mul(config.entries) {
            config.cq_entries = Some(crowd.max(entries).max(config.entries));
        }
        let made = PollRing::new(&self.kernel, &config).and_then(|mut ring| {
            ring.enable()?;
            Ok(ring)
        });
        match made {
            Ok(ring) => {
                self.retire_ring();
                self.ring = Some(ring);
                self.owner = me;
                self.rings_made += 1;
                self.disarm_all();
                Ok(())
            }
            Err(error) if must => Err(error),
            Err(_) => {
                self.growth_refused = true;
                self.claim_ring()
            }
        }
    }

    /// No request is in flight any more: all are to be armed.
    pub(super) fn disarm_all(&mut self) {
        self.cancels.clear();
        let todo = &mut self.todo;
        for (fd, entry) in self.table.registered() {
            entry.armed = 0;
            if entry.state & QUEUED == 0 {
                entry.state |= QUEUED;
                todo.push(fd);
            }
        }
    }

    /// Close the ring. Its owner sees the end of each request first, so that their files are let go
    /// of when this returns; in another thread the kernel does that soon.
    pub(super) fn retire_ring(&mut self) {
        if self.owner == thread::me() {
            self.end_all();
        }
        self.owner = thread::NOBODY;
        self.ring = None;
    }

    /// Have the thread that waits look at what has changed.
    #[inline]
    pub(super) fn wake(&mut self) {
        if self.waiting && !self.wake_sent {
            self.wake_waiter();
        }
    }

    #[cold]
    fn wake_waiter(&mut self) {
        let Some(ring) = &self.ring else { return };
        let mut sqe = io_uring_sqe {
            opcode: IORING_OP_MSG_RING,
            fd: ring.ring.fd(),
            off: internal_key(Kind::Wake),
            addr: IORING_MSG_DATA,
            ..Default::default()
        };
        let arg = core::ptr::from_mut(&mut sqe).cast();
        // SAFETY: one entry, read during the call; the ring is open while the set has it (I9).
        let sent = unsafe { self.kernel.register(-1, IORING_REGISTER_SEND_MSG_RING, arg, 1) };
        // Where it cannot be sent, the waiter looks up by itself soon (`longest_wait_ns`).
        self.wake_sent = sent.is_ok();
    }
}
