//! The int objects behind `res` and `flags`.
//!
//! Results repeat: a batch of reads brings the same length over and over, and flags are mostly 0.
//! Remembering the last of each operation saves making an int, which is 7 of the 16 ns of a
//! completion.

use std::cell::UnsafeCell;

use pyo3::ffi;
use pyo3::Python;

use crate::py::freelist::GIL_BUILD;

/// Operation numbers share a place modulo this.
const PLACES: usize = 64;

#[derive(Clone, Copy)]
struct Last {
    value: i64,
    /// A strong reference, or NULL.
    object: *mut ffi::PyObject,
}

/// The last `res` of each operation, and in the place after them the last `flags` of any.
struct Cache(UnsafeCell<[Last; PLACES + 1]>);

// SAFETY: used under `GIL_BUILD` by attached threads only, and never across a call that could
// give up the GIL: making or freeing an exact int runs no Python code (I6).
unsafe impl Sync for Cache {}

static CACHE: Cache =
    Cache(UnsafeCell::new([Last { value: 0, object: std::ptr::null_mut() }; PLACES + 1]));

/// `res` as a new reference; NULL with an exception set on failure.
#[inline]
pub(super) fn res(py: Python<'_>, op: u8, res: i32) -> *mut ffi::PyObject {
    get(py, usize::from(op) % PLACES, res.into())
}

/// `flags` as a new reference; NULL with an exception set on failure.
#[inline]
pub(super) fn flags(py: Python<'_>, flags: u32) -> *mut ffi::PyObject {
    get(py, PLACES, flags.into())
}

#[inline]
fn get(_py: Python<'_>, place: usize, value: i64) -> *mut ffi::PyObject {
    if GIL_BUILD {
        // SAFETY: attached, as the token says, so the cache is ours alone (see `Sync` above);
        // what it holds are strong references.
        unsafe {
            let last = (*CACHE.0.get())[place];
            if last.value == value && !last.object.is_null() {
                return ffi::Py_NewRef(last.object);
            }
        }
    }
    make(place, value)
}

#[cold]
#[inline(never)]
fn make(place: usize, value: i64) -> *mut ffi::PyObject {
    // SAFETY: as in `get`, whose callers are attached. The old int is released when the cache no
    // longer has it.
    unsafe {
        let object = ffi::PyLong_FromLongLong(value);
        if GIL_BUILD && !object.is_null() {
            let new = Last { value, object: ffi::Py_NewRef(object) };
            let old = std::mem::replace(&mut (*CACHE.0.get())[place], new);
            ffi::Py_XDECREF(old.object);
        }
        object
    }
}
