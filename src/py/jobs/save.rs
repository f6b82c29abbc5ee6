//! `save`: pieces of memory are taken from Python a few at a time, and written without it.

use std::ffi::CString;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator};

use crate::bulk::new_file::How;
use crate::bulk::pump::{Options, Pump};
use crate::bulk::save::{Direct, Plan, Save};
use crate::py::errors;
use crate::py::jobs::held::{self, Held};
use crate::py::jobs::{self, NAP_NS};
use crate::py::kernel::AnyKernel;
use crate::py::sim::PySimKernel;
use crate::ring::error::RingError;
use crate::sys::ending::arm_thread;
use crate::sys::Errno;

/// So many pieces are taken at a time, if they are small.
const BATCH: usize = 64;

/// A call of `save`.
struct Call<'py> {
    py: Python<'py>,
    engine: Save<AnyKernel, Held>,
    buffers: Bound<'py, PyIterator>,
    path: Bound<'py, PyAny>,
    progress: Option<Bound<'py, PyAny>>,
    told: u64,
    /// Enough to keep the device busy until the next pieces are asked for.
    enough: u64,
}

impl Call<'_> {
    fn run(&mut self) -> PyResult<()> {
        let mut more = true;
        while more {
            more = self.take_buffers()?;
            while self.engine.is_busy() {
                self.turn()?;
            }
        }
        let py = self.py;
        loop {
            let engine = &mut self.engine;
            let finished = py.detach(|| engine.finish(NAP_NS));
            py.check_signals()?;
            let finished = self.told(finished)?;
            if finished.is_some() {
                // What an exception cannot undo is told to nobody.
                break;
            }
            self.tell_progress()?;
        }
        let engine = &mut self.engine;
        match py.detach(|| engine.sync_directory()).pop() {
            None => Ok(()),
            Some((path, errno)) => Err(held::os_error(errno, &held::file_name(py, &path)?)),
        }
    }

    fn told<T>(&self, done: Result<Result<T, Errno>, RingError>) -> PyResult<T> {
        done.map_err(|error| errors::ring_error(self.py, &error))?
            .map_err(|errno| held::os_error(errno, &self.path))
    }

    fn take_buffers(&mut self) -> PyResult<bool> {
        let mut taken = 0;
        for _ in 0..BATCH {
            if taken >= self.enough {
                break;
            }
            let Some(buffer) = self.buffers.next() else { return Ok(false) };
            let (token, memory) = self.engine.memory().export(&buffer?)?;
            taken += memory.len as u64;
            // SAFETY: exported, and released only when the engine is done with it (I2).
            unsafe { self.engine.push(memory.addr as *const u8, memory.len as u64, token) };
        }
        Ok(true)
    }

    fn turn(&mut self) -> PyResult<()> {
        let mut done = Vec::new();
        let (py, engine) = (self.py, &mut self.engine);
        let worked = py.detach(|| engine.run(NAP_NS, &mut done));
        for token in done {
            drop(self.engine.memory().take(token));
        }
        py.check_signals()?;
        self.told(worked)?;
        self.tell_progress()
    }

    fn tell_progress(&mut self) -> PyResult<()> {
        let (written, _) = self.engine.progress();
        if let Some(progress) = self.progress.as_ref().filter(|_| written != self.told) {
            self.told = written;
            progress.call1((written,))?;
        }
        Ok(())
    }

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
}

fn direct_named(name: &str) -> PyResult<Direct> {
    match name {
        "must" => Ok(Direct::Must),
        "may" => Ok(Direct::May),
        "no" => Ok(Direct::No),
        _ => Err(PyValueError::new_err("direct must be must, may or no")),
    }
}

/// See `uring_rs.save`, which checks the arguments.
#[pyfunction]
#[pyo3(signature = (path, buffers, /, *, direct, fsync, chunk, depth, size, mode, overwrite,
    dir_fd, progress, way, kernel = None))]
#[allow(clippy::too_many_arguments)]
pub(crate) fn _save<'py>(
    py: Python<'py>,
    path: Bound<'py, PyAny>,
    buffers: &Bound<'py, PyAny>,
    direct: &str,
    fsync: bool,
    chunk: u32,
    depth: u32,
    size: Option<u64>,
    mode: u32,
    overwrite: bool,
    dir_fd: i32,
    progress: Option<Bound<'py, PyAny>>,
    way: &str,
    kernel: Option<&Bound<'py, PySimKernel>>,
) -> PyResult<Bound<'py, PyDict>> {
    arm_thread();
    let how = How { mode, over: overwrite, flags: 0 };
    let plan = Plan { direct: direct_named(direct)?, sync: fsync, chunk, depth, size, how };
    let options = Options { depth, way: jobs::way(way)?, one_thread: true, try_now: false };
    let pump = Pump::new(jobs::host(kernel), options);
    let name: CString = held::path(&path)?;
    let buffers = buffers.try_iter()?;
    let made = py.detach(|| Save::new(pump, Held::default(), dir_fd, &name, plan));
    let engine = made.map_err(|errno| held::os_error(errno, &path))?;
    let enough = u64::from(chunk) * u64::from(depth);
    let mut call = Call { py, engine, buffers, path, progress, told: 0, enough };
    let done = call.run();
    let done = done.and_then(|()| jobs::tell_refusal(py, call.engine.pump()));
    call.give_up()?;
    done?;
    let stats = jobs::counts(py, &call.engine.pump().counts())?;
    let (bytes, bounced) = call.engine.progress();
    stats.set_item("bounced", bounced)?;
    let result = PyDict::new(py);
    result.set_item("bytes", bytes)?;
    result.set_item("direct", call.engine.is_direct())?;
    result.set_item("stats", stats)?;
    Ok(result)
}
