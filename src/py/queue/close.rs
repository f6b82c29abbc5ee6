//! Closing an `IoQueue`, and what the collector may see of it.

use std::sync::PoisonError;

use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::PyTraverseError;

use super::{Kept, PyQueue};
use crate::py::armed;
use crate::py::errors;
use crate::py::jobs::NAP_NS;
use crate::ring::teardown::Naps;
use crate::sys::ending::arm_thread;
use crate::sys::syscall;

/// How long the collection of a queue that was not closed waits for its requests.
const LAST_PATIENCE_NS: u64 = 100_000_000;

impl PyQueue {
    /// Close within `patience_ns`; for ever if None.
    pub(super) fn close_within(&self, py: Python<'_>, patience_ns: Option<u64>) -> PyResult<()> {
        if !self.queue.same_process() {
            return Ok(());
        }
        // Real time: what is waited for is threads and devices.
        let deadline = patience_ns.map(|ns| syscall::monotonic_ns().saturating_add(ns));
        py.detach(|| self.queue.begin_close());
        let mut naps = Naps::default();
        loop {
            let left = deadline.map_or(NAP_NS, |at| at.saturating_sub(syscall::monotonic_ns()));
            let nap = left.min(NAP_NS);
            let closed = py.detach(|| self.queue.close_step(nap, &mut naps));
            self.release_buffers(py, closed)?;
            if closed {
                return Ok(());
            }
            py.check_signals()?;
            if left == 0 {
                return self.give_up(py);
            }
        }
    }

    /// What has ended needs its buffers no more; who it is for may still be asked for.
    fn release_buffers(&self, py: Python<'_>, closed: bool) -> PyResult<()> {
        let mut done = Vec::new();
        // Of a queue that is closing this only takes out what is there, or tells that there is none.
        if self.queue.collect(0, usize::MAX, true, &mut done).is_ok() {
            for each in &mut done {
                let token = each.keep.take_token();
                each.keep.release(py);
                each.keep.set_token(token);
            }
            self.queue.give_back(done);
        }
        if closed {
            self.release_registered(py);
        }
        Ok(())
    }

    fn release_registered(&self, py: Python<'_>) {
        let taken = self.registered.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut keep) = taken {
            keep.release(py);
        }
    }

    /// The system does not let go: what it uses stays for ever.
    fn give_up(&self, py: Python<'_>) -> PyResult<()> {
        let [_, in_flight, _] = self.queue.counts().unwrap_or_default();
        self.queue.give_up();
        // The exports of registered buffers stay too: nobody can tell which are in use.
        let registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner).take();
        std::mem::forget(registered);
        errors::resource_warning(
            py,
            &format!("an IoQueue was closed with {in_flight} requests in flight, which leaks them"),
        );
        Ok(())
    }

    /// Visit the users' objects, and no buffer (I7).
    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let mut found = Ok(());
        if !self.0.is_there() {
            return found;
        }
        self.queue.try_keeps(|keep| {
            let token = keep.token();
            if found.is_ok() && !token.is_null() {
                // SAFETY: an owned reference of the request's; `Py` is a transparent pointer.
                let object = unsafe { &*std::ptr::from_ref(&token).cast::<Py<PyAny>>() };
                found = visit.call(object);
            }
        });
        found
    }

    /// Break cycles through the users' objects: each becomes None.
    pub(super) fn forget_users(&self) {
        if !self.0.is_there() {
            return;
        }
        armed::last(|py| {
            let mut old = Vec::new();
            self.queue.try_keeps(|keep| {
                if !keep.token().is_null() {
                    old.push(keep.take_token());
                    keep.set_token(py.None().into_ptr());
                }
            });
            for token in old {
                // SAFETY: owned references, replaced above; no lock is held now (I6).
                unsafe { ffi::Py_XDECREF(token) };
            }
        });
    }

    fn let_die(&self, py: Python<'_>) {
        if !self.queue.same_process() {
            // The parent's: its exports stay what they are.
            if let Ok(mut registered) = self.registered.try_lock() {
                std::mem::forget(registered.take());
            }
            return;
        }
        let open = self.queue.is_closed().is_ok_and(|closed| !closed);
        if open {
            errors::resource_warning(
                py,
                "unclosed IoQueue: use `with uring_rs.IoQueue(...)`, or close()",
            );
        }
        if let Err(error) = self.close_within(py, Some(LAST_PATIENCE_NS)) {
            error.write_unraisable(py, None);
            self.queue.give_up();
        }
        let mut done: Vec<crate::bulk::queue::Done<Kept>> = Vec::new();
        while self.queue.collect(0, usize::MAX, true, &mut done).is_ok() {
            done.drain(..).for_each(|mut each| each.keep.release(py));
        }
    }
}

impl Drop for PyQueue {
    fn drop(&mut self) {
        arm_thread();
        if !self.0.is_there() {
            return;
        }
        // Destroyed by the interpreter, so it is attached; perhaps while an exception is on its way.
        armed::last(|py| {
            let pending = errors::Pending::save(py);
            self.let_die(py);
            pending.restore();
        });
    }
}
