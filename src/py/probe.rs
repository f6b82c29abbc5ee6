//! `probe()`: can a ring be made here, and if not, what stands in the way? By trying.

use core::ffi::c_void;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::ring::error::RingError;
use crate::ring::kernel::{Kernel, Linux};
use crate::ring::params::{self, Config, Made};
use crate::ring::probe::{self, Refusal, Version};
use crate::sys::abi::io_uring_params;
use crate::sys::register::{RegisterInfo, REGISTER_OPS};
use crate::sys::{opcode, Errno};

/// What trying found.
struct Found {
    params: io_uring_params,
    setup_flags: u32,
    ops: Vec<&'static str>,
    register_ops: Vec<&'static str>,
}

/// Try the three system calls; close what was opened.
fn attempt(kernel: Linux) -> Result<Found, Refusal> {
    let refuse = |error: RingError| match error {
        RingError::Refused(refusal) => *refusal,
        RingError::Sys(_, errno) => probe::diagnose(errno, 8),
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
    // SAFETY: nothing is submitted and nothing waited for.
    unsafe { kernel.enter(fd, 0, 0, 0, core::ptr::null::<c_void>(), 0) }
        .map_err(|errno| probe::diagnose_call("io_uring_enter", errno))?;
    let ops = probe::probe_ops(&kernel, fd)
        .map_err(|errno| probe::diagnose_call("io_uring_register", errno))?;
    // Before the query came, the version is all there is to go by.
    let (setup_flags, known) = match probe::query(&kernel) {
        Ok(answer) => (answer.ring_setup_flags as u32, Some(answer.nr_register_opcodes)),
        Err(_) => (params.flags, None),
    };
    let version = probe::kernel_version();
    let has = |op: &&RegisterInfo| match known {
        Some(count) => op.number < count,
        None => version >= Version(op.since.0.into(), op.since.1.into(), 0),
    };
    let register_ops = REGISTER_OPS.iter().filter(has).map(|op| op.name).collect();
    let ops = ops.iter().filter_map(|op| opcode::info(op).map(|info| info.name)).collect();
    Ok(Found { params, setup_flags, ops, register_ops })
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
    answer.set_item("register_ops", found.as_ref().map_or(&[][..], |f| &f.register_ops))?;
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
