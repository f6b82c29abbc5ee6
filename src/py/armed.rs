//! Objects that may run Python code when they go: what they hold is others' (see `sys::ending`).
//!
//! Those with an end of their own (`impl Drop`) arm the thread there.

use crate::sys::ending::arm_thread;

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
