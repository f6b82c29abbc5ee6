//! Closing with requests in flight: every kind of request, every call refused, time that runs out.

use std::sync::Arc;

use uring_rs::ring::access::RingCell;
use uring_rs::ring::kernel::Kernel;
use uring_rs::ring::params::Config;
use uring_rs::ring::sim::{Action, Call as SimCall, Options, SimKernel};
use uring_rs::ring::slots::State;
use uring_rs::ring::{Phase, Ring};
use uring_rs::sys::consts::*;
use uring_rs::sys::Errno;

use crate::bench::{faults, kinds, Bench, Op, Payload, DATA, MS, SECOND};

#[test]
fn whatever_is_in_flight_comes_back() {
    for (kind, options, config) in kinds() {
        for cold_percent in [0, 100] {
            let options = Options { cold_percent, ..options.clone() };
            let mut bench = Bench::new(options, &config);
            assert!(bench.put_in_flight() > 6, "{kind}");
            bench.end();
        }
    }
}

#[test]
fn data_that_comes_during_close_is_harmless() {
    for (_, options, config) in kinds() {
        for after in [0, 1, 500, 1_000, 2_000, 5_000] {
            let mut bench = Bench::new(options.clone(), &config);
            bench.put_in_flight();
            bench.sim.feed_after(after, bench.pipe.0, &[b'p'; 30]).expect("a pipe");
            bench.end();
        }
    }
}

/// How often close makes a call of this kind.
fn calls_of_close(options: &Options, config: &Config, call: SimCall) -> u64 {
    let mut bench = Bench::new(options.clone(), config);
    bench.put_in_flight();
    let count = |bench: &Bench| match call {
        SimCall::Register => bench.sim.stats().registers,
        _ => bench.sim.stats().enters,
    };
    let before = count(&bench);
    bench.end();
    count(&bench) - before
}

#[test]
fn each_call_of_close_may_fail() {
    const ERRNOS: [Errno; 5] =
        [Errno::EAGAIN, Errno::EBUSY, Errno::EINTR, Errno::ENOMEM, Errno::ETIME];
    for (kind, options, config) in kinds() {
        for call in [SimCall::Register, SimCall::Enter] {
            let calls = calls_of_close(&options, &config, call);
            for (nth, errno) in (0..calls).flat_map(|n| ERRNOS.map(|errno| (n, errno))) {
                for times in [1, 5] {
                    let mut bench = Bench::new(options.clone(), &config);
                    bench.put_in_flight();
                    let plan = faults(call, nth, &vec![Action::Err(errno); times]);
                    bench.sim.plan(&plan);
                    bench.end();
                    let left = bench.sim.faults_left();
                    assert!(left < times, "{kind}: {call:?} {nth} was not made");
                }
            }
        }
    }
}

/// Linux before 6.0 has no synchronous cancellation: each request is cancelled by one of its own.
#[test]
fn without_synchronous_cancellation_each_request_is_cancelled() {
    for (kind, options, config) in kinds() {
        let register_ops = options.register_ops & !(1 << IORING_REGISTER_SYNC_CANCEL);
        let options = Options { register_ops, ..options };
        let mut bench = Bench::new(options.clone(), &config);
        bench.put_in_flight();
        bench.end();
        let cancels = bench.sim.submitted();
        let cancels = cancels.iter().filter(|entry| entry.op == IORING_OP_ASYNC_CANCEL).count();
        assert!(cancels >= 5, "{kind}: {cancels} cancellations");
        // The submissions of the cancellations may fail as any other.
        let calls = calls_of_close(&options, &config, SimCall::Enter);
        let actions = [Errno::EAGAIN, Errno::EBUSY, Errno::EINTR, Errno::ENOMEM].map(Action::Err);
        let short = [0, 1, 2].map(Action::ShortSubmit);
        for nth in 0..calls {
            for action in actions.iter().chain(&short) {
                let mut bench = Bench::new(options.clone(), &config);
                bench.put_in_flight();
                bench.sim.plan(&faults(SimCall::Enter, nth, &[*action]));
                bench.end();
            }
        }
    }
}

/// Where only the disk can be waited for, a cancellation says so at once: that does not end the wait,
/// or the next one would be asked for at once, and so on.
#[test]
fn cancellations_that_can_do_nothing_are_few() {
    let options = Options { cold_percent: 100, worker_ns: SECOND, ..Options::linux(5, 19, 3) };
    let mut bench = Bench::new(options, &Config::new(8));
    bench.put(Op::Read(4), 0);
    bench.enter(0);
    bench.end();
    let cancels = bench.sim.submitted();
    let cancels = cancels.iter().filter(|entry| entry.op == IORING_OP_ASYNC_CANCEL).count();
    assert!((1..100).contains(&cancels), "{cancels} cancellations");
}

