//! Submitting and waiting.
//!
//! The interpreter is let go of only where the kernel may sleep or has much to copy: releasing it
//! costs 28 ns alone, but up to 5 ms to get back beside one busy thread. So an enter first submits
//! without waiting, and only a second one, if completions are still lacking, waits detached.

use std::sync::atomic::Ordering;

use pyo3::prelude::*;

use crate::py::kernel::AnyKernel;
use crate::py::ring::PyRing;
use crate::py::stage::MUCH;
use crate::py::state::State;
use crate::py::{errors, trace};
use crate::ring::error::{Call, RingError};
use crate::ring::kernel::Kernel;
use crate::ring::probe;
use crate::ring::restrict::is_restricted;
use crate::ring::wait::{EnterPlan, Entered, Limits};
use crate::ring::Phase;
use crate::sys::consts::*;

/// How long a thread sleeps on a shared ring before it looks whether others left it something.
const LOOK_AGAIN_NS: u64 = 10_000_000;

/// How long a thread sleeps before it looks for signals again: one may come between our last look
/// and the kernel's sleep, which it then does not end.
const SIGNALS_AGAIN_NS: u64 = 50_000_000;

/// How many completions to wait for.
#[derive(Clone, Copy)]
pub(crate) enum Want {
    /// Of any kind: iteration or `reap_into` hands them out.
    Any(u32),
    /// Of single requests, which iteration hands out.
    Single(u32),
}

impl Want {
    #[inline(always)]
    fn count(self) -> u32 {
        match self {
            Want::Any(count) | Want::Single(count) => count,
        }
    }

    /// The same, but not more than one.
    fn at_most_one(self) -> Want {
        match self {
            Want::Any(count) => Want::Any(count.min(1)),
            Want::Single(count) => Want::Single(count.min(1)),
        }
    }

    /// How many of them are lacking.
    #[inline(always)]
    fn lacking(self, state: &mut State) -> u32 {
        let have = match self {
            Want::Any(_) => state.have_any(),
            Want::Single(_) => state.have(),
        };
        self.count().saturating_sub(have.min(u32::MAX as usize) as u32)
    }
}

/// What one round of a submit-and-wait has to do.
struct Round {
    plan: Option<EnterPlan>,
    detach: bool,
    lacking: u32,
}

impl PyRing {
    /// The submission queue is full: submit, leaving an open chain behind.
    #[cold]
    pub(crate) fn make_room(&self, py: Python<'_>) -> PyResult<u32> {
        self.submit_without_waiting(py, |state| state.core.plan_room())
    }

    /// Enter the kernel once, for what `plan` says. Returns how many entries the kernel took.
    pub(super) fn submit_without_waiting(
        &self,
        py: Python<'_>,
        plan: impl FnOnce(&mut State) -> Result<Option<EnterPlan>, RingError>,
    ) -> PyResult<u32> {
        let planned = {
            let mut state = self.hold(py)?;
            state.staged_bytes = 0;
            let planned = plan(&mut state);
            if matches!(planned, Ok(Some(_))) {
                self.cell.entering();
            }
            planned
        };
        let Some(plan) = planned.map_err(|error| self.error(py, &error))? else { return Ok(0) };
        let entered = self.run(py, plan, None, true)?;
        if plan.may_block() || entered == Entered::Interrupted {
            py.check_signals()?;
        }
        match entered {
            Entered::Took(count) => return Ok(if self.sqpoll { 0 } else { count }),
            Entered::Busy => self.harvest(py)?,
            _ => {}
        }
        Ok(0)
    }

    /// Enter the kernel as planned. The caller announced it with `entering`.
    #[inline(always)]
    pub(crate) fn run(
        &self,
        py: Python<'_>,
        plan: EnterPlan,
        timeout_ns: Option<u64>,
        detach: bool,
    ) -> PyResult<Entered> {
        self.run_within(py, plan, Limits { timeout_ns, ..Limits::default() }, detach)
    }

    /// The same, bounded by more than a time.
    #[inline(always)]
    pub(crate) fn run_within(
        &self,
        py: Python<'_>,
        plan: EnterPlan,
        limits: Limits,
        detach: bool,
    ) -> PyResult<Entered> {
        let kernel = &self.kernel;
        // Out before the interpreter is taken back, which may run destructors that wait for us.
        let cell = &self.cell;
        let run = || {
            let result = plan.run_within(kernel, limits);
            cell.left();
            result
        };
        let result = if detach { py.detach(run) } else { run() };
        if let Some(callback) = &self.trace {
            trace::enter(py, callback, &plan, &result);
        }
        result.map_err(|error| self.error(py, &error))
    }

