//! `BufferRing` and `ProvidedBuffers`: pools of buffers from which the kernel chooses.

use std::sync::Arc;

use pyo3::exceptions::{PyBufferError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::PyTraverseError;

use crate::py::armed;
use crate::py::errors;
use crate::py::keep::Keep;
use crate::py::picked::PyPooledBuffer;
use crate::py::ring::PyRing;
use crate::ring::bufring::book::{Kind, Place};
use crate::ring::bufring::{Busy, How, Part, Plan, Pool, Use};
use crate::sys::consts::IOSQE_ASYNC;
use crate::sys::ending::arm_thread;

/// The kernel's own bounds: entries of a ring of buffers, and buffers of one request.
const RING_MAX: i64 = 32_768;
const LEGACY_MAX: i64 = 65_535;
const SIZE_MAX: i64 = 1 << 30;
/// Of all buffers of a pool together: what a process can map, with room to spare.
const BYTES_MAX: i64 = 1 << 45;

/// A pool and its ring.
struct Held {
    pool: Arc<Pool>,
    ring: Py<PyRing>,
}

impl Held {
    fn make(ring: &Bound<'_, PyRing>, plan: Plan) -> PyResult<Self> {
        let (py, this) = (ring.py(), ring.get());
        this.check_open(py)?;
        let made = this.hold(py)?.core.add_pool(&plan);
        let pool = made.map_err(|error| this.error(py, &error))?;
        Ok(Held { pool, ring: ring.clone().unbind() })
    }

    fn remove(&self, py: Python<'_>) -> PyResult<Result<(), Busy>> {
        if !self.pool.is_open() {
            return Ok(Ok(()));
        }
        let ring = self.ring.get();
        // What has ended uses it no more.
        ring.harvest(py)?;
        let removed = ring.hold(py)?.core.remove_pool(&self.pool);
        Ok(removed)
    }

    /// Leave a `with`: where it is in use, it is the ring's to close.
    fn leave(&self, py: Python<'_>) -> PyResult<()> {
        match self.remove(py)? {
            Err(Busy::Refused(error)) => Err(self.ring.get().error(py, &error)),
            _ => Ok(()),
        }
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let ring = self.ring.get();
        self.remove(py)?.map_err(|busy| match busy {
            Busy::Users(count) => PyBufferError::new_err(format!(
                "{count} requests in flight, or Sqes, use these buffers: cancel or drop them first"
            )),
            Busy::Buffers(count) => PyBufferError::new_err(format!(
                "the kernel has {count} of these buffers: take them back with \
                 prep_remove_buffers() first"
            )),
            Busy::Refused(error) => ring.error(py, &error),
        })
    }

    fn available(&self, py: Python<'_>) -> PyResult<u32> {
        if !self.pool.is_open() {
            return Ok(0);
        }
        let ring = self.ring.get();
        let status = ring.hold(py)?.core.pool_status(&self.pool);
        status.map_err(|error| ring.error(py, &error))
    }

    fn shown(&self, name: &str) -> String {
        let (count, size) = (self.pool.count(), self.pool.size());
        let state = if self.pool.is_open() { "" } else { " (closed)" };
        format!("<{name} {} with {count} x {size} bytes{state}>", self.pool.group())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        arm_thread();
        // Nobody can close it any more. Where requests use it, it stays until the ring closes.
        if self.pool.users() > 0 || !self.pool.is_open() {
            return;
        }
        armed::last(|py| {
            let pending = errors::Pending::save(py);
            // Refused in a thread that may not use the ring: then closing the ring does it.
            let _ = self.close(py);
            pending.restore();
        });
    }
}

fn number(name: &str, value: i64, max: i64) -> PyResult<u32> {
    if !(1..=max).contains(&value) {
        return Err(PyValueError::new_err(format!("{name} must be 1 to {max}, not {value}")));
    }
    Ok(value as u32)
}

fn plan(ring: &PyRing, kind: Kind, count: i64, size: i64, kernel_memory: bool) -> PyResult<Plan> {
    let most = if kind == Kind::Legacy { LEGACY_MAX } else { RING_MAX };
    let (count, size) = (number("count", count, most)?, number("size", size, SIZE_MAX)?);
    if i64::from(count) * i64::from(size) > BYTES_MAX {
        return Err(PyValueError::new_err("the buffers would not fit into memory"));
    }
    Ok(Plan { count, size, kind, kernel_memory, ring_id: ring.id })
}

#[pymethods]
impl PyRing {
    /// A pool of buffers from which the kernel chooses one when there is something to put into it:
    /// `prep_recv(sock, pool=...)`, `prep_recv_multishot` and their kin.
    ///
    /// Args:
    ///     count: how many buffers, 1 to 32768.
    ///     size: bytes of each, up to 1 GiB.
    ///     incremental: let small receives share a buffer, each with its own part of it
    ///         (Linux 6.12). For sockets and multishot reads.
    ///     sending: buffers to be filled by you, with queue(), and sent by prep_send and
    ///         prep_send_bundle (Linux 6.10).
    ///     kernel_memory: have the kernel allocate the ring that the buffers are listed in
    ///         (Linux 6.4).
    ///
    /// Raises:
    ///     UnsupportedOperation: this kernel cannot do it.
    ///     UringError: it refuses, most often for want of memory.
    ///
    /// Kernel: 5.19.
    /// Memory: of the pool; it stays as long as anything uses it, after the ring too.
    /// Source: io_uring_setup_buf_ring(3).
    #[pyo3(signature = (count, size, *, incremental = false, sending = false,
        kernel_memory = false))]
    fn buffer_ring(
        slf: Bound<'_, Self>,
        count: i64,
        size: i64,
        incremental: bool,
        sending: bool,
        kernel_memory: bool,
    ) -> PyResult<PyBufferRing> {
        let kind = match (incremental, sending) {
            (false, false) => Kind::Receiving,
            (true, false) => Kind::Incremental,
            (false, true) => Kind::Sending,
            (true, true) => {
                return Err(PyValueError::new_err("a pool is incremental or for sending, not both"))
            }
        };
        let plan = plan(slf.get(), kind, count, size, kernel_memory)?;
        Ok(PyBufferRing(Held::make(&slf, plan)?))
    }

    /// A pool of buffers that requests hand to the kernel (prep_provide_buffers): the older way,
    /// for kernels without buffer_ring.
    ///
    /// Args:
    ///     count: how many buffers, 1 to 65535.
    ///     size: bytes of each, up to 1 GiB.
    ///
    /// Kernel: 5.7.
    /// Memory: of the pool; it stays as long as anything uses it, after the ring too.
    /// Source: io_uring_prep_provide_buffers(3).
    fn provided_buffers(
        slf: Bound<'_, Self>,
        count: i64,
        size: i64,
    ) -> PyResult<PyProvidedBuffers> {
        let plan = plan(slf.get(), Kind::Legacy, count, size, false)?;
        Ok(PyProvidedBuffers(Held::make(&slf, plan)?))
    }
}

