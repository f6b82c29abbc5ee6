//! What one Python ring is made of: the core ring, and the completions that were taken off it but
//! not yet handed out.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::Arc;

use pyo3::ffi;
use pyo3::prelude::*;

use crate::ops::message;
use crate::py::completion::{self, CompletionExtra};
use crate::py::direct::Shot;
use crate::py::freelist::GIL_BUILD;
use crate::py::keep::Keep;
use crate::py::kernel::AnyKernel;
use crate::py::picked::Picked;
use crate::py::results::Results;
use crate::py::Core;
use crate::ring::access::Owned;
use crate::ring::cq::BigCqe;
use crate::ring::error::RingError;
use crate::ring::kernel::Kernel;
use crate::ring::{Event, Message};
use crate::sys::consts::{IORING_OP_MSG_RING, IO_URING_NAPI_TRACKING_INACTIVE};
use crate::sys::opcode;

/// A completion taken off the ring and not yet handed out.
pub(crate) struct Ready {
    /// The caller's user_data; an owned reference. Null for a message: made of its key then.
    pub(crate) token: *mut ffi::PyObject,
    pub(crate) key: u64,
    pub(crate) res: i32,
    pub(crate) flags: u32,
    pub(crate) op: u8,
    pub(crate) extra: Option<Box<Results>>,
}

// SAFETY: the token is only touched with the interpreter attached (I6).
unsafe impl Send for Ready {}

impl Ready {
    #[inline(always)]
    pub(crate) fn new(
        event: &Event,
        op: u8,
        token: *mut ffi::PyObject,
        extra: Option<Box<Results>>,
    ) -> Self {
        Ready { token, key: event.key, res: event.res, flags: event.flags, op, extra }
    }

    /// As the object users see. Its token and its results are gone from here if that succeeds, and
    /// all is as before if it does not.
    #[inline(always)]
    pub(crate) fn completion(&mut self, py: Python<'_>, ring_id: u32) -> PyResult<Py<PyAny>> {
        let Ready { token, key, res, flags, op, extra } = self;
        if token.is_null() {
            *token = number(py, *key)?;
        }
        let extra = || extra.take().map(|results| results as Box<dyn CompletionExtra>);
        // SAFETY: `token` is an owned reference, given up here; no lock is held (I6).
        let made = unsafe { completion::new(py, *token, *key, ring_id, *op, *res, *flags, extra) };
        // SAFETY: a new reference, or null with an exception set.
        unsafe { Bound::from_owned_ptr_or_err(py, made) }.map(Bound::unbind)
    }

    /// Nobody will look at it: let go of the token and of what the result brought (I10).
    pub(crate) fn discard(self, _py: Python<'_>, kernel: &AnyKernel) {
        let mut own_fd = true;
        if let Some(results) = &self.extra {
            results.abandon(kernel);
            own_fd = !results.res_is_no_fd();
        }
        if own_fd && self.res >= 0 && opcode::info(self.op).is_some_and(|info| info.returns_fd()) {
            // SAFETY: a descriptor that this request opened and that nobody was told of (I10).
            unsafe { kernel.close(self.res) };
        }
        // SAFETY: the owned reference of this completion, dropped once; interpreter attached.
        unsafe { ffi::Py_XDECREF(self.token) };
    }
}

/// What a message carries, as a new reference.
#[cold]
fn number(py: Python<'_>, key: u64) -> PyResult<*mut ffi::PyObject> {
    let number = message::number(key).unwrap_or(key);
    // SAFETY: attached; the result is a new reference, or null with an exception set.
    let made = unsafe { ffi::PyLong_FromUnsignedLongLong(number) };
    // SAFETY: as above.
    unsafe { Bound::from_owned_ptr_or_err(py, made) }.map(Bound::into_ptr)
}

/// The guarded part of a Python ring.
pub(crate) struct State {
    pub(crate) core: Core,
    /// The ring's descriptor, or index, -1 once it is closed: for whoever may not hold the ring.
    pub(crate) number: Arc<AtomicI32>,
    pub(crate) ready: VecDeque<Ready>,
    /// Completions that `peek` showed and that are still to be taken: before those of `ready`.
    pub(crate) peeked: VecDeque<Py<PyAny>>,
    /// Bytes that the next submission may have to move right away.
    pub(crate) staged_bytes: u64,
    /// The clock that the kernel's waits run on.
    pub(crate) clock: &'static str,
    /// How NAPI queues are found: `IO_URING_NAPI_TRACKING_*`.
    pub(crate) napi_tracking: u32,
    /// Events taken off the ring while the interpreter was away, to be dealt with first.
    stash: VecDeque<(Event, BigCqe)>,
    /// The rest of the stash's last event, if that has 32 bytes and it was not asked for yet.
    stashed_big: Option<BigCqe>,
    /// What each batch keeps alive, by its number.
    owners: Vec<Option<Box<Keep>>>,
}

