//! The ring core: no Python, generic over the kernel and over what each request keeps alive.
//!
//! A request lives in a slot ([`slots`]) from [`Ring::reserve`] to [`Ring::free`]. Between
//! publication and its terminal completion its memory is the kernel's (I1, I2). This type is for
//! one thread at a time; [`access::RingCell`] decides whose turn it is.

pub mod access;
pub mod batches;
pub mod bufring;
mod build;
mod chain;
pub mod cq;
pub mod error;
pub mod files;
pub mod fork;
pub mod kernel;
pub mod mapping;
pub mod params;
pub mod probe;
pub mod region;
pub mod register;
mod resize;
pub mod restrict;
mod ringfd;
mod setup_flags;
#[cfg(feature = "sim")]
pub mod sim;
pub mod slots;
mod spare;
pub mod sq;
mod staging;
pub mod teardown;
pub mod wait;
pub mod wake;
pub mod word;
pub mod zcrx;

use core::ffi::c_void;
use core::ops::Range;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::sys::abi::{io_uring_cqe, io_uring_params, io_uring_sqe};
use crate::sys::consts::*;
use crate::sys::Errno;

use batches::Batches;
use chain::{Chains, Entry};
use cq::{BigCqe, Cq};
use error::RingError;
use kernel::Kernel;
use mapping::Maps;
use params::register_error;
use region::WaitRegion;
use slots::{Kind, Slots, Zeroed};
use sq::Sq;

/// Where a ring is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// In use.
    Open,
    /// No new work; requests are being cancelled and drained (I12).
    Closing,
    /// Unmapped and closed, or given up and leaked.
    Closed,
}

/// One completion of one live request.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// The request's slot.
    pub index: u32,
    /// The request's key.
    pub key: u64,
    /// What the kernel says came of it; negative is an errno.
    pub res: i32,
    /// IORING_CQE_F_* flags.
    pub flags: u32,
    /// No more completions will come: the kernel is done with the request's memory, and the slot
    /// must be freed by [`Ring::free`] once its payload is released.
    pub terminal: bool,
    /// The caller asked not to see it (CQE_SKIP_SUCCESS).
    pub skip: bool,
    /// The completion had 32 bytes: [`Ring::big`] is the rest of it.
    pub big: bool,
}

/// A message that another ring sent, or this one to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its key, of [`Kind::Message`]: the number it carries is in there.
    pub key: u64,
    /// The result its sender chose.
    pub res: i32,
    /// The flags its sender chose.
    pub flags: u32,
}

/// A ring of one kernel `K`, whose requests each keep a `P` alive.
pub struct Ring<K: Kernel, P: Zeroed> {
    kernel: K,
    fd: i32,
    /// What enter is given: the descriptor, or its index in the owner thread's table.
    enter_fd: i32,
    /// The thread in whose table it is registered; 0 for none.
    registered_by: usize,
    /// After so many more enters the descriptor is registered; 0 for never (again).
    enters_to_register: u32,
    params: io_uring_params,
    maps: Option<Maps>,
    sq: Sq,
    cq: Cq,
    slots: Option<Slots<P>>,
    phase: Phase,
    chains: Chains,
    batches: Batches,
    shared: bool,
    /// Staging is more than pushing an entry: the ring is shared, or polls for completions.
    staged_apart: bool,
    disabled: bool,
    /// Where waits find their arguments, if the caller wants it so.
    wait_region: Option<Box<WaitRegion>>,
    /// It is for the caller to enable the ring, not for its first use.
    enabled_by_hand: bool,
    /// The ring ended with its owner's thread.
    gone: bool,
    /// The queues were made smaller than there are slots: 1, or 0.
    shrunk: u32,
    /// IORING_ENTER_* flags of every wait.
    wait_flags: u32,
    woken: bool,
    /// Closing has been announced, but threads of a shared ring are still inside the kernel.
    refusing: bool,
    /// Cancellations of the ring's own that have not come back.
    cancelling: u32,
    strays: u64,
    /// Messages taken off the ring and not yet handed out.
    messages: VecDeque<Message>,
    /// A pool of buffers is registered: the kernel has one table of them per ring.
    pub has_buffers: bool,
    /// Pools of provided buffers, by no order.
    pools: Vec<Arc<bufring::Pool>>,
}

