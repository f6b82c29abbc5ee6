//! `PollSet`: what `uring_rs.selectors.UringSelector` is made of. The rules of `selectors`, and the
//! keys, are in Python; which descriptors are ready is found out here.
//!
//! The set is behind a lock that is held for moments, with the interpreter, and never while calling
//! Python or sleeping (I6): so it may be used from any thread, also while one waits.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyOverflowError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::poll::{self, Begin, Next};
use crate::py::kernel::AnyKernel;
use crate::py::ring::entry_count;
use crate::py::sim::PySimKernel;
use crate::py::{errors, limited};
use crate::ring::error::RingError;
use crate::ring::kernel::{Kernel, Linux, Readiness};
use crate::ring::wait::EnterPlan;
use crate::sys::ending::arm_thread;
use crate::sys::os::pollfd;
use crate::sys::{syscall, Errno};

/// How long to sleep where the kernel is short of something.
const NAP_NS: u64 = 1_000_000;
/// How long a second thread that selects sleeps before it looks what has been registered.
const BESIDE_NS: u64 = 50_000_000;

type Set = poll::PollSet<AnyKernel>;

/// The descriptors that a selector watches, by poll requests on a ring of its own.
#[pyclass(name = "PollSet", module = "uring_rs._uring", frozen)]
pub(crate) struct PyPollSet {
    set: Mutex<Set>,
    kernel: AnyKernel,
    /// Why the ring can be used no more.
    broken: Mutex<Option<String>>,
}

fn os_error(errno: Errno) -> PyErr {
    PyOSError::new_err((errno.0, errno.message()))
}

#[cold]
fn closed() -> PyErr {
    PyValueError::new_err("I/O operation on closed selector")
}

/// Nanoseconds of a timeout as `selectors` has it: None waits for ever, what is not positive not at
/// all.
fn nanoseconds(timeout: Option<f64>) -> PyResult<Option<u64>> {
    let Some(seconds) = timeout else { return Ok(None) };
    if seconds.is_nan() {
        return Err(PyValueError::new_err("Invalid value NaN (not a number)"));
    }
    let ns = (seconds * 1e9).ceil();
    if ns >= i64::MAX as f64 {
        return Err(PyOverflowError::new_err("timeout is too large"));
    }
    Ok(Some(if ns > 0.0 { ns as u64 } else { 0 }))
}

impl PyPollSet {
    fn hold(&self) -> MutexGuard<'_, Set> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The exception for what went wrong with the ring, which is no use any more.
    #[cold]
    fn broken_by(&self, py: Python<'_>, error: &RingError) -> PyErr {
        if matches!(error, RingError::Closed) {
            return closed();
        }
        *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        errors::ring_error(py, error)
    }

    /// Find out what is ready; wait for it, if need be, for so long.
    fn find(&self, py: Python<'_>, timeout_ns: Option<u64>) -> Result<Vec<(i32, u8)>, Failure> {
        arm_thread();
        let mut set = self.hold();
        let mut deadline = None;
        let mut may_wait = timeout_ns != Some(0);
        let mut turn = None;
        loop {
            // While the set was not held another thread may have begun to select, or a signal's
            // handler have done so: then this call begins anew.
            if !turn.is_some_and(|turn| set.is_turn(turn)) {
                match set.begin()? {
                    Begin::Ours(new) => turn = Some(new),
                    Begin::Beside => {
                        drop(set);
                        let left = self.left(deadline.unwrap_or(timeout_ns), deadline.is_some());
                        return self.find_beside(py, left);
                    }
                }
            }
            let next = set.prepare(may_wait)?;
            if matches!(next, Next::Done) {
                return Ok(set.take_ready());
            }
            let longest = set.longest_wait_ns();
            drop(set);
            let now = self.kernel.now_ns();
            let until =
                *deadline.get_or_insert_with(|| timeout_ns.map(|ns| now.saturating_add(ns)));
            let left = until.map(|at| at.saturating_sub(now));
            match next {
                Next::Wait(plan) => self.wait(py, &plan, left, longest)?,
                _ => {
                    let nap = left.map_or(NAP_NS, |left| left.min(NAP_NS));
                    py.detach(|| std::thread::sleep(Duration::from_nanos(nap)));
                }
            }
            py.check_signals().map_err(Failure::Python)?;
            may_wait = until.is_none_or(|at| self.kernel.now_ns() < at);
            set = self.hold();
        }
    }

