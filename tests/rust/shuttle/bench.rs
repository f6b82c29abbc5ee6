//! A ring in its cell, used as the Python layer uses it (`py/submit.rs`, `py/reap.rs`,
//! `py/close.rs`), without an interpreter; and how models are run.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{thread, Config, MaxSteps, Runner};

use uring_rs::ops;
use uring_rs::ring::access::{Hold, Owned, RingCell};
use uring_rs::ring::error::RingError;
use uring_rs::ring::params;
use uring_rs::ring::sim::{Options, SimKernel};
use uring_rs::ring::slots::Zeroed;
use uring_rs::ring::teardown::Naps;
use uring_rs::ring::wait::{EnterPlan, Entered};
use uring_rs::ring::wake::Wake;
use uring_rs::ring::{Phase, Ring};
use uring_rs::sys::abi::io_uring_sqe;
use uring_rs::sys::consts::IORING_OP_NOP;
use uring_rs::sys::os::POLLIN;
use uring_rs::sys::sync::broken::{self, Rule};

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// How many schedules of each kind a model is run in.
fn runs() -> usize {
    setting("SHUTTLE_RUNS").unwrap_or(100) as usize
}

/// Which schedules: the same each time, unless others are asked for.
fn seed() -> u64 {
    setting("SHUTTLE_SEED").unwrap_or(1)
}

fn config() -> Config {
    let mut config = Config::new();
    // A model that goes on for so long goes round in circles: somebody waits for ever, awake. The
    // longest that ends takes 1,500.
    config.max_steps = MaxSteps::FailAfter(20_000);
    config
}

/// Run `model` in many schedules.
pub fn check(model: impl Fn() + Send + Sync + Clone + 'static) {
    let count = runs();
    Runner::new(RandomScheduler::new_from_seed(seed(), count), config()).run(model.clone());
    for depth in [2, 3, 5] {
        let scheduler = PctScheduler::new_from_seed(seed(), depth, count);
        Runner::new(scheduler, config()).run(model.clone());
    }
}

/// The same with a rule broken, in always the same schedules: the model must object to one of them,
/// or this ends without a panic.
pub fn check_broken(rule: Rule, model: impl Fn() + Send + Sync + Clone + 'static) {
    broken::choose(rule);
    for round in 0..200 {
        let scheduler = RandomScheduler::new_from_seed(round, 50);
        Runner::new(scheduler, config()).run(model.clone());
        let scheduler = PctScheduler::new_from_seed(round, 3, 50);
        Runner::new(scheduler, config()).run(model.clone());
    }
    broken::choose(Rule::None);
}

/// Which request a slot is.
#[derive(Clone, Copy)]
pub struct Number(u64);

// SAFETY: all zeroes is request 0 (I1).
unsafe impl Zeroed for Number {}

/// The guarded part of a ring, as `py::state::State` is.
pub struct State {
    pub core: Ring<SimKernel, Number>,
    pub ready: VecDeque<(u64, i32)>,
}

impl Owned for State {
    fn enable(&mut self) -> Result<(), RingError> {
        Owned::enable(&mut self.core)
    }

    fn inherited(&mut self) {
        Owned::inherited(&mut self.core);
    }
}

/// What ends a wait.
#[derive(Debug, PartialEq, Eq)]
pub enum Waited {
    Enough(Vec<(u64, i32)>),
    Woken,
    Closed,
}

/// How a ring of a model is used otherwise than it should be: rules that the Python layer keeps.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Misuse {
    #[default]
    None,
    /// A wait is announced after the ring was let go of.
    AnnouncedLate,
    /// Nobody calls those who sleep in the kernel when the ring is closed.
    NoPoke,
    /// A closing ring is taken down with threads in the kernel.
    NobodyWaitsForLeavers,
    /// A waiter of a shared ring sleeps until there are completions, and never looks up.
    NeverLooksUp,
}

pub struct Bench {
    pub kernel: SimKernel,
    pub cell: Arc<RingCell<State>>,
    pub wake: Wake,
    pub misuse: Misuse,
}

