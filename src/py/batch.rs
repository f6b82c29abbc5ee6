//! Bulk calls: many requests from columns of numbers, in one call.
//!
//! `prep_*_batch` stages them, and their completions are taken by `reap_into`. `run_*` does the
//! whole of it inside: it keeps the ring full with the interpreter free, and gives one result per
//! row. Which rows go where is copied out of the caller's arrays and checked first, so nothing that
//! changes meanwhile can lead outside a buffer (I5).

use std::ptr::NonNull;

use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::prelude::*;

use crate::ops::batch::{Place, Rows, What};
use crate::py::keep::{Access, Keep, Owner};
use crate::py::ring::PyRing;
use crate::py::{columns, memory};
use crate::ring::access::Hold;
use crate::ring::batches::{BatchCqe, Sink, BATCHES_MAX, ELEMENTS_MAX};
use crate::ring::error::RingError;
use crate::ring::kernel::Kernel;
use crate::ring::wait::{EnterPlan, Entered};
use crate::ring::Phase;
use crate::sys::consts::{IORING_ENTER_GETEVENTS, IOSQE_FIXED_FILE};

use super::state::State;

/// Entries shown to the kernel in one go: more only spill the caches (1024 is slower than 128).
const STRIDE: u32 = 128;
/// Without waiting and with so little to copy, the interpreter is kept: it is quicker done than
/// handed over and got back.
const SMALL_BYTES: u64 = 64 * 1024;
const SMALL_ROWS: u32 = 1024;
/// How long a run stays away before it looks for signals.
const ROUND_NS: u64 = 20_000_000;

/// A run under way.
struct Run<'a> {
    ring: &'a PyRing,
    id: u16,
    rows: &'a Rows,
    depth: u32,
    next: u32,
}

/// Why a part of a run came back.
enum Pause {
    Done,
    /// It has to wait, and was told not to.
    WouldWait,
    /// Time to look for signals.
    Look,
    Failed(RingError),
}

/// Take the ring without the interpreter.
fn hold(ring: &PyRing) -> Result<Hold<'_, State>, RingError> {
    loop {
        match ring.cell.hold()? {
            Some(hold) => return Ok(hold),
            None => ring.cell.wait_turn(),
        }
    }
}

impl Run<'_> {
    /// Take off what has completed, stage what there is room for, and plan the next call. None
    /// when all is done. With `may_wait` the call waits for some of what is in flight.
    fn step(&mut self, may_wait: bool) -> Result<Option<(EnterPlan, bool)>, RingError> {
        let mut state = hold(self.ring)?;
        if state.core.phase() != Phase::Open {
            return Err(RingError::Closed);
        }
        state.stash_events();
        let end = self.rows.count.min(self.next.saturating_add(STRIDE));
        let rows = self.rows;
        let entry = rows.entries();
        self.next = state.core.stage_batch(self.id, self.next..end, self.depth, entry)?;
        let in_flight = state.core.batches().in_flight_of(self.id);
        if self.next == rows.count && in_flight == 0 {
            return Ok(None);
        }
        // Wait until there is room for a good part of a stride again, or at the end for all; if
        // others have filled the ring, for any of theirs.
        let all = self.next == rows.count;
        let full = all || in_flight >= self.depth || state.core.live() >= self.ring.cq_size();
        let some = if all { in_flight } else { (self.depth / 8).clamp(1, in_flight.max(1)) };
        let plan = match state.core.plan_submit(if may_wait && full { some } else { 0 }) {
            // No place for this thread's open chain behind the rows: it goes the next time.
            Err(RingError::SqFull) => state.core.plan_room(),
            plan => plan,
        };
        let mut plan = plan?.unwrap_or_else(|| state.core.plan_nothing());
        plan.flags |= IORING_ENTER_GETEVENTS;
        self.ring.cell.entering();
        Ok(Some((plan, full)))
    }

    /// Go on until done, or `until` (of the kernel's clock), or, if it may not wait, until it would
    /// have to.
    fn go_on(&mut self, may_wait: bool, until: u64) -> Pause {
        let kernel = &self.ring.kernel;
        loop {
            let (plan, full) = match self.step(may_wait) {
                Ok(Some(step)) => step,
                Ok(None) => return Pause::Done,
                Err(error) => return Pause::Failed(error),
            };
            let left = plan.may_block().then(|| until.saturating_sub(kernel.now_ns()).max(1));
            let entered = plan.run(kernel, left, 0);
            self.ring.cell.left();
            match entered {
                Ok(Entered::Interrupted) => return Pause::Look,
                Ok(Entered::Took(_) | Entered::TimedOut | Entered::Busy) => {}
                Err(error) => return Pause::Failed(error),
            }
            if !may_wait {
                if full && !self.some_completed() {
                    return Pause::WouldWait;
                }
            } else if kernel.now_ns() >= until {
                return Pause::Look;
            }
        }
    }

    fn some_completed(&self) -> bool {
        hold(self.ring).is_ok_and(|mut state| state.core.cq().ready() > 0)
    }
}

