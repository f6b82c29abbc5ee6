//! One ring, many threads: submit, wait, close.

use std::sync::Arc;
use std::time::Duration;

use shuttle::sync::Mutex;
use shuttle::thread;

use uring_rs::ring::error::RingError;
use uring_rs::sys::sync::broken::Rule;

use crate::bench::{check, check_broken, nop, poll, Bench, Misuse, Waited};

/// Two threads submit and take two completions each, whosever they are; a third makes half of them
/// happen. Each completion is taken once.
fn nothing_is_lost(misuse: Misuse) {
    let bench = Arc::new(Bench::new(true, misuse));
    let bell = bench.kernel.eventfd().expect("an eventfd");
    let taken = Arc::new(Mutex::new(Vec::new()));
    let users = (0..2u64).map(|user| {
        let (bench, taken) = (bench.clone(), taken.clone());
        thread::spawn(move || {
            bench.stage(2 * user, poll(bell)).expect("room");
            bench.stage(2 * user + 1, nop()).expect("room");
            bench.submit().expect("nothing fails");
            for _ in 0..2 {
                match bench.wait(1) {
                    Waited::Enough(mine) => taken.lock().unwrap().extend(mine),
                    other => panic!("{other:?}"),
                }
            }
        })
    });
    let users: Vec<_> = users.collect();
    bench.kernel.feed(bell, &1u64.to_ne_bytes()).expect("an eventfd");
    users.into_iter().for_each(|user| user.join().unwrap());
    let mut taken = std::mem::take(&mut *taken.lock().unwrap());
    taken.sort_unstable();
    assert_eq!(taken, [(0, 1), (1, 0), (2, 1), (3, 0)]);
    bench.close();
    assert_eq!(bench.left_over(), []);
    bench.assert_gone();
}

#[test]
fn of_two_who_submit_and_wait_nobody_loses_anything() {
    check(|| nothing_is_lost(Misuse::None));
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_waiter_that_never_looks_up_is_caught() {
    check_broken(Rule::None, || nothing_is_lost(Misuse::NeverLooksUp));
}

#[test]
#[should_panic(expected = "a ring was entered twice")]
fn two_holders_at_once_are_caught() {
    check_broken(Rule::OneHolder, || nothing_is_lost(Misuse::None));
}

/// One thread submits, two sleep in the kernel for what never comes, and two close. Everybody comes
/// out, everything that was accepted has ended, and nobody enters what is gone.
fn everybody_comes_out(misuse: Misuse) {
    let bench = Arc::new(Bench::new(true, misuse));
    let never = bench.kernel.eventfd().expect("an eventfd");
    let submitter = {
        let bench = bench.clone();
        thread::spawn(move || {
            let mut accepted = 0;
            for number in 0..2 {
                match bench.stage(number, poll(never)).and_then(|()| {
                    accepted += 1;
                    bench.submit()
                }) {
                    Ok(()) => {}
                    Err(RingError::Closed) => break,
                    Err(error) => panic!("{error:?}"),
                }
            }
            accepted
        })
    };
    let waiter = {
        let bench = bench.clone();
        thread::spawn(move || assert_eq!(bench.wait(3), Waited::Closed))
    };
    let sleeper = {
        let bench = bench.clone();
        thread::spawn(move || match bench.sleep_raw(1) {
            Ok(()) | Err(RingError::Closed) => {}
            Err(error) => panic!("{error:?}"),
        })
    };
    let closer = {
        let bench = bench.clone();
        thread::spawn(move || bench.close())
    };
    bench.close();
    // Closed, whoever did it.
    assert!(bench.hold().expect("this process").core.is_closed());
    closer.join().unwrap();
    sleeper.join().unwrap();
    waiter.join().unwrap();
    let accepted = submitter.join().unwrap();
    let mut ended: Vec<u64> = bench.left_over().iter().map(|&(number, _)| number).collect();
    ended.sort_unstable();
    assert!(ended.into_iter().eq(0..accepted), "of {accepted} some have not ended");
    bench.assert_gone();
}

#[test]
fn closing_lets_everybody_out() {
    check(|| everybody_comes_out(Misuse::None));
}

/// Whoever waits for those in the kernel is told when the last of them has left.
fn leavers_tell() {
    let bench = Arc::new(Bench::new(true, Misuse::None));
    let users = (0..2).map(|number| {
        let bench = bench.clone();
        thread::spawn(move || {
            let done = bench.stage(number, nop()).and_then(|()| bench.submit());
            assert!(matches!(done, Ok(()) | Err(RingError::Closed)), "{done:?}");
        })
    });
    let users: Vec<_> = users.collect();
    bench.hold().expect("this process").core.refuse();
    // Nobody enters any more; in a model, the moment never ends.
    while !bench.cell.wait_until_left(Duration::from_millis(1)) {}
    bench.close();
    users.into_iter().for_each(|user| user.join().unwrap());
    bench.assert_gone();
}

#[test]
fn the_last_to_leave_the_kernel_tells() {
    check(leavers_tell);
}

#[test]
#[should_panic(expected = "deadlock")]
fn leavers_that_tell_nobody_are_caught() {
    check_broken(Rule::LeaverTells, leavers_tell);
}

#[test]
#[should_panic(expected = "deadlock")]
fn leavers_that_tell_without_the_lock_are_caught() {
    check_broken(Rule::LeaverTellsLocked, leavers_tell);
}

#[test]
#[should_panic(expected = "EBADF")]
fn two_closers_at_once_are_caught() {
    check_broken(Rule::OneCloser, || everybody_comes_out(Misuse::None));
}

#[test]
#[should_panic(expected = "nobody enters a ring that is gone")]
fn a_wait_announced_too_late_is_caught() {
    check_broken(Rule::None, || everybody_comes_out(Misuse::AnnouncedLate));
}

#[test]
#[should_panic(expected = "exceeded max_steps")]
fn sleepers_that_nobody_calls_are_caught() {
    check_broken(Rule::None, || everybody_comes_out(Misuse::NoPoke));
}

#[test]
#[should_panic(expected = "EBADF")]
fn a_ring_taken_down_with_threads_in_the_kernel_is_caught() {
    check_broken(Rule::None, || everybody_comes_out(Misuse::NobodyWaitsForLeavers));
}
