//! Everything there is in a simulation: rings, requests, files, virtual time, and the record.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::faults::Pending;
use super::files::{FileId, Files, Queue};
use super::memory::{Region, RingMemory};
use super::options::Options;
use super::request::{ReqId, Request, State};
use super::rng::Rng;
use crate::ring::slots::Kind;
use crate::sys::abi::io_uring_cqe;
use crate::sys::consts::*;
use crate::sys::sync::thread::ThreadId;

/// Virtual time starts here: not 0, so that a deadline computed from nothing is in the past.
const EPOCH_NS: u64 = 1_000_000_000_000;

/// How many regions of closed rings are kept, poisoned, before their memory is given back.
const QUARANTINE: usize = 64;

/// How many violations are kept.
const VIOLATIONS_MAX: usize = 1_000;

/// What will happen at some virtual time.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A timeout expires.
    Expire(ReqId),
    /// A worker or the disk has got to it.
    Work(ReqId),
    /// A held-back completion is let go.
    Release(ReqId),
    /// A closed ring's request is cancelled by the kernel, some time after close(2).
    Reap(ReqId),
    /// Bytes arrive.
    Feed(FileId, Vec<u8>),
    /// A descriptor is closed by somebody.
    Close(i32),
    /// A signal arrives.
    Signal,
}

/// What the submitting task still has to do for a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Start a request: the next of a chain, or one that a drain held back.
    Start(ReqId),
    /// Its file became ready, or it was cancelled while it waited.
    Ready(ReqId),
    /// It has ended with the result it carries.
    End(ReqId),
    /// A timeout or link timeout has expired.
    Expired(ReqId),
    /// A completion sent by another ring.
    Message(u64, i32, u32),
}

/// One mapping handed out.
pub(super) struct Map {
    pub(super) addr: usize,
    pub(super) len: usize,
    pub(super) ring: usize,
}

/// The thread that polls a submission queue.
pub(super) struct SqThread {
    pub(super) asleep: bool,
    pub(super) idle_ns: u64,
    pub(super) worked_at: u64,
    pub(super) tail_seen: u32,
}

pub(super) struct Ring {
    pub(super) fd: i32,
    pub(super) flags: u32,
    pub(super) sq_entries: u32,
    pub(super) cq_entries: u32,
    pub(super) memory: RingMemory,
    pub(super) closed: bool,
    pub(super) disabled: bool,
    pub(super) issuer: Option<ThreadId>,
    pub(super) sq_head: u32,
    pub(super) cq_tail: u32,
    pub(super) overflow: VecDeque<io_uring_cqe>,
    pub(super) overflowed: bool,
    pub(super) lost: bool,
    pub(super) work: VecDeque<Work>,
    /// Ended requests whose completions are not posted yet.
    pub(super) ended: Vec<ReqId>,
    pub(super) chain_head: Option<ReqId>,
    pub(super) chain_last: Option<ReqId>,
    pub(super) deferred: VecDeque<ReqId>,
    pub(super) drain_active: bool,
    pub(super) drain_next: bool,
    pub(super) drain_refused: bool,
    /// Requests the kernel has and has not freed.
    pub(super) live: BTreeSet<ReqId>,
    /// Completions of timeouts: they do not count towards timeouts that count.
    pub(super) cq_timeouts: u32,
    pub(super) last_timeout_flush: u32,
    /// The eventfd to signal, and whether only for asynchronous completions.
    pub(super) eventfd: Option<(FileId, bool)>,
    pub(super) signal: bool,
    /// The registered files.
    pub(super) table: Vec<Option<FileId>>,
    pub(super) buffers: Vec<Option<(u64, u64)>>,
    pub(super) sq_thread: Option<SqThread>,
}

impl Ring {
    pub(super) fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Task work waits until the task enters the kernel: for this ring (DEFER_TASKRUN), or for
    /// anything at all (COOP_TASKRUN).
    pub(super) fn defers(&self) -> bool {
        !self.closed && self.has(IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN)
    }
}

/// A submission entry as the kernel took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The ring's descriptor.
    pub ring: i32,
    /// IORING_OP_*.
    pub op: u8,
    /// IOSQE_* flags.
    pub flags: u8,
    /// Its user_data.
    pub user_data: u64,
}