impl PyRing {
    /// Begin a batch: its rows' memory is held by `owner` until the last has ended.
    fn begin_batch(&self, py: Python<'_>, count: u32, sink: Sink, owner: Owner) -> PyResult<u16> {
        let mut owner = Some(owner);
        let mut begun = self.try_begin(py, count, sink, &mut owner);
        if let Ok(None) = begun {
            // Batches may have ended without anybody having looked.
            let looked = match self.full_raises {
                true => self.harvest(py),
                false => self.room_after_submit(py).map(drop),
            };
            begun = looked.and_then(|()| self.try_begin(py, count, sink, &mut owner));
        }
        let max = BATCHES_MAX as u32;
        begun?.ok_or_else(|| self.error(py, &RingError::BatchesFull { max }))
    }

    /// Begin a batch, with the owner taken over. None when there are too many batches.
    fn try_begin(
        &self,
        py: Python<'_>,
        count: u32,
        sink: Sink,
        owner: &mut Option<Owner>,
    ) -> PyResult<Option<u16>> {
        self.check_open(py)?;
        let mut state = self.hold(py)?;
        let begun = state.core.batches().begin(count, sink);
        if let Some(id) = begun {
            if let Some(owner) = owner.take() {
                state.adopt(id, owner.hand_over());
            }
        }
        Ok(begun)
    }

    /// Stage all rows, submitting as room is needed.
    pub(crate) fn stage_rows(
        &self,
        py: Python<'_>,
        rows: &Rows,
        tag: u64,
        owner: Owner,
    ) -> PyResult<u32> {
        if rows.count == 0 {
            return Ok(0);
        }
        let id = self.begin_batch(py, rows.count, Sink::Queue(tag), owner)?;
        let staged = self.stage_all(py, id, rows);
        {
            let mut state = self.hold(py)?;
            state.staged_bytes += rows.bytes();
            state.core.batches().sealed(id);
        }
        self.let_owners_go(py)?;
        staged
    }

    fn stage_all(&self, py: Python<'_>, id: u16, rows: &Rows) -> PyResult<u32> {
        let mut next = 0;
        loop {
            let staged = {
                let mut state = self.hold(py)?;
                state.core.stage_batch(id, next..rows.count, u32::MAX, rows.entries())
            };
            let before = next;
            next = staged.map_err(|error| self.error(py, &error))?;
            if next == rows.count {
                return Ok(next);
            }
            if self.full_raises || next == before && !self.room_after_submit(py)? {
                // What fits is staged, and the caller learns how many that is.
                return if next > 0 { Ok(next) } else { Err(self.no_room(py)?) };
            }
            if next > before {
                self.make_room(py)?;
            }
        }
    }

    /// Submit and take completions off: is there room for more now?
    fn room_after_submit(&self, py: Python<'_>) -> PyResult<bool> {
        self.make_room(py)?;
        self.flush_held_back(py)?;
        self.harvest(py)?;
        let mut state = self.hold(py)?;
        let free = state.core.live() < self.cq_size();
        Ok(free && state.core.sq().space() > 0)
    }

    fn no_room(&self, py: Python<'_>) -> PyResult<PyErr> {
        let full = self.hold(py)?.core.sq().space() == 0;
        let max = self.cq_size();
        let error = if full { RingError::SqFull } else { RingError::InFlightFull { max } };
        Ok(self.error(py, &error))
    }

    /// Carry out all rows, one i32 of result each into `results`.
    pub(crate) fn run_rows(
        &self,
        py: Python<'_>,
        rows: &Rows,
        depth: Option<u32>,
        results: NonNull<i32>,
        owner: Owner,
    ) -> PyResult<()> {
        if rows.count == 0 {
            return Ok(());
        }
        let depth = depth.unwrap_or(self.sq_size()).clamp(1, self.cq_size());
        let id = self.begin_batch(py, rows.count, Sink::Array(results), owner)?;
        let mut run = Run { ring: self, id, rows, depth, next: 0 };
        let outcome = self.drive(py, &mut run);
        self.hold(py)?.core.batches().sealed(id);
        self.harvest(py)?;
        self.let_owners_go(py)?;
        outcome
    }

    fn drive(&self, py: Python<'_>, run: &mut Run<'_>) -> PyResult<()> {
        let small = run.rows.count <= SMALL_ROWS && run.rows.bytes() <= SMALL_BYTES;
        let mut pause = if small { run.go_on(false, u64::MAX) } else { Pause::WouldWait };
        loop {
            match pause {
                Pause::Done => return Ok(()),
                Pause::Failed(error) => return Err(self.error(py, &error)),
                Pause::Look => py.check_signals()?,
                Pause::WouldWait => {}
            }
            let until = self.kernel.now_ns().saturating_add(ROUND_NS);
            self.cell.go_away();
            pause = py.detach(|| run.go_on(true, until));
            self.cell.back();
        }
    }

