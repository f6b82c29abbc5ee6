//! What stands for a file in the engine: its path, and what it is read into.

use core::ffi::c_char;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PySlice, PyString};

use crate::bulk::read_many::{self, Failure, Place};
use crate::py::keep::{Access, Owner};
use crate::py::limited;

/// What a file is read into.
pub(super) enum Target {
    /// Memory of the engine's, or none yet.
    None,
    /// A bytes object that nobody has seen yet.
    Bytes(Py<PyAny>, Place),
    /// A buffer of the caller's.
    Out(Box<Slot>),
}

/// The part of `out` that a file may fill.
pub(super) struct Slot {
    /// A memoryview of bytes, and where the slot begins in it.
    view: Py<PyAny>,
    start: usize,
    place: Place,
    /// The export that keeps the memory where it is.
    _export: Arc<Owner>,
}

/// See the [module](self).
pub(super) struct Ticket {
    /// What the caller gave.
    pub(super) path: Py<PyAny>,
    /// The str or bytes object that `chars` points into. Those do not change.
    _text: Option<Py<PyAny>>,
    chars: *const c_char,
    pub(super) target: Target,
    /// Why there is no path.
    pub(super) fault: Option<Box<PyErr>>,
}

// SAFETY: `chars` points into an immutable object that the ticket holds (I2).
unsafe impl Send for Ticket {}

// SAFETY: text and target are held by the ticket, and neither moves when it does (I1, I2).
unsafe impl read_many::Ticket for Ticket {
    fn path(&self) -> *const c_char {
        self.chars
    }

    fn place(&self) -> Option<Place> {
        match &self.target {
            Target::None => None,
            Target::Bytes(_, place) => Some(*place),
            Target::Out(slot) => Some(slot.place),
        }
    }
}

impl Ticket {
    /// An error is the caller's: this is no path. One that cannot name a file is of the ticket.
    pub(super) fn new(path: Bound<'_, PyAny>, target: Target) -> PyResult<Self> {
        let py = path.py();
        let text = match path.is_exact_instance_of::<PyString>() {
            true => path.clone(),
            // SAFETY: a valid object; a new reference or null. It may run the caller's code: no lock
            // is held (I6).
            false => unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyOS_FSPath(path.as_ptr()))? },
        };
        let (text, chars, len) = characters(text)?;
        // SAFETY: a live C string of at least `len` bytes and a zero byte (I5).
        let whole = unsafe { core::ffi::CStr::from_ptr(chars) }.to_bytes().len() == len;
        let null = || Box::new(PyValueError::new_err("embedded null byte in the path"));
        let fault = (!whole).then(null);
        let chars = if whole { chars } else { core::ptr::null() };
        Ok(Ticket { path: path.unbind(), _text: Some(text.unbind()), chars, target, fault })
    }

    /// Memory for `size` bytes: those of a new bytes object.
    pub(super) fn make_room(&mut self, py: Python<'_>, size: u64) -> Result<(), Failure> {
        let size = isize::try_from(size).map_err(|_| Failure::NoMemory)?;
        // SAFETY: attached; a new object whose bytes are not set yet, or null (I5).
        let made = unsafe { ffi::PyBytes_FromStringAndSize(core::ptr::null(), size) };
        // SAFETY: an owned reference or null.
        let Ok(bytes) = (unsafe { Bound::from_owned_ptr_or_err(py, made) }) else {
            return Err(Failure::NoMemory);
        };
        // SAFETY: a bytes object, which nobody else has seen: its memory is ours to fill (I5).
        let addr = unsafe { limited::PyBytes_AS_STRING(bytes.as_ptr()) }.cast_mut().cast();
        self.target = Target::Bytes(bytes.unbind(), Place { addr, len: size as usize });
        Ok(())
    }
}

