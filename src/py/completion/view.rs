//! The attributes and methods of `Completion`.

use std::ffi::c_void;
use std::fmt::Write as _;
use std::mem::offset_of;

use pyo3::exceptions::PyOSError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::{CompletionExtra, CompletionObject};
use crate::ops::message;
use crate::py::rawtype::{enter, getter, int, op_name, op_text, text, Table, GETTERS_END};
use crate::py::request;
use crate::ring::probe;
use crate::sys::{consts, opcode, Errno};

/// How many fields a completion unpacks into.
pub(super) const FIELDS: u8 = 3;

const fn member(
    name: &'static std::ffi::CStr,
    offset: usize,
    doc: &'static std::ffi::CStr,
) -> ffi::PyMemberDef {
    ffi::PyMemberDef {
        name: name.as_ptr(),
        // The one kind of member whose reads the interpreter specialises.
        type_code: ffi::Py_T_OBJECT_EX,
        offset: offset as ffi::Py_ssize_t,
        flags: ffi::Py_READONLY,
        doc: doc.as_ptr(),
    }
}

/// Attributes read straight from memory.
pub(super) static MEMBERS: Table<[ffi::PyMemberDef; 4]> = Table([
    member(
        c"user_data",
        offset_of!(CompletionObject, user_data),
        c"The object given as `user_data` when the request was prepared.",
    ),
    member(
        c"res",
        offset_of!(CompletionObject, res_object),
        c"The kernel's result: a count, a descriptor, a mask or 0; a negative errno on failure.",
    ),
    member(
        c"flags",
        offset_of!(CompletionObject, flags_object),
        c"CqeFlags of this completion, as an int.",
    ),
    ffi::PyMemberDef {
        name: std::ptr::null(),
        type_code: 0,
        offset: 0,
        flags: 0,
        doc: std::ptr::null(),
    },
]);

/// Computed attributes.
pub(super) static GETTERS: Table<[ffi::PyGetSetDef; 11]> = Table([
    getter(c"more", more, c"Whether more completions of the same request follow (CqeFlags.MORE)."),
    getter(c"op", op, c"The name of the operation, such as 'READ'."),
    getter(c"request", get_request, c"The Request this completes, equal to what `prep_*` gave."),
    getter(
        c"value",
        value,
        c"What the operation brought, in Python's form, where `res` is not all of it (each `prep_*`\n\
        says what); else None.",
    ),
    getter(
        c"address",
        address,
        c"The peer's address, of the operations that report one (accept, recvmsg); else None.",
    ),
    getter(
        c"ancdata",
        ancdata,
        c"Control messages of a recvmsg as (level, type, data) tuples; else an empty list.",
    ),
    getter(
        c"msg_flags",
        msg_flags,
        c"The MSG_* flags a recvmsg came back with (MSG_TRUNC, MSG_CTRUNC, ...); else 0.",
    ),
    getter(
        c"big_cqe",
        big_cqe,
        c"The two 64-bit words that a 32-byte completion has more (SetupFlags.CQE32, CQE_MIXED);\n\
        None for one of 16 bytes.",
    ),
    getter(
        c"buffer",
        buffer,
        c"What was received into a buffer of a pool, as a PooledBuffer (the first of `buffers`); else\n\
        None.",
    ),
    getter(
        c"buffers",
        buffers,
        c"All the PooledBuffers of this completion: several where it is one for a bundle; else an\n\
        empty list.",
    ),
    GETTERS_END,
]);

/// Methods.
pub(super) static METHODS: Table<[ffi::PyMethodDef; 2]> = Table([
    ffi::PyMethodDef {
        ml_name: c"result".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunction: result },
        ml_flags: ffi::METH_NOARGS,
        ml_doc: c"result($self, /)
--

`res`, if the request succeeded. Of the notification of a zero-copy send, NotifUsage.

Raises:
    OSError: it failed. The standard library's own subclass (FileNotFoundError,
        ConnectionResetError, ...) where errno has one, naming the operation. EINVAL also says
        since when Linux has it, if the running one is older."
            .as_ptr(),
    },
    ffi::PyMethodDef::zeroed(),
]);

/// One of our instances behind an object pointer.
///
/// # Safety
/// `object` must be a live completion, and stay one for as long as the answer is used.
#[inline]
unsafe fn this<'a>(object: *mut ffi::PyObject) -> &'a CompletionObject {
    // SAFETY: the caller's. Only `clear` writes to a live instance, and only `user_data`, which
    // is why nothing keeps the answer across a call that could run the collector and then reads
    // that field again.
    unsafe { &*object.cast::<CompletionObject>() }
}

