//! `IoQueue`: prepare, commit, wait, wake and close from many threads, over a ring and over threads.

use std::sync::Arc;

use shuttle::sync::Mutex;
use shuttle::thread;

use uring_rs::bulk::pump::Way;
use uring_rs::bulk::queue::op::Op;
use uring_rs::bulk::queue::{Done, Options, Queue, QueueError};
use uring_rs::ring::error::RingError;
use uring_rs::ring::sim::{self, SimKernel};
use uring_rs::ring::teardown::Naps;
use uring_rs::sys::sync::broken::Rule;

use crate::bench::{check, check_broken};

/// What a request keeps: its number and its memory.
struct Kept(u64, Box<[u8; 16]>);

struct Bench {
    kernel: SimKernel,
    queue: Queue<SimKernel, Kept>,
    file: i32,
}

/// How a wait ended.
#[derive(Debug, PartialEq, Eq)]
enum Waited {
    Done(Vec<u64>),
    Woken(Vec<u64>),
    Closed,
}

impl Bench {
    fn new(way: Way) -> Arc<Self> {
        let mut options = sim::Options::new(1);
        options.cold_percent = 50;
        let kernel = SimKernel::new(options);
        let file = kernel.file("data", &[7; 64]).expect("a file");
        let options = Options { depth: 4, files: 1, way };
        let queue = Queue::new(kernel.clone(), options, &[]).expect("a queue");
        queue.register(file).expect("a place");
        Arc::new(Bench { kernel, queue, file })
    }

    fn prepare(&self, number: u64) -> bool {
        let mut keep = Kept(number, Box::new([0; 16]));
        let op = Op::Read { addr: keep.1.as_mut_ptr(), len: 16, fixed: None };
        // SAFETY: the box keeps its address (I2).
        match unsafe { self.queue.prepare(self.file, op, 0, 16, keep) } {
            Ok(_) => true,
            Err((QueueError::Ring(RingError::Closed), _)) => false,
            Err((error, _)) => panic!("{error:?}"),
        }
    }

