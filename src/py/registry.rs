//! All rings of this process: those open, to be closed before the interpreter ends, and the
//! graveyard of those given up with requests in flight, whose memory may not go yet (I2, I8).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use pyo3::prelude::*;

use crate::py::state::State;
use crate::ring::access::RingCell;

type Cell = RingCell<State>;

static OPEN: Mutex<Vec<Weak<Cell>>> = Mutex::new(Vec::new());
static GRAVEYARD: Mutex<Vec<Arc<Cell>>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A ring was opened.
pub(crate) fn remember(cell: &Arc<Cell>) {
    let mut open = lock(&OPEN);
    if open.len() == open.capacity() {
        open.retain(|ring| ring.strong_count() > 0);
    }
    open.push(Arc::downgrade(cell));
}

/// All rings there are.
pub(crate) fn all() -> Vec<Arc<Cell>> {
    lock(&OPEN).iter().filter_map(Weak::upgrade).collect()
}

/// The kernel may still write to a ring's buffers and nobody can wait for it: keep everything.
/// False when that was done already.
pub(crate) fn give_up(cell: &Arc<Cell>) -> bool {
    let mut graves = lock(&GRAVEYARD);
    let new = !graves.iter().any(|grave| Arc::ptr_eq(grave, cell));
    if new {
        graves.push(Arc::clone(cell));
    }
    new
}

/// How many rings lie in the graveyard.
pub(crate) fn graves() -> usize {
    lock(&GRAVEYARD).len()
}

/// Finish the given-up rings whose requests have ended by now, as far as the calling thread may.
pub(crate) fn bury(py: Python<'_>) {
    if graves() == 0 {
        return;
    }
    let candidates: Vec<_> = lock(&GRAVEYARD).clone();
    for cell in candidates {
        if super::close::finish_if_done(py, &cell) {
            lock(&GRAVEYARD).retain(|grave| !Arc::ptr_eq(grave, &cell));
            super::close::bury(py, cell);
        }
    }
}
