//! A kernel that posts what nobody asked for, loses what was owed, or has nowhere to put it.

use uring_rs::ops::message;
use uring_rs::ring::params::Config;
use uring_rs::ring::sim::{FaultPlan, Options, RequestAction, RequestFault};
use uring_rs::ring::slots::{internal_key, message_key, Kind};
use uring_rs::sys::consts::*;
use uring_rs::sys::Errno;

use crate::bench::{kinds, Bench, Op, SECOND};

fn request(nth: u64, action: RequestAction) -> FaultPlan {
    FaultPlan { calls: Vec::new(), requests: vec![RequestFault { nth, action }] }
}

/// One request that ends as told, between others.
fn one_of_three(bench: &mut Bench, action: RequestAction) -> u64 {
    bench.sim.plan(&request(1, action));
    bench.put(Op::Nop, 0);
    let key = bench.put(Op::Read(8), 0);
    bench.put(Op::Nop, 0);
    bench.settle();
    // Whatever else it posts comes with the next.
    bench.put(Op::Nop, 0);
    bench.settle();
    key
}

#[test]
fn a_doubled_completion_is_counted_and_ignored() {
    for action in [RequestAction::Twice, RequestAction::MoreAfterEnd] {
        for (_, options, config) in kinds() {
            let mut bench = Bench::new(Options { cold_percent: 0, ..options }, &config);
            let key = one_of_three(&mut bench, action);
            bench.expect_strays(1);
            assert_eq!((bench.results[&key], bench.more), (8, 0));
            bench.end();
        }
    }
}

#[test]
fn a_strangers_completion_is_counted_and_ignored() {
    // Keys of slots free, used before and out of range; no key at all.
    for stranger in [0x3_0000_0300, 0x0000_0700, 0xffff_ff00, u64::MAX, 0x7f00_dead_beef] {
        let mut bench = Bench::new(Options::new(1), &Config::new(4));
        one_of_three(&mut bench, RequestAction::Stranger(stranger));
        bench.expect_strays(1);
        bench.end();
    }
    for (kind, woken) in [(Kind::Wake, true), (Kind::Internal, false)] {
        let mut bench = Bench::new(Options::new(1), &Config::new(4));
        one_of_three(&mut bench, RequestAction::Stranger(internal_key(kind)));
        assert_eq!(bench.ring.take_woken(), woken);
        assert!(!bench.ring.take_woken(), "told once");
        bench.end();
    }
}

#[test]
fn a_message_is_no_requests_completion() {
    for number in [0, 1, 0xff, 0x3_0000_0300, (1 << 56) - 1] {
        let mut bench = Bench::new(Options::new(1), &Config::new(4));
        one_of_three(&mut bench, RequestAction::Stranger(message_key(number)));
        let key = bench.ring.next_message().map(|message| message.key);
        assert_eq!(key.and_then(message::number), Some(number));
        assert!(!bench.ring.has_messages(), "told once");
        bench.end();
    }
    assert_eq!(message::number(0x3_0000_0300), None);
}

#[test]
fn requests_may_end_late_and_badly() {
    let actions = [
        RequestAction::Late(300_000),
        RequestAction::Result(-Errno::EIO.0),
        RequestAction::Result(-Errno::ECANCELED.0),
        RequestAction::Result(3),
        RequestAction::Result(0),
    ];
    for (_, options, config) in kinds() {
        for action in actions {
            let mut bench = Bench::new(options.clone(), &config);
            let key = one_of_three(&mut bench, action);
            let expected = if let RequestAction::Result(res) = action { res } else { 8 };
            assert_eq!(bench.results[&key], expected);
            bench.end();
        }
    }
}

/// A late completion is waited for by close, too.
#[test]
fn close_waits_for_late_completions() {
    for (_, options, config) in kinds() {
        let mut bench = Bench::new(options, &config);
        bench.sim.plan(&request(0, RequestAction::Late(SECOND / 2)));
        bench.put(Op::Nop, 0);
        bench.enter(0);
        bench.end();
        assert_eq!((bench.ended.len(), bench.discarded.len()), (1, 0));
    }
}

/// A completion that the kernel had no memory for: nobody can tell when its request's memory is
/// free, so it never is.
#[test]
fn the_slot_of_a_lost_completion_is_never_freed() {
    let mut bench = Bench::new(Options::new(1), &Config::new(8));
    bench.sim.plan(&request(1, RequestAction::Lost));
    let keys = [bench.put(Op::Nop, 0), bench.put(Op::Nop, 0), bench.put(Op::Nop, 0)];
    bench.enter(0);
    bench.reap();
    assert_eq!(bench.owed.keys().collect::<Vec<_>>(), [&keys[1]]);
    assert_eq!(bench.ring.cq().dropped(), 1);
    assert!(!bench.close(SECOND));
    assert_eq!((bench.ring.live(), bench.sim.live_maps(), bench.open_rings()), (1, 2, 1));
    bench.check_record();
}

/// Requests in flight are bounded by the completion queue, so it takes those that complete more
/// than once to overflow it. Nothing is lost, and the order is kept.
#[test]
fn an_overflowing_queue_loses_nothing() {
    for (kind, options, config) in kinds() {
        let mut bench = Bench::new(options, &config);
        if bench.ring.params().features & IORING_FEAT_RW_ATTR == 0 {
            // Repeated timeouts came with Linux 6.4; those kernels are not what is tested here.
            continue;
        }
        let repeated = bench.put(Op::Timeouts(1_000, 40), 0);
        let others: Vec<u64> = (0..3).map(|n| bench.put(Op::Timeout(10_500 + n), 0)).collect();
        bench.enter(0);
        bench.sim.advance(100_000);
        let mut events = Vec::new();
        for _ in 0..100 {
            events.extend(bench.reap());
            if bench.owed.is_empty() {
                break;
            }
            let plan = bench.ring.plan_flush();
            bench.carry_out(plan);
            bench.enter(1);
        }
        let seen: Vec<(u64, i32, u32)> = events.iter().map(|e| (e.key, e.res, e.flags)).collect();
        let posted: Vec<(u64, i32, u32)> =
            bench.sim.completed().iter().map(|c| (c.user_data, c.res, c.flags)).collect();
        assert_eq!(seen, posted, "{kind}: what was posted and what was seen");
        assert!(others.iter().all(|key| bench.results.contains_key(key)));
        let repeats = events.iter().filter(|event| event.key == repeated);
        let flags: Vec<bool> = repeats.map(|event| event.terminal).collect();
        assert!(flags.len() > 2, "{kind}: {} completions of one request", flags.len());
        assert_eq!(flags.iter().position(|terminal| *terminal), Some(flags.len() - 1));
        assert_eq!(bench.ring.cq().dropped(), 0);
        bench.end();
    }
}

/// The same, and closed in the middle of it.
#[test]
fn a_ring_whose_queue_overflows_can_be_closed() {
    for (_, options, config) in kinds() {
        for advance in [0, 1_000, 5_000, 50_000] {
            let mut bench = Bench::new(options.clone(), &config);
            bench.put(Op::Polls, 0);
            (0..7).for_each(|n| _ = bench.put(Op::Timeout(2_000 + n), 0));
            bench.enter(0);
            bench.sim.feed(bench.pipe.0, b"pp").expect("a pipe");
            bench.sim.feed_after(1_500, bench.pipe.0, b"pp").expect("a pipe");
            bench.sim.advance(advance);
            bench.end();
        }
    }
}
