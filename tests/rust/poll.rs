//! The set of descriptors behind `UringSelector`, on the simulated kernel: level-triggered whatever
//! fails, exact in its waits, and never fooled by completions of requests that are over.

use proptest::prelude::*;
use uring_rs::poll::{Begin, Next, PollSet, READ, WRITE};
use uring_rs::ring::error::RingError;
use uring_rs::ring::kernel::{Kernel, Readiness};
use uring_rs::ring::sim::{Action, Call, Fault, FaultPlan, Options, SimKernel};
use uring_rs::sys::os::{pollfd, POLLERR, POLLHUP, POLLIN, POLLOUT};
use uring_rs::sys::Errno;

/// A call of `select`, as the Python class makes it.
fn select(
    set: &mut PollSet<SimKernel>,
    kernel: &SimKernel,
    timeout_ns: Option<u64>,
) -> Result<Vec<(i32, u8)>, RingError> {
    let Begin::Ours(turn) = set.begin()? else { panic!("there is one thread") };
    let deadline = timeout_ns.map(|ns| kernel.now_ns() + ns);
    let mut may_wait = timeout_ns != Some(0);
    for _ in 0..1000 {
        assert!(set.is_turn(turn));
        match set.prepare(may_wait)? {
            Next::Done => {
                let mut ready = set.take_ready();
                ready.sort_unstable();
                return Ok(ready);
            }
            Next::Wait(plan) => {
                let left = deadline.map(|at| at.saturating_sub(kernel.now_ns()));
                let outcome = plan.run(kernel, left, 0);
                set.resume(outcome)?;
            }
            Next::Nap => {}
        }
        may_wait = deadline.is_none_or(|at| kernel.now_ns() < at);
    }
    panic!("the call does not end");
}

/// What must be said of `fd`, watched for `want`.
fn truth(kernel: &SimKernel, fd: i32, want: u8) -> u8 {
    let events = if want & READ != 0 { POLLIN } else { 0 };
    let events = events | if want & WRITE != 0 { POLLOUT } else { 0 };
    let mut fds = [pollfd { fd, events, revents: 0 }];
    kernel.poll(&mut fds, Some(0)).expect("it cannot fail");
    let said = fds[0].revents;
    let read = if said & (POLLIN | POLLERR | POLLHUP) != 0 { READ } else { 0 };
    let write = if said & (POLLOUT | POLLERR | POLLHUP) != 0 { WRITE } else { 0 };
    (read | write) & want
}

fn set_on(kernel: &SimKernel, entries: u32) -> PollSet<SimKernel> {
    PollSet::new(kernel.clone(), entries).expect("the simulated kernel has rings")
}

#[test]
fn a_wait_takes_exactly_as_long_as_said() {
    let kernel = SimKernel::new(Options::new(1));
    let mut set = set_on(&kernel, 4);
    let (reader, _) = kernel.pipe().expect("a pipe");
    set.add(reader, READ).expect("a pipe can be waited for");
    let mut took = |ns| {
        let before = kernel.now_ns();
        assert_eq!(select(&mut set, &kernel, Some(ns)).expect("no fault is planned"), []);
        kernel.now_ns() - before
    };
    // The first arms; system calls take virtual time as well.
    took(0);
    let calls = took(1) - 1;
    for ns in [999, 300_000, 1_000_001, 86_400_000_000_000] {
        assert_eq!(took(ns), ns + calls);
    }
}

#[test]
fn regular_files_and_closed_ones_are_refused() {
    let kernel = SimKernel::new(Options::new(1));
    let mut set = set_on(&kernel, 4);
    let file = kernel.file("data", b"bytes").expect("a file");
    assert_eq!(set.add(file, READ), Err(Errno::EPERM));
    assert_eq!(set.add(file + 1, READ), Err(Errno::EBADF));
    assert_eq!(set.add(-1, READ), Err(Errno::EBADF));
    assert_eq!(set.add(i32::MAX, READ), Err(Errno::EMFILE));
    assert_eq!(set.change(file, READ), Err(Errno::ENOENT));
    assert!(set.remove(file).is_ok());
}

#[test]
fn a_changed_file_behind_a_number_is_noticed() {
    let kernel = SimKernel::new(Options::new(1));
    let mut set = set_on(&kernel, 4);
    let (reader, _) = kernel.pipe().expect("a pipe");
    set.add(reader, READ).expect("a pipe");
    kernel.close_file(reader).expect("open");
    assert_eq!(set.change(reader, WRITE), Err(Errno::EBADF));
    let (again, _) = kernel.socketpair().expect("a pair");
    assert_eq!(again, reader);
    assert_eq!(set.change(reader, WRITE), Err(Errno::ENOENT));
}

