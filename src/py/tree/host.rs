//! The calling thread looks up from its work: signal handlers run, progress is told.

use std::sync::atomic::Ordering::Relaxed;

use pyo3::prelude::*;

use crate::bulk::tree::{Control, Host, Stop};
use crate::py::armed;
use crate::sys::syscall::monotonic_ns;

/// Progress is told at most twenty times a second.
const PERIOD_NS: u64 = 50_000_000;

/// Takes the GIL for as long as Python is asked.
pub(crate) struct PyHost {
    progress: Option<Py<PyAny>>,
    told: u64,
    /// What a handler or the progress function raised.
    pub(crate) error: Option<PyErr>,
}

impl PyHost {
    pub(crate) fn new(progress: Option<Py<PyAny>>) -> Self {
        PyHost { progress, told: monotonic_ns(), error: None }
    }

    /// Call the progress function.
    pub(crate) fn tell(&self, py: Python<'_>, control: &Control) -> PyResult<()> {
        let Some(progress) = &self.progress else { return Ok(()) };
        let total = Some(control.total.load(Relaxed)).filter(|&total| total > 0);
        progress.call1(py, (control.counts.bytes(), total, control.counts.names())).map(drop)
    }

    fn ask(&mut self, py: Python<'_>, control: &Control) -> PyResult<()> {
        py.check_signals()?;
        let now = monotonic_ns();
        if self.progress.is_some() && now.wrapping_sub(self.told) >= PERIOD_NS {
            self.told = now;
            self.tell(py, control)?;
        }
        Ok(())
    }
}

impl Host for PyHost {
    fn look(&mut self, control: &Control) -> Result<(), Stop> {
        // No lock is held here, and there is none of ours that a handler could wait for (I6).
        armed::again(|py| self.ask(py, control)).map_err(|error| {
            self.error = Some(error);
            Stop
        })
    }
}
