//! `AlignedPool`: memory for direct I/O, registered with a ring if there is one and its limits allow.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::PyTraverseError;

use crate::py::pool::{self, PoolMemory, PyBufferPool, PyFixedBuffer};
use crate::py::ring::PyRing;
use crate::sys::ending::arm_thread;
use crate::sys::Errno;

/// A pool of equal, page-aligned buffers, ready for direct I/O (O_DIRECT).
///
///     pool = uring_rs.AlignedPool(16, 1 << 20)
///     with pool.acquire() as buffer:
///         os.preadv(fd, [buffer], 0)
///
/// Args:
///     count: how many buffers, 1 to 16384.
///     size: bytes of each, 1 to 2**30. Each begins on a page; large pools get huge pages where
///         there are any.
///     register: a ring to register the buffers with, for `prep_read_fixed` and
///         `prep_write_fixed`. Where its limit of locked memory (RLIMIT_MEMLOCK) does not allow
///         that, they are ordinary memory: `registered` tells.
///
/// The memory is zeroed when the pool is made. A buffer that is acquired again has what was left in
/// it. No buffer is anybody else's until it has been released, and none can be released while a
/// memoryview, an array or a request uses it. The memory lives as long as the pool or any buffer.
#[pyclass(name = "AlignedPool", module = "uring_rs", frozen)]
pub(crate) struct PyAlignedPool {
    memory: Arc<PoolMemory>,
    registered: Option<Py<PyBufferPool>>,
    count: usize,
    closed: AtomicBool,
}

#[pymethods]
impl PyAlignedPool {
    #[new]
    #[pyo3(signature = (count, size, *, register = None))]
    fn new(
        py: Python<'_>,
        count: i64,
        size: i64,
        register: Option<&Bound<'_, PyRing>>,
    ) -> PyResult<Self> {
        arm_thread();
        let registered = match register.map(|ring| pool::make(ring, count, size)) {
            Some(Ok(pool)) => Some(Py::new(py, pool)?),
            Some(Err(error)) if !short_of_memory(py, &error)? => return Err(error),
            Some(Err(_)) | None => None,
        };
        let memory = match &registered {
            Some(pool) => Arc::clone(&pool.get().memory),
            None => PoolMemory::new(py, count, size, 0)?,
        };
        let count = memory.available();
        Ok(PyAlignedPool { memory, registered, count, closed: AtomicBool::new(false) })
    }

    /// How many buffers the pool has.
    #[getter]
    fn count(&self) -> usize {
        self.count
    }

    /// Bytes of each.
    #[getter]
    fn size(&self) -> usize {
        self.memory.size()
    }

    /// Buffers that can be acquired now.
    #[getter]
    fn available(&self) -> usize {
        self.memory.available()
    }

    /// Are the buffers registered with a ring?
    #[getter]
    fn registered(&self) -> bool {
        self.memory.is_registered()
    }

    /// Take a buffer: writable memory through the buffer protocol (memoryview, NumPy,
    /// torch.frombuffer). It goes back by its `release()`, at the end of its `with`, or when it is
    /// collected.
    ///
    /// Raises:
    ///     BufferError: all are taken.
    ///     ValueError: the pool was closed.
    fn acquire(&self) -> PyResult<PyFixedBuffer> {
        if self.closed.load(Ordering::Acquire) {
            return Err(PyValueError::new_err("the pool is closed"));
        }
        self.memory.take()
    }

    /// Give a buffer of this pool back; the same as its `release()`.
    ///
    /// Raises:
    ///     BufferError: a request, a memoryview or an array still uses it.
    ///     ValueError: it is another pool's.
    #[pyo3(signature = (buffer, /))]
    fn release(&self, buffer: &PyFixedBuffer) -> PyResult<()> {
        if !buffer.is_of(&self.memory) {
            return Err(PyValueError::new_err("this buffer belongs to another pool"));
        }
        buffer.release()
    }

    /// Unregister the buffers, and hand out no more. Those still taken remain ordinary memory.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.closed.store(true, Ordering::Release);
        self.registered.as_ref().map_or(Ok(()), |pool| pool.get().close(py))
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

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.registered)
    }

    fn __repr__(&self) -> String {
        let kind = if self.registered() { ", registered" } else { "" };
        let (count, size, free) = (self.count, self.size(), self.available());
        format!("<AlignedPool {count} x {size} bytes{kind}, {free} free>")
    }
}

/// Is it the limit of locked memory (or memory itself) that stands in the way?
fn short_of_memory(py: Python<'_>, error: &PyErr) -> PyResult<bool> {
    if !error.is_instance_of::<pyo3::exceptions::PyOSError>(py) {
        return Ok(false);
    }
    let errno: Option<i32> = error.value(py).getattr("errno")?.extract()?;
    Ok(errno == Some(Errno::ENOMEM.0))
}