#[test]
fn all_at_once_on_the_smallest_ring() {
    for seed in 0..20 {
        let kernel = SimKernel::new(Options::new(seed));
        let mut set = set_on(&kernel, 1);
        let pipes: Vec<_> = (0..100).map(|_| kernel.pipe().expect("a pipe")).collect();
        let everything: Vec<_> = pipes.iter().map(|&(reader, _)| (reader, READ)).collect();
        for &(reader, _) in &pipes {
            set.add(reader, READ).expect("a pipe");
        }
        assert_eq!(select(&mut set, &kernel, Some(0)).expect("no fault"), []);
        for &(reader, _) in &pipes {
            kernel.feed(reader, b"x").expect("open");
        }
        for timeout in [None, Some(0), Some(1)] {
            assert_eq!(select(&mut set, &kernel, timeout).expect("no fault"), everything);
        }
        for &(reader, _) in &pipes {
            set.remove(reader).expect("no fault");
            kernel.close_file(reader).expect("open");
        }
        drop(set);
        assert_eq!(kernel.in_flight(), 0);
        assert_eq!(kernel.violations(), Vec::<String>::new());
        assert_eq!(kernel.live_maps(), 0);
    }
}

/// Something done to one of a few descriptors.
#[derive(Clone, Debug)]
enum Step {
    Watch(usize, u8),
    Forget(usize),
    Feed(usize),
    Drain(usize),
    Reopen(usize),
    Select(Option<u64>),
    Fail(u64, i32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = 0..6_usize;
    let errno = prop::sample::select(vec![
        Errno::EAGAIN.0,
        Errno::EBUSY.0,
        Errno::ENOMEM.0,
        Errno::EINTR.0,
    ]);
    let step = prop_oneof![
        3 => (which.clone(), 1..=3_u8).prop_map(|(which, want)| Step::Watch(which, want)),
        1 => which.clone().prop_map(Step::Forget),
        3 => which.clone().prop_map(Step::Feed),
        2 => which.clone().prop_map(Step::Drain),
        1 => which.prop_map(Step::Reopen),
        4 => prop::option::of(0..2000_u64).prop_map(Step::Select),
        1 => (0..4_u64, errno).prop_map(|(nth, errno)| Step::Fail(nth, errno)),
    ];
    prop::collection::vec(step, 1..80)
}

struct World {
    kernel: SimKernel,
    set: PollSet<SimKernel>,
    /// The end in use and its peer, and what it is watched for.
    ends: Vec<(i32, i32, u8)>,
}

impl World {
    fn new(seed: u64, entries: u32) -> Self {
        let kernel = SimKernel::new(Options::new(seed));
        let set = set_on(&kernel, entries);
        let mut world = World { kernel, set, ends: Vec::new() };
        for _ in 0..6 {
            let (one, other) = world.kernel.socketpair().expect("a pair");
            world.ends.push((one, other, 0));
        }
        world
    }

    fn expected(&self) -> Vec<(i32, u8)> {
        let said = self.ends.iter().map(|&(fd, _, want)| (fd, truth(&self.kernel, fd, want)));
        let mut said: Vec<_> = said.filter(|&(_, events)| events != 0).collect();
        said.sort_unstable();
        said
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Watch(which, want) => {
                let (fd, _, old) = self.ends[which];
                let done =
                    if old == 0 { self.set.add(fd, want) } else { self.set.change(fd, want) };
                done.expect("an open socket");
                self.ends[which].2 = want;
            }
            Step::Forget(which) => self.forget(which),
            Step::Feed(which) => self.kernel.feed(self.ends[which].0, b"x").unwrap_or(()),
            Step::Drain(which) => drop(self.kernel.drain(self.ends[which].0)),
            Step::Reopen(which) => {
                self.forget(which);
                let (one, other, _) = self.ends[which];
                self.kernel.close_file(one).expect("open");
                self.kernel.close_file(other).expect("open");
                let (one, other) = self.kernel.socketpair().expect("a pair");
                self.ends[which] = (one, other, 0);
            }
            Step::Select(timeout) => {
                let expected = self.expected();
                let timeout = if expected.is_empty() { timeout.or(Some(5)) } else { timeout };
                let said = select(&mut self.set, &self.kernel, timeout).expect("faults pass");
                assert_eq!(said, expected);
            }
            Step::Fail(nth, errno) => {
                let fault = Fault { call: Call::Enter, nth, action: Action::Err(Errno(errno)) };
                self.kernel.plan(&FaultPlan { calls: vec![fault], requests: Vec::new() });
            }
        }
    }

    fn forget(&mut self, which: usize) {
        let (fd, _, want) = self.ends[which];
        if want != 0 {
            self.set.remove(fd).expect("faults pass");
            self.ends[which].2 = 0;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn says_what_is_so(seed in any::<u64>(), entries in 1..5_u32, steps in steps()) {
        let mut world = World::new(seed, entries);
        for step in &steps {
            world.step(step);
        }
        world.step(&Step::Select(Some(0)));
        let kernel = world.kernel.clone();
        drop(world);
        prop_assert_eq!(kernel.violations(), Vec::<String>::new());
        prop_assert_eq!(kernel.live_maps(), 0);
    }
}
