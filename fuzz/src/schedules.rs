//! Schedules: requests staged, submitted, waited for, cancelled, chained, taken back, in batches and
//! alone, on a simulated kernel that fails, is late, lies and repeats itself, up to the end of the
//! ring at any moment. Whatever happens, each request comes back once, and nothing is left.

use std::collections::BTreeMap;
use std::ptr::NonNull;

use arbitrary::{Arbitrary, Unstructured};

use uring_rs::ops::batch::{Column, Place, Rows, What};
use uring_rs::ops::cancel;
use uring_rs::ring::batches::Sink;
use uring_rs::ring::error::RingError;
use uring_rs::ring::params::Config;
use uring_rs::ring::sim::{Action, Call, FaultPlan, Options, RequestAction, RequestFault};
use uring_rs::ring::slots::Slots;
use uring_rs::sys::consts::*;
use uring_rs::sys::Errno;

use super::bench::{faults, Bench, Op, DATA, SECOND};

/// What the calls of a ring may come to.
const ERRNOS: [Errno; 8] = [
    Errno::EAGAIN,
    Errno::EBUSY,
    Errno::EINTR,
    Errno::ENOMEM,
    Errno::EIO,
    Errno::EBADF,
    Errno::EINVAL,
    Errno::EPERM,
];

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Ask {
    Nop,
    Read(u8),
    Write,
    Pipe,
    Poll,
    Polls,
    Timeout(u32),
    Timeouts(u32, u8),
}

impl Ask {
    fn op(self) -> Op {
        match self {
            Ask::Nop => Op::Nop,
            Ask::Read(offset) => Op::Read(u64::from(offset) % (DATA.len() as u64 - 8)),
            Ask::Write => Op::Write,
            Ask::Pipe => Op::Pipe,
            Ask::Poll => Op::Poll,
            Ask::Polls => Op::Polls,
            Ask::Timeout(ns) => Op::Timeout(u64::from(ns) % 1_000_000),
            Ask::Timeouts(ns, times) => {
                Op::Timeouts(u64::from(ns) % 100_000 + 1, u64::from(times % 20) + 1)
            }
        }
    }
}

#[derive(Arbitrary, Clone, Debug)]
enum Fate {
    Result(u8),
    Short(u8),
    Late(u32),
    Lie(i32),
    Twice,
    MoreAfterEnd,
    Stranger(u64),
    Flags(u32),
}

#[derive(Arbitrary, Clone, Debug)]
enum Step {
    Put(Ask, u8),
    Cancel(u8),
    CancelAll,
    Chain(Vec<Ask>, bool),
    Batch(u8, bool, u8),
    Enter(u8),
    Room,
    Reap,
    Feed(u8),
    FeedLater(u32),
    Advance(u32),
    Signal(u32),
    Discard,
    Publish,
    Internal(u8),
    PollThread(bool),
    Call(u8, u8),
    Short(u8, u8),
    Interrupt(u8, bool),
    Register(u8, u8),
    Request(u8, Fate),
}

#[derive(Debug)]
struct Input {
    kind: u8,
    seed: u16,
    worker_ns: u32,
    cold: u8,
    capacity: u8,
    end: u8,
    steps: Vec<Step>,
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Input {
            kind: u.arbitrary()?,
            seed: u.arbitrary()?,
            worker_ns: u.arbitrary()?,
            cold: u.arbitrary()?,
            capacity: u.arbitrary()?,
            end: u.arbitrary()?,
            steps: u.arbitrary_iter()?.take(200).collect::<Result<_, _>>()?,
        })
    }
}

/// A batch and its memory: the rows' and the results'.
struct Batch {
    results: Box<[i32]>,
    memory: Box<[[u8; 8]]>,
    staged: u32,
}

struct Run {
    bench: Bench,
    batches: BTreeMap<u16, Batch>,
    /// Without synchronous cancellation, what waits behind a drain cannot be ended at all.
    drains: bool,
    /// Completions that nobody asked for: as many at most.
    strays: u64,
}

/// Rings of each kind: deferred work, an index array, old and plain, shared, polled.
fn kind(number: u8, small: &Config) -> (Options, Config) {
    let shared = Config { shared: true, ..small.clone() };
    let polled = Config { sqpoll_idle_ms: Some(1), ..small.clone() };
    match number % 6 {
        0 => (Options::new(7), small.clone()),
        1 => (Options::linux(6, 1, 7), small.clone()),
        2 => (Options::linux(5, 11, 7), small.clone()),
        3 => (Options::new(7), shared),
        4 => (Options::new(7), polled),
        _ => (Options::linux(5, 19, 7), Config { shared: true, ..polled }),
    }
}

