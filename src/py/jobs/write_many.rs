//! `write_many`: items are taken from Python a batch at a time, and written without it.

use std::time::{Duration, Instant};

use pyo3::exceptions::{PyException, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList, PyTuple};

use crate::bulk::new_file::How;
use crate::bulk::pump::{Options, Pump};
use crate::bulk::write_many::{Done, Item, WriteMany};
use crate::py::errors;
use crate::py::jobs::held::{self, Held};
use crate::py::jobs::{self, NAP_NS};
use crate::py::kernel::AnyKernel;
use crate::py::sim::PySimKernel;
use crate::sys::ending::arm_thread;

/// Items that come slowly are not kept waiting for others longer than this.
const PATIENCE: Duration = Duration::from_millis(2);

type Engine = WriteMany<AnyKernel, Held>;

/// A call of `write_many`.
struct Call<'py> {
    py: Python<'py>,
    engine: Engine,
    items: Bound<'py, PyIterator>,
    /// The path objects of items under way, by token.
    paths: Vec<Option<Bound<'py, PyAny>>>,
    sizes: Vec<u64>,
    in_flight: usize,
    max_bytes: u64,
    collect: bool,
    /// Bytes of what is under way.
    held: u64,
    files: u64,
    bytes: u64,
    errors: Bound<'py, PyList>,
}

impl<'py> Call<'py> {
    /// Everything, up to the end of the items. What the items raise comes after those before it
    /// were written, as with a loop.
    fn run(&mut self) -> PyResult<()> {
        let mut raised = None;
        let mut more = true;
        while more {
            match self.take_items() {
                Ok(taken) => more = taken,
                Err(error) if error.is_instance_of::<PyException>(self.py) => {
                    raised = Some(error);
                    more = false;
                }
                Err(error) => return Err(error),
            }
            self.make_room(more)?;
        }
        self.sync_directories()?;
        raised.map_or(Ok(()), Err)
    }

    /// Go on until a good part of what is under way has ended; without more to come, all of it.
    fn make_room(&mut self, more: bool) -> PyResult<()> {
        let most = if more { self.in_flight * 3 / 4 } else { 0 };
        while self.engine.pending() > most || (more && self.held >= self.max_bytes) {
            let left = most.min(self.engine.pending().saturating_sub(1));
            self.turn(left)?;
        }
        Ok(())
    }

    /// Items for which there is room. False: there are no more.
    fn take_items(&mut self) -> PyResult<bool> {
        let began = Instant::now();
        while self.engine.pending() < self.in_flight && self.held < self.max_bytes {
            let Some(item) = self.items.next() else { return Ok(false) };
            self.take(&item?)?;
            if began.elapsed() > PATIENCE {
                let left = self.in_flight;
                self.turn(left)?;
                return Ok(true);
            }
        }
        Ok(true)
    }

    fn take(&mut self, item: &Bound<'py, PyAny>) -> PyResult<()> {
        let pair = match item.cast::<PyTuple>() {
            Ok(tuple) => tuple.clone(),
            Err(_) => PyTuple::new(self.py, item.try_iter()?.collect::<PyResult<Vec<_>>>()?)?,
        };
        if pair.len() != 2 {
            return Err(PyTypeError::new_err("items must be pairs of a path and its contents"));
        }
        let (name, data) = (pair.get_item(0)?, pair.get_item(1)?);
        let path = held::path(&name)?;
        let (token, memory) = self.engine.memory().export(&data)?;
        let index = token as usize;
        if index >= self.paths.len() {
            self.paths.resize(index + 1, None);
            self.sizes.resize(index + 1, 0);
        }
        (self.paths[index], self.sizes[index]) = (Some(name), memory.len as u64);
        self.held += memory.len as u64;
        let item = Item { path, addr: memory.addr as *const u8, len: memory.len as u64, token };
        // SAFETY: exported, and released only when the item is done (I2).
        unsafe { self.engine.push(item) };
        Ok(())
    }

