//! Calls of io_uring_enter that fail, are cut short or interrupted: every one of a workload's, in
//! every way, on every kind of ring.

use uring_rs::ring::error::RingError;
use uring_rs::ring::params::Config;
use uring_rs::ring::sim::{Action, Call as SimCall, Options};
use uring_rs::ring::wait::Entered;
use uring_rs::sys::Errno;

use crate::bench::{faults, kinds, Bench, Op};

const ACTIONS: [Action; 9] = [
    Action::Err(Errno::EAGAIN),
    Action::Err(Errno::EBUSY),
    Action::Err(Errno::EINTR),
    Action::Err(Errno::ENOMEM),
    Action::ShortSubmit(0),
    Action::ShortSubmit(1),
    Action::ShortSubmit(2),
    Action::Interrupt,
    Action::WakeEarly,
];

fn enters(options: &Options, config: &Config) -> u64 {
    let mut bench = Bench::new(options.clone(), config);
    // That the ring can be entered at all was tried when it was made.
    let before = bench.sim.stats().enters;
    bench.work(true);
    bench.end();
    bench.sim.stats().enters - before
}

#[test]
fn each_call_may_fail_in_each_way() {
    for (kind, options, config) in kinds() {
        let calls = enters(&options, &config);
        assert!(calls > 8, "{kind}: {calls} calls");
        for (nth, action) in (0..calls).flat_map(|n| ACTIONS.map(|action| (n, action))) {
            let mut bench = Bench::new(options.clone(), &config);
            bench.sim.plan(&faults(SimCall::Enter, nth, &[action]));
            bench.work(true);
            bench.end();
            assert_eq!(bench.sim.faults_left(), 0, "{kind}: call {nth} was not made");
        }
    }
}

#[test]
fn calls_may_fail_many_times_in_a_row() {
    for (kind, options, config) in kinds() {
        let calls = enters(&options, &config);
        for (nth, action) in (0..calls).flat_map(|n| ACTIONS.map(|action| (n, action))) {
            let mut bench = Bench::new(options.clone(), &config);
            bench.sim.plan(&faults(SimCall::Enter, nth, &[action; 7]));
            bench.work(true);
            bench.end();
            assert!(bench.sim.stats().enters > nth + 1, "{kind}: call {nth} was not made");
        }
    }
}

/// What the kernel did not take when enter failed stays published, and is taken back by close
/// only where nobody could take it any more.
#[test]
fn what_was_not_taken_comes_back_when_the_ring_is_closed() {
    for (kind, options, config) in kinds().into_iter().filter(|(kind, ..)| *kind != "polled") {
        let failures = [
            (Action::Err(Errno::EAGAIN), 0),
            (Action::Err(Errno::EBUSY), 0),
            (Action::ShortSubmit(0), 0),
            (Action::ShortSubmit(1), 1),
            (Action::ShortSubmit(3), 3),
        ];
        for (action, taken) in failures {
            let mut bench = Bench::new(options.clone(), &config);
            let keys: Vec<u64> = (0..4).map(|_| bench.put(Op::Pipe, 0)).collect();
            bench.sim.plan(&faults(SimCall::Enter, 0, &[action]));
            bench.enter(1);
            assert_eq!(bench.ring.pending(), 4 - taken, "{kind}, {action:?}");
            assert_eq!(bench.ring.live(), 4, "slots of published requests stay");
            bench.end();
            for (n, key) in keys.iter().enumerate() {
                assert_eq!(bench.discarded.contains(key), n as u32 >= taken, "{kind}, {action:?}");
            }
        }
    }
}

#[test]
fn a_failed_submission_is_submitted_again_in_order() {
    let mut bench = Bench::new(Options::new(1), &Config::new(8));
    let keys: Vec<u64> = (0..6).map(|_| bench.put(Op::Nop, 0)).collect();
    let plan = [
        Action::Err(Errno::EAGAIN),
        Action::ShortSubmit(2),
        Action::Err(Errno::EBUSY),
        Action::ShortSubmit(1),
        Action::Err(Errno::EINTR),
    ];
    bench.sim.plan(&faults(SimCall::Enter, 0, &plan));
    assert_eq!(bench.enter(0), None);
    assert_eq!(bench.enter(0), Some(Entered::Took(2)));
    assert_eq!(bench.enter(0), Some(Entered::Busy));
    let late = bench.put(Op::Nop, 0);
    assert_eq!(bench.enter(0), Some(Entered::Took(1)));
    assert_eq!(bench.enter(0), Some(Entered::Interrupted));
    assert_eq!(bench.enter(0), Some(Entered::Took(4)));
    let taken: Vec<u64> = bench.sim.submitted().iter().map(|entry| entry.user_data).collect();
    assert_eq!(taken, [&keys[..], &[late]].concat());
    bench.settle();
    bench.end();
}

#[test]
fn errors_that_time_does_not_mend_are_told() {
    for errno in [Errno::EBADF, Errno::EFAULT, Errno::EBADR, Errno::ENXIO] {
        let mut bench = Bench::new(Options::new(1), &Config::new(8));
        bench.put(Op::Nop, 0);
        bench.sim.plan(&faults(SimCall::Enter, 0, &[Action::Err(errno)]));
        let plan = bench.ring.plan_submit(1).expect("an open ring").expect("something to submit");
        match plan.run(&bench.sim, None, 0) {
            Err(RingError::Sys(_, told)) => assert_eq!(told, errno),
            other => panic!("{errno}: {other:?}"),
        }
        bench.settle();
        bench.end();
    }
    let mut bench = Bench::new(Options::new(1), &Config::new(8));
    bench.put(Op::Nop, 0);
    bench.sim.plan(&faults(SimCall::Enter, 0, &[Action::Err(Errno::EEXIST)]));
    let plan = bench.ring.plan_submit(1).expect("an open ring").expect("something to submit");
    assert!(matches!(plan.run(&bench.sim, None, 0), Err(RingError::WrongThread)));
    bench.settle();
    bench.end();
}
