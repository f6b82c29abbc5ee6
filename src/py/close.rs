//! Closing a Python ring: refuse, discard, cancel, drain with the interpreter free, then unmap and
//! close (I12). What cannot be waited for goes to the graveyard.

use std::sync::atomic::Ordering;
use std::time::Duration;

use pyo3::prelude::*;

use crate::py::ring::PyRing;
use crate::py::state::State;
use crate::py::{armed, errors, registry, trace};
use crate::ring::access::RingCell;
use crate::ring::error::RingError;
use crate::ring::kernel::Kernel;
use crate::ring::teardown::Naps;
use crate::ring::wait::EnterPlan;
use crate::ring::Phase;
use crate::sys::ending::{self, arm_thread};

/// Between tries when the kernel is short of something.
const SHORT_NAP: Duration = Duration::from_millis(1);

/// How long the collection of a ring that was not closed waits for its requests.
const LAST_PATIENCE_NS: u64 = 100_000_000;

/// How long each place of a queue may take that is to fill up. A request that takes longer between
/// its completions is easily cancelled there.
const FILLING_NS: u64 = 10_000;

/// One look at what another thread is doing.
const NAP: Duration = Duration::from_millis(2);

/// How often to look whether a thread that Python has let go of is gone.
const ENDING_THREAD_NAPS: u32 = 500;

impl PyRing {
    /// Close within `patience_ns`; for ever if None.
    pub(crate) fn close_ring(&self, py: Python<'_>, patience_ns: Option<u64>) -> PyResult<()> {
        if !self.cell.same_process() {
            return Ok(());
        }
        self.inherit(py)?;
        let deadline = patience_ns.map(|ns| self.kernel.now_ns().saturating_add(ns));
        let Some(outermost) = self.turn_to_close(py, deadline)? else { return Ok(()) };
        let closed = self.close_alone(py, deadline);
        if outermost {
            self.cell.end_close();
        }
        closed
    }

    /// An owned ring whose thread has ended is the caller's to close.
    fn inherit(&self, py: Python<'_>) -> PyResult<()> {
        for _ in 0..ENDING_THREAD_NAPS {
            if self.cell.inherit() || self.cell.mine() || self.owner_is_known(py) {
                break;
            }
            // Python has let go of the thread already, and the kernel is about to.
            py.detach(|| std::thread::sleep(NAP));
            py.check_signals()?;
        }
        Ok(())
    }

    /// Only one thread at a time may take a ring down: wait for the one that does. None when there
    /// is nothing left to do, Some(false) inside of a close by this very thread.
    fn turn_to_close(&self, py: Python<'_>, deadline: Option<u64>) -> PyResult<Option<bool>> {
        loop {
            if self.hold(py)?.core.is_closed() {
                return Ok(None);
            }
            let turn = self.cell.begin_close();
            if turn.is_some() || deadline.is_some_and(|at| self.kernel.now_ns() >= at) {
                return Ok(turn);
            }
            py.detach(|| std::thread::sleep(NAP));
            py.check_signals()?;
        }
    }

    fn close_alone(&self, py: Python<'_>, deadline: Option<u64>) -> PyResult<()> {
        self.refuse(py)?;
        let done = self.drain(py, deadline)?;
        if done {
            self.unregister_all(py)?;
            let fd = self.hold(py)?.core.fd();
            if fd < 0 {
                // Closed by what ran while memory was released.
                return Ok(());
            }
            // Nobody may ring a bell whose number could soon be another file's.
            self.wake.mute();
            self.hold(py)?.finish_close();
            if let Some(callback) = &self.trace {
                trace::life(py, callback, "close", fd);
            }
        } else {
            self.abandon_in_flight(py)?;
        }
        Ok(())
    }

    /// Steps 1 and 2: no new work, and what is staged is taken back.
    fn refuse(&self, py: Python<'_>) -> PyResult<()> {
        if self.cell.shared() {
            self.hold(py)?.core.refuse();
        }
        self.discard_staged(py)?;
        if self.cell.shared() {
            self.send_others_away(py)?;
        }
        let mut back = Vec::new();
        self.hold(py)?.core.begin_close(|index| back.push(index));
        self.release_slots(py, &back)
    }

    /// A shared ring's waiters must come out of the kernel before anything is taken down.
    fn send_others_away(&self, py: Python<'_>) -> PyResult<()> {
        let cell = &self.cell;
        if py.detach(|| cell.wait_until_left(Duration::ZERO)) {
            // Nobody is there, and nobody gets there any more. A poke would only send what is
            // published on its way, and perhaps stay behind in a worker itself.
            return Ok(());
        }
        let mut pokes = 1;
        loop {
            let plan = {
                let mut state = self.hold(py)?;
                if state.core.is_closed() {
                    // By what ran while memory was released, or by a signal's handler.
                    return Ok(());
                }
                state.core.plan_poke(pokes)
            };
            let plan = plan.map_err(|error| self.error(py, &error))?;
            // A thread may wait for any number of completions.
            pokes = (pokes * 2).min(self.sq_size());
            // Announced by nobody: this thread is the one that closes.
            if let Some(plan) = plan {
                let kernel = &self.kernel;
                let poked = py.detach(|| plan.run(kernel, Some(0), 0));
                poked.map_err(|error| self.error(py, &error))?;
            }
            if py.detach(|| cell.wait_until_left(NAP)) {
                return Ok(());
            }
            py.check_signals()?;
        }
    }

