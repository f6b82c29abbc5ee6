//! From the arguments of `IoQueue` to requests, with their memory exported.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyList, PyTuple};

use crate::bulk::queue::op::Op;
use crate::ops::args::Args;
use crate::py::keep::{Access, Keep};

/// No transfer is longer than this (MAX_RW_COUNT): two gigabytes but for a page.
const TRANSFER_MOST: u64 = 0x7fff_f000;

/// Numbers of `uring_rs.IoOp`.
const READ: u8 = 0;
const WRITE: u8 = 1;
const SYNC: u8 = 2;
const DATASYNC: u8 = 3;
const DISCARD: u8 = 4;

/// Where in the file.
pub(super) fn offset_of(offset: &Bound<'_, PyAny>) -> PyResult<u64> {
    let wrong = || PyValueError::new_err("offset must be 0 to 2**63 - 1");
    let offset =
        offset.cast::<PyInt>().map_err(|_| PyTypeError::new_err("offset must be an int"))?;
    let offset: i64 = offset.extract().map_err(|_| wrong())?;
    u64::try_from(offset).map_err(|_| wrong())
}

/// The operation, with its memory exported into `keep`; and the most that it can transfer.
pub(super) fn operation(
    keep: &mut Keep,
    code: u8,
    offset: u64,
    buffer: Option<&Bound<'_, PyAny>>,
) -> PyResult<(Op, u64)> {
    match (code, buffer) {
        (READ | WRITE, Some(buffer)) => transfer(keep, code == READ, buffer),
        (READ | WRITE, None) => Err(PyTypeError::new_err("a buffer, or a list of some, is needed")),
        (SYNC | DATASYNC, None) if offset == 0 => Ok((Op::Sync { data_only: code == DATASYNC }, 0)),
        (SYNC | DATASYNC, _) => Err(PyValueError::new_err(
            "syncing takes neither an offset nor a buffer: it is the file",
        )),
        (DISCARD, Some(length)) if length.is_instance_of::<PyInt>() => {
            let wrong = || PyValueError::new_err("the length to discard must be 1 to 2**63 - 1");
            match length.extract::<i64>() {
                Ok(len @ 1..) => Ok((Op::Discard { len: len as u64 }, 0)),
                _ => Err(wrong()),
            }
        }
        (DISCARD, _) => Err(PyTypeError::new_err("the length to discard must be an int")),
        _ => Err(PyValueError::new_err("op must be an IoOp")),
    }
}

fn transfer(keep: &mut Keep, reads: bool, buffer: &Bound<'_, PyAny>) -> PyResult<(Op, u64)> {
    let access = if reads { Access::Destination } else { Access::Source };
    if buffer.is_instance_of::<PyList>() || buffer.is_instance_of::<PyTuple>() {
        let vectors = keep.export_all(buffer, access)?;
        let total = vectors.iter().map(|part| part.iov_len as u64).sum::<u64>();
        let (parts, count) = (vectors.as_ptr(), vectors.len() as u32);
        // The vectors do not move with the list that holds them.
        keep.keep_args(Args::Iovecs(vectors));
        let op = if reads { Op::Readv { parts, count } } else { Op::Writev { parts, count } };
        return Ok((op, total.min(TRANSFER_MOST)));
    }
    let memory = keep.export(buffer, access)?;
    if memory.len as u64 > TRANSFER_MOST {
        return Err(PyValueError::new_err(format!(
            "one request moves at most {TRANSFER_MOST} bytes, not {}: split it",
            memory.len
        )));
    }
    let len = memory.len as u32;
    let op = if reads {
        Op::Read { addr: memory.addr as *mut u8, len, fixed: None }
    } else {
        Op::Write { addr: memory.addr as *const u8, len, fixed: None }
    };
    Ok((op, len.into()))
}

/// The memory of buffers that are to be registered, exported into `keep`.
pub(super) fn exports(keep: &mut Keep, buffers: &Bound<'_, PyAny>) -> PyResult<Vec<(u64, u64)>> {
    let mut found = Vec::new();
    for buffer in buffers.try_iter()? {
        let memory = keep.export_more(&buffer?, Access::Destination)?;
        if memory.len == 0 || memory.len > 1 << 30 {
            return Err(PyValueError::new_err("a registered buffer has 1 byte to 1 GiB"));
        }
        found.push((memory.addr, memory.len as u64));
        if found.len() > BUFFERS_MOST {
            return Err(PyValueError::new_err(format!("more than {BUFFERS_MOST} buffers")));
        }
    }
    Ok(found)
}

/// IORING_MAX_REG_BUFFERS.
const BUFFERS_MOST: usize = 16_384;
