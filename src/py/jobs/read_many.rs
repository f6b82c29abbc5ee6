//! `ReadMany`, the iterator that `uring_rs.read_many` gives.
//!
//! What is ready lies in a queue, from which `__next__` takes without letting go of the
//! interpreter. When it is empty, whoever comes first takes the engine out, and with it runs a round:
//! paths are pulled from the caller's iterable, memory is made, the engine runs detached, results
//! become Python objects. Others wait for that. No lock is held meanwhile (I6).

mod ticket;
mod turn;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use pyo3::PyTraverseError;

use crate::bulk::pump::{Counts, Way};
use crate::bulk::read_many::{Limit, Options, ReadMany};
use crate::py::sim::PySimKernel;
use crate::py::{convert, errors, jobs};
use crate::ring::error::RingError;
use crate::ring::fork;
use crate::sys::ending::arm_thread;
use crate::sys::os::AT_FDCWD;
use crate::sys::syscall;
use ticket::Out;
use turn::{Item, Seen, Turn};

/// Bytes that are read ahead where no limit was given.
const WINDOW: u64 = 64 << 20;
const IN_FLIGHT_MOST: u32 = 4096;

#[derive(Default)]
struct Shared {
    ready: VecDeque<Item>,
    turn: Option<Box<Turn>>,
    /// The thread that has the turn.
    holder: usize,
    /// Nothing more comes.
    ended: bool,
    closed: bool,
    seen: Seen,
}

/// The iterator that `read_many` gives: `(path, data)` of one file after the other.
///
/// Several threads may share it; each result goes to one of them. `close()`, or the end of its `with`,
/// cancels what is under way.
#[pyclass(name = "ReadMany", module = "uring_rs", frozen)]
pub(crate) struct PyReadMany {
    shared: Mutex<Shared>,
    news: Condvar,
    /// Bytes handed out so far.
    handed: Arc<AtomicU64>,
    generation: u32,
    raises: bool,
}

/// What came of an attempt to get on.
enum Got {
    Item(Item),
    Turn(Box<Turn>),
    Others,
    End,
}

