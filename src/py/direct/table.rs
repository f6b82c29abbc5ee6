//! `FileTable`: the files registered with a ring, and the methods of `Ring` for them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyInt;
use pyo3::PyTraverseError;

use crate::py::direct::entries::{numbers, FILES_MAX};
use crate::py::direct::request::Updating;
use crate::py::direct::{refused, FileCore, PyDirectFile};
use crate::py::memory;
use crate::py::resources::Registrar;
use crate::py::ring::PyRing;
use crate::py::tags::Tags;
use crate::ring::error::{Call, RingError};
use crate::ring::files::Files;
use crate::ring::fork;
use crate::sys::abi::{
    io_uring_file_index_range, io_uring_rsrc_register, io_uring_rsrc_update, io_uring_rsrc_update2,
};
use crate::sys::consts::*;
use crate::sys::Errno;

/// What our books of a table take for each of its slots.
const BYTES_OF_A_SLOT: usize = 32;

type Any<'a, 'py> = &'a Bound<'py, PyAny>;
type Handles = Vec<Option<Py<PyDirectFile>>>;

/// The table of files registered with one ring.
///
/// `table[slot]` is the DirectFile in a slot, or None. Files that the table was made with or
/// updated with belong to it: they are closed when their slot gets another file, by the handle's
/// close(), or with the table. Those that requests made belong to their handles.
///
/// Made by `Ring.register_files`; the ring keeps it until `close()`, or its own end.
#[pyclass(name = "FileTable", module = "uring_rs", frozen)]
pub(crate) struct PyFileTable {
    core: Arc<FileCore>,
    ring: Py<PyRing>,
}

#[pymethods]
impl PyFileTable {
    /// How many slots it has.
    fn __len__(&self) -> usize {
        self.core.files().count() as usize
    }

    fn __getitem__(&self, py: Python<'_>, slot: i64) -> PyResult<Option<Py<PyDirectFile>>> {
        let slot = u32::try_from(slot).ok().filter(|slot| *slot < self.core.files().count());
        let slot = slot.ok_or_else(|| PyIndexError::new_err("the file table has no such slot"))?;
        let occupant = if self.core.is_gone() { None } else { self.core.files().occupant(slot) };
        Ok(self.core.handles(py, vec![occupant])?.pop().flatten())
    }

    /// Whether it is no longer registered.
    #[getter]
    fn closed(&self) -> bool {
        self.core.is_gone()
    }

    /// The slots that the kernel chooses from, as (start, count).
    #[getter]
    fn alloc_range(&self) -> (u32, u32) {
        let range = self.core.files().range();
        (range.start, range.end - range.start)
    }

    /// Have the kernel choose from `count` slots from `start` on, where it is left the choice.
    ///
    /// Slots that are reserved must lie outside while it chooses. count = 0 leaves it none.
    ///
    /// Kernel: 6.0.
    /// Source: io_uring_register_file_alloc_range(3).
    #[pyo3(signature = (start, count))]
    fn set_alloc_range(&self, py: Python<'_>, start: u32, count: u32) -> PyResult<()> {
        let range = start..start.saturating_add(count);
        self.core.still_there()?;
        let checked = self.core.files().check_range(&range);
        checked.map_err(refused)?;
        let core = &self.core;
        self.ring.get().register_away(py, |registrar| {
            let mut arg = io_uring_file_index_range { off: start, len: count, resv: 0 };
            let arg = core::ptr::from_mut(&mut arg).cast();
            // SAFETY: what FILE_ALLOC_RANGE takes, read during the call (I2).
            unsafe { registrar.call(IORING_REGISTER_FILE_ALLOC_RANGE, arg, 0) }?;
            core.files().set_range(range);
            Ok(())
        })
    }

