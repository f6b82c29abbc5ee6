//! From Python arguments to what the operations take, with an error that names what is wrong.

use std::ffi::CString;

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFloat, PyInt, PyString};

use crate::ops::timeout::Time;
use crate::ops::CURRENT_POSITION;
use crate::py::direct::{self, PyDirectFile};
use crate::py::keep::{Keep, Memory};
use crate::py::memory::copied;
use crate::sys::consts::*;
use crate::sys::os::AT_FDCWD;

/// A descriptor: an int, or an object with `fileno()`, which is then held while in flight so that
/// it cannot be collected and its number reused; or a direct descriptor.
#[inline(always)]
pub(crate) fn file(keep: &mut Keep, object: &Bound<'_, PyAny>) -> PyResult<i32> {
    if object.is_exact_instance_of::<PyInt>() {
        return file_number(object);
    }
    file_object(keep, object)
}

#[inline(never)]
fn file_object(keep: &mut Keep, object: &Bound<'_, PyAny>) -> PyResult<i32> {
    if let Ok(direct) = object.cast::<PyDirectFile>() {
        return direct::use_file(keep, direct);
    }
    let fd = file_number(object)?;
    keep.hold_another(object);
    Ok(fd)
}

/// The descriptor of one more file of the same request.
pub(crate) fn another_file(keep: &mut Keep, object: &Bound<'_, PyAny>) -> PyResult<i32> {
    let fd = file_number(object)?;
    if !object.is_exact_instance_of::<PyInt>() {
        keep.hold_another(object);
    }
    Ok(fd)
}

/// The directory that a relative path starts from: the current one unless given.
pub(crate) fn folder(keep: &mut Keep, dir_fd: Option<&Bound<'_, PyAny>>) -> PyResult<i32> {
    dir_fd.map_or(Ok(AT_FDCWD), |dir| another_file(keep, dir))
}

/// Flags of an operation: none but those it has in Linux 6.18.
pub(crate) fn known_flags<T: Copy + Into<u64>>(what: &str, flags: T, known: T) -> PyResult<T> {
    match flags.into() & !known.into() {
        0 => Ok(flags),
        unknown => {
            Err(PyValueError::new_err(format!("{what} does not take the bits {unknown:#x}")))
        }
    }
}

/// The number of a descriptor.
#[inline(always)]
pub(crate) fn file_number(object: &Bound<'_, PyAny>) -> PyResult<i32> {
    // SAFETY: a valid object; may run its fileno(), and no lock is held (I6).
    let fd = unsafe { ffi::PyObject_AsFileDescriptor(object.as_ptr()) };
    if fd < 0 {
        return Err(PyErr::fetch(object.py()));
    }
    Ok(fd)
}

/// An offset in a file; -1 is the file's own position.
#[inline(always)]
pub(crate) fn offset(offset: i64) -> PyResult<u64> {
    match offset {
        -1 => Ok(CURRENT_POSITION),
        0.. => Ok(offset as u64),
        _ => Err(PyValueError::new_err(format!(
            "offset must be 0 or more, or -1 for the file's own position, not {offset}"
        ))),
    }
}

/// How many bytes of `memory` to transfer: all of it, or `nbytes`.
#[inline(always)]
pub(crate) fn length(memory: Memory, nbytes: Option<i64>) -> PyResult<u32> {
    let len = match nbytes {
        None => memory.len as u64,
        Some(n) if n >= 0 && n as u64 <= memory.len as u64 => n as u64,
        Some(n) => return Err(bad_length(n, memory.len)),
    };
    u32::try_from(len).map_err(|_| too_long(len))
}

#[cold]
fn bad_length(nbytes: i64, len: usize) -> PyErr {
    PyValueError::new_err(format!(
        "nbytes must be 0 to {len}, the size of the buffer, not {nbytes}"
    ))
}

#[cold]
fn too_long(len: u64) -> PyErr {
    PyValueError::new_err(format!(
        "one request moves at most 4 GiB - 1, not {len} bytes: split it, or give nbytes"
    ))
}

/// Flags of a request, as a user may set them.
#[inline(always)]
pub(crate) fn sqe_flags(flags: u32) -> PyResult<u8> {
    const KNOWN: u32 = (IOSQE_FIXED_FILE
        | IOSQE_IO_DRAIN
        | IOSQE_IO_LINK
        | IOSQE_IO_HARDLINK
        | IOSQE_ASYNC
        | IOSQE_CQE_SKIP_SUCCESS) as u32;
    if flags & !KNOWN != 0 {
        return Err(bad_sqe_flags(flags));
    }
    Ok(flags as u8)
}

/// Flags of the rows of a batch, which are independent of each other.
pub(crate) fn batch_flags(flags: u32) -> PyResult<u8> {
    let flags = sqe_flags(flags)?;
    let unfit = IOSQE_IO_LINK | IOSQE_IO_HARDLINK | IOSQE_CQE_SKIP_SUCCESS;
    if flags & unfit != 0 {
        return Err(PyValueError::new_err("rows of a batch cannot be linked or skip completions"));
    }
    Ok(flags)
}

