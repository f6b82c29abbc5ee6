//! Moving data between files and pipes within the kernel.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::ops::splice::{self, End};
use crate::py::keep::Keep;
use crate::py::{convert, direct};
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::SPLICE_F_FD_IN_FIXED;
use crate::sys::os::{SPLICE_F_GIFT, SPLICE_F_MORE, SPLICE_F_MOVE, SPLICE_F_NONBLOCK};

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

const KNOWN: u32 =
    SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT | SPLICE_F_FD_IN_FIXED;

fn count(nbytes: i64) -> PyResult<u32> {
    u32::try_from(nbytes)
        .map_err(|_| PyValueError::new_err(format!("nbytes must be 0 to 2**32 - 1, not {nbytes}")))
}

/// The file to take from, and the flag that goes with it: IOSQE_FIXED_FILE is about the other one.
fn source(keep: &mut Keep, src: Any<'_, '_>) -> PyResult<(i32, u32)> {
    let (fd, is_slot) = direct::number_or_slot(keep, src)?;
    Ok((fd, if is_slot { SPLICE_F_FD_IN_FIXED } else { 0 }))
}

#[allow(clippy::too_many_arguments)]
pub(crate) fn splice(
    keep: &mut Keep,
    src: Any<'_, '_>,
    dst: Any<'_, '_>,
    nbytes: i64,
    offset_src: i64,
    offset_dst: i64,
    flags: u32,
) -> PyResult<io_uring_sqe> {
    let flags = convert::known_flags("splice_flags", flags, KNOWN)?;
    let len = count(nbytes)?;
    let dst = End { fd: convert::file(keep, dst)?, offset: convert::offset(offset_dst)? };
    let (fd, from_slot) = source(keep, src)?;
    let src = End { fd, offset: convert::offset(offset_src)? };
    Ok(splice::splice(src, dst, len, flags | from_slot))
}

pub(crate) fn tee(
    keep: &mut Keep,
    src: Any<'_, '_>,
    dst: Any<'_, '_>,
    nbytes: i64,
    flags: u32,
) -> PyResult<io_uring_sqe> {
    let flags = convert::known_flags("splice_flags", flags, KNOWN)?;
    let len = count(nbytes)?;
    let dst = convert::file(keep, dst)?;
    let (src, from_slot) = source(keep, src)?;
    Ok(splice::tee(src, dst, len, flags | from_slot))
}