    /// Submit what is staged, and wait until `want` completions can be had. Returns how many
    /// entries the kernel took.
    pub(crate) fn submit_and_wait(
        &self,
        py: Python<'_>,
        want: Want,
        timeout_ns: Option<u64>,
    ) -> PyResult<u32> {
        self.submit_and_wait_long(py, want, timeout_ns, None)
    }

    /// The same. Once `min_wait_ns` has passed, one completion will do.
    pub(crate) fn submit_and_wait_long(
        &self,
        py: Python<'_>,
        mut want: Want,
        timeout_ns: Option<u64>,
        min_wait_ns: Option<u64>,
    ) -> PyResult<u32> {
        if self.resources.chores.load(Ordering::Relaxed) {
            self.do_chores();
        }
        let deadline = timeout_ns.map(|ns| self.kernel.now_ns().saturating_add(ns));
        let one_will_do = min_wait_ns.map(|ns| self.kernel.now_ns().saturating_add(ns));
        let mut taken = 0;
        loop {
            if want.count() > 0 {
                self.harvest(py)?;
            }
            if one_will_do.is_some_and(|at| self.kernel.now_ns() >= at) {
                want = want.at_most_one();
            }
            let Round { plan, detach, lacking } = self.round(py, &mut want, &mut taken)?;
            let Some(plan) = plan else { return Ok(taken) };
            let left = deadline.map(|at| at.saturating_sub(self.kernel.now_ns()));
            let nap = self.nap(&plan, left);
            let (nap, min_wait_us) = match one_will_do {
                Some(at) if plan.may_block() => self.min_wait(at, nap, lacking < want.count()),
                _ => (nap, 0),
            };
            let limits = Limits { timeout_ns: nap, min_wait_us, sigmask: None };
            let entered = self.run_within(py, plan, limits, detach);
            if plan.min_complete > 1 {
                self.wake.after_sleep();
            }
            let entered = entered?;
            if plan.may_block() {
                py.check_signals()?;
            }
            match entered {
                Entered::Took(count) => {
                    taken += if self.sqpoll { 0 } else { count };
                    let stuck = count == 0 && plan.to_submit > 0 && !self.sqpoll;
                    let all = count >= plan.to_submit;
                    if lacking == 0 && (stuck || all || self.sqpoll) {
                        return Ok(taken);
                    }
                    if lacking > 0 && all && self.has_enough(py, want)? {
                        return Ok(taken);
                    }
                }
                Entered::TimedOut if nap == left => {
                    self.harvest(py)?;
                    return Ok(taken);
                }
                Entered::Busy => self.harvest(py)?,
                Entered::Interrupted | Entered::TimedOut => {}
            }
            // With entries submitted, the kernel does not tell that the time was up.
            if lacking > 0 && plan.may_block() && left == Some(0) {
                self.harvest(py)?;
                return Ok(taken);
            }
        }
    }

    /// After an enter: is there, with what it brought, as much as is wanted?
    #[inline(always)]
    fn has_enough(&self, py: Python<'_>, want: Want) -> PyResult<bool> {
        self.harvest(py)?;
        let mut state = self.hold(py)?;
        // A wake-up is for the wait that it came in, needed or not: the next round looks at it.
        Ok(want.lacking(&mut state) == 0 && !state.core.is_woken() && state.core.sq().staged() == 0)
    }

    /// How long the kernel may sleep before we look again. Between our look at a shared ring and the
    /// kernel's, another thread may take completions off and leave some for us: the kernel sees an
    /// empty queue then, and would wait for others.
    #[inline(always)]
    fn nap(&self, plan: &EnterPlan, left: Option<u64>) -> Option<u64> {
        if !plan.may_block() || !matches!(self.kernel, AnyKernel::Linux(_)) {
            return left;
        }
        let most = if self.cell.shared() { LOOK_AGAIN_NS } else { SIGNALS_AGAIN_NS };
        Some(left.map_or(most, |left| left.min(most)))
    }

    /// How long to sleep, and for how long of that for all that is wanted, if one completion will do
    /// from `at` on.
    fn min_wait(&self, at: u64, nap: Option<u64>, have_one: bool) -> (Option<u64>, u32) {
        let left = at.saturating_sub(self.kernel.now_ns());
        if left == 0 || nap.is_some_and(|nap| nap <= left) {
            return (nap, 0);
        }
        // The kernel does not know of the one that was taken off the ring.
        if have_one || self.params.features & IORING_FEAT_MIN_TIMEOUT == 0 {
            return (Some(left), 0);
        }
        (nap, u32::try_from(left.div_ceil(1000)).unwrap_or(u32::MAX))
    }

