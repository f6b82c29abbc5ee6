//! Chains of linked requests against a model: each reaches the kernel whole, in one call, in order
//! and with nothing of anybody else in its middle, unless its own thread submits in the middle of
//! it. On owned rings and on shared ones, where several threads stage chains at once.
#![cfg(not(loom))]

use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Arc;
use std::thread::JoinHandle;

use proptest::prelude::*;
use uring_rs::ring::access::RingCell;
use uring_rs::ring::error::RingError;
use uring_rs::ring::params::Config;
use uring_rs::ring::sim::{Action, Call, Fault, FaultPlan, Options, SimKernel};
use uring_rs::ring::slots::Zeroed;
use uring_rs::ring::wait::EnterPlan;
use uring_rs::ring::Ring;
use uring_rs::sys::abi::io_uring_sqe;
use uring_rs::sys::consts::*;

const SIZE: u32 = 4;

/// Requests without memory of their own.
struct Nothing;

// SAFETY: there are no bytes.
unsafe impl Zeroed for Nothing {}

type Cell = RingCell<Ring<SimKernel, Nothing>>;
type Job = Box<dyn FnOnce(&Cell) + Send>;

/// A thread that does to the ring what it is told.
struct Worker {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn new(cell: Arc<Cell>) -> Worker {
        let (jobs, todo): (Sender<Job>, Receiver<Job>) = channel();
        let thread = std::thread::spawn(move || todo.into_iter().for_each(|job| job(&cell)));
        Worker { jobs: Some(jobs), thread: Some(thread) }
    }

    /// Have it done, and wait for the answer.
    fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Ring<SimKernel, Nothing>) -> T + Send + 'static,
    ) -> T {
        let (answer, answered) = channel();
        let job: Job = Box::new(move |cell| {
            let mut ring = cell.hold().expect("this thread may").expect("nobody holds it");
            let result = job(&mut ring);
            // Let go before the next is told to take it.
            drop(ring);
            answer.send(result).expect("somebody waits");
        });
        self.jobs.as_ref().expect("not stopped").send(job).expect("the thread lives");
        answered.recv().expect("the thread did not panic")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.jobs.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|ended| ended.is_ok()));
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Stage an entry with these flags.
    Stage(usize, u8),
    Submit(usize),
    /// Submit, with the kernel taking at most so many.
    Short(usize, u32),
    /// Make room, as for a full queue.
    Room(usize),
    /// Submit all but an open chain.
    Whole(usize),
    Publish(usize),
    Discard(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let flags = prop_oneof![
        3 => Just(0),
        3 => Just(IOSQE_IO_LINK),
        1 => Just(IOSQE_IO_HARDLINK),
        1 => Just(IOSQE_IO_LINK | IOSQE_IO_HARDLINK),
    ];
    let thread = 0..3usize;
    prop_oneof![
        12 => (thread.clone(), flags).prop_map(|(t, flags)| Step::Stage(t, flags)),
        2 => thread.clone().prop_map(Step::Submit),
        1 => (thread.clone(), 0..SIZE).prop_map(|(t, n)| Step::Short(t, n)),
        2 => thread.clone().prop_map(Step::Room),
        1 => thread.clone().prop_map(Step::Whole),
        1 => thread.clone().prop_map(Step::Publish),
        1 => thread.prop_map(Step::Discard),
    ]
}

/// An entry as the kernel should see it.
type Entry = (u64, u8);

fn linked(entry: &Entry) -> bool {
    entry.1 & (IOSQE_IO_LINK | IOSQE_IO_HARDLINK) != 0
}

/// What should be in the queue and beside it.
struct Model {
    shared: bool,
    /// In the queue, in order.
    queue: Vec<Entry>,
    /// How many of these the kernel was shown.
    published: usize,
    /// Owned: where in the queue the open chain begins.
    open: Option<usize>,
    /// Shared: each thread's open chain.
    apart: [Vec<Entry>; 3],
}

impl Model {
    fn stage(&mut self, thread: usize, entry: Entry) -> Result<(), &'static str> {
        let room = SIZE as usize - self.queue.len();
        if !self.shared {
            if room == 0 {
                return Err("full");
            }
            let at = self.queue.len();
            self.open = linked(&entry).then(|| self.open.unwrap_or(at));
            self.queue.push(entry);
            return Ok(());
        }
        let chain = &mut self.apart[thread];
        if linked(&entry) {
            if chain.len() + 1 >= SIZE as usize {
                return Err("too long");
            }
            chain.push(entry);
        } else if room < chain.len() + 1 {
            return Err("full");
        } else {
            self.queue.append(chain);
            self.queue.push(entry);
        }
        Ok(())
    }

    /// The thread's open chain ends here.
    fn cut(&mut self, thread: usize) -> Result<(), &'static str> {
        let chain = &mut self.apart[thread];
        if SIZE as usize - self.queue.len() < chain.len() {
            return Err("full");
        }
        if let Some(last) = chain.last_mut() {
            last.1 &= !(IOSQE_IO_LINK | IOSQE_IO_HARDLINK);
        }
        self.queue.append(chain);
        self.open = None;
        self.published = self.queue.len();
        Ok(())
    }

    /// Show the kernel all but the open chain.
    fn show_whole(&mut self) -> usize {
        self.published = self.open.unwrap_or(self.queue.len());
        self.published
    }

    /// The kernel takes what it was shown, up to `count`.
    fn take(&mut self, count: usize) -> Vec<Entry> {
        let count = count.min(self.published);
        self.published -= count;
        self.open = self.open.map(|at| at - count);
        self.queue.drain(..count).collect()
    }

    fn discard(&mut self) -> Vec<Entry> {
        let mut gone: Vec<Entry> = self.queue.drain(self.published..).collect();
        gone.extend(self.apart.iter_mut().flat_map(std::mem::take));
        self.open = None;
        gone
    }
}

