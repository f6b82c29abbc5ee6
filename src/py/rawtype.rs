//! What the raw types share: building a heap type, and entering PyO3 from a slot function.
//!
//! PyO3 classes cost four times a hand-written type to create, so the two objects made once per
//! request are written against the C API. Only their hot paths are bare; anything that may fail
//! or allocate freely goes through [`enter`] and is ordinary PyO3.

use std::ffi::{c_int, c_void, CStr};
use std::panic::{catch_unwind, AssertUnwindSafe};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::sys::opcode;

/// A static table of C definitions, terminated by a zeroed entry.
#[repr(transparent)]
pub(crate) struct Table<T>(pub(crate) T);

// SAFETY: the tables hold pointers to literals and functions only, and neither CPython nor this
// crate writes to them after the compiler has.
unsafe impl<T> Sync for Table<T> {}

impl<T> Table<T> {
    /// The table as the untyped pointer a type slot wants.
    pub(crate) const fn slot(&'static self, id: c_int) -> ffi::PyType_Slot {
        ffi::PyType_Slot { slot: id, pfunc: std::ptr::from_ref(&self.0).cast_mut().cast() }
    }
}

/// A slot holding a function, which the caller has cast to a pointer.
pub(crate) const fn slot(id: c_int, function: *mut c_void) -> ffi::PyType_Slot {
    ffi::PyType_Slot { slot: id, pfunc: function }
}

/// A slot holding the docstring of the type.
pub(crate) const fn doc_slot(doc: &'static CStr) -> ffi::PyType_Slot {
    ffi::PyType_Slot { slot: ffi::Py_tp_doc, pfunc: doc.as_ptr().cast_mut().cast() }
}

/// A read-only computed attribute.
pub(crate) const fn getter(
    name: &'static CStr,
    get: ffi::getter,
    doc: &'static CStr,
) -> ffi::PyGetSetDef {
    ffi::PyGetSetDef {
        name: name.as_ptr(),
        get: Some(get),
        set: None,
        doc: doc.as_ptr(),
        closure: std::ptr::null_mut(),
    }
}

/// The entry that ends a table of computed attributes.
pub(crate) const GETTERS_END: ffi::PyGetSetDef = ffi::PyGetSetDef {
    name: std::ptr::null(),
    get: None,
    set: None,
    doc: std::ptr::null(),
    closure: std::ptr::null_mut(),
};

/// Builds an immutable heap type that Python can neither call nor subclass.
///
/// # Safety
/// `slots` must be what `PyType_FromSpec` expects for an instance of `basicsize` bytes: functions
/// of the types their slots have, static tables, a zeroed entry at the end.
pub(crate) unsafe fn build(
    py: Python<'_>,
    name: &'static CStr,
    basicsize: usize,
    extra_flags: std::ffi::c_ulong,
    slots: &mut [ffi::PyType_Slot],
) -> PyResult<Py<PyType>> {
    // Immutable also means that no `__class__` assignment turns another object into one of these,
    // whose fields would then be whatever that object had there.
    let flags = ffi::Py_TPFLAGS_DEFAULT
        | ffi::Py_TPFLAGS_IMMUTABLETYPE
        | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION
        | extra_flags;
    let mut spec = ffi::PyType_Spec {
        name: name.as_ptr(),
        basicsize: basicsize as c_int,
        itemsize: 0,
        flags: flags as std::ffi::c_uint,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the caller vouches for the slots, the name is static; the result is a new reference
    // to a type, or NULL with an exception set.
    let made = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpec(&mut spec))? };
    Ok(made.cast_into::<PyType>()?.unbind())
}

/// Runs the body of a slot function as PyO3 code: errors and panics become Python exceptions.
///
/// # Safety
/// The thread must be attached to the interpreter, as it is whenever CPython calls a slot.
pub(crate) unsafe fn enter<F>(body: F) -> *mut ffi::PyObject
where
    F: FnOnce(Python<'_>) -> PyResult<Py<PyAny>>,
{
    let answer = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the caller says the thread is attached. Unchecked, because the check refuses
        // an interpreter that is shutting down, which may still call into us (from `__del__`).
        unsafe {
            Python::attach_unchecked(|py| match body(py) {
                Ok(object) => object.into_ptr(),
                Err(error) => {
                    error.restore(py);
                    std::ptr::null_mut()
                }
            })
        }
    }));
    answer.unwrap_or_else(|_| {
        // PyO3 panics on some failed allocations and leaves the MemoryError set: then that is it.
        // SAFETY: attached, per the contract of this function; the text is a static C string.
        unsafe {
            if ffi::PyErr_Occurred().is_null() {
                let text = c"a uring_rs attribute panicked";
                ffi::PyErr_SetString(ffi::PyExc_SystemError, text.as_ptr());
            }
        }
        std::ptr::null_mut()
    })
}

/// A str, or the MemoryError that PyO3's own conversion would panic with.
pub(crate) fn text<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    let length = text.len() as ffi::Py_ssize_t;
    // SAFETY: pointer and length are those of valid UTF-8, which is copied; the result is a new
    // reference, or NULL with an exception set.
    unsafe {
        let made = ffi::PyUnicode_FromStringAndSize(text.as_ptr().cast(), length);
        Bound::from_owned_ptr_or_err(py, made)
    }
}

/// An int, or the MemoryError that PyO3's own conversion would panic with.
pub(crate) fn int(py: Python<'_>, value: i32) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the result is a new reference, or NULL with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyLong_FromLong(value.into())) }
}

/// Operation numbers this table has room for; the kernel's are below it for years to come.
const NAMES: usize = 128;

/// The name of an operation as one shared, interned string; `OP_<number>` for an unknown one.
pub(crate) fn op_name(py: Python<'_>, op: u8) -> PyResult<Py<PyAny>> {
    static CACHE: [PyOnceLock<Py<PyAny>>; NAMES] = [const { PyOnceLock::new() }; NAMES];
    let Some((info, cell)) = opcode::info(op).zip(CACHE.get(usize::from(op))) else {
        return Ok(text(py, &op_text(op))?.unbind());
    };
    let name = cell.get_or_try_init(py, || {
        let mut name = text(py, info.name)?.into_ptr();
        // SAFETY: `name` is a new str of ours alone; interning puts the shared one in its place.
        unsafe {
            ffi::PyUnicode_InternInPlace(&mut name);
            Bound::from_owned_ptr_or_err(py, name).map(Bound::unbind)
        }
    })?;
    Ok(name.clone_ref(py))
}

/// The name of an operation as Rust text, for messages and reprs.
pub(crate) fn op_text(op: u8) -> std::borrow::Cow<'static, str> {
    match opcode::info(op) {
        Some(info) => info.name.into(),
        None => format!("OP_{op}").into(),
    }
}
