//! `BufferPool` and `FixedBuffer`: page-aligned memory registered with the kernel, for fixed reads
//! and writes and for O_DIRECT.
//!
//! The memory belongs to the pool's `PoolMemory`, which every buffer and every request in flight
//! holds; unregistering is no barrier (the kernel goes on writing), so it is freed only when the
//! last of them is gone (I2).

use std::ffi::c_int;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::{PyBufferError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::PyTraverseError;

use crate::py::errors;
use crate::py::keep::{Keep, Memory};
use crate::py::ring::PyRing;
use crate::ring::error::RingError;
use crate::sys::consts::*;
use crate::sys::os::iovec;
use crate::sys::{syscall, Errno};

/// The kernel's own bounds (io_uring_register_buffers(3)).
const BUFFERS_MAX: u32 = 16_384;
const BUFFER_SIZE_MAX: usize = 1 << 30;

struct PoolMemory {
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
    memory: Arc<PoolMemory>,
    ring: Py<PyRing>,
    count: u32,
}

/// One buffer of a `BufferPool`: writable memory through the buffer protocol.
///
/// Given back by `release()`, at the end of its `with`, or when it is collected.
#[pyclass(name = "FixedBuffer", module = "uring_rs", frozen)]
pub(crate) struct PyFixedBuffer {
    memory: Arc<PoolMemory>,
    index: u16,
    released: AtomicBool,
    exports: AtomicU32,
    /// Requests in flight that use it.
    users: AtomicU32,
}

impl PyFixedBuffer {
    fn address(&self) -> *mut u8 {
        // SAFETY: `index` is one of the pool's, so within the mapping (I5: address only).
        unsafe { self.memory.base.as_ptr().add(self.index as usize * self.memory.stride) }
    }

    fn check(&self) -> PyResult<()> {
        if self.released.load(Ordering::Acquire) {
            return Err(PyValueError::new_err("this buffer was given back to its pool"));
        }
        Ok(())
    }

    fn give_back(&self) {
        if !self.released.swap(true, Ordering::AcqRel) {
            let mut free = self.memory.free.lock().unwrap_or_else(PoisonError::into_inner);
            free.push(self.index);
        }
    }
}

impl Drop for PyFixedBuffer {
    fn drop(&mut self) {
        // No export and no request is left: each held a reference (I2).
        self.give_back();
    }
}

impl Drop for PyBufferPool {
    fn drop(&mut self) {
        // Nobody can close it any more, and the ring takes no other pool before that. Buffers still
        // taken are in use, though: with them it stays registered until the ring closes.
        if self.available() < self.count as usize {
            return;
        }
        Python::attach(|py| {
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
    fn release(&self) -> PyResult<()> {
        if self.released.load(Ordering::Acquire) {
            return Ok(());
        }
        if self.users.load(Ordering::Acquire) > 0 {
            return Err(PyBufferError::new_err("a request in flight uses this buffer"));
        }
        if self.exports.load(Ordering::Acquire) > 0 {
            return Err(PyBufferError::new_err("a memoryview of this buffer exists"));
        }
        self.give_back();
        Ok(())
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
        buffer.check()?;
        let len = buffer.memory.size as ffi::Py_ssize_t;
        // SAFETY: `view` is the caller's; the memory stays as long as `slf`, which it holds (I2).
        let failed = unsafe {
            let start = buffer.address().cast();
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, len, 0, flags)
        };
        if failed != 0 {
            return Err(PyErr::fetch(slf.py()));
        }
        buffer.exports.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    unsafe fn __releasebuffer__(&self, view: *mut ffi::Py_buffer) {
        let _ = view;
        self.exports.fetch_sub(1, Ordering::AcqRel);
    }

    fn __repr__(&self) -> String {
        let state = if self.released.load(Ordering::Relaxed) { " (given back)" } else { "" };
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
        self.memory.free.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Take a buffer.
    ///
    /// Raises:
    ///     BufferError: all are taken.
    ///     ValueError: the pool was closed.
    fn take(&self) -> PyResult<PyFixedBuffer> {
        if !self.memory.registered.load(Ordering::Acquire) {
            return Err(PyValueError::new_err("the pool is closed"));
        }
        let index = self.memory.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let index = index.ok_or_else(|| {
            PyBufferError::new_err(format!("all {} buffers of the pool are taken", self.count))
        })?;
        Ok(PyFixedBuffer {
            memory: Arc::clone(&self.memory),
            index,
            released: AtomicBool::new(false),
            exports: AtomicU32::new(0),
            users: AtomicU32::new(0),
        })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.ring)
    }

    /// Unregister the buffers. Those still taken remain ordinary memory.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let ring = self.ring.get();
        let mut state = ring.hold(py)?;
        if !self.memory.registered.load(Ordering::Acquire) || state.core.is_closed() {
            return Ok(());
        }
        let null = core::ptr::null_mut();
        // SAFETY: takes no argument. Requests in flight go on with the memory they hold (I2).
        let done = unsafe { state.core.register(IORING_UNREGISTER_BUFFERS, null, 0) };
        if done.is_ok() {
            state.core.has_buffers = false;
            self.memory.registered.store(false, Ordering::Release);
        }
        drop(state);
        done.map(drop).map_err(|error| ring.error(py, &error))
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
    if !(1..=i64::from(BUFFERS_MAX)).contains(&count) {
        return Err(PyValueError::new_err(format!(
            "count must be 1 to {BUFFERS_MAX}, not {count}"
        )));
    }
    if !(1..=BUFFER_SIZE_MAX as i64).contains(&size) {
        return Err(PyValueError::new_err(format!("size must be 1 to 2**30 bytes, not {size}")));
    }
    let (count, size) = (count as u32, size as usize);
    // Each buffer begins on a page, as O_DIRECT wants it.
    let stride = size.next_multiple_of(syscall::page_size());
    let len = stride
        .checked_mul(count as usize)
        .ok_or_else(|| PyValueError::new_err("the pool would not fit into memory"))?;
    let this = ring.get();
    let failed =
        |errno: Errno| this.error(py, &RingError::Sys(crate::ring::error::Call::Map, errno));
    let base = syscall::map_anonymous(len).map_err(failed)?;
    let memory = Arc::new(PoolMemory {
        base,
        len,
        size,
        stride,
        ring_id: this.id,
        registered: AtomicBool::new(false),
        free: Mutex::new((0..count as u16).rev().collect()),
    });
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
    ring.check_open(py)?;
    let mut state = ring.hold(py)?;
    if state.core.has_buffers {
        return Err(PyValueError::new_err("the ring has a pool already: close that one first"));
    }
    let arg = vectors.as_ptr().cast_mut().cast();
    // SAFETY: `count` vectors, read during the call; the memory outlives every use (I2).
    let done = unsafe { state.core.register(IORING_REGISTER_BUFFERS, arg, count) };
    if done.is_ok() {
        state.core.has_buffers = true;
        memory.registered.store(true, Ordering::Release);
    }
    drop(state);
    done.map(drop).map_err(|error| ring.error(py, &error))
}

/// The part of a registered buffer that a fixed operation uses, held by the request.
pub(crate) fn fixed_memory(
    keep: &mut Keep,
    object: &Bound<'_, PyAny>,
    start: i64,
) -> PyResult<(Memory, u16)> {
    let Ok(bound) = object.cast::<PyFixedBuffer>() else {
        return Err(PyTypeError::new_err(format!(
            "a fixed operation needs a FixedBuffer, taken from ring.buffer_pool(), not '{}'",
            object.get_type().name()?
        )));
    };
    let buffer = bound.get();
    buffer.check()?;
    if !buffer.memory.registered.load(Ordering::Acquire) {
        return Err(PyValueError::new_err("the pool of this buffer is closed"));
    }
    let size = buffer.memory.size;
    if start < 0 || start as u64 > size as u64 {
        return Err(PyValueError::new_err(format!("start must be 0 to {size}, not {start}")));
    }
    buffer.users.fetch_add(1, Ordering::AcqRel);
    keep.hold_fixed(object);
    keep.ring_id = buffer.memory.ring_id;
    let addr = buffer.address() as u64 + start as u64;
    Ok((Memory { addr, len: size - start as usize }, buffer.index))
}

/// A request that used a registered buffer has ended.
pub(crate) fn used_no_more(buffer: &Bound<'_, PyAny>) {
    if let Ok(buffer) = buffer.cast::<PyFixedBuffer>() {
        buffer.get().users.fetch_sub(1, Ordering::AcqRel);
    }
}
