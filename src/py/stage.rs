//! Staging: a slot for the request, what it keeps alive, and its entry in the queue.

use pyo3::ffi;
use pyo3::prelude::*;

use crate::py::armed;
use crate::py::direct;
use crate::py::keep::{Keep, ATTRIBUTES, BIG, CHOOSES, NEEDS};
use crate::py::register::personality::{Credentials, Parts};
use crate::py::ring::PyRing;
use crate::py::{bufring, request, trace};
use crate::ring::error::RingError;
use crate::ring::sq::SecondHalf;
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;

/// Beyond so many bytes to copy at submission, other threads get their turn meanwhile.
pub(crate) const MUCH: u64 = 64 * 1024;

/// What every request may carry beside its operation's own arguments.
pub(crate) struct Common<'a, 'py> {
    pub(crate) user_data: Option<&'a Bound<'py, PyAny>>,
    pub(crate) flags: u8,
    pub(crate) personality: Credentials,
}

/// Gives a reserved slot back if what fills it panics, as PyO3 does for want of memory.
struct GiveBack<'a>(&'a PyRing, u32);

impl Drop for GiveBack<'_> {
    #[cold]
    fn drop(&mut self) {
        armed::last(|py| drop(self.0.unreserve(py, self.1, another_ring())));
    }
}

impl PyRing {
    /// Reserve a slot, have `build` fill it, and stage the request.
    #[inline(always)]
    pub(crate) fn prep(
        &self,
        py: Python<'_>,
        common: Common<'_, '_>,
        build: impl FnOnce(&mut Keep) -> PyResult<io_uring_sqe>,
    ) -> PyResult<Py<PyAny>> {
        let (index, key) = self.reserve(py)?;
        // SAFETY: reserved by us just now; nobody else uses the payload (I1).
        let keep = unsafe { self.cell.assume_held().keep(index) };
        let unwound = GiveBack(self, index);
        let built = build(keep);
        std::mem::forget(unwound);
        let mut sqe = match built {
            Ok(sqe) => sqe,
            Err(error) => return Err(self.unreserve(py, index, error)),
        };
        let credentials = common.personality.ring_id();
        if credentials != 0 && credentials != self.id {
            return Err(self.unreserve(py, index, another_ring()));
        }
        if keep.ring_id != 0 {
            if let Err(error) = self.belongs(keep, common.flags) {
                return Err(self.unreserve(py, index, error));
            }
        }
        if keep.special != 0 {
            if let Err(error) = self.settle(keep, &mut sqe) {
                return Err(self.unreserve(py, index, error));
            }
        }
        if keep.ring_id != 0 && keep.ring_id != self.id {
            return self.prep_special(py, common, (index, key), sqe);
        }
        sqe.flags |= common.flags;
        sqe.personality = common.personality.number();
        keep.set_token(owned_token(py, common.user_data));
        self.stage(py, index, key, sqe)
    }

    /// Stage a request that keeps no buffers, if that takes one look at the ring: it is reserved,
    /// filled and staged in one go. `fill` must not run Python code. None: go the long way.
    #[inline(always)]
    pub(crate) fn stage_at_once(
        &self,
        py: Python<'_>,
        sqe: io_uring_sqe,
        fill: impl FnOnce(&mut Keep),
    ) -> PyResult<Option<Py<PyAny>>> {
        if self.trace.is_some() {
            return Ok(None);
        }
        // Before the ring is held: to allocate may be to run Python code (I6).
        let request = request::new(py, 0, self.id, sqe.opcode)?;
        let (index, staged) = {
            let mut state = self.hold(py)?;
            let Some(index) = state.core.reserve_to_stage() else { return Ok(None) };
            // SAFETY: reserved by us just now; nobody else uses the payload (I1).
            fill(unsafe { state.keep(index) });
            let staged = state.core.stage(index, sqe);
            state.staged_bytes += immediate_bytes(&sqe);
            (index, staged)
        };
        match staged {
            Ok(key) => {
                request::name(&request, key);
                Ok(Some(request))
            }
            Err(error) => Err(self.unreserve(py, index, self.error(py, &error))),
        }
    }