pub fn run(data: &[u8]) {
    let Some(input) = super::parse::<Input>(data) else { return };
    let small = Config::new(u32::from(input.kind / 6 % 8) + 1);
    let (options, config) = kind(input.kind, &small);
    let drains = options.register_ops >> IORING_REGISTER_SYNC_CANCEL & 1 != 0;
    let options = Options {
        seed: input.seed.into(),
        worker_ns: u64::from(input.worker_ns) % 5_000_000 + 1,
        cold_percent: input.cold % 101,
        pipe_capacity: usize::from(input.capacity) + 1,
        ..options
    };
    let mut run =
        Run { bench: Bench::new(options, &config), batches: BTreeMap::new(), drains, strays: 0 };
    run.bench.patient = true;
    for step in input.steps {
        run.step(step);
        run.check();
    }
    run.end(input.end);
}

impl Run {
    fn step(&mut self, step: Step) {
        let bench = &mut self.bench;
        match step {
            Step::Put(what, flags) => {
                let known = IOSQE_ASYNC
                    | IOSQE_CQE_SKIP_SUCCESS
                    | if self.drains { IOSQE_IO_DRAIN } else { 0 };
                bench.try_put(what.op(), flags & known);
            }
            Step::Cancel(which) => {
                let count = bench.owed.len().max(1);
                let target = bench.owed.keys().nth(usize::from(which) % count).copied();
                target.and_then(|key| bench.try_put(Op::Cancel(key), 0));
            }
            Step::CancelAll => _ = bench.ring.cancel_in_flight(),
            Step::Chain(chain, hard) => {
                let link = if hard { IOSQE_IO_HARDLINK } else { IOSQE_IO_LINK };
                let last = chain.len().saturating_sub(1);
                for (at, what) in chain.into_iter().enumerate().take(6) {
                    bench.try_put(what.op(), if at < last { link } else { 0 });
                }
            }
            Step::Batch(count, reads, depth) => {
                self.batch(u32::from(count), reads, u32::from(depth));
            }
            Step::Enter(min) => _ = bench.enter((min % 4).into()),
            Step::Room => {
                if let Ok(plan) = bench.ring.plan_room() {
                    bench.carry_out(plan);
                }
            }
            Step::Reap => _ = bench.reap(),
            Step::Feed(count) => {
                let bytes = vec![b'p'; usize::from(count % 20)];
                // A full pipe is no matter.
                _ = bench.sim.feed(bench.pipe.0, &bytes);
            }
            Step::FeedLater(ns) => {
                _ = bench.sim.feed_after((ns % 500_000).into(), bench.pipe.0, b"ppp");
            }
            Step::Advance(ns) => bench.sim.advance((ns % 10_000_000).into()),
            Step::Signal(ns) => bench.sim.signal_after((ns % 100_000).into()),
            Step::Discard => bench.discard(),
            Step::Publish => _ = bench.ring.publish(),
            Step::Internal(which) => {
                let count = bench.owed.len().max(1);
                let target = bench.owed.keys().nth(usize::from(which) % count).copied();
                let cancel = cancel::by_key(target.unwrap_or(which.into()));
                // Whoever has cancellations of its own makes no chains that they could fall into.
                _ = bench.enter(0);
                if bench.ring.pending() == 0 {
                    _ = bench.ring.push_internal(cancel);
                }
            }
            Step::PollThread(idle) => {
                let fd = bench.ring.fd();
                _ = if idle { bench.sim.idle_sq_thread(fd) } else { bench.sim.run_sq_thread(fd) };
            }
            fault => self.plan(fault),
        }
    }

    fn plan(&mut self, step: Step) {
        let errno = |which: u8| ERRNOS[usize::from(which) % ERRNOS.len()];
        let plan = match step {
            Step::Call(nth, which) => {
                faults(Call::Enter, (nth % 8).into(), &[Action::Err(errno(which))])
            }
            Step::Short(nth, most) => {
                faults(Call::Enter, (nth % 8).into(), &[Action::ShortSubmit((most % 4).into())])
            }
            Step::Interrupt(nth, signal) => {
                let action = if signal { Action::Interrupt } else { Action::WakeEarly };
                faults(Call::Enter, (nth % 8).into(), &[action])
            }
            Step::Register(nth, which) => {
                faults(Call::Register, (nth % 4).into(), &[Action::Err(errno(which))])
            }
            Step::Request(nth, fate) => {
                let action = self.fate(fate);
                let requests = vec![RequestFault { nth: (nth % 8).into(), action }];
                FaultPlan { calls: Vec::new(), requests }
            }
            _ => return,
        };
        self.bench.sim.plan(&plan);
    }

