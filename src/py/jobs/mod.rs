//! Whole jobs for Python: the engines of `crate::bulk`, with the interpreter left out of the work.
//!
//! What all of them share: which way they go, how they wait, what they say of it afterwards.

pub(crate) mod aligned;
pub(crate) mod held;
pub(crate) mod pages;
pub(crate) mod ranges;
pub(crate) mod read_many;
pub(crate) mod save;
pub(crate) mod stream;
pub(crate) mod write_many;

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::bulk::host::Host;
use crate::bulk::pump::{Counts, Pump, Way};
use crate::py::errors;
use crate::py::kernel::AnyKernel;
use crate::py::sim::PySimKernel;
use crate::ring::error::RingError;
use crate::ring::kernel::Linux;

/// How long a job sleeps before it looks for signals again.
pub(crate) const NAP_NS: u64 = 50_000_000;

/// A job that is closed waits for what cannot be cancelled, in naps.
pub(crate) fn close<H: Host>(py: Python<'_>, pump: &mut Pump<H>) -> PyResult<()> {
    while pump.same_process() && !py.detach(|| pump.close(NAP_NS)) {
        py.check_signals()?;
    }
    Ok(())
}

/// "auto", "ring" or "threads", as `uring_rs.backend.way()` has it.
pub(crate) fn way(name: &str) -> PyResult<Way> {
    match name {
        "auto" => Ok(Way::Auto),
        "ring" => Ok(Way::Ring),
        "threads" => Ok(Way::Threads),
        _ => Err(PyValueError::new_err("way must be auto, ring or threads")),
    }
}

/// The running kernel, or the simulated one that a test gave.
pub(crate) fn host(kernel: Option<&Bound<'_, PySimKernel>>) -> AnyKernel {
    match kernel {
        Some(kernel) => AnyKernel::Sim(kernel.get().kernel()),
        None => AnyKernel::Linux(Linux),
    }
}

static TOLD: AtomicBool = AtomicBool::new(false);

/// Say once per process, in the log, that and why a ring is not used.
pub(crate) fn tell_refusal<H: Host>(py: Python<'_>, pump: &Pump<H>) -> PyResult<()> {
    pump.refusal().map_or(Ok(()), |refusal| tell(py, refusal))
}

/// The same, of a refusal that is known.
pub(crate) fn tell(py: Python<'_>, refusal: &RingError) -> PyResult<()> {
    if TOLD.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let error = errors::ring_error(py, refusal);
    let module = py.import(intern!(py, "uring_rs.backend"))?;
    module.call_method1(intern!(py, "tell"), (error.to_string(),))?;
    Ok(())
}

/// What `stats` of a job shows of how works were carried out.
pub(crate) fn counts<'py>(py: Python<'py>, counts: &Counts) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("at_once", counts.at_once)?;
    dict.set_item("plain", counts.plain)?;
    dict.set_item("ring", counts.ring)?;
    dict.set_item("threads", counts.threads)?;
    dict.set_item("enters", counts.enters)?;
    Ok(dict)
}
