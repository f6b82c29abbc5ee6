//! `IoQueue`: the class. Its engine is `crate::bulk::queue`.

mod arguments;
mod close;
pub(crate) mod completion;

use std::ops::Deref;

use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyList;
use pyo3::PyTraverseError;

use crate::bulk::queue::{Done, FileError, Options, Queue, QueueError};
use crate::py::convert::{file_number, patience};
use crate::py::jobs::{host, way, NAP_NS};
use crate::py::keep::Keep;
use crate::py::kernel::AnyKernel;
use crate::py::made::Made;
use crate::py::sim::PySimKernel;
use crate::py::stage::MUCH;
use crate::py::{errors, memory};
use crate::ring::error::RingError;
use crate::sys::ending::arm_thread;

use arguments::{exports, offset_of, operation};
use completion::{empty_list, PyIoCompletion};

/// What each request keeps alive. Boxed: exports must not move (I1). Never dropped without being
/// released: what is not released leaks (I2).
type Kept = Box<Keep>;

/// What the books of a queue take for each request and each file, at most.
const BYTES_OF_A_REQUEST: usize = 512;
const BYTES_OF_A_FILE: usize = 64;

/// The compiled half of `uring_rs.IoQueue`.
#[pyclass(name = "_IoQueue", module = "uring_rs._uring", frozen, subclass, weakref)]
pub(crate) struct PyQueue(Made<Inner>);

/// What an `IoQueue` is made of.
pub(crate) struct Inner {
    queue: Queue<AnyKernel, Kept>,
    /// Exports of the registered buffers, taken by whoever closes the queue.
    registered: std::sync::Mutex<Option<Kept>>,
    on_linux: bool,
}

impl Deref for PyQueue {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// The exception for what the engine said.
#[cold]
fn raised(py: Python<'_>, error: &QueueError) -> PyErr {
    match error {
        QueueError::Ring(RingError::Closed) => {
            errors::named(py, "RingClosed", None, "the queue is closed")
        }
        QueueError::Ring(RingError::Forked) => errors::named(
            py,
            "ForkedRing",
            None,
            "this queue belongs to the parent process: make one of your own after fork",
        ),
        QueueError::Ring(error) => errors::ring_error(py, error),
        QueueError::Full { depth } => errors::named(
            py,
            "SubmissionQueueFull",
            Some(crate::sys::Errno::EBUSY.0),
            &format!("{depth} requests are unfinished, as many as the queue takes: wait for some"),
        ),
        QueueError::File(FileError::Unknown) => {
            PyKeyError::new_err("the file is not registered with this queue")
        }
        QueueError::File(FileError::Twice) => {
            PyValueError::new_err("a file of this descriptor is registered already")
        }
        QueueError::File(FileError::InUse(count)) => PyValueError::new_err(format!(
            "{count} requests on this file are prepared or in flight: wait for them, or cancel them"
        )),
        QueueError::File(FileError::Full(count)) => PyValueError::new_err(format!(
            "{count} files are registered, as many as the queue was made for (files=...)"
        )),
    }
}

#[pymethods]
impl PyQueue {
    #[new]
    #[pyo3(signature = (depth, files, buffers, way, kernel = None))]
    fn new(
        py: Python<'_>,
        depth: i64,
        files: i64,
        buffers: &Bound<'_, PyAny>,
        way: &str,
        kernel: Option<&Bound<'_, PySimKernel>>,
    ) -> PyResult<Self> {
        arm_thread();
        let within = |name: &str, value: i64, most: i64| match value {
            1.. if value <= most => Ok(value as u32),
            _ => Err(PyValueError::new_err(format!("{name} must be 1 to {most}, not {value}"))),
        };
        let options = Options {
            depth: within("depth", depth, 32_768)?,
            files: within("files", files, 32_768)?,
            way: self::way(way)?,
        };
        memory::afford(options.depth, BYTES_OF_A_REQUEST)?;
        memory::afford(options.files, BYTES_OF_A_FILE)?;
        let host = host(kernel);
        let on_linux = matches!(host, AnyKernel::Linux(_));
        let mut keep = Kept::default();
        let made = exports(&mut keep, buffers).and_then(|parts| {
            py.detach(|| Queue::new(host, options, &parts)).map_err(|error| raised(py, &error))
        });
        match made {
            Ok(queue) => {
                let told = queue.refusal().map(|refusal| crate::py::jobs::tell(py, refusal));
                let registered = std::sync::Mutex::new(Some(keep));
                let queue = PyQueue(Made::new(Inner { queue, registered, on_linux }));
                if let Err(error) = told.transpose() {
                    queue.close_within(py, None)?;
                    return Err(error);
                }
                Ok(queue)
            }
            Err(error) => {
                keep.release(py);
                Err(error)
            }
        }
    }