    /// What is left of a time that may be a deadline already.
    fn left(&self, time: Option<u64>, deadline: bool) -> Option<u64> {
        let passed = if deadline { self.kernel.now_ns() } else { 0 };
        time.map(|ns| ns.saturating_sub(passed))
    }

    /// Sleep in the kernel.
    fn wait(
        &self,
        py: Python<'_>,
        plan: &EnterPlan,
        left: Option<u64>,
        longest: u64,
    ) -> Result<(), Failure> {
        let simulated = !matches!(self.kernel, AnyKernel::Linux(_));
        let nap = if simulated { left } else { Some(left.map_or(longest, |ns| ns.min(longest))) };
        let outcome = py.detach(|| plan.run(&self.kernel, nap, 0));
        Ok(self.hold().resume(outcome)?)
    }

    /// For a thread that selects while another one is in the kernel with the ring: as
    /// `selectors.PollSelector` would.
    #[cold]
    fn find_beside(
        &self,
        py: Python<'_>,
        timeout_ns: Option<u64>,
    ) -> Result<Vec<(i32, u8)>, Failure> {
        let deadline = timeout_ns.map(|ns| syscall::monotonic_ns().saturating_add(ns));
        loop {
            let mut fds = self.hold().everything();
            let left = deadline.map(|at| at.saturating_sub(syscall::monotonic_ns()));
            let nap = left.map_or(BESIDE_NS, |left| left.min(BESIDE_NS));
            let asked = py.detach(|| self.kernel.poll(&mut fds, Some(nap)));
            py.check_signals().map_err(Failure::Python)?;
            match asked {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(Failure::Python(os_error(errno))),
            }
            let ready = self.ready_of(&fds);
            if !ready.is_empty() || left == Some(0) {
                return Ok(ready);
            }
        }
    }

    fn ready_of(&self, fds: &[pollfd]) -> Vec<(i32, u8)> {
        self.hold().found(fds)
    }
}

/// What ends a call of `select` early.
enum Failure {
    Ring(RingError),
    Python(PyErr),
}

impl From<RingError> for Failure {
    fn from(error: RingError) -> Self {
        Failure::Ring(error)
    }
}

#[pymethods]
impl PyPollSet {
    #[new]
    #[pyo3(signature = (entries, kernel = None))]
    fn new(
        py: Python<'_>,
        entries: i64,
        kernel: Option<&Bound<'_, PySimKernel>>,
    ) -> PyResult<Self> {
        let entries = entry_count(entries)?;
        let kernel =
            kernel.map_or(AnyKernel::Linux(Linux), |sim| AnyKernel::Sim(sim.get().kernel()));
        let made = py.detach(|| Set::new(kernel.clone(), entries));
        let set = made.map_err(|error| errors::ring_error(py, &error))?;
        Ok(PyPollSet { set: Mutex::new(set), kernel, broken: Mutex::new(None) })
    }

    /// Watch `fd` for `events` (EVENT_READ, EVENT_WRITE). EBADF and EPERM as epoll_ctl(2) says.
    #[pyo3(signature = (fd, events, /))]
    fn add(&self, fd: i32, events: u8) -> PyResult<()> {
        let mut set = self.hold();
        if set.is_closed() {
            return Err(closed());
        }
        let added = set.add(fd, events);
        drop(set);
        added.map_err(os_error)
    }

