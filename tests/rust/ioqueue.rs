//! The queue: on a simulated kernel each of whose calls fails once, in each way it can, nothing is
//! lost and nothing comes twice; and on the running one, rung by many threads, no wake-up is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use uring_rs::bulk::pump::Way;
use uring_rs::bulk::queue::op::Op;
use uring_rs::bulk::queue::{Done, Options, Queue, QueueError};
use uring_rs::ring::kernel::Linux;
use uring_rs::ring::sim::{self, Action, Call, Fault, FaultPlan, SimKernel};
use uring_rs::ring::teardown::Naps;
use uring_rs::sys::Errno;

const NAP_NS: u64 = 20_000_000;
const ROUNDS: u64 = 3;
const EACH: u64 = 4;

/// What a request keeps: its number and its memory.
#[derive(Debug)]
struct Kept(u64, Box<[u8; 16]>);

/// A queue, and what became of each of its requests.
struct Bench {
    queue: Queue<SimKernel, Kept>,
    file: i32,
    next: u64,
    ended: BTreeMap<u64, i32>,
    woken: u32,
    /// Calls of the queue that said what is wrong.
    errors: u32,
}

impl Bench {
    fn new(sim: &SimKernel, way: Way) -> Self {
        let file = sim.file("data", &[7; 64]).expect("a file");
        let options = Options { depth: EACH as u32, files: 2, way };
        let queue = Queue::new(sim.clone(), options, &[]).expect("threads, if no ring");
        let mut bench = Bench { queue, file, next: 0, ended: BTreeMap::new(), woken: 0, errors: 0 };
        bench.insist(|bench| bench.queue.register(bench.file));
        bench
    }

    /// A call that may fail once, and then not again.
    fn insist<T>(&mut self, call: impl Fn(&Self) -> Result<T, QueueError>) -> T {
        for _ in 0..3 {
            match call(self) {
                Ok(value) => return value,
                Err(_) => self.errors += 1,
            }
        }
        panic!("one fault, and three failures");
    }

    fn prepare(&mut self) -> u64 {
        let mut keep = Kept(self.next, Box::new([0; 16]));
        self.next += 1;
        let op = Op::Read { addr: keep.1.as_mut_ptr(), len: 16, fixed: None };
        // SAFETY: the box keeps its address (I2).
        let prepared = unsafe { self.queue.prepare(self.file, op, 0, 16, keep) };
        prepared.expect("there is room")
    }

    fn commit_all(&mut self) {
        let mut left = self.queue.counts().expect("this process")[0];
        let mut tries = 0;
        while left > 0 {
            tries += 1;
            assert!(tries < 10, "a commit takes nothing for ever");
            let taken = self.insist(|bench| bench.queue.commit());
            assert!(taken <= left, "more than there was");
            left -= taken;
            assert_eq!(self.queue.counts().expect("this process")[0], left);
        }
    }

    fn note(&mut self, done: Vec<Done<Kept>>) {
        for Done { result, keep: Kept(number, memory), .. } in done {
            if result == 16 {
                assert_eq!(*memory, [7; 16]);
            }
            assert!(self.ended.insert(number, result).is_none(), "{number} came twice");
        }
    }

    /// Wait until so many have been handed out in all.
    fn wait_for(&mut self, count: usize) {
        while self.ended.len() < count {
            let min = count - self.ended.len();
            let mut done = Vec::new();
            let look = self.queue.collect(min, 16, false, &mut done).expect("open");
            assert!(look.enough || look.woken || done.is_empty());
            self.woken += u32::from(look.woken);
            self.note(done);
            if !look.enough && !look.woken {
                self.errors += u32::from(self.queue.sleep(min, None).is_err());
            }
        }
    }

    fn run(mut self, sim: &SimKernel) -> (BTreeMap<u64, i32>, u32, u32) {
        for round in 0..ROUNDS {
            let handles: Vec<u64> = (0..EACH).map(|_| self.prepare()).collect();
            self.insist(|bench| bench.queue.cancel(handles[0]));
            self.commit_all();
            self.insist(|bench| bench.queue.cancel(handles[1]));
            self.queue.wake().expect("open");
            self.queue.wake().expect("open");
            self.wait_for(((round + 1) * EACH) as usize);
            assert!(u64::from(self.woken) <= round + 1, "a wake-up was told twice");
            let look = self.queue.collect(0, 16, true, &mut Vec::new()).expect("open");
            self.woken += u32::from(look.woken);
            assert_eq!(u64::from(self.woken), round + 1, "a wake-up was lost");
        }
        self.prepare();
        self.commit_all();
        self.prepare();
        self.close(sim);
        (self.ended, self.woken, self.errors)
    }

    fn close(&mut self, sim: &SimKernel) {
        self.queue.begin_close();
        let mut naps = Naps::default();
        let mut steps = 0;
        while !self.queue.close_step(NAP_NS, &mut naps) {
            steps += 1;
            assert!(steps < 1000, "closing does not end");
        }
        let mut done = Vec::new();
        while self.queue.collect(0, 16, true, &mut done).is_ok() {
            self.note(std::mem::take(&mut done));
        }
        sim.close_file(self.file).expect("still open");
    }
}

