//! A kernel that fills the completion queue with whatever it likes, on rings with entries of every
//! size: each request of the ring ends once, by the completion that has its key and no other, and
//! everything else is counted.

use core::ptr::NonNull;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::Ordering;

use arbitrary::Arbitrary;

use uring_rs::ring::batches::{BatchCqe, Sink};
use uring_rs::ring::error::RingError;
use uring_rs::ring::params::Config;
use uring_rs::ring::slots::{internal_key, is_reserved, message_key, Kind, Slots, Zeroed};
use uring_rs::ring::zcrx::IfqConfig;
use uring_rs::ring::Ring;
use uring_rs::sys::abi::{io_uring_cqe, io_uring_sqe};
use uring_rs::sys::consts::*;

mod teller;

use teller::*;

#[derive(Arbitrary, Debug)]
enum Whose {
    InFlight(u8),
    Over(u8),
    Special(u8),
    Message(u64),
    Batch(u8),
    Anybody(u64),
}

#[derive(Arbitrary, Debug)]
enum Step {
    Stage { opcode: u8, flags: u8, wide: bool },
    Batch { count: u16, queue: bool },
    Submit(u8),
    Answer(i8),
    Post { whose: Whose, res: i32, flags: u32, rest: [u64; 2] },
    Fill,
    Flags(u32),
    Overflow(u32),
    Reap,
    Done(u8),
    Discard,
    Zcrx { offsets: [u32; 5], offset: u64, len: u32 },
}

#[derive(Arbitrary, Debug)]
struct Input {
    kind: u8,
    entries: u8,
    start: u32,
    steps: Vec<Step>,
}

/// What a slot holds: the key of its request.
#[derive(Clone, Copy, PartialEq)]
struct Kept(u64);

// SAFETY: a number.
unsafe impl Zeroed for Kept {}

struct Batch {
    results: Box<[i32]>,
    from: Vec<i32>,
    queued: bool,
    tag: u64,
}

/// An event: key, result, flags, whether it is the last, and the rest of a big one.
type Told = (u64, i32, u32, bool, Option<[u64; 2]>);

struct Bench {
    kernel: Teller,
    ring: Ring<Teller, Kept>,
    /// Requests that are staged or with the kernel.
    live: BTreeSet<u64>,
    over: Vec<u64>,
    batches: BTreeMap<u16, Batch>,
    /// Elements in flight: key, batch, element.
    elements: BTreeMap<u64, (u16, u32)>,
    old_elements: Vec<u64>,
    /// What the ring has to say of what was posted, in order.
    events: VecDeque<Told>,
    messages: VecDeque<(u64, i32, u32)>,
    queued: VecDeque<BatchCqe>,
    strays: u64,
    tags: u64,
    /// Posted, and not reaped: the completions by their effect at that time.
    posted: VecDeque<(io_uring_cqe, Option<[u64; 2]>)>,
}

fn flags_of(kind: u8) -> u32 {
    let deferred = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    let sizes = [
        0,
        IORING_SETUP_CQE32,
        IORING_SETUP_CQE_MIXED,
        IORING_SETUP_SQE128,
        IORING_SETUP_SQE128 | IORING_SETUP_CQE32,
        IORING_SETUP_SQE128 | IORING_SETUP_CQE_MIXED,
    ];
    let array = if kind & 64 != 0 { 0 } else { IORING_SETUP_NO_SQARRAY };
    deferred | array | sizes[usize::from(kind & 63) % sizes.len()]
}