/// Behind a drain even the cancellations wait: without the synchronous kind there is no way to end
/// what the drain waits for, so all of it is kept.
#[test]
fn what_a_drain_keeps_from_being_cancelled_is_kept() {
    let options = Options::linux(5, 19, 1);
    let mut bench = Bench::new(options, &Config::new(8));
    bench.put(Op::Pipe, 0);
    bench.put(Op::Nop, IOSQE_IO_DRAIN);
    bench.enter(0);
    assert!(!bench.close(SECOND));
    assert_eq!((bench.owed.len(), bench.sim.live_maps(), bench.open_rings()), (2, 2, 1));
    let cancels = bench.sim.in_flight() - 2;
    assert_eq!(cancels, 2, "one for each request, however often it is tried");
    // Once the pipe has something, all of it can still be ended.
    bench.sim.feed(bench.pipe.0, b"p").expect("a pipe");
    bench.settle();
    while bench.sim.in_flight() > 0 {
        bench.enter(1);
    }
    bench.end();
}

/// A disk read under way cannot be called back.
fn read_that_takes_a_second(flags: Option<u32>) -> Bench {
    let options = Options { cold_percent: 100, worker_ns: SECOND, ..Options::new(3) };
    let mut bench = Bench::new(options, &Config { flags, ..Config::new(8) });
    bench.put(Op::Read(4), 0);
    bench.enter(0);
    bench.put(Op::Pipe, 0);
    bench.enter(0);
    assert_eq!(bench.sim.in_flight(), 2);
    bench
}

#[test]
fn what_does_not_end_in_time_is_kept() {
    let mut bench = read_that_takes_a_second(None);
    let began = bench.ring.kernel().now_ns();
    assert!(!bench.close(5 * MS));
    let took = bench.ring.kernel().now_ns() - began;
    assert!((5 * MS..30 * MS).contains(&took), "{took} ns");
    assert_eq!((bench.ring.phase(), bench.ring.live()), (Phase::Closing, 1));
    assert!(bench.ring.reserve().is_err(), "no new work");
    // The pipe's read was cancelled; the disk's is kept, with the ring.
    assert_eq!(bench.owed.values().collect::<Vec<_>>(), [&Op::Read(4)]);
    assert_eq!((bench.sim.live_maps(), bench.open_rings()), (2, 1));
    // Later there is time enough.
    bench.end();
}

#[test]
fn the_memory_of_a_ring_dropped_in_flight_stays() {
    // Without flags: what completes needs nobody to enter the ring.
    let mut bench = read_that_takes_a_second(Some(0));
    assert!(!bench.close(0), "with no time nothing is waited for");
    assert_eq!(bench.ring.live(), 2);
    let (sim, owed) = (bench.sim.clone(), bench.owed.clone());
    let index = |key: u64| ((key >> 8) & 0xff_ffff) as u32;
    let (key, _) = owed.iter().find(|(_, op)| **op == Op::Read(4)).expect("the disk's read");
    let payload = bench.ring.payload(index(*key));
    drop(bench);
    assert_eq!((sim.live_maps(), sim.in_flight()), (2, 2), "nothing was unmapped");
    sim.advance(2 * SECOND);
    // The kernel has written, into memory that is still there.
    // SAFETY: leaked with its slots, so valid for good; nobody else has it (I2).
    let buffer = unsafe { (&raw const (*payload).buffer).read() };
    assert_eq!(buffer, DATA[4..12]);
    assert_eq!(sim.violations(), Vec::<String>::new());
}

#[test]
fn a_ring_dropped_with_nothing_in_flight_is_closed() {
    let mut bench = Bench::new(Options::new(1), &Config::new(8));
    bench.put(Op::Nop, 0);
    bench.settle();
    let sim = bench.sim.clone();
    drop(bench);
    assert_eq!((sim.live_maps(), sim.open_fds().len()), (0, 4));
    assert_eq!(sim.violations(), Vec::<String>::new());
}

/// A closed ring stays closed, and touches nothing.
#[test]
fn a_closed_ring_refuses_everything() {
    let mut bench = Bench::new(Options::new(1), &Config::new(8));
    bench.put(Op::Nop, 0);
    bench.settle();
    bench.end();
    let before = bench.sim.stats();
    assert!(bench.ring.reserve().is_err());
    assert!(bench.ring.plan_submit(1).is_err());
    assert!(bench.ring.plan_room().is_err());
    assert!(bench.ring.publish().is_err());
    assert!(bench.ring.next_event().is_none());
    bench.ring.reaped();
    assert_eq!((bench.ring.plan_flush(), bench.ring.plan_drain()), (None, None));
    assert_eq!((bench.ring.pending_or_zero(), bench.ring.discard(|_| ())), (0, 0));
    // SAFETY: refused before the kernel is asked (I2).
    let asked = unsafe { bench.ring.register(0, std::ptr::null_mut(), 0) };
    assert!(asked.is_err());
    assert!(bench.close(0), "closing again changes nothing");
    assert_eq!(bench.sim.stats(), before);
}