/// A pool of buffers of one ring, from which the kernel chooses.
///
/// Made by `Ring.buffer_ring(count, size)` and given to requests as `pool=`. A completion that
/// used a buffer has it as `Completion.buffer`, a view of what was received. It goes back to the
/// kernel when it is released or collected. When none is left, requests end with ENOBUFS, and can
/// be prepared again once buffers are back. Leaving its `with` closes the pool, or leaves that to
/// the ring where requests still use it.
///
/// At any time `available + taken + free` is `count`, but for buffers in completions that were not
/// taken off the ring yet.
#[pyclass(name = "BufferRing", module = "uring_rs", frozen, weakref)]
pub(crate) struct PyBufferRing(Held);

#[pymethods]
impl PyBufferRing {
    /// How many buffers the pool has.
    #[getter]
    fn count(&self) -> u32 {
        self.0.pool.count()
    }

    /// Bytes of each.
    #[getter]
    fn size(&self) -> u32 {
        self.0.pool.size()
    }

    /// The number of the buffer group.
    #[getter]
    fn group(&self) -> u16 {
        self.0.pool.group()
    }

    /// Whether buffers are used up bit by bit.
    #[getter]
    fn incremental(&self) -> bool {
        self.0.pool.kind() == Kind::Incremental
    }

    /// Whether its buffers are for sending.
    #[getter]
    fn sending(&self) -> bool {
        self.0.pool.kind() == Kind::Sending
    }

