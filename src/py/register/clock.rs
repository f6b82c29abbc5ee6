//! Which clock waits run on.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::py::ring::PyRing;
use crate::sys::os::{CLOCK_BOOTTIME, CLOCK_MONOTONIC};

#[pymethods]
impl PyRing {
    /// Choose the clock that the timeouts of submit(), wait() and their kin run on. Requests such
    /// as prep_timeout name their own.
    ///
    /// Args:
    ///     clock: 'monotonic', which stands still while the machine is suspended, or 'boottime',
    ///         which goes on.
    ///
    /// Kernel: 6.12.
    /// Source: io_uring_register_clock(3).
    #[pyo3(signature = (clock, /))]
    fn register_clock(&self, py: Python<'_>, clock: &str) -> PyResult<()> {
        let (name, number) = match clock {
            "monotonic" => ("monotonic", CLOCK_MONOTONIC),
            "boottime" => ("boottime", CLOCK_BOOTTIME),
            other => {
                return Err(PyValueError::new_err(format!(
                    "clock must be 'monotonic' or 'boottime', not {other:?}"
                )))
            }
        };
        self.with_core(py, |state| {
            state.core.set_clock(number as u32)?;
            state.clock = name;
            Ok(())
        })
    }

    /// The clock that waits run on: 'monotonic', unless register_clock() chose another.
    #[getter]
    fn clock(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(self.hold(py)?.clock)
    }

    /// The ring's index in its thread's table of rings, by which the kernel finds it faster than by
    /// the descriptor; None while it is not there. It gets there by itself, once it has been
    /// entered some 16 times, and leaves it with close(). Rings of many threads have none.
    ///
    /// Kernel: 5.18.
    /// Source: io_uring_register_ring_fd(3).
    #[getter]
    fn registered_ring_fd(&self, py: Python<'_>) -> PyResult<Option<u32>> {
        Ok(self.hold(py)?.core.registered_index())
    }
}
