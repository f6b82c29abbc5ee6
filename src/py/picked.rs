//! What a completion shows of the buffers that the kernel chose for it: `PooledBuffer`.
//!
//! A part of a buffer is held by the completion until somebody looks, and from then on by a view
//! that the completion holds too. Whichever is dropped last gives it back: nothing is lost with a
//! completion that nobody reads (I10).

use std::ffi::c_int;
use std::sync::{Mutex, OnceLock, PoisonError};

use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;

use crate::ops::received;
use crate::py::lent::{By, Kept, Lent};
use crate::py::results::Message;
use crate::ring::bufring::book::Kind;
use crate::ring::bufring::{How, Part, Use};

enum Slot {
    /// Nobody has looked at it.
    Part(Part),
    /// Somebody has.
    View(Py<PyPooledBuffer>),
}

/// The buffers of one completion.
pub(crate) struct Picked {
    slots: Mutex<Vec<Slot>>,
    /// What came before the payload, or into memory of ours.
    pub(crate) message: Option<Message>,
}

impl Picked {
    /// What a completion brought from the pool of its request. None if nothing did: what it named
    /// all the same (an error may come with a buffer) goes back.
    pub(crate) fn of(pool: &Use, flags: u32, res: i32) -> Option<Self> {
        let mut parts = pool.pool().take(flags, res, pool.how() == How::Bundle);
        if res <= 0 || parts.is_empty() {
            return None;
        }
        let message = match (pool.how(), parts.first_mut()) {
            (How::Message { name, control }, Some(part)) => {
                Some(take_apart(part, name as usize, control as usize))
            }
            _ => None,
        };
        let slots = Mutex::new(parts.into_iter().map(Slot::Part).collect());
        Some(Picked { slots, message })
    }

    // Held for moments only: nothing of Python's is called or made meanwhile (I6).
    fn slots(&self) -> std::sync::MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, py: Python<'_>, at: usize) -> Option<Py<PyAny>> {
        match self.slots().get(at) {
            Some(Slot::View(view)) => Some(view.clone_ref(py).into_any()),
            _ => None,
        }
    }

    /// Views of them, always the same ones.
    pub(crate) fn buffers(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        let count = self.slots().len();
        let mut found = Vec::with_capacity(count);
        for at in 0..count {
            if let Some(view) = self.known(py, at) {
                found.push(view);
                continue;
            }
            // Made before it has anything to show: making it may fail, or run the collector.
            let view = Py::new(py, PyPooledBuffer::default())?;
            let other = {
                let mut slots = self.slots();
                match &mut slots[at] {
                    Slot::View(other) => Some(other.clone_ref(py)),
                    slot => {
                        let made = Slot::View(view.clone_ref(py));
                        if let Slot::Part(part) = std::mem::replace(slot, made) {
                            let _ = view.get().part.set(part);
                        }
                        None
                    }
                }
            };
            found.push(other.unwrap_or(view).into_any());
        }
        Ok(found)
    }
}

/// Take what a multishot recvmsg wrote before the payload apart; the part is the payload then.
fn take_apart(part: &mut Part, name: usize, control: usize) -> Message {
    // SAFETY: the part's own bytes; they are the caller's since the completion was seen (I5).
    let got = unsafe { received::take_apart(part.address(), part.len(), name, control) };
    part.narrow(got.payload, part.len());
    Message::new(got.sender, got.ancillary, got.flags)
}

/// Memory of a pool that is yours: what was received into it, or room to fill.
///
/// Read and write it through the buffer protocol (`bytes(buffer)`, `memoryview(buffer)`), without
/// copying. It goes back to its pool by `release()`, at the end of its `with`, or when it is
/// collected; as long as a memoryview of it exists it stays yours. It may be used and given back
/// in any thread, and outlives the ring.
#[pyclass(name = "PooledBuffer", module = "uring_rs", frozen)]
#[derive(Default)]
pub(crate) struct PyPooledBuffer {
    part: OnceLock<Part>,
    lent: Lent,
}