    /// Buffers the kernel has to choose from, by its own account. 0 when closed.
    #[getter]
    fn available(&self, py: Python<'_>) -> PyResult<u32> {
        self.0.available(py)
    }

    /// Buffers in completions and views, of which the kernel has no part.
    #[getter]
    fn taken(&self) -> u32 {
        self.0.pool.buffers_at(Place::Taken)
    }

    /// Buffers that nobody has: of a pool for sending those to be filled, else those given back
    /// after it was closed.
    #[getter]
    fn free(&self) -> u32 {
        self.0.pool.buffers_at(Place::Free)
    }

    /// Whether the pool was closed, by itself or with its ring.
    #[getter]
    fn closed(&self) -> bool {
        !self.0.pool.is_open()
    }

    /// Take a free buffer of a pool for sending, to fill it and `queue()` it.
    ///
    /// Raises:
    ///     BufferError: none is free.
    ///     ValueError: the pool is not for sending, or closed.
    fn take(&self) -> PyResult<PyPooledBuffer> {
        let part = self.take_free()?;
        Ok(PyPooledBuffer::new(part))
    }

    /// Copy `data` into a free buffer of a pool for sending, and give it to the kernel.
    ///
    /// Raises:
    ///     BufferError: no buffer is free.
    ///     ValueError: `data` is empty or longer than a buffer; the pool is not for sending, or
    ///         closed.
    #[pyo3(signature = (data, /))]
    fn queue(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut keep = Exported::new(data)?;
        let len = keep.len();
        number("the length of data", len as i64, i64::from(self.size()))?;
        let part = self.take_free()?;
        // SAFETY: as many bytes are exported, and the part has room for them; it was taken just
        // now, so it overlaps nothing. Raw pointers only (I5).
        unsafe { core::ptr::copy_nonoverlapping(keep.address(), part.address(), len) };
        if !self.0.pool.queue(&part, len as u32) {
            return Err(closed());
        }
        Ok(())
    }

    /// Unregister the pool. Buffers in views stay readable.
    ///
    /// Raises:
    ///     BufferError: requests in flight, or an Sqe, use it.
    ///
    /// Source: io_uring_free_buf_ring(3).
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.0.close(py)
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
        self.0.leave(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0.ring)
    }

    fn __repr__(&self) -> String {
        self.0.shown("BufferRing")
    }
}

impl PyBufferRing {
    fn take_free(&self) -> PyResult<Part> {
        if !self.0.pool.is_open() {
            return Err(closed());
        }
        if self.0.pool.kind() != Kind::Sending {
            return Err(PyValueError::new_err("this pool is not for sending"));
        }
        self.0.pool.take_free().ok_or_else(|| {
            PyBufferError::new_err(format!("none of the {} buffers is free", self.count()))
        })
    }
}

/// A pool of buffers that requests hand to the kernel.
///
/// Made by `Ring.provided_buffers(count, size)`. `prep_provide_buffers(pool)` hands buffers over;
/// requests take `pool=` as with a BufferRing, and their completions have `buffer`. A buffer that
/// was given back is free, to be provided again.
#[pyclass(name = "ProvidedBuffers", module = "uring_rs", frozen, weakref)]
pub(crate) struct PyProvidedBuffers(Held);

#[pymethods]
impl PyProvidedBuffers {
    /// How many buffers the pool has.
    #[getter]
    fn count(&self) -> u32 {
        self.0.pool.count()
    }

    /// Bytes of each.
    #[getter]
    fn size(&self) -> u32 {
        self.0.pool.size()
    }

