//! `query()`: all that the kernel's io_uring can do, asked without a ring.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::py::errors;
use crate::ring::kernel::Linux;
use crate::ring::probe;
use crate::ring::register::told;
use crate::sys::consts::*;
use crate::sys::Errno;

/// What the kernel answers, as numbers; `uring_rs.query` gives them their types.
#[pyfunction]
pub(crate) fn _query(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let answer = probe::query(&Linux).map_err(|errno| {
        // Before there was such an operation, the missing ring was looked at first.
        let errno = if errno == Errno::EBADF { Errno::EINVAL } else { errno };
        errors::ring_error(py, &told(&Linux, IORING_REGISTER_QUERY, errno))
    })?;
    let dict = PyDict::new(py);
    dict.set_item("request_ops", answer.nr_request_opcodes)?;
    dict.set_item("register_ops", answer.nr_register_opcodes)?;
    dict.set_item("features", answer.feature_flags)?;
    dict.set_item("setup_flags", answer.ring_setup_flags)?;
    dict.set_item("enter_flags", answer.enter_flags)?;
    dict.set_item("sqe_flags", answer.sqe_flags)?;
    dict.set_item("queries", answer.nr_query_opcodes)?;
    Ok(dict)
}
