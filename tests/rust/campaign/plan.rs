//! The campaign: a scenario is run once to see which calls it makes and which requests; then again
//! and again, each time with one of them failing in one of the ways it can.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write as _;

use uring_rs::ring::error::RingError;
use uring_rs::ring::sim::{
    Action, Call, Fault, FaultPlan, Made, Options, RequestAction, RequestFault, SimKernel,
};
use uring_rs::sys::consts::*;
use uring_rs::sys::Errno;

use crate::errnos;
use crate::tokens::Tokens;

/// All of it, or each call once with one errno.
pub fn exhaustive() -> bool {
    std::env::var_os("URING_RS_FAULTS").is_some_and(|value| value == "all")
}

/// What a run says of itself. Whatever it claims to have done right was checked by the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The errors that were told.
    pub errnos: Vec<Errno>,
    /// Errors that are no errno.
    pub others: Vec<String>,
    /// The memory of so many requests had to be left to the kernel, which never gave it back.
    pub kept: usize,
    /// So often something was told a call later than it was so.
    pub late_news: usize,
    /// So many temporary files could not be taken away.
    pub leftover: usize,
}

impl Said {
    pub fn note(&mut self, error: &RingError) {
        match error {
            RingError::Sys(_, errno) => self.errnos.push(*errno),
            RingError::Refused(refusal) => self.errnos.push(refusal.errno),
            RingError::Unfit(_, errno) => self.errnos.push(*errno),
            error => self.others.push(format!("{error:?}")),
        }
    }

    pub fn nothing(&self) -> bool {
        self.errnos.is_empty() && self.others.is_empty() && self.kept + self.leftover == 0
    }
}

/// Something to be done on a simulated kernel.
pub struct Scenario {
    pub name: String,
    pub options: Options,
    /// Without rings it goes by threads: that a ring is refused is no error.
    pub has_threads: bool,
    /// The same calls in the same order each time.
    pub steady: bool,
    /// Completions are no more than news: they may come late, and cancellations may fail whose
    /// target is in flight. Of polls the kernel does neither.
    pub late: bool,
    pub run: fn(&SimKernel, &Tokens, u32) -> Said,
    /// What `run` is told: which variant.
    pub variant: u32,
}

/// One fault.
#[derive(Clone, Copy)]
pub enum Harm {
    Call(Made, Action),
    Request(u64, u8, RequestAction),
}

impl fmt::Debug for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Harm::Call(made, action) => {
                write!(f, "{} no. {} (op {}): {action:?}", made.name, made.nth, made.opcode)
            }
            Harm::Request(nth, op, action) => write!(f, "request {nth} (op {op}): {action:?}"),
        }
    }
}

const TOLD: [u32; 2] = [IORING_REGISTER_FILES_UPDATE, IORING_REGISTER_SYNC_CANCEL];

impl Harm {
    fn plan(&self, plan: &mut FaultPlan) {
        match *self {
            Harm::Call(Made { call, nth, .. }, action) => {
                plan.calls.push(Fault { call, nth, action });
            }
            Harm::Request(nth, _, action) => plan.requests.push(RequestFault { nth, action }),
        }
    }

    /// The errno that is told, or may be.
    fn errno(&self) -> Option<Errno> {
        match *self {
            Harm::Call(_, Action::Err(errno)) => Some(errno),
            Harm::Call(..) => None,
            Harm::Request(_, _, RequestAction::Result(result)) if result < 0 => {
                Some(Errno(-result))
            }
            Harm::Request(_, _, RequestAction::Lost) => Some(Errno::EBADR),
            Harm::Request(..) => None,
        }
    }

    /// Nothing of it may be seen: the scenario ends as if there had been no fault.
    fn heals(&self, scenario: &Scenario) -> bool {
        match *self {
            // Cut short, or woken for nothing.
            Harm::Call(_, Action::ShortSubmit(_) | Action::Interrupt | Action::WakeEarly) => true,
            Harm::Call(made, Action::Err(errno)) => match made.call {
                // What cannot be registered with a queue, or cancelled, is for the caller to know.
                Call::Register if TOLD.contains(&made.opcode) => false,
                Call::Setup | Call::Map | Call::Register => scenario.has_threads,
                Call::Enter => {
                    matches!(errno, Errno::EINTR | Errno::EAGAIN | Errno::EBUSY | Errno::ENOMEM)
                }
                // What close(2) has to say of late writes, whatever it is, is told.
                Call::Plain | Call::Ask => errno == Errno::EINTR && made.name != "close",
                _ => true,
            },
            Harm::Request(_, _, action) => matches!(
                action,
                RequestAction::Late(_)
                    | RequestAction::Twice
                    | RequestAction::MoreAfterEnd
                    | RequestAction::Stranger(_)
            ),
        }
    }

    /// Does it lose a completion, so that memory has to be kept?
    fn loses(&self) -> bool {
        matches!(self, Harm::Request(_, _, RequestAction::Lost))
    }
}

