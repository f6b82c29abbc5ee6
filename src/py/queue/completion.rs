//! What `IoQueue.wait` returns: a list of completions, and whether the queue was woken.

use pyo3::exceptions::PyOSError;
use pyo3::gc::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyList;
use pyo3::PyTraverseError;

use crate::sys::Errno;

/// One request of an IoQueue that has ended.
#[pyclass(name = "IoCompletion", module = "uring_rs", frozen)]
pub(crate) struct PyIoCompletion {
    /// What prepare() returned for the request.
    #[pyo3(get)]
    pub(super) request: u64,
    pub(super) user: Py<PyAny>,
    /// What the kernel said: bytes transferred, or a negated errno.
    #[pyo3(get)]
    pub(super) res: i32,
}

impl PyIoCompletion {
    fn os_error(&self) -> Option<PyErr> {
        let errno = (self.res < 0).then(|| Errno(-self.res))?;
        Some(PyOSError::new_err((errno.0, errno.message())))
    }
}

#[pymethods]
impl PyIoCompletion {
    /// The object that prepare() was given as `user`.
    #[getter]
    fn user(&self, py: Python<'_>) -> Py<PyAny> {
        self.user.clone_ref(py)
    }

    /// Whether the request was carried out, if perhaps in part: see `transferred`.
    #[getter]
    fn success(&self) -> bool {
        self.res >= 0
    }

    /// Bytes transferred, exactly: fewer than asked for at the end of a file, say. 0 of a request
    /// that failed, and of those that transfer nothing.
    #[getter]
    fn transferred(&self) -> i32 {
        self.res.max(0)
    }

    /// The OSError that says what went wrong; None if nothing did.
    #[getter]
    fn error(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.os_error().map(|error| error.into_value(py).into_any())
    }

    /// Bytes transferred.
    ///
    /// Raises:
    ///     OSError: what went wrong, of the class that its errno has (`FileNotFoundError`...).
    fn result(&self) -> PyResult<i32> {
        match self.os_error() {
            Some(error) => Err(error),
            None => Ok(self.res),
        }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let user = self.user.bind(py).repr()?;
        Ok(format!("<IoCompletion user={user} res={}>", self.res))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.user)
    }
}

static LIST: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// An empty `uring_rs.IoCompletions`, a list that tells whether the queue was woken.
pub(super) fn empty_list(py: Python<'_>, interrupted: bool) -> PyResult<Bound<'_, PyList>> {
    let class = LIST.get_or_try_init(py, || {
        let module = py.import("uring_rs.ioqueue")?;
        Ok::<_, PyErr>(module.getattr("IoCompletions")?.unbind())
    })?;
    let list = class.bind(py).call0()?;
    if interrupted {
        list.setattr(intern!(py, "interrupted"), true)?;
    }
    Ok(list.cast_into::<PyList>()?)
}