    /// Register a file, to prepare requests on it: an int, or an object with fileno().
    ///
    /// The queue has its own hold on the file from then on: the descriptor may be closed, and goes
    /// on naming the file here until it is deregistered.
    ///
    /// Raises:
    ///     ValueError: a file of that descriptor is registered, or as many are as there is room for.
    ///     OSError: the descriptor is not open.
    #[pyo3(signature = (file, /))]
    fn register(&self, py: Python<'_>, file: &Bound<'_, PyAny>) -> PyResult<()> {
        arm_thread();
        let fd = file_number(file)?;
        py.detach(|| self.queue.register(fd)).map_err(|error| raised(py, &error))
    }

    /// Let go of a file.
    ///
    /// Raises:
    ///     ValueError: requests on it are prepared or in flight.
    ///     KeyError: it is not registered.
    #[pyo3(signature = (file, /))]
    fn deregister(&self, py: Python<'_>, file: &Bound<'_, PyAny>) -> PyResult<()> {
        arm_thread();
        let fd = file_number(file)?;
        py.detach(|| self.queue.deregister(fd)).map_err(|error| raised(py, &error))
    }

    /// Prepare a request; commit() hands it over.
    ///
    /// Args:
    ///     op: an IoOp.
    ///     file: a registered file: the object, or its descriptor.
    ///     offset: where in the file, in bytes, 0 to 2**63 - 1. Files without positions (pipes) do
    ///         not look at it.
    ///     buffer: READ: writable buffer; WRITE: bytes-like object; for both also a list or tuple of
    ///         up to 1024 of them. DISCARD: the length in bytes, an int. SYNC and DATASYNC: none.
    ///     user: any object; its completion brings it back.
    ///
    /// Returns: the request's handle, for cancel(), never 0.
    ///
    /// Raises:
    ///     SubmissionQueueFull: `depth` requests are prepared, in flight, or not collected yet.
    ///     KeyError: the file is not registered.
    ///     ValueError, TypeError, BufferError: an argument that the operation does not take.
    ///
    /// Memory: the buffers are locked until the completion is collected, or the queue is closed.
    #[pyo3(signature = (op, file, offset = None, buffer = None, user = None))]
    fn prepare(
        &self,
        py: Python<'_>,
        op: &Bound<'_, PyAny>,
        file: &Bound<'_, PyAny>,
        offset: Option<&Bound<'_, PyAny>>,
        buffer: Option<&Bound<'_, PyAny>>,
        user: Option<Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        arm_thread();
        let code: u8 = op.extract().map_err(|_| PyValueError::new_err("op must be an IoOp"))?;
        let fd = file_number(file)?;
        let offset = offset.map_or(Ok(0), offset_of)?;
        let mut keep = Kept::default();
        let made = operation(&mut keep, code, offset, buffer);
        let (op, most) = match made {
            Ok(made) => made,
            Err(error) => {
                keep.release(py);
                return Err(error);
            }
        };
        keep.set_token(user.map_or_else(|| py.None(), Bound::unbind).into_ptr());
        // SAFETY: just made from the exports that `keep` holds until it is released (I2).
        let prepared = unsafe { self.queue.prepare(fd, op, offset, most, keep) };
        prepared.map_err(|(error, mut keep)| {
            keep.release(py);
            raised(py, &error)
        })
    }