    /// Let go of what ended batches kept alive.
    pub(crate) fn let_owners_go(&self, py: Python<'_>) -> PyResult<()> {
        loop {
            let owner = self.hold(py)?.next_released();
            match owner {
                Some(mut owner) => owner.release(py),
                None => return Ok(()),
            }
        }
    }

    /// Copy completions of batches into `room` records. Returns how many.
    pub(crate) fn reap_records(
        &self,
        py: Python<'_>,
        records: NonNull<BatchCqe>,
        room: usize,
    ) -> PyResult<usize> {
        self.harvest(py)?;
        if self.hold(py)?.core.batches().done().is_empty() && self.flush_held_back(py)? {
            self.harvest(py)?;
        }
        let mut state = self.hold(py)?;
        let done = state.core.batches().done();
        let count = done.len().min(room);
        let (first, second) = done.as_slices();
        let head = first.len().min(count);
        // SAFETY: `records` has room for `room` of them, exported by the caller (I5).
        unsafe {
            let to = records.as_ptr().cast::<u8>();
            let size = size_of::<BatchCqe>();
            std::ptr::copy_nonoverlapping(first.as_ptr().cast::<u8>(), to, head * size);
            let rest = to.add(head * size);
            std::ptr::copy_nonoverlapping(
                second.as_ptr().cast::<u8>(),
                rest,
                (count - head) * size,
            );
        }
        done.drain(..count);
        Ok(count)
    }
}

/// The rows of reads or writes, with everything they need kept in `owner`.
pub(crate) fn read_write_rows(
    owner: &mut Keep,
    what: What,
    files: &Bound<'_, PyAny>,
    bufs: &Bound<'_, PyAny>,
    offsets: &Bound<'_, PyAny>,
    nbytes: Option<&Bound<'_, PyAny>>,
    flags: u8,
) -> PyResult<Rows> {
    let access = if what == What::Read { Access::Destination } else { Access::Source };
    let offsets = columns::offsets(offsets)?;
    let fds = columns::files(owner, files)?;
    let memory = columns::memory(owner, bufs, access)?;
    let lengths = nbytes.map(columns::lengths).transpose()?;
    let counts = [
        offsets.rows(),
        fds.rows(),
        memory.rows(),
        lengths.as_ref().and_then(crate::ops::batch::Column::rows),
    ];
    let count = counts.into_iter().flatten().next().unwrap_or(1);
    if counts.into_iter().flatten().any(|rows| rows != count) {
        return Err(PyValueError::new_err(
            "files, buffers, offsets and nbytes must have equally many rows",
        ));
    }
    let count = row_count(count)?;
    memory::afford(count, BYTES_OF_A_ROW)?;
    let (place, lengths, buf_index) = memory.place(count, lengths)?;
    // The one file of all rows may be a direct descriptor.
    let flags = flags | (owner.special & IOSQE_FIXED_FILE);
    Ok(Rows { what, count, fds, offsets, lengths, place, buf_index, flags })
}

/// What the columns of a row take at most, beside those that are there already: its place, its
/// length, its offset and file once more while they are checked.
const BYTES_OF_A_ROW: usize = 32;

/// How many rows there may be.
pub(crate) fn row_count(count: usize) -> PyResult<u32> {
    u32::try_from(count)
        .ok()
        .filter(|count| *count <= ELEMENTS_MAX)
        .ok_or_else(|| PyValueError::new_err(format!("a batch has at most {ELEMENTS_MAX} rows")))
}

/// Export an array of at least `count` i32 for results.
pub(crate) fn results_array(
    owner: &mut Keep,
    results: &Bound<'_, PyAny>,
    count: u32,
) -> PyResult<NonNull<i32>> {
    let memory = owner.export(results, Access::Destination)?;
    let size = owner.item_size();
    if !matches!(size, 1 | 4) {
        return Err(PyBufferError::new_err(format!(
            "results must be an array of 32-bit ints or of bytes, not of {size}-byte items"
        )));
    }
    if memory.len < count as usize * size_of::<i32>() {
        return Err(PyBufferError::new_err(format!(
            "results must have room for {count} 32-bit ints ({} bytes), not {} bytes",
            count as usize * size_of::<i32>(),
            memory.len
        )));
    }
    Ok(NonNull::new(memory.addr as *mut i32).unwrap_or(NonNull::dangling()))
}

/// A `Place` where all rows' memory is one piece after the other.
pub(crate) fn pieces(base: u64, stride: u64) -> Place {
    Place::Pieces { base, stride }
}