    /// The rest of [`PyRing::prep`] for a request that is not for any ring.
    #[cold]
    #[inline(never)]
    fn prep_special(
        &self,
        py: Python<'_>,
        common: Common<'_, '_>,
        (index, key): (u32, u64),
        mut sqe: io_uring_sqe,
    ) -> PyResult<Py<PyAny>> {
        // SAFETY: reserved by the caller, who has gone no further (I1).
        let keep = unsafe { self.cell.assume_held().keep(index) };
        if let Err(error) = self.suits(py, keep.ring_id) {
            return Err(self.unreserve(py, index, error));
        }
        sqe.flags |= common.flags;
        sqe.personality = common.personality.number();
        keep.set_token(owned_token(py, common.user_data));
        match keep.second_half().copied() {
            Some(half) => self.stage_wide(py, index, key, sqe, &half),
            None => self.stage(py, index, key, sqe),
        }
    }

    /// Is this a ring for a request that says so of its ring?
    #[cold]
    pub(crate) fn suits(&self, py: Python<'_>, wanted: u32) -> PyResult<()> {
        let id = wanted & !NEEDS;
        if id != 0 && id != self.id {
            return Err(another_ring());
        }
        let flags = self.hold(py)?.core.params().flags;
        if wanted & BIG != 0 && flags & (IORING_SETUP_CQE32 | IORING_SETUP_CQE_MIXED) == 0 {
            return Err(pyo3::exceptions::PyValueError::new_err(
                "this needs completions of 32 bytes: a ring made with SetupFlags.CQE32 or CQE_MIXED",
            ));
        }
        if wanted & ATTRIBUTES != 0 && self.params.features & IORING_FEAT_RW_ATTR == 0 {
            let what = "reading and writing with attributes";
            return Err(self.error(py, &RingError::Unsupported { what, since: (6, 14) }));
        }
        Ok(())
    }

    /// As [`PyRing::stage`], for an entry of 128 bytes. Apart from it, which is to stay as short as
    /// it is.
    #[cold]
    pub(crate) fn stage_wide(
        &self,
        py: Python<'_>,
        index: u32,
        key: u64,
        sqe: io_uring_sqe,
        half: &SecondHalf,
    ) -> PyResult<Py<PyAny>> {
        let request = match request::new(py, key, self.id, sqe.opcode) {
            Ok(request) => request,
            Err(error) => return Err(self.unreserve(py, index, error)),
        };
        loop {
            let staged = self.hold(py)?.core.stage_wide(index, sqe, half);
            let error = match staged {
                Ok(key) => {
                    if let Some(callback) = &self.trace {
                        trace::prep(py, callback, key, &sqe);
                    }
                    return Ok(request);
                }
                Err(RingError::SqFull) if !self.full_raises => match self.make_room(py) {
                    Ok(_) => continue,
                    Err(error) => error,
                },
                Err(error) => self.error(py, &error),
            };
            return Err(self.unreserve(py, index, error));
        }
    }

    /// A request that names something of a ring, and is about to be staged on this one.
    #[cold]
    pub(crate) fn belongs(&self, keep: &mut Keep, flags: u8) -> PyResult<()> {
        let id = keep.ring_id & !NEEDS;
        if id != 0 && id != self.id {
            return Err(another_ring());
        }
        match keep.pool_mut() {
            Some(pool) => bufring::arm(pool, flags),
            None => Ok(()),
        }
    }

    /// What the builder could not settle without the ring.
    #[cold]
    fn settle(&self, keep: &mut Keep, sqe: &mut io_uring_sqe) -> PyResult<()> {
        direct::fitting(keep, sqe)?;
        if keep.special & CHOOSES != 0 {
            self.have_chosen(keep)?;
        }
        Ok(())
    }