    /// Plan one round: submit first; wait, in a later round, for what is still lacking.
    #[inline(always)]
    fn round(&self, py: Python<'_>, want: &mut Want, taken: &mut u32) -> PyResult<Round> {
        loop {
            let mut state = self.hold(py)?;
            if state.core.phase() != Phase::Open {
                drop(state);
                return Err(self.error(py, &RingError::Closed));
            }
            if want.count() > 0 && (state.core.take_woken() | self.wake.take_early()) {
                self.wake.arrived();
                // For all rounds that are still to come: a wake-up is seen once.
                *want = Want::Any(0);
            }
            let lacking = want.lacking(&mut state);
            let staged = state.core.sq().staged();
            let pending = if self.sqpoll { 0 } else { state.core.pending() };
            let min = match pending {
                // On a shared ring the waiter looks up now and then anyway.
                0 if self.cell.shared() => lacking,
                0 => self.wake.before_sleep(lacking),
                _ => 0,
            };
            match state.core.plan_submit(min) {
                Ok(mut plan) => {
                    if let (Some(plan), true) = (&mut plan, lacking > 0) {
                        plan.flags |= IORING_ENTER_GETEVENTS;
                    }
                    let much = std::mem::take(&mut state.staged_bytes) > MUCH;
                    if self.sqpoll {
                        *taken += staged;
                    }
                    if plan.is_some() {
                        self.cell.entering();
                    }
                    return Ok(Round { plan, detach: much || min > 0, lacking });
                }
                Err(RingError::SqFull) => {
                    drop(state);
                    *taken += if self.sqpoll { staged } else { 0 };
                    *taken += self.make_room(py)?;
                }
                Err(error) => {
                    drop(state);
                    return Err(self.error(py, &error));
                }
            }
        }
    }

    /// Bring in completions that the kernel holds back. False when it holds back none.
    pub(crate) fn flush_held_back(&self, py: Python<'_>) -> PyResult<bool> {
        let plan = {
            let mut state = self.hold(py)?;
            let plan = state.core.plan_flush();
            if plan.is_some() {
                self.cell.entering();
            }
            plan
        };
        match plan {
            Some(plan) => self.run(py, plan, None, false).map(|_| true),
            None => Ok(false),
        }
    }

    /// The exception for what the core said.
    #[cold]
    pub(crate) fn error(&self, py: Python<'_>, error: &RingError) -> PyErr {
        match error {
            RingError::WrongThread => errors::wrong_thread(py, &self.owner_name(py)),
            error if self.restrictions.is_some() && is_restricted(error) => {
                errors::explained(py, error, "the ring's restrictions do not allow it")
            }
            RingError::Sys(Call::Register, errno) => match probe::explain_register(*errno) {
                Some(why) => errors::explained(py, error, &why),
                None => errors::ring_error(py, error),
            },
            error => errors::ring_error(py, error),
        }
    }

    /// Does Python know the owner's thread, so that it has not ended?
    pub(crate) fn owner_is_known(&self, py: Python<'_>) -> bool {
        self.known_owner(py).is_some()
    }

    /// The name of the thread that owns the ring.
    fn owner_name(&self, py: Python<'_>) -> String {
        // What Python does not know any more is about to end.
        let known = if self.cell.orphaned() { None } else { self.known_owner(py) };
        known.unwrap_or_else(|| "that used it first, which has ended".into())
    }

    fn known_owner(&self, py: Python<'_>) -> Option<String> {
        let owner = self.cell.owner();
        let find = || -> PyResult<Option<String>> {
            for thread in py.import("threading")?.call_method0("enumerate")?.try_iter()? {
                let thread = thread?;
                // CPython's identifier is pthread_self(), the same word.
                if thread.getattr("ident")?.extract::<Option<usize>>()? == Some(owner) {
                    return Ok(Some(format!("{:?}", thread.getattr("name")?.extract::<String>()?)));
                }
            }
            Ok(None)
        };
        find().ok().flatten()
    }
}

impl PyRing {
    /// Have an eventfd count completions, or none any more.
    pub(crate) fn set_eventfd(
        &self,
        py: Python<'_>,
        fd: Option<i32>,
        async_only: bool,
    ) -> PyResult<()> {
        self.check_open(py)?;
        let opcode = match (fd, async_only) {
            (None, _) => IORING_UNREGISTER_EVENTFD,
            (Some(_), false) => IORING_REGISTER_EVENTFD,
            (Some(_), true) => IORING_REGISTER_EVENTFD_ASYNC,
        };
        let mut number = fd.unwrap_or(-1);
        let count = u32::from(fd.is_some());
        let arg = if fd.is_some() {
            core::ptr::from_mut(&mut number).cast()
        } else {
            core::ptr::null_mut()
        };
        // SAFETY: one int, read during the call, or no argument (I2).
        let done = unsafe { self.hold(py)?.core.register(opcode, arg, count) };
        done.map(drop).map_err(|error| self.error(py, &error))
    }
}
