//! The queue: requests prepared, handed over, cancelled and handed out, by a ring or by threads.

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::Arbitrary;

use uring_rs::bulk::queue::op::Op;
use uring_rs::bulk::queue::{Done, Options, Queue};
use uring_rs::ring::sim::SimKernel;
use uring_rs::ring::teardown::Naps;
use uring_rs::sys::os::iovec;
use uring_rs::sys::Errno;

use super::{World, NAP_NS};

const DATA: [u8; 64] = [7; 64];

/// What a request keeps: its number and its memory.
#[derive(Debug)]
struct Kept {
    number: u64,
    memory: Box<[u8; 16]>,
    _parts: Box<[iovec; 2]>,
}

// SAFETY: the vectors point into the same memory.
unsafe impl Send for Kept {}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Step {
    Read(u8, bool),
    Write(u8),
    Sync,
    Discard(u8),
    Commit,
    TryCommit,
    Cancel(u8),
    CancelAll,
    Collect(u8, u8, bool),
    GiveBack(u8),
    Sleep(u8),
    Wake,
    Deregister,
    Register,
    Look,
}

#[derive(Arbitrary, Debug)]
pub struct Script {
    steps: Vec<Step>,
    /// Given up instead of closed.
    files: u8,
}

struct Bench {
    queue: Queue<SimKernel, Kept>,
    file: i32,
    next: u64,
    /// Those that were prepared, by handle.
    owed: BTreeMap<u64, u64>,
    reads: BTreeSet<u64>,
    honest: bool,
}

impl Script {
    pub fn run(self, world: &World) {
        let sim = world.kernel();
        let file = sim.file("data", &DATA).expect("a file");
        world.plan(&sim, false);
        let options = Options {
            depth: world.depth(),
            files: u32::from(self.files % 3) + 1,
            way: world.way(),
        };
        let Ok(queue) = Queue::new(sim.clone(), options, &[]) else {
            assert!(!world.flawless());
            sim.close_file(file).expect("open");
            return super::left_clean(&sim, &[]);
        };
        let mut bench = Bench {
            queue,
            file,
            next: 0,
            owed: BTreeMap::new(),
            reads: BTreeSet::new(),
            honest: world.honest(),
        };
        let _ = bench.queue.register(file);
        for step in self.steps.into_iter().take(200) {
            bench.step(step);
        }
        bench.close(&sim);
    }
}

impl Bench {
    fn prepare(&mut self, op: impl FnOnce(*mut u8, *const iovec) -> Op, offset: u64) {
        let mut memory = Box::new([b'.'; 16]);
        let base = memory.as_mut_ptr();
        let part = |at: usize| iovec { iov_base: base.wrapping_add(at).cast(), iov_len: 8 };
        let parts = Box::new([part(0), part(8)]);
        let op = op(base, parts.as_ptr());
        let reads = matches!(op, Op::Read { .. } | Op::Readv { .. });
        let kept = Kept { number: self.next, memory, _parts: parts };
        // SAFETY: both boxes keep their addresses (I2).
        match unsafe { self.queue.prepare(self.file, op, offset, 16, kept) } {
            Ok(handle) => {
                assert_ne!(handle, 0);
                assert!(self.owed.insert(handle, self.next).is_none(), "a handle given twice");
                if reads {
                    self.reads.insert(self.next);
                }
            }
            Err((_, kept)) => assert_eq!(kept.number, self.next, "what it was to keep comes back"),
        }
        self.next += 1;
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Read(offset, several) => self.prepare(
                |addr, parts| match several {
                    false => Op::Read { addr, len: 16, fixed: None },
                    true => Op::Readv { parts, count: 2 },
                },
                (offset % 40).into(),
            ),
            Step::Write(offset) => self.prepare(
                |addr, _| Op::Write { addr, len: 16, fixed: None },
                u64::from(offset) + 100,
            ),
            Step::Sync => self.prepare(|_, _| Op::Sync { data_only: true }, 0),
            Step::Discard(len) => self.prepare(|_, _| Op::Discard { len: len.into() }, 1000),
            Step::Commit => _ = self.queue.commit(),
            Step::TryCommit => _ = self.queue.try_commit(),
            Step::Cancel(which) => {
                let count = self.owed.len().max(1);
                let handle = self.owed.keys().nth(usize::from(which) % count).copied();
                let _ = self.queue.cancel(handle.unwrap_or(which.into()));
            }
            Step::CancelAll => _ = self.queue.cancel_all(),
            Step::Collect(min, max, last) => {
                let done = self.collect(usize::from(min % 4), usize::from(max % 20), last);
                self.note(done);
            }
            Step::GiveBack(max) => {
                let done = self.collect(0, usize::from(max % 4) + 1, true);
                self.queue.give_back(done);
            }
            Step::Sleep(min) => _ = self.queue.sleep((min % 4).into(), Some(NAP_NS)),
            Step::Wake => _ = self.queue.wake(),
            Step::Deregister => _ = self.queue.deregister(self.file),
            Step::Register => _ = self.queue.register(self.file),
            Step::Look => {
                let counts = self.queue.counts().expect("this process");
                assert_eq!(counts.iter().sum::<u32>() as usize, self.owed.len());
                let mut seen = 0;
                self.queue.try_keeps(|_| seen += 1);
                assert_eq!(seen, self.owed.len());
            }
        }
    }

    fn collect(&self, min: usize, max: usize, last: bool) -> Vec<Done<Kept>> {
        let mut done = Vec::new();
        let look = self.queue.collect(min, max, last, &mut done).expect("it is open");
        assert!(done.len() <= max);
        assert!(look.enough || look.woken || done.is_empty());
        done
    }

    fn note(&mut self, done: Vec<Done<Kept>>) {
        for Done { handle, result, keep } in done {
            assert_eq!(self.owed.remove(&handle), Some(keep.number), "it came twice");
            let read = self.reads.contains(&keep.number);
            if self.honest && read && result > 0 {
                let got = result as usize;
                assert!(got <= 16 && keep.memory[..got] == DATA[..got]);
            }
            if read && result < 0 && result != -Errno::ECANCELED.0 && self.honest {
                assert!(keep.memory.iter().all(|byte| [b'.', 7].contains(byte)));
            }
        }
    }

    fn close(&mut self, sim: &SimKernel) {
        self.queue.begin_close();
        let mut naps = Naps::default();
        super::closes(|| self.queue.close_step(NAP_NS, &mut naps));
        let mut done = Vec::new();
        while self.queue.collect(0, 16, true, &mut done).is_ok() {
            self.note(std::mem::take(&mut done));
        }
        assert!(self.owed.is_empty(), "{:?} never came", self.owed);
        assert!(self.queue.commit().is_err());
        sim.close_file(self.file).expect("still open");
        super::left_clean(sim, &[]);
    }
}
