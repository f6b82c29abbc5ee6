//! Rings whose Python object is gone, or will be with the interpreter: finished where the kernel has
//! let go of their requests, else left to the process (I12).

use std::sync::Arc;

use pyo3::prelude::*;

use crate::py::close::drop_unread;
use crate::py::registry;
use crate::py::state::{Ready, State};
use crate::ring::access::RingCell;
use crate::ring::kernel::Kernel;
use crate::ring::teardown::Naps;
use crate::sys::consts::IORING_CQE_F_BUFFER;
use crate::sys::ending;

/// How long the interpreter's end waits for each ring.
const EXIT_PATIENCE_NS: u64 = 1_000_000_000;

/// Close every ring the calling thread may close, before the interpreter ends: from here on, rings
/// are finished or leaked, never waited for.
#[pyfunction]
pub(crate) fn _close_all(py: Python<'_>) {
    ending::begin();
    for cell in registry::all() {
        // With threads still in the kernel it is left to the end of the process, which is safe.
        if cell.same_process() && (cell.mine() || cell.inherit()) && !cell.occupied() {
            finish_within(py, &cell, EXIT_PATIENCE_NS);
        }
    }
}

/// Rings that were given up and are not finished yet, after finishing those that can be.
#[pyfunction]
pub(crate) fn _graveyard(py: Python<'_>) -> usize {
    registry::bury(py);
    registry::graves()
}

/// Close a ring without its Python object: its unread completions stay.
fn finish_within(py: Python<'_>, cell: &Arc<RingCell<State>>, patience_ns: u64) {
    let Some(_turn) = Turn::take(cell) else { return };
    let Ok(Some(mut state)) = cell.hold() else { return };
    // Announced while holding, so this is exact: nobody is inside the kernel with a plan.
    if cell.occupied() {
        return;
    }
    let kernel = state.core.kernel().clone();
    let deadline = kernel.now_ns().saturating_add(patience_ns);
    let mut back = Vec::new();
    state.core.begin_close(|index| back.push(index));
    drop(state);
    let mut naps = Naps::default();
    loop {
        release_finished(py, cell, &mut back);
        let Ok(Some(mut state)) = cell.hold() else { return };
        let now = kernel.now_ns();
        if state.finish_close() || now >= deadline || state.core.cancel_in_flight().is_err() {
            return;
        }
        let Some(plan) = state.core.plan_drain() else { return };
        let nap = (deadline - now).min(naps.next(state.core.live()));
        drop(state);
        if py.detach(|| plan.run(&kernel, Some(nap), 0)).is_err() {
            return;
        }
    }
}

/// A given-up ring was finished: nobody can read what it still holds unless its object lives.
pub(crate) fn bury(py: Python<'_>, cell: Arc<RingCell<State>>) {
    if Arc::strong_count(&cell) == 1 {
        // SAFETY: this is the last reference (I9).
        unsafe { drop_unread(py, &cell) };
    }
}

/// The right to take a ring down, until dropped.
struct Turn<'a>(&'a RingCell<State>);

impl<'a> Turn<'a> {
    /// None while anybody has it, the calling thread included.
    fn take(cell: &'a RingCell<State>) -> Option<Self> {
        (cell.begin_close() == Some(true)).then_some(Turn(cell))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.end_close();
    }
}

/// Finish a given-up ring if all its requests have ended. True when it is finished.
pub(crate) fn finish_if_done(py: Python<'_>, cell: &Arc<RingCell<State>>) -> bool {
    if !cell.same_process() || !(cell.mine() || cell.inherit()) {
        return false;
    }
    // Another thread may be at it, with the descriptor in its hand.
    let Some(_turn) = Turn::take(cell) else { return false };
    let plan = match cell.hold() {
        Ok(Some(mut state)) => {
            // Dropped by another thread, which could not cancel anything.
            let _ = state.core.cancel_in_flight();
            state.core.plan_flush()
        }
        _ => return false,
    };
    if let (Some(plan), Ok(Some(state))) = (plan, cell.hold()) {
        let kernel = state.core.kernel().clone();
        drop(state);
        let _ = plan.run(&kernel, None, 0);
    }
    release_finished(py, cell, &mut Vec::new());
    match cell.hold() {
        Ok(Some(mut state)) => state.finish_close(),
        _ => false,
    }
}

/// Take finished requests off a ring that nobody reads any more, and let go of their memory.
fn release_finished(py: Python<'_>, cell: &Arc<RingCell<State>>, back: &mut Vec<u32>) {
    let Ok(Some(mut state)) = cell.hold() else { return };
    let kernel = state.core.kernel().clone();
    let mut events = Vec::new();
    while let Some(event) = state.next_event() {
        let op = state.core.slots().map_or(0, |slots| slots.op(event.index));
        if event.flags & IORING_CQE_F_BUFFER != 0 {
            drop(state.picked(&event));
        }
        let shot = if event.terminal { None } else { state.shot(&event) };
        events.push((event, op, shot));
    }
    state.take_messages();
    state.core.reaped();
    drop(state);
    for (event, op, shot) in events {
        let extra = if event.terminal {
            // SAFETY: finished; handled by us alone (I2).
            unsafe { cell.assume_held().keep(event.index) }.results(py, event.res)
        } else {
            shot.and_then(|shot| shot.results(py, event.res))
        };
        // What nobody was or will be told of (I10).
        Ready::new(&event, op, std::ptr::null_mut(), extra).discard(py, &kernel);
        if event.terminal {
            back.push(event.index);
        }
    }
    for index in back.drain(..) {
        // SAFETY: finished, or taken back before publication; handled by us alone (I2).
        unsafe { cell.assume_held().keep(index) }.release(py);
        if let Ok(Some(mut state)) = cell.hold() {
            state.core.free(index);
        }
    }
    loop {
        let owner = match cell.hold() {
            Ok(Some(mut state)) => state.next_released(),
            _ => None,
        };
        let Some(mut owner) = owner else { return };
        owner.release(py);
    }
}