    /// Hand over all that is prepared, by whatever thread.
    ///
    /// Returns: how many requests were taken: never more than the system took. The rest stays
    /// prepared, and the next commit() goes on with it.
    ///
    /// Raises:
    ///     OSError: why none was taken, with the exact errno; all stays prepared.
    fn commit(&self, py: Python<'_>) -> PyResult<u32> {
        arm_thread();
        let small = self.queue.prepared_bytes() <= MUCH;
        let taken = if small { self.queue.try_commit() } else { None };
        let taken = match taken {
            Some(taken) => taken,
            // There is much to copy, or another thread is at it.
            None => py.detach(|| self.queue.commit()),
        };
        taken.map_err(|error| raised(py, &error))
    }

    /// Wait until `min` requests have ended, and collect up to `max` that have.
    ///
    /// Args:
    ///     min: how many to wait for; 0 does not wait.
    ///     max: how many to collect at most (None: all there are).
    ///     timeout: seconds to wait at most (None: as long as it takes).
    ///
    /// Returns: a list, whose `interrupted` tells whether wakeup() ended the wait: then it holds what
    ///     there was, as it does when the time was up. What is not collected stays for the next wait.
    ///     On a closed queue: what is left.
    ///
    /// Raises:
    ///     RingClosed: the queue is closed, or was meanwhile, and nothing is left.
    #[pyo3(signature = (min = 1, max = None, timeout = None))]
    fn wait<'py>(
        &self,
        py: Python<'py>,
        min: usize,
        max: Option<usize>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        arm_thread();
        let depth = self.queue.depth() as usize;
        let max = max.unwrap_or(usize::MAX);
        if max == 0 || min > max || min > depth {
            return Err(PyValueError::new_err(format!(
                "min must be 0 to max and at most depth ({depth}), and max 1 or more"
            )));
        }
        let deadline = match patience(timeout)? {
            Some(ns) if min > 0 => Some(self.queue.now_ns().saturating_add(ns)),
            _ => None,
        };
        let mut last = min == 0;
        let mut done = Vec::new();
        loop {
            let look = self.queue.collect(min, max, last, &mut done);
            let look = look.map_err(|error| raised(py, &error))?;
            if look.poke {
                py.detach(|| self.queue.poke());
            }
            if look.enough || look.woken {
                return self.hand_out(py, done, look.woken);
            }
            let left = deadline.map(|at| at.saturating_sub(self.queue.now_ns()));
            last = left == Some(0);
            if !last {
                let nap = self.nap(left);
                let slept = py.detach(|| self.queue.sleep(min, nap));
                py.check_signals()?;
                slept.map_err(|error| raised(py, &error))?;
            }
        }
    }

    /// End the wait() that is under way, or the next one, which then returns at once.
    ///
    /// From any thread and any signal handler, at any time. It is told once, to one wait; called
    /// again before that, it is the same wake-up still.
    fn wakeup(&self, py: Python<'_>) -> PyResult<()> {
        self.queue.wake().map_err(|error| raised(py, &error))
    }

    /// The eventfd behind wakeup(). Adding to its counter (os.eventfd_write(fd, 1)) wakes the queue
    /// just so, from another process as well that was given it (pass_fds, SCM_RIGHTS, fork), and
    /// from C. It is the queue's, until that is closed: do not read from it, nor close it.
    #[getter]
    fn wakeup_fd(&self, py: Python<'_>) -> PyResult<i32> {
        self.queue.bell_fd().map_err(|error| raised(py, &error))
    }

    /// Stop a request. One that was not committed ends at once; one in flight as soon as it can be
    /// stopped, which a disk transfer cannot. Either way its completion comes, with ECANCELED, or
    /// with what came of it.
    ///
    /// Returns: whether it was stopped, or asked to stop: False if it has ended, or is about to.
    #[pyo3(signature = (request, /))]
    fn cancel(&self, py: Python<'_>, request: u64) -> PyResult<bool> {
        py.detach(|| self.queue.cancel(request)).map_err(|error| raised(py, &error))
    }

    /// Stop all requests. Each completion still comes.
    ///
    /// Returns: how many had not ended.
    fn cancel_all(&self, py: Python<'_>) -> PyResult<u32> {
        py.detach(|| self.queue.cancel_all()).map_err(|error| raised(py, &error))
    }