pub fn run(data: &[u8]) {
    let Some(Input { kind, entries, start, steps }) = super::parse(data) else { return };
    let kernel = Teller::default();
    kernel.state().start = start;
    let config = Config { flags: Some(flags_of(kind)), ..Config::new(u32::from(entries % 16) + 1) };
    let mut ring = Ring::new(kernel.clone(), &config).expect("this kernel refuses nobody");
    ring.enable().expect("the first thread may");
    let mut bench = Bench {
        kernel,
        ring,
        live: BTreeSet::new(),
        over: Vec::new(),
        batches: BTreeMap::new(),
        elements: BTreeMap::new(),
        old_elements: Vec::new(),
        events: VecDeque::new(),
        messages: VecDeque::new(),
        queued: VecDeque::new(),
        strays: 0,
        tags: 0,
        posted: VecDeque::new(),
    };
    for step in steps {
        bench.step(step);
        bench.check();
    }
    bench.end();
}

impl Bench {
    fn step(&mut self, step: Step) {
        match step {
            Step::Stage { opcode, flags, wide } => self.stage(opcode, flags, wide),
            Step::Batch { count, queue } => self.batch(u32::from(count % 200), queue),
            Step::Submit(min) => self.submit(u32::from(min % 4)),
            Step::Answer(answer) => self.kernel.state().answers.push_back(answer),
            Step::Post { whose, res, flags, rest } => self.post(&whose, res, flags, rest),
            Step::Fill => {
                for _ in 0..self.kernel.room() {
                    self.post(&Whose::InFlight(0), 0, 0, [0; 2]);
                }
            }
            Step::Flags(flags) => {
                Teller::word(&self.kernel.state(), SQ_FLAGS).store(flags, Ordering::Release);
            }
            Step::Overflow(count) => {
                Teller::word(&self.kernel.state(), CQ_OVERFLOW).store(count, Ordering::Release);
                assert_eq!(self.ring.cq().dropped(), count);
            }
            Step::Reap => self.reap(),
            Step::Done(count) => {
                for _ in 0..count {
                    assert_eq!(self.ring.batches().done().pop_front(), self.queued.pop_front());
                }
            }
            Step::Discard => self.discard(),
            Step::Zcrx { offsets, offset, len } => self.zcrx(offsets, offset, len),
        }
    }

