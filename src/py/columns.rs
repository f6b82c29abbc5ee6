//! Columns of a bulk call: one number for all rows, or an array, a range or a list of them.

use std::mem::MaybeUninit;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyTuple};

use crate::ops::batch::{Column, Place};
use crate::py::direct::PyDirectFile;
use crate::py::fixed::{self, PyRegisteredBuffer};
use crate::py::keep::{Access, Keep, Memory};
use crate::py::pool::PyFixedBuffer;
use crate::py::{batch, convert, memory};

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

/// An export that only lives while a column is copied out of it.
struct Borrowed(ffi::Py_buffer);

impl Borrowed {
    fn of(object: Any<'_, '_>) -> PyResult<Box<Self>> {
        let mut view = Box::new(MaybeUninit::<Self>::uninit());
        let flags = ffi::PyBUF_FORMAT | ffi::PyBUF_ND;
        // SAFETY: boxed, so the view stays where it is; `Borrowed` is nothing but the view (I1).
        if unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), view.as_mut_ptr().cast(), flags) } != 0
        {
            return Err(PyErr::fetch(object.py()));
        }
        // SAFETY: filled in by the exporter.
        Ok(unsafe { view.assume_init() })
    }

    /// The code of its items; 'B' where nothing is said.
    fn code(&self) -> Option<u8> {
        if self.0.format.is_null() {
            return Some(b'B');
        }
        // SAFETY: a C string of the exporter's, valid while the view is.
        let format = unsafe { std::ffi::CStr::from_ptr(self.0.format) }.to_bytes();
        match format {
            [code] | [b'@' | b'=', code] => Some(*code),
            [b'<', code] if cfg!(target_endian = "little") => Some(*code),
            [b'>' | b'!', code] if cfg!(target_endian = "big") => Some(*code),
            _ => None,
        }
    }

    fn ints(&self) -> PyResult<Vec<i64>> {
        let size = self.0.itemsize as usize;
        let signed = match self.code() {
            Some(b'b' | b'h' | b'i' | b'l' | b'q' | b'n') => true,
            Some(b'B' | b'H' | b'I' | b'L' | b'Q' | b'N') => false,
            _ => return Err(PyTypeError::new_err("a column must be an array of integers")),
        };
        if self.0.ndim != 1 || !matches!(size, 1 | 2 | 4 | 8) {
            return Err(PyTypeError::new_err(
                "a column must be a one-dimensional array of integers",
            ));
        }
        let count = self.0.len as usize / size;
        batch::row_count(count)?;
        let mut values = memory::room(count)?;
        for at in 0..count {
            let mut bytes = [0u8; 8];
            // SAFETY: item `at` of a C-contiguous export; copied byte by byte, since nothing says
            // that it is aligned or that nobody writes to it meanwhile (I5).
            unsafe {
                let from = self.0.buf.cast::<u8>().add(at * size);
                std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), size);
            }
            values.push(widen(bytes, size, signed)?);
        }
        Ok(values)
    }
}

/// An integer of `size` native bytes.
fn widen(bytes: [u8; 8], size: usize, signed: bool) -> PyResult<i64> {
    let shift = 64 - 8 * size as u32;
    let raw = if cfg!(target_endian = "big") {
        u64::from_be_bytes(bytes) >> shift
    } else {
        u64::from_le_bytes(bytes)
    };
    if signed {
        return Ok(((raw << shift) as i64) >> shift);
    }
    i64::try_from(raw).map_err(|_| PyValueError::new_err(format!("{raw} is too large")))
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        // SAFETY: filled in by `of`, released once, attached as then.
        unsafe { ffi::PyBuffer_Release(&mut self.0) };
    }
}

fn is_buffer(object: Any<'_, '_>) -> bool {
    // SAFETY: a valid object; asks its type only.
    unsafe { ffi::PyObject_CheckBuffer(object.as_ptr()) != 0 }
}

/// Integers: one for all rows, or one each.
pub(crate) fn ints(object: Any<'_, '_>) -> PyResult<Column<i64>> {
    if object.is_instance_of::<PyInt>() {
        return Ok(Column::Same(object.extract()?));
    }
    if is_buffer(object) {
        let borrowed = Borrowed::of(object)?;
        if borrowed.0.ndim == 0 {
            // One of NumPy's numbers.
            return Ok(Column::Same(object.extract()?));
        }
        return Ok(Column::Each(borrowed.ints()?));
    }
    let mut values = Vec::new();
    for item in object.try_iter()? {
        batch::row_count(values.len() + 1)?;
        memory::push(&mut values, item?.extract::<i64>()?)?;
    }
    Ok(Column::Each(values))
}

/// Offsets in files.
pub(crate) fn offsets(object: Any<'_, '_>) -> PyResult<Column<i64>> {
    ints(object)?.try_map(|value| convert::offset(value).map(|_| value))
}

/// Numbers of bytes.
pub(crate) fn lengths(object: Any<'_, '_>) -> PyResult<Column<u32>> {
    ints(object)?.try_map(|value| {
        u32::try_from(value).map_err(|_| {
            PyValueError::new_err(format!("nbytes must be 0 to 2**32 - 1, not {value}"))
        })
    })
}

