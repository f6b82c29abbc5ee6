//! Direct descriptors: files that live in a slot of the ring's own table, and have no number in
//! the process.
//!
//! A `DirectFile` names one occupant of one slot. What was made by a request belongs to the handle
//! that its completion brings, so an unclaimed one is closed (I10); a slot is emptied only when no
//! request uses it, so none can reach the file that comes into the slot next.

mod entries;
mod handle;
mod request;
mod table;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;

use crate::py::kernel::AnyKernel;
use crate::py::resources::lock;
use crate::py::state::State;
use crate::ring::access::RingCell;
use crate::ring::files::{End, Files, Handle, Refusal};
use crate::ring::fork;
use crate::ring::kernel::Kernel;
use crate::ring::Phase;
use crate::sys::abi::io_uring_rsrc_update;
use crate::sys::consts::*;
use crate::sys::Errno;

pub(crate) use entries::{close_file, install, msg_ring_fd, update_files};
pub(crate) use handle::PyDirectFile;
pub(crate) use request::{
    fitting, number_or_slot, results, slot_of, target, target_of_two, use_file, used_no_more,
    Brought, Part, Shot,
};
pub(crate) use table::PyFileTable;

/// One table of registered files, and who owns its slots.
pub(crate) struct FileCore {
    pub(crate) ring_id: u32,
    /// Weak: a handle kept for long must not keep a closed ring's memory.
    cell: Weak<RingCell<State>>,
    kernel: AnyKernel,
    /// Held for moments only; no Python, no system call meanwhile (I6).
    files: Mutex<Files>,
    /// No longer registered, or about to be.
    gone: AtomicBool,
    /// The process it belongs to (see `ring::fork`).
    generation: u32,
    chores: Arc<AtomicBool>,
}

impl FileCore {
    pub(crate) fn files(&self) -> MutexGuard<'_, Files> {
        lock(&self.files)
    }

    /// The ring no longer has this table.
    pub(crate) fn retire(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// Gone, or the parent's: in a forked child not even the lock may be touched, which some other
    /// thread may have held (I9).
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire) || self.generation != fork::generation()
    }

    /// May new requests use `handle`?
    pub(crate) fn check(&self, handle: Handle) -> PyResult<()> {
        self.still_there()?;
        let checked = self.files().check(handle);
        checked.map_err(refused)
    }

    fn still_there(&self) -> PyResult<()> {
        if self.is_gone() {
            return Err(refused(Refusal::Gone));
        }
        Ok(())
    }

    /// One more use of a slot; matched by [`FileCore::leave`].
    pub(crate) fn enter(&self, handle: Handle) -> PyResult<()> {
        let entered = {
            let mut files = self.files();
            // Asked while nobody can take the table away.
            match self.is_gone() {
                true => Err(Refusal::Gone),
                false => files.enter(handle),
            }
        };
        entered.map_err(refused)
    }

    /// A use is over. Call with the ring not held (I6).
    pub(crate) fn leave(&self, handle: Handle) {
        if self.is_gone() {
            return;
        }
        let due = self.files().leave(handle);
        if due {
            self.empty(handle);
        }
    }

    /// The handle is closed: empty the slot, now or when the last use is over.
    pub(crate) fn end(&self, handle: Handle) {
        if self.is_gone() {
            return;
        }
        let end = self.files().end(handle);
        if end == End::Now {
            self.empty(handle);
        }
    }

    /// Empty a slot that nothing uses, if that can be done here and now; else have it done by the
    /// thread that submits next.
    fn empty(&self, handle: Handle) {
        let Some(cell) = self.cell.upgrade() else { return };
        let place = match cell.mine().then(|| cell.hold()) {
            Some(Ok(Some(state))) => match state.core.phase() {
                // A ring that ended with its thread has left nothing but a number.
                Phase::Open if !state.core.is_gone() => {
                    cell.entering();
                    Some((state.core.fd(), state.core.by_index()))
                }
                // The table ends with the ring.
                _ => return,
            },
            _ => None,
        };
        let done = place.is_some_and(|(fd, by_index)| {
            let emptied = self.empty_slot(fd, by_index, handle.slot);
            cell.left();
            emptied
        });
        if done {
            self.files().cleared(handle);
        } else {
            self.files().put_off(handle);
            self.chores.store(true, Ordering::Release);
        }
    }

    fn empty_slot(&self, fd: i32, by_index: u32, slot: u32) -> bool {
        let mut nothing = -1_i32;
        let mut update = io_uring_rsrc_update {
            offset: slot,
            data: core::ptr::from_mut(&mut nothing) as u64,
            ..Default::default()
        };
        let arg = core::ptr::from_mut(&mut update).cast();
        let opcode = IORING_REGISTER_FILES_UPDATE | by_index;
        // SAFETY: one slot's update, read during the call (I2).
        let done = unsafe { self.kernel.register(fd, opcode, arg, 1) };
        // A slot that is empty already is what was wanted; of a table that is gone nothing is.
        !matches!(done, Err(Errno::EEXIST | Errno::EAGAIN | Errno::ENOMEM | Errno::EINTR))
    }

    /// Empty the slots that could not be emptied when it was time.
    pub(crate) fn empty_due(&self) {
        if self.is_gone() {
            return;
        }
        let due = self.files().take_due();
        for handle in due {
            self.empty(handle);
        }
    }

    /// The handle of a file that the kernel has put into slot `res`: its owner (I10).
    pub(crate) fn claim(self: &Arc<Self>, py: Python<'_>, slot: u32) -> PyResult<Py<PyDirectFile>> {
        let handle = self.files().filled(slot);
        let handle = handle.ok_or_else(|| refused(Refusal::Range))?;
        // Dropped, and so closed, where it cannot be made.
        Py::new(py, PyDirectFile::new(Arc::clone(self), handle, true))
    }
}

/// Why something was refused, in words.
#[cold]
pub(crate) fn refused(refusal: Refusal) -> PyErr {
    match refusal {
        Refusal::Range => PyIndexError::new_err("the file table has no such slot"),
        Refusal::Gone => PyValueError::new_err("the file table is closed"),
        Refusal::Closed => PyValueError::new_err("this direct descriptor is closed"),
        Refusal::Stale => PyValueError::new_err(
            "this direct descriptor is stale: its slot was emptied or has another file by now",
        ),
        Refusal::InUse(slot) => {
            PyValueError::new_err(format!("a request or an Sqe uses the file in slot {slot}"))
        }
        Refusal::Taken(slot) => PyValueError::new_err(format!("slot {slot} is taken")),
        Refusal::Full => PyValueError::new_err("no slot of the file table is free"),
        Refusal::Choosing(slot) => PyValueError::new_err(format!(
            "requests in flight have the kernel choose slots, and it may choose {slot}: keep it \
             out of the range that the kernel chooses from (alloc_range)"
        )),
        Refusal::ReservedInRange => PyValueError::new_err(
            "a slot is reserved in the range that the kernel would choose from: keep them apart \
             (alloc_range)",
        ),
    }
}