/// A completion as the kernel posted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completed {
    /// The ring's descriptor.
    pub ring: i32,
    /// The request's user_data.
    pub user_data: u64,
    /// The result.
    pub res: i32,
    /// IORING_CQE_F_* flags.
    pub flags: u32,
    /// The completion queue was full.
    pub overflowed: bool,
}

pub(super) struct World {
    pub(super) options: Options,
    pub(super) rng: Rng,
    pub(super) now: u64,
    pub(super) events: BTreeMap<(u64, u64), Event>,
    serial: u64,
    pub(super) rings: Vec<Ring>,
    pub(super) requests: BTreeMap<ReqId, Request>,
    pub(super) files: Files,
    pub(super) maps: Vec<Map>,
    retired: VecDeque<Region>,
    pub(super) registered: Vec<Option<usize>>,
    pub(super) faults: Pending,
    pub(super) cancel_round: u64,
    pub(super) signal: bool,
    /// The current call is submitting: completions are inline, not task work.
    pub(super) inline: bool,
    pub(super) stuck: u64,
    pub(super) stuck_in_a_row: u32,
    pub(super) submitted: Vec<Submitted>,
    pub(super) completed: Vec<Completed>,
    pub(super) violations: Vec<String>,
}

impl World {
    pub(super) fn new(options: Options) -> Self {
        World {
            rng: Rng::new(options.seed),
            now: EPOCH_NS,
            events: BTreeMap::new(),
            serial: 0,
            rings: Vec::new(),
            requests: BTreeMap::new(),
            files: Files::new(&options),
            maps: Vec::new(),
            retired: VecDeque::new(),
            registered: Vec::new(),
            faults: Pending::default(),
            cancel_round: 0,
            signal: false,
            inline: false,
            stuck: 0,
            stuck_in_a_row: 0,
            submitted: Vec::new(),
            completed: Vec::new(),
            violations: Vec::new(),
            options,
        }
    }

    pub(super) fn violation(&mut self, what: String) {
        if self.violations.len() < VIOLATIONS_MAX && self.violations.last() != Some(&what) {
            self.violations.push(what);
        }
    }

    /// A number that was never used before.
    pub(super) fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Have `event` happen `after_ns` from now.
    pub(super) fn schedule(&mut self, after_ns: u64, event: Event) -> (u64, u64) {
        let key = (self.now.saturating_add(after_ns), self.serial());
        self.events.insert(key, event);
        key
    }

    /// Leave something to the submitting task. A request that is queued here is out of reach.
    pub(super) fn queue_work(&mut self, ring: usize, work: Work) {
        let ring = &mut self.rings[ring];
        ring.work.push_back(work);
        if ring.defers() && ring.has(IORING_SETUP_TASKRUN_FLAG) {
            ring.memory.set_sq_flag(IORING_SQ_TASKRUN, true);
        }
    }

    /// End a request by task work.
    pub(super) fn queue_end(&mut self, id: ReqId, res: i32) {
        if let Some(request) = self.requests.get_mut(&id) {
            request.res = res;
            request.state = State::Waiting;
            let ring = request.ring;
            self.queue_work(ring, Work::End(id));
        }
    }

    /// Run everything that is due by now.
    pub(super) fn run_due(&mut self) {
        while let Some((&key, _)) = self.events.first_key_value() {
            if key.0 > self.now {
                return;
            }
            if let Some(event) = self.events.remove(&key) {
                self.happen(event);
                self.settle();
            }
        }
    }

    /// Let virtual time pass, with everything that happens in it, in order.
    pub(super) fn advance_to(&mut self, until: u64) {
        while let Some((&(at, _), _)) = self.events.first_key_value() {
            if at > until {
                break;
            }
            self.now = self.now.max(at);
            self.run_due();
        }
        self.now = self.now.max(until);
        for ring in 0..self.rings.len() {
            self.sq_thread_step(ring);
        }
        self.settle();
    }

    fn happen(&mut self, event: Event) {
        self.stuck_in_a_row = 0;
        match event {
            Event::Expire(id) => self.expire(id),
            Event::Work(id) => self.worker_runs(id),
            Event::Release(id) => self.release_held(id),
            Event::Reap(id) => self.reap(id),
            Event::Feed(file, bytes) => {
                // The file may be gone by now; then nobody sends to it either.
                let _ = self.files.feed(file, &bytes);
                self.files.release(file);
            }
            Event::Close(fd) => {
                if self.files.close(fd).is_err() {
                    self.violation(format!("planned close of {fd}, which is not open"));
                }
            }
            Event::Signal => self.signal = true,
        }
    }