impl State {
    pub(crate) fn new(core: Core) -> Self {
        State {
            number: Arc::new(AtomicI32::new(core.fd())),
            core,
            ready: VecDeque::new(),
            peeked: VecDeque::new(),
            staged_bytes: 0,
            clock: "monotonic",
            napi_tracking: IO_URING_NAPI_TRACKING_INACTIVE,
            stash: VecDeque::new(),
            stashed_big: None,
            owners: Vec::new(),
        }
    }

    /// [`Ring::finish_close`](crate::ring::Ring::finish_close), told to those who know the number.
    pub(crate) fn finish_close(&mut self) -> bool {
        if self.core.live() == 0 {
            self.number.store(-1, Ordering::Release);
        }
        self.core.finish_close()
    }

    /// Completions of single requests that can be handed out without looking at the ring.
    #[inline(always)]
    pub(crate) fn have(&self) -> usize {
        self.ready.len() + self.peeked.len()
    }

    /// The same with those of batches, which `reap_into` hands out.
    #[inline(always)]
    pub(crate) fn have_any(&mut self) -> usize {
        self.have() + self.core.batches().done_count()
    }

    /// Take events off the ring with the interpreter away: those of batches need nothing more,
    /// the others wait for it.
    pub(crate) fn stash_events(&mut self) {
        while let Some(event) = self.core.next_event() {
            self.stash.push_back((event, self.core.big()));
        }
        self.take_messages();
        self.core.reaped();
    }

    /// Messages that were come across among the events: they need nothing to be let go of.
    #[inline(always)]
    pub(crate) fn take_messages(&mut self) {
        if self.core.has_messages() {
            self.show_messages();
        }
    }

    #[cold]
    fn show_messages(&mut self) {
        while let Some(Message { key, res, flags }) = self.core.next_message() {
            let token = std::ptr::null_mut();
            self.ready.push_back(Ready {
                token,
                key,
                res,
                flags,
                op: IORING_OP_MSG_RING,
                extra: None,
            });
        }
    }

    /// The next event, in the order they came.
    #[inline(always)]
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        if !self.stash.is_empty() {
            let (event, big) = self.stash.pop_front()?;
            self.stashed_big = event.big.then_some(big);
            return Some(event);
        }
        self.core.next_event()
    }

    /// The rest of a 32-byte completion, which [`State::next_event`] gave last.
    #[cold]
    pub(crate) fn big(&mut self) -> BigCqe {
        self.stashed_big.take().unwrap_or_else(|| self.core.big())
    }

    /// Is there something to take off the ring?
    #[inline(always)]
    pub(crate) fn has_events(&mut self) -> bool {
        self.core.cq().ready() > 0 || !self.stash.is_empty()
    }

    /// Is there a completion that was not taken off the ring, or that the kernel holds back?
    #[inline(always)]
    pub(crate) fn has_news(&mut self) -> bool {
        self.core.has_news() || !self.stash.is_empty()
    }

    /// The buffers that an event brought, which are the taker's from now on (I10). To be asked of
    /// each event in turn: of a buffer that is used up bit by bit, only their order tells the parts.
    #[cold]
    pub(crate) fn picked(&self, event: &Event) -> Option<Box<Results>> {
        // SAFETY: the event is the caller's to handle. The request may go on: what it uses is
        // only looked at, and nobody changes it before it has ended (I2).
        let pool = unsafe { self.keep(event.index) }.pool()?;
        Picked::of(pool, event.flags, event.res).map(|picked| Box::new(Results::Picked(picked)))
    }

    /// What an event of a request that goes on brought, if each of its completions brings
    /// something. What that needs is taken along: the next event may be the request's last, and
    /// another thread may let go of all it kept.
    #[inline(always)]
    pub(crate) fn shot(&self, event: &Event) -> Option<Shot> {
        // SAFETY: as in `picked`; only looked at, with the ring held (I2).
        let keep = unsafe { self.keep(event.index) };
        if keep.per_shot {
            keep.shot()
        } else {
            None
        }
    }

    /// Keep what batch `id` needs until it has ended.
    pub(crate) fn adopt(&mut self, id: u16, owner: Box<Keep>) {
        let at = usize::from(id);
        if self.owners.len() <= at {
            self.owners.resize_with(at + 1, || None);
        }
        self.owners[at] = Some(owner);
    }

    /// What a batch that has ended kept alive, to be released with no lock held.
    pub(crate) fn next_released(&mut self) -> Option<Box<Keep>> {
        let id = self.core.batches().next_ended()?;
        self.owners.get_mut(usize::from(id)).and_then(Option::take)
    }

    /// The slot's payload.
    ///
    /// # Safety
    /// Nobody else may use the payload meanwhile: the slot is reserved by, or was finished by, the
    /// caller.
    #[inline(always)]
    pub(crate) unsafe fn keep<'a>(&self, index: u32) -> &'a mut Keep {
        // SAFETY: the payload does not move (I1) and is the caller's alone.
        unsafe { &mut *self.core.payload(index) }
    }
}

impl Owned for State {
    const LOCKED: bool = !GIL_BUILD;

    fn enable(&mut self) -> Result<(), RingError> {
        // Not the method of that name, which is for whoever enables the ring by hand.
        Owned::enable(&mut self.core)
    }

    fn inherited(&mut self) {
        self.core.inherited();
    }
}