    /// Reserve a slot for a file that is to be put into it: this one, or any. Give the handle to a
    /// builder as `direct=`, and at once to those that are to use the file, in the same chain:
    ///
    ///     slot = table.reserve()
    ///     ring.prep_openat(path, direct=slot, flags=SqeFlags.IO_LINK)
    ///     ring.prep_read(slot, buf, 0, flags=SqeFlags.IO_LINK)
    ///     ring.prep_close(slot)
    ///
    /// The slot stays the handle's, to be filled and emptied again and again, until it is closed or
    /// dropped.
    ///
    /// Raises:
    ///     ValueError: the slot is taken, or none is free; or the kernel may choose it for a request
    ///         in flight: see set_alloc_range.
    #[pyo3(signature = (slot = None))]
    fn reserve(&self, py: Python<'_>, slot: Option<u32>) -> PyResult<Py<PyDirectFile>> {
        self.core.still_there()?;
        let reserved = self.core.files().reserve(slot);
        let handle = reserved.map_err(refused)?;
        Py::new(py, PyDirectFile::new(Arc::clone(&self.core), handle, true))
    }

    /// Put files into the slots from `slot` on.
    ///
    /// Args:
    ///     files: descriptors or objects with fileno(), None to empty a slot, or
    ///         REGISTER_FILES_SKIP to leave it alone. The table has the files for itself: yours may
    ///         be closed.
    ///     tags: as for Ring.register_files; 0 also where there is no file.
    ///
    /// Returns: a list of handles; None where a slot was emptied or left alone. The files belong to
    ///     the table, or to the handle that reserved the slot.
    ///
    /// Raises:
    ///     ValueError: a request in flight or an Sqe uses a file that would be replaced; or the
    ///         kernel may choose the slot for a request in flight: see set_alloc_range.
    ///
    /// Kernel: 5.5; with REGISTER_FILES_SKIP 5.12, with tags 5.13.
    /// Source: io_uring_register_files_update(3), io_uring_register_files_update_tag(3).
    #[pyo3(signature = (slot, files, *, tags = None))]
    fn update(
        &self,
        py: Python<'_>,
        slot: i64,
        files: Any<'_, '_>,
        tags: Option<Any<'_, '_>>,
    ) -> PyResult<Handles> {
        let (fds, _held) = numbers(files)?;
        let tags = self.ring.get().tags(tags, fds.iter().map(|fd| *fd >= 0))?;
        let slot = u32::try_from(slot)
            .map_err(|_| PyIndexError::new_err("the file table has no such slot"))?;
        let updating = Updating::of(&self.core, slot, &fds)?;
        let (refused, handles) = self.ring.get().register_away(py, |registrar| {
            let (done, refused) = update_slots(registrar, slot, &fds, tags.as_ref());
            Ok((refused, updating.settle(done)))
        })?;
        refused.map_err(|error| self.ring.get().error(py, &error))?;
        self.core.handles(py, handles)
    }

    /// Unregister all files.
    ///
    /// Raises:
    ///     ValueError: requests in flight or Sqes use some of them.
    ///
    /// Source: io_uring_unregister_files(3).
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.core.is_gone() {
            return Ok(());
        }
        self.ring.get().unregister_table(py, &self.core)
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().core.still_there()?;
        Ok(slf)
    }

    #[pyo3(signature = (exc_type = None, exc = None, tb = None, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: Option<Any<'_, '_>>,
        exc: Option<Any<'_, '_>>,
        tb: Option<Any<'_, '_>>,
    ) -> PyResult<()> {
        let _ = (exc_type, exc, tb);
        self.close(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.ring)
    }

    fn __repr__(&self) -> String {
        let state = if self.closed() { " (closed)" } else { "" };
        format!("<FileTable of {} slots{state}>", self.__len__())
    }
}

/// Put descriptors into slots: how many the kernel put there, and why no more.
fn update_slots(
    registrar: &Registrar<'_>,
    slot: u32,
    fds: &[i32],
    tags: Option<&Tags>,
) -> (u32, Result<(), RingError>) {
    let mut done = 0;
    while done < fds.len() {
        let (offset, rest) = (slot + done as u32, &fds[done..]);
        let updated = match tags {
            None => update_untagged(registrar, offset, rest),
            Some(tags) => update_tagged(registrar, offset, rest, tags.address(done)),
        };
        match updated {
            Ok(0) => break,
            Ok(count) => done += count as usize,
            Err(error) => return (done as u32, Err(error)),
        }
    }
    (done as u32, Ok(()))
}

fn update_untagged(registrar: &Registrar<'_>, offset: u32, fds: &[i32]) -> Result<u32, RingError> {
    let mut update =
        io_uring_rsrc_update { offset, data: fds.as_ptr() as u64, ..Default::default() };
    let arg = core::ptr::from_mut(&mut update).cast();
    // SAFETY: so many descriptors, read during the call (I2).
    unsafe { registrar.call(IORING_REGISTER_FILES_UPDATE, arg, fds.len() as u32) }
}

