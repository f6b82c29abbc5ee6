//! The methods of `Ring` that register buffers.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyInt;

use super::{Export, PyRegisteredBuffer, Slots, BUFFERS_MAX};
use crate::py::resources::Registrar;
use crate::py::ring::PyRing;
use crate::py::tags::Tags;
use crate::ring::error::RingError;
use crate::sys::abi::{io_uring_clone_buffers, io_uring_rsrc_register, io_uring_rsrc_update2};
use crate::sys::consts::*;
use crate::sys::os::iovec;

type Any<'a, 'py> = &'a Bound<'py, PyAny>;
type Handles = Vec<Option<Py<PyRegisteredBuffer>>>;

/// Exports on their way into the table, or out of it. Dropped with no lock held (I6).
fn exports(buffers: Any<'_, '_>) -> PyResult<Slots> {
    let mut slots = Slots::new();
    for buffer in buffers.try_iter()? {
        let buffer = buffer?;
        if slots.len() == BUFFERS_MAX as usize {
            return Err(too_many());
        }
        let export = if buffer.is_none() { None } else { Some(Arc::new(Export::of(&buffer)?)) };
        slots.push(export);
    }
    Ok(slots)
}

#[cold]
fn too_many() -> PyErr {
    PyValueError::new_err(format!("a ring has 1 to {BUFFERS_MAX} registered buffers"))
}

/// The vectors of exports, an empty one for an empty slot; and their tags, as many.
struct Vectors(Vec<iovec>, Option<Tags>);

// SAFETY: addresses of exported memory, held by the caller during the call (I2).
unsafe impl Send for Vectors {}
// SAFETY: as above.
unsafe impl Sync for Vectors {}

impl Vectors {
    fn of(slots: &Slots, tags: Option<Tags>) -> Self {
        let empty = iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        let vectors = slots.iter().map(|slot| slot.as_ref().map_or(empty, |e| e.vector()));
        Vectors(vectors.collect(), tags)
    }

    /// Where the tags from the `done`th on are; 0 without tags.
    fn tags(&self, done: usize) -> u64 {
        self.1.as_ref().map_or(0, |tags| tags.address(done))
    }

    fn register(&self, registrar: &Registrar<'_>) -> Result<u32, RingError> {
        let (arg, count) = (self.0.as_ptr().cast_mut().cast(), self.0.len() as u32);
        if self.1.is_some() {
            return self.register_tagged(registrar);
        }
        // SAFETY: so many vectors, read during the call; exports outlive every use (I2).
        unsafe { registrar.call(IORING_REGISTER_BUFFERS, arg, count) }
    }

    fn register_tagged(&self, registrar: &Registrar<'_>) -> Result<u32, RingError> {
        let mut table = io_uring_rsrc_register {
            nr: self.0.len() as u32,
            data: self.0.as_ptr() as u64,
            tags: self.tags(0),
            ..Default::default()
        };
        let (arg, size) = (core::ptr::from_mut(&mut table).cast(), size_of_val(&table));
        // SAFETY: as in `register`, with as many tags.
        unsafe { registrar.call(IORING_REGISTER_BUFFERS2, arg, size as u32) }
    }

    /// Put them into the slots from `start` on: how many the kernel put there, and why no more.
    fn update(&self, registrar: &Registrar<'_>, start: u32) -> (usize, Result<(), RingError>) {
        let mut done = 0;
        while done < self.0.len() {
            let mut update = io_uring_rsrc_update2 {
                offset: start + done as u32,
                data: self.0[done..].as_ptr() as u64,
                tags: self.tags(done),
                nr: (self.0.len() - done) as u32,
                ..Default::default()
            };
            let (arg, size) = (core::ptr::from_mut(&mut update).cast(), size_of_val(&update));
            // SAFETY: as in `register`.
            match unsafe { registrar.call(IORING_REGISTER_BUFFERS_UPDATE, arg, size as u32) } {
                Ok(0) => break,
                Ok(count) => done += count as usize,
                Err(error) => return (done, Err(error)),
            }
        }
        (done, Ok(()))
    }
}

fn register_sparse(registrar: &Registrar<'_>, count: u32) -> Result<u32, RingError> {
    let mut sparse = io_uring_rsrc_register {
        nr: count,
        flags: IORING_RSRC_REGISTER_SPARSE,
        ..Default::default()
    };
    let (arg, size) = (core::ptr::from_mut(&mut sparse).cast(), size_of_val(&sparse));
    // SAFETY: what BUFFERS2 takes, read during the call (I2).
    unsafe { registrar.call(IORING_REGISTER_BUFFERS2, arg, size as u32) }
}

impl PyRing {
    /// The kernel has one table of buffers per ring: take it, before anything is registered.
    pub(crate) fn take_buffer_table(&self, py: Python<'_>) -> PyResult<()> {
        self.check_open(py)?;
        let taken = std::mem::replace(&mut self.hold(py)?.core.has_buffers, true);
        if taken {
            return Err(PyValueError::new_err(
                "the ring has a pool already, or registered buffers: close or unregister those \
                 first",
            ));
        }
        Ok(())
    }

