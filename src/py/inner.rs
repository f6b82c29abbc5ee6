//! What a `Ring` is made of, and taking it for a moment.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use pyo3::prelude::*;

use crate::py::kernel::AnyKernel;
use crate::py::register::personality::Retired;
use crate::py::resources::Resources;
use crate::py::ring::PyRing;
use crate::py::state::State;
use crate::ring::access::{Hold, RingCell};
use crate::ring::error::RingError;
use crate::ring::params::register_error;
use crate::ring::restrict::Restrictions;
use crate::ring::wake::Wake;
use crate::ring::{probe, Phase};
use crate::sys::abi::io_uring_params;
use crate::sys::consts::*;

/// What a `Ring` is made of.
pub(crate) struct Inner {
    pub(crate) cell: Arc<RingCell<State>>,
    /// See [`State::number`].
    pub(crate) number: Arc<AtomicI32>,
    pub(crate) kernel: AnyKernel,
    pub(crate) id: u32,
    pub(crate) full_raises: bool,
    pub(crate) sqpoll: bool,
    pub(crate) trace: Option<Py<PyAny>>,
    pub(crate) wake: Wake,
    pub(crate) params: io_uring_params,
    /// Credentials to unregister when nothing is staged with them.
    pub(crate) retired: Retired,
    /// What the ring may do; everything if None.
    pub(crate) restrictions: Option<Restrictions>,
    /// Entries of the two queues, which `resize` changes; those of `params` are as at first.
    pub(crate) sizes: [AtomicU32; 2],
    pub(crate) ops: OnceLock<probe::OpSet>,
    pub(crate) resources: Resources,
    /// `with` could not begin to use it, so that nobody was there to close it either.
    pub(crate) refused: AtomicBool,
}

impl Deref for PyRing {
    type Target = Inner;

    #[inline(always)]
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl PyRing {
    /// Take the ring for a moment. Never call Python, release a buffer or sleep meanwhile (I6).
    #[inline(always)]
    pub(crate) fn hold(&self, py: Python<'_>) -> PyResult<Hold<'_, State>> {
        match self.cell.hold() {
            Ok(Some(hold)) => Ok(hold),
            Ok(None) => self.hold_contended(py),
            Err(error) => Err(self.error(py, &error)),
        }
    }

    #[cold]
    fn hold_contended(&self, py: Python<'_>) -> PyResult<Hold<'_, State>> {
        loop {
            py.detach(|| self.cell.wait_turn());
            match self.cell.hold() {
                Ok(Some(hold)) => return Ok(hold),
                Ok(None) => {}
                Err(error) => return Err(self.error(py, &error)),
            }
        }
    }

    pub(crate) fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        // Let go of before the exception is made, which runs Python code (I6).
        let phase = self.hold(py)?.core.phase();
        match phase {
            Phase::Open => Ok(()),
            _ => Err(self.error(py, &RingError::Closed)),
        }
    }

    /// Submission entries there are.
    #[inline]
    pub(crate) fn sq_size(&self) -> u32 {
        self.sizes[0].load(Ordering::Relaxed)
    }

    /// Completion entries there are.
    #[inline]
    pub(crate) fn cq_size(&self) -> u32 {
        self.sizes[1].load(Ordering::Relaxed)
    }

    /// The queues have other sizes now.
    pub(crate) fn set_sizes(&self, sq: u32, cq: u32) {
        self.sizes[0].store(sq, Ordering::Relaxed);
        self.sizes[1].store(cq, Ordering::Relaxed);
    }

    /// Is the ring only an index in its thread's table (REGISTERED_FD_ONLY)?
    pub(crate) fn is_index_only(&self) -> bool {
        self.params.flags & IORING_SETUP_REGISTERED_FD_ONLY != 0
    }

    /// The operations the kernel of this ring supports.
    pub(crate) fn ops(&self, py: Python<'_>) -> PyResult<&probe::OpSet> {
        if let Some(ops) = self.ops.get() {
            return Ok(ops);
        }
        let (fd, by_index) = {
            let core = &self.hold(py)?.core;
            (core.fd(), core.by_index())
        };
        let found = probe::probe_ops_of(&self.kernel, fd, by_index);
        let found = found.map_err(|errno| self.error(py, &register_error(errno)))?;
        Ok(self.ops.get_or_init(|| found))
    }
}
