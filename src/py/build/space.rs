//! The space that files and memory take.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::ops::space::{self, Effect};
use crate::py::convert;
use crate::py::keep::{Access, Keep, Memory};
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;
use crate::sys::os::{POSIX_FADV_DONTNEED, POSIX_FADV_NOREUSE, POSIX_FADV_WILLNEED};
use crate::sys::syscall;

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

fn not_negative(what: &str, value: i64) -> PyResult<u64> {
    u64::try_from(value)
        .map_err(|_| PyValueError::new_err(format!("{what} must not be negative, as {value} is")))
}

pub(crate) fn fallocate(
    keep: &mut Keep,
    file: Any<'_, '_>,
    offset: i64,
    nbytes: i64,
    mode: u32,
) -> PyResult<io_uring_sqe> {
    const KNOWN: u32 = FALLOC_FL_KEEP_SIZE
        | FALLOC_FL_PUNCH_HOLE
        | FALLOC_FL_NO_HIDE_STALE
        | FALLOC_FL_COLLAPSE_RANGE
        | FALLOC_FL_ZERO_RANGE
        | FALLOC_FL_INSERT_RANGE
        | FALLOC_FL_UNSHARE_RANGE
        | FALLOC_FL_WRITE_ZEROES;
    let mode = convert::known_flags("mode", mode, KNOWN)?;
    let (offset, len) = (not_negative("offset", offset)?, not_negative("nbytes", nbytes)?);
    if len == 0 {
        return Err(PyValueError::new_err("nbytes must be 1 or more"));
    }
    Ok(space::fallocate(convert::file(keep, file)?, mode, offset, len))
}

pub(crate) fn ftruncate(keep: &mut Keep, file: Any<'_, '_>, length: i64) -> PyResult<io_uring_sqe> {
    let length = not_negative("length", length)?;
    Ok(space::ftruncate(convert::file(keep, file)?, length))
}

pub(crate) fn fadvise(
    keep: &mut Keep,
    file: Any<'_, '_>,
    offset: i64,
    nbytes: i64,
    advice: i64,
) -> PyResult<io_uring_sqe> {
    let last = [POSIX_FADV_DONTNEED, POSIX_FADV_NOREUSE].map(i64::from);
    if !(0..=i64::from(POSIX_FADV_WILLNEED)).contains(&advice) && !last.contains(&advice) {
        return Err(PyValueError::new_err(format!(
            "advice must be one of os.POSIX_FADV_*, not {advice}"
        )));
    }
    let (offset, len) = (not_negative("offset", offset)?, not_negative("nbytes", nbytes)?);
    Ok(space::fadvise(convert::file(keep, file)?, offset, len, advice as u32))
}

pub(crate) fn madvise(
    keep: &mut Keep,
    buf: Any<'_, '_>,
    advice: i64,
    start: i64,
    nbytes: Option<i64>,
) -> PyResult<io_uring_sqe> {
    let unknown =
        || PyValueError::new_err(format!("advice must be one of mmap.MADV_*, not {advice}"));
    let advice = u32::try_from(advice).map_err(|_| unknown())?;
    // Not a subclass, whose memory could be another object's.
    let is_map = buf.get_type().is(&buf.py().import("mmap")?.getattr("mmap")?);
    match space::effect(advice).ok_or_else(unknown)? {
        Effect::Hint => {}
        Effect::Loss if is_map => {}
        Effect::Loss => {
            return Err(PyTypeError::new_err(format!(
                "advice {advice} loses what memory holds: only an mmap.mmap is taken, not '{}'",
                buf.get_type().name()?
            )))
        }
        Effect::Fault => {
            return Err(PyValueError::new_err(format!(
                "advice {advice} would make touching the memory a crash, here or in a fork"
            )))
        }
    }
    let memory = keep.export(buf, Access::Source)?;
    let part = pages(memory, start, nbytes, is_map)?;
    Ok(space::madvise(part.addr, part.len as u64, advice))
}

/// The pages of `memory` from `start` on. The kernel works on whole ones, and would round a length
/// up into what is not the buffer's; only the last page of a map is all its own.
fn pages(memory: Memory, start: i64, nbytes: Option<i64>, is_map: bool) -> PyResult<Memory> {
    let page = syscall::page_size();
    let from = usize::try_from(start).ok().filter(|from| *from <= memory.len).ok_or_else(|| {
        PyValueError::new_err(format!("start must be 0 to {}, not {start}", memory.len))
    })?;
    let rest = memory.len - from;
    let len = match nbytes {
        None => rest,
        Some(nbytes) => {
            usize::try_from(nbytes).ok().filter(|len| *len <= rest).ok_or_else(|| {
                PyValueError::new_err(format!("nbytes must be 0 to {rest}, not {nbytes}"))
            })?
        }
    };
    let addr = memory.addr + from as u64;
    let to_the_end = is_map && len == rest;
    if addr % page as u64 != 0 || (len % page != 0 && !to_the_end) {
        return Err(PyValueError::new_err(format!(
            "madvise works on whole pages of {page} bytes: the memory must begin and end with one"
        )));
    }
    Ok(Memory { addr, len })
}