impl PyReadMany {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        arm_thread();
        // Nothing below panics while it holds the lock.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_process(&self, py: Python<'_>) -> PyResult<()> {
        match self.generation == fork::generation() {
            true => Ok(()),
            false => Err(errors::ring_error(py, &RingError::Forked)),
        }
    }

    fn get(&self) -> PyResult<Got> {
        let mut shared = self.lock();
        if let Some(item) = shared.ready.pop_front() {
            self.handed.fetch_add(item.held, Ordering::Release);
            return Ok(Got::Item(item));
        }
        if shared.ended || shared.closed {
            return Ok(Got::End);
        }
        let me = syscall::thread_id();
        match shared.turn.take() {
            Some(turn) => {
                shared.holder = me;
                Ok(Got::Turn(turn))
            }
            None if shared.holder == me => {
                Err(PyRuntimeError::new_err("read_many was called from its own iterable of paths"))
            }
            None => Ok(Got::Others),
        }
    }

    /// Wait, for a moment, while another thread has the turn.
    fn wait_for_others(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| {
            let shared = self.lock();
            if shared.turn.is_none() && shared.ready.is_empty() && !shared.ended {
                let nap = Duration::from_nanos(jobs::NAP_NS);
                drop(self.news.wait_timeout(shared, nap));
            }
        });
        py.check_signals()
    }

    /// Give the turn back, with what came of it.
    fn give_back(
        &self,
        py: Python<'_>,
        mut turn: Box<Turn>,
        ready: VecDeque<Item>,
    ) -> PyResult<()> {
        let seen = turn.seen();
        let ended = turn.ended();
        let mut late = None;
        {
            let mut shared = self.lock();
            shared.holder = 0;
            shared.seen = seen;
            if shared.closed {
                late = Some((turn, ready));
            } else {
                shared.ready.extend(ready);
                shared.ended = ended;
                shared.turn = Some(turn);
            }
        }
        match late {
            // Closed meanwhile by another thread, or by the source.
            Some((turn, ready)) => {
                drop(ready);
                self.shut(py, turn)
            }
            None => {
                self.news.notify_all();
                Ok(())
            }
        }
    }

    /// End all that is under way.
    fn shut(&self, py: Python<'_>, mut turn: Box<Turn>) -> PyResult<()> {
        self.lock().holder = syscall::thread_id();
        let closed = jobs::close(py, turn.engine.pump());
        let mut left = None;
        if closed.is_ok() {
            turn.engine.close(0);
            self.lock().seen = turn.seen();
            // It may run the caller's code, that of a generator say.
            drop(turn);
        } else {
            // To be gone on with by the next to close it, or by the collector.
            left = Some(turn);
        }
        {
            let mut shared = self.lock();
            shared.holder = 0;
            shared.ended = left.is_none();
            shared.turn = left;
        }
        self.news.notify_all();
        closed
    }

    fn close_now(&self, py: Python<'_>) -> PyResult<()> {
        loop {
            let (turn, ready, wait);
            {
                let mut shared = self.lock();
                shared.closed = true;
                ready = core::mem::take(&mut shared.ready);
                turn = shared.turn.take();
                // Called by the source: the round that pulls from it will see to it.
                let mine = shared.holder == syscall::thread_id();
                wait = turn.is_none() && !shared.ended && !mine;
            }
            drop(ready);
            if let Some(turn) = turn {
                return self.shut(py, turn);
            }
            if !wait {
                return Ok(());
            }
            self.wait_for_others(py)?;
        }
    }

    fn hand_out<'py>(&self, py: Python<'py>, item: Item) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let data = match item.data {
            Ok(data) => data,
            Err(error) => {
                let of_the_file = error.is_instance_of::<PyOSError>(py)
                    || error.is_instance_of::<PyValueError>(py);
                if self.raises || !of_the_file {
                    self.close_now(py)?;
                    return Err(error);
                }
                error.into_value(py).into_any()
            }
        };
        PyTuple::new(py, [item.path, data]).map(Some)
    }

    /// One round with the turn.
    fn round(&self, py: Python<'_>, mut turn: Box<Turn>) -> PyResult<()> {
        let worked = turn.work(py);
        let ready = turn.harvest(py);
        let failure = match worked {
            Ok(()) if ready.is_empty() && turn.is_drained() => turn.failure.take(),
            Ok(()) => None,
            Err(error) => {
                // The ring itself is broken.
                self.lock().closed = true;
                Some(error)
            }
        };
        self.give_back(py, turn, ready)?;
        if let Some(error) = failure {
            self.close_now(py)?;
            return Err(error);
        }
        py.check_signals()
    }
}

fn in_flight(asked: i64, simulated: bool) -> PyResult<u32> {
    let within = u32::try_from(asked).ok().filter(|n| (1..=IN_FLIGHT_MOST).contains(n));
    let asked = within.ok_or_else(|| {
        PyValueError::new_err(format!("in_flight must be 1 to {IN_FLIGHT_MOST}, not {asked}"))
    })?;
    // Others in this process need descriptors, too.
    match syscall::limit_nofile() {
        Ok((Some(soft), _)) if !simulated => {
            Ok(asked.min(u32::try_from(soft / 2).unwrap_or(u32::MAX).max(1)))
        }
        _ => Ok(asked),
    }
}

fn limit(max_bytes: Option<i64>) -> PyResult<Limit> {
    match max_bytes {
        None => Ok(Limit { bytes: WINDOW, hard: false }),
        Some(bytes) if bytes > 0 => Ok(Limit { bytes: bytes as u64, hard: true }),
        Some(bytes) => {
            Err(PyValueError::new_err(format!("max_bytes must be 1 or more, not {bytes}")))
        }
    }
}

fn one_of(what: &str, value: &str, yes: &str, no: &str) -> PyResult<bool> {
    match value {
        v if v == yes => Ok(true),
        v if v == no => Ok(false),
        v => Err(PyValueError::new_err(format!("{what} must be {yes:?} or {no:?}, not {v:?}"))),
    }
}

