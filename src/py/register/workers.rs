//! The worker threads that do what cannot be done without sleeping (io-wq).

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::py::ring::PyRing;
use crate::sys::syscall;

/// CPU numbers as the kernel's mask.
fn mask(cpus: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    if cpus.is_instance_of::<PyString>() || cpus.is_instance_of::<PyBytes>() {
        return Err(PyTypeError::new_err("cpus must be an iterable of CPU numbers"));
    }
    let mut mask = Vec::new();
    // What is beyond its own masks the kernel would not see: the workers would be left without any.
    let most = syscall::cpu_numbers();
    for cpu in cpus.try_iter()? {
        let cpu: i64 = cpu?.extract()?;
        let cpu = usize::try_from(cpu)
            .ok()
            .filter(|cpu| *cpu < most)
            .ok_or_else(|| PyValueError::new_err(format!("no CPU can have the number {cpu}")))?;
        if mask.len() <= cpu / 8 {
            mask.resize(cpu / 8 + 1, 0);
        }
        mask[cpu / 8] |= 1_u8 << (cpu % 8);
    }
    if mask.is_empty() {
        return Err(PyValueError::new_err("cpus is empty: workers need a CPU to run on"));
    }
    // The kernel reads whole words.
    mask.resize(mask.len().next_multiple_of(8), 0);
    Ok(mask)
}

/// A limit for the kernel, where 0 means to leave the limit alone.
fn limit(name: &str, limit: Option<i64>) -> PyResult<u32> {
    let Some(limit) = limit else { return Ok(0) };
    match u32::try_from(limit) {
        Ok(limit) if (1..=i32::MAX as u32).contains(&limit) => Ok(limit),
        _ => Err(PyValueError::new_err(format!(
            "{name} must be 1 to 2**31 - 1, or None to leave it as it is, not {limit}"
        ))),
    }
}

#[pymethods]
impl PyRing {
    /// Bind the kernel's worker threads to CPUs. They are those of the calling thread, which all
    /// its rings share; with SQPOLL those of the ring's poll thread.
    ///
    /// Args:
    ///     cpus: the numbers of the CPUs, as for os.sched_setaffinity.
    ///
    /// Raises:
    ///     ValueError: no CPU, or a number that none can have.
    ///     UringError: EINVAL where the thread may not run on one of them.
    ///
    /// Kernel: 5.14.
    /// Source: io_uring_register_iowq_aff(3).
    #[pyo3(signature = (cpus, /))]
    fn register_iowq_aff(&self, py: Python<'_>, cpus: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut mask = mask(cpus)?;
        self.with_core(py, |state| state.core.bind_workers(Some(&mut mask)))
    }

    /// Undo register_iowq_aff: the workers may run wherever the thread may.
    ///
    /// Kernel: 5.14.
    /// Source: io_uring_unregister_iowq_aff(3).
    fn unregister_iowq_aff(&self, py: Python<'_>) -> PyResult<()> {
        self.with_core(py, |state| state.core.bind_workers(None))
    }

    /// Limit how many worker threads the kernel may have for this ring's threads.
    ///
    /// Args:
    ///     bounded: those for work that ends by itself, such as reading files.
    ///     unbounded: those for what may wait for ever. None leaves a limit as it is.
    ///
    /// Returns: (bounded, unbounded), the limits of before.
    ///
    /// Kernel: 5.15.
    /// Source: io_uring_register_iowq_max_workers(3).
    #[pyo3(signature = (bounded = None, unbounded = None))]
    fn register_iowq_max_workers(
        &self,
        py: Python<'_>,
        bounded: Option<i64>,
        unbounded: Option<i64>,
    ) -> PyResult<(u32, u32)> {
        let limits = [limit("bounded", bounded)?, limit("unbounded", unbounded)?];
        let [bounded, unbounded] = self.with_core(py, |state| state.core.limit_workers(limits))?;
        Ok((bounded, unbounded))
    }
}