impl PyPooledBuffer {
    /// Room to fill.
    pub(crate) fn new(part: Part) -> Self {
        PyPooledBuffer { part: OnceLock::from(part), lent: Lent::default() }
    }

    /// The part, while it is the caller's.
    pub(crate) fn check(&self) -> PyResult<&Part> {
        self.part
            .get()
            .filter(|part| !part.returned() && !self.lent.is_back())
            .ok_or_else(given_back)
    }

    /// From here on nobody gets a view of it. False if that was so already.
    fn end(&self) -> PyResult<bool> {
        match self.lent.end() {
            Ok(()) => Ok(true),
            Err(Kept::Already) => Ok(false),
            Err(_) => Err(PyBufferError::new_err("a memoryview of this buffer exists")),
        }
    }
}

#[cold]
fn given_back() -> PyErr {
    PyValueError::new_err("this buffer was given back to its pool")
}

#[pymethods]
impl PyPooledBuffer {
    /// Its number in the pool. Several buffers have the same where one is used up bit by bit.
    #[getter]
    fn id(&self) -> u16 {
        self.part.get().map_or(0, Part::id)
    }

    /// Whether it was given back.
    #[getter]
    fn released(&self) -> bool {
        self.check().is_err()
    }

    /// Bytes it has: those received.
    fn __len__(&self) -> usize {
        self.part.get().map_or(0, Part::len)
    }

    /// Give it back to the pool. Once more does nothing.
    ///
    /// Raises:
    ///     BufferError: a memoryview still uses it.
    fn release(&self) -> PyResult<()> {
        let Ok(part) = self.check() else { return Ok(()) };
        if self.end()? {
            part.give_back();
        }
        Ok(())
    }

    /// Give it to the kernel to send, filled: a buffer that was taken from a pool for sending.
    ///
    /// Args:
    ///     nbytes: only so many bytes of it (default: all).
    ///
    /// Raises:
    ///     BufferError: a memoryview still uses it.
    ///     ValueError: it is not of a pool for sending, was given back, or the pool is closed.
    #[pyo3(signature = (nbytes = None))]
    fn queue(&self, nbytes: Option<i64>) -> PyResult<()> {
        let part = self.check()?;
        if part.pool().kind() != Kind::Sending {
            return Err(PyValueError::new_err("this buffer is not of a pool for sending"));
        }
        let len = nbytes.unwrap_or(part.len() as i64);
        if len < 1 || len > part.len() as i64 {
            return Err(PyValueError::new_err(format!(
                "nbytes must be 1 to {}, not {len}",
                part.len()
            )));
        }
        if !self.end()? {
            return Err(given_back());
        }
        if !part.pool().queue(part, len as u32) {
            self.lent.resume();
            return Err(PyValueError::new_err("the pool of this buffer is closed"));
        }
        Ok(())
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().check()?;
        Ok(slf)
    }

    #[pyo3(signature = (exc_type = None, exc = None, tb = None, /))]
    fn __exit__(
        &self,
        exc_type: Option<&Bound<'_, PyAny>>,
        exc: Option<&Bound<'_, PyAny>>,
        tb: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let _ = (exc_type, exc, tb);
        self.release()
    }

    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let part = slf.get().check()?;
        if !slf.get().lent.enter(By::View) {
            return Err(given_back());
        }
        let len = part.len() as ffi::Py_ssize_t;
        // SAFETY: `view` is the caller's; the memory stays as long as `slf`, which it holds (I2).
        let failed = unsafe {
            let start = part.address().cast();
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, len, 0, flags)
        };
        if failed != 0 {
            slf.get().lent.leave(By::View);
            return Err(PyErr::fetch(slf.py()));
        }
        Ok(())
    }

    unsafe fn __releasebuffer__(&self, view: *mut ffi::Py_buffer) {
        let _ = view;
        self.lent.leave(By::View);
    }

    fn __repr__(&self) -> String {
        let state = if self.released() { " (given back)" } else { "" };
        format!("<PooledBuffer {} of {} bytes{state}>", self.id(), self.__len__())
    }
}
