//! What a ring has registered with the kernel: files and buffers.
//!
//! Registering may sleep, and takes long for much memory, so it is done with the interpreter free
//! and the ring not held (I6). The order of such changes is that of the lock [`Resources::change`],
//! which is only taken with the interpreter let go of.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;

use crate::py::direct::FileCore;
use crate::py::fixed::Buffers;
use crate::py::kernel::AnyKernel;
use crate::py::ring::PyRing;
use crate::ring::error::RingError;
use crate::ring::kernel::Kernel;
use crate::ring::register::told;
use crate::ring::Phase;
use crate::sys::consts::*;
use crate::sys::os::c_void;

/// The registered resources of one ring.
#[derive(Default)]
pub(crate) struct Resources {
    files: Mutex<Option<Arc<FileCore>>>,
    buffers: Buffers,
    /// Something is to be done by the next thread that may use the ring.
    pub(crate) chores: Arc<AtomicBool>,
    /// Something was registered with a tag, which the kernel gives back when it lets go of it.
    pub(crate) tagged: AtomicBool,
    change: Mutex<()>,
}

/// A lock whose holders cannot leave anything half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Resources {
    /// The table of registered files.
    pub(crate) fn files(&self) -> Option<Arc<FileCore>> {
        lock(&self.files).clone()
    }

    pub(crate) fn set_files(&self, core: Option<Arc<FileCore>>) {
        let old = std::mem::replace(&mut *lock(&self.files), core);
        drop(old);
    }

    /// The registered buffers.
    pub(crate) fn buffers(&self) -> &Buffers {
        &self.buffers
    }
}

/// io_uring_register(2) on a ring that stays open meanwhile.
pub(crate) struct Registrar<'a> {
    kernel: &'a AnyKernel,
    fd: i32,
    /// The bit that says whether `fd` is an index (REGISTERED_FD_ONLY).
    by_index: u32,
}

impl Registrar<'_> {
    /// # Safety
    /// As for [`Kernel::register`].
    pub(crate) unsafe fn call(
        &self,
        opcode: u32,
        arg: *mut c_void,
        nr: u32,
    ) -> Result<u32, RingError> {
        // SAFETY: the caller's contract (I2).
        unsafe { self.kernel.register(self.fd, opcode | self.by_index, arg, nr) }
            .map_err(|errno| told(self.kernel, opcode, errno))
    }
}

/// Says that the call announced by `entering` is over, even if it panics.
pub(crate) struct Left<'a>(&'a PyRing);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.cell.left();
    }
}

impl PyRing {
    /// Have `act` register something, with the interpreter free and the ring not held (I6). One
    /// such change at a time.
    pub(crate) fn register_away<T: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&Registrar<'_>) -> Result<T, RingError> + Send,
    ) -> PyResult<T> {
        let registrar = self.enter_to_register(py)?;
        let done = py.detach(|| {
            let _left = Left(self);
            let _turn = lock(&self.resources.change);
            act(&registrar)
        });
        done.map_err(|error| self.error(py, &error))
    }

    /// As `register_away`, but with the interpreter kept: for what takes no time.
    pub(crate) fn register_here<T>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&Registrar<'_>) -> Result<T, RingError>,
    ) -> PyResult<T> {
        let registrar = self.enter_to_register(py)?;
        let done = {
            let _left = Left(self);
            // Whoever has it needs no interpreter to be done with it.
            let _turn = lock(&self.resources.change);
            act(&registrar)
        };
        done.map_err(|error| self.error(py, &error))
    }

    /// The number of the open ring, which stays open until what comes with it is dropped.
    pub(crate) fn stay_open(&self, py: Python<'_>) -> PyResult<(Left<'_>, i32)> {
        let Registrar { fd, .. } = self.enter_to_register(py)?;
        Ok((Left(self), fd))
    }

    /// For the open ring, which stays open until `left`.
    fn enter_to_register(&self, py: Python<'_>) -> PyResult<Registrar<'_>> {
        let place = {
            let state = self.hold(py)?;
            // Of a ring that ended with its thread only the number is left, which may be another's.
            let open = state.core.phase() == Phase::Open && !state.core.is_gone();
            if open {
                self.cell.entering();
            }
            open.then(|| (state.core.fd(), state.core.by_index()))
        };
        let (fd, by_index) = place.ok_or_else(|| self.error(py, &RingError::Closed))?;
        Ok(Registrar { kernel: &self.kernel, fd, by_index })
    }

    /// Do what other threads, or a moment at which it could not be done, left to do.
    #[cold]
    pub(crate) fn do_chores(&self) {
        if !self.cell.same_process() {
            return;
        }
        self.resources.chores.store(false, Ordering::Relaxed);
        if let Some(files) = self.resources.files() {
            files.empty_due();
        }
    }

    /// What was let go of just now may have had tags: they stay readable, as other completions do.
    fn take_last_tags(&self, py: Python<'_>) -> PyResult<()> {
        let mut before = None;
        loop {
            self.harvest(py)?;
            // More than the queue has room for are had bit by bit. Where the kernel refuses (the
            // owner's thread has ended, or the ring was never enabled) that must not stop closing.
            let (have, plan) = {
                let mut state = self.hold(py)?;
                (state.have_any(), state.core.plan_flush())
            };
            let Some(plan) = plan.filter(|_| before != Some(have)) else { return Ok(()) };
            before = Some(have);
            if py.detach(|| plan.run(&self.kernel, None, 0)).is_err() {
                return Ok(());
            }
        }
    }

    /// The ring is drained and about to be closed by the calling thread: let go of what is
    /// registered, so that files are closed and memory is given back now, not when the kernel gets
    /// round to it.
    pub(crate) fn unregister_all(&self, py: Python<'_>) -> PyResult<()> {
        let files = self.resources.files();
        let (has_buffers, gone, registrar) = {
            let core = &self.hold(py)?.core;
            let (fd, by_index) = (core.fd(), core.by_index());
            (core.has_buffers, core.is_gone(), Registrar { kernel: &self.kernel, fd, by_index })
        };
        if (files.is_some() || has_buffers) && !gone {
            py.detach(|| {
                let null = core::ptr::null_mut();
                if files.is_some() {
                    // SAFETY: takes no argument. Refused, it happens with the ring's end (I2).
                    let _ = unsafe { registrar.call(IORING_UNREGISTER_FILES, null, 0) };
                }
                if has_buffers {
                    // SAFETY: as above; requests, of which there are none, hold their memory (I2).
                    let _ = unsafe { registrar.call(IORING_UNREGISTER_BUFFERS, null, 0) };
                }
            });
        }
        if let Some(files) = files {
            files.retire();
        }
        // Exports end here, with no lock held (I6).
        drop(self.resources.buffers.take_all());
        if self.resources.tagged.load(Ordering::Relaxed) && !gone {
            self.take_last_tags(py)?;
        }
        Ok(())
    }
}
