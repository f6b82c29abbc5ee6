//! `stat_many`: the status of many files, in a list.

use core::ffi::CStr;
use std::os::fd::BorrowedFd;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyIterator, PyList, PyString};

use super::host::PyHost;
use super::result::{os_error, StatType};
use crate::bulk::tree::stat::{stat_all, Answer};
use crate::py::memory;
use crate::sys::ending::arm_thread;
use crate::sys::tree as sys;
use crate::sys::Errno;

/// Paths that are taken at once: few enough to stay in the processor's cache.
const PIECE: usize = 2048;

/// Paths in one block of memory, each with a zero at its end.
#[derive(Default)]
struct Paths<'py> {
    given: Vec<Bound<'py, PyAny>>,
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl<'py> Paths<'py> {
    fn clear(&mut self) {
        self.given.clear();
        self.bytes.clear();
        self.starts.clear();
    }

    /// One more path: str, bytes or os.PathLike.
    fn push(&mut self, given: Bound<'py, PyAny>) -> PyResult<()> {
        let start = self.bytes.len();
        if let Ok(text) = given.cast::<PyString>() {
            self.push_text(text)?;
        } else if let Ok(bytes) = given.cast::<PyBytes>() {
            memory::extend(&mut self.bytes, bytes.as_bytes())?;
        } else {
            // SAFETY: a valid object; runs its __fspath__, and no lock is held (I6).
            let path = unsafe {
                Bound::from_owned_ptr_or_err(given.py(), ffi::PyOS_FSPath(given.as_ptr()))?
            };
            match (path.cast::<PyString>(), path.cast::<PyBytes>()) {
                (Ok(text), _) => self.push_text(text)?,
                (_, Ok(bytes)) => memory::extend(&mut self.bytes, bytes.as_bytes())?,
                _ => return Err(PyTypeError::new_err("a path must be str, bytes or os.PathLike")),
            }
        }
        if self.bytes[start..].contains(&0) {
            return Err(PyValueError::new_err("embedded null byte"));
        }
        memory::extend(&mut self.bytes, &[0])?;
        memory::push(&mut self.starts, start)?;
        memory::push(&mut self.given, given)?;
        Ok(())
    }

    fn push_text(&mut self, text: &Bound<'py, PyString>) -> PyResult<()> {
        if let Ok(text) = text.to_str() {
            return memory::extend(&mut self.bytes, text.as_bytes());
        }
        // With lone surrogates, which stand for bytes that are not UTF-8.
        // SAFETY: a valid str; a new reference to bytes comes back (I6).
        let encoded = unsafe {
            Bound::from_owned_ptr_or_err(text.py(), ffi::PyUnicode_EncodeFSDefault(text.as_ptr()))?
        };
        memory::extend(&mut self.bytes, encoded.cast::<PyBytes>()?.as_bytes())
    }

    fn take(&mut self, from: &Bound<'py, PyIterator>) -> PyResult<usize> {
        self.clear();
        for given in from.clone().take(PIECE) {
            self.push(given?)?;
        }
        Ok(self.starts.len())
    }
}

/// A list of os.stat_result, in the order of the paths; errors in their places if `collect`.
#[pyfunction]
#[pyo3(signature = (paths, follow, dir_fd, collect, threads, /))]
pub(crate) fn _stat_many<'py>(
    py: Python<'py>,
    paths: &Bound<'py, PyAny>,
    follow: bool,
    dir_fd: Option<i32>,
    collect: bool,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyList>> {
    arm_thread();
    if dir_fd.is_some_and(|fd| fd < 0) {
        return Err(PyValueError::new_err("dir_fd must not be negative"));
    }
    if threads == Some(0) {
        return Err(PyValueError::new_err("threads must be at least 1"));
    }
    // SAFETY: the caller's descriptor, only passed on: a closed one is an error of the kernel's
    // (I10). It is not negative, so not the value that must not be.
    let dir = dir_fd.map_or(sys::CWD, |fd| unsafe { BorrowedFd::borrow_raw(fd) });
    let (list, class) = (PyList::empty(py), StatType::get(py)?);
    let paths = paths.try_iter()?;
    let mut piece = Paths::default();
    let mut answers: Vec<Answer> = Vec::new();
    loop {
        let count = piece.take(&paths)?;
        if count == 0 {
            return Ok(list);
        }
        answers.clear();
        answers.resize(count, Err(Errno::EIO));
        let (bytes, starts) = (&piece.bytes, &piece.starts);
        let name = |index: usize| {
            let name = CStr::from_bytes_until_nul(&bytes[starts[index]..]);
            (dir, name.unwrap_or_default())
        };
        let mut host = PyHost::new(None);
        let stopped = py.detach(|| stat_all(&mut answers, &name, follow, threads, &mut host));
        if let (Err(_), Some(error)) = (stopped, host.error.take()) {
            return Err(error);
        }
        py.check_signals()?;
        for (answer, given) in answers.iter().zip(&piece.given) {
            match answer {
                Ok(stat) => list.append(class.make(py, stat)?)?,
                Err(errno) => {
                    let error = os_error(py, *errno, given)?;
                    if !collect {
                        return Err(PyErr::from_value(error));
                    }
                    list.append(error)?;
                }
            }
        }
    }
}
