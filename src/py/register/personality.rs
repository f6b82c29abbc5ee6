//! Registered credentials, for requests that are to be done as somebody else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::py::armed;
use crate::py::errors;
use crate::py::ring::PyRing;
use crate::py::state::State;
use crate::ring::access::RingCell;
use crate::ring::error::RingError;
use crate::ring::Phase;
use crate::sys::ending::arm_thread;

/// The `personality` of a request: `ring_id:32 | number:16`, all zero for the ring's own
/// credentials, and a ring of 0 for a bare number, of which nobody knows whose it is. An integer,
/// so that the builders' signatures can say `personality = 0`.
pub(crate) type Credentials = u64;

/// The two parts of [`Credentials`].
pub(crate) trait Parts {
    /// What the kernel knows them by.
    fn number(self) -> u16;
    /// The ring they were registered with; 0 for any.
    fn ring_id(self) -> u32;
}

impl Parts for Credentials {
    #[inline(always)]
    fn number(self) -> u16 {
        self as u16
    }

    #[inline(always)]
    fn ring_id(self) -> u32 {
        (self >> 16) as u32
    }
}

/// A `Personality`, or the number of one.
pub(crate) fn credentials(object: &Bound<'_, PyAny>) -> PyResult<Credentials> {
    let Ok(personality) = object.cast::<PyPersonality>() else {
        return object.extract::<u16>().map(Credentials::from);
    };
    let personality = personality.get();
    personality.check()?;
    Ok(u64::from(personality.ring_id) << 16 | u64::from(personality.id))
}

/// Numbers whose `Personality` is gone and that requests not yet taken by the kernel may still
/// carry.
pub(crate) type Retired = Arc<Mutex<Vec<u16>>>;

/// Credentials registered with one ring: what `Ring.register_personality()` returns.
///
/// Give it to a request as `personality`: the request is then done with the user, group and
/// capabilities that the registering thread had. Unregistered by `close()`, at the end of its
/// `with`, or when it is dropped; then only once the kernel has taken all that was staged.
#[pyclass(name = "Personality", module = "uring_rs", frozen)]
pub(crate) struct PyPersonality {
    cell: Weak<RingCell<State>>,
    retired: Retired,
    ring_id: u32,
    id: u16,
    registered: AtomicBool,
}

impl PyPersonality {
    fn check(&self) -> PyResult<()> {
        if self.registered.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(PyValueError::new_err("the personality is unregistered"))
    }

    /// Unregister now. What the ring's end or a fork has undone already is no error.
    fn unregister(&self) -> Result<(), RingError> {
        let Some(cell) = self.cell.upgrade() else { return Ok(()) };
        loop {
            match cell.hold() {
                Ok(Some(state)) if state.core.phase() != Phase::Open => return Ok(()),
                Ok(Some(state)) => return state.core.unregister_personality(self.id),
                Ok(None) => armed::again(|py| py.detach(|| cell.wait_turn())),
                Err(RingError::Forked) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Unregister what is retired, if no request that is still to be taken can carry it.
fn sweep(state: &mut State, retired: &Retired) {
    if state.core.phase() != Phase::Open || state.core.pending() > 0 {
        return;
    }
    let mut retired = retired.lock().unwrap_or_else(PoisonError::into_inner);
    for id in retired.drain(..) {
        // The kernel knows the number, unless the caller has unregistered it by another way.
        let _ = state.core.unregister_personality(id);
    }
}

impl Drop for PyPersonality {
    fn drop(&mut self) {
        arm_thread();
        if !self.registered.swap(false, Ordering::AcqRel) {
            return;
        }
        let Some(cell) = self.cell.upgrade() else { return };
        self.retired.lock().unwrap_or_else(PoisonError::into_inner).push(self.id);
        // Otherwise the next one to register, or the end of the ring, does it.
        if cell.mine() {
            if let Ok(Some(mut state)) = cell.hold() {
                sweep(&mut state, &self.retired);
            }
        }
    }
}

#[pymethods]
impl PyPersonality {
    /// The number that the kernel knows it by.
    #[getter]
    fn id(&self) -> u16 {
        self.id
    }

    /// Whether it is unregistered.
    #[getter]
    fn closed(&self) -> bool {
        !self.registered.load(Ordering::Acquire)
    }

    /// Unregister it. Requests that the kernel has taken keep it; those that are staged fail with
    /// EINVAL. Closing it again does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if !self.registered.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        self.unregister().map_err(|error| {
            self.registered.store(true, Ordering::Release);
            errors::ring_error(py, &error)
        })
    }

    fn __index__(&self) -> PyResult<u16> {
        self.check()?;
        Ok(self.id)
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().check()?;
        Ok(slf)
    }

    #[pyo3(signature = (exc_type = None, exc = None, tb = None, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: Option<&Bound<'_, PyAny>>,
        exc: Option<&Bound<'_, PyAny>>,
        tb: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let _ = (exc_type, exc, tb);
        self.close(py)
    }

    fn __repr__(&self) -> String {
        let closed = if self.closed() { " closed" } else { "" };
        format!("<Personality id={}{closed}>", self.id)
    }
}

#[pymethods]
impl PyRing {
    /// Register the credentials that the calling thread has now (user, groups, capabilities), for
    /// requests that are to be done with them whatever the thread has by then.
    ///
    /// Returns: a Personality, to be given to requests as `personality`.
    ///
    /// Kernel: 5.6.
    /// Source: io_uring_register_personality(3).
    fn register_personality(&self, py: Python<'_>) -> PyResult<PyPersonality> {
        let id = self.with_core(py, |state| {
            sweep(state, &self.retired);
            state.core.register_personality()
        })?;
        Ok(PyPersonality {
            cell: Arc::downgrade(&self.cell),
            retired: self.retired.clone(),
            ring_id: self.id,
            id,
            registered: AtomicBool::new(true),
        })
    }

    /// Unregister credentials: `personality.close()`, or by their number.
    ///
    /// Raises:
    ///     UringError: EINVAL for a number that is not registered.
    ///
    /// Kernel: 5.6.
    /// Source: io_uring_unregister_personality(3).
    #[pyo3(signature = (personality, /))]
    fn unregister_personality(
        &self,
        py: Python<'_>,
        personality: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.check_open(py)?;
        if let Ok(personality) = personality.cast::<PyPersonality>() {
            if personality.get().ring_id != self.id {
                return Err(crate::py::stage::another_ring());
            }
            personality.get().check()?;
            return personality.get().close(py);
        }
        let id = personality.extract::<u16>()?;
        self.with_core(py, |state| state.core.unregister_personality(id))
    }
}
