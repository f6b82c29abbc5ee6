//! Extended attributes.

use std::ffi::CString;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::ops::attrs::{self, Of, Value};
use crate::py::convert;
use crate::py::keep::{Access, Keep};
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

/// Which file: an open one, or a path's.
#[derive(Clone, Copy)]
pub(crate) enum Subject<'a, 'py> {
    File(Any<'a, 'py>),
    Path(Any<'a, 'py>),
}

impl Subject<'_, '_> {
    fn of(self, keep: &mut Keep) -> PyResult<Of> {
        Ok(match self {
            Subject::File(file) => Of::File(convert::file(keep, file)?),
            Subject::Path(path) => Of::Path(convert::path(path)?),
        })
    }
}

pub(crate) fn get(
    keep: &mut Keep,
    subject: Subject<'_, '_>,
    attribute: Any<'_, '_>,
    buf: Option<Any<'_, '_>>,
    size: Option<i64>,
) -> PyResult<io_uring_sqe> {
    let of = subject.of(keep)?;
    let name: CString = convert::path(attribute)?;
    let value = match (buf, size) {
        (Some(_), Some(_)) => {
            return Err(PyValueError::new_err("give a buffer or a size, not both"));
        }
        (Some(buf), None) => {
            let memory = keep.export(buf, Access::Destination)?;
            Value::There(memory.addr, convert::length(memory, None)?)
        }
        (None, Some(size)) => Value::Room(room(size)?),
        (None, None) => Value::Room(XATTR_SIZE_MAX),
    };
    let (sqe, args) = attrs::get(of, name, value);
    keep.keep_args(args);
    Ok(sqe)
}

fn room(size: i64) -> PyResult<u32> {
    let fits = u32::try_from(size).ok().filter(|size| *size <= XATTR_SIZE_MAX);
    fits.ok_or_else(|| {
        PyValueError::new_err(format!("size must be 0 to {XATTR_SIZE_MAX}, not {size}"))
    })
}

pub(crate) fn set(
    keep: &mut Keep,
    subject: Subject<'_, '_>,
    attribute: Any<'_, '_>,
    value: Any<'_, '_>,
    flags: u32,
) -> PyResult<io_uring_sqe> {
    let flags = convert::known_flags("xattr_flags", flags, XATTR_CREATE | XATTR_REPLACE)?;
    let of = subject.of(keep)?;
    let name: CString = convert::path(attribute)?;
    let memory = keep.export(value, Access::Source)?;
    let value = Value::There(memory.addr, convert::length(memory, None)?);
    let (sqe, args) = attrs::set(of, name, value, flags);
    keep.keep_args(args);
    Ok(sqe)
}
