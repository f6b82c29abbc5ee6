//! Memory of our own that Python sees: whole pages, zeroed, ready for direct I/O.

use std::ffi::c_int;

use pyo3::exceptions::PyMemoryError;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::ring::region::Region;
use crate::sys::direct::advise_huge;

/// From so many bytes on, huge pages save more time than they cost.
const HUGE: usize = 4 << 20;

/// Map `len` bytes.
pub(crate) fn map(len: usize) -> PyResult<Region> {
    let region = Region::new(len.max(1))
        .map_err(|_| PyMemoryError::new_err(format!("no memory for {len} bytes")))?;
    if len >= HUGE {
        // SAFETY: a private mapping of ours (I1).
        unsafe { advise_huge(region.base(), region.size()) };
    }
    Ok(region)
}

/// What `read_ranges` reads into when it was not told where to. Python sees it through a memoryview.
#[pyclass(name = "_Pages", module = "uring_rs", frozen)]
pub(crate) struct PyPages {
    region: Region,
    len: usize,
}

impl PyPages {
    pub(crate) fn new(len: usize) -> PyResult<Self> {
        Ok(PyPages { region: map(len)?, len })
    }
}

#[pymethods]
impl PyPages {
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let (start, len) = (slf.get().region.base().as_ptr().cast(), slf.get().len);
        // SAFETY: `view` is the caller's; the memory stays as long as `slf`, which it holds (I2).
        match unsafe {
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, len as ffi::Py_ssize_t, 0, flags)
        } {
            0 => Ok(()),
            _ => Err(PyErr::fetch(slf.py())),
        }
    }
}