    /// Wake who waits for what has changed, and do the work of all tasks that are interrupted for
    /// it; the others do theirs when they enter.
    pub(super) fn settle(&mut self) {
        self.settle_where(|ring| !ring.defers());
    }

    /// The same at the end of a system call of the task.
    pub(super) fn settle_call(&mut self) {
        self.settle_where(|ring| ring.closed || !ring.has(IORING_SETUP_DEFER_TASKRUN));
    }

    fn settle_where(&mut self, runs: impl Fn(&Ring) -> bool) {
        loop {
            self.wake_parked();
            self.bury_rings();
            let ready = (0..self.rings.len())
                .find(|&i| runs(&self.rings[i]) && !self.rings[i].work.is_empty());
            match ready {
                Some(ring) => self.run_work(ring),
                None => return,
            }
        }
    }

    fn wake_parked(&mut self) {
        for (queue, mask) in core::mem::take(&mut self.files.wakes) {
            let waiting: Vec<ReqId> = self
                .requests
                .iter()
                .filter(|(_, r)| self.is_woken(r, queue, mask))
                .map(|(id, _)| *id)
                .collect();
            for id in waiting {
                self.wake(id, mask);
            }
        }
    }

    fn is_woken(&self, request: &Request, queue: Queue, mask: u32) -> bool {
        let (State::Parked(events) | State::Blocked(events)) = request.state else {
            return false;
        };
        events & mask != 0 && request.file.and_then(|f| self.files.queue(f)) == Some(queue)
    }

    /// Note poll events for a parked request; one piece of task work stands for any number.
    pub(super) fn wake(&mut self, id: ReqId, mask: u32) {
        if let Some(request) = self.requests.get_mut(&id) {
            if matches!(request.state, State::Blocked(_)) {
                return self.wake_blocked(id);
            }
            let first = request.woken == 0 && !request.cancelled;
            request.woken |= mask;
            let ring = request.ring;
            if first {
                self.queue_work(ring, Work::Ready(id));
            }
        }
    }

    /// A ring that goes has nothing in flight. Its own cancellations keep no memory, so they are told
    /// apart: a kernel that lies about one may still have another.
    pub(super) fn must_be_idle(&mut self, ring: usize, done: &str) {
        let (fd, live) = (self.rings[ring].fd, &self.rings[ring].live);
        if live.is_empty() {
            return;
        }
        let own = |id: &ReqId| self.requests[id].user_data & 0xff == Kind::Internal as u64;
        let what = if live.iter().all(own) { "cancellations of its own" } else { "requests" };
        self.violation(format!("ring {fd} {done} with {} {what} in flight", live.len()));
    }

    /// Rings whose last descriptor is gone: the kernel cancels what is in flight some time later.
    fn bury_rings(&mut self) {
        for ring in core::mem::take(&mut self.files.dead_rings) {
            self.rings[ring].closed = true;
            self.must_be_idle(ring, "closed");
            for id in self.rings[ring].live.clone() {
                let after = self.rng.below(self.options.worker_ns) + 1;
                self.schedule(after, Event::Reap(id));
            }
            for file in std::mem::take(&mut self.rings[ring].table).into_iter().flatten() {
                self.files.release(file);
            }
            if let Some((file, _)) = self.rings[ring].eventfd.take() {
                self.files.release(file);
            }
            self.retire_if_done(ring);
        }
    }

    /// Put the memory of a closed, unmapped, idle ring out of use.
    pub(super) fn retire_if_done(&mut self, index: usize) {
        let ring = &mut self.rings[index];
        let mapped = self.maps.iter().any(|map| map.ring == index);
        if !ring.closed || mapped || !ring.live.is_empty() || ring.sq_entries == 0 {
            return;
        }
        // A ring of one entry each stands in for the memory of rings that are no more.
        let stub = RingMemory::new(&self.options, 0, 1, 1);
        ring.sq_entries = 0;
        // Without requests these are messages of other rings, which nobody can see any more.
        ring.work.clear();
        for mut region in core::mem::replace(&mut ring.memory, stub).into_regions() {
            region.retire();
            self.retired.push_back(region);
        }
        while self.retired.len() > QUARANTINE {
            self.retired.pop_front();
        }
    }
}
