//! `probe()`: can a ring be made here, and if not, what stands in the way? By trying.

use core::ffi::c_void;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::ring::error::RingError;
use crate::ring::kernel::{Kernel, Linux};
use crate::ring::params::{self, Config, Made};
use crate::ring::probe::{self, Refusal};
use crate::sys::abi::io_uring_params;
use crate::sys::{opcode, Errno};

/// What trying found.
struct Found {
    params: io_uring_params,
    setup_flags: u32,
    ops: Vec<&'static str>,
}

/// Try the three system calls; close what was opened.
fn attempt(kernel: Linux) -> Result<Found, Refusal> {
    let refuse = |error: RingError| match error {
        RingError::Refused(refusal) => *refusal,
        RingError::Sys(_, errno) => probe::diagnose(errno, 8),
        RingError::Unsupported { .. } => {
            Refusal { reason: error.to_string(), ..probe::diagnose(Errno::ENOSYS, 8) }
        }
        other => Refusal { reason: other.to_string(), ..probe::diagnose(Errno::EINVAL, 8) },
    };
    // Without SINGLE_ISSUER, so that no thread comes to own anything.
    let config = Config { shared: true, ..Config::new(8) };
    let Made { fd, params, .. } = params::setup(&kernel, &config).map_err(refuse)?;
    let found = use_it(kernel, fd, params);
    // SAFETY: opened above, nothing in flight, used no more (I10).
    unsafe { kernel.close(fd) };
    found
}

/// A filter may let setup pass and stop the other two.
fn use_it(kernel: Linux, fd: i32, params: io_uring_params) -> Result<Found, Refusal> {
    let refuse = |errno: Errno| probe::diagnose(errno, 8);
    // SAFETY: nothing is submitted and nothing waited for.
    unsafe { kernel.enter(fd, 0, 0, 0, core::ptr::null::<c_void>(), 0) }.map_err(refuse)?;
    let ops = probe::probe_ops(&kernel, fd).map_err(refuse)?;
    let setup_flags = match probe::query(&kernel) {
        Ok(answer) => answer.ring_setup_flags as u32,
        Err(_) => params.flags,
    };
    let ops = ops.iter().filter_map(|op| opcode::info(op).map(|info| info.name)).collect();
    Ok(Found { params, setup_flags, ops })
}

/// Everything `uring_rs.probe()` tells, as a dict. Never raises for a refusal.
#[pyfunction]
#[pyo3(name = "probe")]
pub(crate) fn probe_dict(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let found = py.detach(|| attempt(Linux));
    let answer = PyDict::new(py);
    answer.set_item("ok", found.is_ok())?;
    let (found, refusal) = match found {
        Ok(found) => (Some(found), None),
        Err(refusal) => (None, Some(refusal)),
    };
    answer.set_item("errno", refusal.as_ref().map_or(0, |r| r.errno.0))?;
    answer.set_item("cause", refusal.as_ref().map_or("", |r| r.cause.slug()))?;
    answer.set_item("reason", refusal.as_ref().map_or("", |r| r.reason.as_str()))?;
    answer.set_item("hint", refusal.as_ref().map_or("", |r| r.hint.as_str()))?;
    answer.set_item("features", found.as_ref().map_or(0, |f| f.params.features))?;
    answer.set_item("setup_flags", found.as_ref().map_or(0, |f| f.setup_flags))?;
    answer.set_item("ops", found.map_or(Vec::new(), |f| f.ops))?;
    let environment = environment(py)?;
    answer.set_item("kernel", environment.get_item("kernel")?)?;
    answer.set_item("environment", environment)?;
    Ok(answer)
}

fn environment(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let found = probe::environment();
    let dict = PyDict::new(py);
    dict.set_item("kernel", &found.kernel)?;
    dict.set_item("io_uring_disabled", found.sysctl)?;
    dict.set_item("io_uring_group", found.sysctl_group)?;
    dict.set_item("seccomp", found.seccomp_mode)?;
    dict.set_item("memlock_soft", found.memlock_soft)?;
    dict.set_item("memlock_hard", found.memlock_hard)?;
    dict.set_item("nofile", found.nofile_soft)?;
    dict.set_item("cpus", found.cpus)?;
    dict.set_item("cgroup_cpus", found.cpu_quota)?;
    Ok(dict)
}

/// The table of operations: name, number, kernel, builder, and what its result means.
#[pyfunction]
pub(crate) fn _operations(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let row = |info: &opcode::OpInfo| {
        let dict = PyDict::new(py);
        dict.set_item("name", info.name)?;
        dict.set_item("number", info.number)?;
        dict.set_item("since", (info.since.0, info.since.1))?;
        dict.set_item("method", info.method)?;
        dict.set_item("result", format!("{:?}", info.result).to_lowercase())?;
        dict.set_item("memory", format!("{:?}", info.lifetime).to_lowercase())?;
        dict.set_item("multishot", info.multishot)?;
        dict.set_item("zero_copy", info.zero_copy)?;
        Ok(dict)
    };
    opcode::OPS.iter().map(row).collect()
}