    /// The number of the buffer group.
    #[getter]
    fn group(&self) -> u16 {
        self.0.pool.group()
    }

    /// Buffers handed to the kernel, and not known to be back.
    #[getter]
    fn provided(&self) -> u32 {
        self.0.pool.buffers_at(Place::Kernel)
    }

    /// Buffers in completions and views.
    #[getter]
    fn taken(&self) -> u32 {
        self.0.pool.buffers_at(Place::Taken)
    }

    /// Buffers that can be provided.
    #[getter]
    fn free(&self) -> u32 {
        self.0.pool.buffers_at(Place::Free)
    }

    /// Whether the pool was closed, by itself or with its ring.
    #[getter]
    fn closed(&self) -> bool {
        !self.0.pool.is_open()
    }

    /// Close the pool. Buffers in views stay readable.
    ///
    /// Raises:
    ///     BufferError: the kernel has some of the buffers, or requests use them.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.0.close(py)
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
        self.0.leave(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0.ring)
    }

    fn __repr__(&self) -> String {
        self.0.shown("ProvidedBuffers")
    }
}

/// A bytes-like object, exported to be copied.
struct Exported(Box<ffi::Py_buffer>);

impl Exported {
    fn new(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut view = Box::<ffi::Py_buffer>::new_uninit();
        // SAFETY: boxed, so the view stays where it is until released (I1).
        let failed = unsafe {
            ffi::PyObject_GetBuffer(object.as_ptr(), view.as_mut_ptr(), ffi::PyBUF_SIMPLE)
        };
        if failed != 0 {
            return Err(PyErr::fetch(object.py()));
        }
        // SAFETY: filled in by the exporter (I5).
        Ok(Exported(unsafe { view.assume_init() }))
    }

    fn len(&self) -> usize {
        self.0.len as usize
    }

    fn address(&mut self) -> *const u8 {
        self.0.buf.cast()
    }
}

impl Drop for Exported {
    fn drop(&mut self) {
        // SAFETY: filled in by `new`, released once; made and dropped within one call, attached.
        unsafe { ffi::PyBuffer_Release(&raw mut *self.0) };
    }
}

fn closed() -> PyErr {
    PyValueError::new_err("the pool is closed")
}

/// The pool behind a `pool=` argument.
pub(crate) fn extract(object: &Bound<'_, PyAny>) -> PyResult<Arc<Pool>> {
    if let Ok(ring) = object.cast::<PyBufferRing>() {
        return Ok(Arc::clone(&ring.get().0.pool));
    }
    if let Ok(buffers) = object.cast::<PyProvidedBuffers>() {
        return Ok(Arc::clone(&buffers.get().0.pool));
    }
    Err(PyTypeError::new_err(format!(
        "pool must be a BufferRing or ProvidedBuffers, not '{}'",
        object.get_type().name()?
    )))
}

/// Have the request hold the pool as long as it is prepared or in flight.
pub(crate) fn use_pool(keep: &mut Keep, pool: &Arc<Pool>, how: How) -> PyResult<()> {
    keep.use_pool(Use::new(pool, how).ok_or_else(closed)?);
    keep.ring_id = pool.ring_id();
    Ok(())
}

/// Can requests with these flags use the pool?
///
/// Which part of a buffer a completion is about is told by the order of the completions only, which
/// is the order of the receives as long as no worker thread does them.
pub(crate) fn fits(pool: &Use, flags: u8) -> PyResult<()> {
    if pool.pool().kind() == Kind::Incremental && flags & IOSQE_ASYNC != 0 {
        return Err(PyValueError::new_err("an incremental BufferRing cannot be used with ASYNC"));
    }
    Ok(())
}

/// The request is about to be staged.
pub(crate) fn arm(pool: &mut Use, flags: u8) -> PyResult<()> {
    fits(pool, flags)?;
    if !pool.arm() {
        return Err(PyBufferError::new_err(
            "some of these buffers are not free: provided already, or in use",
        ));
    }
    Ok(())
}
