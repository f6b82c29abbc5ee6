//! Showing what a ring does: `Ring(trace=callable)` and `URING_RS_TRACE=1`.
//!
//! The callable gets an event's name and a dict. What it raises is reported as unraisable: tracing
//! must not change what the program does. Never called with the ring held (I6).

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::py::state::Ready;
use crate::ring::error::RingError;
use crate::ring::wait::{EnterPlan, Entered};
use crate::sys::abi::io_uring_sqe;
use crate::sys::opcode;

fn name(op: u8) -> &'static str {
    opcode::info(op).map_or("?", |info| info.name)
}

fn send<'py>(
    py: Python<'py>,
    callback: &Py<PyAny>,
    event: &str,
    fill: impl FnOnce(&Bound<'py, PyDict>) -> PyResult<()>,
) {
    let info = PyDict::new(py);
    let sent = fill(&info).and_then(|()| callback.call1(py, (event, info)).map(drop));
    if let Err(error) = sent {
        error.write_unraisable(py, Some(callback.bind(py)));
    }
}

/// A request was staged.
#[cold]
pub(crate) fn prep(py: Python<'_>, callback: &Py<PyAny>, key: u64, sqe: &io_uring_sqe) {
    send(py, callback, "prep", |info| {
        info.set_item("op", name(sqe.opcode))?;
        info.set_item("key", key)?;
        info.set_item("fd", sqe.fd)?;
        info.set_item("flags", sqe.flags)
    });
}

/// The kernel was entered.
#[cold]
pub(crate) fn enter(
    py: Python<'_>,
    callback: &Py<PyAny>,
    plan: &EnterPlan,
    result: &Result<Entered, RingError>,
) {
    send(py, callback, "enter", |info| {
        info.set_item("to_submit", plan.to_submit)?;
        info.set_item("min_complete", plan.min_complete)?;
        info.set_item("flags", plan.flags)?;
        match result {
            Ok(Entered::Took(count)) => info.set_item("result", *count),
            Ok(Entered::Interrupted) => info.set_item("result", "EINTR"),
            Ok(Entered::TimedOut) => info.set_item("result", "ETIME"),
            Ok(Entered::Busy) => info.set_item("result", "EBUSY"),
            Err(error) => info.set_item("result", error.to_string()),
        }
    });
}

/// A completion is handed out.
#[cold]
pub(crate) fn complete(py: Python<'_>, callback: &Py<PyAny>, ready: &Ready) {
    send(py, callback, "complete", |info| {
        info.set_item("op", name(ready.op))?;
        info.set_item("key", ready.key)?;
        info.set_item("res", ready.res)?;
        info.set_item("flags", ready.flags)
    });
}

/// The ring was opened or closed.
#[cold]
pub(crate) fn life(py: Python<'_>, callback: &Py<PyAny>, event: &str, fd: i32) {
    send(py, callback, event, |info| info.set_item("fd", fd));
}
