//! All rings of this process: those open, to be closed before the interpreter ends, and the
//! graveyard of those given up with requests in flight, whose memory may not go yet (I2, I8).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use pyo3::prelude::*;

use crate::py::state::State;
use crate::ring::access::RingCell;
use crate::ring::error::RingError;

type Cell = RingCell<State>;

/// By number. A ring leaves it before it is taken apart.
static OPEN: Mutex<BTreeMap<u32, Weak<Cell>>> = Mutex::new(BTreeMap::new());
static GRAVEYARD: Mutex<Vec<Arc<Cell>>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ring `id` was opened.
pub(crate) fn remember(id: u32, cell: &Arc<Cell>) {
    lock(&OPEN).insert(id, Arc::downgrade(cell));
}

/// Ring `id` is about to be destroyed: nobody may come to it from here any more.
pub(crate) fn forget(id: u32) {
    lock(&OPEN).remove(&id);
}

/// What came of a look at a ring.
pub(crate) enum Look<T> {
    Seen(T),
    /// Another thread has it just now.
    Busy,
    /// It was destroyed.
    Gone,
}

/// Look at ring `id`, which cannot be destroyed meanwhile. `look` must not call Python (I6).
pub(crate) fn look<T>(id: u32, look: impl FnOnce(&State) -> T) -> Result<Look<T>, RingError> {
    let open = lock(&OPEN);
    let Some(cell) = open.get(&id).and_then(Weak::upgrade) else { return Ok(Look::Gone) };
    let seen = cell.hold()?.map(|state| look(&state));
    Ok(seen.map_or(Look::Busy, Look::Seen))
}

/// All rings there are, those given up included.
pub(crate) fn all() -> Vec<Arc<Cell>> {
    let mut all: Vec<_> = lock(&OPEN).values().filter_map(Weak::upgrade).collect();
    for grave in lock(&GRAVEYARD).iter() {
        if !all.iter().any(|cell| Arc::ptr_eq(cell, grave)) {
            all.push(Arc::clone(grave));
        }
    }
    all
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
        if super::graveyard::finish_if_done(py, &cell) {
            lock(&GRAVEYARD).retain(|grave| !Arc::ptr_eq(grave, &cell));
            super::graveyard::bury(py, cell);
        }
    }
}
