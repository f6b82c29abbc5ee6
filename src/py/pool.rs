//! `BufferPool` and `FixedBuffer`: page-aligned memory registered with the kernel, for fixed reads
//! and writes and for O_DIRECT.
//!
//! The memory belongs to the pool's `PoolMemory`, which every buffer and every request in flight
//! holds; unregistering is no barrier (the kernel goes on writing), so it is freed only when the
//! last of them is gone (I2).

use std::ffi::c_int;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::PyTraverseError;

use crate::py::armed;
use crate::py::errors;
use crate::py::keep::{Keep, Memory};
use crate::py::lent::{By, Kept, Lent};
use crate::py::ring::PyRing;
use crate::ring::error::RingError;
use crate::sys::consts::*;
use crate::sys::direct::advise_huge;
use crate::sys::ending::arm_thread;
use crate::sys::os::iovec;
use crate::sys::syscall;

/// The kernel's own bounds (io_uring_register_buffers(3)).
const BUFFERS_MAX: u32 = 16_384;
const BUFFER_SIZE_MAX: usize = 1 << 30;
/// From so many bytes on, huge pages save more time than they cost.
const HUGE: usize = 2 << 20;

pub(crate) struct PoolMemory {
    base: NonNull<u8>,
    len: usize,
    /// Bytes of each buffer, and from one to the next.
    size: usize,
    stride: usize,
    ring_id: u32,
    /// Still registered: fixed operations may use it.
    registered: AtomicBool,
    free: Mutex<Vec<u16>>,
}

// SAFETY: plain memory; exports and the kernel write it, no Rust reference is made to it (I5).
unsafe impl Send for PoolMemory {}
// SAFETY: as above.
unsafe impl Sync for PoolMemory {}

impl PoolMemory {
    /// `count` buffers of `size` bytes, zeroed, for ring `ring_id` (0: for none).
    pub(crate) fn new(py: Python<'_>, count: i64, size: i64, ring_id: u32) -> PyResult<Arc<Self>> {
        if !(1..=i64::from(BUFFERS_MAX)).contains(&count) {
            return Err(PyValueError::new_err(format!(
                "count must be 1 to {BUFFERS_MAX}, not {count}"
            )));
        }
        if !(1..=BUFFER_SIZE_MAX as i64).contains(&size) {
            return Err(PyValueError::new_err(format!(
                "size must be 1 to 2**30 bytes, not {size}"
            )));
        }
        let (count, size) = (count as usize, size as usize);
        // Each buffer begins on a page, as O_DIRECT wants it.
        let stride = size.next_multiple_of(syscall::page_size());
        let len = stride
            .checked_mul(count)
            .ok_or_else(|| PyValueError::new_err("the pool would not fit into memory"))?;
        let base = syscall::map_anonymous(len).map_err(|errno| {
            errors::ring_error(py, &RingError::Sys(crate::ring::error::Call::Map, errno))
        })?;
        if len >= HUGE {
            // SAFETY: a private mapping of ours (I1).
            unsafe { advise_huge(base, len) };
        }
        Ok(Arc::new(PoolMemory {
            base,
            len,
            size,
            stride,
            ring_id,
            registered: AtomicBool::new(false),
            free: Mutex::new((0..count as u16).rev().collect()),
        }))
    }

    fn lent(&self) -> MutexGuard<'_, Vec<u16>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of each buffer.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Buffers that can be taken now.
    pub(crate) fn available(&self) -> usize {
        self.lent().len()
    }

    /// Fixed operations may use it.
    pub(crate) fn is_registered(&self) -> bool {
        self.registered.load(Ordering::Acquire)
    }

    /// Hand a buffer out; it is nobody else's until it comes back.
    pub(crate) fn take(self: &Arc<Self>) -> PyResult<PyFixedBuffer> {
        let index = self.lent().pop();
        let index = index.ok_or_else(|| {
            let count = self.len / self.stride;
            PyBufferError::new_err(format!("all {count} buffers of the pool are taken"))
        })?;
        Ok(PyFixedBuffer { memory: Arc::clone(self), index, lent: Lent::default() })
    }
}