/// The `index`-th of `user_data`, `res`, `flags` as a new reference.
///
/// # Safety
/// `object` must be a live completion, the thread attached.
#[inline]
pub(super) unsafe fn field(object: *mut ffi::PyObject, index: u8) -> *mut ffi::PyObject {
    // SAFETY: the caller's; the three are never NULL.
    unsafe {
        let this = this(object);
        ffi::Py_NewRef(match index {
            0 => this.user_data,
            1 => this.res_object,
            _ => this.flags_object,
        })
    }
}

/// sq_length.
pub(super) unsafe extern "C" fn length(_: *mut ffi::PyObject) -> ffi::Py_ssize_t {
    FIELDS.into()
}

/// sq_item.
pub(super) unsafe extern "C" fn item(
    object: *mut ffi::PyObject,
    index: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this attached, with one of our instances.
    unsafe {
        match u8::try_from(index) {
            Ok(index) if index < FIELDS => field(object, index),
            _ => {
                let text = c"Completion index out of range";
                ffi::PyErr_SetString(ffi::PyExc_IndexError, text.as_ptr());
                std::ptr::null_mut()
            }
        }
    }
}

unsafe extern "C" fn more(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this attached, with one of our instances.
    unsafe { ffi::PyBool_FromLong((this(object).flags & consts::IORING_CQE_F_MORE != 0).into()) }
}

unsafe extern "C" fn op(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this attached, with one of our instances.
    unsafe { enter(|py| op_name(py, this(object).op)) }
}

unsafe extern "C" fn get_request(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this attached, with one of our instances.
    unsafe {
        let this = this(object);
        request::new_raw(Python::assume_attached(), this.key, this.ring_id, this.op)
    }
}

/// The extra of a completion, if it has one.
///
/// # Safety
/// As for [`this`].
#[inline]
unsafe fn extra<'a>(object: *mut ffi::PyObject) -> Option<&'a dyn CompletionExtra> {
    // SAFETY: the caller's; the pointer is NULL or a box that lives as long as the object.
    unsafe { this(object).extra.as_ref().map(|extra| &**extra) }
}

unsafe extern "C" fn value(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this attached, with one of our instances, which it keeps alive.
    unsafe {
        enter(|py| match (extra(object), message::number(this(object).key)) {
            (Some(extra), _) => extra.value(py),
            (None, Some(number)) => {
                let number = ffi::PyLong_FromUnsignedLongLong(number);
                Bound::from_owned_ptr_or_err(py, number).map(Bound::unbind)
            }
            (None, None) => Ok(py.None()),
        })
    }
}

unsafe extern "C" fn address(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this attached, with one of our instances, which it keeps alive.
    unsafe { enter(|py| extra(object).map_or_else(|| Ok(py.None()), |extra| extra.address(py))) }
}

unsafe extern "C" fn ancdata(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this attached, with one of our instances, which it keeps alive.
    unsafe {
        enter(|py| match extra(object) {
            Some(extra) => extra.ancdata(py),
            None => Bound::from_owned_ptr_or_err(py, ffi::PyList_New(0)).map(Bound::unbind),
        })
    }
}

unsafe extern "C" fn big_cqe(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this attached, with one of our instances, which it keeps alive.
    unsafe {
        enter(|py| match extra(object).and_then(CompletionExtra::big_cqe) {
            Some([first, second]) => Ok((first, second).into_pyobject(py)?.into_any().unbind()),
            None => Ok(py.None()),
        })
    }
}

unsafe extern "C" fn msg_flags(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this attached, with one of our instances, which it keeps alive.
    unsafe {
        enter(|py| {
            let flags = extra(object).map_or(0, CompletionExtra::msg_flags);
            int(py, flags).map(Bound::unbind)
        })
    }
}

unsafe extern "C" fn buffer(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this attached, with one of our instances, which it keeps alive.
    unsafe {
        enter(|py| match extra(object) {
            Some(extra) => Ok(extra.buffers(py)?.into_iter().next().unwrap_or_else(|| py.None())),
            None => Ok(py.None()),
        })
    }
}

unsafe extern "C" fn buffers(object: *mut ffi::PyObject, _: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this attached, with one of our instances, which it keeps alive.
    unsafe {
        enter(|py| {
            let found = extra(object).map_or_else(|| Ok(Vec::new()), |extra| extra.buffers(py))?;
            Ok(PyList::new(py, found)?.into_any().unbind())
        })
    }
}