    /// Watch `fd` for other events.
    #[pyo3(signature = (fd, events, /))]
    fn change(&self, fd: i32, events: u8) -> PyResult<()> {
        let changed = self.hold().change(fd, events);
        changed.map_err(os_error)
    }

    /// Watch `fd` no more.
    #[pyo3(signature = (fd, /))]
    fn remove(&self, fd: i32) {
        // Where the ring fails, the next `poll` says so; the descriptor is watched no more.
        let _ = self.hold().remove(fd);
    }

    /// The list of (key, events) of what is ready, after waiting for it for at most `timeout`
    /// seconds. `keys` has the keys, by descriptor.
    #[pyo3(signature = (timeout, keys, /))]
    fn poll<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<f64>,
        keys: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyList>> {
        let timeout_ns = nanoseconds(timeout)?;
        let ready = self.find(py, timeout_ns).map_err(|failure| match failure {
            Failure::Ring(error) => self.broken_by(py, &error),
            Failure::Python(error) => error,
        })?;
        let list = list_of(py, &ready, keys);
        self.hold().give_back(ready);
        list
    }

    /// Let go of the ring and all descriptors. A thread that waits is woken and gets ValueError.
    fn close(&self) {
        self.hold().close();
    }

    /// Why the ring can be used no more; None while it can.
    #[getter]
    fn broken(&self) -> Option<String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// (system calls that entered the kernel, rings made, places of the completion queue).
    #[getter]
    fn counts(&self) -> (u64, u32, u32) {
        self.hold().counts()
    }
}

/// A list of (key, events).
fn list_of<'py>(
    py: Python<'py>,
    ready: &[(i32, u8)],
    keys: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyList>> {
    // SAFETY: a new list of empty places, which the interpreter's own code takes for such; each is
    // filled below, or cut off at the end. Attached, and no lock is held (I6).
    unsafe {
        let list = Bound::from_owned_ptr_or_err(py, ffi::PyList_New(ready.len() as isize))?;
        let mut count = 0;
        for &(fd, events) in ready {
            let pair = pair_of(py, fd, events, keys)?;
            if !pair.is_null() {
                limited::PyList_SET_ITEM(list.as_ptr(), count, pair);
                count += 1;
            }
        }
        let list = list.cast_into_unchecked::<PyList>();
        if count < ready.len() as isize {
            list.del_slice(count as usize, ready.len())?;
        }
        Ok(list)
    }
}

/// A new (key, events); null for a descriptor that is registered no more.
///
/// # Safety
/// Attached to the interpreter, without a lock (I6).
#[inline(always)]
unsafe fn pair_of(
    py: Python<'_>,
    fd: i32,
    events: u8,
    keys: &Bound<'_, PyDict>,
) -> PyResult<*mut ffi::PyObject> {
    let null = std::ptr::null_mut();
    // SAFETY: plain objects, made and given up here. A tuple is handed out when both places are
    // full.
    unsafe {
        let number = ffi::PyLong_FromLong(fd.into());
        if number.is_null() {
            return Err(PyErr::fetch(py));
        }
        let mut key = null;
        // A reference of our own: another thread may unregister the descriptor meanwhile.
        let found = ffi::compat::PyDict_GetItemRef(keys.as_ptr(), number, &mut key);
        ffi::Py_DECREF(number);
        match found {
            1 => {}
            0 => return Ok(null),
            _ => return Err(PyErr::fetch(py)),
        }
        let pair = ffi::PyTuple_New(2);
        let mask = ffi::PyLong_FromLong(events.into());
        if pair.is_null() || mask.is_null() {
            ffi::Py_DECREF(key);
            ffi::Py_XDECREF(pair);
            ffi::Py_XDECREF(mask);
            return Err(PyErr::fetch(py));
        }
        limited::PyTuple_SET_ITEM(pair, 0, key);
        limited::PyTuple_SET_ITEM(pair, 1, mask);
        Ok(pair)
    }
}
