//! NOP, and what it can pretend.

use pyo3::exceptions::PyValueError;

use super::*;
use crate::ops::file::{self, NopOptions};
use crate::py::keep::{Access, Keep};
use crate::py::{direct, fixed};
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;

/// What a NOP is asked to pretend.
#[derive(Clone, Copy)]
struct Pretence<'a, 'py> {
    nop_flags: u32,
    result: Option<i64>,
    file: Option<Any<'a, 'py>>,
    buf: Option<Any<'a, 'py>>,
    extra: Option<(u64, u64)>,
}

impl Pretence<'_, '_> {
    fn is_none(&self) -> bool {
        self.nop_flags == 0
            && self.result.is_none()
            && self.file.is_none()
            && self.buf.is_none()
            && self.extra.is_none()
    }

    fn build(self, keep: &mut Keep, sqe_flags: u32) -> PyResult<io_uring_sqe> {
        if self.is_none() {
            return Ok(file::nop());
        }
        if self.nop_flags & !(IORING_NOP_TW | IORING_NOP_CQE32) != 0 {
            return Err(PyValueError::new_err(
                "nop_flags take TW and CQE32: the others come with result, file and buf",
            ));
        }
        let mut options = NopOptions { flags: self.nop_flags, fd: -1, ..Default::default() };
        if let Some(result) = self.result {
            let result = i32::try_from(result);
            options.result =
                result.map_err(|_| PyValueError::new_err("result must be -2**31 to 2**31 - 1"))?;
            options.flags |= IORING_NOP_INJECT_RESULT;
        }
        if let Some(file) = self.file {
            let (fd, is_slot) = direct::number_or_slot(keep, file)?;
            options.fd = fd;
            options.flags |= IORING_NOP_FILE;
            if is_slot || sqe_flags & u32::from(IOSQE_FIXED_FILE) != 0 {
                options.flags |= IORING_NOP_FIXED_FILE;
            }
        }
        if let Some(buf) = self.buf {
            options.buf_index = fixed::memory(keep, buf, 0, Access::Source)?.1;
            options.flags |= IORING_NOP_FIXED_BUFFER;
        }
        if let Some((first, second)) = self.extra {
            options.extra = [first, second];
            options.flags |= IORING_NOP_CQE32;
        }
        Ok(file::nop_with(options))
    }
}

#[pymethods]
impl PyRing {
    /// Do nothing, or pretend.
    ///
    /// Args:
    ///     user_data: as for all builders, here in front.
    ///     result: complete with this (Linux 6.10).
    ///     file: look this file up first; -EBADF if there is none. With SqeFlags.FIXED_FILE in the
    ///         registered files (Linux 6.13).
    ///     buf: look this registered buffer up first (Linux 6.13).
    ///     nop_flags: NopFlags.TW: complete by way of task work (Linux 6.16). NopFlags.CQE32: with
    ///         an entry of 32 bytes (Linux 6.18), for rings that have them.
    ///     extra: the two numbers in the other half of such an entry.
    ///
    /// Raises:
    ///     ValueError: other nop_flags, or a result that is no 32-bit number.
    ///
    /// Kernel: 5.1.
    /// Memory: none.
    /// Result: 0, or `result`.
    /// Source: io_uring_prep_nop(3).
    #[pyo3(signature = (user_data = None, *, result = None, file = None, buf = None, nop_flags = 0,
        extra = None, flags = 0, personality = 0))]
    #[allow(clippy::too_many_arguments)]
    fn prep_nop(
        &self,
        py: Python<'_>,
        user_data: Option<&Bound<'_, PyAny>>,
        result: Option<i64>,
        file: Option<Any<'_, '_>>,
        buf: Option<Any<'_, '_>>,
        nop_flags: u32,
        extra: Option<(u64, u64)>,
        flags: u32,
        #[pyo3(from_py_with = credentials)] personality: Credentials,
    ) -> PyResult<Py<PyAny>> {
        let pretence = Pretence { nop_flags, result, file, buf, extra };
        let common = common(user_data, flags, personality)?;
        self.prep(py, common, |keep| pretence.build(keep, flags))
    }
}

#[pymethods]
impl PySqe {
    /// Do nothing, or pretend. See `Ring.prep_nop`.
    #[staticmethod]
    #[pyo3(signature = (user_data = None, *, result = None, file = None, buf = None, nop_flags = 0,
        extra = None, flags = 0, personality = 0))]
    #[allow(clippy::too_many_arguments)]
    fn nop(
        py: Python<'_>,
        user_data: Option<&Bound<'_, PyAny>>,
        result: Option<i64>,
        file: Option<Any<'_, '_>>,
        buf: Option<Any<'_, '_>>,
        nop_flags: u32,
        extra: Option<(u64, u64)>,
        flags: u32,
        #[pyo3(from_py_with = credentials)] personality: Credentials,
    ) -> PyResult<PySqe> {
        let pretence = Pretence { nop_flags, result, file, buf, extra };
        let common = common(user_data, flags, personality)?;
        PySqe::build(py, common, |keep| pretence.build(keep, flags))
    }
}