/// Figures of a campaign.
#[derive(Default)]
pub struct Tally {
    pub scenarios: u64,
    pub calls: BTreeMap<String, u64>,
    pub requests: u64,
    pub faults: u64,
    pub request_faults: u64,
    pub pairs: u64,
    pub not_reached: u64,
    pub told: u64,
    pub errnos: BTreeSet<i32>,
}

/// The values of the stranger's key: of slots free, used and out of range, and no key at all.
const STRANGERS: [u64; 4] = [0x7000_0000_0000_0700, 0xffff_ff00, u64::MAX, 0x7f00_dead_beef];

/// Every way in which one call can fail.
fn harms_of_call(made: Made) -> Vec<Harm> {
    if matches!(made.call, Call::Unmap | Call::Close) {
        return Vec::new();
    }
    let mut actions: Vec<Action> =
        errnos::of_call(made.name).iter().map(|errno| Action::Err(*errno)).collect();
    match made.call {
        Call::Enter => {
            actions.extend((0..3).map(Action::ShortSubmit));
            actions.extend([Action::Interrupt, Action::WakeEarly]);
        }
        Call::Plain if matches!(made.name, "preadv2" | "pwritev2") => {
            actions.extend([1, 7, 100].map(Action::ShortSubmit));
        }
        _ => {}
    }
    actions.into_iter().map(|action| Harm::Call(made, action)).collect()
}

/// Every way in which one request can end otherwise.
fn harms_of_request(nth: u64, op: u8, late: bool) -> Vec<Harm> {
    if op == IORING_OP_POLL_REMOVE && !late {
        return Vec::new();
    }
    // EBADF tells of a poll's file that it was closed, and is believed.
    let told = |errno: &&Errno| late || **errno != Errno::EBADF;
    let errnos = errnos::of_request(op).iter().filter(told);
    let mut actions: Vec<RequestAction> =
        errnos.map(|errno| RequestAction::Result(-errno.0)).collect();
    if matches!(op, IORING_OP_READ | IORING_OP_READV | IORING_OP_WRITE | IORING_OP_WRITEV) {
        actions.extend([1, 7, 100].map(RequestAction::Result));
    }
    if late {
        actions.extend([1, 3_000_000].map(RequestAction::Late));
    }
    actions.extend([RequestAction::Twice, RequestAction::MoreAfterEnd, RequestAction::Lost]);
    actions.extend(STRANGERS.map(RequestAction::Stranger));
    actions.into_iter().map(|action| Harm::Request(nth, op, action)).collect()
}

/// Says in which run a test failed.
struct Label(String);

impl Drop for Label {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in the run: {}", self.0);
        }
    }
}

/// Nothing is left of anything.
fn left_clean(scenario: &Scenario, sim: &SimKernel, tokens: &Tokens, said: &Said, what: &str) {
    // Polls keep no memory: a ring may be closed with some in flight.
    let grave = |each: &String| scenario.late || !each.ends_with(" in flight");
    let violations: Vec<String> = sim.violations().into_iter().filter(grave).collect();
    assert_eq!(violations, Vec::<String>::new(), "{what}");
    if said.kept > 0 {
        return;
    }
    let left = (sim.live_maps(), sim.in_flight(), tokens.live());
    assert_eq!(left, (0, 0, 0), "maps, requests, payloads left: {what}");
    assert_eq!(sim.open_fds(), [] as [i32; 0], "{what}");
}

fn run(scenario: &Scenario, sim: &SimKernel) -> (Said, Tokens) {
    let tokens = Tokens::default();
    let said = (scenario.run)(sim, &tokens, scenario.variant);
    (said, tokens)
}

/// Which calls are made, and which requests, where nothing fails.
fn record(scenario: &Scenario) -> (Vec<Made>, Vec<u8>) {
    let sim = SimKernel::new(scenario.options.clone());
    sim.log_calls();
    let (said, tokens) = run(scenario, &sim);
    assert!(said.nothing(), "{}: {said:?}", scenario.name);
    left_clean(scenario, &sim, &tokens, &said, &scenario.name);
    let taken = sim.submitted().iter().map(|entry| entry.op).collect();
    (sim.calls(), taken)
}