    fn commit(&self) {
        match self.queue.commit() {
            Ok(_) | Err(QueueError::Ring(RingError::Closed)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }

    /// `IoQueue.wait(min, max)`, as the Python layer does it.
    fn wait(&self, min: usize, max: usize) -> Waited {
        let mut done = Vec::new();
        loop {
            let look = match self.queue.collect(min, max, false, &mut done) {
                Ok(look) => look,
                Err(QueueError::Ring(RingError::Closed)) => return Waited::Closed,
                Err(error) => panic!("{error:?}"),
            };
            if look.poke {
                self.queue.poke();
            }
            if look.woken {
                return Waited::Woken(numbers(done));
            }
            if look.enough {
                return Waited::Done(numbers(done));
            }
            match self.queue.sleep(min, None) {
                Ok(()) | Err(QueueError::Ring(RingError::Closed)) => {}
                Err(error) => panic!("{error:?}"),
            }
            // The simulated kernel's time passes at once: where a sleep is bounded (one for many
            // completions is, for a moment), the others are to have a turn.
            thread::yield_now();
        }
    }

    fn close(&self) {
        self.queue.begin_close();
        let mut naps = Naps::default();
        while !self.queue.close_step(1_000_000_000, &mut naps) {
            thread::yield_now();
        }
    }

    /// Close, and what was left in it.
    fn end(&self) -> Vec<u64> {
        self.close();
        let mut left = Vec::new();
        let mut done = Vec::new();
        while self.queue.collect(0, 16, true, &mut done).is_ok() {
            left.extend(numbers(std::mem::take(&mut done)));
        }
        self.kernel.close_file(self.file).expect("still open");
        assert_eq!(self.kernel.violations(), [] as [String; 0]);
        assert_eq!((self.kernel.live_maps(), self.kernel.in_flight()), (0, 0));
        assert_eq!(self.kernel.open_fds(), [] as [i32; 0]);
        left
    }
}

fn numbers(done: Vec<Done<Kept>>) -> Vec<u64> {
    let number = |Done { result, keep: Kept(number, memory), .. }: Done<Kept>| {
        assert!(result != 16 || *memory == [7; 16], "{number}: {memory:?}");
        number
    };
    done.into_iter().map(number).collect()
}

/// Two fill the queue and two empty it, two requests each, whosever they are, `at_once` at a time.
fn nothing_is_lost(way: Way, at_once: usize) {
    let bench = Bench::new(way);
    let fillers = (0..2u64).map(|user| {
        let bench = bench.clone();
        thread::spawn(move || {
            assert!(bench.prepare(2 * user));
            bench.commit();
            assert!(bench.prepare(2 * user + 1));
            bench.commit();
        })
    });
    let fillers: Vec<_> = fillers.collect();
    let taken = Arc::new(Mutex::new(Vec::new()));
    let takers = (0..2).map(|_| {
        let (bench, taken) = (bench.clone(), taken.clone());
        thread::spawn(move || {
            for _ in 0..2 / at_once {
                match bench.wait(at_once, at_once) {
                    Waited::Done(numbers) => taken.lock().unwrap().extend(numbers),
                    other => panic!("{other:?}"),
                }
            }
        })
    });
    let takers: Vec<_> = takers.collect();
    fillers.into_iter().chain(takers).for_each(|thread| thread.join().unwrap());
    assert_eq!(bench.end(), []);
    let mut taken = std::mem::take(&mut *taken.lock().unwrap());
    taken.sort_unstable();
    assert_eq!(taken, [0, 1, 2, 3]);
}

#[test]
fn of_two_who_fill_and_two_who_empty_nobody_waits_in_vain() {
    check(|| nothing_is_lost(Way::Ring, 1));
    check(|| nothing_is_lost(Way::Ring, 2));
}

#[test]
fn the_same_over_threads() {
    check(|| nothing_is_lost(Way::Threads, 1));
    check(|| nothing_is_lost(Way::Threads, 2));
}

#[test]
#[should_panic(expected = "deadlock")]
fn waiters_that_are_not_poked_are_caught() {
    check_broken(Rule::OthersArePoked, || nothing_is_lost(Way::Ring, 1));
}

#[test]
#[should_panic(expected = "deadlock")]
fn workers_that_tell_nobody_are_caught() {
    check_broken(Rule::WorkerTells, || nothing_is_lost(Way::Threads, 2));
}

/// Two ring the bell of one that waits for what never comes: it is woken once or twice; and whoever
/// rings after it was woken wakes it again.
fn woken(way: Way) {
    let bench = Bench::new(way);
    let ringers = |count: u32| -> Vec<_> {
        let ringer = |_| {
            let bench = bench.clone();
            thread::spawn(move || bench.queue.wake().expect("open"))
        };
        (0..count).map(ringer).collect()
    };
    let first = ringers(2);
    assert_eq!(bench.wait(1, 1), Waited::Woken(Vec::new()));
    let second = ringers(1);
    assert_eq!(bench.wait(1, 1), Waited::Woken(Vec::new()));
    first.into_iter().chain(second).for_each(|ringer| ringer.join().unwrap());
    // The third, if the two were told apart.
    assert!(bench.prepare(0));
    bench.commit();
    let mut seen = Vec::new();
    while seen.is_empty() {
        match bench.wait(1, 1) {
            Waited::Done(numbers) | Waited::Woken(numbers) => seen.extend(numbers),
            Waited::Closed => panic!("open"),
        }
    }
    assert_eq!(bench.end(), []);
}

#[test]
fn no_wakeup_is_lost() {
    check(|| woken(Way::Ring));
}

#[test]
fn no_wakeup_is_lost_over_threads() {
    check(|| woken(Way::Threads));
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_bell_that_nobody_polls_is_caught() {
    check_broken(Rule::BellIsPolled, || woken(Way::Ring));
}

/// One fills, one waits for more than there will be, one rings, one closes. Everybody comes out, and
/// each request that was prepared is handed out once.
fn everybody_comes_out(way: Way) {
    let bench = Bench::new(way);
    let taken = Arc::new(Mutex::new(Vec::new()));
    let filler = {
        let bench = bench.clone();
        thread::spawn(move || {
            let prepared = (0..2).filter(|&number| bench.prepare(number)).count() as u64;
            bench.commit();
            prepared
        })
    };
    let waiter = {
        let (bench, taken) = (bench.clone(), taken.clone());
        thread::spawn(move || loop {
            match bench.wait(3, 4) {
                Waited::Done(numbers) | Waited::Woken(numbers) => {
                    taken.lock().unwrap().extend(numbers);
                }
                Waited::Closed => return,
            }
        })
    };
    let ringer = {
        let bench = bench.clone();
        thread::spawn(move || match bench.queue.wake() {
            Ok(()) | Err(QueueError::Ring(RingError::Closed)) => {}
            Err(error) => panic!("{error:?}"),
        })
    };
    bench.close();
    ringer.join().unwrap();
    waiter.join().unwrap();
    let prepared = filler.join().unwrap();
    let mut taken = std::mem::take(&mut *taken.lock().unwrap());
    taken.extend(bench.end());
    taken.sort_unstable();
    assert!(taken.iter().copied().eq(0..prepared), "{taken:?} of {prepared}");
}

#[test]
fn closing_lets_everybody_out() {
    check(|| everybody_comes_out(Way::Ring));
}

#[test]
fn closing_lets_everybody_out_over_threads() {
    check(|| everybody_comes_out(Way::Threads));
}

#[test]
#[should_panic(expected = "EBADF")]
fn a_queue_let_go_of_under_sleepers_is_caught() {
    check_broken(Rule::SleepersLeaveFirst, || everybody_comes_out(Way::Ring));
}

#[test]
#[should_panic(expected = "a bell that is open")]
fn sleepers_that_are_not_counted_are_caught() {
    check_broken(Rule::SleepersAreCounted, || everybody_comes_out(Way::Threads));
}
