//! `Request`: the name of one request of one ring, which every `prep_*` returns.
//!
//! It owns nothing. The key carries the generation of its slot, so a `Request` kept after its
//! request has ended is stale, never dangling (I3).

use std::ffi::{c_int, c_void};
use std::mem::size_of;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use super::freelist::Freelist;
use super::live;
use super::rawtype::{build, doc_slot, enter, getter, op_name, op_text, slot, text};
use super::rawtype::{Table, GETTERS_END};

/// What a `Request` says: enough to find its slot, or to see that it belongs elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestKey {
    /// The slot key, as the kernel sees it in `user_data`.
    pub(crate) key: u64,
    /// Which ring of this process.
    pub(crate) ring_id: u32,
    /// The operation number.
    pub(crate) op: u8,
}

#[repr(C)]
struct RequestObject {
    head: ffi::PyObject,
    what: RequestKey,
}

static TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static FREE: Freelist<256> = Freelist::new();

const DOC: &std::ffi::CStr = c"Names one request of one ring.

Every `prep_*` method returns one. Hand it to `prep_cancel`, `prep_poll_update`,
`prep_timeout_remove` and their kin; `live` says whether it goes on.

It keeps nothing alive and may be dropped or kept at will: a request that has
ended is merely stale, its number is not given to another one. Two are equal,
and hash alike, when they name the same request of the same ring. Requests
come from rings only; the type cannot be called or subclassed.";

static GETTERS: Table<[ffi::PyGetSetDef; 4]> = Table([
    getter(c"op", get_op, c"The name of the operation, such as 'READ'."),
    getter(
        c"live",
        get_live,
        c"Whether it is still staged or with the kernel: for a multishot request, whether it goes\n\
        on. To be asked where its ring may be used.",
    ),
    getter(c"key", get_key, c"The number that the kernel knows the request by."),
    GETTERS_END,
]);

/// The type object, made on first use.
pub(crate) fn type_object(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    let made = TYPE.get_or_try_init(py, || {
        let mut slots = [
            doc_slot(DOC),
            GETTERS.slot(ffi::Py_tp_getset),
            slot(ffi::Py_tp_dealloc, dealloc as *mut c_void),
            slot(ffi::Py_tp_repr, repr as *mut c_void),
            slot(ffi::Py_tp_hash, hash as *mut c_void),
            slot(ffi::Py_tp_richcompare, compare as *mut c_void),
            ffi::PyType_Slot::default(),
        ];
        // SAFETY: the functions have the types of their slots and treat instances as
        // `RequestObject`; the table is static; the last slot is zero.
        unsafe { build(py, c"uring_rs.Request", size_of::<RequestObject>(), 0, &mut slots) }
    })?;
    Ok(made.bind(py))
}

/// A new `Request`.
pub(crate) fn new(py: Python<'_>, key: u64, ring_id: u32, op: u8) -> PyResult<Py<PyAny>> {
    // SAFETY: `new_raw` gives a new reference, or NULL with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, new_raw(py, key, ring_id, op)) }.map(Bound::unbind)
}

/// A new `Request` as a new reference; NULL with an exception set on failure.
#[inline]
pub(crate) fn new_raw(py: Python<'_>, key: u64, ring_id: u32, op: u8) -> *mut ffi::PyObject {
    let object = match FREE.take(py) {
        Some(object) => object.as_ptr(),
        None => allocate(py),
    };
    if !object.is_null() {
        // SAFETY: `object` is a `RequestObject` that nobody else has seen yet.
        unsafe { (*object.cast::<RequestObject>()).what = RequestKey { key, ring_id, op } };
    }
    object
}

/// Give a `Request` that nobody has seen yet its key.
#[inline(always)]
pub(crate) fn name(request: &Py<PyAny>, key: u64) {
    // SAFETY: made by `new`, so a `RequestObject`, and not yet handed out: nobody reads it.
    unsafe { (*request.as_ptr().cast::<RequestObject>()).what.key = key };
}