    fn stage(&mut self, opcode: u8, flags: u8, wide: bool) {
        let Ok((index, key)) = self.ring.reserve() else { return };
        assert!(!self.over.contains(&key), "a key given twice");
        // SAFETY: reserved, so ours.
        unsafe { self.ring.payload(index).write(Kept(key)) };
        let sqe = io_uring_sqe { opcode, flags, ..Default::default() };
        let staged = if wide {
            self.ring.stage_wide(index, sqe, &[key; 8])
        } else {
            self.ring.stage(index, sqe)
        };
        match staged {
            Ok(staged) => {
                assert_eq!(staged, key);
                assert!(self.live.insert(key));
            }
            Err(RingError::SqFull | RingError::NotWide | RingError::ChainTooLong { .. }) => {
                self.ring.free(index);
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn batch(&mut self, count: u32, queued: bool) {
        let mut results = vec![i32::MIN; count as usize].into_boxed_slice();
        let tag = self.tags.wrapping_sub(50);
        self.tags = self.tags.wrapping_add(u64::from(count));
        let sink = match queued {
            true => Sink::Queue(tag),
            false => Sink::Array(NonNull::new(results.as_mut_ptr()).expect("a box")),
        };
        let Some(id) = self.ring.batches().begin(count, sink) else { return };
        let end = self.ring.stage_batch(id, 0..count, 1000, |_| io_uring_sqe::default());
        let end = end.expect("the ring is open");
        for element in 0..end {
            let key = self.ring.batches().key(id, element);
            assert!(self.elements.insert(key, (id, element)).is_none());
        }
        self.ring.batches().sealed(id);
        let from = results.to_vec();
        assert!(self.batches.insert(id, Batch { results, from, queued, tag }).is_none());
        self.ended();
    }

    /// Batches that have ended are those none of whose elements are in flight.
    fn ended(&mut self) {
        while let Some(id) = self.ring.batches().next_ended() {
            let batch = self.batches.remove(&id).expect("a batch ends once");
            assert!(self.elements.values().all(|(of, _)| *of != id));
            assert_eq!(batch.results[..], batch.from[..]);
        }
    }

    fn submit(&mut self, min: u32) {
        let plan = self.ring.plan_submit(min).expect("the ring is open");
        let Some(plan) = plan else { return };
        // Whatever it says: what it took is what counts.
        let _ = plan.run(&self.kernel, Some(1_000), 0);
    }

    fn key_of(&self, whose: &Whose) -> Option<u64> {
        let taken = &self.kernel.state().taken;
        let flying: Vec<u64> =
            taken.iter().filter(|key| self.live.contains(key)).copied().collect();
        let pick = |from: &[u64], which: u8| {
            (!from.is_empty()).then(|| from[usize::from(which) % from.len()])
        };
        match *whose {
            Whose::InFlight(which) => pick(&flying, which),
            Whose::Over(which) => pick(&self.over, which),
            Whose::Special(which) => {
                let kinds = [Kind::Wake, Kind::Internal, Kind::Filler];
                Some(internal_key(kinds[usize::from(which) % kinds.len()]))
            }
            Whose::Message(number) => Some(message_key(number)),
            Whose::Batch(which) => {
                let there: Vec<u64> =
                    taken.iter().filter(|key| self.elements.contains_key(key)).copied().collect();
                match which {
                    200.. => pick(&self.old_elements, which),
                    _ => pick(&there, which),
                }
            }
            // No kernel knows the key of what it was not given.
            Whose::Anybody(key) => {
                let known = self.live.contains(&key) || self.elements.contains_key(&key);
                (!known || taken.contains(&key)).then_some(key)
            }
        }
    }

    fn post(&mut self, whose: &Whose, res: i32, flags: u32, rest: [u64; 2]) {
        let Some(key) = self.key_of(whose) else { return };
        let (ring_flags, size) = {
            let state = self.kernel.state();
            (state.params.flags, state.params.cq_entries)
        };
        let mixed = ring_flags & IORING_SETUP_CQE_MIXED != 0;
        let room = self.kernel.room();
        let wraps = self.kernel.place() == size - 1;
        let wants_two = mixed && flags & IORING_CQE_F_32 != 0 && flags & IORING_CQE_F_SKIP == 0;
        // One that says it is big at the end of the queue, or of what is there, is not.
        let places = if wants_two && !wraps { 2 } else { 1 };
        if room < places {
            return;
        }
        let cqe = io_uring_cqe { user_data: key, res, flags };
        let big = ring_flags & IORING_SETUP_CQE32 != 0 || places == 2;
        self.kernel.post(cqe, rest, places);
        if !(mixed && flags & IORING_CQE_F_SKIP != 0) {
            self.posted.push_back((cqe, big.then_some(rest)));
        }
    }

    /// What the ring makes of a completion.
    fn foresee(&mut self, cqe: io_uring_cqe, big: Option<[u64; 2]>) {
        let io_uring_cqe { user_data: key, res, flags } = cqe;
        let terminal = flags & IORING_CQE_F_MORE == 0;
        if self.live.contains(&key) {
            if terminal {
                self.live.remove(&key);
                self.over.push(key);
            }
            return self.events.push_back((key, res, flags, terminal, big));
        }
        if let Some(&(id, element)) = self.elements.get(&key) {
            let batch = self.batches.get_mut(&id).expect("a batch with elements");
            if batch.queued {
                let tag = batch.tag.wrapping_add(element.into());
                self.queued.push_back(BatchCqe { tag, res, flags });
            } else {
                batch.from[element as usize] = res;
            }
            if terminal {
                self.elements.remove(&key);
                self.old_elements.push(key);
            }
            return;
        }
        let known = [Kind::Wake, Kind::Internal, Kind::Filler].map(internal_key);
        if key & 0xff == Kind::Message as u64 {
            self.messages.push_back((key, res, flags));
        } else if !known.contains(&key) {
            self.strays += 1;
        }
    }

    fn reap(&mut self) {
        for (cqe, big) in std::mem::take(&mut self.posted) {
            self.foresee(cqe, big);
        }
        while let Some(event) = self.ring.next_event() {
            let found = event.big.then(|| self.ring.big());
            let told = (event.key, event.res, event.flags, event.terminal, found);
            assert_eq!(Some(told), self.events.pop_front());
            // SAFETY: only looked at.
            let Kept(kept) = unsafe { self.ring.payload(event.index).read() };
            assert_eq!(kept, event.key);
            if event.terminal {
                self.release(event.index);
            }
        }
        self.ring.reaped();
        assert!(self.events.is_empty(), "{:?} were not told", self.events);
        while let Some(message) = self.ring.next_message() {
            let told = (message.key, message.res, message.flags);
            assert_eq!(Some(told), self.messages.pop_front());
            assert!(is_reserved(message.key));
        }
        assert!(self.messages.is_empty());
        self.ended();
    }

    fn release(&mut self, index: u32) {
        // SAFETY: its terminal completion was seen, or it was taken back.
        unsafe { self.ring.payload(index).write(Kept(0)) };
        self.ring.free(index);
    }

    fn discard(&mut self) {
        let mut back = Vec::new();
        self.ring.discard(|index| back.push(index));
        for index in back {
            let key = self.ring.slots().map(|slots| slots.key(index)).expect("it is open");
            assert!(self.live.remove(&key));
            self.over.push(key);
            self.release(index);
        }
        let Bench { ring, elements, old_elements, .. } = self;
        let flying: BTreeSet<u64> = ring.batches().keys_in_flight().into_iter().collect();
        old_elements.extend(elements.keys().filter(|key| !flying.contains(key)));
        elements.retain(|key, _| flying.contains(key));
        self.ended();
    }

    fn zcrx(&mut self, offsets: [u32; 5], offset: u64, len: u32) {
        self.kernel.state().zcrx = Some(offsets);
        let config = IfqConfig { interface: 1, queue: 0, entries: 4, area: 8192 };
        let Ok(ifq) = self.ring.register_ifq(&config) else { return };
        if let Some(place) = ifq.bytes(offset, len) {
            // SAFETY: said to be within the area.
            (0..len as usize).for_each(|at| unsafe { place.add(at).write(1) });
        }
        for piece in 0..6 {
            ifq.give_back(offset.wrapping_add(piece), len);
        }
    }

    fn check(&mut self) {
        let live = self.live.len() + self.elements.len();
        // What was posted and not reaped is in flight still.
        assert_eq!(self.ring.live() as usize, live);
        assert_eq!(self.ring.strays(), self.strays);
        assert_eq!(self.ring.slots().map(Slots::reserved), Some(0));
    }

    /// Everything ends, and then nothing is left.
    fn end(&mut self) {
        self.reap();
        self.discard();
        self.kernel.state().answers.clear();
        self.submit(0);
        loop {
            let taken = self.kernel.state().taken.clone();
            let left: Vec<u64> = taken
                .into_iter()
                .filter(|key| self.live.contains(key) || self.elements.contains_key(key))
                .collect();
            if left.is_empty() {
                break;
            }
            for key in left.into_iter().take(self.kernel.room() as usize) {
                let cqe = io_uring_cqe { user_data: key, res: 0, flags: 0 };
                self.kernel.post(cqe, [0; 2], 1);
                let wide = self.ring.params().flags & IORING_SETUP_CQE32 != 0;
                self.posted.push_back((cqe, wide.then_some([0; 2])));
            }
            self.reap();
        }
        self.check();
        assert!(self.ring.close_within(1_000_000_000, |_, _| ()), "nothing was left");
        let state = self.kernel.state();
        assert!(state.maps.is_empty() && state.open.is_empty());
    }
}
