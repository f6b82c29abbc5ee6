//! `stream`: an iterator of a file's chunks.

use std::ffi::c_int;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMemoryView};
use pyo3::PyTraverseError;

use crate::bulk::pump::Counts;
use crate::bulk::stream::{Chunk, Next, Settings, Stream, Tally};
use crate::py::jobs::ranges::{direct, source};
use crate::py::kernel::AnyKernel;
use crate::py::sim::PySimKernel;
use crate::py::{errors, jobs};
use crate::sys::ending::arm_thread;
use crate::sys::Errno;

const CHUNK_MOST: u32 = 1 << 30;
const DEPTH_MOST: u32 = 1024;

/// A chunk's memory, as long as a memoryview of it is there.
#[pyclass(name = "_Chunk", module = "uring_rs", frozen)]
pub(crate) struct PyChunk(Chunk);

#[pymethods]
impl PyChunk {
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let Chunk { memory, lead, len } = &slf.get().0;
        // SAFETY: `lead + len` bytes are within the piece (I5: an address only).
        let start = unsafe { memory.base().as_ptr().add(*lead) };
        // SAFETY: `view` is the caller's; the memory stays as long as `slf`, which it holds (I2).
        match unsafe {
            let len = *len as ffi::Py_ssize_t;
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start.cast(), len, 0, flags)
        } {
            0 => Ok(()),
            _ => Err(PyErr::fetch(slf.py())),
        }
    }
}

enum State {
    /// Between two chunks.
    Idle(Box<Stream<AnyKernel>>),
    /// A thread is in it.
    Busy,
    /// Read to its end, or closed.
    Over(Tally, Counts),
}

/// The chunks of a file, in order; made by `uring_rs.stream()`.
#[pyclass(name = "Stream", module = "uring_rs", frozen)]
pub(crate) struct PyStream {
    state: Mutex<State>,
    turn: Condvar,
    /// What was given, kept open by us.
    file: Py<PyAny>,
}

/// How long a thread waits for its turn before it looks for signals.
const TURN: Duration = Duration::from_millis(20);

impl PyStream {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if it did, the state is whole all the same.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Have the stream to this thread alone. None: it is over. No lock is held meanwhile (I6).
    fn take(&self, py: Python<'_>) -> PyResult<Option<Box<Stream<AnyKernel>>>> {
        arm_thread();
        loop {
            {
                let mut state = self.state();
                match std::mem::replace(&mut *state, State::Busy) {
                    State::Idle(stream) => return Ok(Some(stream)),
                    State::Over(tally, counts) => {
                        *state = State::Over(tally, counts);
                        return Ok(None);
                    }
                    State::Busy => {}
                }
            }
            py.detach(|| {
                let state = self.state();
                if matches!(*state, State::Busy) {
                    drop(self.turn.wait_timeout(state, TURN));
                }
            });
            py.check_signals()?;
        }
    }

    fn give_back(&self, state: State) {
        *self.state() = state;
        self.turn.notify_one();
    }

    /// End it: what is under way is waited for.
    fn finish(&self, py: Python<'_>, mut stream: Box<Stream<AnyKernel>>) -> PyResult<()> {
        let closed = jobs::close(py, stream.pump());
        let over = State::Over(stream.tally(), stream.pump().counts());
        py.detach(|| drop(stream));
        self.give_back(over);
        closed
    }

    fn error(&self, py: Python<'_>, offset: u64, errno: Errno) -> PyErr {
        let text = format!("{} (at offset {offset})", errno.message());
        PyOSError::new_err((errno.0, text, self.file.clone_ref(py)))
    }
}

