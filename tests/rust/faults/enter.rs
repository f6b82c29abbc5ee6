//! Calls of io_uring_enter that fail, are cut short or interrupted: every one of a workload's, in
//! every way, on every kind of ring.

use uring_rs::ring::error::RingError;
use uring_rs::ring::params::Config;
use uring_rs::ring::sim::{Action, Call as SimCall, Options};
use uring_rs::ring::wait::Entered;
use uring_rs::sys::consts::*;
use uring_rs::sys::Errno;

use crate::bench::{faults, Bench, Op};

/// Kinds of rings: deferred work, an index array, old and plain, shared, polled.
pub fn kinds() -> Vec<(&'static str, Options, Config)> {
    let small = Config::new(4);
    let shared = Config { shared: true, ..small.clone() };
    let polled = Config { sqpoll_idle_ms: Some(1), ..small.clone() };
    let cold = |options| Options { cold_percent: 50, ..options };
    vec![
        ("deferred", cold(Options::new(7)), small.clone()),
        ("indexed", cold(Options::linux(6, 1, 7)), small.clone()),
        ("plain", cold(Options::linux(5, 11, 7)), small),
        ("shared", cold(Options::new(7)), shared),
        ("polled", cold(Options::new(7)), polled),
    ]
}

/// Something of everything: chains, drains, requests that wait, cancelled ones, more requests than
/// fit in.
fn workload(bench: &mut Bench) {
    bench.put(Op::Nop, 0);
    bench.put(Op::Read(3), 0);
    bench.enter(0);
    bench.put(Op::Write, IOSQE_IO_LINK);
    bench.put(Op::Read(20), 0);
    bench.put(Op::Read(9), IOSQE_ASYNC);
    bench.enter(1);
    bench.reap();
    bench.put(Op::Pipe, 0);
    bench.put(Op::Timeout(20_000), 0);
    bench.put(Op::Poll, 0);
    bench.enter(0);
    bench.sim.feed_after(10_000, bench.pipe.0, b"ppp").expect("a pipe");
    bench.enter(2);
    let target = bench.put(Op::Pipe, 0);
    bench.enter(0);
    bench.put(Op::Cancel(target), 0);
    bench.put(Op::Nop, IOSQE_IO_HARDLINK);
    bench.put(Op::Read(1), IOSQE_IO_HARDLINK);
    bench.put(Op::Nop, 0);
    bench.put(Op::Nop, IOSQE_IO_DRAIN);
    bench.put(Op::Nop, IOSQE_CQE_SKIP_SUCCESS);
    for offset in 0..10 {
        bench.put(Op::Read(offset), 0);
    }
    bench.settle();
    // And for the end: one request in flight, one staged.
    bench.put(Op::Pipe, 0);
    bench.enter(0);
    bench.put(Op::Pipe, 0);
}

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
    workload(&mut bench);
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
            workload(&mut bench);
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
            workload(&mut bench);
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
