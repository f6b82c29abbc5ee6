//! Memory that Python lends to a job, piece by piece, and the errors that name a file.

use std::ffi::CString;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::py::convert;
use crate::py::keep::{Access, Memory, Owner};
use crate::sys::Errno;

/// Exports by number. They are released when they are taken out, or with the job (I2).
#[derive(Default)]
pub(crate) struct Held {
    owners: Vec<Option<Owner>>,
    free: Vec<usize>,
}

impl Held {
    /// Export a bytes-like object's memory. May run Python code: call with no lock held (I6).
    pub(crate) fn export(&mut self, object: &Bound<'_, PyAny>) -> PyResult<(u64, Memory)> {
        let mut owner = Owner::default();
        let memory = owner.keep().export(object, Access::Source)?;
        let index = self.free.pop().unwrap_or_else(|| {
            self.owners.push(None);
            self.owners.len() - 1
        });
        self.owners[index] = Some(owner);
        Ok((index as u64, memory))
    }

    /// What nothing points at any more. Dropping it may run Python code (I6).
    pub(crate) fn take(&mut self, token: u64) -> Option<Owner> {
        let owner = self.owners.get_mut(token as usize)?.take();
        if owner.is_some() {
            self.free.push(token as usize);
        }
        owner
    }
}

/// A path: str, bytes or os.PathLike.
pub(crate) fn path(object: &Bound<'_, PyAny>) -> PyResult<CString> {
    // ASCII is the same in every encoding of file names.
    if let Some(text) = object.cast::<PyString>().ok().and_then(|text| text.to_str().ok()) {
        if text.is_ascii() && !text.contains('\0') {
            return Ok(CString::new(text)?);
        }
    }
    convert::path(object)
}

/// The exception of an errno, of the standard class that it has, naming the file.
pub(crate) fn os_error(errno: Errno, filename: &Bound<'_, PyAny>) -> PyErr {
    PyOSError::new_err((errno.0, errno.message(), filename.clone().unbind()))
}

/// A path as Python has it.
pub(crate) fn file_name<'py>(py: Python<'py>, path: &CString) -> PyResult<Bound<'py, PyAny>> {
    py.import("os")?.call_method1("fsdecode", (PyBytes::new(py, path.as_bytes()),))
}
