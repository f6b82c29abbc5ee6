//! `DirectFile`: the handle of one file in one slot.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::py::direct::FileCore;
use crate::ring::files::{Content, Handle};
use crate::sys::ending::arm_thread;

/// A direct descriptor: a file in a slot of a ring's own table, without a number in the process.
///
/// Give it to the builders of its ring wherever they take a file. It closes its file by `close()`,
/// at the end of its `with`, when it is collected, or with the ring; requests in flight on it are
/// finished first. Once closed it is refused, whatever comes into its slot later.
///
/// Made by builders with `direct=`, and by the ring's FileTable.
#[pyclass(name = "DirectFile", module = "uring_rs", frozen)]
pub(crate) struct PyDirectFile {
    pub(super) core: Arc<FileCore>,
    pub(super) handle: Handle,
    /// The file goes when this object does; else it belongs to the table.
    owner: bool,
}

impl PyDirectFile {
    pub(super) fn new(core: Arc<FileCore>, handle: Handle, owner: bool) -> Self {
        PyDirectFile { core, handle, owner }
    }

    pub(super) fn is_reserved(&self) -> bool {
        self.core.files().content(self.handle.slot) == Some(Content::Reserved)
    }
}

impl Drop for PyDirectFile {
    fn drop(&mut self) {
        arm_thread();
        if self.owner {
            self.core.end(self.handle);
        }
    }
}

#[pymethods]
impl PyDirectFile {
    /// Its place in the table.
    #[getter]
    fn slot(&self) -> u32 {
        self.handle.slot
    }

    /// Whether it is closed, or its slot has another file by now.
    #[getter]
    fn closed(&self) -> bool {
        self.core.is_gone() || self.core.files().check(self.handle).is_err()
    }

    /// Whether it is a reserved slot, which may be empty and be filled again and again.
    #[getter]
    fn reserved(&self) -> bool {
        !self.closed() && self.is_reserved()
    }

    /// Close the file: now, or when the last request in flight and the last Sqe that use it are
    /// done. From now on it is refused. Closing a closed one does nothing.
    ///
    /// Works from any thread; where only the ring's own may do it, that happens when it submits
    /// next.
    fn close(&self) {
        self.core.end(self.handle);
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        let file = slf.get();
        file.core.check(file.handle)?;
        Ok(slf)
    }

    #[pyo3(signature = (exc_type = None, exc = None, tb = None, /))]
    fn __exit__(
        &self,
        exc_type: Option<&Bound<'_, PyAny>>,
        exc: Option<&Bound<'_, PyAny>>,
        tb: Option<&Bound<'_, PyAny>>,
    ) {
        let _ = (exc_type, exc, tb);
        self.close();
    }

    fn __repr__(&self) -> String {
        let state = match self.closed() {
            true => " (closed)",
            false if self.is_reserved() => " (reserved)",
            false => "",
        };
        format!("<DirectFile slot={}{state}>", self.handle.slot)
    }
}
