//! What most programs never need: rings that share or begin disabled, other sizes for the queues,
//! and io_uring_enter(2) as it is.

use std::sync::atomic::Ordering;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::py::convert::patience;
use crate::py::errors;
use crate::py::kernel::AnyKernel;
use crate::py::ring::{entry_count, PyRing};
use crate::py::Core;
use crate::ring::error::RingError;
use crate::ring::params::{Config, Sizes};
use crate::ring::wait::{EnterPlan, Entered, Limits};
use crate::sys::consts::*;

/// Set a ring up, sharing the workers of another one if there is one.
pub(crate) fn make_core(
    py: Python<'_>,
    kernel: &AnyKernel,
    mut config: Config,
    attach_to: Option<&PyRing>,
) -> PyResult<Core> {
    let made = match attach_to {
        None => py.detach(|| Core::new(kernel.clone(), &config)),
        Some(other) => {
            check_attachable(py, kernel, &config, other)?;
            // Its number must not come to mean another file meanwhile.
            py.detach(|| {
                other.wake.with_fd(|fd| {
                    config.attach_fd = Some(fd);
                    Core::new(kernel.clone(), &config)
                })
            })
        }
    };
    made.map_err(|error| errors::ring_error(py, &error))
}

fn check_attachable(
    py: Python<'_>,
    kernel: &AnyKernel,
    config: &Config,
    other: &PyRing,
) -> PyResult<()> {
    if !other.cell.same_process() {
        return Err(errors::ring_error(py, &RingError::Forked));
    }
    let why = if other.is_index_only() {
        "attach_to: a REGISTERED_FD_ONLY ring has no descriptor to attach to"
    } else if core::mem::discriminant(kernel) != core::mem::discriminant(&other.kernel) {
        "attach_to: that ring is another kernel's"
    } else if config.sqpoll() && !other.sqpoll {
        "attach_to: that ring has no poll thread to share"
    } else {
        return Ok(());
    };
    Err(PyValueError::new_err(why))
}

/// Signals as the kernel's mask: bit 0 for signal 1.
fn signal_mask(signals: &Bound<'_, PyAny>) -> PyResult<u64> {
    let mut mask = 0;
    for signal in signals.try_iter()? {
        let number = signal?.extract::<i64>()?;
        if !(1..=64).contains(&number) {
            return Err(PyValueError::new_err(format!("{number} is not a signal")));
        }
        mask |= 1 << (number - 1);
    }
    Ok(mask)
}

/// Refuse flags that are not the caller's to give.
fn check_enter_flags(flags: u32, timeout: Option<u64>) -> PyResult<()> {
    const KNOWN: u32 = IORING_ENTER_GETEVENTS
        | IORING_ENTER_SQ_WAKEUP
        | IORING_ENTER_SQ_WAIT
        | IORING_ENTER_EXT_ARG
        | IORING_ENTER_ABS_TIMER
        | IORING_ENTER_NO_IOWAIT;
    let why = if flags & IORING_ENTER_REGISTERED_RING != 0 {
        "REGISTERED_RING is given where it applies: the ring knows whether it is registered"
    } else if flags & IORING_ENTER_EXT_ARG_REG != 0 {
        "EXT_ARG_REG needs a registered wait region, whose entries this call does not know"
    } else if flags & !KNOWN != 0 {
        "enter takes GETEVENTS, SQ_WAKEUP, SQ_WAIT, EXT_ARG, ABS_TIMER and NO_IOWAIT"
    } else if flags & IORING_ENTER_ABS_TIMER != 0 && timeout.is_none() {
        "ABS_TIMER needs a timeout: the time at which the wait ends"
    } else {
        return Ok(());
    };
    Err(PyValueError::new_err(why))
}

