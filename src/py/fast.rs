//! The hot calls, without PyO3's argument handling: `prep_nop`, `prep_read`, `prep_write`, `push`,
//! `submit` and the iterator.
//!
//! Each is first made by PyO3, which gives signature, documentation and every form of call. Then
//! a METH_FASTCALL function takes its place on the type; it understands the plain forms (exact
//! ints, known keywords) and hands everything else to the method it replaced. That halves the
//! price of a call.

use std::ffi::{c_int, CString};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::exceptions::PySystemError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::ops::file::{self, RwOptions};
use crate::py::keep::Access;
use crate::py::register::personality::Credentials;
use crate::py::ring::PyRing;
use crate::py::sqe::PySqe;
use crate::py::stage::{owned_token, Common};
use crate::py::submit::Want;
use crate::py::{build, convert, limited};
use crate::sys::abi::io_uring_sqe;

type Object = *mut ffi::PyObject;

/// A name that is compared by identity, or a method that is called when the fast way gives up.
/// Set once, at module creation, and never freed.
struct Fixed(AtomicPtr<ffi::PyObject>);

impl Fixed {
    const fn new() -> Self {
        Fixed(AtomicPtr::new(null_mut()))
    }

    #[inline(always)]
    fn get(&self) -> Object {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, object: Bound<'_, PyAny>) {
        self.0.store(object.into_ptr(), Ordering::Relaxed);
    }
}

/// Names of arguments, interned.
static NAMES: [Fixed; 6] = [const { Fixed::new() }; 6];
const TEXTS: [&str; 6] = ["user_data", "flags", "offset", "nbytes", "wait", "timeout"];
const USER_DATA: usize = 0;
const FLAGS: usize = 1;
const OFFSET: usize = 2;
const NBYTES: usize = 3;
const WAIT: usize = 4;

/// The methods replaced.
static SLOW: [Fixed; 5] = [const { Fixed::new() }; 5];
const METHODS: [&str; 5] = ["prep_nop", "prep_read", "prep_write", "push", "submit"];

/// The arguments of a call as CPython passes them.
struct Call<'a> {
    positional: &'a [Object],
    named: &'a [Object],
    names: Object,
}

impl<'a> Call<'a> {
    /// # Safety
    /// The arguments of a METH_FASTCALL | METH_KEYWORDS call.
    #[inline(always)]
    unsafe fn new(args: *const Object, count: ffi::Py_ssize_t, names: Object) -> Self {
        let count = count as usize;
        // SAFETY: `count` positional values, then one for each name; the empty case may come with
        // a null pointer, which a slice must not have.
        unsafe {
            let named = if names.is_null() { 0 } else { limited::PyTuple_GET_SIZE(names) as usize };
            if count + named == 0 {
                return Call { positional: &[], named: &[], names };
            }
            let all = std::slice::from_raw_parts(args, count + named);
            let (positional, named) = all.split_at(count);
            Call { positional, named, names }
        }
    }

    /// Sort the arguments to `places`, whose first ones are positional, by the names of the rest.
    /// False if there is a name or a number of arguments it does not know.
    #[inline(always)]
    fn sort<const N: usize>(
        &self,
        order: [Option<usize>; N],
        positional: usize,
    ) -> Option<[Object; N]> {
        let mut sorted = [null_mut(); N];
        if self.positional.len() > positional {
            return None;
        }
        sorted[..self.positional.len()].copy_from_slice(self.positional);
        for (at, &value) in self.named.iter().enumerate() {
            // SAFETY: as many names as named values.
            let name = unsafe { limited::PyTuple_GET_ITEM(self.names, at as ffi::Py_ssize_t) };
            let place =
                order.iter().position(|known| known.is_some_and(|k| NAMES[k].get() == name))?;
            if !sorted[place].is_null() {
                return None;
            }
            sorted[place] = value;
        }
        Some(sorted)
    }
}