    fn fate(&mut self, fate: Fate) -> RequestAction {
        match fate {
            Fate::Result(which) => {
                RequestAction::Result(-ERRNOS[usize::from(which) % ERRNOS.len()].0)
            }
            // What writes nothing is given a result instead, which the bench does not know.
            Fate::Short(bytes) => RequestAction::Result((bytes % 9).into()),
            Fate::Late(ns) => RequestAction::Late((ns % 2_000_000).into()),
            Fate::Lie(res) => {
                self.bench.honest = false;
                RequestAction::Lie(res)
            }
            Fate::Twice | Fate::MoreAfterEnd => {
                self.strays += 1;
                match fate {
                    Fate::Twice => RequestAction::Twice,
                    _ => RequestAction::MoreAfterEnd,
                }
            }
            Fate::Stranger(key) => {
                self.strays += 1;
                // Of a slot that was used far more often than any is here.
                RequestAction::Stranger((key | 1 << 63) & !0xff)
            }
            // All but those that say that more is to come.
            Fate::Flags(flags) => {
                RequestAction::Flags(flags & !(IORING_CQE_F_MORE | IORING_CQE_F_NOTIF))
            }
        }
    }

    fn batch(&mut self, count: u32, reads: bool, depth: u32) {
        let bench = &mut self.bench;
        let mut results = vec![i32::MIN; count as usize].into_boxed_slice();
        let memory = vec![[b'.'; 8]; count as usize].into_boxed_slice();
        let sink = Sink::Array(NonNull::new(results.as_mut_ptr()).expect("a box"));
        let Some(id) = bench.ring.batches().begin(count, sink) else { return };
        let rows = Rows {
            what: if reads { What::Read } else { What::Nop },
            fds: Column::Same(bench.data),
            lengths: Column::Same(8),
            offsets: Column::Same(3),
            place: Place::Pieces { base: memory.as_ptr() as u64, stride: 8 },
            ..Rows::nops(count, 0)
        };
        let mut staged = 0;
        for _ in 0..3 {
            let begun = bench.ring.stage_batch(id, staged..count, depth, rows.entries());
            staged = begun.expect("the ring is open");
            if staged == count {
                break;
            }
            if let Ok(plan) = bench.ring.plan_room() {
                bench.carry_out(plan);
            }
            bench.reap();
        }
        bench.ring.batches().sealed(id);
        assert!(self.batches.insert(id, Batch { results, memory, staged }).is_none());
    }

    /// Let go of the batches that have ended.
    fn ended(&mut self) {
        while let Some(id) = self.bench.ring.batches().next_ended() {
            let batch = self.batches.remove(&id).expect("a batch ends once");
            for (at, (result, memory)) in batch.results.iter().zip(&batch.memory).enumerate() {
                if at as u32 >= batch.staged || (self.bench.honest && *result == i32::MIN) {
                    assert_eq!(memory, b"........", "what never was or was taken back ran");
                } else if self.bench.honest && *result >= 0 && memory[0] != b'.' {
                    let got = *result as usize;
                    assert_eq!((&memory[..got], got <= 8), (&DATA[3..3 + got], true));
                }
            }
        }
    }

    fn check(&mut self) {
        self.ended();
        let bench = &mut self.bench;
        let batched = bench.ring.batches().in_flight() as usize;
        assert_eq!(bench.ring.live() as usize, bench.owed.len() + batched);
        assert_eq!(bench.ring.slots().map(Slots::reserved), Some(0));
        assert!(bench.ring.strays() <= self.strays);
        assert_eq!(bench.sim.violations(), Vec::<String>::new());
    }

    /// The end comes in one way or another; some take all there is with them.
    fn end(&mut self, how: u8) {
        if how % 4 == 0 {
            // Closed by hand, step by step, with looks at it in between.
            let mut back = Vec::new();
            self.bench.ring.begin_close(|index| back.push(index));
            for index in back {
                let key = self.bench.ring.slots().map(|slots| slots.key(index));
                let key = key.expect("the slots are there");
                assert!(self.bench.owed.remove(&key).is_some());
                self.bench.discarded.insert(key);
                // SAFETY: reserved again, so the slot's memory is ours (I2).
                unsafe { self.bench.ring.payload(index).write_bytes(0, 1) };
                self.bench.ring.free(index);
            }
            assert!(matches!(self.bench.ring.reserve(), Err(RingError::Closed)));
            self.bench.reap();
        }
        // Each fault that is left costs a try at most.
        let tries = 3 + self.bench.sim.faults_left();
        let whole = (0..tries).any(|_| self.bench.close(SECOND));
        assert!(whole, "{:?} never came back", self.bench.owed);
        let strays = self.bench.ring.strays();
        assert!(strays <= self.strays, "{strays} that nobody asked for");
        self.bench.expect_strays(strays);
        self.ended();
        assert!(self.batches.is_empty(), "a batch that never ended");
        self.bench.end();
    }
}
