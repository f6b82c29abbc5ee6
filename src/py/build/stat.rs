//! Asking for what is known of a file.

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString};

use crate::ops::path::Place;
use crate::ops::stat;
use crate::py::convert;
use crate::py::keep::Keep;
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

pub(crate) fn statx(
    keep: &mut Keep,
    path: Any<'_, '_>,
    flags: u32,
    mask: u32,
    dir_fd: Option<Any<'_, '_>>,
    follow_symlinks: bool,
) -> PyResult<io_uring_sqe> {
    const KNOWN: u32 = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;
    let mut flags = convert::known_flags("statx_flags", flags, KNOWN)?;
    if mask & STATX__RESERVED != 0 {
        return Err(PyValueError::new_err(format!("mask must be StatxMask, not {mask:#x}")));
    }
    if !follow_symlinks {
        flags |= AT_SYMLINK_NOFOLLOW;
    }
    let at = if is_file(path)? {
        if dir_fd.is_some() {
            return Err(PyValueError::new_err("dir_fd goes with a path, not with an open file"));
        }
        flags |= AT_EMPTY_PATH;
        Place { dir_fd: convert::another_file(keep, path)?, path: c"".into() }
    } else {
        Place { dir_fd: convert::folder(keep, dir_fd)?, path: convert::path(path)? }
    };
    let (sqe, args) = stat::statx(at, flags, mask);
    keep.keep_args(args);
    Ok(sqe)
}

/// An open file rather than a path, as `os.stat` takes both? What is both is a path.
fn is_file(object: Any<'_, '_>) -> PyResult<bool> {
    if object.is_instance_of::<PyInt>() {
        return Ok(true);
    }
    if object.is_instance_of::<PyString>() || object.is_instance_of::<PyBytes>() {
        return Ok(false);
    }
    let py = object.py();
    Ok(!object.get_type().hasattr(intern!(py, "__fspath__"))?
        && object.hasattr(intern!(py, "fileno"))?)
}
