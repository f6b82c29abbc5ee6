//! From what the core says to the exceptions of `uring_rs.errors`.

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

use crate::ring::error::RingError;
use crate::sys::ending::arm_thread;
use crate::sys::Errno;

static ERRORS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let module = ERRORS.get_or_try_init(py, || {
        Ok::<_, PyErr>(py.import("uring_rs.errors")?.into_any().unbind())
    })?;
    module.bind(py).getattr(name)
}

/// Raise `name` with an errno and a message.
fn make(py: Python<'_>, name: &str, errno: Option<i32>, message: &str) -> PyErr {
    arm_thread();
    let built = class(py, name).and_then(|class| match errno {
        Some(errno) => class.call1((errno, message)),
        None => class.call1((message,)),
    });
    match built {
        Ok(instance) => PyErr::from_value(instance),
        Err(error) => error,
    }
}

/// The exception of that name in `uring_rs.errors`, with an errno and a message.
#[cold]
pub(crate) fn named(py: Python<'_>, name: &str, errno: Option<i32>, message: &str) -> PyErr {
    make(py, name, errno, message)
}

fn with_attribute<'py, V>(py: Python<'py>, error: PyErr, name: &str, value: V) -> PyErr
where
    V: IntoPyObject<'py>,
{
    match error.value(py).setattr(name, value) {
        Ok(()) => error,
        Err(other) => other,
    }
}

/// The exception that says what the core said.
#[cold]
pub(crate) fn ring_error(py: Python<'_>, error: &RingError) -> PyErr {
    let text = error.to_string();
    match error {
        RingError::ZeroEntries => make(py, "ZeroEntries", Some(Errno::EINVAL.0), &text),
        RingError::TooManyEntries { .. } => {
            make(py, "TooManyEntries", Some(Errno::EINVAL.0), &text)
        }
        RingError::BadFlags(_)
        | RingError::UnknownFlags(_)
        | RingError::NotPolled(_)
        | RingError::NotWide
        | RingError::ChainTooLong { .. } => pyo3::exceptions::PyValueError::new_err(text),
        RingError::Refused(refusal) => {
            let error = make(py, "UringUnavailable", Some(refusal.errno.0), &text);
            let error = with_attribute(py, error, "reason", refusal.reason.as_str());
            let error = with_attribute(py, error, "hint", refusal.hint.as_str());
            with_attribute(py, error, "cause", cause(py, refusal.cause.error_cause()))
        }
        RingError::Sys(_, errno) | RingError::NoHugePages(errno) | RingError::Unfit(_, errno) => {
            make(py, "UringError", Some(errno.0), &text)
        }
        RingError::Disabled => make(py, "UringError", Some(Errno::EBADFD.0), &text),
        RingError::Unsupported { what, since } => unsupported(py, what, *since, &text),
        RingError::SqFull | RingError::InFlightFull { .. } | RingError::BatchesFull { .. } => {
            make(py, "SubmissionQueueFull", Some(Errno::EBUSY.0), &text)
        }
        RingError::Closed => make(py, "RingClosed", None, &text),
        RingError::Forked => make(py, "ForkedRing", None, &text),
        RingError::WrongThread => make(py, "WrongThread", Some(Errno::EEXIST.0), &text),
        RingError::Corrupted(_) => make(py, "RingCorrupted", None, &text),
    }
}

/// A system call that failed, with what that means where it was made.
#[cold]
pub(crate) fn explained(py: Python<'_>, error: &RingError, why: &str) -> PyErr {
    match error {
        RingError::Sys(_, errno) => {
            make(py, "UringError", Some(errno.0), &format!("{error}: {why}"))
        }
        error => ring_error(py, error),
    }
}

/// A member of `uring_rs.errors.Cause`; its bare name if that module does not know it.
fn cause(py: Python<'_>, name: &str) -> Py<PyAny> {
    match class(py, "Cause").and_then(|causes| causes.getattr(name)) {
        Ok(member) => member.unbind(),
        Err(_) => py.None(),
    }
}

fn unsupported(py: Python<'_>, what: &str, since: (u8, u8), text: &str) -> PyErr {
    let error = make(py, "UnsupportedOperation", Some(Errno::EOPNOTSUPP.0), text);
    let error = with_attribute(py, error, "op", what);
    match PyTuple::new(py, [since.0, since.1]) {
        Ok(since) => with_attribute(py, error, "since", since),
        Err(error) => error,
    }
}

/// A ring used by a thread it does not belong to, naming both.
#[cold]
pub(crate) fn wrong_thread(py: Python<'_>, owner: &str) -> PyErr {
    let me = current_thread_name(py).unwrap_or_else(|_| "?".into());
    let text = format!(
        "this ring belongs to the thread {owner}, and was called from {me}: make one ring per \
         thread, or a Ring(shared=True)"
    );
    make(py, "WrongThread", Some(Errno::EEXIST.0), &text)
}

/// The name of the calling thread, as `threading` has it.
pub(crate) fn current_thread_name(py: Python<'_>) -> PyResult<String> {
    let thread =
        py.import(intern!(py, "threading"))?.call_method0(intern!(py, "current_thread"))?;
    Ok(format!("{:?}", thread.getattr(intern!(py, "name"))?.extract::<String>()?))
}

/// `ResourceWarning` for something that was not closed. Never raises: where the warning itself
/// raises, that is reported as unraisable.
pub(crate) fn resource_warning(py: Python<'_>, text: &str) {
    let warning = py.get_type::<pyo3::exceptions::PyResourceWarning>();
    let text = std::ffi::CString::new(text).unwrap_or_default();
    if let Err(error) = PyErr::warn(py, &warning, &text, 1) {
        error.write_unraisable(py, None);
    }
}

/// The exception that is on its way, put aside while a destructor runs Python code.
pub(crate) struct Pending {
    kind: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    traceback: *mut ffi::PyObject,
}

impl Pending {
    /// Put it aside, if there is one.
    #[allow(deprecated, reason = "its successor came with 3.12")]
    pub(crate) fn save(_py: Python<'_>) -> Self {
        let null = std::ptr::null_mut();
        let mut saved = Pending { kind: null, value: null, traceback: null };
        // SAFETY: three places to write to; attached.
        unsafe { ffi::PyErr_Fetch(&mut saved.kind, &mut saved.value, &mut saved.traceback) };
        saved
    }

    /// Send it on.
    #[allow(deprecated, reason = "its successor came with 3.12")]
    pub(crate) fn restore(self) {
        // SAFETY: the references fetched by `save`, given back once; attached as then.
        unsafe { ffi::PyErr_Restore(self.kind, self.value, self.traceback) };
    }
}
