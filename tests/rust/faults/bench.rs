//! A ring on a simulated kernel, with a record of every request: what it was, that its memory is
//! what it should be when it comes back, and that it comes back once.

use std::collections::{BTreeMap, HashSet};

use uring_rs::ring::error::{Call, RingError};
use uring_rs::ring::params::Config;
use uring_rs::ring::sim::{Action, Call as SimCall, Fault, FaultPlan, Options, SimKernel};
use uring_rs::ring::slots::{Slots, State, Zeroed};
use uring_rs::ring::wait::{EnterPlan, Entered};
use uring_rs::ring::{Event, Phase, Ring};
use uring_rs::sys::abi::{__kernel_timespec, io_uring_sqe};
use uring_rs::sys::consts::*;
use uring_rs::sys::Errno;

/// What the file that is read holds. Pipes only ever carry `b'p'`.
pub const DATA: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz012345";

/// What a buffer holds before the kernel has written to it.
const FRESH: u8 = b'.';

pub const BUFFER: usize = 8;

/// A millisecond and a second in nanoseconds, all of them virtual.
pub const MS: u64 = 1_000_000;
pub const SECOND: u64 = 1_000 * MS;

/// What a request keeps in its slot.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Payload {
    pub buffer: [u8; BUFFER],
    time: __kernel_timespec,
}

// SAFETY: integers; all zeroes is an empty payload (I1).
unsafe impl Zeroed for Payload {}

/// What to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Nop,
    /// Read the data file at an offset.
    Read(u64),
    Write,
    /// Read the pipe, which may have to wait.
    Pipe,
    Poll,
    /// A poll that goes on.
    Polls,
    Timeout(u64),
    /// So many timeouts, one after the other.
    Timeouts(u64, u64),
    /// Cancel the request with this key.
    Cancel(u64),
}

/// A ring with the files its requests use.
pub struct Bench {
    pub sim: SimKernel,
    pub ring: Ring<SimKernel, Payload>,
    pub data: i32,
    pub sink: i32,
    pub pipe: (i32, i32),
    /// Requests that have not come back.
    pub owed: BTreeMap<u64, Op>,
    /// Results by key, of those that came back by completion.
    pub results: BTreeMap<u64, i32>,
    /// Those the kernel was never to see.
    pub discarded: HashSet<u64>,
    /// Keys that came back by completion while the ring was closed.
    pub ended: HashSet<u64>,
    /// Completions that were not terminal.
    pub more: u64,
    /// Does the kernel tell the truth?
    pub honest: bool,
    /// Go on after errors of io_uring_enter that are not known to pass, and keep them here.
    pub patient: bool,
    pub errnos: Vec<Errno>,
    expected_strays: u64,
}

impl Bench {
    pub fn new(options: Options, config: &Config) -> Bench {
        let sim = SimKernel::new(options);
        let ring = Ring::new(sim.clone(), config);
        Bench::with(sim, ring.unwrap_or_else(|error| panic!("{error}")))
    }

    pub fn with(sim: SimKernel, mut ring: Ring<SimKernel, Payload>) -> Bench {
        ring.enable().expect("the first thread may enable the ring");
        let data = sim.file("/data", DATA).expect("a file");
        let sink = sim.file("/sink", b"").expect("a file");
        let pipe = sim.pipe().expect("a pipe");
        Bench {
            sim,
            ring,
            data,
            sink,
            pipe,
            owed: BTreeMap::new(),
            results: BTreeMap::new(),
            discarded: HashSet::new(),
            ended: HashSet::new(),
            more: 0,
            honest: true,
            patient: false,
            errnos: Vec::new(),
            expected_strays: 0,
        }
    }

    /// From here on `count` completions come that nobody asked for.
    pub fn expect_strays(&mut self, count: u64) {
        self.honest = false;
        self.expected_strays = count;
    }

