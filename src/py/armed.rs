//! Our code and the end of the interpreter (see `sys::ending`): how to attach to one that may be gone,
//! and the objects that may run Python code when they go, since what they hold is others'.
//!
//! Those with an end of their own (`impl Drop`) arm the thread there.

use pyo3::Python;

use crate::sys::ending::{arm_thread, stand_still};

/// Attach a thread that had let go of the interpreter, to go on with what Python code has asked for.
/// If the interpreter has ended meanwhile nobody waits for that any more, and the thread stands still.
pub(crate) fn again<R>(act: impl FnOnce(Python<'_>) -> R) -> R {
    match Python::try_attach(act) {
        Some(done) => done,
        None => stand_still(),
    }
}

/// Attach for the last act of an object. Where there is no interpreter any more it is left undone:
/// what it would let go of ends with the process.
pub(crate) fn last(act: impl FnOnce(Python<'_>)) {
    let _ = Python::try_attach(act);
}

macro_rules! armed {
    ($($class:path),* $(,)?) => {$(
        impl Drop for $class {
            fn drop(&mut self) {
                arm_thread();
            }
        }
    )*};
}

armed!(
    crate::py::direct::PyFileTable,
    crate::py::jobs::aligned::PyAlignedPool,
    crate::py::jobs::read_many::PyReadMany,
    crate::py::jobs::stream::PyStream,
    crate::py::queue::completion::PyIoCompletion,
    crate::py::register::region::PyMemoryRegion,
    crate::py::register::zcrx::PyZcrxQueue,
    crate::py::tree::walk::PyTreeWalk,
);
