//! Random programs over random faults: whatever is done and whatever fails, in any order, and the
//! ring closed at any point.

use proptest::prelude::*;
use uring_rs::ring::sim::{Action, Call, FaultPlan, Options, RequestAction, RequestFault};
use uring_rs::ring::slots::Slots;
use uring_rs::sys::consts::*;
use uring_rs::sys::Errno;

use crate::bench::{faults, kinds, Bench, Op, MS};

#[derive(Clone, Debug)]
enum Step {
    Put(Op, u8),
    /// Cancel one of those that are owed.
    Cancel(usize),
    Chain(Vec<Op>, u8),
    Enter(u32),
    Reap,
    Feed(usize),
    FeedLater(u64),
    Advance(u64),
    Signal(u64),
    Discard,
    Publish,
    PollThread,
    Calls(u64, Action),
    Refuse(u64, Errno),
    Request(u64, RequestAction),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => Just(Op::Nop),
        3 => (0..24u64).prop_map(Op::Read),
        1 => Just(Op::Write),
        2 => Just(Op::Pipe),
        1 => Just(Op::Poll),
        1 => Just(Op::Polls),
        1 => (0..100_000u64).prop_map(Op::Timeout),
    ]
}

fn flags() -> impl Strategy<Value = u8> {
    prop_oneof![
        5 => Just(0),
        1 => Just(IOSQE_ASYNC),
        1 => Just(IOSQE_IO_DRAIN),
        1 => Just(IOSQE_CQE_SKIP_SUCCESS),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Err(Errno::EAGAIN)),
        Just(Action::Err(Errno::EBUSY)),
        Just(Action::Err(Errno::EINTR)),
        Just(Action::Err(Errno::ENOMEM)),
        (0..3u32).prop_map(Action::ShortSubmit),
        Just(Action::Interrupt),
        Just(Action::WakeEarly),
    ]
}

fn request_action() -> impl Strategy<Value = RequestAction> {
    prop_oneof![
        (1..200_000u64).prop_map(RequestAction::Late),
        Just(RequestAction::Result(-Errno::EIO.0)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let link = prop_oneof![Just(IOSQE_IO_LINK), Just(IOSQE_IO_HARDLINK)];
    prop_oneof![
        12 => (op(), flags()).prop_map(|(op, flags)| Step::Put(op, flags)),
        2 => any::<usize>().prop_map(Step::Cancel),
        2 => (prop::collection::vec(op(), 2..4), link).prop_map(|(ops, link)| Step::Chain(ops, link)),
        5 => (0..4u32).prop_map(Step::Enter),
        3 => Just(Step::Reap),
        2 => (1..9usize).prop_map(Step::Feed),
        1 => (0..100_000u64).prop_map(Step::FeedLater),
        2 => (0..200_000u64).prop_map(Step::Advance),
        1 => (0..50_000u64).prop_map(Step::Signal),
        1 => Just(Step::Discard),
        1 => Just(Step::Publish),
        1 => Just(Step::PollThread),
        3 => (0..4u64, action()).prop_map(|(nth, action)| Step::Calls(nth, action)),
        1 => (0..2u64, prop_oneof![Just(Errno::EINTR), Just(Errno::EAGAIN)])
            .prop_map(|(nth, errno)| Step::Refuse(nth, errno)),
        1 => (0..4u64, request_action()).prop_map(|(nth, action)| Step::Request(nth, action)),
    ]
}

fn run(bench: &mut Bench, step: Step) {
    match step {
        Step::Put(op, flags) => _ = bench.try_put(op, flags),
        Step::Cancel(which) => {
            let target = bench.owed.keys().nth(which % bench.owed.len().max(1)).copied();
            target.and_then(|key| bench.try_put(Op::Cancel(key), 0));
        }
        Step::Chain(ops, link) => {
            let last = ops.len() - 1;
            for (at, op) in ops.into_iter().enumerate() {
                bench.try_put(op, if at < last { link } else { 0 });
            }
        }
        Step::Enter(min) => _ = bench.enter(min),
        Step::Reap => _ = bench.reap(),
        // A full pipe is no matter.
        Step::Feed(count) => _ = bench.sim.feed(bench.pipe.0, &vec![b'p'; count]),
        Step::FeedLater(ns) => _ = bench.sim.feed_after(ns, bench.pipe.0, b"ppp"),
        Step::Advance(ns) => bench.sim.advance(ns),
        Step::Signal(ns) => bench.sim.signal_after(ns),
        Step::Discard => bench.discard(),
        // Refused on a shared ring when the queue is full.
        Step::Publish => _ = bench.ring.publish(),
        Step::PollThread => _ = bench.sim.run_sq_thread(bench.ring.fd()),
        Step::Calls(nth, action) => bench.sim.plan(&faults(Call::Enter, nth, &[action])),
        Step::Refuse(nth, errno) => {
            bench.sim.plan(&faults(Call::Register, nth, &[Action::Err(errno)]));
        }
        Step::Request(nth, action) => {
            let requests = vec![RequestFault { nth, action }];
            bench.sim.plan(&FaultPlan { calls: Vec::new(), requests });
        }
    }
}

fn check(bench: &Bench) {
    assert_eq!(bench.ring.live() as usize, bench.owed.len());
    assert_eq!(bench.ring.slots().map(Slots::reserved), Some(0));
    assert_eq!(bench.ring.strays(), 0);
    assert_eq!(bench.sim.violations(), Vec::<String>::new());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_is_lost_and_nothing_runs_twice(
        kind in 0..5usize,
        seed in any::<u64>(),
        worker_ns in prop_oneof![Just(1_000), Just(50_000), Just(5 * MS)],
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let (_, options, config) = kinds().swap_remove(kind);
        // Without synchronous cancellation, what waits behind a drain cannot be ended at all; see
        // `teardown::what_a_drain_keeps_from_being_cancelled_is_kept`.
        let drains = options.register_ops >> IORING_REGISTER_SYNC_CANCEL & 1 != 0;
        let mut bench = Bench::new(Options { seed, worker_ns, ..options }, &config);
        for step in steps {
            let step = match step {
                Step::Put(op, flags) if !drains => Step::Put(op, flags & !IOSQE_IO_DRAIN),
                step => step,
            };
            run(&mut bench, step);
            check(&bench);
        }
        bench.end();
    }
}