impl Drop for PoolMemory {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`; no buffer, export or request refers to it any more (I2).
        unsafe { syscall::unmap(self.base, self.len) };
    }
}

/// A pool of equal, page-aligned buffers registered with one ring.
///
/// `take()` one, use it with `prep_read_fixed` and `prep_write_fixed`, and give it back with
/// `release()` or by leaving its `with`. Made by `Ring.buffer_pool(count, size)`.
#[pyclass(name = "BufferPool", module = "uring_rs", frozen)]
pub(crate) struct PyBufferPool {
    pub(crate) memory: Arc<PoolMemory>,
    ring: Py<PyRing>,
    count: u32,
}

/// One buffer of a `BufferPool` or an `AlignedPool`: writable memory through the buffer protocol.
///
/// Given back by `release()`, at the end of its `with`, or when it is collected.
#[pyclass(name = "FixedBuffer", module = "uring_rs", frozen)]
pub(crate) struct PyFixedBuffer {
    memory: Arc<PoolMemory>,
    index: u16,
    lent: Lent,
}

impl PyFixedBuffer {
    fn address(&self) -> *mut u8 {
        // SAFETY: `index` is one of the pool's, so within the mapping (I5: address only).
        unsafe { self.memory.base.as_ptr().add(self.index as usize * self.memory.stride) }
    }

    fn check(&self) -> PyResult<()> {
        if self.lent.is_back() {
            return Err(given_back());
        }
        Ok(())
    }

    /// One more use, until `leave`.
    fn enter(&self, by: By) -> PyResult<()> {
        if self.lent.enter(by) {
            return Ok(());
        }
        Err(given_back())
    }

    /// Is it a buffer of that pool?
    pub(crate) fn is_of(&self, memory: &Arc<PoolMemory>) -> bool {
        Arc::ptr_eq(&self.memory, memory)
    }

    fn give_back(&self) -> Result<(), Kept> {
        self.lent.end()?;
        self.memory.lent().push(self.index);
        Ok(())
    }
}

#[cold]
fn given_back() -> PyErr {
    PyValueError::new_err("this buffer was given back to its pool")
}

impl Drop for PyFixedBuffer {
    fn drop(&mut self) {
        arm_thread();
        // No export and no request is left: each held a reference (I2).
        let _ = self.give_back();
    }
}

impl Drop for PyBufferPool {
    fn drop(&mut self) {
        arm_thread();
        // Nobody can close it any more, and the ring takes no other pool before that. Buffers still
        // taken are in use, though: with them it stays registered until the ring closes.
        if self.available() < self.count as usize {
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

#[pymethods]
impl PyFixedBuffer {
    /// Its number in the ring's table of registered buffers.
    #[getter]
    fn index(&self) -> u16 {
        self.index
    }

    /// Bytes it has.
    fn __len__(&self) -> usize {
        self.memory.size
    }

    /// Give it back to the pool.
    ///
    /// Raises:
    ///     BufferError: a request or a memoryview still uses it.
    pub(crate) fn release(&self) -> PyResult<()> {
        match self.give_back() {
            Ok(()) | Err(Kept::Already) => Ok(()),
            Err(Kept::Requested) => {
                Err(PyBufferError::new_err("a request in flight uses this buffer"))
            }
            Err(Kept::Viewed) => Err(PyBufferError::new_err("a memoryview of this buffer exists")),
        }
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().check()?;
        Ok(slf)
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

    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let buffer = slf.get();
        buffer.enter(By::View)?;
        let len = buffer.memory.size as ffi::Py_ssize_t;
        // SAFETY: `view` is the caller's; the memory stays as long as `slf`, which it holds (I2).
        let failed = unsafe {
            let start = buffer.address().cast();
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, len, 0, flags)
        };
        if failed != 0 {
            buffer.lent.leave(By::View);
            return Err(PyErr::fetch(slf.py()));
        }
        Ok(())
    }

    unsafe fn __releasebuffer__(&self, view: *mut ffi::Py_buffer) {
        let _ = view;
        self.lent.leave(By::View);
    }

    fn __repr__(&self) -> String {
        let state = if self.lent.is_back() { " (given back)" } else { "" };
        format!("<FixedBuffer {} of {} bytes{state}>", self.index, self.memory.size)
    }
}

#[pymethods]
impl PyBufferPool {
    /// How many buffers the pool has.
    #[getter]
    fn count(&self) -> u32 {
        self.count
    }

    /// Bytes of each.
    #[getter]
    fn size(&self) -> usize {
        self.memory.size
    }

    /// Buffers that can be taken now.
    #[getter]
    fn available(&self) -> usize {
        self.memory.available()
    }

    /// Take a buffer.
    ///
    /// Raises:
    ///     BufferError: all are taken.
    ///     ValueError: the pool was closed.
    fn take(&self) -> PyResult<PyFixedBuffer> {
        if !self.memory.is_registered() {
            return Err(PyValueError::new_err("the pool is closed"));
        }
        self.memory.take()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.ring)
    }

    /// Unregister the buffers. Those still taken remain ordinary memory.
    pub(crate) fn close(&self, py: Python<'_>) -> PyResult<()> {
        let ring = self.ring.get();
        let closed = ring.hold(py)?.core.is_closed();
        // Nothing new on it from here on; and one thread only goes on.
        if closed || !self.memory.registered.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let done = ring.register_away(py, |registrar| {
            // SAFETY: takes no argument. Requests in flight go on with the memory they hold (I2).
            unsafe { registrar.call(IORING_UNREGISTER_BUFFERS, core::ptr::null_mut(), 0) }
        });
        match done {
            Ok(_) => ring.give_buffer_table_back(py),
            Err(error) => {
                self.memory.registered.store(true, Ordering::Release);
                Err(error)
            }
        }
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

    fn __repr__(&self) -> String {
        format!("<BufferPool {} x {} bytes, {} free>", self.count, self.size(), self.available())
    }
}

/// Map, register and wrap `count` buffers of `size` bytes.
pub(crate) fn make(ring: &Bound<'_, PyRing>, count: i64, size: i64) -> PyResult<PyBufferPool> {
    let py = ring.py();
    let this = ring.get();
    let memory = PoolMemory::new(py, count, size, this.id)?;
    let count = count as u32;
    register(py, this, &memory, count)?;
    Ok(PyBufferPool { memory, ring: ring.clone().unbind(), count })
}

fn register(py: Python<'_>, ring: &PyRing, memory: &PoolMemory, count: u32) -> PyResult<()> {
    let vectors: Vec<iovec> = (0..count as usize)
        .map(|index| iovec {
            // SAFETY: within the mapping of `count` strides (I5: address only).
            iov_base: unsafe { memory.base.as_ptr().add(index * memory.stride) }.cast(),
            iov_len: memory.size,
        })
        .collect();
    ring.take_buffer_table(py)?;
    let vectors = Vectors(vectors);
    // Pinning much memory takes long: others have the interpreter meanwhile (I6).
    let done = ring.register_away(py, |registrar| {
        let arg = { &vectors }.0.as_ptr().cast_mut().cast();
        // SAFETY: `count` vectors, read during the call; the memory outlives every use (I2).
        unsafe { registrar.call(IORING_REGISTER_BUFFERS, arg, count) }
    });
    match done {
        Ok(_) => memory.registered.store(true, Ordering::Release),
        Err(error) => {
            ring.give_buffer_table_back(py)?;
            return Err(error);
        }
    }
    Ok(())
}

/// Addresses within a pool's memory.
struct Vectors(Vec<iovec>);

// SAFETY: plain addresses of memory that the caller holds (I2).
unsafe impl Send for Vectors {}
// SAFETY: as above.
unsafe impl Sync for Vectors {}

/// All of a pool's buffer, held by the request.
pub(crate) fn whole(keep: &mut Keep, object: &Bound<'_, PyFixedBuffer>) -> PyResult<(Memory, u16)> {
    let buffer = object.get();
    buffer.check()?;
    if !buffer.memory.is_registered() {
        return Err(PyValueError::new_err("the pool of this buffer is closed, or not registered"));
    }
    keep.bind(buffer.memory.ring_id)?;
    buffer.enter(By::Request)?;
    keep.hold_fixed(object.as_any());
    Ok((Memory { addr: buffer.address() as u64, len: buffer.memory.size }, buffer.index))
}

/// A request that used a registered buffer has ended.
pub(crate) fn used_no_more(buffer: &Bound<'_, PyAny>) {
    if let Ok(buffer) = buffer.cast::<PyFixedBuffer>() {
        buffer.get().lent.leave(By::Request);
    }
}