#[cold]
fn bad_sqe_flags(flags: u32) -> PyErr {
    if flags & u32::from(IOSQE_BUFFER_SELECT) != 0 {
        return PyValueError::new_err("BUFFER_SELECT needs a ring of provided buffers");
    }
    PyValueError::new_err(format!("flags must be SqeFlags, not {flags:#x}"))
}

/// A str as the file system has it.
fn encoded<'py>(text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyBytes>> {
    // SAFETY: a valid str; a new reference to bytes comes back, or null (I6).
    let bytes = unsafe {
        Bound::from_owned_ptr_or_err(text.py(), ffi::PyUnicode_EncodeFSDefault(text.as_ptr()))?
    };
    Ok(bytes.cast_into::<PyBytes>()?)
}

/// A path: str, bytes or os.PathLike.
pub(crate) fn path(object: &Bound<'_, PyAny>) -> PyResult<CString> {
    let bytes = if let Ok(bytes) = object.cast::<PyBytes>() {
        copied(bytes.as_bytes())?
    } else {
        let fspath = object.py().import("os")?.call_method1("fspath", (object,))?;
        match fspath.cast::<PyBytes>() {
            Ok(bytes) => copied(bytes.as_bytes())?,
            Err(_) => copied(encoded(fspath.cast()?)?.as_bytes())?,
        }
    };
    CString::new(bytes).map_err(|_| PyValueError::new_err("embedded null byte in the path"))
}

/// Seconds, as a float or an int, to nanoseconds.
pub(crate) fn nanoseconds(seconds: &Bound<'_, PyAny>) -> PyResult<u64> {
    if seconds.is_instance_of::<PyString>() || !(is_number(seconds)) {
        return Err(PyTypeError::new_err("seconds must be a number"));
    }
    if let Ok(whole) = seconds.cast::<PyInt>() {
        let whole: i64 = whole.extract().map_err(|_| out_of_range())?;
        let whole = u64::try_from(whole).map_err(|_| negative())?;
        return whole.checked_mul(1_000_000_000).ok_or_else(out_of_range);
    }
    let value: f64 = seconds.extract()?;
    if value.is_nan() || value < 0.0 {
        return Err(negative());
    }
    let ns = value * 1e9;
    if ns >= i64::MAX as f64 {
        return Err(out_of_range());
    }
    // Up, as the standard library does: a wait must not end before its time.
    Ok(ns.ceil() as u64)
}

/// A time given in one of two units.
fn span(seconds: Option<&Bound<'_, PyAny>>, ns: Option<&Bound<'_, PyAny>>) -> PyResult<u64> {
    match (seconds, ns) {
        (Some(seconds), None) => nanoseconds(seconds),
        (None, Some(ns)) => {
            let ns = ns.cast::<PyInt>().map_err(|_| PyTypeError::new_err("ns must be an int"))?;
            let ns: i64 = ns.extract().map_err(|_| PyValueError::new_err("ns is out of range"))?;
            u64::try_from(ns).map_err(|_| PyValueError::new_err("ns must not be negative"))
        }
        (None, None) => Err(PyTypeError::new_err("seconds, or ns, is required")),
        (Some(_), Some(_)) => Err(PyTypeError::new_err("seconds or ns, not both")),
    }
}

fn is_number(object: &Bound<'_, PyAny>) -> bool {
    object.is_instance_of::<PyFloat>()
        || object.is_instance_of::<PyInt>()
        || object.hasattr("__float__").unwrap_or(false)
}

fn negative() -> PyErr {
    PyValueError::new_err("seconds must not be negative")
}

fn out_of_range() -> PyErr {
    PyOverflowError::new_err("seconds are too many for the kernel's clock")
}

/// A timeout in seconds; None is for ever.
#[inline]
pub(crate) fn patience(timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Option<u64>> {
    match timeout {
        None => Ok(None),
        Some(seconds) if seconds.extract::<f64>().is_ok_and(|s| s == f64::INFINITY) => Ok(None),
        Some(seconds) => nanoseconds(seconds).map(Some),
    }
}

/// A time for the kernel: seconds, whether absolute, and on which clock.
pub(crate) fn time(
    seconds: Option<&Bound<'_, PyAny>>,
    ns: Option<&Bound<'_, PyAny>>,
    absolute: bool,
    clock: &str,
    etime_success: bool,
) -> PyResult<Time> {
    let clock = match clock {
        "monotonic" => 0,
        "boottime" => IORING_TIMEOUT_BOOTTIME,
        "realtime" => IORING_TIMEOUT_REALTIME,
        other => {
            return Err(PyValueError::new_err(format!(
                "clock must be 'monotonic', 'boottime' or 'realtime', not {other:?}"
            )))
        }
    };
    let mut flags = clock;
    if absolute {
        flags |= IORING_TIMEOUT_ABS;
    }
    if etime_success {
        flags |= IORING_TIMEOUT_ETIME_SUCCESS;
    }
    Ok(Time { ns: span(seconds, ns)?, flags })
}
