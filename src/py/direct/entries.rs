//! The operations on direct descriptors themselves: closing, placing, sending and installing them.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyTuple};

use super::request::{into, no_table, reserved, use_beside, use_file};
use super::request::{Choosing, Closing, InUse, Part, Updating};
use crate::ops::direct;
use crate::py::convert;
use crate::py::direct::PyDirectFile;
use crate::py::keep::{Keep, CHOOSES};
use crate::py::memory;
use crate::py::ring::PyRing;
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

/// Close a direct descriptor by a request.
pub(crate) fn close_file(
    keep: &mut Keep,
    file: &Bound<'_, PyDirectFile>,
) -> PyResult<io_uring_sqe> {
    let handle = file.get();
    keep.bind(handle.core.ring_id)?;
    if handle.is_reserved() {
        use_beside(keep, file)?;
    } else {
        keep.add_part(Part::Closes(Closing::of(handle)?));
    }
    Ok(direct::close(handle.handle.slot))
}

/// The numbers of files for an update: None empties a slot, REGISTER_FILES_SKIP leaves it. With the
/// objects, which must live as long as their numbers are used.
pub(super) fn numbers<'py>(files: Any<'_, 'py>) -> PyResult<(Vec<i32>, Bound<'py, PyTuple>)> {
    let mut objects = Vec::new();
    let mut fds = Vec::new();
    for file in files.try_iter()? {
        let file = file?;
        if fds.len() == FILES_MAX as usize {
            return Err(PyValueError::new_err(format!("more than {FILES_MAX} files")));
        }
        let skip = file.extract::<i32>().is_ok_and(|fd| fd == IORING_REGISTER_FILES_SKIP);
        let fd = match (file.is_none(), skip) {
            (true, _) => -1,
            (_, true) => IORING_REGISTER_FILES_SKIP,
            _ => convert::file_number(&file)?,
        };
        memory::push(&mut fds, fd)?;
        memory::push(&mut objects, file)?;
    }
    Ok((fds, PyTuple::new(files.py(), objects)?))
}

/// The kernel's own bound (IORING_MAX_FIXED_FILES).
pub(super) const FILES_MAX: u32 = 1 << 20;

/// Put files into slots by a request.
pub(crate) fn update_files(
    keep: &mut Keep,
    files: Any<'_, '_>,
    slot: Option<Any<'_, '_>>,
) -> PyResult<io_uring_sqe> {
    let (fds, held) = numbers(files)?;
    if fds.is_empty() {
        return Err(PyValueError::new_err("there must be at least one file"));
    }
    keep.hold_object(held.as_any());
    let offset = match slot {
        Some(slot) => {
            let Ok(first) = slot.cast::<PyDirectFile>() else {
                return Err(PyTypeError::new_err("slot is a DirectFile: the first to be changed"));
            };
            let PyDirectFile { core, handle, .. } = first.get();
            core.check(*handle)?;
            keep.bind(core.ring_id)?;
            keep.add_part(Part::Updates(Updating::of(core, handle.slot, &fds)?));
            handle.slot
        }
        None if fds.iter().any(|fd| *fd < 0) => {
            return Err(PyValueError::new_err("where the kernel chooses slots, all must be files"));
        }
        None => {
            keep.special |= CHOOSES;
            IORING_FILE_INDEX_ALLOC
        }
    };
    let (sqe, args) = direct::files_update(fds, offset);
    keep.keep_args(args);
    Ok(sqe)
}

/// Put a file of this ring into the table of another, by a request.
pub(crate) fn msg_ring_fd(
    keep: &mut Keep,
    ring: &Bound<'_, PyRing>,
    file: &Bound<'_, PyDirectFile>,
    target: Option<Any<'_, '_>>,
) -> PyResult<io_uring_sqe> {
    let to = ring.get();
    let fd = to.fd_anywhere(ring.py())?;
    let source = file.get();
    keep.bind(source.core.ring_id)?;
    if source.core.ring_id == to.id {
        return Err(PyValueError::new_err("the file is in that ring's table already"));
    }
    let core = to.resources.files().ok_or_else(no_table)?;
    keep.hold_object(ring.as_any());
    keep.add_part(Part::Uses { _file: InUse::of(source)? });
    let slot = target.filter(|slot| !slot.cast::<PyBool>().is_ok_and(|all| all.is_true()));
    let index = if let Some(slot) = slot {
        let slot = reserved(slot)?;
        if slot.get().core.ring_id != to.id {
            return Err(PyValueError::new_err("the slot must be one of the other ring's table"));
        }
        into(keep, slot)?
    } else {
        keep.add_part(Part::Chooses(Choosing::of(core)?));
        IORING_FILE_INDEX_ALLOC
    };
    Ok(direct::msg_ring_fd(fd, source.handle.slot, index))
}

/// Make an ordinary descriptor of a direct one.
pub(crate) fn install(
    keep: &mut Keep,
    file: &Bound<'_, PyDirectFile>,
    flags: u32,
) -> PyResult<io_uring_sqe> {
    if flags & !IORING_FIXED_FD_NO_CLOEXEC != 0 {
        return Err(PyValueError::new_err("install_flags must be FixedFdFlags"));
    }
    Ok(direct::fixed_fd_install(use_file(keep, file)?, flags))
}