/// An instance from the allocator, its fields unset; NULL with an exception set on failure.
#[cold]
fn allocate(py: Python<'_>) -> *mut ffi::PyObject {
    match type_object(py) {
        // SAFETY: the type is ours, ready, and has the size of `RequestObject`.
        Ok(class) => unsafe { ffi::PyObject_New::<ffi::PyObject>(class.as_ptr().cast()) },
        Err(error) => {
            error.restore(py);
            std::ptr::null_mut()
        }
    }
}

/// What `object` names, if it is a `Request`.
#[inline]
pub(crate) fn extract(object: &Bound<'_, PyAny>) -> PyResult<RequestKey> {
    let class = type_object(object.py())?;
    if object.get_type_ptr() != class.as_type_ptr() {
        return Err(not_a_request(object));
    }
    // SAFETY: the type has no subclasses, so the object is a `RequestObject`.
    Ok(unsafe { what(object.as_ptr()) })
}

#[cold]
fn not_a_request(object: &Bound<'_, PyAny>) -> PyErr {
    let class = object.get_type().name().map_or_else(|_| "?".into(), |name| name.to_string());
    PyTypeError::new_err(format!("expected a Request, as a prep_* method returns, not '{class}'"))
}

/// # Safety
/// `object` must point to a live `RequestObject`.
#[inline]
unsafe fn what(object: *mut ffi::PyObject) -> RequestKey {
    // SAFETY: the caller's; the field is never written after `new_raw`.
    unsafe { (*object.cast::<RequestObject>()).what }
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this attached, with the last reference to one of our instances, which
    // is untracked and owns its type reference only.
    unsafe {
        let py = Python::assume_attached();
        if !FREE.give(py, object) {
            let class = ffi::Py_TYPE(object);
            ffi::PyObject_Free(object.cast());
            ffi::Py_DECREF(class.cast());
        }
    }
}

unsafe extern "C" fn repr(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this attached, with one of our instances.
    let RequestKey { key, op, .. } = unsafe { what(object) };
    let shown = format!("<Request {} key={key:#x}>", op_text(op));
    // SAFETY: as above.
    unsafe { enter(|py| text(py, &shown).map(Bound::unbind)) }
}

unsafe extern "C" fn get_op(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this attached, with one of our instances.
    unsafe { enter(|py| op_name(py, what(object).op)) }
}

unsafe extern "C" fn get_key(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this attached, with one of our instances.
    unsafe { ffi::PyLong_FromUnsignedLongLong(what(object).key) }
}

unsafe extern "C" fn get_live(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this attached, with one of our instances.
    unsafe {
        let what = what(object);
        enter(|py| {
            let live = live::ask_ring(py, what)?;
            Ok(pyo3::types::PyBool::new(py, live).to_owned().into_any().unbind())
        })
    }
}

unsafe extern "C" fn hash(object: *mut ffi::PyObject) -> ffi::Py_hash_t {
    // SAFETY: CPython calls this attached, with one of our instances.
    let RequestKey { key, ring_id, .. } = unsafe { what(object) };
    // Dictionaries look at the low bits, which are the kind in a key and the same for all: a
    // multiplication carries every bit upwards, the fold brings them back.
    let mixed = (key ^ (u64::from(ring_id) << 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let hash = (mixed ^ (mixed >> 32)) as ffi::Py_hash_t;
    // -1 means "exception" to CPython.
    if hash == -1 {
        -2
    } else {
        hash
    }
}

unsafe extern "C" fn compare(
    left: *mut ffi::PyObject,
    right: *mut ffi::PyObject,
    operator: c_int,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this attached, with one of our instances on the left and any object
    // on the right, which is looked into only when it has the same type.
    unsafe {
        if ffi::Py_TYPE(right) != ffi::Py_TYPE(left) || !matches!(operator, ffi::Py_EQ | ffi::Py_NE)
        {
            return ffi::Py_NewRef(ffi::Py_NotImplemented());
        }
        let (a, b) = (what(left), what(right));
        let same = a.key == b.key && a.ring_id == b.ring_id;
        ffi::PyBool_FromLong((same == (operator == ffi::Py_EQ)).into())
    }
}
