//! `MemoryRegion`: memory shared between a ring and its user.

use std::ffi::c_int;
use std::sync::Arc;

use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;

use crate::py::errors;
use crate::py::ring::PyRing;
use crate::ring::region::Region;

/// More than any region needs, less than a mistake.
const REGION_MAX: i64 = 1 << 30;

/// Memory that was registered with a ring: whole pages, zeroed, writable through the buffer
/// protocol. It stays as long as this object or a view of it does; the kernel keeps its own hold
/// until the ring is closed.
///
/// Made by `Ring.register_region(nbytes)`.
#[pyclass(name = "MemoryRegion", module = "uring_rs", frozen)]
pub(crate) struct PyMemoryRegion {
    region: Arc<Region>,
}

#[pymethods]
impl PyMemoryRegion {
    fn __len__(&self) -> usize {
        self.region.size()
    }

    fn __repr__(&self) -> String {
        format!("<MemoryRegion {} bytes>", self.region.size())
    }

    /// The memory, writable.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no view to fill in"));
        }
        let region = &slf.get().region;
        let (base, len) = (region.base().as_ptr().cast(), region.size() as ffi::Py_ssize_t);
        // SAFETY: the view holds a reference to `slf`, which keeps the memory (I2, I5).
        if unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), base, len, 0, flags) } != 0 {
            return Err(PyErr::fetch(slf.py()));
        }
        Ok(())
    }
}

#[pymethods]
impl PyRing {
    /// Share memory with the kernel; a ring can have one region. For the arguments of waits make
    /// the ring with `wait_region=True` instead, which then is its region.
    ///
    /// Args:
    ///     nbytes: how many bytes; they become whole pages.
    ///
    /// Raises:
    ///     UringError: EBUSY if the ring has a region, ENOMEM for RLIMIT_MEMLOCK.
    ///
    /// Kernel: 6.13.
    /// Memory: locked in memory until the ring is closed.
    /// Source: io_uring_register_region(3).
    #[pyo3(signature = (nbytes, /))]
    fn register_region(&self, py: Python<'_>, nbytes: i64) -> PyResult<PyMemoryRegion> {
        if !(1..=REGION_MAX).contains(&nbytes) {
            return Err(PyValueError::new_err(format!("nbytes must be 1 to {REGION_MAX}")));
        }
        self.check_open(py)?;
        let region = Region::new(nbytes as usize).map_err(|e| errors::ring_error(py, &e))?;
        self.with_core(py, |state| {
            region.register(state.core.kernel(), state.core.fd(), state.core.by_index(), false)
        })?;
        Ok(PyMemoryRegion { region: Arc::new(region) })
    }
}