/// An exact int within an i64; None for anything else.
#[inline(always)]
unsafe fn plain_int(object: Object) -> Option<i64> {
    // SAFETY: a valid object by the caller's contract; an exact int runs no Python code.
    unsafe {
        if ffi::PyLong_CheckExact(object) == 0 {
            return None;
        }
        let mut overflow: c_int = 0;
        let value = ffi::PyLong_AsLongLongAndOverflow(object, &mut overflow);
        (overflow == 0).then_some(value)
    }
}

/// An optional int: its default, its value, or None for what the slow way must look at.
#[inline(always)]
unsafe fn optional_int(object: Object, default: i64) -> Option<i64> {
    if object.is_null() {
        return Some(default);
    }
    // SAFETY: not null, so an argument of the call.
    unsafe { plain_int(object) }
}

/// Flags: an int or an IntFlag.
#[inline(always)]
unsafe fn flags(object: Object) -> Option<u8> {
    if object.is_null() {
        return Some(0);
    }
    // SAFETY: an argument of the call; for an int or a subclass of it, AsLong runs no Python code.
    unsafe {
        if ffi::PyLong_Check(object) == 0 {
            return None;
        }
        let value = ffi::PyLong_AsLong(object);
        if value == -1 {
            ffi::PyErr_Clear();
            return None;
        }
        convert::sqe_flags(u32::try_from(value).ok()?).ok()
    }
}

/// Run a fast body: its result, its exception, or the slow method's answer.
///
/// # Safety
/// `slf` must be a `PyRing` and the rest the arguments of a call of method `slow`; attached.
#[inline(always)]
unsafe fn answer(
    slf: Object,
    slow: usize,
    call: (*const Object, ffi::Py_ssize_t, Object),
    body: impl FnOnce(Python<'_>, &PyRing, Call<'_>) -> Option<PyResult<Py<PyAny>>>,
) -> Object {
    // SAFETY: attached; a method descriptor of the type has checked `slf`.
    let result = unsafe {
        let py = Python::assume_attached();
        let ring = Bound::ref_from_ptr(py, &slf).cast_unchecked::<PyRing>();
        let call = Call::new(call.0, call.1, call.2);
        catch_unwind(AssertUnwindSafe(|| body(py, ring.get(), call)))
    };
    match result {
        Ok(Some(Ok(object))) => object.into_ptr(),
        // SAFETY: as for this function.
        Ok(None) => unsafe { call_slow(slf, slow, call) },
        // SAFETY: attached.
        Ok(Some(Err(error))) => unsafe { raise(|_| error) },
        // SAFETY: attached.
        Err(_) => unsafe { raise(|_| PySystemError::new_err("a uring_rs call panicked")) },
    }
}

