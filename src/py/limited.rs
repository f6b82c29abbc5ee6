//! The few places where the fast way is not part of Python's stable ABI.
//!
//! A wheel for one Python version uses the macros, which read the objects directly. The wheel for
//! all of them (feature `abi3`) calls the functions instead, and does without what has none. The
//! names and the contracts are those of the C API.

use pyo3::ffi;
#[cfg(feature = "abi3")]
use pyo3::prelude::*;
#[cfg(feature = "abi3")]
use pyo3::types::{PyDict, PyTuple};

#[cfg(not(feature = "abi3"))]
pub(crate) use ffi::{
    PyBytes_AS_STRING, PyList_SET_ITEM, PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_SET_ITEM,
};

#[cfg(feature = "abi3")]
pub(crate) use stable::*;

#[cfg(feature = "abi3")]
#[allow(non_snake_case, reason = "the names of the C API, whose places these take")]
mod stable {
    use std::ffi::c_char;

    use pyo3::ffi;

    /// # Safety
    /// Attached; a tuple.
    pub(crate) unsafe fn PyTuple_GET_SIZE(tuple: *mut ffi::PyObject) -> ffi::Py_ssize_t {
        // SAFETY: a tuple by the contract; nothing is run and no lock held (I6).
        unsafe { ffi::PyTuple_Size(tuple) }
    }

    /// # Safety
    /// Attached; a tuple, and a place within it. The item is borrowed from it.
    pub(crate) unsafe fn PyTuple_GET_ITEM(
        tuple: *mut ffi::PyObject,
        at: ffi::Py_ssize_t,
    ) -> *mut ffi::PyObject {
        // SAFETY: as the contract says (I6).
        unsafe { ffi::PyTuple_GetItem(tuple, at) }
    }

    /// # Safety
    /// Attached; a new tuple that nobody else has seen, with that place empty. Takes the item over.
    pub(crate) unsafe fn PyTuple_SET_ITEM(
        tuple: *mut ffi::PyObject,
        at: ffi::Py_ssize_t,
        item: *mut ffi::PyObject,
    ) {
        // SAFETY: as the contract says; it cannot fail for such a tuple (I6).
        unsafe { ffi::PyTuple_SetItem(tuple, at, item) };
    }

    /// # Safety
    /// Attached; a new list that nobody else has seen, with that place empty. Takes the item over.
    pub(crate) unsafe fn PyList_SET_ITEM(
        list: *mut ffi::PyObject,
        at: ffi::Py_ssize_t,
        item: *mut ffi::PyObject,
    ) {
        // SAFETY: as the contract says; it cannot fail for such a list (I6).
        unsafe { ffi::PyList_SetItem(list, at, item) };
    }

    /// # Safety
    /// Attached; a bytes object.
    pub(crate) unsafe fn PyBytes_AS_STRING(bytes: *mut ffi::PyObject) -> *const c_char {
        // SAFETY: as the contract says; null for other objects only (I5).
        unsafe { ffi::PyBytes_AsString(bytes) }
    }
}

/// Call `callable` with `positional` values and then one for each of `names` (a tuple, or null).
///
/// # Safety
/// Attached; valid objects, as many as said. The result is a new reference, or null with an error.
pub(crate) unsafe fn vectorcall(
    callable: *mut ffi::PyObject,
    all: &[*mut ffi::PyObject],
    positional: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    #[cfg(not(feature = "abi3"))]
    // SAFETY: as the contract says; no lock is held (I6).
    unsafe {
        ffi::PyObject_Vectorcall(callable, all.as_ptr(), positional, names)
    }
    #[cfg(feature = "abi3")]
    // SAFETY: as the contract says; no lock is held (I6).
    unsafe {
        Python::attach_unchecked(|py| match spread(py, callable, all, positional, names) {
            Ok(result) => result.into_ptr(),
            Err(error) => {
                error.restore(py);
                std::ptr::null_mut()
            }
        })
    }
}

/// The same with a tuple and a dictionary, as the stable ABI of Python 3.11 has no other way.
///
/// # Safety
/// As for `vectorcall`.
#[cfg(feature = "abi3")]
unsafe fn spread<'py>(
    py: Python<'py>,
    callable: *mut ffi::PyObject,
    all: &[*mut ffi::PyObject],
    positional: usize,
    names: *mut ffi::PyObject,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: valid objects by the contract; each reference is a new one of ours (I6).
    let own = |object: &*mut ffi::PyObject| unsafe { Bound::from_borrowed_ptr(py, *object) };
    let (plain, named) = all.split_at(positional);
    let arguments = PyTuple::new(py, plain.iter().map(own))?;
    let keywords = PyDict::new(py);
    if !names.is_null() {
        let names = own(&names).cast_into::<PyTuple>()?;
        for (name, value) in names.iter().zip(named) {
            keywords.set_item(name, own(value))?;
        }
    }
    own(&callable).call(arguments, Some(&keywords))
}
