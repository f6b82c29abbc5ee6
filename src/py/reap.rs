//! From the completion queue to `Completion` objects.
//!
//! Taking a completion off the ring releases its request's buffers, which may run Python code; so
//! it happens in steps: copy events out while holding the ring, release while not (I6), and only
//! then free the slots and show the completions.

use pyo3::ffi;
use pyo3::prelude::*;

use crate::py::ring::PyRing;
use crate::py::state::{Ready, Results, State};
use crate::py::{sqe, trace};
use crate::ring::Event;

/// Events handled in one go.
const BATCH: usize = 64;

/// An event, and the reference to its user_data that its completion will carry.
struct Item {
    event: Event,
    op: u8,
    token: *mut ffi::PyObject,
}

/// Events that need Python to let go of something before their completions may be seen.
struct Batch {
    items: [Option<Item>; BATCH],
    len: usize,
}

impl PyRing {
    /// Take all completions there are off the ring, without entering the kernel.
    #[inline(always)]
    pub(crate) fn harvest(&self, py: Python<'_>) -> PyResult<()> {
        let mut batch = Batch { items: [const { None }; BATCH], len: 0 };
        loop {
            {
                let mut state = self.hold(py)?;
                if state.core.cq().ready() == 0 {
                    return Ok(());
                }
                take_off(&mut state, &mut batch);
                state.core.reaped();
            }
            if batch.len > 0 {
                self.let_go(py, &mut batch)?;
            }
        }
    }

    /// Release what a batch of events kept alive, then show their completions.
    fn let_go(&self, py: Python<'_>, batch: &mut Batch) -> PyResult<()> {
        let mut shown: [Option<Ready>; BATCH] = [const { None }; BATCH];
        let mut finished = [None; BATCH];
        let items = &mut batch.items[..std::mem::take(&mut batch.len)];
        for ((item, shown), finished) in items.iter_mut().zip(&mut shown).zip(&mut finished) {
            if let Some(item) = item.take() {
                *finished = item.event.terminal.then_some(item.event.index);
                *shown = self.settle(py, item);
            }
        }
        let mut state = self.hold(py)?;
        finished.into_iter().flatten().for_each(|index| state.core.free(index));
        state.ready.extend(shown.into_iter().flatten());
        Ok(())
    }

    /// One event outside the lock: its request's memory let go, and what it will show.
    fn settle(&self, py: Python<'_>, item: Item) -> Option<Ready> {
        let Item { event, op, token } = item;
        let mut ready = Ready::new(&event, op, token);
        if event.terminal {
            // SAFETY: the request has finished and only its taker, we, handles that (I2).
            let keep = unsafe { self.cell.assume_held().keep(event.index) };
            ready.extra = match keep.take_args() {
                Some(args) => Results::of(&args),
                None => sqe::results_of(py, keep),
            };
            keep.release(py);
        }
        if event.skip {
            ready.discard(py, &self.kernel);
            return None;
        }
        Some(ready)
    }

    /// The next completion; None when there is none without waiting.
    #[inline(always)]
    pub(crate) fn next_ready(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        if let Some(found) = self.take_ready(py)? {
            return Ok(Some(found));
        }
        self.harvest(py)?;
        if let Some(found) = self.take_ready(py)? {
            return Ok(Some(found));
        }
        if self.flush_held_back(py)? {
            self.harvest(py)?;
            return self.take_ready(py);
        }
        Ok(None)
    }

    #[inline(always)]
    fn take_ready(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let ready = {
            let mut state = self.hold(py)?;
            if !state.peeked.is_empty() {
                return Ok(state.peeked.pop_front());
            }
            match state.ready.pop_front() {
                Some(ready) => ready,
                None => return Ok(None),
            }
        };
        if let Some(callback) = &self.trace {
            trace::complete(py, callback, &ready);
        }
        ready.into_completion(py, self.id).map(Some)
    }

    /// As [`PyRing::next_ready`]; of a closed ring, the completions that were left unread.
    #[inline(always)]
    pub(crate) fn next_unless_closed(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        if self.hold(py)?.core.is_closed() {
            return self.take_ready(py);
        }
        self.next_ready(py)
    }

    /// The next completion, left in place.
    pub(crate) fn show_next(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let Some(next) = self.next_unless_closed(py)? else { return Ok(None) };
        let again = next.clone_ref(py);
        self.hold(py)?.peeked.push_front(again);
        Ok(Some(next))
    }
}

/// Copy events out. What needs no Python is shown at once; from the first event that does, all
/// later ones wait in the batch too, so that the order stays.
#[inline(always)]
fn take_off(state: &mut State, batch: &mut Batch) {
    while batch.len < BATCH {
        let Some(event) = state.core.next_event() else { return };
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
        if batch.len == 0 && !event.skip && (!event.terminal || keep.is_bare()) {
            state.ready.push_back(Ready::new(&event, op, token));
            if event.terminal {
                state.core.free(event.index);
            }
            continue;
        }
        batch.items[batch.len] = Some(Item { event, op, token });
        batch.len += 1;
    }
}