impl Bench {
    pub fn new(shared: bool, misuse: Misuse) -> Self {
        let kernel = SimKernel::new(Options::new(1));
        let mut config = params::Config::new(4);
        config.shared = shared;
        let core = Ring::new(kernel.clone(), &config).expect("a ring");
        let wake = Wake::new(core.fd());
        let state = State { core, ready: VecDeque::new() };
        Bench { kernel, cell: RingCell::in_arc(state, shared), wake, misuse }
    }

    pub fn hold(&self) -> Result<Hold<'_, State>, RingError> {
        loop {
            if let Some(hold) = self.cell.hold()? {
                return Ok(hold);
            }
            self.cell.wait_turn();
        }
    }

    /// `PyRing::run`: the caller has announced it.
    fn run(&self, plan: &EnterPlan, timeout_ns: Option<u64>) -> Entered {
        let entered = plan.run(&self.kernel, timeout_ns, 0);
        self.cell.left();
        entered.expect("nobody enters a ring that is gone")
    }

    /// Carry out what `plan` says of the ring, announced while it is held.
    fn enter(
        &self,
        plan: impl FnOnce(&mut State) -> Result<Option<EnterPlan>, RingError>,
        timeout_ns: Option<u64>,
    ) -> Result<Option<Entered>, RingError> {
        let late = self.misuse == Misuse::AnnouncedLate;
        let plan = {
            let mut state = self.hold()?;
            let plan = plan(&mut state)?;
            if plan.is_some() && !late {
                self.cell.entering();
            }
            plan
        };
        if plan.is_some() && late {
            self.cell.entering();
        }
        Ok(plan.map(|plan| self.run(&plan, timeout_ns)))
    }

    /// Stage a request; submitted by [`Bench::submit`] or by anybody's wait.
    pub fn stage(&self, number: u64, sqe: io_uring_sqe) -> Result<(), RingError> {
        let mut state = self.hold()?;
        let (index, _) = state.core.reserve()?;
        // SAFETY: a slot that is reserved is the caller's, and does not move (I1).
        unsafe { state.core.payload(index).write(Number(number)) };
        state.core.stage(index, sqe).map(drop).inspect_err(|_| state.core.free(index))
    }

    pub fn submit(&self) -> Result<(), RingError> {
        self.enter(|state| state.core.plan_submit(0), None).map(drop)
    }

    /// `PyRing::harvest`.
    fn harvest(&self) -> Result<(), RingError> {
        let mut state = self.hold()?;
        while let Some(event) = state.core.next_event() {
            assert!(event.terminal, "no request goes on");
            // SAFETY: the slot of an event that was just taken is ours until freed (I1).
            let Number(number) = unsafe { state.core.payload(event.index).read() };
            state.core.free(event.index);
            state.ready.push_back((number, event.res));
        }
        state.core.reaped();
        Ok(())
    }

    /// Wait for `want` completions, `PyRing::submit_and_wait`, and take as many.
    pub fn wait(&self, want: u32) -> Waited {
        match self.wait_or_fail(want) {
            Ok(waited) => waited,
            Err(RingError::Closed) => Waited::Closed,
            Err(error) => panic!("{error:?}"),
        }
    }

    fn wait_or_fail(&self, want: u32) -> Result<Waited, RingError> {
        loop {
            self.harvest()?;
            let mut asleep_for = 0;
            let plan = {
                let mut state = self.hold()?;
                if state.core.phase() != Phase::Open {
                    return Err(RingError::Closed);
                }
                if state.core.take_woken() | self.wake.take_early() {
                    self.wake.arrived();
                    return Ok(Waited::Woken);
                }
                let lacking = want.saturating_sub(state.ready.len() as u32);
                if lacking == 0 {
                    return Ok(Waited::Enough(state.ready.drain(..want as usize).collect()));
                }
                let min = match state.core.pending() {
                    0 if self.cell.shared() => lacking,
                    0 => self.wake.before_sleep(lacking),
                    _ => 0,
                };
                asleep_for += min;
                let plan = state.core.plan_submit(min)?;
                if plan.is_some() && self.misuse != Misuse::AnnouncedLate {
                    self.cell.entering();
                }
                plan
            };
            let Some(plan) = plan else { continue };
            if self.misuse == Misuse::AnnouncedLate {
                self.cell.entering();
            }
            // A shared ring's waiter looks up now and then; then the others are to have a turn.
            let naps = self.cell.shared() && self.misuse != Misuse::NeverLooksUp;
            let entered = self.run(&plan, naps.then_some(1_000));
            if asleep_for > 1 {
                self.wake.after_sleep();
            }
            if entered == Entered::TimedOut {
                thread::yield_now();
            }
        }
    }

    /// io_uring_enter(2) as an expert asks for it (`PyRing::enter_raw`): asleep until the kernel has
    /// something.
    pub fn sleep_raw(&self, min: u32) -> Result<(), RingError> {
        let flags = uring_rs::sys::consts::IORING_ENTER_GETEVENTS;
        self.enter(|state| state.core.plan_raw(0, min, flags).map(Some), None).map(drop)
    }

    /// `PyRing::close_ring`.
    pub fn close(&self) {
        loop {
            if self.hold().expect("this process").core.is_closed() {
                return;
            }
            if self.cell.begin_close().is_some() {
                break;
            }
            thread::yield_now();
        }
        self.close_alone();
        self.cell.end_close();
    }

    fn close_alone(&self) {
        let back = {
            let mut back = Vec::new();
            let mut state = self.hold().expect("this process");
            if self.cell.shared() {
                state.core.refuse();
            }
            state.core.discard(|index| back.push(index));
            back
        };
        self.taken_back(&back);
        if self.cell.shared() && self.misuse != Misuse::NobodyWaitsForLeavers {
            self.send_others_away();
        }
        let mut back = Vec::new();
        self.hold().expect("this process").core.begin_close(|index| back.push(index));
        self.taken_back(&back);
        self.drain();
        self.wake.mute();
        assert!(self.hold().expect("this process").core.finish_close(), "all is drained");
    }

    fn taken_back(&self, back: &[u32]) {
        let mut state = self.hold().expect("this process");
        for &index in back {
            // SAFETY: taken back before publication: reserved, and ours (I2).
            let Number(number) = unsafe { state.core.payload(index).read() };
            state.ready.push_back((number, i32::MIN));
            state.core.free(index);
        }
    }

    fn send_others_away(&self) {
        let mut pokes = 1;
        // Another waiter may take the poke: who waits for the leavers looks up, and pokes again.
        while !self.cell.wait_until_left(Duration::ZERO) {
            if self.misuse != Misuse::NoPoke {
                let plan = self.hold().expect("this process").core.plan_poke(pokes);
                if let Some(plan) = plan.expect("not closed") {
                    plan.run(&self.kernel, Some(0), 0).expect("a poke");
                }
                pokes = (pokes * 2).min(4);
            }
            thread::yield_now();
        }
    }

    fn drain(&self) {
        let mut naps = Naps::default();
        loop {
            self.harvest().expect("this process");
            let plan = {
                let mut state = self.hold().expect("this process");
                if state.core.live() == 0 {
                    return;
                }
                state.core.cancel_in_flight().expect("nothing fails here");
                state.core.plan_drain()
            };
            let Some(plan) = plan else { return };
            let nap = naps.next(1);
            plan.run(&self.kernel, Some(nap), 0).expect("nothing fails here");
        }
    }

    /// All completions that were not waited for.
    pub fn left_over(&self) -> Vec<(u64, i32)> {
        self.hold().expect("this process").ready.drain(..).collect()
    }

    /// The ring is gone, and the kernel has nothing to complain of.
    pub fn assert_gone(&self) {
        assert_eq!(self.kernel.violations(), [] as [String; 0]);
        assert_eq!((self.kernel.live_maps(), self.kernel.in_flight()), (0, 0));
        assert!(self.hold().expect("this process").core.is_closed());
    }
}

pub fn nop() -> io_uring_sqe {
    io_uring_sqe { opcode: IORING_OP_NOP, fd: -1, ..Default::default() }
}

/// A request that completes once `fd` has something to read.
pub fn poll(fd: i32) -> io_uring_sqe {
    ops::poll::add(fd, POLLIN as u32, 0)
}
