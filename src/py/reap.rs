//! From the completion queue to `Completion` objects.
//!
//! Taking a completion off the ring releases its request's buffers, which may run Python code; so
//! it happens in steps: copy events out while holding the ring, release while not (I6), and only
//! then free the slots and show the completions.

use std::mem::MaybeUninit;
use std::ptr::null_mut;

use pyo3::ffi;
use pyo3::prelude::*;

use crate::py::direct::Shot;
use crate::py::results::Results;
use crate::py::ring::PyRing;
use crate::py::state::{Ready, State};
use crate::py::trace;
use crate::ring::Event;
use crate::sys::consts::IORING_CQE_F_BUFFER;

/// Events handled in one go.
const BATCH: usize = 64;

/// How often one call asks the kernel for more.
const LOOKS: u32 = 64;

/// An event on its way to becoming a completion.
struct Item {
    event: Event,
    op: u8,
    /// The reference to its user_data that the completion will carry.
    token: *mut ffi::PyObject,
    extra: Option<Box<Results>>,
    /// What it needs to bring something, if its request goes on.
    shot: Option<Shot>,
}

/// Events that need Python to let go of something before their completions may be seen. On the
/// stack and not initialised: most rounds need little or none of it.
struct Batch {
    items: [MaybeUninit<Item>; BATCH],
    len: usize,
}

impl Batch {
    fn starting_with(item: Item) -> Self {
        let mut batch = Batch { items: [const { MaybeUninit::uninit() }; BATCH], len: 0 };
        batch.push(item);
        batch
    }

    #[inline(always)]
    fn push(&mut self, item: Item) {
        self.items[self.len].write(item);
        self.len += 1;
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Item> {
        // SAFETY: the first `len` items were written by `push`.
        self.items[..self.len].iter_mut().map(|item| unsafe { item.assume_init_mut() })
    }

    /// All items, given up.
    fn into_items(self) -> impl Iterator<Item = Item> {
        // SAFETY: the first `len` items were written by `push`, and each is read once.
        self.items.into_iter().take(self.len).map(|item| unsafe { item.assume_init() })
    }
}

impl PyRing {
    /// Take all completions there are off the ring, without entering the kernel.
    #[inline(always)]
    pub(crate) fn harvest(&self, py: Python<'_>) -> PyResult<()> {
        loop {
            let stopped_at = {
                let mut state = self.hold(py)?;
                if !state.has_events() {
                    // Rows that were taken back end a batch without an event.
                    let ended = state.core.batches().has_ended();
                    drop(state);
                    return if ended { self.let_owners_go(py) } else { Ok(()) };
                }
                let stopped_at = take_plain(&mut state);
                state.take_messages();
                state.core.reaped();
                (stopped_at, state.core.batches().has_ended())
            };
            if stopped_at.1 {
                self.let_owners_go(py)?;
            }
            match stopped_at.0 {
                Some(item) => self.harvest_kept(py, item)?,
                None => return Ok(()),
            }
        }
    }

    /// Go on from the first event whose request kept something alive: collect a batch, let go of
    /// what its requests kept, then show the completions.
    fn harvest_kept(&self, py: Python<'_>, first: Item) -> PyResult<()> {
        let mut batch = Batch::starting_with(first);
        {
            let mut state = self.hold(py)?;
            while batch.len < BATCH {
                let Some(item) = take_one(&mut state) else { break };
                batch.push(with_rest(&mut state, item));
            }
            state.take_messages();
            state.core.reaped();
        }
        batch.iter_mut().for_each(|item| self.let_go(py, item));
        let mut state = self.hold(py)?;
        for item in batch.into_items() {
            let Item { event, op, token, extra, .. } = item;
            if event.terminal {
                state.core.free(event.index);
            }
            if !token.is_null() {
                state.ready.push_back(Ready::new(&event, op, token, extra));
            }
        }
        Ok(())
    }

    /// Outside the lock: let go of what an ended request kept alive. A completion that nobody is
    /// to see loses its token.
    #[inline(always)]
    fn let_go(&self, py: Python<'_>, item: &mut Item) {
        if item.event.terminal {
            // SAFETY: the request has ended, and its taker, we, alone handles that (I2).
            let keep = unsafe { self.cell.assume_held().keep(item.event.index) };
            item.extra = Results::joined(item.extra.take(), keep.results(py, item.event.res));
            keep.release(py);
        } else if let Some(shot) = item.shot.take() {
            // Of a request that goes on nothing is touched: another thread may just now be letting
            // go of it, or this one have done so, by code that ran a moment ago.
            item.extra = Results::joined(item.extra.take(), shot.results(py, item.event.res));
        }
        if item.event.skip {
            let token = std::mem::replace(&mut item.token, null_mut());
            let extra = item.extra.take();
            Ready::new(&item.event, item.op, token, extra).discard(py, &self.kernel);
        }
    }

