//! `Ring`: the class, its facts, and its small calls. Staging is in `submit`, completions in
//! `reap`, closing in `close`, the builders in `builders`.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use pyo3::exceptions::{PyTimeoutError, PyTypeError, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::PyTraverseError;

use crate::py::convert::patience;
use crate::py::inner::Inner;
use crate::py::kernel::AnyKernel;
use crate::py::made::Made;
use crate::py::register::personality::Retired;
use crate::py::register::restrict;
use crate::py::resources::Resources;
use crate::py::sim::PySimKernel;
use crate::py::sqe::PySqe;
use crate::py::state::State;
use crate::py::submit::Want;
use crate::py::{errors, expert, gc, live, registry, request, trace};
use crate::ring::access::RingCell;
use crate::ring::kernel::Linux;
use crate::ring::params::Config;
use crate::ring::wake::Wake;
use crate::ring::Phase;
use crate::sys::consts::*;
use crate::sys::ending::arm_thread;
use crate::sys::opcode;

/// One io_uring: prepare requests, submit them, iterate over their completions.
///
///     with uring_rs.Ring(64) as ring:
///         ring.prep_read(fd, buf, offset=0, user_data="readme")
///         ring.submit(wait=1)
///         for cqe in ring:
///             print(cqe.user_data, cqe.res)
///
/// Args:
///     entries: submission entries, 1 to 32768; the kernel rounds up to a power of two.
///     cq_entries: completion entries, at least as many, up to 65536 (default: twice entries).
///         As many requests can be unfinished at a time.
///     flags: SetupFlags in place of the best known ones. With R_DISABLED the ring does nothing
///         until enable(). With NO_MMAP it lives in memory of this process; with
///         REGISTERED_FD_ONLY it has no descriptor, and only the thread that makes it can use it.
///         IOPOLL takes reads and writes of O_DIRECT files on devices that can be polled; those of
///         other files fail with EOPNOTSUPP.
///     sqpoll_idle_ms: have a kernel thread poll for submissions, and sleep after so many idle
///         milliseconds. Never faster on machines with few processors.
///     sqpoll_cpu: the processor of that thread.
///     attach_to: a ring whose workers, and poll thread if it has one, to share.
///     huge_pages: put the ring into huge pages (implies NO_MMAP), of which some must be free.
///     shared: usable from many threads at once. Otherwise the ring belongs to the first thread
///         that uses it, and others get WrongThread.
///     sq_full: "submit" (prep_* submits what is staged and goes on) or "raise"
///         (SubmissionQueueFull).
///     restrictions: Restrictions: all that the ring may ever do.
///     wait_region: have the arguments of waits in memory shared with the kernel, which then need
///         not be copied at each wait with a timeout (Linux 6.13).
///     trace: called with an event's name and a dict for every prep, enter and completion.
///     kernel: a SimKernel to run on instead of the real one.
///
/// Raises:
///     UringUnavailable: this host refuses rings; `reason` and `hint` say more.
///     ZeroEntries, TooManyEntries, ValueError: an argument the kernel would not accept.
///
/// Memory: every buffer given to a request is locked until the request's last completion.
/// Source: io_uring_setup(2), io_uring(7).
#[pyclass(name = "Ring", module = "uring_rs", frozen, subclass, weakref)]
pub(crate) struct PyRing(pub(crate) Made<Inner>);

static NEXT_ID: AtomicU32 = AtomicU32::new(1);

impl PyRing {
    fn trace_from_environment(py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let environ = py.import("os")?.getattr("environ")?;
        let set = environ.call_method1("get", ("URING_RS_TRACE", ""))?.extract::<String>()?;
        if matches!(set.as_str(), "" | "0") {
            return Ok(None);
        }
        Ok(Some(py.import("uring_rs.trace")?.getattr("log_event")?.unbind()))
    }
}