    /// Work for a while without Python; then what is done is let go of.
    fn turn(&mut self, left: usize) -> PyResult<()> {
        let mut done = Vec::new();
        let (py, engine) = (self.py, &mut self.engine);
        let worked = py.detach(|| engine.run(left, NAP_NS, &mut done));
        let mut first = None;
        for Done { token, result } in done {
            let index = token as usize;
            let path = self.paths[index].take();
            self.held -= self.sizes[index];
            drop(self.engine.memory().take(token));
            match result {
                Ok(bytes) => {
                    self.files += 1;
                    self.bytes += bytes;
                }
                Err(errno) => {
                    let path = path.unwrap_or_else(|| py.None().into_bound(py));
                    let error = held::os_error(errno, &path);
                    if self.collect {
                        self.errors.append((path, error))?;
                    } else {
                        first.get_or_insert(error);
                    }
                }
            }
        }
        worked.map_err(|error| errors::ring_error(py, &error))?;
        py.check_signals()?;
        first.map_or(Ok(()), Err)
    }

    fn sync_directories(&mut self) -> PyResult<()> {
        let (py, engine) = (self.py, &mut self.engine);
        for (path, errno) in py.detach(|| engine.sync_directories()) {
            let path = held::file_name(py, &path)?;
            let error = held::os_error(errno, &path);
            if !self.collect {
                return Err(error);
            }
            self.errors.append((path, error))?;
        }
        Ok(())
    }

    /// Nothing is left of what is not done. Ctrl-C while the device is at it: it goes on by itself.
    fn give_up(&mut self) -> PyResult<()> {
        let (py, engine) = (self.py, &mut self.engine);
        while !py.detach(|| engine.give_up(NAP_NS)) {
            if !engine.pump().same_process() {
                break;
            }
            py.check_signals()?;
        }
        Ok(())
    }

    fn result(&mut self) -> PyResult<Bound<'py, PyDict>> {
        let stats = jobs::counts(self.py, &self.engine.pump().counts())?;
        let (files, directories) = self.engine.fsyncs();
        stats.set_item("fsyncs", files)?;
        stats.set_item("directory_fsyncs", directories)?;
        let result = PyDict::new(self.py);
        result.set_item("files", self.files)?;
        result.set_item("bytes", self.bytes)?;
        result.set_item("errors", &self.errors)?;
        result.set_item("stats", stats)?;
        Ok(result)
    }
}

/// See `uring_rs.write_many`, which checks the arguments.
#[pyfunction]
#[pyo3(signature = (items, /, *, in_flight, fsync, mode, overwrite, collect, dir_fd, max_bytes,
    way, kernel = None))]
#[allow(clippy::too_many_arguments)]
pub(crate) fn _write_many<'py>(
    py: Python<'py>,
    items: &Bound<'py, PyAny>,
    in_flight: u32,
    fsync: bool,
    mode: u32,
    overwrite: bool,
    collect: bool,
    dir_fd: i32,
    max_bytes: u64,
    way: &str,
    kernel: Option<&Bound<'py, PySimKernel>>,
) -> PyResult<Bound<'py, PyDict>> {
    arm_thread();
    let way = jobs::way(way)?;
    let options = Options { depth: in_flight, way, one_thread: true, try_now: false };
    let pump = Pump::new(jobs::host(kernel), options);
    let how = How { mode, over: overwrite, flags: 0 };
    let mut call = Call {
        py,
        engine: WriteMany::new(pump, Held::default(), dir_fd, how, fsync),
        items: items.try_iter()?,
        paths: Vec::new(),
        sizes: Vec::new(),
        in_flight: in_flight as usize,
        max_bytes: max_bytes.max(1),
        collect,
        held: 0,
        files: 0,
        bytes: 0,
        errors: PyList::empty(py),
    };
    let done = call.run();
    let done = done.and_then(|()| jobs::tell_refusal(py, call.engine.pump()));
    match done {
        Ok(()) => {
            call.give_up()?;
            call.result()
        }
        Err(error) => {
            call.give_up()?;
            Err(error)
        }
    }
}