/// The ring, its threads, and what should be.
struct Chains {
    sim: SimKernel,
    workers: Vec<Worker>,
    cell: Arc<Cell>,
    model: Model,
    seen: usize,
}

impl Chains {
    fn new(shared: bool) -> Chains {
        let sim = SimKernel::new(Options::new(5));
        let config = Config { shared, cq_entries: Some(256), ..Config::new(SIZE) };
        let ring = Ring::new(sim.clone(), &config).unwrap_or_else(|error| panic!("{error}"));
        let cell = Arc::new(RingCell::new(ring, shared));
        let threads = if shared { 3 } else { 1 };
        let workers = (0..threads).map(|_| Worker::new(cell.clone())).collect();
        let model = Model {
            shared,
            queue: Vec::new(),
            published: 0,
            open: None,
            apart: Default::default(),
        };
        Chains { sim, workers, cell, model, seen: 0 }
    }

    fn run(&mut self, step: Step) {
        let threads = self.workers.len();
        match step {
            Step::Stage(thread, flags) => self.stage(thread % threads, flags),
            Step::Submit(thread) => self.submit(thread % threads, u32::MAX),
            Step::Short(thread, count) => self.submit(thread % threads, count),
            Step::Room(thread) => self.make_room(thread % threads, true),
            Step::Whole(thread) => self.make_room(thread % threads, false),
            Step::Publish(thread) => {
                let thread = thread % threads;
                let told = self.workers[thread].ask(|ring| name(ring.publish().map(|_| ())));
                assert_eq!(told, self.model.cut(thread));
            }
            Step::Discard(thread) => self.discard(thread % threads),
        }
        self.reap();
        let waiting: usize = self.model.apart.iter().map(Vec::len).sum();
        let pending = self.workers[0].ask(|ring| ring.pending());
        assert_eq!(pending as usize, self.model.queue.len() + waiting);
    }

    fn stage(&mut self, thread: usize, flags: u8) {
        let staged = self.workers[thread].ask(move |ring| {
            let (index, key) = ring.reserve().expect("slots to spare");
            let sqe = io_uring_sqe { opcode: IORING_OP_NOP, flags, ..Default::default() };
            let staged = name(ring.stage(index, sqe).map(|_| ()));
            if staged.is_err() {
                ring.free(index);
            }
            staged.map(|()| key).map_err(|why| (why, key))
        });
        let key = staged.unwrap_or_else(|(_, key)| key);
        let expected = self.model.stage(thread, (key, flags));
        assert_eq!(staged.map(|_| ()).map_err(|(why, _)| why), expected);
    }

    /// Submit; the kernel takes no more than `count` if it is asked for more.
    fn submit(&mut self, thread: usize, count: u32) {
        let planned = self.workers[thread].ask(|ring| ring.plan_submit(0).map_err(why));
        let expected = self.model.cut(thread);
        match planned {
            Ok(plan) => {
                assert_eq!(expected, Ok(()));
                self.carry_out(thread, plan, count);
            }
            Err(why) => assert_eq!(expected, Err(why)),
        }
    }

    fn make_room(&mut self, thread: usize, room: bool) {
        let planned = self.workers[thread].ask(move |ring| {
            let plan = if room { ring.plan_room() } else { ring.plan_whole_chains() };
            plan.map_err(why)
        });
        let shown = self.model.show_whole();
        let full = self.model.queue.len() == SIZE as usize;
        match planned {
            Ok(plan) => {
                assert!(!(room && shown == 0 && full), "no room can be made");
                self.carry_out(thread, plan, u32::MAX);
            }
            Err(why) => assert_eq!((why, room, shown, full), ("too long", true, 0, true)),
        }
    }