#[pymethods]
impl PyRing {
    /// io_uring_enter(2) just as given, after publishing what is staged: for experts.
    ///
    /// Args:
    ///     to_submit: how many entries the kernel is to take.
    ///     min_complete: with EnterFlags.GETEVENTS, how many completions to wait for.
    ///     flags: EnterFlags. EXT_ARG and REGISTERED_RING need not be given.
    ///     timeout: seconds to wait at most; with EnterFlags.ABS_TIMER the time of
    ///         time.monotonic() at which the wait ends (Linux 6.12).
    ///     min_wait: after so many seconds one completion will do (Linux 6.12).
    ///     sigmask: signals to block during the wait, in place of those the thread blocks.
    ///
    /// Returns: how many entries the kernel took. 0 when a signal or the time ended the wait.
    /// Source: io_uring_enter(2).
    #[pyo3(signature = (to_submit, min_complete = 0, flags = 0, *, timeout = None,
        min_wait = None, sigmask = None))]
    #[allow(clippy::too_many_arguments)]
    fn enter(
        &self,
        py: Python<'_>,
        to_submit: u32,
        min_complete: u32,
        flags: u32,
        timeout: Option<&Bound<'_, PyAny>>,
        min_wait: Option<&Bound<'_, PyAny>>,
        sigmask: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u32> {
        let timeout_ns = patience(timeout)?;
        check_enter_flags(flags, timeout_ns)?;
        let min_wait_us = patience(min_wait)?.map_or(0, |ns| ns.div_ceil(1000));
        let limits = Limits {
            timeout_ns,
            min_wait_us: u32::try_from(min_wait_us).unwrap_or(u32::MAX),
            sigmask: sigmask.map(signal_mask).transpose()?,
        };
        // Set where there is an argument, and only there.
        self.enter_raw(py, to_submit, min_complete, flags & !IORING_ENTER_EXT_ARG, limits)
    }

    /// Wake the kernel's poll thread (SQPOLL) if it sleeps.
    fn sq_wakeup(&self, py: Python<'_>) -> PyResult<()> {
        if self.sq_needs_wakeup(py)? {
            self.enter_raw(py, 0, 0, IORING_ENTER_SQ_WAKEUP, Limits::default())?;
        }
        Ok(())
    }

    /// Wait until the submission queue has a free entry, submitting what is staged. Returns how
    /// many entries are free.
    fn sq_wait(&self, py: Python<'_>) -> PyResult<u32> {
        self.check_open(py)?;
        loop {
            let space = self.sq_space(py)?;
            if space > 0 {
                return Ok(space);
            }
            self.make_room(py)?;
            py.check_signals()?;
        }
    }

    /// Enable a ring that was made with SetupFlags.R_DISABLED. Until then requests can be staged
    /// but not submitted. The calling thread becomes the single issuer, if the ring has one.
    ///
    /// Does nothing on a ring that is enabled.
    ///
    /// Kernel: 5.10.
    /// Source: io_uring_enable_rings(3).
    fn enable(&self, py: Python<'_>) -> PyResult<()> {
        self.check_open(py)?;
        let enabled = self.hold(py)?.core.enable();
        enabled.map_err(|error| self.error(py, &error))
    }

    /// Give the ring queues of other sizes. Requests in flight go on, and what is staged stays
    /// staged; completions not read yet stay to be read.
    ///
    /// Args:
    ///     sq_entries: submission entries, 1 to 32768, not fewer than are staged.
    ///     cq_entries: completion entries, at least as many (default: twice sq_entries). Where
    ///         more requests are in flight than that, there can be no new ones until some end.
    ///
    /// Raises:
    ///     ValueError: the ring is not one of DEFER_TASKRUN and NO_SQARRAY (the default ones are),
    ///         or a size is not possible.
    ///     SubmissionQueueFull: more entries are staged than sq_entries.
    ///     UnsupportedOperation: the running kernel cannot.
    ///
    /// Kernel: 6.13.
    /// Source: io_uring_resize_rings(3).
    #[pyo3(signature = (sq_entries, cq_entries = None))]
    fn resize(&self, py: Python<'_>, sq_entries: i64, cq_entries: Option<i64>) -> PyResult<()> {
        let cq_entries = cq_entries.map(entry_count).transpose()?;
        let sizes = Sizes::checked(entry_count(sq_entries)?, cq_entries);
        let sizes = sizes.map_err(|error| errors::ring_error(py, &error))?;
        self.check_open(py)?;
        let (resized, closed) = {
            let mut state = self.hold(py)?;
            state.stash_events();
            let resized = state.core.resize(sizes);
            let params = state.core.params();
            self.set_sizes(params.sq_entries, params.cq_entries);
            state.number.store(state.core.fd(), Ordering::Release);
            (resized, state.core.is_closed())
        };
        if closed {
            self.wake.mute();
        }
        resized.map_err(|error| self.error(py, &error))?;
        // Work that was deferred while the queues changed may not show in the new ones.
        let plan = {
            let state = self.hold(py)?;
            self.cell.entering();
            EnterPlan { flags: IORING_ENTER_GETEVENTS, ..state.core.plan_nothing() }
        };
        self.run(py, plan, None, false).map(drop)
    }

    /// Whether waiting on this ring counts as waiting for I/O in the statistics of the system, and
    /// for the processor's frequency.
    ///
    /// Kernel: 6.15 to set it to False.
    /// Source: io_uring_set_iowait(3).
    #[getter]
    fn iowait(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.hold(py)?.core.iowait())
    }

    #[setter]
    fn set_iowait(&self, py: Python<'_>, counts: bool) -> PyResult<()> {
        self.check_open(py)?;
        let set = self.hold(py)?.core.set_iowait(counts);
        set.map_err(|error| self.error(py, &error))
    }
}

impl PyRing {
    /// io_uring_enter(2) just as asked, after publishing what is staged.
    fn enter_raw(
        &self,
        py: Python<'_>,
        to_submit: u32,
        min_complete: u32,
        flags: u32,
        limits: Limits,
    ) -> PyResult<u32> {
        self.check_open(py)?;
        let planned = {
            let mut state = self.hold(py)?;
            let planned = state.core.plan_raw(to_submit, min_complete, flags);
            if planned.is_ok() {
                self.cell.entering();
            }
            planned
        };
        let plan = planned.map_err(|error| self.error(py, &error))?;
        let entered = self.run_within(py, plan, limits, true)?;
        py.check_signals()?;
        Ok(match entered {
            Entered::Took(count) => count,
            _ => 0,
        })
    }
}