impl<K: Kernel, P: Zeroed> Ring<K, P> {
    /// The kernel this ring talks to.
    pub fn kernel(&self) -> &K {
        &self.kernel
    }

    /// The ring's descriptor; -1 once closed.
    pub fn fd(&self) -> i32 {
        self.fd
    }

    /// What the kernel made of the set-up.
    pub fn params(&self) -> &io_uring_params {
        &self.params
    }

    /// Where the ring is in its life.
    #[inline]
    pub fn phase(&self) -> Phase {
        if self.refusing && self.phase == Phase::Open {
            return Phase::Closing;
        }
        self.phase
    }

    /// Unmapped and closed: the queues must not be touched.
    #[inline(always)]
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// The submission queue.
    pub fn sq(&mut self) -> &mut Sq {
        &mut self.sq
    }

    /// The completion queue.
    pub fn cq(&mut self) -> &mut Cq {
        &mut self.cq
    }

    /// The slots. Present until the ring was given up with requests in flight.
    #[inline(always)]
    pub fn slots(&self) -> Option<&Slots<P>> {
        self.slots.as_ref()
    }

    /// Requests staged or with the kernel.
    #[inline]
    pub fn live(&self) -> u32 {
        self.slots.as_ref().map_or(0, Slots::live) + self.batches.in_flight()
    }

    /// The batches.
    #[inline(always)]
    pub fn batches(&mut self) -> &mut Batches {
        &mut self.batches
    }

    /// Completions that no live request stands for: 0 unless the kernel or we are broken.
    pub fn strays(&self) -> u64 {
        self.strays
    }

    /// Does a kernel thread poll the submission queue?
    #[inline]
    pub fn is_sqpoll(&self) -> bool {
        self.params.flags & IORING_SETUP_SQPOLL != 0
    }

    /// Let the calling thread use the ring: it becomes the single issuer.
    /// See [`access::Owned`].
    pub fn enable(&mut self) -> Result<(), RingError> {
        if self.disabled {
            let null = core::ptr::null_mut();
            // SAFETY: takes no argument (I9: called by the owner thread).
            let done = unsafe { self.register(IORING_REGISTER_ENABLE_RINGS, null, 0) };
            done.map_err(params::first_register_error)?;
            self.disabled = false;
        }
        Ok(())
    }

    /// io_uring_register(2) on this ring.
    ///
    /// # Safety
    /// As for [`Kernel::register`].
    pub unsafe fn register(
        &self,
        opcode: u32,
        arg: *mut c_void,
        nr: u32,
    ) -> Result<u32, RingError> {
        if self.phase == Phase::Closed {
            return Err(RingError::Closed);
        }
        // SAFETY: the caller's contract (I2).
        unsafe { self.register_raw(opcode, arg, nr) }.map_err(register_error)
    }

    /// As [`Ring::register`], whatever phase the ring is in.
    ///
    /// # Safety
    /// As for [`Kernel::register`].
    pub(crate) unsafe fn register_raw(
        &self,
        opcode: u32,
        arg: *mut c_void,
        nr: u32,
    ) -> Result<u32, Errno> {
        if self.gone {
            return Err(Errno::EBADF);
        }
        // SAFETY: the caller's contract (I2).
        unsafe { self.kernel.register(self.fd, opcode | self.by_index(), arg, nr) }
    }

    /// Entries that the kernel has not taken, those of open chains included.
    #[inline]
    pub fn pending(&mut self) -> u32 {
        self.sq.pending() + self.chains.waiting()
    }

    /// Take a slot to fill: its index, and the key its request will have. Give it back with
    /// [`Ring::free`], or stage it.
    #[inline(always)]
    pub fn reserve(&mut self) -> Result<(u32, u64), RingError> {
        if self.phase() != Phase::Open {
            return Err(RingError::Closed);
        }
        let max = self.params.cq_entries;
        if self.batches.in_flight() | self.shrunk > 0 && self.live() >= max {
            return Err(RingError::InFlightFull { max });
        }
        let slots = self.slots.as_mut().ok_or(RingError::Closed)?;
        let index = slots.reserve().ok_or(RingError::InFlightFull { max })?;
        Ok((index, slots.key(index)))
    }

