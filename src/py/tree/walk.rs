//! `walk`: an iterator over a tree.

use std::ffi::CString;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::host::PyHost;
use super::result::{os_error, StatType};
use crate::bulk::tree::walk::{Batch, Found, Options, Walk};
use crate::py::errors;
use crate::ring::fork;
use crate::sys::ending::arm_thread;
use crate::sys::Errno;

struct Under {
    walk: Walk,
    batch: Batch,
    next: usize,
}

enum State {
    Between(Box<Under>),
    /// A thread is fetching the next batch.
    Busy,
    Done,
}

/// A walk under way: an iterator of pairs of a path and what is known of it.
#[pyclass(name = "TreeWalk", module = "uring_rs", frozen)]
pub(crate) struct PyTreeWalk {
    state: Mutex<State>,
    options: Options,
    collect: bool,
    as_bytes: bool,
    /// The process that began it (I9).
    generation: u32,
}

impl PyTreeWalk {
    fn lock(&self) -> MutexGuard<'_, State> {
        arm_thread();
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Take out what is under way; None at the end.
    fn take(&self) -> PyResult<Option<Box<Under>>> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, State::Busy) {
            State::Between(under) => Ok(Some(under)),
            State::Done => {
                *state = State::Done;
                Ok(None)
            }
            State::Busy => Err(PyValueError::new_err("this walk is under way already")),
        }
    }

    /// Put the state back, unless the walk was closed meanwhile.
    fn put_back(&self, under: Option<Box<Under>>) {
        let mut state = self.lock();
        if matches!(*state, State::Busy) {
            *state = under.map_or(State::Done, State::Between);
        }
    }

    fn path<'py>(&self, py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        if self.as_bytes {
            return Ok(PyBytes::new(py, bytes).into_any());
        }
        let (start, length) = (bytes.as_ptr().cast(), bytes.len() as ffi::Py_ssize_t);
        // SAFETY: live bytes of ours, copied; a new reference comes back (I6).
        unsafe {
            let text = ffi::PyUnicode_DecodeFSDefaultAndSize(start, length);
            Bound::from_owned_ptr_or_err(py, text)
        }
    }

    /// What to hand out for this; `None` for what vanished while we looked.
    fn pair<'py>(
        &self,
        py: Python<'py>,
        found: &Found<'_>,
    ) -> PyResult<Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
        let name = found.name.to_bytes();
        if found.answer == Err(Errno::ENOENT) && !name.is_empty() {
            return Ok(None);
        }
        let mut path = [found.folder, name].concat();
        if name.is_empty() && path.len() > 1 {
            path.pop(); // of a folder itself, without its slash
        }
        let path = self.path(py, &path)?;
        let value = match &found.answer {
            Ok(stat) if self.options.stat => StatType::get(py)?.make(py, stat)?,
            Ok(stat) => (stat.mode & crate::sys::tree::S_IFMT).into_pyobject(py)?.into_any(),
            Err(errno) => {
                let error = os_error(py, *errno, &path)?;
                if !self.collect {
                    return Err(PyErr::from_value(error));
                }
                error
            }
        };
        Ok(Some((path, value)))
    }

    /// Fetch until there is something. False at the end.
    fn fetch(&self, py: Python<'_>, under: &mut Under) -> PyResult<bool> {
        let mut host = PyHost::new(None);
        let result = py.detach(|| under.walk.next(&mut host));
        under.next = 0;
        match (result, host.error.take()) {
            (Ok(batch), None) => {
                under.batch = batch;
                py.check_signals()?;
                Ok(!under.batch.is_empty())
            }
            (_, Some(error)) => Err(error),
            (Err(_), None) => Err(PyRuntimeError::new_err("the walk was stopped")),
        }
    }
}

#[pymethods]
impl PyTreeWalk {
    #[new]
    #[pyo3(signature = (top, stat, follow, collect, as_bytes, threads, /))]
    fn new(
        top: Vec<u8>,
        stat: bool,
        follow: bool,
        collect: bool,
        as_bytes: bool,
        threads: Option<usize>,
    ) -> PyResult<Self> {
        let top = CString::new(top)
            .map_err(|_| PyValueError::new_err("embedded null byte in the path"))?;
        if threads == Some(0) {
            return Err(PyValueError::new_err("threads must be at least 1"));
        }
        let options = Options { stat, follow, threads };
        let under = Under { walk: Walk::new(top, options), batch: Batch::default(), next: 0 };
        fork::watch();
        let state = Mutex::new(State::Between(Box::new(under)));
        let generation = fork::generation();
        Ok(PyTreeWalk { state, options, collect, as_bytes, generation })
    }

    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
        if self.generation != fork::generation() {
            // Parent and child share the places in the folders, and would each miss names.
            let text = "this walk belongs to the parent process: begin one of your own after fork";
            return Err(errors::named(py, "ForkedRing", None, text));
        }
        // Taken out, so that no lock is held over anything that takes time or runs Python (I6).
        let Some(mut under) = self.take()? else { return Ok(None) };
        loop {
            match under.batch.get(under.next) {
                None => match self.fetch(py, &mut under) {
                    Ok(true) => {}
                    Ok(false) => {
                        self.put_back(None);
                        return Ok(None);
                    }
                    Err(error) => {
                        self.put_back(None);
                        return Err(error);
                    }
                },
                Some(found) => {
                    let pair = self.pair(py, &found);
                    under.next += 1;
                    if let Ok(None) = pair {
                        continue;
                    }
                    let failed = pair.is_err();
                    self.put_back((!failed).then_some(under));
                    return pair;
                }
            }
        }
    }

    /// End the walk and close what it holds open. Harmless when it has ended.
    fn close(&self) {
        let taken = std::mem::replace(&mut *self.lock(), State::Done);
        drop(taken);
    }
}