unsafe extern "C" fn result(
    object: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this attached, with one of our instances.
    unsafe {
        let this = this(object);
        if this.res >= 0 {
            return ffi::Py_NewRef(this.res_object);
        }
        let (res, op) = (this.res, this.op);
        if this.flags & consts::IORING_CQE_F_NOTIF != 0 {
            // No error: the top bit of 32 says that the data was copied.
            return ffi::PyLong_FromUnsignedLong((res as u32).into());
        }
        enter(|py| Err(failure(py, res, op)?))
    }
}

/// The exception for a negative `res`, already of the subclass its errno stands for.
#[cold]
fn failure(py: Python<'_>, res: i32, op: u8) -> PyResult<PyErr> {
    let errno = Errno(res.saturating_neg()).outside();
    let message = format!("{} ({}{})", errno.message(), op_text(op), too_new(errno, op));
    let message = text(py, &message)?;
    // Called now, since OSError picks the subclass when called and a lazy PyErr would show plain
    // OSError to `except` clauses written in C.
    let error = py.get_type::<PyOSError>().call1((int(py, errno.0)?, message))?;
    Ok(PyErr::from_value(error))
}

/// What to know where a kernel has no such operation, which it tells by EINVAL, as it tells so much.
///
/// By the version, so a guess (distributions carry things back), good enough for a message.
#[cold]
fn too_new(errno: Errno, op: u8) -> String {
    match opcode::info(op) {
        Some(info) if errno == Errno::EINVAL && probe::is_before(info.since) => {
            let ((major, minor), running) = (info.since, probe::kernel_version());
            format!(", which came with Linux {major}.{minor}; this is {running}")
        }
        _ => String::new(),
    }
}

/// ` flags=BUFFER|MORE buffer_id=7`, with the bits that have no name as one number; nothing for 0.
fn push_flags(shown: &mut String, flags: u32) {
    const NAMES: [(u32, &str); 7] = [
        (consts::IORING_CQE_F_BUFFER, "BUFFER"),
        (consts::IORING_CQE_F_MORE, "MORE"),
        (consts::IORING_CQE_F_SOCK_NONEMPTY, "SOCK_NONEMPTY"),
        (consts::IORING_CQE_F_NOTIF, "NOTIF"),
        (consts::IORING_CQE_F_BUF_MORE, "BUF_MORE"),
        (consts::IORING_CQE_F_SKIP, "SKIP"),
        (consts::IORING_CQE_F_32, "32"),
    ];
    let has_buffer = flags & consts::IORING_CQE_F_BUFFER != 0;
    // The buffer id is in the upper half: not flags.
    let mut rest = if has_buffer { flags & 0xffff } else { flags };
    let mut bar = " flags=";
    for (bit, name) in NAMES {
        if rest & bit != 0 {
            shown.push_str(bar);
            shown.push_str(name);
            rest &= !bit;
            bar = "|";
        }
    }
    // Writing to a String cannot fail.
    if rest != 0 {
        let _ = write!(shown, "{bar}{rest:#x}");
    }
    if has_buffer {
        let _ = write!(shown, " buffer_id={}", flags >> consts::IORING_CQE_BUFFER_SHIFT);
    }
}

/// tp_repr: `<Completion READ res=4096 flags=MORE user_data='x'>`.
pub(super) unsafe extern "C" fn repr(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls this attached, with one of our instances, which it keeps alive; every
    // successful Py_ReprEnter is left again. `user_data` is a reference of its own, as its repr
    // may run anything.
    unsafe {
        enter(|py| {
            let (op, res, flags) = (this(object).op, this(object).res, this(object).flags);
            let mut shown = format!("<Completion {} res={res}", op_text(op));
            let notification = flags & consts::IORING_CQE_F_NOTIF != 0;
            if let Some(errno) = Errno::from_result(res).filter(|_| !notification) {
                let _ = write!(shown, " ({})", errno.name());
            }
            push_flags(&mut shown, flags);
            let user_data = match ffi::Py_ReprEnter(object) {
                0 => {
                    let value = Bound::from_owned_ptr(py, field(object, 0));
                    let inner = value.repr();
                    ffi::Py_ReprLeave(object);
                    inner?.into_any()
                }
                1 => text(py, "...")?,
                _ => return Err(PyErr::fetch(py)),
            };
            // Joined by Python, for a repr may hold what Rust's strings cannot.
            let shown = text(py, &(shown + " user_data="))?.add(user_data)?.add(text(py, ">")?)?;
            Ok(shown.unbind())
        })
    }
}
