//! Restrictions: from Python's form to the core's and back.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::py::ring::PyRing;
use crate::ring::restrict::Restrictions;

fn class(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import("uring_rs.restrictions")?.getattr("Restrictions")
}

/// What a `uring_rs.Restrictions` says.
pub(crate) fn from_python(given: &Bound<'_, PyAny>) -> PyResult<Restrictions> {
    if !given.is_instance(&class(given.py())?)? {
        return Err(PyTypeError::new_err("restrictions must be uring_rs.Restrictions"));
    }
    let ops = |name: &str| -> PyResult<Option<Vec<u8>>> {
        let ops = given.getattr(name)?;
        if ops.is_none() {
            return Ok(None);
        }
        ops.try_iter()?.map(|op| op?.extract()).collect::<PyResult<_>>().map(Some)
    };
    Ok(Restrictions {
        register_ops: ops("register_ops")?,
        sqe_ops: ops("sqe_ops")?,
        sqe_flags_allowed: given.getattr("sqe_flags_allowed")?.extract()?,
        sqe_flags_required: given.getattr("sqe_flags_required")?.extract()?,
    })
}

#[pymethods]
impl PyRing {
    /// The Restrictions that the ring was made with; None if it may do everything.
    #[getter]
    fn restrictions(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let Some(found) = &self.restrictions else { return Ok(None) };
        let fields = PyDict::new(py);
        // As lists of numbers: bytes would be text to whoever reads them.
        let numbers = |ops: &Option<Vec<u8>>| -> Option<Vec<u32>> {
            ops.as_ref().map(|ops| ops.iter().copied().map(u32::from).collect())
        };
        fields.set_item("register_ops", numbers(&found.register_ops))?;
        fields.set_item("sqe_ops", numbers(&found.sqe_ops))?;
        fields.set_item("sqe_flags_allowed", found.sqe_flags_allowed)?;
        fields.set_item("sqe_flags_required", found.sqe_flags_required)?;
        Ok(Some(class(py)?.call((), Some(&fields))?.unbind()))
    }
}
