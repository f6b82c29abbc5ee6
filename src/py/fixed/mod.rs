//! Registered buffers: memory of Python objects that the kernel has pinned, and the two kinds of
//! handles that fixed operations take.
//!
//! Unregistering is no barrier: the kernel goes on with what is in flight. So an export is held by
//! the table while it is registered, by every handle, and through it by every request and every
//! Sqe: it ends with the last of them (I2). That also means that no stale index can do harm: the
//! memory an entry names is still that of its own buffer, and the kernel refuses it in any other.

mod ring;

use std::ptr::NonNull;
use std::sync::{Arc, Mutex};

use pyo3::exceptions::{PyBufferError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;

use crate::py::armed;
use crate::py::keep::{Access, Keep, Memory, IOV_MAX};
use crate::py::pool::{self, PyFixedBuffer};
use crate::py::resources::lock;
use crate::sys::ending::arm_thread;
use crate::sys::os::iovec;

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

/// The kernel's own bounds (io_uring_register_buffers(3)).
const BUFFERS_MAX: u32 = 16_384;
const BUFFER_SIZE_MAX: usize = 1 << 30;

/// One object's exported memory. Locked until dropped, which may run Python code: with no lock
/// held (I6).
pub(crate) struct Export {
    /// Boxed: a view may point at itself (I1).
    view: NonNull<ffi::Py_buffer>,
    object: Py<PyAny>,
    readonly: bool,
}

// SAFETY: the view is touched when made and when released, attached both times; in between only
// its address and length are read (I5).
unsafe impl Send for Export {}
// SAFETY: as above.
unsafe impl Sync for Export {}

impl Export {
    fn of(object: Any<'_, '_>) -> PyResult<Self> {
        let py = object.py();
        let mut view = Box::<ffi::Py_buffer>::new_uninit();
        // The kernel pins memory for writing; of what Python calls read-only it only ever reads.
        let mut readonly = false;
        // SAFETY: boxed, so the view stays where it is until released (I1).
        let export = |view: &mut Box<std::mem::MaybeUninit<ffi::Py_buffer>>, flags| unsafe {
            ffi::PyObject_GetBuffer(object.as_ptr(), view.as_mut_ptr(), flags)
        };
        if export(&mut view, ffi::PyBUF_WRITABLE) != 0 {
            let error = PyErr::fetch(py);
            if !error.is_instance_of::<PyBufferError>(py) {
                return Err(error);
            }
            readonly = true;
            if export(&mut view, ffi::PyBUF_SIMPLE) != 0 {
                return Err(PyErr::fetch(py));
            }
        }
        // SAFETY: filled in by the exporter just now (I5).
        let view = NonNull::from(Box::leak(unsafe { view.assume_init() }));
        let export = Export { view, object: object.clone().unbind(), readonly };
        let len = export.memory().len;
        if !(1..=BUFFER_SIZE_MAX).contains(&len) {
            return Err(PyValueError::new_err(format!(
                "a registered buffer has 1 to 2**30 bytes, not {len}"
            )));
        }
        Ok(export)
    }

    fn memory(&self) -> Memory {
        // SAFETY: filled in by the exporter, and not released before the drop (I5: numbers only).
        let view = unsafe { self.view.as_ref() };
        Memory { addr: view.buf as u64, len: view.len as usize }
    }

    fn vector(&self) -> iovec {
        let Memory { addr, len } = self.memory();
        iovec { iov_base: addr as *mut _, iov_len: len }
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        arm_thread();
        armed::last(|_| {
            // SAFETY: leaked in `of`, released and freed once, attached; nothing refers to the
            // memory any more (I2).
            unsafe {
                ffi::PyBuffer_Release(self.view.as_ptr());
                drop(Box::from_raw(self.view.as_ptr()));
            }
        });
    }
}

type Slots = Vec<Option<Arc<Export>>>;

/// The buffers registered with one ring; None without a table.
#[derive(Default)]
pub(crate) struct Buffers(Arc<Mutex<Option<Slots>>>);

impl Buffers {
    /// The table is gone: what it held, to be dropped with no lock held (I6).
    pub(crate) fn take_all(&self) -> Option<impl Sized> {
        lock(&self.0).take()
    }

    fn set(&self, slots: Option<Slots>) -> Option<Slots> {
        std::mem::replace(&mut *lock(&self.0), slots)
    }

    /// Put these into the slots from `start` on, of which there will be enough: what was there.
    fn put(&self, start: usize, slots: &Slots) -> Slots {
        let end = start + slots.len();
        let mut table = lock(&self.0);
        let table = table.get_or_insert_default();
        table.resize(table.len().max(end), None);
        table.splice(start..end, slots.iter().cloned()).collect()
    }

    fn snapshot(&self) -> Option<Slots> {
        lock(&self.0).clone()
    }
}

/// One buffer registered with a ring: the kernel has pinned its memory, which saves it the work at
/// each request.
///
/// Give it to the fixed builders of its ring. The object it was made from is locked (it cannot be
/// resized or closed) until the buffer is unregistered or the ring closed, every request on it is
/// done, and this handle is dropped.
///
/// Made by `Ring.register_buffers`, `register_buffers_update` and `clone_buffers`.
#[pyclass(name = "RegisteredBuffer", module = "uring_rs", frozen)]
pub(crate) struct PyRegisteredBuffer {
    export: Arc<Export>,
    index: u16,
    ring_id: u32,
    table: Arc<Mutex<Option<Slots>>>,
}

impl PyRegisteredBuffer {
    fn is_registered(&self) -> bool {
        let table = lock(&self.table);
        let slot = table.as_ref().and_then(|slots| slots.get(usize::from(self.index)));
        matches!(slot, Some(Some(export)) if Arc::ptr_eq(export, &self.export))
    }
}

#[pymethods]
impl PyRegisteredBuffer {
    /// Its number in the ring's table of registered buffers.
    #[getter]
    fn index(&self) -> u16 {
        self.index
    }

    /// Whether it is registered still: neither unregistered nor replaced, the ring open.
    #[getter]
    fn registered(&self) -> bool {
        self.is_registered()
    }

    /// Whether its object is read-only, so that only writes to files may use it.
    #[getter]
    fn readonly(&self) -> bool {
        self.export.readonly
    }

    /// The object it was made from.
    #[getter]
    fn obj(&self, py: Python<'_>) -> Py<PyAny> {
        self.export.object.clone_ref(py)
    }

    /// Bytes it has.
    fn __len__(&self) -> usize {
        self.export.memory().len
    }

    fn __repr__(&self) -> String {
        let state = if self.is_registered() { "" } else { " (unregistered)" };
        format!("<RegisteredBuffer {} of {} bytes{state}>", self.index, self.__len__())
    }
}

/// The part of a registered buffer, from byte `start` on, that a fixed operation uses, held by the
/// request.
pub(crate) fn memory(
    keep: &mut Keep,
    object: Any<'_, '_>,
    start: i64,
    access: Access,
) -> PyResult<(Memory, u16)> {
    let (memory, index) = whole(keep, object, access)?;
    let size = memory.len;
    if start < 0 || start as u64 > size as u64 {
        return Err(PyValueError::new_err(format!("start must be 0 to {size}, not {start}")));
    }
    Ok((Memory { addr: memory.addr + start as u64, len: size - start as usize }, index))
}

/// All of a registered buffer, held by the request.
fn whole(keep: &mut Keep, object: Any<'_, '_>, access: Access) -> PyResult<(Memory, u16)> {
    if let Ok(buffer) = object.cast::<PyFixedBuffer>() {
        return pool::whole(keep, buffer);
    }
    let Ok(bound) = object.cast::<PyRegisteredBuffer>() else {
        return Err(PyTypeError::new_err(format!(
            "a fixed operation needs a FixedBuffer, taken from ring.buffer_pool(), or a \
             RegisteredBuffer, from ring.register_buffers(), not '{}'",
            object.get_type().name()?
        )));
    };
    let buffer = bound.get();
    if !buffer.is_registered() {
        return Err(PyValueError::new_err("this buffer is no longer registered"));
    }
    if buffer.export.readonly && access == Access::Destination {
        return Err(PyBufferError::new_err("this registered buffer is read-only"));
    }
    keep.bind(buffer.ring_id)?;
    keep.hold_fixed(object);
    Ok((buffer.export.memory(), buffer.index))
}

/// Parts of one registered buffer, as (start, nbytes) pairs, held by the request.
pub(crate) fn vectors(
    keep: &mut Keep,
    object: Any<'_, '_>,
    parts: Any<'_, '_>,
    access: Access,
) -> PyResult<(Vec<iovec>, u16)> {
    let (memory, index) = whole(keep, object, access)?;
    let mut vectors = Vec::new();
    for part in parts.try_iter()? {
        let (start, nbytes): (i64, i64) = part?.extract()?;
        let fits = start >= 0 && nbytes >= 0;
        if !fits || start.checked_add(nbytes).is_none_or(|end| end as u64 > memory.len as u64) {
            return Err(PyValueError::new_err(format!(
                "a part is (start, nbytes) within the {} bytes of the buffer, not {:?}",
                memory.len,
                (start, nbytes)
            )));
        }
        if vectors.len() == IOV_MAX {
            return Err(PyValueError::new_err(format!("more than {IOV_MAX} parts")));
        }
        // The kernel takes an empty one for a bad address (measured).
        if nbytes > 0 {
            let iov_base = (memory.addr + start as u64) as *mut _;
            vectors.push(iovec { iov_base, iov_len: nbytes as usize });
        }
    }
    Ok((vectors, index))
}