    /// Take a slot for a request that can be staged at once: then [`Ring::stage`] does not fail.
    #[inline(always)]
    pub fn reserve_to_stage(&mut self) -> Option<u32> {
        if self.staged_apart || !self.sq.has_room() {
            return None;
        }
        self.reserve().ok().map(|(index, _)| index)
    }

    /// Where a slot's payload lives; it does not move until the slot is freed (I1).
    #[inline(always)]
    pub fn payload(&self, index: u32) -> *mut P {
        self.slots.as_ref().map_or(core::ptr::null_mut(), |slots| slots.payload(index))
    }

    /// Stage `sqe` as the request of the reserved slot `index`. On [`RingError::SqFull`] the slot
    /// stays reserved: make room ([`Ring::plan_room`]) and stage again.
    ///
    /// CQE_SKIP_SUCCESS is taken out of what the kernel sees: without its completion nobody could
    /// know when the request's memory is free, and one such entry makes the kernel refuse IO_DRAIN
    /// for good. The completion is swallowed by [`Ring::next_event`]'s `skip` instead.
    #[inline(always)]
    pub fn stage(&mut self, index: u32, mut sqe: io_uring_sqe) -> Result<u64, RingError> {
        if self.phase() != Phase::Open {
            return Err(RingError::Closed);
        }
        if self.staged_apart {
            return self.stage_apart(index, Entry { sqe, half: None });
        }
        let Some(slots) = self.slots.as_mut() else { return Err(RingError::Closed) };
        let key = slots.key(index);
        let flags = sqe.flags;
        sqe.flags &= !IOSQE_CQE_SKIP_SUCCESS;
        sqe.user_data = key;
        let mark = self.sq.mark();
        self.sq.push(sqe).map_err(|_| RingError::SqFull)?;
        self.chains.follow(mark, flags);
        slots.activate(index, sqe.opcode, flags);
        Ok(key)
    }

    /// Stage elements `todo` of batch `id`, as many as there is room for with at most `depth` of
    /// the batch in flight; `entry` makes each. Returns the first that was not staged.
    pub fn stage_batch(
        &mut self,
        id: u16,
        todo: Range<u32>,
        depth: u32,
        entry: impl Fn(u32) -> io_uring_sqe,
    ) -> Result<u32, RingError> {
        if self.phase() != Phase::Open {
            return Err(RingError::Closed);
        }
        // What else is in flight takes from the ring's room, not from the batch's depth: a batch
        // could not go on beside as many requests that never end.
        let own = depth.saturating_sub(self.batches.in_flight_of(id));
        let bound = self.params.cq_entries.saturating_sub(self.live()).min(own);
        let count = (todo.end - todo.start).min(bound).min(self.sq.space());
        let end = todo.start + count;
        if count > 0 {
            // A chain that was open ends with the first of them.
            self.chains.follow(self.sq.mark(), 0);
        }
        let first = self.batches.key(id, 0);
        self.sq.push_all(todo.start..end, |element| {
            let mut sqe = entry(element);
            sqe.user_data = first | u64::from(element) << 8;
            sqe
        });
        self.batches.staged(id, todo.start, end);
        Ok(end)
    }

    /// Free a slot that was reserved but not staged, or whose request has ended. Its payload must
    /// be empty again.
    #[inline(always)]
    pub fn free(&mut self, index: u32) {
        if let Some(slots) = self.slots.as_mut() {
            slots.free(index);
        }
    }