fn check(way: Way, fault: Option<Fault>) -> bool {
    let mut options = sim::Options::new(fault.map_or(1, |fault| fault.nth));
    options.cold_percent = 50;
    let sim = SimKernel::new(options);
    sim.plan(&FaultPlan { calls: fault.into_iter().collect(), requests: Vec::new() });
    let (ended, ..) = Bench::new(&sim, way).run(&sim);
    let all: Vec<u64> = (0..ROUNDS * EACH + 2).collect();
    assert_eq!(ended.keys().copied().collect::<Vec<_>>(), all, "{fault:?}");
    for (number, result) in ended {
        let cancelled = -Errno::ECANCELED.0;
        let may_be_cancelled = number % EACH < 2 || number >= ROUNDS * EACH;
        let failed = fault.is_some_and(|fault| fault.call == Call::Plain) && result != 16;
        let right = result == 16 || failed || (may_be_cancelled && result == cancelled);
        assert!(right, "{fault:?}: {number} ended with {result}");
    }
    assert!(sim.violations().is_empty(), "{fault:?}: {:?}", sim.violations());
    assert_eq!((sim.live_maps(), sim.in_flight()), (0, 0), "{fault:?}");
    assert_eq!(sim.open_fds(), [] as [i32; 0] as [i32; 0], "{fault:?}");
    sim.faults_left() == 0
}

#[test]
fn without_faults() {
    check(Way::Auto, None);
    check(Way::Threads, None);
}

/// The actions in turn at the first call of its kind, the second, ..., until a run makes no more.
fn at_each_call(call: Call, way: Way, actions: &[Action]) {
    for &action in actions {
        let mut happened = 0;
        for nth in 0.. {
            if !check(way, Some(Fault { call, nth, action })) {
                break;
            }
            happened += 1;
        }
        assert!(happened > 0, "{call:?} was never made");
    }
}

const ERRNOS: [Errno; 7] = [
    Errno::EAGAIN,
    Errno::EBUSY,
    Errno::ENOMEM,
    Errno::EIO,
    Errno::EBADF,
    Errno::EINTR,
    Errno::EINVAL,
];

#[test]
fn each_enter_fails() {
    let mut actions: Vec<Action> = ERRNOS.iter().map(|&errno| Action::Err(errno)).collect();
    actions.extend((0..4).map(Action::ShortSubmit));
    actions.extend([Action::Interrupt, Action::WakeEarly]);
    at_each_call(Call::Enter, Way::Auto, &actions);
}

#[test]
fn each_register_fails() {
    let actions: Vec<Action> = ERRNOS.iter().map(|&errno| Action::Err(errno)).collect();
    at_each_call(Call::Register, Way::Auto, &actions);
}

#[test]
fn each_setup_and_map_fails() {
    let actions = [Action::Err(Errno::EPERM), Action::Err(Errno::ENOMEM)];
    at_each_call(Call::Setup, Way::Auto, &actions);
    at_each_call(Call::Map, Way::Auto, &actions);
}

#[test]
fn each_plain_call_fails() {
    let actions = [Action::Err(Errno::EIO), Action::ShortSubmit(3)];
    at_each_call(Call::Plain, Way::Threads, &actions);
}

/// Every ring of the bell is told by a later wait, and no more often than it was rung.
fn ring_from_many_threads(way: Way) {
    const RINGERS: usize = 4;
    const TIMES: u64 = 2_000;
    let options = Options { depth: 4, files: 1, way };
    let queue: Arc<Queue<Linux, Kept>> =
        Arc::new(Queue::new(Linux, options, &[]).expect("a queue"));
    let rung = Arc::new(AtomicU64::new(0));
    let seen = Arc::new(AtomicU64::new(0));
    let told = Arc::new(AtomicU64::new(0));
    let total = RINGERS as u64 * TIMES;
    let ringers = (0..RINGERS).map(|_| {
        let (queue, rung, seen) = (Arc::clone(&queue), Arc::clone(&rung), Arc::clone(&seen));
        std::thread::spawn(move || {
            for turn in 0..TIMES {
                let mine = rung.fetch_add(1, Ordering::SeqCst) + 1;
                queue.wake().expect("open");
                // Now and then, none but this one can end what it waits for.
                while turn % 8 == 0 && seen.load(Ordering::SeqCst) < mine {
                    std::thread::yield_now();
                }
            }
        })
    });
    let ringers: Vec<_> = ringers.collect();
    let waiters = (0..2).map(|_| {
        let (queue, rung) = (Arc::clone(&queue), Arc::clone(&rung));
        let (seen, told) = (Arc::clone(&seen), Arc::clone(&told));
        std::thread::spawn(move || {
            while seen.load(Ordering::SeqCst) < total {
                let look = queue.collect(1, 1, false, &mut Vec::new()).expect("open");
                if look.woken {
                    told.fetch_add(1, Ordering::SeqCst);
                    seen.fetch_max(rung.load(Ordering::SeqCst), Ordering::SeqCst);
                } else {
                    queue.sleep(1, Some(NAP_NS)).expect("a wait");
                }
            }
        })
    });
    let waiters: Vec<_> = waiters.collect();
    for thread in ringers.into_iter().chain(waiters) {
        thread.join().expect("no failure");
    }
    assert!((1..=total).contains(&told.load(Ordering::SeqCst)));
    assert!(!queue.collect(0, 1, true, &mut Vec::new()).expect("open").woken);
}

#[test]
fn no_wakeup_is_lost_on_a_ring() {
    ring_from_many_threads(Way::Auto);
}

#[test]
fn no_wakeup_is_lost_on_threads() {
    ring_from_many_threads(Way::Threads);
}