    /// There is no table of buffers, or no more.
    pub(crate) fn give_buffer_table_back(&self, py: Python<'_>) -> PyResult<()> {
        self.hold(py)?.core.has_buffers = false;
        Ok(())
    }

    fn buffer_handles(&self, py: Python<'_>, slots: &Slots, start: usize) -> PyResult<Handles> {
        let handle = |(at, export): (usize, &Option<Arc<Export>>)| {
            let Some(export) = export else { return Ok(None) };
            let made = PyRegisteredBuffer {
                export: Arc::clone(export),
                index: (start + at) as u16,
                ring_id: self.id,
                table: Arc::clone(&self.resources.buffers().0),
            };
            Py::new(py, made).map(Some)
        };
        slots.iter().enumerate().map(handle).collect()
    }

    fn buffer_count(&self) -> PyResult<usize> {
        let table = super::lock(&self.resources.buffers().0);
        let count = table.as_ref().map(Vec::len);
        drop(table);
        count.ok_or_else(|| {
            PyValueError::new_err("the ring has no registered buffers: register_buffers() first")
        })
    }
}

#[pymethods]
impl PyRing {
    /// Register buffers for fixed reads and writes. Their memory is pinned, never copied.
    ///
    /// Args:
    ///     buffers: an iterable of 1 to 16384 bytes-like objects of 1 byte to 1 GiB each, None for
    ///         an empty slot; or how many empty slots (Linux 5.19). Read-only objects are for
    ///         writing to files only.
    ///     tags: for each buffer a number from 1 to 2**56 - 1, or 0 for none. When the kernel lets
    ///         go of the buffer (it is replaced or unregistered, or the ring closed, and no request
    ///         uses it any more), a completion appears whose `user_data` and `value` are the number:
    ///         to the ring it is a message, with `op` 'MSG_RING' and `res` 0. Clones have no tag.
    ///
    /// Returns: a list of handles, None for empty slots.
    ///
    /// Raises:
    ///     ValueError: the ring has registered buffers or a pool already; or not as many tags as
    ///         buffers, or one for an empty slot.
    ///     UringError: the kernel refuses: for RLIMIT_MEMLOCK, or memory that it cannot write to
    ///         (such as a file mapped read-only, or shared from a disk).
    ///
    /// Kernel: 5.1; with None and tags 5.13.
    /// Memory: locked until unregistered, or the ring closed; while requests use it; and while its
    ///     handle lives.
    /// Source: io_uring_register_buffers(3), io_uring_register_buffers_sparse(3),
    ///     io_uring_register_buffers_tags(3).
    #[pyo3(signature = (buffers, /, *, tags = None))]
    fn register_buffers(
        &self,
        py: Python<'_>,
        buffers: Any<'_, '_>,
        tags: Option<Any<'_, '_>>,
    ) -> PyResult<Handles> {
        self.check_open(py)?;
        let sparse = buffers.is_instance_of::<PyInt>();
        let slots = if sparse {
            let count: i64 = buffers.extract()?;
            let count = u32::try_from(count).ok().filter(|count| *count <= BUFFERS_MAX);
            vec![None; count.ok_or_else(too_many)? as usize]
        } else {
            exports(buffers)?
        };
        if slots.is_empty() {
            return Err(too_many());
        }
        let tags = self.tags(tags, slots.iter().map(Option::is_some))?;
        self.take_buffer_table(py)?;
        let (vectors, table) = (Vectors::of(&slots, tags), self.resources.buffers());
        let done = self.register_away(py, |registrar| {
            // All of it, not the vector inside, which has no leave to travel.
            let vectors = &vectors;
            match sparse {
                true => register_sparse(registrar, vectors.0.len() as u32),
                false => vectors.register(registrar),
            }?;
            table.set(Some(slots.clone()));
            Ok(())
        });
        if let Err(error) = done {
            self.give_buffer_table_back(py)?;
            return Err(error);
        }
        self.buffer_handles(py, &slots, 0)
    }

    /// Replace registered buffers, or fill empty slots. Requests in flight go on with what they
    /// hold.
    ///
    /// Args:
    ///     start: the first slot.
    ///     buffers: bytes-like objects, None to empty a slot.
    ///     tags: as for register_buffers.
    ///
    /// Returns: a list of handles, None for empty slots. Handles of what was replaced are refused.
    ///
    /// Kernel: 5.13.
    /// Memory: as for register_buffers.
    /// Source: io_uring_register_buffers_update_tag(3).
    #[pyo3(signature = (start, buffers, /, *, tags = None))]
    fn register_buffers_update(
        &self,
        py: Python<'_>,
        start: i64,
        buffers: Any<'_, '_>,
        tags: Option<Any<'_, '_>>,
    ) -> PyResult<Handles> {
        self.check_open(py)?;
        let slots = exports(buffers)?;
        let tags = self.tags(tags, slots.iter().map(Option::is_some))?;
        let count = self.buffer_count()?;
        let first = usize::try_from(start).ok().filter(|first| first + slots.len() <= count);
        let Some(first) = first else {
            return Err(PyValueError::new_err(format!(
                "{} buffers from slot {start} on do not fit into a table of {count}",
                slots.len()
            )));
        };
        let (vectors, table) = (Vectors::of(&slots, tags), self.resources.buffers());
        let (refused, old) = self.register_away(py, |registrar| {
            let (done, refused) = { &vectors }.update(registrar, first as u32);
            let mut old = Slots::new();
            if let Some(table) = super::lock(&table.0).as_mut() {
                for (at, new) in slots.iter().enumerate().take(done) {
                    old.push(std::mem::replace(&mut table[first + at], new.clone()));
                }
            }
            Ok((refused, old))
        })?;
        drop(old);
        refused.map_err(|error| self.error(py, &error))?;
        self.buffer_handles(py, &slots, first)
    }