    /// The next completion; None when there is none without waiting. Of a closed ring, those that
    /// were left unread: its queues are empty for ever.
    #[inline(always)]
    pub(crate) fn next_ready(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let ready = {
            let mut state = self.hold(py)?;
            if let Some(shown) = state.peeked.pop_front() {
                return Ok(Some(shown));
            }
            match state.ready.pop_front() {
                Some(ready) => ready,
                None if state.has_news() => {
                    drop(state);
                    return self.next_after_news(py);
                }
                None => return Ok(None),
            }
        };
        self.hand_out(py, ready).map(Some)
    }

    /// As `next_ready`, for a caller that goes on until there is none: a request that completes
    /// faster than that (a multishot timeout) must not keep it for ever. What the full queue holds
    /// back comes to an end by itself, since no such request goes on then.
    #[inline(always)]
    pub(crate) fn next_while_looking(
        &self,
        py: Python<'_>,
        looks: &mut u32,
    ) -> PyResult<Option<Py<PyAny>>> {
        let enough = {
            let mut state = self.hold(py)?;
            if state.have() > 0 {
                false
            } else {
                *looks += 1;
                *looks > LOOKS && !state.core.sq().cq_overflowed()
            }
        };
        if enough {
            return Ok(None);
        }
        self.next_ready(py)
    }

    /// The queue, or the kernel, holds completions that were not taken off the ring yet.
    fn next_after_news(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.harvest(py)?;
        if self.hold(py)?.have() == 0 && self.flush_held_back(py)? {
            self.harvest(py)?;
        }
        let mut state = self.hold(py)?;
        if let Some(shown) = state.peeked.pop_front() {
            return Ok(Some(shown));
        }
        let Some(ready) = state.ready.pop_front() else { return Ok(None) };
        drop(state);
        self.hand_out(py, ready).map(Some)
    }

    #[inline(always)]
    fn hand_out(&self, py: Python<'_>, mut ready: Ready) -> PyResult<Py<PyAny>> {
        match ready.completion(py, self.id) {
            Ok(completion) => {
                if let Some(callback) = &self.trace {
                    trace::complete(py, callback, &ready);
                }
                Ok(completion)
            }
            Err(error) => {
                // For want of memory, which may be there the next time.
                self.hold(py)?.ready.push_front(ready);
                Err(error)
            }
        }
    }

    /// The next completion, left in place.
    pub(crate) fn show_next(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let Some(next) = self.next_ready(py)? else { return Ok(None) };
        let again = next.clone_ref(py);
        self.hold(py)?.peeked.push_front(again);
        Ok(Some(next))
    }
}

/// The next event, with the reference its completion will carry.
#[inline(always)]
fn take_one(state: &mut State) -> Option<Item> {
    let event = state.next_event()?;
    // SAFETY: the event is ours to handle: it was just taken off the ring (I2).
    let keep = unsafe { state.keep(event.index) };
    let op = state.core.slots().map_or(0, |slots| slots.op(event.index));
    let token = if event.terminal {
        keep.take_token()
    } else {
        // SAFETY: the slot's own reference keeps it alive; the completion gets another.
        unsafe { ffi::Py_XINCREF(keep.token()) };
        keep.token()
    };
    let extra = if event.flags & IORING_CQE_F_BUFFER == 0 { None } else { state.picked(&event) };
    let shot = if event.terminal { None } else { state.shot(&event) };
    Some(Item { event, op, token, extra, shot })
}

/// The same with the rest of its completion, if that has 32 bytes. To be called before the next
/// event is taken.
#[inline(always)]
fn with_rest(state: &mut State, mut item: Item) -> Item {
    if item.event.big {
        item.extra = Some(Results::big(state.big(), item.extra.take()));
    }
    item
}

/// Show completions of requests that kept nothing but their token. Returns the first event that
/// needs more, already taken off the ring.
#[inline(always)]
fn take_plain(state: &mut State) -> Option<Item> {
    loop {
        let item = take_one(state)?;
        let Event { index, terminal, skip, big, .. } = item.event;
        // SAFETY: as in `take_one`; of a request that goes on nothing is let go.
        let keep = unsafe { state.keep(index) };
        if skip | big || (if terminal { !keep.is_bare() } else { keep.per_shot }) {
            return Some(with_rest(state, item));
        }
        state.ready.push_back(Ready::new(&item.event, item.op, item.token, item.extra));
        if terminal {
            state.core.free(index);
        }
    }
}
