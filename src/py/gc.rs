//! The collector's view of a ring: tokens, never buffers.
//!
//! A buffer in flight is held by the kernel, which the collector cannot see. If it were visited, a
//! cycle through it would be cleared and its memory released under the kernel's hands: 200 of 200
//! times on CPython 3.13, a crash on 3.11 and 3.12 (I7). Tokens are plain objects of ours.

use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::PyTraverseError;

use crate::py::armed;
use crate::py::ring::PyRing;

/// The reference behind a raw pointer field, for visiting.
///
/// # Safety
/// `field` must be a valid, non-null object pointer while the result is used.
unsafe fn as_py(field: &*mut ffi::PyObject) -> &Py<PyAny> {
    // SAFETY: `Py` is a transparent non-null pointer; the caller's contract.
    unsafe { &*std::ptr::from_ref(field).cast::<Py<PyAny>>() }
}

/// Visit what the ring holds, buffers in flight excepted. Reports nothing while the ring is held:
/// what is not visited counts as referenced from outside, which is safe.
pub(crate) fn traverse(ring: &PyRing, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
    if !ring.0.is_there() {
        return Ok(());
    }
    visit.call(&ring.trace)?;
    if !ring.cell.same_process() {
        return Ok(());
    }
    // SAFETY: the collector runs with the interpreter lock or with all threads stopped; whoever
    // holds a ring is attached meanwhile, so nobody can take it during this call (I6, I9).
    let Some(state) = (unsafe { ring.cell.peek() }) else { return Ok(()) };
    for shown in &state.peeked {
        visit.call(shown)?;
    }
    for ready in &state.ready {
        if !ready.token.is_null() {
            // SAFETY: an owned reference in the queue.
            visit.call(unsafe { as_py(&ready.token) })?;
        }
    }
    let Some(slots) = state.core.slots() else { return Ok(()) };
    for index in slots.live_indices() {
        // SAFETY: only the token is read, and only `clear` below ever changes it while live (I7).
        let token = unsafe { (*slots.payload(index)).token() };
        if !token.is_null() {
            // SAFETY: an owned reference in the slot.
            visit.call(unsafe { as_py(&token) })?;
        }
    }
    Ok(())
}

/// Break cycles through tokens: each becomes None. What the kernel may touch is left alone (I7).
pub(crate) fn clear(ring: &PyRing) {
    if !ring.0.is_there() || !ring.cell.same_process() {
        return;
    }
    armed::last(|py| {
        let mut old = Vec::new();
        {
            if ring.cell.is_taken() {
                return;
            }
            // SAFETY: the ring is garbage, so no call is under way, and with a GIL nobody can take it
            // meanwhile; without one, what is left of it takes the lock for moments only (I9).
            let mut state = unsafe { ring.cell.hold_last() };
            for ready in &mut state.ready {
                old.push(std::mem::replace(&mut ready.token, py.None().into_ptr()));
            }
            if let Some(slots) = state.core.slots() {
                for index in slots.live_indices() {
                    // SAFETY: tokens are not the kernel's; nobody else runs (I7).
                    let keep = unsafe { &mut *slots.payload(index) };
                    old.push(keep.take_token());
                    keep.set_token(py.None().into_ptr());
                }
            }
        }
        for token in old {
            // SAFETY: owned references, replaced above; no lock is held now (I6).
            unsafe { ffi::Py_XDECREF(token) };
        }
    });
}