    /// Unregister all buffers. Requests in flight go on with what they hold.
    ///
    /// Kernel: 5.1.
    /// Source: io_uring_unregister_buffers(3).
    fn unregister_buffers(&self, py: Python<'_>) -> PyResult<()> {
        self.check_open(py)?;
        self.buffer_count()?;
        let table = self.resources.buffers();
        let old = self.register_away(py, |registrar| {
            // SAFETY: takes no argument. Requests in flight hold their memory (I2).
            unsafe { registrar.call(IORING_UNREGISTER_BUFFERS, core::ptr::null_mut(), 0) }?;
            Ok(table.set(None))
        })?;
        self.give_buffer_table_back(py)?;
        drop(old);
        Ok(())
    }

    /// Take over registered buffers of another ring, without pinning their memory anew.
    ///
    /// Args:
    ///     source: the ring that has them, by register_buffers: a shared one, or this thread's,
    ///         REGISTERED_FD_ONLY or not.
    ///     source_start: the first slot there.
    ///     start: the first slot here.
    ///     count: how many (default: all from source_start on).
    ///     replace: take the place of buffers that this ring has.
    ///
    /// Returns: a list of handles, None for empty slots.
    ///
    /// Raises:
    ///     ValueError: this ring has registered buffers, and `replace` is not set; or the source has
    ///         none.
    ///
    /// Kernel: 6.12; parts and `replace` 6.13.
    /// Memory: as for register_buffers; each ring holds it for itself.
    /// Source: io_uring_clone_buffers(3), io_uring_clone_buffers_offset(3).
    #[pyo3(signature = (source, *, source_start = 0, start = 0, count = None, replace = false))]
    fn clone_buffers(
        &self,
        py: Python<'_>,
        source: &Bound<'_, PyRing>,
        source_start: u32,
        start: u32,
        count: Option<u32>,
        replace: bool,
    ) -> PyResult<Handles> {
        self.check_open(py)?;
        source.get().check_open(py)?;
        let slots = cloned_slots(source.get(), source_start, count)?;
        if start as usize + slots.len() > BUFFERS_MAX as usize {
            return Err(too_many());
        }
        let whole = source_start == 0 && start == 0 && count.is_none();
        // The kernel too lets nobody but its own thread at an owned ring; an index means something
        // in that thread's table only.
        let (open, src_fd) = source.get().stay_open(py)?;
        let by_index =
            if source.get().is_index_only() { IORING_REGISTER_SRC_REGISTERED } else { 0 };
        let mut clone = io_uring_clone_buffers {
            src_fd: src_fd as u32,
            flags: by_index | if replace { IORING_REGISTER_DST_REPLACE } else { 0 },
            src_off: source_start,
            dst_off: start,
            // All, for the kernel that knows no parts yet.
            nr: if whole { 0 } else { slots.len() as u32 },
            ..Default::default()
        };
        let had_table = replace && self.buffer_count().is_ok();
        if !had_table {
            self.take_buffer_table(py)?;
        }
        let arg = core::ptr::from_mut(&mut clone).cast();
        // Nothing is pinned, so it takes no time.
        let done = self.register_here(py, |registrar| {
            // SAFETY: what CLONE_BUFFERS takes, read during the call; exports outlive all use (I2).
            unsafe { registrar.call(IORING_REGISTER_CLONE_BUFFERS, arg, 1) }?;
            Ok(self.resources.buffers().put(start as usize, &slots))
        });
        drop(open);
        match done {
            // Exports end here, with no lock held (I6).
            Ok(old) => drop(old),
            Err(error) => {
                if !had_table {
                    self.give_buffer_table_back(py)?;
                }
                return Err(error);
            }
        }
        self.buffer_handles(py, &slots, start as usize)
    }
}

/// What is to be cloned of another ring's buffers.
fn cloned_slots(source: &PyRing, start: u32, count: Option<u32>) -> PyResult<Slots> {
    let Some(slots) = source.resources.buffers().snapshot() else {
        return Err(PyValueError::new_err("the source ring has no registered buffers"));
    };
    let end = count.map_or(Some(slots.len()), |count| {
        (start as usize).checked_add(count as usize).filter(|end| *end <= slots.len())
    });
    match end.and_then(|end| slots.get(start as usize..end)) {
        Some(part) if !part.is_empty() => Ok(part.to_vec()),
        _ => Err(PyValueError::new_err(format!(
            "the source ring has no such part of its {} registered buffers",
            slots.len()
        ))),
    }
}
