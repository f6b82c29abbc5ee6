//! `copy`: the engine's run, with the GIL released.

use std::ffi::CString;
use std::sync::atomic::Ordering;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::host::PyHost;
use crate::bulk::pump::Way;
use crate::bulk::tree::{self, Control, Options, Problem};
use crate::py::jobs;
use crate::sys::ending::arm_thread;
use crate::sys::syscall::cpu_count;

/// More threads than this only wait for each other.
const MOST_THREADS: usize = 64;

type Told<'py> = (i32, Option<&'static str>, Bound<'py, PyBytes>, Option<Bound<'py, PyBytes>>);

fn told(py: Python<'_>, problem: Problem) -> Told<'_> {
    let path = PyBytes::new(py, &problem.path);
    let other = problem.other.map(|other| PyBytes::new(py, &other));
    (problem.errno.0, problem.why, path, other)
}

fn path(bytes: Vec<u8>) -> PyResult<CString> {
    CString::new(bytes).map_err(|_| PyValueError::new_err("embedded null byte in the path"))
}

/// How many threads copy, unless the caller says.
fn threads(wanted: Option<usize>) -> PyResult<usize> {
    match wanted {
        // Measured: more than two only queue for the file system's locks.
        None => Ok((cpu_count() as usize).min(2)),
        Some(0) => Err(PyValueError::new_err("threads must be at least 1")),
        Some(wanted) => Ok(wanted.min(MOST_THREADS)),
    }
}

/// Where it went, what was done, what failed.
#[pyfunction]
#[pyo3(signature = (src, dst, recursive, collect, specials, threads, progress, way, /))]
#[allow(clippy::too_many_arguments)] // one call, made by uring_rs.tree alone
pub(crate) fn _copy<'py>(
    py: Python<'py>,
    src: Vec<u8>,
    dst: Vec<u8>,
    recursive: bool,
    collect: bool,
    specials: bool,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
    way: &str,
) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyDict>, Vec<Told<'py>>)> {
    arm_thread();
    let (src, dst) = (path(src)?, path(dst)?);
    let threads = self::threads(threads)?;
    let options = Options { recursive, collect, specials, threads };
    let mut host = PyHost::new(progress);
    let control = Control::default();
    control.no_ring.store(jobs::way(way)? == Way::Threads, Ordering::Relaxed);
    let (problems, goal) = py.detach(|| tree::copy(&src, &dst, options, &control, &mut host));
    if let Some(error) = host.error.take() {
        return Err(error);
    }
    // What came while the last of it was done.
    py.check_signals()?;
    if problems.is_empty() || collect {
        host.tell(py, &control)?;
    }
    let counts = PyDict::new(py);
    for (name, count) in control.counts.all() {
        counts.set_item(name, count)?;
    }
    let problems = problems.into_iter().map(|problem| told(py, problem)).collect();
    Ok((PyBytes::new(py, &goal), counts, problems))
}
