//! `Sqe`: a request prepared apart from any ring, to be pushed once or many times.

use std::cell::UnsafeCell;
use std::ffi::c_int;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::PyTraverseError;

use crate::ops::args::Args;
use crate::py::armed;
use crate::py::bufring;
use crate::py::direct::{self, Part};
use crate::py::keep::{Keep, CHOOSES, NEEDS};
use crate::py::register::personality::Parts;
use crate::py::request::RequestKey;
use crate::py::results::Results;
use crate::py::ring::PyRing;
use crate::py::stage::{another_ring, owned_token, Common};
use crate::ring::sq::SecondHalf;
use crate::sys::abi::io_uring_sqe;
use crate::sys::ending::arm_thread;
use crate::sys::opcode;

/// A request prepared apart from any ring, with the same builders as `Ring.prep_*`.
///
/// `ring.push(sqe)` stages it, as often as wanted; that is cheaper than preparing it anew. Its
/// buffers are locked as long as the Sqe lives. The buffer protocol shows the 64 bytes of the
/// entry (128 if it has so many), read-only; user_data is zero there, since each push gets a key of
/// its own.
#[pyclass(name = "Sqe", module = "uring_rs", frozen)]
pub(crate) struct PySqe {
    /// Boxed: its exports must not move (I1). Nobody changes it but a push of an entry that the
    /// kernel writes into, of which there is one at a time.
    keep: Box<UnsafeCell<Keep>>,
    entry: Box<WholeEntry>,
    user_data: Py<PyAny>,
    flags: u8,
    /// The ring that the target or the registered buffer belongs to; 0 for any.
    ring_id: u32,
    /// The entry has 128 bytes.
    wide: bool,
    /// The kernel writes into `keep`.
    written: bool,
    /// `keep` is empty, so that requests in flight need nothing of this.
    bare: bool,
    /// The kernel chooses a slot of the ring it is pushed to.
    chooses: bool,
    per_shot: bool,
    /// Requests in flight that the kernel writes into `keep` for: at most one may be.
    writing: AtomicU32,
    /// What `Ring.rearm` staged of it last: it may be under way still.
    armed: Mutex<Option<RequestKey>>,
}

// SAFETY: `keep` is changed only by the push that has set `writing`, before its request is staged,
// and read only by that request's end; of entries that are not `written` it is never changed (I2).
unsafe impl Sync for PySqe {}

/// An entry, with room for the second half that some have.
#[repr(C)]
struct WholeEntry {
    sqe: io_uring_sqe,
    half: SecondHalf,
}

impl PySqe {
    /// Bytes of the entry.
    fn size(&self) -> usize {
        if self.wide {
            size_of::<WholeEntry>()
        } else {
            size_of::<io_uring_sqe>()
        }
    }

    /// Prepare what `build` makes.
    pub(crate) fn build(
        py: Python<'_>,
        common: Common<'_, '_>,
        build: impl FnOnce(&mut Keep) -> PyResult<io_uring_sqe>,
    ) -> PyResult<Self> {
        arm_thread();
        let mut cell = Box::<UnsafeCell<Keep>>::default();
        let keep = cell.get_mut();
        let mut entry = match build(keep) {
            Ok(entry) => entry,
            Err(error) => {
                keep.release(py);
                return Err(error);
            }
        };
        let half = keep.second_half().copied().unwrap_or_default();
        let fits = direct::fitting(keep, &mut entry)
            .and_then(|()| once_only(keep))
            .and_then(|()| keep.pool().map_or(Ok(()), |pool| bufring::fits(pool, common.flags)));
        if let Err(error) = fits {
            keep.release(py);
            return Err(error);
        }
        entry.flags |= common.flags;
        entry.personality = common.personality.number();
        let credentials = common.personality.ring_id();
        let target = keep.ring_id & !NEEDS;
        if target == 0 {
            keep.ring_id |= credentials;
        } else if credentials != 0 && credentials != target {
            keep.release(py);
            return Err(another_ring());
        }
        // SAFETY: an owned reference, moved into the `Py`.
        let user_data =
            unsafe { Bound::from_owned_ptr(py, owned_token(py, common.user_data)) }.unbind();
        Ok(PySqe {
            ring_id: keep.ring_id,
            bare: keep.is_bare(),
            wide: keep.second_half().is_some(),
            chooses: keep.special & CHOOSES != 0,
            per_shot: keep.per_shot,
            written: keep.args().is_some_and(Args::written_by_kernel),
            keep: cell,
            entry: Box::new(WholeEntry { sqe: entry, half }),
            user_data,
            flags: common.flags,
            writing: AtomicU32::new(0),
            armed: Mutex::new(None),
        })
    }

    /// What `Ring.rearm` staged of it last.
    pub(crate) fn armed(&self) -> Option<RequestKey> {
        *self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remember what `Ring.rearm` staged.
    pub(crate) fn set_armed(&self, request: RequestKey) {
        *self.armed.lock().unwrap_or_else(PoisonError::into_inner) = Some(request);
    }

    /// Be the one push that the kernel writes into `keep` for.
    fn claim(&self) -> PyResult<()> {
        if self.writing.swap(1, Ordering::AcqRel) != 0 {
            return Err(PyBufferError::new_err(format!(
                "this {} Sqe is in flight, and the kernel writes its answer into it: make another",
                self.op()
            )));
        }
        // SAFETY: `writing` was 0, so the last push is over, and now it is ours (I2).
        unsafe { (*self.keep.get()).renew_args() };
        Ok(())
    }
}

impl Drop for PySqe {
    fn drop(&mut self) {
        arm_thread();
        // Every push in flight holds a reference, so the kernel is done with all of it (I2).
        armed::last(|py| self.keep.get_mut().release(py));
    }
}

#[pymethods]
impl PySqe {
    /// The operation's name.
    #[getter]
    fn op(&self) -> &'static str {
        opcode::info(self.entry.sqe.opcode).map_or("?", |info| info.name)
    }