    /// Steps 3 and 4: cancel, and take completions off until none is live. False when the time is
    /// up first.
    fn drain(&self, py: Python<'_>, deadline: Option<u64>) -> PyResult<bool> {
        let (mut last_live, mut last_have) = (0, 0);
        let mut naps = Naps::default();
        loop {
            self.harvest(py)?;
            let (cancelled, plan, restless) = {
                let mut state = self.hold(py)?;
                let live = state.core.live();
                if live == 0 {
                    return Ok(true);
                }
                if state.core.is_gone() {
                    return Ok(false);
                }
                // The kernel looks at every request to cancel them all: not again while those of
                // the last time are still coming in.
                let stalled = last_live == 0 || live >= last_live;
                let have = state.have_any();
                let restless = stalled && last_live > 0 && have > last_have;
                (last_live, last_have) = (live, have);
                let cancelled = if stalled { state.core.cancel_in_flight() } else { Ok(()) };
                (cancelled, state.core.plan_drain(), restless)
            };
            match cancelled {
                // Inherited: the kernel lets nobody but the dead thread in.
                Err(RingError::WrongThread) => return self.watch(py, deadline),
                Err(error) if !error.passes() => return Err(self.error(py, &error)),
                _ => {}
            }
            // What was cancelled on the spot needs no waiting, only a look.
            self.flush_held_back(py)?;
            self.harvest(py)?;
            let live = self.hold(py)?.core.live();
            if live == 0 {
                return Ok(true);
            }
            let Some(plan) = plan else { return Ok(true) };
            let plan = EnterPlan { min_complete: live, ..plan };
            let (plan, least) = if restless { self.fill(plan) } else { (plan, 0) };
            let left = deadline.map_or(u64::MAX, |at| at.saturating_sub(self.kernel.now_ns()));
            if left == 0 {
                return Ok(false);
            }
            let kernel = &self.kernel;
            let nap = left.min(naps.next(live).max(least));
            let entered = py.detach(|| {
                let entered = plan.run(kernel, Some(nap), 0)?;
                // Full now: once more, for the completion that there is no room for.
                if restless {
                    plan.run(kernel, Some(nap), 0)?;
                }
                Ok::<_, RingError>(entered)
            });
            match entered {
                Ok(_) => {}
                Err(error) if error.passes() => py.detach(|| std::thread::sleep(SHORT_NAP)),
                Err(error) => return Err(self.error(py, &error)),
            }
            py.check_signals()?;
        }
    }

    /// A request completes again and again, faster than it could be cancelled: a multishot timeout
    /// that is always just running out. Let the queue fill up: it ends when there is no more room.
    /// What to wait for then, and for how long at least.
    fn fill(&self, plan: EnterPlan) -> (EnterPlan, u64) {
        let size = self.params.cq_entries;
        (EnterPlan { min_complete: size, ..plan }, FILLING_NS * u64::from(size))
    }

    /// Wait a little for the requests of a thread that has ended: those under way then end by
    /// themselves, those that wait for something may never.
    fn watch(&self, py: Python<'_>, deadline: Option<u64>) -> PyResult<bool> {
        let until = self.kernel.now_ns().saturating_add(LAST_PATIENCE_NS);
        let until = deadline.map_or(until, |at| at.min(until));
        loop {
            self.harvest(py)?;
            if self.hold(py)?.core.live() == 0 {
                return Ok(true);
            }
            if self.kernel.now_ns() >= until {
                return Ok(false);
            }
            py.detach(|| std::thread::sleep(NAP));
            py.check_signals()?;
        }
    }

    /// Step 5: the time is up. Everything the kernel may touch stays, for good if need be.
    fn abandon_in_flight(&self, py: Python<'_>) -> PyResult<()> {
        let live = self.hold(py)?.core.live();
        self.wake.mute();
        if registry::give_up(&self.cell) {
            errors::resource_warning(
                py,
                &format!(
                    "{live} requests of a closed ring could not be ended in time; their memory is \
                     kept"
                ),
            );
        }
        Ok(())
    }

    /// Take back what is staged and not published.
    pub(crate) fn discard_staged(&self, py: Python<'_>) -> PyResult<u32> {
        let mut back = Vec::new();
        let count = self.hold(py)?.core.discard(|index| back.push(index));
        self.release_slots(py, &back)?;
        self.let_owners_go(py)?;
        Ok(count)
    }

