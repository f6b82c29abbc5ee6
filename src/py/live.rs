//! Requests that go on: which there are, whether one still does, and beginning one again.

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::py::registry;
use crate::py::request::{self, RequestKey};
use crate::py::ring::PyRing;
use crate::py::sqe::PySqe;
use crate::py::state::State;
use crate::py::{errors, Core};

/// Whether the request with `key` is staged or with the kernel.
pub(crate) fn is_live(core: &Core, key: u64) -> bool {
    core.slots().is_some_and(|slots| slots.lookup(key).is_some())
}

/// The same of a request whose ring is not at hand. False when the ring is gone.
pub(crate) fn ask_ring(py: Python<'_>, request: RequestKey) -> PyResult<bool> {
    let look = |state: &State| is_live(&state.core, request.key);
    loop {
        match registry::look(request.ring_id, look) {
            Ok(registry::Look::Seen(live)) => return Ok(live),
            Ok(registry::Look::Gone) => return Ok(false),
            Ok(registry::Look::Busy) => py.detach(std::thread::yield_now),
            Err(error) => return Err(errors::ring_error(py, &error)),
        }
    }
}

#[pymethods]
impl PyRing {
    /// The requests staged or with the kernel that carry this very object as user_data, in no
    /// particular order. Rows of batches carry none.
    ///
    ///     for request in ring.find(client):
    ///         ring.prep_cancel(request)
    #[pyo3(signature = (user_data, /))]
    fn find(&self, py: Python<'_>, user_data: &Bound<'_, PyAny>) -> PyResult<Vec<Py<PyAny>>> {
        let mut found = Vec::new();
        {
            let state = self.hold(py)?;
            if let Some(slots) = state.core.slots() {
                for index in slots.live_indices() {
                    // SAFETY: a live slot's token changes only with the ring held (I7).
                    let token = unsafe { (*slots.payload(index)).token() };
                    if std::ptr::eq(token, user_data.as_ptr()) {
                        found.push((slots.key(index), slots.op(index)));
                    }
                }
            }
        }
        found.into_iter().map(|(key, op)| request::new(py, key, self.id, op)).collect()
    }

    /// Have the completions of a request that are still to come carry another object. Those taken
    /// off the ring already keep the old one.
    ///
    /// Raises:
    ///     ValueError: the request has ended, or belongs to another ring.
    #[pyo3(signature = (request, user_data, /))]
    fn set_user_data(
        &self,
        py: Python<'_>,
        request: &Bound<'_, PyAny>,
        user_data: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let key = request::extract(request)?;
        self.check_open(py)?;
        let old = {
            let state = self.hold(py)?;
            let slots = state.core.slots().filter(|_| key.ring_id == self.id);
            match slots.and_then(|slots| slots.lookup(key.key)) {
                Some(index) => {
                    // SAFETY: live, and held: nobody else changes its token meanwhile, and the
                    // kernel knows nothing of tokens (I7).
                    let keep = unsafe { state.keep(index) };
                    let old = keep.take_token();
                    keep.set_token(user_data.clone().into_ptr());
                    old
                }
                None => std::ptr::null_mut(),
            }
        };
        if old.is_null() {
            return Err(PyValueError::new_err("no such request is live on this ring"));
        }
        // SAFETY: an owned reference, taken out of the slot; no lock is held now (I6).
        unsafe { ffi::Py_DECREF(old) };
        Ok(())
    }

    /// Stage a prepared request, unless it is under way since the last call of this.
    ///
    ///     ready = uring_rs.Sqe.poll_add(sock, select.POLLIN, multishot=True)
    ///     while True:
    ///         ring.rearm(ready)
    ///         for cqe in ring.completions(min=1):
    ///             ...
    ///
    /// A multishot request may end at any time: by an error, by cancellation, or because there was
    /// no room for its completions. Called before each wait, this keeps it going.
    ///
    /// Where threads share a ring, one of them should do this for an entry: two at the same moment
    /// may both find nothing under way.
    ///
    /// Returns: the Request that is under way.
    #[pyo3(signature = (sqe, /))]
    fn rearm(&self, py: Python<'_>, sqe: &Bound<'_, PySqe>) -> PyResult<Py<PyAny>> {
        if let Some(last) = sqe.get().armed().filter(|last| last.ring_id == self.id) {
            if is_live(&self.hold(py)?.core, last.key) {
                return request::new(py, last.key, last.ring_id, last.op);
            }
        }
        let request = self.push_sqe(py, sqe)?;
        sqe.get().set_armed(request::extract(request.bind(py))?);
        Ok(request)
    }
}