#[pymethods]
impl PyReadMany {
    #[new]
    #[pyo3(signature = (paths, *, in_flight = 64, order = "completion", max_bytes = None,
        errors = "raise", out = None, dir_fd = None, way = "auto", kernel = None))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        paths: &Bound<'_, PyAny>,
        in_flight: i64,
        order: &str,
        max_bytes: Option<i64>,
        errors: &str,
        out: Option<&Bound<'_, PyAny>>,
        dir_fd: Option<&Bound<'_, PyAny>>,
        way: &str,
        kernel: Option<&Bound<'_, PySimKernel>>,
    ) -> PyResult<Self> {
        arm_thread();
        let in_order = one_of("order", order, "input", "completion")?;
        let raises = one_of("errors", errors, "raise", "yield")?;
        let way = jobs::way(way)?;
        if out.is_some() && max_bytes.is_some() {
            return Err(PyValueError::new_err(
                "out bounds the memory already: no max_bytes with it",
            ));
        }
        let out = Out::new(out)?;
        let options = Options {
            in_flight: self::in_flight(in_flight, kernel.is_some())?,
            way,
            in_order,
            limit: limit(max_bytes)?,
            given: !out.is_none(),
            dir: dir_fd.map_or(Ok(AT_FDCWD), convert::file_number)?,
        };
        let source = Some(paths.try_iter()?.into_any().unbind());
        let handed = Arc::new(AtomicU64::new(0));
        let mut engine = ReadMany::new(jobs::host(kernel), options, Arc::clone(&handed));
        if way == Way::Ring {
            engine.pump().prepare().map_err(|error| errors::ring_error(py, &error))?;
        }
        let turn = Turn::new(engine, source, out);
        Ok(PyReadMany {
            shared: Mutex::new(Shared { turn: Some(turn), ..Shared::default() }),
            news: Condvar::new(),
            handed,
            generation: fork::generation(),
            raises,
        })
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        self.check_process(py)?;
        loop {
            match self.get()? {
                Got::Item(item) => return self.hand_out(py, item),
                Got::Turn(turn) => self.round(py, turn)?,
                Got::Others => self.wait_for_others(py)?,
                Got::End => return Ok(None),
            }
        }
    }

    /// `ReadMany[str, bytes]`, for annotations.
    #[classmethod]
    fn __class_getitem__<'py>(
        cls: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let alias = cls.py().import("types")?.getattr("GenericAlias")?;
        alias.call1((cls, item))
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (exc_type = None, exc_value = None, traceback = None, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: Option<&Bound<'_, PyAny>>,
        exc_value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let _ = (exc_type, exc_value, traceback);
        self.close(py)
    }

    /// Cancel what is under way, wait until that is done, and close all files. Results that were not
    /// taken are dropped. A second call does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.check_process(py).is_err() {
            return Ok(());
        }
        self.close_now(py)
    }

    /// What was done so far: see `uring_rs.read_many`.
    #[getter]
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.check_process(py)?;
        let seen = self.lock().seen;
        let dict = jobs::counts(py, &seen.counts)?;
        let backend = match seen.counts {
            Counts { ring: 1.., .. } => "io_uring",
            Counts { threads: 1.., .. } => "threads",
            _ => "syscalls",
        };
        dict.set_item("backend", backend)?;
        dict.set_item("files", seen.tally.files)?;
        dict.set_item("failed", seen.tally.failed)?;
        dict.set_item("bytes", seen.tally.bytes)?;
        dict.set_item("peak_bytes", seen.peak)?;
        Ok(dict)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if self.generation != fork::generation() {
            return Ok(());
        }
        // What is not shown counts as referenced from outside, which is safe.
        let Ok(shared) = self.shared.try_lock() else { return Ok(()) };
        if let Some(turn) = &shared.turn {
            visit.call(&turn.source)?;
        }
        for item in &shared.ready {
            visit.call(&item.path)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        if self.generation != fork::generation() {
            return;
        }
        let mut gone = (None, VecDeque::new());
        if let Ok(mut shared) = self.shared.try_lock() {
            if let Some(turn) = &mut shared.turn {
                gone.0 = turn.source.take();
                turn.engine.finish();
            }
            gone.1 = core::mem::take(&mut shared.ready);
        }
    }
}