/// The characters of a path as the system wants them, and the object that they are in.
fn characters(text: Bound<'_, PyAny>) -> PyResult<(Bound<'_, PyAny>, *const c_char, usize)> {
    let py = text.py();
    if let Ok(bytes) = text.cast::<PyBytes>() {
        let bytes = bytes.as_bytes();
        // A bytes object has a zero byte after its last.
        let (chars, len) = (bytes.as_ptr().cast(), bytes.len());
        return Ok((text, chars, len));
    }
    // What is ASCII is the same in every encoding of file names, and a str's own memory.
    // SAFETY: a str object: PyOS_FSPath gives either; its UTF-8 lives as long as it does (I5).
    unsafe {
        let mut len = 0;
        let chars = ffi::PyUnicode_AsUTF8AndSize(text.as_ptr(), &mut len);
        if chars.is_null() {
            // A name that is no text, which has surrogates in it.
            ffi::PyErr_Clear();
        } else if len == ffi::PyUnicode_GetLength(text.as_ptr()) {
            return Ok((text, chars, len as usize));
        }
    }
    // SAFETY: as above; a new bytes object or null.
    let encoded =
        unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyUnicode_EncodeFSDefault(text.as_ptr()))? };
    characters(encoded)
}

impl Slot {
    /// Its first `len` bytes.
    pub(super) fn filled<'py>(&self, py: Python<'py>, len: usize) -> PyResult<Bound<'py, PyAny>> {
        // Not PySlice::new, which keeps a reference to each of its numbers for ever (PyO3 0.29).
        let part = py.get_type::<PySlice>().call1((self.start, self.start + len))?;
        self.view.bind(py).get_item(part)
    }
}

/// Where the caller wants the bytes.
pub(super) enum Out {
    /// In new bytes objects.
    None,
    /// One buffer for each path.
    Each(Py<PyAny>),
    /// One row for each path.
    Rows { view: Py<PyAny>, export: Arc<Owner>, base: Place, rows: usize },
}

/// A writable view of the bytes of a buffer, and its memory.
fn bytes_of<'py>(object: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyAny>, Arc<Owner>, Place)> {
    let py = object.py();
    let view = PyMemoryView::from(object)?.into_any();
    let view = match view.getattr(intern!(py, "nbytes"))?.extract::<usize>()? {
        // Nothing can be cast that has no items.
        0 => PyMemoryView::from(&pyo3::types::PyByteArray::new(py, b""))?.into_any(),
        _ => view.call_method1(intern!(py, "cast"), ("B",))?,
    };
    let mut owner = Owner::default();
    let memory = owner.keep().export(&view, Access::Destination)?;
    let place = Place { addr: memory.addr as *mut u8, len: memory.len };
    Ok((view, Arc::new(owner), place))
}

impl Out {
    pub(super) fn new(object: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let Some(object) = object else { return Ok(Out::None) };
        // SAFETY: a valid object; asks its type only.
        if unsafe { ffi::PyObject_CheckBuffer(object.as_ptr()) } == 0 {
            object.len()?;
            return Ok(Out::Each(object.clone().unbind()));
        }
        let py = object.py();
        let shape: Vec<usize> =
            PyMemoryView::from(object)?.getattr(intern!(py, "shape"))?.extract()?;
        if shape.len() < 2 {
            return Err(PyValueError::new_err(
                "out must have one row for each path: two dimensions or more, or a list of buffers",
            ));
        }
        let (view, export, base) = bytes_of(object)?;
        Ok(Out::Rows { view: view.unbind(), export, base, rows: shape[0] })
    }

    pub(super) fn is_none(&self) -> bool {
        matches!(self, Out::None)
    }

    /// What path number `index` is read into.
    pub(super) fn target(&self, py: Python<'_>, index: usize) -> PyResult<Target> {
        match self {
            Out::None => Ok(Target::None),
            Out::Each(buffers) => {
                let buffers = buffers.bind(py);
                if index >= buffers.len()? {
                    return Err(too_few());
                }
                let (view, export, place) = bytes_of(&buffers.get_item(index)?)?;
                let view = view.unbind();
                Ok(Target::Out(Box::new(Slot { view, start: 0, place, _export: export })))
            }
            Out::Rows { view, export, base, rows } => {
                if index >= *rows {
                    return Err(too_few());
                }
                let len = base.len / rows;
                // Within the export (I5: an address only).
                let place = Place { addr: base.addr.wrapping_add(index * len), len };
                let (view, start) = (view.clone_ref(py), index * len);
                let _export = Arc::clone(export);
                Ok(Target::Out(Box::new(Slot { view, start, place, _export })))
            }
        }
    }
}

fn too_few() -> PyErr {
    PyValueError::new_err("there are more paths than buffers in out")
}