    /// SqeFlags given.
    #[getter]
    fn flags(&self) -> u8 {
        self.flags
    }

    /// The object each completion of it will carry.
    #[getter]
    fn user_data(&self, py: Python<'_>) -> Py<PyAny> {
        self.user_data.clone_ref(py)
    }

    /// The collector sees the token only, never what the kernel may touch (I7).
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.user_data)
    }

    fn __repr__(&self) -> String {
        format!("<Sqe {} fd={} len={}>", self.op(), self.entry.sqe.fd, self.entry.sqe.len)
    }

    /// The 64 or 128 bytes of the entry.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        if flags & ffi::PyBUF_WRITABLE == ffi::PyBUF_WRITABLE {
            return Err(PyBufferError::new_err("the entry of an Sqe is read-only"));
        }
        let entry: *const WholeEntry = &raw const *slf.get().entry;
        // SAFETY: `view` is the caller's to fill in; the entry is boxed and never changes, and the
        // view holds a reference to us (I1).
        let failed = unsafe {
            let (object, size) = (slf.as_ptr(), slf.get().size() as ffi::Py_ssize_t);
            ffi::PyBuffer_FillInfo(view, object, entry.cast_mut().cast(), size, 1, flags)
        };
        if failed != 0 {
            return Err(PyErr::fetch(slf.py()));
        }
        Ok(())
    }

    unsafe fn __releasebuffer__(&self, view: *mut ffi::Py_buffer) {
        let _ = view;
    }
}

impl PyRing {
    /// Stage one prepared request.
    pub(crate) fn push_sqe(&self, py: Python<'_>, sqe: &Bound<'_, PySqe>) -> PyResult<Py<PyAny>> {
        let prepared = sqe.get();
        if prepared.ring_id != 0 && prepared.ring_id != self.id {
            self.suits(py, prepared.ring_id)?;
        }
        if prepared.written {
            prepared.claim()?;
        } else if prepared.ring_id == 0 && !prepared.chooses && !prepared.per_shot {
            let token = || prepared.user_data.clone_ref(py).into_ptr();
            let staged = self.stage_at_once(py, prepared.entry.sqe, |keep| {
                keep.set_token(token());
                if !prepared.bare {
                    keep.hold_object(sqe.as_any());
                    keep.pushed = true;
                }
            })?;
            if let Some(request) = staged {
                return Ok(request);
            }
        }
        let (index, key) = match self.reserve(py) {
            Ok(slot) => slot,
            Err(error) => {
                if prepared.written {
                    prepared.writing.store(0, Ordering::Release);
                }
                return Err(error);
            }
        };
        // SAFETY: reserved by us just now; nobody else uses the payload (I1).
        let keep = unsafe { self.cell.assume_held().keep(index) };
        keep.hold_object(sqe.as_any());
        keep.pushed = true;
        keep.per_shot = prepared.per_shot;
        if prepared.chooses {
            if let Err(error) = self.have_chosen(keep) {
                return Err(self.unreserve(py, index, error));
            }
        }
        keep.set_token(prepared.user_data.clone_ref(py).into_ptr());
        if prepared.wide {
            return self.stage_wide(py, index, key, prepared.entry.sqe, &prepared.entry.half);
        }
        if prepared.ring_id != 0 {
            // SAFETY: what an entry uses is never changed after it was made (I2).
            if let Some(pool) = unsafe { (*prepared.keep.get()).pool() } {
                keep.use_pool(pool.clone());
                keep.ring_id = self.id;
                if let Err(error) = self.belongs(keep, prepared.flags) {
                    return Err(self.unreserve(py, index, error));
                }
            }
        }
        self.stage(py, index, key, prepared.entry.sqe)
    }
}

/// What the kernel wrote into the `Sqe` whose push has just ended, if it was one.
pub(crate) fn results_of(py: Python<'_>, keep: &Keep, res: i32) -> Option<Box<Results>> {
    if !keep.pushed {
        return None;
    }
    let held = keep.held(py)?;
    let sqe = held.cast::<PySqe>().ok()?;
    // SAFETY: the push has ended and is not yet over, or goes on, so nobody changes it (I2).
    let prepared = unsafe { &*sqe.get().keep.get() };
    let parts = prepared.parts().chain(keep.parts());
    direct::results(py, parts, prepared.args(), res)
        .or_else(|| prepared.args().and_then(|args| Results::of(args, res)))
}

/// What closes a file or changes slots must not be pushed a second time, when others are there.
fn once_only(keep: &Keep) -> PyResult<()> {
    if keep.parts().all(Part::repeats) {
        return Ok(());
    }
    Err(PyValueError::new_err(
        "an Sqe could be pushed again, when the slot has another file: use the ring's prep_ method",
    ))
}

/// A push is over, or never was: the `Sqe` may be pushed again.
pub(crate) fn push_ended(held: Option<Bound<'_, PyAny>>) {
    if let Some(Ok(sqe)) = held.as_ref().map(|held| held.cast::<PySqe>()) {
        sqe.get().writing.store(0, Ordering::Release);
    }
}
