//! `Completion`: what a request came to, as one small object made once per result.
//!
//! The object is a raw heap type with a freelist: this file has its layout, birth and death;
//! `view` its attributes, `iter` its unpacking, `ints` the numbers it shows.
//!
//! Three choices, all measured on CPython 3.11 and 3.13:
//! - `res` and `flags` are kept as int objects beside the raw numbers. Having them up front costs
//!   2 ns; it lets the interpreter specialise the attribute reads, 2 ns in place of 12 each.
//! - an object is tracked by the collector only when its `user_data` is of a collectable type:
//!   without one it cannot be part of a cycle, as with tuples of atoms.
//! - unpacking goes through an iterator type of its own with a freelist, at half the price of a
//!   tuple and its iterator.

mod ints;
mod iter;
mod view;

use std::ffi::{c_int, c_void, CStr};
use std::mem::size_of;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyTuple, PyType};

use super::freelist::{Freelist, GIL_BUILD};
use super::rawtype::{build, doc_slot, slot};

/// What a completion carries beside its result, for the operations that bring more back.
///
/// The collector does not look inside, so an implementation must hold no Python object that could
/// lead back to the completion; plain memory and descriptors are what it is for. Dropping it ends
/// what nobody claimed (I10), may happen on any attached thread, and must not run Python code, block
/// or panic. Several threads may ask it at a time.
pub(crate) trait CompletionExtra: Send + Sync {
    /// What the operation is for, in Python's form; None where that is `res`.
    fn value(&self, py: Python<'_>) -> PyResult<Py<PyAny>>;
    /// The peer's address, or None.
    fn address(&self, py: Python<'_>) -> PyResult<Py<PyAny>>;
    /// The list of `(level, type, data)` control messages.
    fn ancdata(&self, py: Python<'_>) -> PyResult<Py<PyAny>>;
    /// The `msg_flags` the kernel left, MSG_TRUNC and MSG_CTRUNC above all.
    fn msg_flags(&self) -> i32;
    /// The rest of a 32-byte completion.
    fn big_cqe(&self) -> Option<[u64; 2]> {
        None
    }
    /// Views of the buffers that the kernel chose.
    fn buffers(&self, _py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        Ok(Vec::new())
    }
}

#[repr(C)]
struct CompletionObject {
    head: ffi::PyObject,
    /// Never NULL while the object lives.
    user_data: *mut ffi::PyObject,
    /// `res` as an int object; never NULL while the object lives.
    res_object: *mut ffi::PyObject,
    /// `flags` as an int object; never NULL while the object lives.
    flags_object: *mut ffi::PyObject,
    /// Boxed twice to be one word here, since nearly all completions have none: then NULL.
    extra: *mut Box<dyn CompletionExtra>,
    key: u64,
    res: i32,
    flags: u32,
    ring_id: u32,
    op: u8,
    /// Whether the collector knows the object.
    tracked: bool,
}

static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static FREE: Freelist<256> = Freelist::new();

const DOC: &CStr = c"One completion: what a request came to.

Unpacks as `user_data, res, flags = cqe`, and is indexed in that order.

- `user_data`: the very object given to the `prep_*` method
- `res`: the kernel's result, a negative errno when the request failed
- `flags`: CqeFlags of this completion

`result()` gives `res`, or raises the matching OSError. Completions come from
rings only; the type cannot be called or subclassed. They compare by identity.";

/// The type object, made on first use.
pub(crate) fn type_object(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    Ok(TYPE.get_or_try_init(py, || make_type(py))?.bind(py))
}

#[cold]
fn make_type(py: Python<'_>) -> PyResult<Py<PyType>> {
    let mut slots = [
        doc_slot(DOC),
        view::MEMBERS.slot(ffi::Py_tp_members),
        view::GETTERS.slot(ffi::Py_tp_getset),
        view::METHODS.slot(ffi::Py_tp_methods),
        slot(ffi::Py_tp_dealloc, dealloc as *mut c_void),
        slot(ffi::Py_tp_traverse, traverse as *mut c_void),
        slot(ffi::Py_tp_clear, clear as *mut c_void),
        slot(ffi::Py_tp_repr, view::repr as *mut c_void),
        slot(ffi::Py_tp_iter, iter::iter as *mut c_void),
        slot(ffi::Py_sq_length, view::length as *mut c_void),
        slot(ffi::Py_sq_item, view::item as *mut c_void),
        ffi::PyType_Slot::default(),
    ];
    let (size, gc) = (size_of::<CompletionObject>(), ffi::Py_TPFLAGS_HAVE_GC);
    // SAFETY: the functions have the types of their slots and treat instances as
    // `CompletionObject`; the tables are static; the last slot is zero.
    let made = unsafe { build(py, c"uring_rs.Completion", size, gc, &mut slots)? };
    let names = PyTuple::new(py, ["user_data", "res", "flags"])?;
    let class = made.as_ptr().cast::<ffi::PyTypeObject>();
    // An immutable type takes no `setattr`, so this goes in before anyone has seen it.
    // SAFETY: `class` is a ready heap type that only this function knows; its dict is a dict.
    unsafe {
        // The dictionary itself: that of a type is where its metatype says. In the stable ABI the
        // type has no fields.
        let dict = ffi::PyObject_GenericGetDict(made.as_ptr(), std::ptr::null_mut());
        let dict = Bound::from_owned_ptr_or_err(py, dict)?;
        dict.set_item("__match_args__", names)?;
        ffi::PyType_Modified(class);
    }
    iter::type_object(py)?;
    Ok(made)
}

/// A new completion as a new reference; NULL with an exception set on failure.
///
/// Allocating may run the collector (CPython 3.11 does it right here), and with it any Python
/// code: call this with no lock held (I6).
///
/// # Safety
/// `user_data` must be a valid strong reference, which this takes over, as it does what `extra`
/// gives, unless it fails.
#[inline]
#[allow(clippy::too_many_arguments, reason = "one per field, and a struct of them costs copies")]
pub(crate) unsafe fn new(
    py: Python<'_>,
    user_data: *mut ffi::PyObject,
    key: u64,
    ring_id: u32,
    op: u8,
    res: i32,
    flags: u32,
    extra: impl FnOnce() -> Option<Box<dyn CompletionExtra>>,
) -> *mut ffi::PyObject {
    let object = match FREE.take(py) {
        Some(object) => object.as_ptr(),
        None => allocate(py),
    };
    let res_object = ints::res(py, op, res);
    let flags_object = ints::flags(py, flags);
    if object.is_null() || res_object.is_null() || flags_object.is_null() {
        // SAFETY: all three are strong references of this function or NULL, used no more.
        unsafe { abandon(py, object, [res_object, flags_object]) };
        return std::ptr::null_mut();
    }
    let extra = extra().map_or(std::ptr::null_mut(), |extra| Box::into_raw(Box::new(extra)));
    // SAFETY: `object` is an untracked `CompletionObject` that nobody else has seen yet, so its
    // fields may be set; it is tracked only when they all are. The collector never learns of an
    // object that leads to no other.
    unsafe {
        let tracked = ffi::PyType_IS_GC(ffi::Py_TYPE(user_data)) != 0;
        let this = object.cast::<CompletionObject>();
        (*this).user_data = user_data;
        (*this).res_object = res_object;
        (*this).flags_object = flags_object;
        (*this).extra = extra;
        (*this).key = key;
        (*this).res = res;
        (*this).flags = flags;
        (*this).ring_id = ring_id;
        (*this).op = op;
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
        // SAFETY: the type is ours, ready, and has the size of `CompletionObject`.
        Ok(class) => unsafe { ffi::PyObject_GC_New(class.as_ptr().cast()) },
        Err(error) => {
            error.restore(py);
            std::ptr::null_mut()
        }
    }
}

/// Undoes half a birth.
///
/// # Safety
/// `object` must be NULL or an untracked instance with unset fields, `owned` NULL or strong
/// references; the caller gives all of them up.
#[cold]
unsafe fn abandon(py: Python<'_>, object: *mut ffi::PyObject, owned: [*mut ffi::PyObject; 2]) {
    // SAFETY: the caller's; the references are to ints, whose end runs no Python code.
    unsafe {
        if !object.is_null() {
            free(py, object);
        }
        for reference in owned {
            ffi::Py_XDECREF(reference);
        }
    }
}

/// Puts a dead object on the freelist or gives it back to the allocator.
///
/// # Safety
/// `object` must be an untracked instance that owns its type reference only, and is used no more.
#[inline]
unsafe fn free(py: Python<'_>, object: *mut ffi::PyObject) {
    // SAFETY: the caller's; the type outlives the instance, which holds it until then.
    unsafe {
        if !FREE.give(py, object) {
            let class = ffi::Py_TYPE(object);
            ffi::PyObject_GC_Del(object.cast());
            ffi::Py_DECREF(class.cast());
        }
    }
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this attached, with the last reference to one of our instances.
    unsafe {
        let py = Python::assume_attached();
        let class = ffi::Py_TYPE(object);
        let mut object = object;
        loop {
            let user_data = retire(py, object);
            // A completion whose user_data is a completion, and so on a million deep, must not
            // recurse a million deep: take over the last reference in place of dropping it.
            // (Without a GIL the count proves nothing, and the interpreter flattens it itself.)
            if !GIL_BUILD || ffi::Py_TYPE(user_data) != class || ffi::Py_REFCNT(user_data) != 1 {
                ffi::Py_DECREF(user_data);
                return;
            }
            object = user_data;
        }
    }
}

/// Ends one instance, except for its `user_data`: a strong reference, the caller's to release.
///
/// # Safety
/// `object` must be one of our instances, with no reference left but the caller's.
#[inline]
unsafe fn retire(py: Python<'_>, object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    let this = object.cast::<CompletionObject>();
    // SAFETY: the caller's; all fields of a live instance are set. `user_data` is released by the
    // caller, after the instance is in the freelist, as that may run Python code which takes the
    // instance out again (I6).
    unsafe {
        if (*this).tracked {
            ffi::PyObject_GC_UnTrack(object.cast());
        }
        let user_data = (*this).user_data;
        ffi::Py_DECREF((*this).res_object);
        ffi::Py_DECREF((*this).flags_object);
        if !(*this).extra.is_null() {
            drop(Box::from_raw((*this).extra));
        }
        free(py, object);
        user_data
    }
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the collector calls this with one of our instances, tracked, hence with its fields
    // set. `extra` is not visited (I7): what is not visited counts as used from outside.
    unsafe {
        let answer = visit(ffi::Py_TYPE(object).cast(), arg);
        if answer != 0 {
            return answer;
        }
        visit((*object.cast::<CompletionObject>()).user_data, arg)
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> c_int {
    let this = object.cast::<CompletionObject>();
    // SAFETY: the collector calls this attached, with one of our instances and a reference of its
    // own to it. The field is None before the old value goes, whose finaliser may look at us.
    unsafe {
        let user_data = (*this).user_data;
        (*this).user_data = ffi::Py_NewRef(ffi::Py_None());
        ffi::Py_DECREF(user_data);
    }
    0
}