#[pymethods]
impl PyStream {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyMemoryView>>> {
        let Some(mut stream) = self.take(py)? else { return Ok(None) };
        loop {
            match py.detach(|| stream.next_chunk()) {
                Next::Chunk(chunk) => {
                    let told = jobs::tell_refusal(py, stream.pump());
                    self.give_back(State::Idle(stream));
                    told?;
                    let chunk = Bound::new(py, PyChunk(chunk))?;
                    return PyMemoryView::from(chunk.as_any()).map(Some);
                }
                Next::Look => {
                    if let Err(error) = py.check_signals() {
                        self.give_back(State::Idle(stream));
                        return Err(error);
                    }
                }
                Next::End => return self.finish(py, stream).map(|()| None),
                Next::Error(offset, errno) => {
                    self.finish(py, stream)?;
                    return Err(self.error(py, offset, errno));
                }
                Next::Failed(error) => {
                    let error = errors::ring_error(py, &error);
                    self.finish(py, stream)?;
                    return Err(error);
                }
            }
        }
    }

    /// End it: nothing more is read, and memory that nobody looks at is given back. Chunks that were
    /// handed out stay.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.take(py)? {
            Some(stream) => self.finish(py, stream),
            None => Ok(()),
        }
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
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

    /// Read to its end, or closed.
    #[getter]
    fn closed(&self) -> bool {
        matches!(*self.state(), State::Over(..))
    }

    /// How it was done so far: requests by carrier and by way, and the bytes handed out.
    #[getter]
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (tally, counts) = match self.take(py)? {
            Some(mut stream) => {
                let found = (stream.tally(), stream.pump().counts());
                self.give_back(State::Idle(stream));
                found
            }
            None => match *self.state() {
                State::Over(tally, counts) => (tally, counts),
                _ => (Tally::default(), Counts::default()),
            },
        };
        let dict = jobs::counts(py, &counts)?;
        dict.set_item("direct", tally.direct)?;
        dict.set_item("buffered", tally.buffered)?;
        dict.set_item("bytes", tally.bytes)?;
        Ok(dict)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.file)
    }
}

fn within(what: &str, value: i64, most: u32) -> PyResult<u32> {
    let found = u32::try_from(value).ok().filter(|value| (1..=most).contains(value));
    found.ok_or_else(|| PyValueError::new_err(format!("{what} must be 1 to {most}, not {value}")))
}

/// Begin to read a file; see `uring_rs.stream`.
#[pyfunction]
#[pyo3(signature = (file, chunk, depth, direct_, offset, size, way, kernel))]
#[allow(clippy::too_many_arguments)]
pub(crate) fn _stream(
    py: Python<'_>,
    file: &Bound<'_, PyAny>,
    chunk: i64,
    depth: i64,
    direct_: &Bound<'_, PyAny>,
    offset: i64,
    size: Option<i64>,
    way: &str,
    kernel: Option<&Bound<'_, PySimKernel>>,
) -> PyResult<PyStream> {
    arm_thread();
    let unsigned = |what: &str, value: i64| {
        let found = u64::try_from(value);
        found.map_err(|_| PyValueError::new_err(format!("{what} must be 0 or more, not {value}")))
    };
    let settings = Settings {
        chunk: within("chunk", chunk, CHUNK_MOST)?,
        depth: within("depth", depth, DEPTH_MOST)?,
        direct: direct(direct_)?,
        way: jobs::way(way)?,
        offset: unsigned("offset", offset)?,
        size: size.map_or(Ok(u64::MAX), |size| unsigned("size", size))?,
    };
    let source = source(file)?;
    let host = jobs::host(kernel);
    let made = loop {
        match py.detach(|| Stream::new(host.clone(), source.clone(), settings)) {
            Err(Errno::EINTR) => py.check_signals()?,
            made => break made,
        }
    };
    let mut stream = made
        .map_err(|errno| PyOSError::new_err((errno.0, errno.message(), file.clone().unbind())))?;
    let insisted = stream.pump().insist();
    insisted.map_err(|error| errors::ring_error(py, &error))?;
    let state = Mutex::new(State::Idle(Box::new(stream)));
    Ok(PyStream { state, turn: Condvar::new(), file: file.clone().unbind() })
}
