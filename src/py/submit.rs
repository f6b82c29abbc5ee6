//! Staging, submitting and waiting.
//!
//! The interpreter is let go of only where the kernel may sleep or has much to copy: releasing it
//! costs 28 ns alone, but up to 5 ms to get back beside one busy thread. So an enter first submits
//! without waiting, and only a second one, if completions are still lacking, waits detached.

use std::sync::atomic::Ordering;

use pyo3::ffi;
use pyo3::prelude::*;

use crate::py::direct;
use crate::py::keep::{Keep, ATTRIBUTES, BIG, CHOOSES, NEEDS};
use crate::py::kernel::AnyKernel;
use crate::py::register::personality::{Credentials, Parts};
use crate::py::ring::PyRing;
use crate::py::state::State;
use crate::py::{bufring, errors, request, trace};
use crate::ring::error::RingError;
use crate::ring::kernel::Kernel;
use crate::ring::restrict::is_restricted;
use crate::ring::sq::SecondHalf;
use crate::ring::wait::{EnterPlan, Entered, Limits};
use crate::ring::Phase;
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;

/// Beyond so many bytes to copy at submission, other threads get their turn meanwhile.
const MUCH: u64 = 64 * 1024;

/// How long a thread sleeps on a shared ring before it looks whether others left it something.
const LOOK_AGAIN_NS: u64 = 10_000_000;

/// How long a thread sleeps before it looks for signals again: one may come between our last look
/// and the kernel's sleep, which it then does not end.
const SIGNALS_AGAIN_NS: u64 = 50_000_000;

/// What every request may carry beside its operation's own arguments.
pub(crate) struct Common<'a, 'py> {
    pub(crate) user_data: Option<&'a Bound<'py, PyAny>>,
    pub(crate) flags: u8,
    pub(crate) personality: Credentials,
}

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

/// Gives a reserved slot back if what fills it panics, as PyO3 does for want of memory.
struct GiveBack<'a>(&'a PyRing, u32);

impl Drop for GiveBack<'_> {
    #[cold]
    fn drop(&mut self) {
        Python::attach(|py| drop(self.0.unreserve(py, self.1, another_ring())));
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

    /// The submission queue is full: submit, leaving an open chain behind.
    #[cold]
    pub(crate) fn make_room(&self, py: Python<'_>) -> PyResult<u32> {
        self.submit_without_waiting(py, |state| state.core.plan_room())
    }

    /// Enter the kernel once, for what `plan` says. Returns how many entries the kernel took.
    fn submit_without_waiting(
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