/// `tags` is where there are as many tags.
fn update_tagged(
    registrar: &Registrar<'_>,
    offset: u32,
    fds: &[i32],
    tags: u64,
) -> Result<u32, RingError> {
    let mut update = io_uring_rsrc_update2 {
        offset,
        data: fds.as_ptr() as u64,
        tags,
        nr: fds.len() as u32,
        ..Default::default()
    };
    let (arg, size) = (core::ptr::from_mut(&mut update).cast(), size_of_val(&update));
    // SAFETY: so many descriptors and tags, read during the call (I2).
    unsafe { registrar.call(IORING_REGISTER_FILES_UPDATE2, arg, size as u32) }
}

/// Make the table: of `fds`, with their `tags` if any, or of as many empty slots.
fn register(
    registrar: &Registrar<'_>,
    fds: &[i32],
    sparse: bool,
    tags: Option<&Tags>,
) -> Result<u32, RingError> {
    let count = fds.len() as u32;
    if !sparse && tags.is_none() {
        let arg = fds.as_ptr().cast_mut().cast();
        // SAFETY: so many descriptors, read during the call (I2).
        return unsafe { registrar.call(IORING_REGISTER_FILES, arg, count) };
    }
    let mut table = io_uring_rsrc_register {
        nr: count,
        flags: if sparse { IORING_RSRC_REGISTER_SPARSE } else { 0 },
        data: if sparse { 0 } else { fds.as_ptr() as u64 },
        tags: tags.map_or(0, |tags| tags.address(0)),
        ..Default::default()
    };
    let (arg, size) = (core::ptr::from_mut(&mut table).cast(), size_of_val(&table));
    // SAFETY: what FILES2 takes, with so many descriptors and tags, read during the call (I2).
    let made = unsafe { registrar.call(IORING_REGISTER_FILES2, arg, size as u32) };
    match made {
        // Before Linux 5.19 empty slots are made one by one.
        Err(RingError::Unsupported { .. } | RingError::Sys(Call::Register, Errno::EINVAL))
            if sparse && tags.is_none() =>
        {
            register(registrar, fds, false, None)
        }
        made => made,
    }
}

impl PyRing {
    fn unregister_table(&self, py: Python<'_>, core: &Arc<FileCore>) -> PyResult<()> {
        self.check_open(py)?;
        let in_use = {
            let files = core.files();
            if core.is_gone() {
                // Another thread has closed it, or is about to.
                return Ok(());
            }
            // Retired while nobody can begin to use a slot.
            if files.in_use() == 0 {
                core.retire();
            }
            files.in_use()
        };
        if in_use > 0 {
            return Err(PyValueError::new_err(format!(
                "requests in flight or Sqes use registered files ({in_use} uses)"
            )));
        }
        let done = self.register_away(py, |registrar| {
            // SAFETY: takes no argument (I2).
            unsafe { registrar.call(IORING_UNREGISTER_FILES, core::ptr::null_mut(), 0) }?;
            // Here, where nobody can be making the next table.
            self.resources.set_files(None);
            Ok(())
        });
        if done.is_err() {
            // Still there.
            core.gone.store(false, Ordering::Release);
        }
        done
    }

    fn file_table(slf: &Bound<'_, Self>) -> PyResult<PyFileTable> {
        slf.get().check_open(slf.py())?;
        let core = slf.get().resources.files();
        let core = core.ok_or_else(|| {
            PyValueError::new_err("the ring has no file table: register_files() makes one")
        })?;
        Ok(PyFileTable { core, ring: slf.clone().unbind() })
    }
}