    fn fill(&self, op: Op, payload: *mut Payload) -> io_uring_sqe {
        // SAFETY: the slot is reserved, so ours (I1); addresses only, no references (I5).
        let (buffer, time) = unsafe {
            (&raw mut (*payload).buffer).write([FRESH; BUFFER]);
            ((&raw mut (*payload).buffer) as usize as u64, &raw mut (*payload).time)
        };
        let transfer = |opcode, fd, off| io_uring_sqe {
            opcode,
            fd,
            off,
            addr: buffer,
            len: BUFFER as u32,
            ..Default::default()
        };
        let poll = |len| io_uring_sqe {
            opcode: IORING_OP_POLL_ADD,
            fd: self.pipe.0,
            len,
            op_flags: 1,
            ..Default::default()
        };
        let timeout = |ns: u64, repeats, op_flags| {
            // SAFETY: as above (I1).
            unsafe { time.write(__kernel_timespec { tv_sec: 0, tv_nsec: ns as i64 }) };
            io_uring_sqe {
                opcode: IORING_OP_TIMEOUT,
                fd: -1,
                addr: time as usize as u64,
                len: 1,
                off: repeats,
                op_flags,
                ..Default::default()
            }
        };
        match op {
            Op::Nop => io_uring_sqe { opcode: IORING_OP_NOP, fd: -1, ..Default::default() },
            Op::Read(offset) => transfer(IORING_OP_READ, self.data, offset),
            Op::Write => transfer(IORING_OP_WRITE, self.sink, 0),
            Op::Pipe => transfer(IORING_OP_READ, self.pipe.0, u64::MAX),
            Op::Poll => poll(0),
            Op::Polls => poll(IORING_POLL_ADD_MULTI),
            Op::Timeout(ns) => timeout(ns, 0, 0),
            Op::Timeouts(ns, repeats) => timeout(ns, repeats, IORING_TIMEOUT_MULTISHOT),
            Op::Cancel(key) => io_uring_sqe {
                opcode: IORING_OP_ASYNC_CANCEL,
                fd: -1,
                addr: key,
                ..Default::default()
            },
        }
    }

    /// Stage one request, if there is room. Returns its key.
    pub fn stage(&mut self, op: Op, flags: u8) -> Result<u64, RingError> {
        let (index, key) = self.ring.reserve()?;
        let sqe = self.fill(op, self.ring.payload(index));
        match self.ring.stage(index, io_uring_sqe { flags, ..sqe }) {
            Ok(staged) => {
                assert_eq!(staged, key);
                assert!(!self.results.contains_key(&key) && !self.discarded.contains(&key));
                assert!(self.owed.insert(key, op).is_none(), "key {key:#x} given twice");
                Ok(key)
            }
            Err(error) => {
                self.ring.free(index);
                Err(error)
            }
        }
    }

    /// Stage one request, making room for it as often as need be.
    pub fn put(&mut self, op: Op, flags: u8) -> u64 {
        self.try_put(op, flags).unwrap_or_else(|| panic!("no room for {op:?}"))
    }

    /// None if there is no room to be had: everything in flight waits for something.
    pub fn try_put(&mut self, op: Op, flags: u8) -> Option<u64> {
        for _ in 0..100 {
            match self.stage(op, flags) {
                Ok(key) => return Some(key),
                Err(RingError::SqFull) => match self.ring.plan_room() {
                    Ok(plan) => _ = self.carry_out(plan),
                    Err(RingError::ChainTooLong { .. }) => _ = self.enter(0),
                    Err(error) => panic!("{error}"),
                },
                Err(RingError::InFlightFull { .. }) => _ = self.enter(1),
                Err(RingError::ChainTooLong { .. }) => _ = self.enter(0),
                Err(error) => panic!("{error}"),
            }
            self.reap();
        }
        None
    }

    /// Submit what is staged and wait for `min` completions, once.
    pub fn enter(&mut self, min: u32) -> Option<Entered> {
        let plan = match self.ring.plan_submit(min) {
            // The rest of a chain does not fit in yet.
            Err(RingError::SqFull) => self.ring.plan_room(),
            plan => plan,
        };
        self.carry_out(plan.unwrap_or_else(|error| panic!("{error}")))
    }

    /// Take back what is staged.
    pub fn discard(&mut self) {
        let mut back = Vec::new();
        self.ring.discard(|index| back.push(index));
        for index in back {
            let slots = self.ring.slots().expect("an open ring");
            let (key, payload) = (slots.key(index), slots.payload(index));
            assert!(self.owed.remove(&key).is_some(), "key {key:#x} taken back, nobody owes it");
            // SAFETY: reserved again, so the slot's memory is ours (I2).
            unsafe { payload.write_bytes(0, 1) };
            self.discarded.insert(key);
            self.ring.free(index);
        }
    }