/// Files: a descriptor or an object with fileno(), an array of descriptors, or a list of either.
pub(crate) fn files(owner: &mut Keep, object: Any<'_, '_>) -> PyResult<Column<i32>> {
    let one = object.is_instance_of::<PyInt>() || object.is_instance_of::<PyDirectFile>();
    if one || object.hasattr("fileno")? {
        return Ok(Column::Same(convert::file(owner, object)?));
    }
    if is_buffer(object) {
        let numbers = Column::Each(Borrowed::of(object)?.ints()?);
        return numbers.try_map(|value| {
            let fd = i32::try_from(value).ok().filter(|fd| *fd >= 0);
            fd.ok_or_else(|| PyValueError::new_err(format!("{value} is not a file descriptor")))
        });
    }
    let (mut fds, mut held) = (Vec::new(), Vec::new());
    for file in object.try_iter()? {
        let file = file?;
        batch::row_count(fds.len() + 1)?;
        memory::push(&mut fds, convert::file_number(&file)?)?;
        if !file.is_exact_instance_of::<PyInt>() {
            memory::push(&mut held, file)?;
        }
    }
    if !held.is_empty() {
        // Kept open by the batch itself: what they came in may be changed, or be a generator.
        owner.hold_object(PyTuple::new(object.py(), held)?.as_any());
    }
    Ok(Column::Each(fds))
}

/// Where rows are to be read to or written from, before it is known how many there are.
pub(crate) enum Buffers {
    One(Memory, Option<u16>),
    Each(Vec<Memory>),
}

/// One buffer to be cut into pieces, or a list of them.
pub(crate) fn memory(owner: &mut Keep, object: Any<'_, '_>, access: Access) -> PyResult<Buffers> {
    let registered = object.is_instance_of::<PyFixedBuffer>();
    if registered || object.is_instance_of::<PyRegisteredBuffer>() {
        let (memory, index) = fixed::memory(owner, object, 0, access)?;
        return Ok(Buffers::One(memory, Some(index)));
    }
    if is_buffer(object) {
        return Ok(Buffers::One(owner.export_more(object, access)?, None));
    }
    let mut each = Vec::new();
    for buffer in object.try_iter()? {
        batch::row_count(each.len() + 1)?;
        let memory = owner.export_more(&buffer?, access)?;
        memory::push(&mut each, memory)?;
    }
    Ok(Buffers::Each(each))
}

impl Buffers {
    /// How many rows there are by this column.
    pub(crate) fn rows(&self) -> Option<usize> {
        match self {
            Buffers::One(..) => None,
            Buffers::Each(each) => Some(each.len()),
        }
    }

    /// Lay `count` rows out, with every row checked to stay within its buffer.
    pub(crate) fn place(
        self,
        count: u32,
        lengths: Option<Column<u32>>,
    ) -> PyResult<(Place, Column<u32>, Option<u16>)> {
        match self {
            Buffers::Each(each) => {
                let (place, lengths) = place_each(&each, lengths)?;
                Ok((place, lengths, None))
            }
            Buffers::One(memory, index) => {
                let (place, lengths) = place_pieces(memory, count, lengths)?;
                Ok((place, lengths, index))
            }
        }
    }
}

fn place_each(each: &[Memory], lengths: Option<Column<u32>>) -> PyResult<(Place, Column<u32>)> {
    let mut checked = memory::room(each.len())?;
    for (row, memory) in each.iter().enumerate() {
        let nbytes = lengths.as_ref().map(|lengths| i64::from(lengths.at(row as u32)));
        checked.push(convert::length(*memory, nbytes)?);
    }
    Ok((Place::Each(each.iter().map(|memory| memory.addr).collect()), Column::Each(checked)))
}

/// Pieces of one buffer: all of the same size, or one after the other.
fn place_pieces(
    memory: Memory,
    count: u32,
    lengths: Option<Column<u32>>,
) -> PyResult<(Place, Column<u32>)> {
    let fits = |total: u64| {
        if total <= memory.len as u64 {
            return Ok(());
        }
        let have = memory.len;
        Err(PyValueError::new_err(format!("the rows need {total} bytes, the buffer has {have}")))
    };
    match lengths {
        None => {
            let piece = (memory.len as u64).checked_div(u64::from(count)).unwrap_or(0);
            let piece = convert::length(memory, Some(piece as i64))?;
            Ok((batch::pieces(memory.addr, u64::from(piece)), Column::Same(piece)))
        }
        Some(Column::Same(piece)) => {
            fits(u64::from(piece) * u64::from(count))?;
            Ok((batch::pieces(memory.addr, u64::from(piece)), Column::Same(piece)))
        }
        Some(Column::Each(lengths)) => {
            let mut at = 0u64;
            let mut places = memory::room(lengths.len())?;
            for length in &lengths {
                places.push(memory.addr + at);
                at += u64::from(*length);
            }
            fits(at)?;
            Ok((Place::Each(places), Column::Each(lengths)))
        }
    }
}
