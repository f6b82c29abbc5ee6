//! Scenarios of what waits: the queue and the selector.

use std::collections::BTreeMap;

use uring_rs::bulk::queue::op::Op;
use uring_rs::bulk::queue::{Done, Options, Queue, QueueError};
use uring_rs::poll::{Begin, Next, PollSet, READ};
use uring_rs::ring::error::RingError;
use uring_rs::ring::kernel::Kernel as _;
use uring_rs::ring::sim::SimKernel;
use uring_rs::ring::teardown::Naps;
use uring_rs::sys::Errno;

use crate::plan::Said;
use crate::tokens::{Token, Tokens};
use crate::{ways, NAP_NS};

const EACH: u64 = 4;
const ROUNDS: u64 = 3;

/// What a request keeps: its number, its memory, and what says that it is let go of.
#[derive(Debug)]
struct Kept(u64, Box<[u8; 16]>, #[allow(dead_code)] Token);

struct Bench<'a> {
    queue: Queue<SimKernel, Kept>,
    tokens: &'a Tokens,
    file: i32,
    next: u64,
    ended: BTreeMap<u64, i32>,
    said: Said,
}

fn note(said: &mut Said, error: &QueueError) {
    match error {
        QueueError::Ring(error) => said.note(error),
        error => said.others.push(format!("{error:?}")),
    }
}

impl Bench<'_> {
    /// A call that may fail, and then not again and again.
    fn insist<T>(&mut self, call: impl Fn(&Self) -> Result<T, QueueError>) -> T {
        for _ in 0..4 {
            match call(self) {
                Ok(value) => return value,
                Err(error) => note(&mut self.said, &error),
            }
        }
        panic!("a few faults, and more failures: {:?}", self.said);
    }

    fn prepare(&mut self, write: bool) -> u64 {
        let mut keep = Kept(self.next, Box::new([9; 16]), self.tokens.token());
        self.next += 1;
        let op = if write {
            Op::Write { addr: keep.1.as_ptr(), len: 16, fixed: None }
        } else {
            Op::Read { addr: keep.1.as_mut_ptr(), len: 16, fixed: None }
        };
        let offset = if write { 64 } else { 0 };
        // SAFETY: the box keeps its address (I2).
        let prepared = unsafe { self.queue.prepare(self.file, op, offset, 16, keep) };
        prepared.expect("there is room")
    }

    fn commit_all(&mut self) {
        for _ in 0..20 {
            if self.queue.counts().expect("this process")[0] == 0 {
                return;
            }
            // What passes is told as well: then all stays prepared, and the next commit goes on.
            let short = |error: &QueueError| matches!(error, QueueError::Ring(e) if e.passes());
            self.insist(|bench| match bench.queue.commit() {
                Err(error) if short(&error) => Ok(0),
                done => done,
            });
        }
        panic!("a commit takes nothing for ever");
    }

    fn note(&mut self, done: Vec<Done<Kept>>) {
        for Done { result, keep: Kept(number, memory, _), .. } in done {
            if result == 16 && number % EACH != 3 {
                assert_eq!(*memory, [7; 16], "request {number}");
            }
            assert!(self.ended.insert(number, result).is_none(), "{number} came twice");
        }
    }

    /// Wait until so many have been handed out in all, or until nothing more comes.
    fn wait_for(&mut self, count: usize) {
        for _ in 0..300 {
            if self.ended.len() >= count {
                return;
            }
            let min = count - self.ended.len();
            let mut done = Vec::new();
            let look = self.queue.collect(min, 16, false, &mut done).expect("open");
            self.note(done);
            if !look.enough && !look.woken {
                if let Err(error) = self.queue.sleep(min, Some(NAP_NS)) {
                    note(&mut self.said, &error);
                }
            }
        }
    }

    fn close(&mut self) {
        self.queue.begin_close();
        let mut naps = Naps::default();
        let mut steps = 0;
        while !self.queue.close_step(NAP_NS, &mut naps) {
            steps += 1;
            if steps > 20 {
                self.queue.give_up();
                self.said.kept = 1;
                break;
            }
        }
        let mut done = Vec::new();
        while self.queue.collect(0, 16, true, &mut done).is_ok() {
            self.note(std::mem::take(&mut done));
        }
    }
}