    /// None if there is nothing to do, or if the kernel could not just now.
    pub fn carry_out(&mut self, plan: Option<EnterPlan>) -> Option<Entered> {
        match plan?.run(&self.sim, Some(MS / 20), 0) {
            Ok(entered) => Some(entered),
            Err(RingError::Sys(Call::Enter, Errno::EAGAIN | Errno::ENOMEM)) => None,
            Err(RingError::Sys(Call::Enter, errno)) if self.patient => {
                self.errnos.push(errno);
                None
            }
            Err(RingError::Refused(refusal)) if self.patient => {
                self.errnos.push(refusal.errno);
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Take what has completed.
    pub fn reap(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.ring.next_event() {
            assert_eq!(self.ring.slots().map(|slots| slots.key(event.index)), Some(event.key));
            let op = *self.owed.get(&event.key).expect("a key that nobody owes");
            if event.terminal {
                let payload = self.ring.payload(event.index);
                self.came_back(event.key, op, event.res, payload);
                self.ring.free(event.index);
            } else {
                self.more += 1;
            }
            events.push(event);
        }
        self.ring.reaped();
        events
    }

    fn came_back(&mut self, key: u64, op: Op, res: i32, payload: *mut Payload) {
        // SAFETY: its terminal completion was seen, so the slot's memory is ours (I2).
        let buffer = unsafe { (&raw const (*payload).buffer).read() };
        if self.honest {
            check(op, res, &buffer);
        }
        // SAFETY: as above; emptied before the slot is freed (I2).
        unsafe { payload.write_bytes(0, 1) };
        assert!(self.owed.remove(&key).is_some());
        assert!(self.results.insert(key, res).is_none(), "key {key:#x} came back twice");
    }

    /// Something of everything: chains, drains if so wanted, requests that wait, cancelled ones, more
    /// requests than fit in. At the end one is in flight and one staged.
    pub fn work(&mut self, drains: bool) {
        self.put(Op::Nop, 0);
        self.put(Op::Read(3), 0);
        self.enter(0);
        self.put(Op::Write, IOSQE_IO_LINK);
        self.put(Op::Read(20), 0);
        self.put(Op::Read(9), IOSQE_ASYNC);
        self.enter(1);
        self.reap();
        self.put(Op::Pipe, 0);
        self.put(Op::Timeout(20_000), 0);
        self.put(Op::Poll, 0);
        self.enter(0);
        self.sim.feed_after(10_000, self.pipe.0, b"ppp").expect("a pipe");
        self.enter(2);
        let target = self.put(Op::Pipe, 0);
        self.enter(0);
        self.put(Op::Cancel(target), 0);
        self.put(Op::Nop, IOSQE_IO_HARDLINK);
        self.put(Op::Read(1), IOSQE_IO_HARDLINK);
        self.put(Op::Nop, 0);
        if drains {
            self.put(Op::Nop, IOSQE_IO_DRAIN);
        }
        self.put(Op::Nop, IOSQE_CQE_SKIP_SUCCESS);
        for offset in 0..10 {
            self.put(Op::Read(offset), 0);
        }
        if self.patient {
            // What a fault keeps back may come later, or fill the queue.
            self.try_settle();
            self.try_put(Op::Pipe, 0);
            self.enter(0);
            self.try_put(Op::Pipe, 0);
        } else {
            self.settle();
            self.put(Op::Pipe, 0);
            self.enter(0);
            self.put(Op::Pipe, 0);
        }
    }

    /// Put something of everything in flight that may still be there when the ring is closed.
    pub fn put_in_flight(&mut self) -> usize {
        self.put(Op::Pipe, 0);
        self.put(Op::Polls, 0);
        self.put(Op::Timeout(SECOND - 1), 0);
        self.put(Op::Read(2), IOSQE_ASYNC);
        self.enter(0);
        // A chain that waits, with something to come after it.
        self.put(Op::Pipe, IOSQE_IO_LINK);
        self.put(Op::Write, 0);
        self.enter(0);
        self.put(Op::Poll, 0);
        self.put(Op::Nop, IOSQE_CQE_SKIP_SUCCESS);
        self.owed.len()
    }

    /// Enter and reap until every request has come back.
    pub fn settle(&mut self) {
        assert!(self.try_settle(), "{:?} never came back", self.owed);
    }

    /// False if something never comes back.
    pub fn try_settle(&mut self) -> bool {
        for _ in 0..500 {
            self.reap();
            if self.owed.is_empty() {
                return true;
            }
            self.enter(1);
        }
        false
    }

    /// Close within so many virtual nanoseconds. True if nothing was left.
    pub fn close(&mut self, patience_ns: u64) -> bool {
        let Bench { ring, owed, ended, discarded, .. } = self;
        ring.close_within(patience_ns, |slots: &Slots<Payload>, index| {
            let key = slots.key(index);
            assert!(owed.remove(&key).is_some(), "key {key:#x} given back, and nobody owes it");
            let payload = slots.payload(index);
            if slots.state(index) == State::Reserved {
                // SAFETY: reserved again, so the slot's memory is ours (I2).
                let buffer = unsafe { (&raw const (*payload).buffer).read() };
                assert_eq!(buffer, [FRESH; BUFFER], "the kernel saw what was taken back");
                discarded.insert(key);
            } else {
                ended.insert(key);
            }
            // SAFETY: ended, or never published (I2).
            unsafe { payload.write_bytes(0, 1) };
        })
    }

    /// Close, and have nothing left of anything.
    pub fn end(&mut self) {
        assert!(self.close(SECOND), "{:?} left", self.owed);
        assert!(self.owed.is_empty(), "{:?} never came back", self.owed);
        assert_eq!((self.ring.phase(), self.ring.fd(), self.ring.live()), (Phase::Closed, -1, 0));
        assert_eq!((self.sim.live_maps(), self.open_rings()), (0, 0));
        self.check_record();
    }

    /// Descriptors that are none of the test's own files.
    pub fn open_rings(&self) -> usize {
        let ours = [self.data, self.sink, self.pipe.0, self.pipe.1];
        self.sim.open_fds().iter().filter(|fd| !ours.contains(fd)).count()
    }

    /// Nothing was done wrong, and what the kernel took is what came back by completion.
    pub fn check_record(&self) {
        let mut violations = self.sim.violations();
        if !self.honest {
            // One of them was said to have ended twice, so another was not waited for.
            violations.retain(|each| !each.ends_with("cancellations of its own in flight"));
        }
        assert_eq!(violations, Vec::<String>::new());
        assert_eq!(self.ring.strays(), self.expected_strays);
        self.check_taken();
    }

    /// What the kernel took is what came back by completion.
    pub fn check_taken(&self) {
        let mut taken = HashSet::new();
        for entry in self.sim.submitted().iter().filter(|entry| entry.user_data & 0xff == 0) {
            assert!(taken.insert(entry.user_data), "{:#x} ran twice", entry.user_data);
        }
        let back: HashSet<u64> =
            self.results.keys().chain(&self.ended).chain(self.owed.keys()).copied().collect();
        assert_eq!(taken, back, "what was taken and what came back");
        assert!(self.discarded.is_disjoint(&taken), "what was taken back ran");
    }
}

/// Kinds of rings: deferred work, an index array, old and plain, shared, polled.
pub fn kinds() -> Vec<(&'static str, Options, Config)> {
    let small = Config::new(4);
    let shared = Config { shared: true, ..small.clone() };
    let polled = Config { sqpoll_idle_ms: Some(1), ..small.clone() };
    let cold = |options| Options { cold_percent: 50, ..options };
    vec![
        ("deferred", cold(Options::new(7)), small.clone()),
        ("indexed", cold(Options::linux(6, 1, 7)), small.clone()),
        ("plain", cold(Options::linux(5, 11, 7)), small),
        ("shared", cold(Options::new(7)), shared),
        ("polled", cold(Options::new(7)), polled),
    ]
}

/// Let the next calls of one kind fail, beginning with number `nth` of them.
pub fn faults(call: SimCall, nth: u64, actions: &[Action]) -> FaultPlan {
    let calls = (nth..).zip(actions).map(|(nth, action)| Fault { call, nth, action: *action });
    FaultPlan { calls: calls.collect(), requests: Vec::new() }
}

/// Is the buffer what the result says?
fn check(op: Op, res: i32, buffer: &[u8; BUFFER]) {
    let count = usize::try_from(res).unwrap_or(0);
    match op {
        Op::Read(offset) => {
            let data = &DATA[offset as usize..];
            assert_eq!(&buffer[..count], &data[..count], "{op:?} ended with {res}");
        }
        Op::Pipe => assert_eq!(buffer[..count], vec![b'p'; count], "{op:?} ended with {res}"),
        _ => return assert_eq!(buffer, &[FRESH; BUFFER], "{op:?} ended with {res}"),
    }
    assert!(buffer[count..].iter().all(|byte| *byte == FRESH), "{op:?}: {res}, {buffer:?}");
}