#[cold]
unsafe fn raise(error: impl FnOnce(Python<'_>) -> PyErr) -> Object {
    // SAFETY: attached, by the callers' contract.
    unsafe { Python::attach_unchecked(|py| error(py).restore(py)) };
    null_mut()
}

/// Call the method that PyO3 made.
#[cold]
unsafe fn call_slow(
    slf: Object,
    slow: usize,
    (args, count, names): (*const Object, ffi::Py_ssize_t, Object),
) -> Object {
    // SAFETY: the arguments of this very call, with `slf` put before them.
    unsafe {
        let named = if names.is_null() { 0 } else { limited::PyTuple_GET_SIZE(names) as usize };
        let mut all = Vec::with_capacity(1 + count as usize + named);
        all.push(slf);
        for at in 0..count as usize + named {
            all.push(*args.add(at));
        }
        limited::vectorcall(SLOW[slow].get(), &all, 1 + count as usize, names)
    }
}

/// An argument that was given, or None.
#[inline(always)]
unsafe fn optional<'a, 'py>(py: Python<'py>, object: &'a Object) -> Option<&'a Bound<'py, PyAny>> {
    // SAFETY: not null, so an argument of the call, which outlives it.
    (!object.is_null()).then(|| unsafe { Bound::ref_from_ptr(py, object) })
}

/// What a fast builder passes on: any object, flags, no personality.
#[inline(always)]
fn common<'a, 'py>(user_data: Option<&'a Bound<'py, PyAny>>, flags: u8) -> Common<'a, 'py> {
    Common { user_data, flags, personality: Credentials::default() }
}

unsafe extern "C" fn prep_nop(
    slf: Object,
    args: *const Object,
    count: ffi::Py_ssize_t,
    names: Object,
) -> Object {
    // SAFETY: called by CPython as method 0 of the ring type.
    unsafe {
        answer(slf, 0, (args, count, names), |py, ring, call| {
            let [user_data, sqe_flags] = call.sort([Some(USER_DATA), Some(FLAGS)], 1)?;
            let user_data = optional(py, &user_data);
            let flags = flags(sqe_flags)?;
            let sqe = io_uring_sqe { flags, ..file::nop() };
            let staged =
                ring.stage_at_once(py, sqe, |keep| keep.set_token(owned_token(py, user_data)));
            match staged.transpose() {
                Some(staged) => Some(staged),
                None => Some(ring.prep(py, common(user_data, flags), |_| Ok(file::nop()))),
            }
        })
    }
}

/// `prep_read` and `prep_write`: (file, buf, offset, nbytes, *, user_data, flags).
#[inline(always)]
unsafe fn prep_rw(
    slf: Object,
    slow: usize,
    access: Access,
    call: (*const Object, ffi::Py_ssize_t, Object),
) -> Object {
    const ORDER: [Option<usize>; 6] =
        [None, None, Some(OFFSET), Some(NBYTES), Some(USER_DATA), Some(FLAGS)];
    // SAFETY: the callers are methods of the ring type.
    unsafe {
        answer(slf, slow, call, |py, ring, call| {
            let [file, buf, offset, nbytes, user_data, sqe_flags] = call.sort(ORDER, 4)?;
            if file.is_null() || buf.is_null() || ffi::PyLong_CheckExact(file) == 0 {
                return None;
            }
            // None stands for a pool to choose from.
            if buf == ffi::Py_None() {
                return None;
            }
            let offset = optional_int(offset, -1)?;
            let nbytes = if nbytes.is_null() { None } else { Some(plain_int(nbytes)?) };
            let flags = flags(sqe_flags)?;
            let file = Bound::ref_from_ptr(py, &file);
            let buf = Bound::ref_from_ptr(py, &buf);
            let user_data = optional(py, &user_data);
            let options = RwOptions::default();
            Some(ring.prep(py, common(user_data, flags), |keep| {
                build::rw(keep, access, file, buf, offset, nbytes, options)
            }))
        })
    }
}

unsafe extern "C" fn prep_read(
    slf: Object,
    args: *const Object,
    count: ffi::Py_ssize_t,
    names: Object,
) -> Object {
    // SAFETY: called by CPython as method 1 of the ring type.
    unsafe { prep_rw(slf, 1, Access::Destination, (args, count, names)) }
}

unsafe extern "C" fn prep_write(
    slf: Object,
    args: *const Object,
    count: ffi::Py_ssize_t,
    names: Object,
) -> Object {
    // SAFETY: called by CPython as method 2 of the ring type.
    unsafe { prep_rw(slf, 2, Access::Source, (args, count, names)) }
}

unsafe extern "C" fn push(
    slf: Object,
    args: *const Object,
    count: ffi::Py_ssize_t,
    names: Object,
) -> Object {
    // SAFETY: called by CPython as method 3 of the ring type.
    unsafe {
        answer(slf, 3, (args, count, names), |py, ring, call| {
            let [sqe] = call.sort([None], 1)?;
            if sqe.is_null() {
                return None;
            }
            let sqe = Bound::ref_from_ptr(py, &sqe).cast::<PySqe>().ok()?;
            Some(ring.push_sqe(py, sqe))
        })
    }
}

unsafe extern "C" fn submit(
    slf: Object,
    args: *const Object,
    count: ffi::Py_ssize_t,
    names: Object,
) -> Object {
    // SAFETY: called by CPython as method 4 of the ring type.
    unsafe {
        answer(slf, 4, (args, count, names), |py, ring, call| {
            let [wait] = call.sort([Some(WAIT)], 1)?;
            let wait = u32::try_from(optional_int(wait, 0)?).ok()?;
            let taken = ring.submit_and_wait(py, Want::Any(wait), None);
            Some(taken.and_then(|count| {
                // SAFETY: attached; a new reference, or null with an exception set.
                let count = ffi::PyLong_FromUnsignedLong(count.into());
                Bound::from_owned_ptr_or_err(py, count).map(Bound::unbind)
            }))
        })
    }
}

/// `next(ring)`: the next completion there is.
#[cfg(not(feature = "abi3"))]
unsafe extern "C" fn next(slf: Object) -> Object {
    // SAFETY: called by CPython for an instance of the ring type, attached.
    unsafe {
        let py = Python::assume_attached();
        let ring = Bound::ref_from_ptr(py, &slf).cast_unchecked::<PyRing>();
        let found = catch_unwind(AssertUnwindSafe(|| ring.get().next_ready(py)));
        match found {
            Ok(Ok(Some(completion))) => completion.into_ptr(),
            Ok(Ok(None)) => null_mut(),
            Ok(Err(error)) => raise(|_| error),
            Err(_) => raise(|_| PySystemError::new_err("a uring_rs call panicked")),
        }
    }
}

type Fast = ffi::PyCFunctionFastWithKeywords;
const FUNCTIONS: [Fast; 5] = [prep_nop, prep_read, prep_write, push, submit];

/// Put the fast functions in their places.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    for (name, text) in NAMES.iter().zip(TEXTS) {
        name.set(PyString::intern(py, text).into_any());
    }
    let class = py.get_type::<PyRing>();
    for (at, (method, function)) in METHODS.into_iter().zip(FUNCTIONS).enumerate() {
        // The module may be made anew (its entry in sys.modules removed), the type only once.
        if !SLOW[at].get().is_null() {
            continue;
        }
        let slow = class.getattr(method)?;
        let doc = documentation(method, &slow)?;
        SLOW[at].set(slow);
        // Leaked: a method descriptor refers to its definition for ever.
        let definition = Box::leak(Box::new(ffi::PyMethodDef {
            ml_name: CString::new(method)?.into_raw(),
            ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: function },
            ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
            ml_doc: doc.into_raw(),
        }));
        // SAFETY: a type and a definition that stays; the result is a new reference or null.
        let descriptor = unsafe {
            Bound::from_owned_ptr_or_err(
                py,
                ffi::PyDescr_NewMethod(class.as_type_ptr(), definition),
            )?
        };
        class.setattr(method, descriptor)?;
    }
    // The stable ABI has no way to this field, and PyO3's own method stays.
    #[cfg(not(feature = "abi3"))]
    // SAFETY: the type is ready, ours, and has no instances yet.
    unsafe {
        (*class.as_type_ptr()).tp_iternext = Some(next);
        ffi::PyType_Modified(class.as_type_ptr());
    }
    Ok(())
}

/// Signature and text of the method replaced, as CPython reads them from `ml_doc`.
fn documentation(name: &str, slow: &Bound<'_, PyAny>) -> PyResult<CString> {
    let text = |attribute: &str| -> PyResult<String> {
        Ok(slow.getattr(attribute)?.extract::<Option<String>>()?.unwrap_or_default())
    };
    // PyO3 prints a negative default as dots.
    let signature = text("__text_signature__")?.replace("offset=...", "offset=-1");
    Ok(CString::new(format!("{name}{signature}\n--\n\n{}", text("__doc__")?))?)
}
