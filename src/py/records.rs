//! `CqeArray`: memory for the records of `reap_into` that says itself what its fields are.

use std::cell::UnsafeCell;
use std::ffi::{c_int, CStr};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;

use crate::ring::batches::{BatchCqe, ELEMENTS_MAX};

/// The fields, as PEP 3118 writes them.
const FORMAT: &CStr = c"T{=Q:tag:=i:res:=I:flags:}";
const RECORD: ffi::Py_ssize_t = size_of::<BatchCqe>() as ffi::Py_ssize_t;

/// Room for a number of completions, 16 bytes each: what `Ring.reap_into` fills.
///
/// `len(array)` records; `array[i]` is `(tag, res, flags)`. The buffer protocol shows them with
/// their fields' names, so that `numpy.asarray(array)` is a structured view of the same memory.
///
/// Args:
///     length: how many records, 1 to 2**24.
#[pyclass(name = "CqeArray", module = "uring_rs", frozen, sequence)]
pub(crate) struct PyCqeArray {
    /// Never reallocated: views point into it (I1).
    records: Box<[UnsafeCell<BatchCqe>]>,
    shape: Box<ffi::Py_ssize_t>,
    strides: Box<ffi::Py_ssize_t>,
}

// SAFETY: plain numbers. Who fills them while another thread reads gives it a mix of old and new,
// as with any buffer that Python code may write to; each number is read in one piece (I5).
unsafe impl Sync for PyCqeArray {}

#[pymethods]
impl PyCqeArray {
    #[new]
    fn new(length: usize) -> PyResult<Self> {
        if length == 0 || length > ELEMENTS_MAX as usize {
            return Err(PyValueError::new_err(format!("length must be 1 to {ELEMENTS_MAX}")));
        }
        let mut records = Vec::new();
        records
            .try_reserve_exact(length)
            .map_err(|_| pyo3::exceptions::PyMemoryError::new_err("no memory for the records"))?;
        records.resize_with(length, || UnsafeCell::new(BatchCqe { tag: 0, res: 0, flags: 0 }));
        Ok(PyCqeArray {
            records: records.into_boxed_slice(),
            shape: Box::new(length as ffi::Py_ssize_t),
            strides: Box::new(RECORD),
        })
    }

    fn __len__(&self) -> usize {
        self.records.len()
    }

    fn __getitem__(&self, index: usize) -> PyResult<(u64, i32, u32)> {
        let Some(record) = self.records.get(index) else {
            return Err(PyIndexError::new_err("CqeArray index out of range"));
        };
        let record = record.get();
        // SAFETY: within the array, whose memory lives as long as we; copied, not borrowed (I5).
        unsafe {
            let tag = AtomicU64::from_ptr(&raw mut (*record).tag).load(Ordering::Relaxed);
            let res = AtomicI32::from_ptr(&raw mut (*record).res).load(Ordering::Relaxed);
            let flags = AtomicU32::from_ptr(&raw mut (*record).flags).load(Ordering::Relaxed);
            Ok((tag, res, flags))
        }
    }

    fn __repr__(&self) -> String {
        format!("<CqeArray of {}>", self.records.len())
    }

    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let this = slf.get();
        let wants = |flag: c_int| flags & flag == flag;
        // SAFETY: `view` is the caller's to fill in; what it points at is boxed, never moves, and
        // lives as long as the reference that the view holds (I1).
        unsafe {
            (*view).buf = this.records.as_ptr().cast_mut().cast();
            (*view).len = RECORD * *this.shape;
            (*view).readonly = 0;
            (*view).itemsize = RECORD;
            (*view).ndim = 1;
            (*view).format =
                if wants(ffi::PyBUF_FORMAT) { FORMAT.as_ptr().cast_mut() } else { null_mut() };
            (*view).shape =
                if wants(ffi::PyBUF_ND) { (&raw const *this.shape).cast_mut() } else { null_mut() };
            (*view).strides = if wants(ffi::PyBUF_STRIDES) {
                (&raw const *this.strides).cast_mut()
            } else {
                null_mut()
            };
            (*view).suboffsets = null_mut();
            (*view).internal = null_mut();
            (*view).obj = slf.into_ptr();
        }
        Ok(())
    }

    unsafe fn __releasebuffer__(&self, view: *mut ffi::Py_buffer) {
        let _ = view;
    }
}