/// In a forked child the ring is the parent's: its memory and its descriptor are left alone.
#[test]
fn an_abandoned_ring_touches_nothing() {
    let mut bench = read_that_takes_a_second(None);
    bench.put(Op::Nop, 0);
    let (before, sim) = (bench.sim.stats(), bench.sim.clone());
    bench.ring.abandon();
    assert_eq!((bench.ring.phase(), bench.ring.fd()), (Phase::Closed, -1));
    assert!(bench.ring.reserve().is_err() && bench.ring.next_event().is_none());
    drop(bench);
    assert_eq!(sim.stats(), before);
    assert_eq!((sim.live_maps(), sim.in_flight()), (2, 2));
    assert_eq!(sim.violations(), Vec::<String>::new());
}

/// The thread that owned the ring is gone: the kernel lets nobody else cancel or wait.
#[test]
fn another_thread_can_only_leave_an_owned_ring() {
    let sim = SimKernel::new(Options::new(1));
    let (reader, _writer) = sim.pipe().expect("a pipe");
    let ring: Ring<SimKernel, Payload> =
        Ring::new(sim.clone(), &Config::new(8)).unwrap_or_else(|error| panic!("{error}"));
    let cell = Arc::new(RingCell::new(ring, false));
    let owner = cell.clone();
    let used = std::thread::spawn(move || {
        let mut ring = owner.hold().expect("the first thread").expect("nobody holds it");
        let (index, _) = ring.reserve().expect("a slot");
        let buffer = ring.payload(index) as usize as u64;
        let sqe = uring_rs::sys::abi::io_uring_sqe {
            opcode: IORING_OP_READ,
            fd: reader,
            addr: buffer,
            len: 4,
            ..Default::default()
        };
        ring.stage(index, sqe).expect("room");
        let plan = ring.plan_submit(0).expect("open").expect("something to submit");
        plan.run(ring.kernel(), None, 0).map(|_| ()).expect("submitted");
    });
    used.join().expect("the owner is done");
    assert!(cell.hold().is_err(), "it is another thread's");
    // SAFETY: the only other thread has ended (I9).
    let mut ring = unsafe { cell.hold_last() };
    assert!(!ring.close_within(SECOND, |slots, index| assert_eq!(slots.state(index), State::Free)));
    assert_eq!((ring.live(), sim.live_maps(), sim.in_flight()), (1, 2, 1));
    assert_eq!(sim.violations(), Vec::<String>::new());
}

/// A poll thread that has fallen asleep before it saw what was published must be woken to close.
#[test]
fn a_sleeping_poll_thread_is_woken_to_close() {
    let config = Config { sqpoll_idle_ms: Some(1), ..Config::new(8) };
    let mut bench = Bench::new(Options::new(1), &config);
    let fd = bench.ring.fd();
    assert_eq!(bench.sim.idle_sq_thread(fd), Ok(true), "it sleeps");
    bench.put(Op::Nop, 0);
    bench.put(Op::Pipe, 0);
    assert_eq!(bench.ring.publish().expect("open"), 2);
    assert_eq!(bench.sim.in_flight(), 0, "nobody has seen them");
    bench.end();
    assert_eq!(bench.discarded.len(), 0, "what a poll thread was shown is not taken back");
    assert_eq!(bench.sim.submitted().len(), 2);
}

/// A cancellation that was taken back before the kernel saw it never comes back: closing neither
/// waits for it nor leaves the requests uncancelled because of it.
#[test]
fn a_cancellation_that_was_taken_back_is_not_waited_for() {
    for (_, options, config) in kinds() {
        if config.sqpoll() {
            // What a poll thread was shown stays shown.
            continue;
        }
        let mut bench = Bench::new(options, &config);
        let key = bench.put(Op::Pipe, 0);
        bench.enter(0);
        let cancel = uring_rs::ops::cancel::by_key(key);
        bench.ring.push_internal(cancel).expect("there is room");
        bench.sim.plan(&faults(SimCall::Enter, 0, &[Action::Err(Errno::EAGAIN)]));
        assert_eq!(bench.enter(0), None);
        bench.ring.sq().unpublish();
        assert_eq!(bench.ring.discard(|_| panic!("no request was staged")), 1);
        bench.end();
    }
}