    /// Requests that are prepared, in flight, or not collected yet: as many as there can be.
    #[getter]
    fn depth(&self) -> u32 {
        self.queue.depth()
    }

    /// What carries requests out: "io_uring" or "threads".
    #[getter]
    fn backend(&self) -> &'static str {
        if self.queue.on_ring() {
            "io_uring"
        } else {
            "threads"
        }
    }

    /// Buffers that the kernel has registered: 0 where it does not want to, or there is no ring.
    #[getter]
    fn registered(&self) -> usize {
        self.queue.buffers()
    }

    /// Whether files are registered in the ring's own table.
    #[getter]
    fn fixed_files(&self) -> bool {
        self.queue.uses_table()
    }

    /// Requests that the next commit() hands over.
    #[getter]
    fn prepared(&self, py: Python<'_>) -> PyResult<u32> {
        Ok(self.queue.counts().map_err(|error| raised(py, &error))?[0])
    }

    /// Requests that were handed over and have not ended, as far as it was looked.
    #[getter]
    fn in_flight(&self, py: Python<'_>) -> PyResult<u32> {
        Ok(self.queue.counts().map_err(|error| raised(py, &error))?[1])
    }

    /// Whether the queue is closed.
    #[getter]
    fn closed(&self, py: Python<'_>) -> PyResult<bool> {
        self.queue.is_closed().map_err(|error| raised(py, &error))
    }

    /// Close the queue: refuse new work, stop all requests, wait until the system is done with every
    /// buffer, release them, let go of the files. What was not collected can still be: wait() then
    /// returns it and never sleeps.
    ///
    /// Args:
    ///     timeout: seconds to wait for requests that cannot be stopped (disk transfers under way).
    ///         When it has passed, their memory is leaked rather than freed, with a
    ///         ResourceWarning, and they have no completion. None waits as long as it takes; Ctrl-C
    ///         works, and leaves the queue closing: close() again goes on.
    ///
    /// Closing a closed queue does nothing. In a forked child it touches nothing.
    #[pyo3(signature = (timeout = None))]
    fn close(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        arm_thread();
        self.close_within(py, patience(timeout)?)
    }

    fn __enter__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let py = slf.py();
        if slf.get().closed(py)? {
            return Err(raised(py, &QueueError::Ring(RingError::Closed)));
        }
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
        self.close_within(py, None)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.visit(&visit)
    }

    fn __clear__(&self) {
        self.forget_users();
    }
}

impl PyQueue {
    /// How long to sleep before looking for signals again: one may come between our last look and
    /// the kernel's sleep, which it then does not end. Simulated time does not pass by itself.
    fn nap(&self, left: Option<u64>) -> Option<u64> {
        if self.on_linux || !self.queue.on_ring() {
            Some(left.map_or(NAP_NS, |left| left.min(NAP_NS)))
        } else {
            left
        }
    }

    /// The completions of what has ended. If they cannot be made, nothing is lost.
    fn hand_out<'py>(
        &self,
        py: Python<'py>,
        mut done: Vec<Done<Kept>>,
        woken: bool,
    ) -> PyResult<Bound<'py, PyList>> {
        match completions(py, &done, woken) {
            Ok(list) => {
                done.iter_mut().for_each(|each| each.keep.release(py));
                Ok(list)
            }
            Err(error) => {
                self.queue.give_back(done);
                if woken {
                    // To be told again, since nobody has been.
                    let _ = self.queue.wake();
                }
                Err(error)
            }
        }
    }
}

fn completions<'py>(
    py: Python<'py>,
    done: &[Done<Kept>],
    woken: bool,
) -> PyResult<Bound<'py, PyList>> {
    let list = empty_list(py, woken)?;
    for each in done {
        // SAFETY: the owned reference that the request keeps, or null (I2).
        let user = unsafe { Bound::from_borrowed_ptr_or_opt(py, each.keep.token()) };
        let user = user.map_or_else(|| py.None(), Bound::unbind);
        let (request, res) = (each.handle, each.result);
        list.append(Bound::new(py, PyIoCompletion { request, user, res })?)?;
    }
    Ok(list)
}
