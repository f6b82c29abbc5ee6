//! A turn of the engine: paths in, results out, the interpreter left alone in between.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyMemoryError, PyOSError};
use pyo3::ffi;
use pyo3::prelude::*;

use crate::bulk::pump::Counts;
use crate::bulk::read_many::{Contents, Done, Failure, ReadMany, Tally};
use crate::py::kernel::AnyKernel;
use crate::py::{errors, jobs};

use super::ticket::{Out, Target, Ticket};

/// Files handed over to Python at a time: enough that letting go of the interpreter costs nothing.
const BATCH: usize = 64;
/// Where it took long to get the interpreter back, more and more, up to this.
const BATCH_MOST: usize = 1024;
const LONG: Duration = Duration::from_millis(1);

/// A result that waits to be asked for.
pub(super) struct Item {
    pub(super) path: Py<PyAny>,
    pub(super) data: Result<Py<PyAny>, PyErr>,
    /// What it holds of the window.
    pub(super) held: u64,
}

/// What runs: taken out by one thread at a time.
pub(super) struct Turn {
    pub(super) engine: ReadMany<AnyKernel, Ticket>,
    /// Where paths come from.
    pub(super) source: Option<Py<PyAny>>,
    pub(super) out: Out,
    pub(super) pulled: usize,
    pub(super) batch: usize,
    /// What the source raised, to be told after what came before.
    pub(super) failure: Option<PyErr>,
}

/// What `stats` tells.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) tally: Tally,
    pub(super) counts: Counts,
    /// The most bytes held at once.
    pub(super) peak: u64,
}

impl Turn {
    pub(super) fn new(
        engine: ReadMany<AnyKernel, Ticket>,
        source: Option<Py<PyAny>>,
        out: Out,
    ) -> Box<Self> {
        Box::new(Turn { engine, source, out, pulled: 0, batch: BATCH, failure: None })
    }

    pub(super) fn seen(&mut self) -> Seen {
        let (_, peak) = self.engine.held();
        Seen { tally: self.engine.tally(), counts: self.engine.pump().counts(), peak }
    }

    pub(super) fn is_drained(&self) -> bool {
        self.source.is_none() && self.engine.is_idle()
    }

    pub(super) fn ended(&self) -> bool {
        self.is_drained() && self.failure.is_none()
    }

    pub(super) fn work(&mut self, py: Python<'_>) -> PyResult<()> {
        self.pull(py);
        self.engine.supply(|ticket, size| ticket.make_room(py, size));
        let (engine, batch) = (&mut self.engine, self.batch);
        let (ran, left) = py.detach(|| (engine.run(batch, jobs::NAP_NS), Instant::now()));
        // Others want the interpreter, too: come for it less often.
        self.batch = match left.elapsed() > LONG {
            true => (self.batch * 2).min(BATCH_MOST),
            false => (self.batch / 2).max(BATCH),
        };
        jobs::tell_refusal(py, self.engine.pump())?;
        ran.map_err(|error| errors::ring_error(py, &error))
    }

    /// Have as many paths there as a batch needs.
    fn pull(&mut self, py: Python<'_>) {
        for _ in 0..self.engine.wants(self.batch) {
            let Some(source) = &self.source else { break };
            let next = next_of(source.bind(py)).and_then(|next| {
                let Some(path) = next else { return Ok(None) };
                let target = self.out.target(py, self.pulled)?;
                Ticket::new(path, target).map(Some)
            });
            match next {
                Ok(Some(ticket)) => {
                    self.pulled += 1;
                    self.engine.push(ticket);
                }
                Ok(None) => self.no_more(),
                Err(error) => {
                    self.failure = Some(error);
                    self.no_more();
                }
            }
        }
    }

    fn no_more(&mut self) {
        self.source = None;
        self.engine.finish();
    }

    /// What is ready, as Python objects.
    pub(super) fn harvest(&mut self, py: Python<'_>) -> VecDeque<Item> {
        let mut items = VecDeque::new();
        while let Some(done) = self.engine.take() {
            items.push_back(self.item(py, done));
        }
        items
    }

    fn item(&mut self, py: Python<'_>, done: Done<Ticket>) -> Item {
        let Done { ticket, result } = done;
        let Ticket { path, target, fault, .. } = ticket;
        let (data, held) = match result {
            Ok(Contents::Own(block)) => {
                let (bytes, held) = (bytes(py, block.as_ptr(), block.len()), block.len() as u64);
                self.engine.recycle(block);
                (bytes, held)
            }
            Ok(Contents::Given(len)) => match target {
                Target::Bytes(object, place) if place.len == len => (Ok(object), len as u64),
                Target::Bytes(_object, place) => (bytes(py, place.addr, len), len as u64),
                Target::Out(slot) => (slot.filled(py, len).map(Bound::unbind), 0),
                Target::None => (bytes(py, core::ptr::null(), 0), 0),
            },
            Err(failure) => {
                let error = fault.map_or_else(|| os_error(py, failure, &path), |fault| *fault);
                (Err(error), 0)
            }
        };
        Item { path, data, held }
    }
}

/// The next of an iterator.
fn next_of<'py>(source: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = source.py();
    // SAFETY: an iterator; a new reference, or null at the end or with an error. It may run the
    // caller's code: no lock is held (I6).
    let next = unsafe { Bound::from_owned_ptr_or_opt(py, ffi::PyIter_Next(source.as_ptr())) };
    match next {
        Some(next) => Ok(Some(next)),
        None => PyErr::take(py).map_or(Ok(None), Err),
    }
}

fn bytes(py: Python<'_>, from: *const u8, len: usize) -> PyResult<Py<PyAny>> {
    // SAFETY: `len` bytes of ours are copied; a new object or null (I5).
    unsafe {
        let made = ffi::PyBytes_FromStringAndSize(from.cast(), len as isize);
        Ok(Bound::from_owned_ptr_or_err(py, made)?.unbind())
    }
}

/// The exception for a file that could not be read, of the class that its errno has.
fn os_error(py: Python<'_>, failure: Failure, path: &Py<PyAny>) -> PyErr {
    let errno = failure.errno();
    let text = match failure {
        Failure::NoMemory => return PyMemoryError::new_err(()),
        Failure::NotRegular => "not a regular file".into(),
        Failure::TooBig => "the file is larger than max_bytes".into(),
        Failure::NoRoom => "the file is larger than its buffer in out".into(),
        Failure::Sys(errno) => errno.message().to_string(),
    };
    let text: String = text;
    PyOSError::new_err((errno.0, text, path.clone_ref(py)))
}
