//! Unpacking: `user_data, res, flags = cqe`.
//!
//! The interpreter unpacks anything but a tuple or list by asking for an iterator and calling it
//! four times. This iterator comes from a freelist and points at the completion.

use std::ffi::{c_int, c_void};
use std::mem::size_of;
use std::sync::atomic::{AtomicU8, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use super::view::{field, FIELDS};
use super::CompletionObject;
use crate::py::freelist::Freelist;
use crate::py::rawtype::{build, slot};

#[repr(C)]
struct IterObject {
    head: ffi::PyObject,
    /// A strong reference until the object dies.
    completion: *mut ffi::PyObject,
    /// Atomic for the builds without a GIL, where two threads may share an iterator.
    next: AtomicU8,
    /// Whether the collector knows the object.
    tracked: bool,
}

static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static FREE: Freelist<16> = Freelist::new();

/// The type object, made on first use.
pub(super) fn type_object(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    let made = TYPE.get_or_try_init(py, || {
        let mut slots = [
            slot(ffi::Py_tp_dealloc, dealloc as *mut c_void),
            slot(ffi::Py_tp_traverse, traverse as *mut c_void),
            slot(ffi::Py_tp_iter, ffi::PyObject_SelfIter as *mut c_void),
            slot(ffi::Py_tp_iternext, next as *mut c_void),
            ffi::PyType_Slot::default(),
        ];
        let (size, gc) = (size_of::<IterObject>(), ffi::Py_TPFLAGS_HAVE_GC);
        // SAFETY: the functions have the types of their slots and treat instances as
        // `IterObject`; the last slot is zero. No tp_clear: the completion of a cycle has one.
        unsafe { build(py, c"uring_rs._uring.completion_iterator", size, gc, &mut slots) }
    })?;
    Ok(made.bind(py))
}

/// tp_iter of `Completion`.
pub(super) unsafe extern "C" fn iter(completion: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this attached, with one of our completions.
    let py = unsafe { Python::assume_attached() };
    let object = match FREE.take(py) {
        Some(object) => object.as_ptr(),
        None => allocate(py),
    };
    if object.is_null() {
        return object;
    }
    // SAFETY: `object` is an untracked `IterObject` that nobody else has seen yet, so its fields
    // may be set; it is tracked only when they all are, and only if the completion is, without
    // which no cycle can go through either.
    unsafe {
        let tracked = (*completion.cast::<CompletionObject>()).tracked;
        let this = object.cast::<IterObject>();
        (*this).completion = ffi::Py_NewRef(completion);
        (&raw mut (*this).next).write(AtomicU8::new(0));
        (*this).tracked = tracked;
        if tracked {
            ffi::PyObject_GC_Track(object.cast());
        }
    }
    object
}

/// An instance from the allocator, its fields unset; NULL with an exception set on failure.
#[cold]
fn allocate(py: Python<'_>) -> *mut ffi::PyObject {
    match type_object(py) {
        // SAFETY: the type is ours, ready, and has the size of `IterObject`.
        Ok(class) => unsafe { ffi::PyObject_GC_New(class.as_ptr().cast()) },
        Err(error) => {
            error.restore(py);
            std::ptr::null_mut()
        }
    }
}

unsafe extern "C" fn next(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    let this = object.cast::<IterObject>();
    // SAFETY: CPython calls this attached, with one of our instances; its completion lives.
    unsafe {
        let index = (*this).next.load(Ordering::Relaxed);
        if index >= FIELDS {
            return std::ptr::null_mut();
        }
        (*this).next.store(index + 1, Ordering::Relaxed);
        field((*this).completion, index)
    }
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    let this = object.cast::<IterObject>();
    // SAFETY: CPython calls this attached, with the last reference to one of our instances. The
    // completion goes last, as releasing it may run Python code (I6).
    unsafe {
        let py = Python::assume_attached();
        if (*this).tracked {
            ffi::PyObject_GC_UnTrack(object.cast());
        }
        let completion = (*this).completion;
        if !FREE.give(py, object) {
            let class = ffi::Py_TYPE(object);
            ffi::PyObject_GC_Del(object.cast());
            ffi::Py_DECREF(class.cast());
        }
        ffi::Py_DECREF(completion);
    }
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this with one of our instances, tracked, hence with its fields
    // set.
    unsafe {
        let answer = visit(ffi::Py_TYPE(object).cast(), arg);
        if answer != 0 {
            return answer;
        }
        visit((*object.cast::<IterObject>()).completion, arg)
    }
}