    /// Let go of what slots the kernel never saw kept alive.
    fn release_slots(&self, py: Python<'_>, back: &[u32]) -> PyResult<()> {
        for &index in back {
            // SAFETY: taken back before publication: reserved, and ours (I2).
            unsafe { self.cell.assume_held().keep(index) }.release(py);
            self.hold(py)?.core.free(index);
        }
        Ok(())
    }

    /// What the ring's destruction does. Runs on any thread, maybe inside a collection.
    fn let_die(&self, py: Python<'_>) {
        registry::forget(self.id);
        if !self.cell.same_process() {
            self.forget_in_child();
            return;
        }
        // SAFETY: the object is being destroyed: nobody else can reach the ring but for moments
        // (I9). Of a cell in the graveyard `bury` is such a visitor, and handles of its files are.
        let (phase, live, staged) = unsafe {
            let mut state = self.cell.hold_last();
            (state.core.phase(), state.core.live(), state.core.pending_or_zero())
        };
        let careless = !self.refused.load(Ordering::Relaxed);
        if phase == Phase::Open && careless && !ending::has_begun() {
            errors::resource_warning(
                py,
                &format!(
                    "unclosed ring {:#x} with {} requests in flight and {staged} staged: use \
                     `with uring_rs.Ring(...)`, or close()",
                    self.id,
                    live.saturating_sub(staged)
                ),
            );
        }
        if phase != Phase::Closed {
            self.end_quietly(py, LAST_PATIENCE_NS);
        }
        // SAFETY: as above (I9).
        unsafe { drop_unread(py, &self.cell) };
    }

    /// Close without raising; what cannot be ended here and now is given up.
    fn end_quietly(&self, py: Python<'_>, patience_ns: u64) {
        let ending = ending::has_begun();
        // What was never used has nothing in flight, and may be refused its first use.
        let used = !self.cell.is_unused();
        if used && (self.cell.mine() || self.cell.inherit()) && !ending {
            if let Err(error) = self.close_ring(py, Some(patience_ns)) {
                error.write_unraisable(py, None);
            }
        }
        let mut back = Vec::new();
        // SAFETY: as in `let_die`, here and below (I9). Nobody is inside enter (I11).
        unsafe { self.cell.hold_last() }.core.begin_close(|index| back.push(index));
        // Without a GIL the owner's thread may be emptying a slot of the file table just now. It
        // needs nothing of ours for that, and finds the ring closing the next time.
        while !self.cell.wait_until_left(NAP) {}
        for index in back {
            // SAFETY: taken back before publication: reserved, and ours (I2).
            unsafe { self.cell.assume_held().keep(index).release(py) };
            // SAFETY: as above.
            unsafe { self.cell.hold_last() }.core.free(index);
        }
        loop {
            // SAFETY: as above; let go of before what it gave is released (I6).
            let owner = unsafe { self.cell.hold_last() }.next_released();
            let Some(mut owner) = owner else { break };
            owner.release(py);
        }
        // SAFETY: as above.
        let mut state = unsafe { self.cell.hold_last() };
        if state.core.phase() != Phase::Closed {
            self.wake.mute();
            if !state.finish_close() {
                drop(state);
                registry::give_up(&self.cell);
            }
        }
    }

    /// In a forked child the ring is the parent's: touch nothing, keep everything (I9).
    fn forget_in_child(&self) {
        // SAFETY: the object is being destroyed, in a child, which has one thread (I9).
        let mut state = unsafe { self.cell.hold_inherited() };
        state.core.abandon();
        std::mem::forget(std::mem::take(&mut state.ready));
        std::mem::forget(std::mem::take(&mut state.peeked));
    }
}

/// Completions nobody read: let go of their tokens, and close what they opened (I10).
///
/// # Safety
/// Nobody else may be able to reach the ring.
pub(super) unsafe fn drop_unread(py: Python<'_>, cell: &RingCell<State>) {
    loop {
        // SAFETY: the caller's contract (I9).
        let mut state = unsafe { cell.hold_last() };
        if state.core.phase() != Phase::Closed {
            return;
        }
        let kernel = state.core.kernel().clone();
        let shown = state.peeked.pop_front();
        let unread = state.ready.pop_front();
        let owner = state.next_released();
        drop(state);
        if shown.is_none() && unread.is_none() && owner.is_none() {
            return;
        }
        if let Some(mut owner) = owner {
            owner.release(py);
        }
        if let Some(unread) = unread {
            unread.discard(py, &kernel);
        }
        drop(shown);
    }
}

impl Drop for PyRing {
    fn drop(&mut self) {
        arm_thread();
        if !self.0.is_there() {
            return;
        }
        // Destroyed by the interpreter, so it is attached; perhaps while an exception is on its way
        // through the frame that held the ring, which warnings and closing must not touch.
        armed::last(|py| {
            let pending = errors::Pending::save(py);
            // Not called from here on: the collector may have cleared it together with the ring,
            // and to call a function that it has cleared is a crash.
            self.0.trace = None;
            self.let_die(py);
            pending.restore();
        });
    }
}
