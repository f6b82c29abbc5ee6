//! The register operations as methods of `Ring`, one file for each kind of thing. Those of buffers
//! and files are elsewhere.

pub(crate) mod cancel;
mod clock;
pub(crate) mod message;
mod napi;
pub(crate) mod personality;
pub(crate) mod query;
pub(crate) mod region;
pub(crate) mod restrict;
mod workers;
pub(crate) mod zcrx;

use pyo3::prelude::*;

use crate::py::ring::PyRing;
use crate::py::state::State;
use crate::ring::access::Hold;
use crate::ring::error::RingError;

impl PyRing {
    /// Do something to the open ring that calls no Python and does not sleep (I6).
    fn with_core<T>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut Hold<'_, State>) -> Result<T, RingError>,
    ) -> PyResult<T> {
        self.check_open(py)?;
        let done = act(&mut self.hold(py)?);
        done.map_err(|error| self.error(py, &error))
    }
}
