//! One thread's ring: who becomes the owner, who inherits, and how others wake it.

use std::sync::Arc;

use shuttle::sync::atomic::{AtomicU32, Ordering};
use shuttle::thread;

use uring_rs::ring::error::RingError;
use uring_rs::sys::sync::broken::Rule;

use crate::bench::{check, check_broken, nop, poll, Bench, Misuse, Waited};

/// Of three that use a new ring at once, one becomes its owner, and the others are told.
fn one_owner() {
    let bench = Arc::new(Bench::new(false, Misuse::None));
    let users = (0..3u64).map(|user| {
        let bench = bench.clone();
        thread::spawn(move || match bench.stage(user, nop()) {
            Ok(()) => {
                assert_eq!(bench.wait(1), Waited::Enough(vec![(user, 0)]));
                bench.close();
                true
            }
            Err(RingError::WrongThread) => false,
            Err(error) => panic!("{error:?}"),
        })
    });
    let users: Vec<_> = users.collect();
    let owners = users.into_iter().map(|user| user.join().unwrap());
    assert_eq!(owners.filter(|&owned| owned).count(), 1);
    assert_eq!(bench.kernel.violations(), [] as [String; 0]);
    assert_eq!((bench.kernel.live_maps(), bench.kernel.in_flight()), (0, 0));
}

#[test]
fn one_thread_becomes_the_owner() {
    check(one_owner);
}

/// The owner ends with a ring that it has not closed. Two want to inherit it: at any time at most
/// one is the heir, who, ending, leaves it to the other.
fn one_heir() {
    let bench = Arc::new(Bench::new(false, Misuse::None));
    let owner = {
        let bench = bench.clone();
        thread::spawn(move || {
            bench.stage(0, nop()).expect("room");
            assert_eq!(bench.wait(1), Waited::Enough(vec![(0, 0)]));
        })
    };
    let heirs_at_once = Arc::new(AtomicU32::new(0));
    let heirs = (0..2).map(|_| {
        let (bench, heirs_at_once) = (bench.clone(), heirs_at_once.clone());
        thread::spawn(move || {
            while !bench.cell.inherit() {
                thread::yield_now();
            }
            assert_eq!(
                heirs_at_once.fetch_add(1, Ordering::SeqCst),
                0,
                "two heirs have entered twice"
            );
            // Nothing is in flight.
            assert!(bench.hold().expect("nobody else has entered twice").core.finish_close());
            heirs_at_once.fetch_sub(1, Ordering::SeqCst);
        })
    });
    let heirs: Vec<_> = heirs.collect();
    owner.join().unwrap();
    heirs.into_iter().for_each(|heir| heir.join().unwrap());
    assert_eq!(bench.kernel.violations(), [] as [String; 0]);
    assert_eq!((bench.kernel.live_maps(), bench.kernel.in_flight()), (0, 0));
}

#[test]
fn one_thread_inherits() {
    check(one_heir);
}

#[test]
#[should_panic(expected = "entered twice")]
fn two_heirs_are_caught() {
    check_broken(Rule::OneHeir, one_heir);
}

fn ringers(bench: &Arc<Bench>, count: u32) -> Vec<thread::JoinHandle<()>> {
    let ringer = |_| {
        let bench = bench.clone();
        thread::spawn(move || match bench.wake.ring(&bench.kernel) {
            Ok(()) | Err(RingError::Closed) => {}
            Err(error) => panic!("{error:?}"),
        })
    };
    (0..count).map(ringer).collect()
}

/// Two threads ring while the owner waits for three completions that never come: the wait ends; and
/// whoever rings after it has ended ends the next one.
fn woken(used: bool) {
    let bench = Arc::new(Bench::new(false, Misuse::None));
    let early = if used { Vec::new() } else { ringers(&bench, 2) };
    let owner = {
        let bench = bench.clone();
        thread::spawn(move || {
            let mut late = Vec::new();
            if used {
                bench.stage(0, nop()).expect("room");
                assert_eq!(bench.wait(1), Waited::Enough(vec![(0, 0)]));
                late = ringers(&bench, 2);
            }
            let never = bench.kernel.eventfd().expect("an eventfd");
            bench.stage(1, poll(never)).expect("room");
            assert_eq!(bench.wait(3), Waited::Woken);
            late.extend(ringers(&bench, 1));
            assert_eq!(bench.wait(3), Waited::Woken);
            bench.close();
            late.into_iter().for_each(|ringer| ringer.join().unwrap());
        })
    };
    owner.join().unwrap();
    early.into_iter().for_each(|ringer| ringer.join().unwrap());
    assert_eq!(bench.kernel.violations(), [] as [String; 0]);
    assert_eq!(bench.kernel.live_maps(), 0);
}

#[test]
fn a_wakeup_ends_a_wait_for_many() {
    check(|| woken(true));
}

#[test]
fn a_wakeup_before_the_first_use_is_kept() {
    check(|| woken(false));
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_sleeper_that_looks_before_it_tells_is_caught() {
    check_broken(Rule::TellThenLook, || woken(true));
}