fn check(scenario: &Scenario, harms: &[Harm], tally: &mut Tally) {
    let what = format!("{}: {harms:?}", scenario.name);
    let _label = Label(what.clone());
    let sim = SimKernel::new(scenario.options.clone());
    let mut plan = FaultPlan::default();
    harms.iter().for_each(|harm| harm.plan(&mut plan));
    sim.plan(&plan);
    let (said, tokens) = run(scenario, &sim);
    let left = sim.faults_left();
    tally.not_reached += left as u64;
    if scenario.steady && harms.len() == 1 {
        assert_eq!(left, 0, "the call was not made: {what}");
    }
    // After a first fault the calls are others: a second may be of close(2), say, by then.
    let plain = harms.iter().any(
        |harm| matches!(harm, Harm::Call(made, _) if matches!(made.call, Call::Plain | Call::Ask)),
    );
    let sure = left == 0 && (!plain || (harms.len() == 1 && scenario.steady));
    if sure && harms.iter().all(|harm| harm.heals(scenario)) {
        assert!(said.nothing(), "{said:?} of what heals: {what}");
    }
    for errno in &said.errnos {
        let told = harms.iter().any(|harm| harm.errno() == Some(*errno));
        assert!(told, "{errno} told, and nobody said so: {what}");
    }
    let lossy = harms.iter().any(Harm::loses);
    assert!(lossy || harms.len() > 1 || said.late_news == 0, "not told in time: {what}");
    assert!(said.kept == 0 || harms.iter().any(Harm::loses), "{} kept: {what}", said.kept);
    assert!(said.leftover == 0 || (harms.len() > 1 && plain), "temporary files: {what}");
    tally.told += u64::from(!said.nothing());
    left_clean(scenario, &sim, &tokens, &said, &what);
    if said.kept > 0 {
        // The ring that lost something stays for good; the others are another's matter.
        return;
    }
    // And nothing stands in the way of what comes later.
    sim.clear_record();
    let leftover = said.leftover;
    let (mut said, tokens) = run(scenario, &sim);
    said.leftover -= leftover;
    assert!(left > 0 || said.nothing(), "{said:?} later: {what}");
    left_clean(scenario, &sim, &tokens, &said, &what);
}

fn note(tally: &mut Tally, harm: &Harm) {
    match harm {
        Harm::Call(..) => tally.faults += 1,
        Harm::Request(..) => tally.request_faults += 1,
    }
    tally.errnos.extend(harm.errno().map(|errno| errno.0));
}

fn doubled(action: RequestAction) -> bool {
    matches!(action, RequestAction::Twice | RequestAction::MoreAfterEnd)
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % n.max(1)
    }
}

/// So many pairs of faults each scenario gets when all is wanted.
const PAIRS: usize = 1500;

/// Run the scenarios with every fault, or with a sample.
pub fn campaign(group: &str, scenarios: &[Scenario]) {
    let mut tally = Tally::default();
    for scenario in scenarios {
        let (calls, requests) = record(scenario);
        tally.scenarios += 1;
        tally.requests += requests.len() as u64;
        for made in &calls {
            *tally.calls.entry(made.name.to_string()).or_default() += 1;
        }
        let of_calls = calls.iter().map(|made| harms_of_call(*made));
        let of_requests = requests
            .iter()
            .enumerate()
            .map(|(nth, op)| harms_of_request(nth as u64, *op, scenario.late));
        let all: Vec<Vec<Harm>> =
            of_calls.chain(of_requests).filter(|harms| !harms.is_empty()).collect();
        for (at, harms) in all.iter().enumerate() {
            let some = if exhaustive() { harms.clone() } else { vec![harms[at % harms.len()]] };
            for harm in some {
                note(&mut tally, &harm);
                check(scenario, &[harm], &mut tally);
            }
        }
        let mut dice = Dice(scenario.options.seed);
        for _ in 0..if exhaustive() { PAIRS } else { 5 } {
            let mut one = || loop {
                let harms = &all[dice.below(all.len())];
                match harms[dice.below(harms.len())] {
                    // The ring's own cancellations keep nothing: which of them have come back is a
                    // mere count, which two of a kind put wrong if another is late.
                    Harm::Request(_, IORING_OP_ASYNC_CANCEL, action) if doubled(action) => {}
                    harm => break harm,
                }
            };
            let pair = [one(), one()];
            tally.pairs += 1;
            check(scenario, &pair, &mut tally);
        }
    }
    tell(group, &tally);
}

/// The figures, one line of JSON, where a session wants them.
fn tell(group: &str, tally: &Tally) {
    let calls: Vec<String> =
        tally.calls.iter().map(|(name, count)| format!("\"{name}\": {count}")).collect();
    let errnos: Vec<String> = tally.errnos.iter().map(i32::to_string).collect();
    let line = format!(
        "{{\"group\": \"{group}\", \"scenarios\": {}, \"calls\": {{{}}}, \"requests\": {}, \
         \"call_faults\": {}, \"request_faults\": {}, \"pairs\": {}, \"told\": {}, \
         \"not_reached\": {}, \"errnos\": [{}]}}\n",
        tally.scenarios,
        calls.join(", "),
        tally.requests,
        tally.faults,
        tally.request_faults,
        tally.pairs,
        tally.told,
        tally.not_reached,
        errnos.join(", ")
    );
    print!("{line}");
    if let Some(path) = std::env::var_os("URING_RS_FAULTS_RECORD") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("a file for the figures");
    }
}