pub fn queue(sim: &SimKernel, tokens: &Tokens, variant: u32) -> Said {
    let file = sim.file("data", &[7; 64]).expect("a file");
    let options = Options { depth: EACH as u32, files: 2, way: ways(variant) };
    let queue = match Queue::new(sim.clone(), options, &[]) {
        Ok(queue) => queue,
        Err(error) => {
            let mut said = Said::default();
            note(&mut said, &error);
            sim.close_file(file).expect("open");
            return said;
        }
    };
    let (next, ended) = (0, BTreeMap::new());
    let mut bench = Bench { queue, tokens, file, next, ended, said: Said::default() };
    bench.insist(|bench| bench.queue.register(bench.file));
    for round in 1..=ROUNDS {
        let handles: Vec<u64> = (0..EACH).map(|n| bench.prepare(n == 3)).collect();
        bench.commit_all();
        bench.insist(|bench| bench.queue.cancel(handles[1]));
        bench.queue.wake().expect("open");
        bench.wait_for((round * EACH) as usize);
        if bench.ended.len() < (round * EACH) as usize {
            // A completion was lost: nobody can know when its memory is free.
            bench.said.kept = 1;
            break;
        }
    }
    let whole = bench.said.kept == 0;
    if whole {
        bench.prepare(false);
        bench.commit_all();
        bench.prepare(false);
    }
    let lost = std::mem::take(&mut bench.said.kept);
    bench.close();
    sim.close_file(bench.file).expect("open");
    let Bench { ended, mut said, next, queue, .. } = bench;
    drop(queue);
    let all: Vec<u64> = (0..next).collect();
    let there: Vec<u64> = ended.keys().copied().collect();
    assert!(said.kept > 0 || there == all, "{there:?} of {next}; lost: {lost}");
    for (number, result) in ended {
        let cancelled = result == -Errno::ECANCELED.0;
        let may_be_cancelled = number % EACH == 1 || number >= ROUNDS * EACH;
        if result != 16 && !(cancelled && may_be_cancelled) {
            // Short: what is told is what came.
            if result < 0 {
                said.errnos.push(Errno(-result));
            }
        }
    }
    said
}

/// A call of `select`, as the Python class makes it.
fn select(
    set: &mut PollSet<SimKernel>,
    sim: &SimKernel,
    timeout_ns: u64,
) -> Result<Vec<(i32, u8)>, RingError> {
    let Begin::Ours(turn) = set.begin()? else { panic!("there is one thread") };
    let deadline = sim.now_ns() + timeout_ns;
    let mut may_wait = timeout_ns > 0;
    for _ in 0..1000 {
        assert!(set.is_turn(turn));
        match set.prepare(may_wait)? {
            Next::Done => {
                let mut ready = set.take_ready();
                ready.sort_unstable();
                return Ok(ready);
            }
            Next::Wait(plan) => {
                let left = deadline.saturating_sub(sim.now_ns());
                let outcome = plan.run(sim, Some(left), 0);
                set.resume(outcome)?;
            }
            Next::Nap => {}
        }
        may_wait = sim.now_ns() < deadline;
    }
    panic!("the call does not end");
}

/// A call may fail; the next must tell the truth.
fn insist(
    set: &mut PollSet<SimKernel>,
    sim: &SimKernel,
    timeout_ns: u64,
    expected: &[(i32, u8)],
    said: &mut Said,
) -> bool {
    for _ in 0..4 {
        match select(set, sim, timeout_ns) {
            Ok(ready) if ready == expected => return true,
            Ok(ready) => {
                // Where a completion was lost, the next call finds that out, and what it said.
                assert!(ready.iter().all(|each| expected.contains(each)), "{ready:?}");
                said.late_news += 1;
            }
            Err(error) => {
                said.note(&error);
                if matches!(error, RingError::Unfit(..)) {
                    // Poll requests are not for that file: the class goes over to epoll.
                    return false;
                }
            }
        }
    }
    panic!("a few faults, and more failures: {said:?}");
}

/// Calls of `select` while this and that becomes ready. False: the set is of no more use.
fn turns(
    set: &mut PollSet<SimKernel>,
    sim: &SimKernel,
    pipes: &[(i32, i32)],
    watched: &[(i32, u8)],
    said: &mut Said,
) -> bool {
    let begun = insist(set, sim, 0, &[], said) && insist(set, sim, 10_000, &[], said);
    for &(reader, _) in &pipes[..3] {
        sim.feed(reader, b"x").expect("open");
    }
    if !begun || ![0, 1_000_000, 0].iter().all(|ns| insist(set, sim, *ns, &watched[..3], said)) {
        return false;
    }
    sim.drain(pipes[0].0).expect("open");
    if !insist(set, sim, 0, &watched[1..3], said) {
        return false;
    }
    for &(reader, _) in &pipes[1..3] {
        sim.drain(reader).expect("open");
    }
    sim.feed_after(5_000, pipes[4].0, b"y").expect("open");
    if !insist(set, sim, 1_000_000, &watched[4..], said) {
        return false;
    }
    if let Err(error) = set.remove(pipes[4].0) {
        said.note(&error);
    }
    insist(set, sim, 0, &[], said)
}

pub fn selector(sim: &SimKernel, _tokens: &Tokens, variant: u32) -> Said {
    let mut said = Said::default();
    let mut set = match PollSet::new(sim.clone(), if variant == 0 { 1 } else { 8 }) {
        Ok(set) => set,
        Err(error) => {
            said.note(&error);
            return said;
        }
    };
    let pipes: Vec<_> = (0..5).map(|_| sim.pipe().expect("a pipe")).collect();
    let mut watched = Vec::new();
    for &(reader, _) in &pipes {
        match (0..3).find_map(|_| set.add(reader, READ).map_err(|e| said.errnos.push(e)).ok()) {
            Some(()) => watched.push((reader, READ)),
            None => panic!("{said:?}"),
        }
    }
    turns(&mut set, sim, &pipes, &watched, &mut said);
    drop(set);
    for (reader, writer) in pipes {
        sim.close_file(reader).expect("open");
        sim.close_file(writer).expect("open");
    }
    // Polls that were in flight end some time after the ring.
    sim.advance(10_000_000);
    said
}
