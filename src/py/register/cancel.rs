//! Cancelling and waiting for it, in one call that is no request.

use pyo3::exceptions::{PyOverflowError, PyTimeoutError, PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::py::convert::{self, patience};
use crate::py::direct::{self, PyDirectFile};
use crate::py::kernel::AnyKernel;
use crate::py::request;
use crate::py::ring::PyRing;
use crate::py::stage::another_ring;
use crate::ring::error::RingError;
use crate::ring::kernel::Kernel;
use crate::ring::register::told;
use crate::sys::abi::{__kernel_timespec, io_uring_sync_cancel_reg};
use crate::sys::consts::*;
use crate::sys::{opcode, Errno};

/// How long the kernel may wait before we look for signals and for the ring's end.
const LOOK_AGAIN_NS: u64 = 10_000_000;

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

/// The number of an operation given by name or number.
fn operation(op: Any<'_, '_>) -> PyResult<u8> {
    if let Ok(name) = op.extract::<String>() {
        let info = opcode::by_name(&name);
        return Ok(info
            .ok_or_else(|| PyValueError::new_err(format!("no operation {name:?}")))?
            .number);
    }
    let number: i64 = op.extract()?;
    u8::try_from(number).map_err(|_| PyOverflowError::new_err("operations are numbers of 8 bits"))
}

/// What the kernel says to one call.
enum Said {
    /// So many were cancelled.
    Count(usize),
    /// Nothing matches (any more).
    Nothing,
    /// What matches runs, and has not ended in time.
    Running,
}

#[pymethods]
impl PyRing {
    /// Cancel requests that the kernel has, and wait for one that is being worked on to end. Each
    /// still completes, with ECANCELED or as if nothing had happened. What is only staged is not
    /// looked at: submit() first, or discard() it.
    ///
    /// Args:
    ///     request: this one.
    ///     file: one on this file.
    ///     op: one of this operation, by name ("READ") or number (Linux 6.6).
    ///     all: every one that matches; with no other argument everything.
    ///     timeout: seconds to wait for one that runs and cannot be interrupted.
    ///
    /// Returns: how many were cancelled; 0 when none matches. One whose completion was not taken off
    /// the ring yet may be counted again by the next call.
    ///
    /// Raises:
    ///     TimeoutError: it goes on running.
    ///
    /// Kernel: 6.0.
    /// Source: io_uring_register_sync_cancel(3).
    #[pyo3(signature = (request = None, *, file = None, op = None, all = false, timeout = None))]
    fn cancel_sync(
        &self,
        py: Python<'_>,
        request: Option<Any<'_, '_>>,
        file: Option<Any<'_, '_>>,
        op: Option<Any<'_, '_>>,
        all: bool,
        timeout: Option<Any<'_, '_>>,
    ) -> PyResult<usize> {
        let mut cancel = io_uring_sync_cancel_reg { fd: -1, ..Default::default() };
        // A direct descriptor stays the same file until all is done.
        let _in_use;
        if let Some(request) = request {
            let key = request::extract(request)?;
            if key.ring_id != self.id {
                return Err(another_ring());
            }
            cancel.addr = key.key;
            // By key is what the kernel does when told nothing else; this flag came later.
            let mixed = file.is_some() || op.is_some();
            cancel.flags |= if mixed { IORING_ASYNC_CANCEL_USERDATA } else { 0 };
        }
        if let Some(file) = file {
            cancel.flags |= IORING_ASYNC_CANCEL_FD;
            if let Ok(file) = file.cast::<PyDirectFile>() {
                let (slot, using) = direct::slot_of(file.get(), self.id)?;
                (cancel.fd, _in_use) = (slot, Some(using));
                cancel.flags |= IORING_ASYNC_CANCEL_FD_FIXED;
            } else {
                cancel.fd = convert::file_number(file)?;
            }
        }
        if let Some(op) = op {
            cancel.opcode = operation(op)?;
            cancel.flags |= IORING_ASYNC_CANCEL_OP;
        }
        if all {
            cancel.flags |= IORING_ASYNC_CANCEL_ALL;
        }
        if request.is_none() && file.is_none() && op.is_none() {
            if !all {
                return Err(PyTypeError::new_err("give a request, file=, op= or all=True"));
            }
            cancel.flags |= IORING_ASYNC_CANCEL_ANY;
        }
        let patience = patience(timeout)?;
        self.check_open(py)?;
        let deadline = patience.map(|ns| self.kernel.now_ns().saturating_add(ns));
        self.cancel_until(py, &cancel, deadline)
    }
}

impl PyRing {
    /// Call the kernel until nothing that matches runs any more.
    fn cancel_until(
        &self,
        py: Python<'_>,
        cancel: &io_uring_sync_cancel_reg,
        deadline: Option<u64>,
    ) -> PyResult<usize> {
        let mut ran = false;
        loop {
            let left = deadline.map_or(u64::MAX, |at| at.saturating_sub(self.kernel.now_ns()));
            let said = self.cancel_once(py, cancel, left.min(LOOK_AGAIN_NS))?;
            py.check_signals()?;
            match said {
                Said::Count(count) => return Ok(count),
                // Found running by the last call, and ended since.
                Said::Nothing => return Ok(ran.into()),
                Said::Running if left == 0 => {
                    return Err(PyTimeoutError::new_err("the request goes on running"))
                }
                Said::Running => ran = true,
            }
        }
    }

    /// One call, with the interpreter free and the ring announced as in use but not held (I6).
    fn cancel_once(
        &self,
        py: Python<'_>,
        cancel: &io_uring_sync_cancel_reg,
        wait_ns: u64,
    ) -> PyResult<Said> {
        let (fd, by_index) = {
            let state = self.hold(py)?;
            if state.core.phase() != crate::ring::Phase::Open {
                drop(state);
                return Err(self.error(py, &RingError::Closed));
            }
            self.cell.entering();
            (state.core.fd(), state.core.by_index())
        };
        let mut cancel = *cancel;
        cancel.timeout = __kernel_timespec { tv_sec: 0, tv_nsec: wait_ns as i64 };
        let (kernel, cell) = (&self.kernel, &self.cell);
        let said = py.detach(|| {
            let said = ask(kernel, fd, by_index, &mut cancel);
            cell.left();
            said
        });
        let single = cancel.flags & (IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY) == 0;
        match said {
            // For one request the kernel says 0 for success, for many how many.
            Ok(count) => Ok(Said::Count(if single { 1 } else { count as usize })),
            Err(Errno::ENOENT) => Ok(Said::Nothing),
            Err(Errno::ETIME | Errno::EINTR | Errno::EALREADY) => Ok(Said::Running),
            Err(errno) => {
                Err(self.error(py, &told(&self.kernel, IORING_REGISTER_SYNC_CANCEL, errno)))
            }
        }
    }
}

fn ask(
    kernel: &AnyKernel,
    fd: i32,
    by_index: u32,
    cancel: &mut io_uring_sync_cancel_reg,
) -> Result<u32, Errno> {
    let arg = core::ptr::from_mut(cancel).cast();
    // SAFETY: what SYNC_CANCEL takes, read during the call only; the ring stays open meanwhile,
    // since its closer waits for whoever is announced (I2, I12).
    unsafe { kernel.register(fd, IORING_REGISTER_SYNC_CANCEL | by_index, arg, 1) }
}