#[pymethods]
impl PyRing {
    #[new]
    #[pyo3(signature = (entries = 64, *, cq_entries = None, flags = None, sqpoll_idle_ms = None,
        sqpoll_cpu = None, attach_to = None, huge_pages = false, shared = false,
        sq_full = "submit", restrictions = None, wait_region = false, trace = None,
        kernel = None))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        entries: i64,
        cq_entries: Option<i64>,
        flags: Option<u32>,
        sqpoll_idle_ms: Option<u32>,
        sqpoll_cpu: Option<u32>,
        attach_to: Option<&Bound<'_, PyRing>>,
        huge_pages: bool,
        shared: bool,
        sq_full: &str,
        restrictions: Option<Bound<'_, PyAny>>,
        wait_region: bool,
        trace: Option<Bound<'_, PyAny>>,
        kernel: Option<&Bound<'_, PySimKernel>>,
    ) -> PyResult<Self> {
        arm_thread();
        let full_raises = match sq_full {
            "submit" => false,
            "raise" => true,
            _ => return Err(PyValueError::new_err("sq_full must be 'submit' or 'raise'")),
        };
        let trace = match trace {
            Some(callback) if !callback.is_callable() => {
                return Err(PyTypeError::new_err("trace must be callable"))
            }
            Some(callback) => Some(callback.unbind()),
            None => Self::trace_from_environment(py)?,
        };
        let config = Config {
            entries: entry_count(entries)?,
            cq_entries: cq_entries.map(entry_count).transpose()?,
            flags,
            sqpoll_idle_ms,
            sqpoll_cpu,
            shared,
            restrictions: restrictions.map(|given| restrict::from_python(&given)).transpose()?,
            wait_region,
            attach_fd: None,
            huge_pages,
        };
        let restrictions = config.restrictions.clone();
        registry::bury(py);
        let kernel =
            kernel.map_or(AnyKernel::Linux(Linux), |sim| AnyKernel::Sim(sim.get().kernel()));
        let core = expert::make_core(py, &kernel, config, attach_to.map(Bound::get))?;
        let params = *core.params();
        let fd = core.fd();
        let state = State::new(core);
        let number = Arc::clone(&state.number);
        let cell = RingCell::in_arc(state, shared);
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        registry::remember(id, &cell);
        let index_only = params.flags & IORING_SETUP_REGISTERED_FD_ONLY != 0;
        if index_only {
            // No other thread can reach it.
            cell.hold().map(drop).map_err(|error| errors::ring_error(py, &error))?;
        }
        if let Some(callback) = &trace {
            trace::life(py, callback, "open", fd);
        }
        Ok(PyRing(Made::new(Inner {
            cell,
            kernel,
            id,
            full_raises,
            sqpoll: params.flags & IORING_SETUP_SQPOLL != 0,
            trace,
            wake: Wake::new(if index_only { -1 } else { fd }),
            number,
            sizes: [params.sq_entries.into(), params.cq_entries.into()],
            params,
            retired: Retired::default(),
            restrictions,
            ops: OnceLock::new(),
            resources: Resources::default(),
            refused: AtomicBool::new(false),
        })))
    }

    fn __enter__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let ring = slf.get();
        if let Err(error) = ring.check_open(slf.py()) {
            ring.refused.store(ring.cell.is_unused(), Ordering::Relaxed);
            return Err(error);
        }
        Ok(slf)
    }

    /// Close. With an exception under way, what is staged is discarded, not submitted.
    #[pyo3(signature = (exc_type = None, exc = None, tb = None, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: Option<&Bound<'_, PyAny>>,
        exc: Option<&Bound<'_, PyAny>>,
        tb: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let _ = (exc_type, exc, tb);
        self.close_ring(py, None)
    }

    /// Close the ring: discard what is staged, cancel what is in flight, wait until the kernel is
    /// done with every buffer, then let go of it. Completions not yet read stay readable.
    ///
    /// Args:
    ///     timeout: seconds to wait for requests that cannot be cancelled (disk transfers under
    ///         way). When it has passed, their memory is leaked rather than freed, with a
    ///         ResourceWarning. None waits as long as it takes; Ctrl-C works.
    ///
    /// Closing a closed ring does nothing. In a forked child it touches nothing.
    #[pyo3(signature = (timeout = None))]
    fn close(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.close_ring(py, patience(timeout)?)
    }

    /// The ring's descriptor, to be watched by poll or epoll: readable when there are completions.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        self.check_open(py)?;
        if self.is_index_only() {
            return Err(PyValueError::new_err("a REGISTERED_FD_ONLY ring has no descriptor"));
        }
        Ok(self.hold(py)?.core.fd())
    }

    /// Whether the ring is closed.
    #[getter]
    fn closed(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.hold(py)?.core.phase() != Phase::Open)
    }

    /// Submission entries there are.
    #[getter]
    fn sq_entries(&self) -> u32 {
        self.sq_size()
    }

    /// Completion entries there are; as many requests can be unfinished at a time.
    #[getter]
    fn cq_entries(&self) -> u32 {
        self.cq_size()
    }

    /// SetupFlags the ring was made with.
    #[getter]
    fn flags(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        flag_class(py, "SetupFlags", self.params.flags)
    }

    /// Features of the kernel.
    #[getter]
    fn features(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        flag_class(py, "Features", self.params.features)
    }

    /// Whether many threads may use it at once.
    #[getter]
    fn shared(&self) -> bool {
        self.cell.shared()
    }

    /// Free submission entries.
    #[getter]
    pub(crate) fn sq_space(&self, py: Python<'_>) -> PyResult<u32> {
        let mut state = self.hold(py)?;
        Ok(if state.core.phase() == Phase::Open { state.core.sq().space() } else { 0 })
    }

    /// Entries that the kernel has not taken yet.
    #[getter]
    fn sq_ready(&self, py: Python<'_>) -> PyResult<u32> {
        let mut state = self.hold(py)?;
        Ok(if state.core.phase() == Phase::Open { state.core.pending() } else { 0 })
    }

    /// Completions that can be had without blocking: by iteration, or those of batches by
    /// reap_into.
    #[getter]
    fn cq_ready(&self, py: Python<'_>) -> PyResult<usize> {
        if self.hold(py)?.core.phase() == Phase::Open {
            self.harvest(py)?;
            // Held back, but to be had without blocking all the same.
            if self.flush_held_back(py)? {
                self.harvest(py)?;
            }
        }
        Ok(self.hold(py)?.have_any())
    }

    /// Requests staged or with the kernel.
    #[getter]
    fn in_flight(&self, py: Python<'_>) -> PyResult<u32> {
        Ok(self.hold(py)?.core.live())
    }

    /// Whether completions wait outside the full completion queue. None is lost: the next reaping
    /// brings them in.
    #[getter]
    fn cq_overflowed(&self, py: Python<'_>) -> PyResult<bool> {
        let mut state = self.hold(py)?;
        Ok(state.core.phase() == Phase::Open && state.core.sq().cq_overflowed())
    }

    /// Whether the kernel's poll thread sleeps and must be woken (SQPOLL).
    #[getter]
    pub(crate) fn sq_needs_wakeup(&self, py: Python<'_>) -> PyResult<bool> {
        let mut state = self.hold(py)?;
        Ok(self.sqpoll && state.core.phase() == Phase::Open && state.core.sq().needs_wakeup())
    }

    /// Completions that no request of this ring stands for. Always 0, unless the kernel or this
    /// library is broken.
    #[getter]
    fn stray_completions(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.hold(py)?.core.strays())
    }

    /// Whether a request is still staged or with the kernel.
    #[pyo3(signature = (request, /))]
    fn is_live(&self, py: Python<'_>, request: &Bound<'_, PyAny>) -> PyResult<bool> {
        let key = request::extract(request)?;
        let live = live::is_live(&self.hold(py)?.core, key.key);
        Ok(key.ring_id == self.id && live)
    }

    /// Whether the kernel has an operation, given by name ("READ") or number.
    #[pyo3(signature = (op, /))]
    fn supports(&self, py: Python<'_>, op: &Bound<'_, PyAny>) -> PyResult<bool> {
        let number = if let Ok(name) = op.extract::<String>() {
            let info = opcode::by_name(&name);
            info.ok_or_else(|| PyValueError::new_err(format!("no operation {name:?}")))?.number
        } else {
            op.extract::<u8>()?
        };
        self.check_open(py)?;
        Ok(self.ops(py)?.contains(number))
    }

    /// Submit what is staged, and wait for completions.
    ///
    /// Args:
    ///     wait: return once so many completions can be had, those of batches included.
    ///     timeout: seconds to wait at most; with fewer completions the call just returns.
    ///     min_wait: after so many seconds one completion will do, and the call returns with it as
    ///         soon as there is one.
    ///
    /// Returns: how many requests the kernel took.
    /// Source: io_uring_submit_and_wait(3), io_uring_submit_and_wait_min_timeout(3).
    #[pyo3(signature = (wait = 0, timeout = None, *, min_wait = None))]
    fn submit(
        &self,
        py: Python<'_>,
        wait: u32,
        timeout: Option<&Bound<'_, PyAny>>,
        min_wait: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u32> {
        self.check_open(py)?;
        self.submit_and_wait_long(py, Want::Any(wait), patience(timeout)?, patience(min_wait)?)
    }

    /// Submit what is staged, and wait until `min` completions can be had, the time is up, or
    /// somebody calls wake(). After `min_wait` seconds one completion will do.
    ///
    /// Returns: how many completions can be had.
    #[pyo3(signature = (min = 1, timeout = None, *, min_wait = None))]
    fn wait(
        &self,
        py: Python<'_>,
        min: u32,
        timeout: Option<&Bound<'_, PyAny>>,
        min_wait: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        self.check_open(py)?;
        let (timeout, min_wait) = (patience(timeout)?, patience(min_wait)?);
        self.submit_and_wait_long(py, Want::Any(min), timeout, min_wait)?;
        Ok(self.hold(py)?.have_any())
    }

    /// Submit what is staged, wait for one completion and take it.
    ///
    /// Raises:
    ///     TimeoutError: none came within `timeout` seconds, or wake() was called first.
    #[pyo3(signature = (timeout = None))]
    fn wait_cqe(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        self.check_open(py)?;
        self.submit_and_wait(py, Want::Single(1), patience(timeout)?)?;
        self.next_ready(py)?.ok_or_else(|| PyTimeoutError::new_err("no completion in time"))
    }

    /// Submit what is staged, wait for `min` completions (or the time to be up), and iterate over
    /// those there are. After `min_wait` seconds one completion will do.
    #[pyo3(signature = (min = 0, timeout = None, *, min_wait = None))]
    fn completions<'py>(
        slf: Bound<'py, Self>,
        min: u32,
        timeout: Option<&Bound<'_, PyAny>>,
        min_wait: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let (py, ring) = (slf.py(), slf.get());
        ring.check_open(py)?;
        let (timeout, min_wait) = (patience(timeout)?, patience(min_wait)?);
        ring.submit_and_wait_long(py, Want::Single(min), timeout, min_wait)?;
        Ok(slf)
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    /// The next completion there is, without waiting.
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.next_ready(py)
    }

    /// Take the next completion; None when there is none without waiting.
    fn pop(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.next_ready(py)
    }

    /// The next completion, left in place; None when there is none without waiting.
    fn peek(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.show_next(py)
    }

    /// Take all completions there are without waiting, or at most `max` of them.
    #[pyo3(signature = (max = None))]
    fn reap(&self, py: Python<'_>, max: Option<usize>) -> PyResult<Vec<Py<PyAny>>> {
        let (mut taken, mut looks) = (Vec::new(), 0);
        while taken.len() < max.unwrap_or(usize::MAX) {
            match self.next_while_looking(py, &mut looks) {
                Ok(Some(next)) => taken.push(next),
                Ok(None) => break,
                // What was taken must not be lost; an error that stays comes with the next call.
                Err(_) if !taken.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    /// Show the kernel what is staged without entering it. Returns how many entries it has not
    /// taken yet. With SQPOLL this submits; otherwise the next submit() or enter() does.
    fn flush(&self, py: Python<'_>) -> PyResult<u32> {
        let flushed = self.hold(py)?.core.publish();
        flushed.map_err(|error| self.error(py, &error))
    }

    /// Take back what is staged and not yet shown to the kernel. Returns how many requests.
    fn discard(&self, py: Python<'_>) -> PyResult<u32> {
        self.check_open(py)?;
        self.discard_staged(py)
    }

    /// Make the current wait on this ring return early, or else the next one. From any thread;
    /// repeated calls before it returns count as one.
    ///
    /// Kernel: 6.13.
    fn wake(&self, py: Python<'_>) -> PyResult<()> {
        if !self.cell.same_process() {
            return Err(errors::ring_error(py, &crate::ring::error::RingError::Forked));
        }
        if self.is_index_only() {
            return Err(PyValueError::new_err(
                "a REGISTERED_FD_ONLY ring cannot be woken: no other thread can name it",
            ));
        }
        self.wake.ring(&self.kernel).map_err(|error| errors::ring_error(py, &error))
    }

    /// Enter the kernel to bring in completions it holds back. Returns how many can be had.
    fn flush_overflow(&self, py: Python<'_>) -> PyResult<usize> {
        self.check_open(py)?;
        self.flush_held_back(py)?;
        self.cq_ready(py)
    }

    /// Stage a prepared request.
    #[pyo3(signature = (sqe, /))]
    fn push(&self, py: Python<'_>, sqe: &Bound<'_, PySqe>) -> PyResult<Py<PyAny>> {
        self.push_sqe(py, sqe)
    }

    /// Stage prepared requests in order. Returns a Request for each.
    ///
    /// One that is refused ends it with its exception; those before it stay staged.
    #[pyo3(signature = (sqes, /))]
    fn push_many(&self, py: Python<'_>, sqes: &Bound<'_, PyAny>) -> PyResult<Vec<Py<PyAny>>> {
        let mut requests = Vec::new();
        for sqe in sqes.try_iter()? {
            requests.push(self.push_sqe(py, sqe?.cast::<PySqe>()?)?);
        }
        Ok(requests)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let Ok(mut state) = self.hold(py) else {
            return format!("<Ring entries={} (not usable here)>", self.sq_size());
        };
        let what = match state.core.phase() {
            Phase::Open => format!("fd={} staged={}", state.core.fd(), state.core.pending()),
            Phase::Closing => "closing".into(),
            Phase::Closed => "closed".into(),
        };
        format!(
            "<Ring entries={} {what} in_flight={} ready={}>",
            self.sq_size(),
            state.core.live(),
            state.have_any()
        )
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        gc::traverse(self, &visit)
    }

    fn __clear__(&self) {
        gc::clear(self);
    }
}

pub(crate) fn entry_count(entries: i64) -> PyResult<u32> {
    if entries < 0 {
        return Err(PyValueError::new_err(format!("entries must not be negative, not {entries}")));
    }
    Ok(u32::try_from(entries).unwrap_or(u32::MAX))
}

fn flag_class(py: Python<'_>, name: &str, value: u32) -> PyResult<Py<PyAny>> {
    Ok(py.import("uring_rs.flags")?.getattr(name)?.call1((value,))?.unbind())
}
