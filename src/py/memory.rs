//! Memory for what Python chose the size of. Where there is none, Rust's collections end the
//! process; here it is a MemoryError.

use pyo3::exceptions::PyMemoryError;
use pyo3::PyResult;

#[cold]
fn none_left<E>(_: E) -> pyo3::PyErr {
    PyMemoryError::new_err(())
}

/// An empty vector with room for `count`.
pub(crate) fn room<T>(count: usize) -> PyResult<Vec<T>> {
    let mut found = Vec::new();
    found.try_reserve_exact(count).map_err(none_left)?;
    Ok(found)
}

/// One more at the end.
pub(crate) fn push<T>(to: &mut Vec<T>, value: T) -> PyResult<()> {
    if to.len() == to.capacity() {
        to.try_reserve(1).map_err(none_left)?;
    }
    to.push(value);
    Ok(())
}

/// More bytes at the end.
pub(crate) fn extend(to: &mut Vec<u8>, bytes: &[u8]) -> PyResult<()> {
    to.try_reserve(bytes.len()).map_err(none_left)?;
    to.extend_from_slice(bytes);
    Ok(())
}

/// A copy, with room for the zero at the end of a C string.
pub(crate) fn copied(bytes: &[u8]) -> PyResult<Vec<u8>> {
    let mut found = room(bytes.len() + 1)?;
    found.extend_from_slice(bytes);
    Ok(found)
}

/// Whether the columns of `count` rows, `each` bytes all told, could be had just now. Layers below
/// make them without asking: here is where they can still be refused.
pub(crate) fn afford(count: u32, each: usize) -> PyResult<()> {
    room::<u8>(count as usize * each).map(drop)
}