#[pymethods]
impl PyRing {
    /// Register files: the kernel then need not look them up for each request, and requests can make
    /// direct descriptors (`direct=`).
    ///
    /// Args:
    ///     files: descriptors or objects with fileno(), None for an empty slot; or how many empty
    ///         slots (made one by one before Linux 5.19). At most 2**20, and RLIMIT_NOFILE. The
    ///         table has the files for itself: yours may be closed.
    ///     tags: for each file a number from 1 to 2**56 - 1, or 0 for none. When the kernel lets go
    ///         of the file (its slot is emptied or gets another one, the table is unregistered, the
    ///         ring closed), a completion appears whose `user_data` and `value` are the number: to
    ///         the ring it is a message, with `op` 'MSG_RING' and `res` 0.
    ///
    /// Raises:
    ///     ValueError: the ring has a file table already; or not as many tags as files, or one for
    ///         an empty slot.
    ///
    /// Kernel: 5.1; tags 5.13.
    /// Source: io_uring_register_files(3), io_uring_register_files_sparse(3),
    ///     io_uring_register_files_tags(3).
    #[pyo3(signature = (files, /, *, tags = None))]
    fn register_files(
        slf: &Bound<'_, Self>,
        files: Any<'_, '_>,
        tags: Option<Any<'_, '_>>,
    ) -> PyResult<PyFileTable> {
        let (py, ring) = (slf.py(), slf.get());
        ring.check_open(py)?;
        let sparse = files.is_instance_of::<PyInt>();
        let (fds, _held) = if sparse {
            let count: i64 = files.extract()?;
            let count = usize::try_from(count).unwrap_or(0).min(FILES_MAX as usize + 1);
            let mut empty = memory::room(count)?;
            empty.resize(count, -1);
            (empty, None)
        } else {
            let (fds, held) = numbers(files)?;
            (fds, Some(held))
        };
        if !(1..=FILES_MAX as usize).contains(&fds.len()) {
            return Err(PyValueError::new_err(format!("a file table has 1 to {FILES_MAX} slots")));
        }
        memory::afford(fds.len() as u32, BYTES_OF_A_SLOT)?;
        if fds.contains(&IORING_REGISTER_FILES_SKIP) {
            return Err(PyValueError::new_err("there is nothing to skip in a new table: use None"));
        }
        let tags = ring.tags(tags, fds.iter().map(|fd| *fd >= 0))?.filter(|_| !sparse);
        let already = || PyValueError::new_err("the ring has a file table already: close it first");
        if ring.resources.files().is_some() {
            return Err(already());
        }
        let core = Arc::new(FileCore::new(ring, Files::new(fds.len() as u32)));
        for (slot, _) in fds.iter().enumerate().filter(|(_, fd)| **fd >= 0) {
            core.files().filled(slot as u32);
        }
        ring.register_away(py, |registrar| {
            register(registrar, &fds, sparse, tags.as_ref())?;
            ring.resources.set_files(Some(Arc::clone(&core)));
            Ok(())
        })?;
        Ok(PyFileTable { core, ring: slf.clone().unbind() })
    }

    /// The table of registered files; None without one.
    #[getter]
    fn files(slf: &Bound<'_, Self>) -> PyResult<Option<PyFileTable>> {
        drop(slf.get().hold(slf.py())?);
        let core = slf.get().resources.files().filter(|core| !core.is_gone());
        Ok(core.map(|core| PyFileTable { core, ring: slf.clone().unbind() }))
    }

    /// `FileTable.update` of the ring's table.
    #[pyo3(signature = (slot, files, /, *, tags = None))]
    fn register_files_update(
        slf: &Bound<'_, Self>,
        slot: i64,
        files: Any<'_, '_>,
        tags: Option<Any<'_, '_>>,
    ) -> PyResult<Handles> {
        Self::file_table(slf)?.update(slf.py(), slot, files, tags)
    }

    /// `FileTable.set_alloc_range` of the ring's table.
    #[pyo3(signature = (start, count, /))]
    fn register_file_alloc_range(slf: &Bound<'_, Self>, start: u32, count: u32) -> PyResult<()> {
        Self::file_table(slf)?.set_alloc_range(slf.py(), start, count)
    }

    /// `FileTable.close` of the ring's table.
    fn unregister_files(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::file_table(slf)?.close(slf.py())
    }
}

impl FileCore {
    fn new(ring: &PyRing, files: Files) -> Self {
        FileCore {
            ring_id: ring.id,
            cell: Arc::downgrade(&ring.cell),
            kernel: ring.kernel.clone(),
            files: Mutex::new(files),
            gone: false.into(),
            generation: fork::generation(),
            chores: Arc::clone(&ring.resources.chores),
        }
    }
}
