//! `SimKernel`: the simulated kernel and its controls, for tests of this library and of its users.

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::ring::sim::{
    Action, Call, Fault, FaultPlan, Options, RequestAction, RequestFault, SimKernel,
};
use crate::sys::{opcode, Errno};

/// A simulated kernel, with virtual time and a fault plan: `Ring(..., kernel=SimKernel(seed=1))`.
///
/// It behaves as Linux does as far as Linux promises anything, chooses by its seed where it does
/// not, and is as hostile as the contract allows. For tests; see `uring_rs.testing`.
#[pyclass(name = "SimKernel", module = "uring_rs.testing", frozen)]
pub(crate) struct PySimKernel {
    sim: SimKernel,
}

impl PySimKernel {
    pub(crate) fn kernel(&self) -> SimKernel {
        self.sim.clone()
    }
}

fn os_error(errno: Errno) -> PyErr {
    PyOSError::new_err((errno.0, errno.message()))
}

fn call_named(name: &str) -> PyResult<Call> {
    Ok(match name {
        "setup" => Call::Setup,
        "enter" => Call::Enter,
        "register" => Call::Register,
        "map" => Call::Map,
        "plain" => Call::Plain,
        "ask" => Call::Ask,
        _ => {
            return Err(PyValueError::new_err(
                "call must be setup, enter, register, map, plain or ask",
            ))
        }
    })
}