    /// Stage a filled slot, making room first where that is the ring's way.
    #[inline(always)]
    pub(crate) fn stage(
        &self,
        py: Python<'_>,
        index: u32,
        key: u64,
        sqe: io_uring_sqe,
    ) -> PyResult<Py<PyAny>> {
        let bytes = immediate_bytes(&sqe);
        // Made first: once staged, the request can no longer fail for want of memory.
        let request = match request::new(py, key, self.id, sqe.opcode) {
            Ok(request) => request,
            Err(error) => return Err(self.unreserve(py, index, error)),
        };
        loop {
            let staged = {
                let mut state = self.hold(py)?;
                let staged = state.core.stage(index, sqe);
                if staged.is_ok() {
                    state.staged_bytes += bytes;
                }
                staged
            };
            match staged {
                Ok(key) => {
                    if let Some(callback) = &self.trace {
                        trace::prep(py, callback, key, &sqe);
                    }
                    return Ok(request);
                }
                Err(RingError::SqFull) if !self.full_raises => {
                    if let Err(error) = self.make_room(py) {
                        return Err(self.unreserve(py, index, error));
                    }
                }
                Err(error) => {
                    let error = self.error(py, &error);
                    return Err(self.unreserve(py, index, error));
                }
            }
        }
    }

    #[inline(always)]
    pub(crate) fn reserve(&self, py: Python<'_>) -> PyResult<(u32, u64)> {
        let reserved = self.hold(py)?.core.reserve();
        match reserved {
            Ok(slot) => Ok(slot),
            Err(RingError::InFlightFull { .. }) => self.reserve_after_reaping(py),
            Err(error) => Err(self.error(py, &error)),
        }
    }

    /// All slots are taken: take what has completed off the ring, and submit what is staged, since
    /// nothing else can ever complete. A chain that is still open stays behind: its links end where
    /// a submission does.
    #[cold]
    fn reserve_after_reaping(&self, py: Python<'_>) -> PyResult<(u32, u64)> {
        self.harvest(py)?;
        if let Ok(slot) = self.hold(py)?.core.reserve() {
            return Ok(slot);
        }
        if !self.full_raises {
            self.submit_without_waiting(py, |state| state.core.plan_whole_chains())?;
        }
        self.flush_held_back(py)?;
        self.harvest(py)?;
        let reserved = self.hold(py)?.core.reserve();
        reserved.map_err(|error| self.error(py, &error))
    }

    /// Give a reserved slot back after a failure.
    #[cold]
    pub(crate) fn unreserve(&self, py: Python<'_>, index: u32, error: PyErr) -> PyErr {
        // SAFETY: reserved by us; the kernel never saw it (I1, I2).
        unsafe { self.cell.assume_held().keep(index) }.release(py);
        match self.hold(py) {
            Ok(mut state) => state.core.free(index),
            Err(other) => return other,
        }
        error
    }
}

/// The target or registered buffer of a request is another ring's.
#[cold]
pub(crate) fn another_ring() -> PyErr {
    pyo3::exceptions::PyValueError::new_err(
        "the request to act on, the direct descriptor, the registered buffer or the personality \
         belongs to another ring",
    )
}

/// How many bytes the kernel may copy while it takes this entry.
#[inline(always)]
fn immediate_bytes(sqe: &io_uring_sqe) -> u64 {
    match sqe.opcode {
        IORING_OP_SEND | IORING_OP_SEND_ZC if sqe.ioprio & IORING_SEND_VECTORIZED != 0 => MUCH,
        IORING_OP_READ
        | IORING_OP_WRITE
        | IORING_OP_READ_FIXED
        | IORING_OP_WRITE_FIXED
        | IORING_OP_SEND
        | IORING_OP_SEND_ZC
        | IORING_OP_RECV => u64::from(sqe.len),
        // Vectors: their sum is not looked up again for this.
        IORING_OP_READV
        | IORING_OP_WRITEV
        | IORING_OP_SENDMSG
        | IORING_OP_RECVMSG
        | IORING_OP_READV_FIXED
        | IORING_OP_WRITEV_FIXED
        | IORING_OP_SENDMSG_ZC => MUCH,
        _ => 0,
    }
}

/// A reference to the user's data as the slot keeps it.
#[inline(always)]
pub(crate) fn owned_token(
    py: Python<'_>,
    user_data: Option<&Bound<'_, PyAny>>,
) -> *mut ffi::PyObject {
    match user_data {
        Some(object) => object.clone().into_ptr(),
        None => py.None().into_ptr(),
    }
}