    fn carry_out(&mut self, thread: usize, plan: Option<EnterPlan>, count: u32) {
        let asked = plan.map_or(0, |plan| plan.to_submit);
        assert_eq!(asked as usize, self.model.published, "all that was shown is submitted");
        if let Some(plan) = plan {
            if count < asked {
                let action = Action::ShortSubmit(count);
                let fault = Fault { call: Call::Enter, nth: 0, action };
                self.sim.plan(&FaultPlan { calls: vec![fault], requests: Vec::new() });
            }
            self.workers[thread].ask(move |ring| {
                // Taking none at all is EAGAIN.
                let _ = plan.run(ring.kernel(), None, 0);
            });
        }
        let expected = self.model.take(count as usize);
        let submitted = self.sim.submitted();
        let taken: Vec<Entry> =
            submitted[self.seen..].iter().map(|entry| (entry.user_data, entry.flags)).collect();
        self.seen = submitted.len();
        assert_eq!(taken, expected, "what the call took");
    }

    fn discard(&mut self, thread: usize) {
        let mut back = self.workers[thread].ask(|ring| {
            let mut indices = Vec::new();
            ring.discard(|index| indices.push(index));
            let keys = indices.iter().map(|index| ring.slots().expect("open").key(*index));
            let keys: Vec<u64> = keys.collect();
            indices.iter().for_each(|index| ring.free(*index));
            keys
        });
        let mut expected: Vec<u64> = self.model.discard().iter().map(|entry| entry.0).collect();
        back.sort_unstable();
        expected.sort_unstable();
        assert_eq!(back, expected);
    }

    /// Take what has completed, so that slots do not run out.
    fn reap(&self) {
        self.workers[0].ask(|ring| {
            for _ in 0..100 {
                while let Some(event) = ring.next_event() {
                    ring.free(event.index);
                }
                ring.reaped();
                let Some(plan) = ring.plan_flush() else { return };
                plan.run(ring.kernel(), None, 0).expect("nothing fails but what is planned");
            }
            panic!("the kernel never gets done");
        });
    }

    /// Close; everything comes back.
    fn end(self) {
        self.workers[0].ask(|ring| assert!(ring.close_within(1_000_000_000, |_, _| ())));
        assert_eq!(self.sim.violations(), Vec::<String>::new());
        assert_eq!((self.sim.live_maps(), self.sim.open_fds()), (0, vec![]));
        drop(self.workers);
        assert!(Arc::into_inner(self.cell).is_some());
    }
}

fn why(error: RingError) -> &'static str {
    match error {
        RingError::SqFull => "full",
        RingError::ChainTooLong { max: SIZE } => "too long",
        error => panic!("{error}"),
    }
}

fn name(result: Result<(), RingError>) -> Result<(), &'static str> {
    result.map_err(why)
}

fn run(shared: bool, steps: Vec<Step>) {
    let mut chains = Chains::new(shared);
    steps.into_iter().for_each(|step| chains.run(step));
    chains.end();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn chains_of_one_thread_stay_whole(steps in prop::collection::vec(step(), 1..80)) {
        run(false, steps);
    }

    #[test]
    fn chains_of_many_threads_stay_whole(steps in prop::collection::vec(step(), 1..80)) {
        run(true, steps);
    }
}

/// A poll thread may make room between the moment the queue was found full and the moment room is
/// made: then the open chain is not too long, there is just nothing left to do.
#[test]
fn room_that_a_poll_thread_has_made_is_room() {
    let sim = SimKernel::new(Options::new(5));
    let config = Config { sqpoll_idle_ms: Some(1_000), ..Config::new(SIZE) };
    let mut ring: Ring<SimKernel, Nothing> =
        Ring::new(sim.clone(), &config).unwrap_or_else(|error| panic!("{error}"));
    let stage = |ring: &mut Ring<SimKernel, Nothing>, flags| {
        let (index, _) = ring.reserve().expect("a slot");
        let sqe = io_uring_sqe { opcode: IORING_OP_NOP, flags, ..Default::default() };
        let staged = name(ring.stage(index, sqe).map(|_| ()));
        if staged.is_err() {
            ring.free(index);
        }
        staged
    };
    assert_eq!(stage(&mut ring, 0), Ok(()));
    assert_eq!(ring.publish().ok(), Some(1));
    (1..SIZE).for_each(|_| assert_eq!(stage(&mut ring, IOSQE_IO_LINK), Ok(())));
    assert_eq!(stage(&mut ring, 0), Err("full"));
    assert_eq!(sim.run_sq_thread(ring.fd()), Ok(true));
    let plan = ring.plan_room().expect("there is room");
    plan.map(|plan| plan.run(&sim, None, 0));
    assert_eq!(stage(&mut ring, 0), Ok(()), "the chain is complete");
    // And now it is all there is.
    assert_eq!(stage(&mut ring, IOSQE_IO_LINK), Err("full"));
    let plan = ring.plan_submit(SIZE + 1).expect("open").expect("a wait");
    plan.run(&sim, None, 0).expect("the poll thread takes it");
    assert_eq!(sim.submitted().len() as u32, SIZE + 1);
    assert!(ring.close_within(1_000_000, |_, _| ()));
    assert_eq!(sim.violations(), Vec::<String>::new());
}
