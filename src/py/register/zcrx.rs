//! Zero-copy receive: `ZcrxQueue`, a queue of a network interface that a ring receives from, and
//! `ZcrxBuffer`, a piece of what has arrived.

use std::ffi::c_int;
use std::sync::Arc;

use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::py::errors;
use crate::py::lent::{By, Kept, Lent};
use crate::py::ring::PyRing;
use crate::ring::error::RingError;
use crate::ring::zcrx::{Ifq, IfqConfig};
use crate::sys::ending::arm_thread;
use crate::sys::Errno;

/// A receive queue of a network interface whose packets land in memory of this process.
///
/// Made by `Ring.register_ifq()`; receive from its sockets with `prep_recv_zc`. It lasts until the
/// ring is closed.
#[pyclass(name = "ZcrxQueue", module = "uring_rs", frozen)]
pub(crate) struct PyZcrxQueue {
    ifq: Arc<Ifq>,
    ring_id: u32,
}

impl PyZcrxQueue {
    pub(crate) fn ring_id(&self) -> u32 {
        self.ring_id
    }
}

#[pymethods]
impl PyZcrxQueue {
    /// The number that the kernel knows it by.
    #[getter]
    pub(crate) fn id(&self) -> u32 {
        self.ifq.id()
    }

    /// A piece that has arrived, to be read and then released.
    ///
    /// Args:
    ///     offset: as the completion's 32 bytes tell it: `cqe.big_cqe[0]`.
    ///     nbytes: the completion's result.
    ///
    /// Raises:
    ///     ValueError: not within the queue's memory.
    fn buffer(&self, offset: u64, nbytes: u32) -> PyResult<PyZcrxBuffer> {
        if self.ifq.bytes(offset, nbytes).is_none() {
            return Err(PyValueError::new_err("not within the queue's memory"));
        }
        Ok(PyZcrxBuffer { ifq: self.ifq.clone(), offset, nbytes, lent: Lent::default() })
    }

    fn __repr__(&self) -> String {
        format!("<ZcrxQueue id={}>", self.ifq.id())
    }
}

/// A piece of what has arrived on a `ZcrxQueue`: read-only memory through the buffer protocol.
///
/// Given back to the network interface by `release()`, at the end of its `with`, or when dropped.
#[pyclass(name = "ZcrxBuffer", module = "uring_rs", frozen)]
pub(crate) struct PyZcrxBuffer {
    ifq: Arc<Ifq>,
    offset: u64,
    nbytes: u32,
    lent: Lent,
}

impl PyZcrxBuffer {
    fn give_back(&self) -> Result<(), Kept> {
        self.lent.end()?;
        self.ifq.give_back(self.offset, self.nbytes);
        Ok(())
    }
}

impl Drop for PyZcrxBuffer {
    fn drop(&mut self) {
        arm_thread();
        // No view is left: each held a reference (I2).
        let _ = self.give_back();
    }
}

#[pymethods]
impl PyZcrxBuffer {
    /// Give it back. Releasing it again does nothing.
    ///
    /// Raises:
    ///     BufferError: a view of it is still in use.
    fn release(&self) -> PyResult<()> {
        match self.give_back() {
            Ok(()) | Err(Kept::Already) => Ok(()),
            Err(_) => Err(PyBufferError::new_err("a view of the buffer is still in use")),
        }
    }

    fn __len__(&self) -> usize {
        self.nbytes as usize
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
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

    /// The bytes, read-only.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let this = slf.get();
        let Some(base) = this.ifq.bytes(this.offset, this.nbytes) else {
            return Err(PyBufferError::new_err("not within the queue's memory"));
        };
        if view.is_null() || !this.lent.enter(By::View) {
            return Err(PyBufferError::new_err("the buffer was given back"));
        }
        let (base, len) = (base.cast(), this.nbytes as ffi::Py_ssize_t);
        // SAFETY: the view holds a reference to `slf`, which keeps the memory (I2, I5).
        if unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), base, len, 1, flags) } != 0 {
            this.lent.leave(By::View);
            return Err(PyErr::fetch(slf.py()));
        }
        Ok(())
    }

    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        self.lent.leave(By::View);
    }
}

/// What the kernel means by its refusal, where it is not what the errno says.
fn why_not(error: &RingError) -> Option<&'static str> {
    match error {
        RingError::Sys(_, Errno::EOPNOTSUPP) => Some(
            "this network interface cannot receive without copying, or is not set up to split \
             headers from data",
        ),
        RingError::Sys(_, Errno::EPERM) => Some("this takes CAP_NET_ADMIN"),
        _ => None,
    }
}

/// More than any queue needs, less than a mistake.
const AREA_MAX: i64 = 1 << 36;

#[pymethods]
impl PyRing {
    /// Receive without copying from a queue of a network interface, whose packets then land in
    /// memory of this process. The interface must be able to split headers from data and be set up
    /// for it (ethtool); most cannot.
    ///
    /// Args:
    ///     interface: its name ("eth0") or number.
    ///     queue: the number of its receive queue.
    ///     area: bytes of memory for what arrives.
    ///     entries: of the ring by which memory goes back, a power of two up to 32768.
    ///
    /// Raises:
    ///     ValueError: the ring lacks SetupFlags.DEFER_TASKRUN, or CQE32 or CQE_MIXED.
    ///     OSError: there is no such interface.
    ///     UringError: EOPNOTSUPP for an interface that cannot, EPERM without CAP_NET_ADMIN.
    ///
    /// Kernel: 6.15.
    /// Memory: `area` bytes, locked in memory until the ring is closed.
    /// Source: io_uring_register_ifq(3).
    #[pyo3(signature = (interface, queue, *, area = 64 << 20, entries = 4096))]
    fn register_ifq(
        &self,
        py: Python<'_>,
        interface: &Bound<'_, PyAny>,
        queue: u32,
        area: i64,
        entries: u32,
    ) -> PyResult<PyZcrxQueue> {
        if !(1..=AREA_MAX).contains(&area) {
            return Err(PyValueError::new_err(format!("area must be 1 to {AREA_MAX} bytes")));
        }
        let interface = if interface.is_instance_of::<PyString>() {
            py.import("socket")?.call_method1("if_nametoindex", (interface,))?.extract()?
        } else {
            interface.extract()?
        };
        let config = IfqConfig { interface, queue, entries, area: area as usize };
        self.check_open(py)?;
        let made = self.hold(py)?.core.register_ifq(&config);
        match made {
            Ok(ifq) => Ok(PyZcrxQueue { ifq: Arc::new(ifq), ring_id: self.id }),
            Err(error) => Err(match (&error, why_not(&error)) {
                (error, Some(why)) => errors::explained(py, error, why),
                (error, None) => self.error(py, error),
            }),
        }
    }
}