#[pymethods]
impl PySimKernel {
    #[new]
    #[pyo3(signature = (seed = 0, *, linux = None, start = None, cold_percent = None,
        worker_ns = None, locked_memory = None, patience_ms = None))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        seed: u64,
        linux: Option<(u8, u8)>,
        start: Option<u32>,
        cold_percent: Option<u8>,
        worker_ns: Option<u64>,
        locked_memory: Option<u64>,
        patience_ms: Option<u64>,
    ) -> Self {
        let mut options = match linux {
            Some((major, minor)) => Options::linux(major, minor, seed),
            None => Options::new(seed),
        };
        options.sq_start = start.unwrap_or(options.sq_start);
        options.cq_start = start.unwrap_or(options.cq_start);
        options.cold_percent = cold_percent.unwrap_or(options.cold_percent);
        options.worker_ns = worker_ns.unwrap_or(options.worker_ns);
        options.patience_ms = patience_ms.unwrap_or(options.patience_ms);
        options.locked_memory = locked_memory.or(options.locked_memory);
        PySimKernel { sim: SimKernel::new(options) }
    }

    /// Make a regular file and open it.
    #[pyo3(signature = (name, contents = None))]
    fn file(&self, name: &str, contents: Option<&[u8]>) -> PyResult<i32> {
        self.sim.file(name, contents.unwrap_or_default()).map_err(os_error)
    }

    /// What is in the file of that name; None if there is none.
    fn contents<'py>(&self, py: Python<'py>, name: &str) -> Option<Bound<'py, PyBytes>> {
        self.sim.contents(name).map(|bytes| PyBytes::new(py, &bytes))
    }

    /// The names of all files.
    #[getter]
    fn names(&self) -> Vec<String> {
        let names = self.sim.names();
        names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }

    /// A pipe: (read end, write end).
    fn pipe(&self) -> PyResult<(i32, i32)> {
        self.sim.pipe().map_err(os_error)
    }

    /// Two connected stream sockets.
    fn socketpair(&self) -> PyResult<(i32, i32)> {
        self.sim.socketpair().map_err(os_error)
    }

    /// Put bytes into a pipe or socket from outside.
    fn feed(&self, fd: i32, data: &[u8]) -> PyResult<()> {
        self.sim.feed(fd, data).map_err(os_error)
    }

    /// Take all bytes that a pipe or socket holds.
    fn drain<'py>(&self, py: Python<'py>, fd: i32) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.sim.drain(fd).map_err(os_error)?))
    }

    /// Close a simulated descriptor.
    fn close(&self, fd: i32) -> PyResult<()> {
        self.sim.close_file(fd).map_err(os_error)
    }

    /// Let virtual time pass.
    fn advance(&self, seconds: f64) {
        self.sim.advance((seconds * 1e9) as u64);
    }

    /// Have a signal end the wait that is under way in so many virtual seconds.
    fn signal_after(&self, seconds: f64) {
        self.sim.signal_after((seconds * 1e9) as u64);
    }

    /// Make the nth call of its kind from now on (0: the next) fail with an errno.
    ///
    /// `call` is "setup", "enter", "register" or "map". For "enter" the errno may also be the
    /// words "interrupt", "wake" or a number of entries to take: `("short", n)`.
    fn fail_call(&self, call: &str, nth: u64, errno: &Bound<'_, PyAny>) -> PyResult<()> {
        let action = if let Ok(number) = errno.extract::<i32>() {
            Action::Err(Errno(number))
        } else if let Ok((word, count)) = errno.extract::<(String, u32)>() {
            if word != "short" {
                return Err(PyValueError::new_err("('short', n)"));
            }
            Action::ShortSubmit(count)
        } else {
            match errno.extract::<String>()?.as_str() {
                "interrupt" => Action::Interrupt,
                "wake" => Action::WakeEarly,
                _ => return Err(PyValueError::new_err("an errno, 'interrupt' or 'wake'")),
            }
        };
        let fault = Fault { call: call_named(call)?, nth, action };
        self.sim.plan(&FaultPlan { calls: vec![fault], requests: Vec::new() });
        Ok(())
    }

    /// Do something to the nth request the kernel takes from now on (0: the next).
    ///
    /// `what`: "result" (end with that errno, or transfer at most so much), "late" (virtual
    /// nanoseconds), "twice", "more_after_end", "stranger" (a completion with this user_data
    /// besides), "lie" (claim this result), "lost".
    #[pyo3(signature = (nth, what, value = 0))]
    fn fail_request(&self, nth: u64, what: &str, value: i64) -> PyResult<()> {
        let action = match what {
            "result" => RequestAction::Result(value as i32),
            "lie" => RequestAction::Lie(value as i32),
            "late" => RequestAction::Late(value as u64),
            "twice" => RequestAction::Twice,
            "more_after_end" => RequestAction::MoreAfterEnd,
            "stranger" => RequestAction::Stranger(value as u64),
            "lost" => RequestAction::Lost,
            _ => return Err(PyValueError::new_err(format!("no such fault: {what:?}"))),
        };
        let fault = RequestFault { nth, action };
        self.sim.plan(&FaultPlan { calls: Vec::new(), requests: vec![fault] });
        Ok(())
    }

    /// Planned faults that have not happened yet.
    #[getter]
    fn faults_left(&self) -> usize {
        self.sim.faults_left()
    }

    /// (operation, key) of every entry taken, in the order the kernel took them.
    #[getter]
    fn submitted(&self) -> Vec<(&'static str, u64)> {
        let name = |op: u8| opcode::info(op).map_or("?", |info| info.name);
        self.sim.submitted().iter().map(|taken| (name(taken.op), taken.user_data)).collect()
    }

    /// (key, result, flags) of every completion posted, in order.
    #[getter]
    fn completed(&self) -> Vec<(u64, i32, u32)> {
        self.sim.completed().iter().map(|done| (done.user_data, done.res, done.flags)).collect()
    }

    /// What was done to the kernel that must never be done. Always empty, or there is a bug.
    #[getter]
    fn violations(&self) -> Vec<String> {
        self.sim.violations()
    }

    /// Mappings not yet unmapped.
    #[getter]
    fn live_maps(&self) -> usize {
        self.sim.live_maps()
    }

    /// Descriptors not yet closed.
    #[getter]
    fn open_fds(&self) -> Vec<i32> {
        self.sim.open_fds()
    }

    /// Requests the kernel has not finished.
    #[getter]
    fn in_flight(&self) -> usize {
        self.sim.in_flight()
    }
}