    /// Take back all entries that are staged and not published. The slots of their requests are
    /// reserved again: `each` gets their indices, to release the payloads and free them.
    pub fn discard(&mut self, mut each: impl FnMut(u32)) -> u32 {
        let Some(slots) = self.slots.as_mut() else { return 0 };
        let (batches, cancelling) = (&mut self.batches, &mut self.cancelling);
        let mut taken_back = |key: u64| {
            if key & 0xff == Kind::Batch as u64 {
                batches.taken_back(key);
            } else if key == slots::internal_key(Kind::Internal) {
                // It never comes back, and closing would wait for it and cancel nothing more.
                *cancelling = cancelling.saturating_sub(1);
            } else if let Some(index) = slots.lookup(key) {
                slots.deactivate(index);
                each(index);
            }
        };
        let in_chains = self.chains.discard(&mut taken_back);
        let mark = self.sq.mark().wrapping_sub(self.sq.staged());
        in_chains + self.sq.rollback(mark, taken_back)
    }

    /// The next completion of a live request, with the ring's own completions dealt with.
    ///
    /// Copies entries out; call [`Ring::reaped`] once after a batch.
    #[inline(always)]
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            let cqe = self.cq.pop()?;
            let slots = self.slots.as_mut()?;
            if cqe.user_data & 0xff == Kind::Batch as u64 {
                let cq = &mut self.cq;
                let next = |prefix| cq.pop_if(|key| key & batches::PREFIX == prefix);
                self.strays += self.batches.complete(cqe, next);
                continue;
            }
            let Some(index) = slots.lookup(cqe.user_data) else {
                self.not_a_request(&cqe);
                continue;
            };
            let terminal = cqe.flags & IORING_CQE_F_MORE == 0;
            // A notification of a zero-copy send never fails: its result has bits, no errno.
            let skip = slots.sqe_flags(index) & IOSQE_CQE_SKIP_SUCCESS != 0
                && (cqe.res >= 0 || cqe.flags & IORING_CQE_F_NOTIF != 0);
            if terminal {
                slots.finish(index);
            }
            return Some(Event {
                index,
                key: cqe.user_data,
                res: cqe.res,
                flags: cqe.flags,
                terminal,
                skip,
                big: self.cq.big().is_some(),
            });
        }
    }

    /// The rest of the event that [`Ring::next_event`] gave last, if that says it is big.
    pub fn big(&self) -> BigCqe {
        self.cq.big().unwrap_or_default()
    }

    #[cold]
    fn not_a_request(&mut self, cqe: &io_uring_cqe) {
        match cqe.user_data {
            k if k == slots::internal_key(Kind::Wake) => self.woken = true,
            k if k == slots::internal_key(Kind::Internal) => {
                self.cancelling = self.cancelling.saturating_sub(1);
            }
            k if k == slots::internal_key(Kind::Filler) => {}
            key if key & 0xff == Kind::Message as u64 => {
                self.messages.push_back(Message { key, res: cqe.res, flags: cqe.flags });
            }
            _ => self.strays += 1,
        }
    }

    /// Did [`Ring::next_event`] come across messages?
    #[inline(always)]
    pub fn has_messages(&self) -> bool {
        !self.messages.is_empty()
    }

    /// The next message, in the order they came.
    pub fn next_message(&mut self) -> Option<Message> {
        self.messages.pop_front()
    }

    /// Is there a completion in the queue, or does the kernel hold some back?
    #[inline(always)]
    pub fn has_news(&mut self) -> bool {
        self.cq.ready() > 0 || self.sq.wants_enter()
    }

    /// Give the places of all events read so far back to the kernel.
    #[inline(always)]
    pub fn reaped(&mut self) {
        self.cq.publish();
    }

    /// Was there a wake-up that nobody has taken?
    #[inline(always)]
    pub fn is_woken(&self) -> bool {
        self.woken
    }

    /// Was there a wake-up since this was last asked?
    pub fn take_woken(&mut self) -> bool {
        core::mem::take(&mut self.woken)
    }
}

// SAFETY: the queues' views and the maps are addresses of memory that the ring owns; one thread at
// a time uses them (I9), and payloads travel with their slots (I1).
unsafe impl<K: Kernel, P: Zeroed> Send for Ring<K, P> {}

impl<K: Kernel, P: Zeroed> access::Owned for Ring<K, P> {
    fn enable(&mut self) -> Result<(), RingError> {
        if self.enabled_by_hand {
            return Ok(());
        }
        Ring::enable(self)
    }

    fn inherited(&mut self) {
        Ring::inherited(self);
    }
}
