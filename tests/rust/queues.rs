//! The queues against a model, in one thread: whatever is staged, published, taken back, taken and
//! completed in whatever order, across the wrap of the indices past 2^32. What two threads can do
//! to them is in `loom_queues.rs`.
#![cfg(not(loom))]

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::ptr::NonNull;

use proptest::prelude::*;
use uring_rs::ring::cq::Cq;
use uring_rs::ring::sq::{Sq, SqFull};
use uring_rs::ring::word::{AtomicU32, Entries, Ordering, Word};
use uring_rs::sys::abi::{io_uring_cqe, io_uring_sqe};
use uring_rs::sys::consts::{
    IORING_CQE_F_32, IORING_CQE_F_SKIP, IORING_SQ_CQ_OVERFLOW, IORING_SQ_NEED_WAKEUP,
    IORING_SQ_TASKRUN,
};

/// A queue's memory, as the kernel shares it.
struct Memory<T> {
    head: AtomicU32,
    tail: AtomicU32,
    /// The submission queue's flags, the completion queue's overflow counter.
    third: AtomicU32,
    entries: Vec<UnsafeCell<T>>,
    size: u32,
    shift: u32,
}

impl<T: Copy + Default> Memory<T> {
    /// `shift` is 1 for entries of twice the size.
    fn new(start: u32, size: u32, shift: u32) -> Box<Self> {
        let entry = || UnsafeCell::new(T::default());
        Box::new(Memory {
            head: AtomicU32::new(start),
            tail: AtomicU32::new(start),
            third: AtomicU32::new(0),
            entries: std::iter::repeat_with(entry).take((size << shift) as usize).collect(),
            size,
            shift,
        })
    }

    fn words(&self) -> [Word; 3] {
        // SAFETY: every test drops its queue before this memory (I8).
        [&self.head, &self.tail, &self.third].map(|word| unsafe { Word::new(word.into()) })
    }

    fn entries(&self) -> Entries<T> {
        let base = NonNull::from(self.entries.as_slice()).cast();
        // SAFETY: as many entries as said, outliving the queue as the words do (I8).
        unsafe { Entries::new(base, self.size - 1, self.shift) }
    }

    fn used(&self) -> u32 {
        let used = self.tail().wrapping_sub(self.head.load(Ordering::Acquire));
        assert!(used <= self.size, "{used} entries in a queue of {}", self.size);
        used
    }

    fn tail(&self) -> u32 {
        self.tail.load(Ordering::Acquire)
    }

    /// The kernel's own way to an entry.
    fn place(&self, index: u32) -> *mut T {
        self.entries[((index % self.size) << self.shift) as usize].get()
    }
}

/// Where indices start: at 0, or so that they wrap soon.
fn start() -> impl Strategy<Value = u32> {
    prop_oneof![1 => Just(0), 4 => (0..24u32).prop_map(|k| u32::MAX - k)]
}

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

#[derive(Clone, Copy, Debug)]
enum SqStep {
    Push,
    /// With a second half, on a queue of 128-byte entries.
    PushWide,
    Publish,
    /// Publish so many of the staged entries (more than there are: all).
    PublishTo(u32),
    /// Roll back to a mark so far from the tail, which may be before all that is staged or, after
    /// an earlier rollback, ahead of the tail.
    Rollback(i32),
    Unpublish,
    Take(u32),
    Flags(u32),
}

fn sq_step() -> impl Strategy<Value = SqStep> {
    prop_oneof![
        8 => Just(SqStep::Push),
        4 => Just(SqStep::PushWide),
        3 => Just(SqStep::Publish),
        2 => (0..9u32).prop_map(SqStep::PublishTo),
        2 => (-10..3i32).prop_map(SqStep::Rollback),
        1 => Just(SqStep::Unpublish),
        4 => (0..9u32).prop_map(SqStep::Take),
        1 => any::<u32>().prop_map(SqStep::Flags),
    ]
}

/// A submission queue and what it should hold.
struct SqModel {
    memory: Box<Memory<io_uring_sqe>>,
    sq: Sq,
    staged: VecDeque<u64>,
    published: VecDeque<u64>,
    pushed: u64,
    tail: u32,
}

impl SqModel {
    fn new(start: u32, size: u32, shift: u32) -> Self {
        let memory = Memory::new(start, size, shift);
        let [head, tail, flags] = memory.words();
        // SAFETY: one queue's words and entries; the model drops them together (I8).
        let sq = unsafe { Sq::new(head, tail, flags, memory.entries(), size) };
        SqModel {
            memory,
            sq,
            staged: VecDeque::new(),
            published: VecDeque::new(),
            pushed: 0,
            tail: start,
        }
    }

    fn run(&mut self, step: SqStep) {
        match step {
            SqStep::Push => self.push(false),
            SqStep::PushWide => self.push(self.sq.wide()),
            SqStep::Publish => {
                self.published.append(&mut self.staged);
                assert_eq!(self.sq.publish() as usize, self.published.len());
            }
            SqStep::PublishTo(count) => {
                let count = (count as usize).min(self.staged.len());
                let keep = (self.staged.len() - count) as u32;
                self.published.extend(self.staged.drain(..count));
                let pending = self.sq.publish_to(self.tail.wrapping_sub(keep));
                assert_eq!(pending as usize, self.published.len());
            }
            SqStep::Rollback(from_tail) => self.rollback(from_tail),
            SqStep::Unpublish => {
                self.sq.unpublish();
                self.published.append(&mut self.staged);
                self.staged = std::mem::take(&mut self.published);
            }
            SqStep::Take(count) => self.take(count),
            SqStep::Flags(flags) => self.memory.third.store(flags, Ordering::Relaxed),
        }
    }

    /// `wide` entries say so in their length, and have their number all over the second half.
    fn push(&mut self, wide: bool) {
        let user_data = self.pushed;
        let len = u32::from(wide);
        let entry = io_uring_sqe { user_data, off: !user_data, len, ..Default::default() };
        let full = self.staged.len() + self.published.len() == self.memory.size as usize;
        let pushed =
            if wide { self.sq.push_wide(entry, &[user_data + 1; 8]) } else { self.sq.push(entry) };
        assert_eq!(pushed, if full { Err(SqFull) } else { Ok(()) });
        if !full {
            self.staged.push_back(user_data);
            self.pushed += 1;
            self.tail = self.tail.wrapping_add(1);
        }
    }

    fn rollback(&mut self, from_tail: i32) {
        let mark = self.tail.wrapping_add_signed(from_tail);
        let count = (-from_tail).clamp(0, self.staged.len() as i32);
        let mut back = Vec::new();
        assert_eq!(self.sq.rollback(mark, |key| back.push(key)), count as u32);
        let expected: Vec<u64> = (0..count).filter_map(|_| self.staged.pop_back()).collect();
        assert_eq!(back, expected);
        self.tail = self.tail.wrapping_sub(count as u32);
    }

    /// The kernel takes up to `count` entries.
    fn take(&mut self, count: u32) {
        for _ in 0..count.min(self.memory.used()) {
            let head = self.memory.head.load(Ordering::Relaxed);
            // SAFETY: published, so ours to read, being the kernel here (I4).
            let entry = unsafe { self.memory.place(head).read() };
            assert_eq!(Some(entry.user_data), self.published.pop_front());
            assert_eq!(entry.off, !entry.user_data, "half an entry");
            self.check_second_half(head, entry);
            self.memory.head.store(head.wrapping_add(1), Ordering::Release);
        }
    }

    fn check_second_half(&self, index: u32, entry: io_uring_sqe) {
        if self.memory.shift == 0 {
            return;
        }
        // SAFETY: the other half of an entry that was just read (I4).
        let half = unsafe { self.memory.place(index).add(1).cast::<[u64; 8]>().read() };
        let expected = if entry.len == 1 { entry.user_data + 1 } else { 0 };
        assert_eq!(half, [expected; 8], "another entry's second half");
    }

    fn check(&mut self) {
        assert_eq!(self.sq.wide(), self.memory.shift == 1);
        let entries = self.sq.staged_entries();
        assert!(entries.iter().map(|(entry, _)| entry.user_data).eq(self.staged.iter().copied()));
        for (entry, half) in entries {
            let expected = if entry.len == 1 { entry.user_data + 1 } else { 0 };
            assert_eq!(half, [expected; 8]);
        }
        let (staged, published) = (self.staged.len() as u32, self.published.len() as u32);
        assert_eq!(self.sq.size(), self.memory.size);
        assert_eq!(self.sq.staged(), staged);
        assert_eq!(self.sq.pending(), staged + published);
        assert_eq!(self.sq.space(), self.memory.size - staged - published);
        assert_eq!(self.sq.mark(), self.tail);
        assert_eq!(self.memory.used(), published, "the kernel sees what is published, no more");
        assert_eq!(self.memory.tail(), self.tail.wrapping_sub(staged));
        for (ahead, user_data) in self.staged.iter().enumerate() {
            let position = self.memory.tail().wrapping_add(ahead as u32);
            assert_eq!(self.sq.staged_user_data(position), Some(*user_data));
        }
        assert_eq!(self.sq.staged_user_data(self.tail), None);
        assert_eq!(self.sq.staged_user_data(self.memory.tail().wrapping_sub(1)), None);
        let flags = self.memory.third.load(Ordering::Relaxed);
        let has = |bits: u32| flags & bits != 0;
        assert_eq!(self.sq.needs_wakeup(), has(IORING_SQ_NEED_WAKEUP));
        assert_eq!(self.sq.wants_enter(), has(IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN));
        assert_eq!(self.sq.cq_overflowed(), has(IORING_SQ_CQ_OVERFLOW));
    }
}

#[derive(Clone, Copy, Debug)]
enum CqStep {
    Post(u32),
    Pop(u32),
    Publish,
    Ready,
    Dropped(u32),
}

fn cq_step() -> impl Strategy<Value = CqStep> {
    prop_oneof![
        4 => (1..9u32).prop_map(CqStep::Post),
        4 => (1..9u32).prop_map(CqStep::Pop),
        3 => Just(CqStep::Publish),
        1 => Just(CqStep::Ready),
        1 => any::<u32>().prop_map(CqStep::Dropped),
    ]
}

/// A completion queue and what it should hold.
struct CqModel {
    memory: Box<Memory<io_uring_cqe>>,
    cq: Cq,
    there: VecDeque<u64>,
    /// Copied out, their places not given back yet.
    kept: u32,
    posted: u64,
}

impl CqModel {
    fn new(start: u32, size: u32, shift: u32) -> Self {
        let memory = Memory::new(start, size, shift);
        let [head, tail, overflow] = memory.words();
        // SAFETY: one queue's words and entries; the model drops them together (I8).
        let cq = unsafe { Cq::new(head, tail, overflow, memory.entries(), size) };
        CqModel { memory, cq, there: VecDeque::new(), kept: 0, posted: 0 }
    }

    fn run(&mut self, step: CqStep) {
        match step {
            CqStep::Post(count) => {
                let room = self.memory.size - self.memory.used();
                (0..count.min(room)).for_each(|_| self.post());
            }
            CqStep::Pop(count) => {
                for _ in 0..count {
                    let popped = self.cq.pop();
                    assert_eq!(popped.map(|cqe| cqe.user_data), self.there.pop_front());
                    if let Some(cqe) = popped {
                        assert_eq!(cqe.res, cqe.user_data as i32, "half a completion");
                        let big = (self.memory.shift == 1).then(|| big_of(cqe.user_data));
                        assert_eq!(self.cq.big(), big);
                        self.kept += 1;
                    }
                }
            }
            CqStep::Publish => {
                self.cq.publish();
                self.kept = 0;
            }
            CqStep::Ready => assert_eq!(self.cq.ready() as usize, self.there.len()),
            CqStep::Dropped(count) => {
                self.memory.third.store(count, Ordering::Relaxed);
                assert_eq!(self.cq.dropped(), count);
            }
        }
        let used = self.there.len() as u32 + self.kept;
        assert_eq!(self.memory.used(), used, "a place was given back too early or not at all");
        assert_eq!(self.cq.size(), self.memory.size);
    }

    fn post(&mut self) {
        let (tail, user_data) = (self.memory.tail(), self.posted);
        let cqe = io_uring_cqe { user_data, res: user_data as i32, flags: 0 };
        // SAFETY: past what was posted and not over what is in use, as `used` checked (I4).
        unsafe { self.memory.place(tail).write(cqe) };
        if self.memory.shift == 1 {
            // SAFETY: the other half of the same entry (I4).
            unsafe { self.memory.place(tail).add(1).cast::<[u64; 2]>().write(big_of(user_data)) };
        }
        self.memory.tail.store(tail.wrapping_add(1), Ordering::Release);
        self.there.push_back(user_data);
        self.posted += 1;
    }
}

/// What the rest of a big completion says in these tests.
fn big_of(user_data: u64) -> [u64; 2] {
    [!user_data, user_data.wrapping_mul(3)]
}

/// A queue of completions of both sizes, and the kernel's way of filling it.
struct MixedModel {
    memory: Box<Memory<io_uring_cqe>>,
    cq: Cq,
    there: VecDeque<(u64, bool)>,
    posted: u64,
}

impl MixedModel {
    fn new(start: u32, size: u32) -> Self {
        let memory = Memory::new(start, size, 0);
        let [head, tail, overflow] = memory.words();
        // SAFETY: one queue's words and entries; the model drops them together (I8).
        let cq = unsafe { Cq::new(head, tail, overflow, memory.entries(), size) }.mixed();
        MixedModel { memory, cq, there: VecDeque::new(), posted: 0 }
    }

    /// Post a completion if there is room. A big one does not wrap: a filler takes the last place,
    /// and is published with what follows it or, if `apart`, before.
    fn post(&mut self, big: bool, apart: bool) {
        let mut tail = self.memory.tail();
        let at_the_end = tail & (self.memory.size - 1) == self.memory.size - 1;
        let filler = u32::from(big && at_the_end);
        if self.memory.used() + filler + u32::from(big) + 1 > self.memory.size {
            return;
        }
        let user_data = self.posted;
        let write = |at: u32, cqe: io_uring_cqe| {
            // SAFETY: past what was posted and not over what is in use, as just checked (I4).
            unsafe { self.memory.place(at).write(cqe) };
        };
        if filler == 1 {
            write(tail, io_uring_cqe { user_data: 77, res: 0, flags: IORING_CQE_F_SKIP });
            tail = tail.wrapping_add(1);
            if apart {
                self.memory.tail.store(tail, Ordering::Release);
            }
        }
        let flags = if big { IORING_CQE_F_32 } else { 0 };
        write(tail, io_uring_cqe { user_data, res: user_data as i32, flags });
        tail = tail.wrapping_add(1);
        if big {
            // SAFETY: as above (I4).
            unsafe { self.memory.place(tail).cast::<[u64; 2]>().write(big_of(user_data)) };
            tail = tail.wrapping_add(1);
        }
        self.memory.tail.store(tail, Ordering::Release);
        self.there.push_back((user_data, big));
        self.posted += 1;
    }

    fn pop(&mut self) {
        let popped = self.cq.pop().map(|cqe| (cqe.user_data, self.cq.big()));
        let expected = self.there.pop_front();
        let expected = expected.map(|(user_data, big)| (user_data, big.then(|| big_of(user_data))));
        assert_eq!(popped, expected);
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_submission_queue_is_what_the_model_says(
        start in start(),
        size in (0..4u32).prop_map(|n| 1 << n),
        shift in 0..2u32,
        steps in prop::collection::vec(sq_step(), 1..200),
    ) {
        let mut model = SqModel::new(start, size, shift);
        model.check();
        for step in steps {
            model.run(step);
            model.check();
        }
    }

    #[test]
    fn the_completion_queue_is_what_the_model_says(
        start in start(),
        size in (0..4u32).prop_map(|n| 1 << n),
        shift in 0..2u32,
        steps in prop::collection::vec(cq_step(), 1..200),
    ) {
        let mut model = CqModel::new(start, size, shift);
        for step in steps {
            model.run(step);
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn completions_of_both_sizes_come_whole_and_in_order(
        start in start(),
        size in (1..5u32).prop_map(|n| 1 << n),
        steps in prop::collection::vec((0..5u32, any::<bool>(), any::<bool>()), 1..300),
    ) {
        let mut model = MixedModel::new(start, size);
        for (step, big, apart) in steps {
            match step {
                0 | 1 => model.post(big, apart),
                2 | 3 => model.pop(),
                _ => model.cq.publish(),
            }
        }
        while !model.there.is_empty() {
            model.pop();
        }
        model.pop();
        model.cq.publish();
        prop_assert_eq!(model.memory.used(), 0, "every place was given back");
    }
}

#[test]
fn a_lone_filler_is_no_completion() {
    for start in [0, 3, u32::MAX] {
        let mut model = MixedModel::new(start, 4);
        // SAFETY: past what was posted, so the kernel's to write (I4).
        unsafe {
            let filler = io_uring_cqe { flags: IORING_CQE_F_SKIP, ..Default::default() };
            model.memory.place(start).write(filler);
        }
        model.memory.tail.store(start.wrapping_add(1), Ordering::Release);
        assert_eq!(model.cq.ready(), 1);
        assert!(model.cq.pop().is_none() && model.cq.ready() == 0);
    }
}

#[test]
fn a_flag_that_lies_takes_no_other_completion() {
    // F_32 on the last completion there is, and at the end of the queue, where no big one can be.
    for start in [0, 3] {
        let mut model = MixedModel::new(start, 4);
        let count = if start == 0 { 1 } else { 2 };
        for n in 0..count {
            let flags = if n == 0 { IORING_CQE_F_32 } else { 0 };
            let cqe = io_uring_cqe { user_data: u64::from(n), res: 0, flags };
            // SAFETY: past what was posted, so the kernel's to write (I4).
            unsafe { model.memory.place(start + n).write(cqe) };
        }
        model.memory.tail.store(start + count, Ordering::Release);
        for n in 0..count {
            assert_eq!(model.cq.pop().map(|cqe| cqe.user_data), Some(u64::from(n)));
            assert_eq!(model.cq.big(), None);
        }
        assert!(model.cq.pop().is_none());
    }
}

#[test]
fn full_queues_work_at_every_index_around_the_wrap() {
    for (size, start) in (0..4).flat_map(|n| (0..20).map(move |k| (1u32 << n, u32::MAX - k))) {
        let mut sq = SqModel::new(start, size, 0);
        let mut cq = CqModel::new(start, size, 0);
        for _ in 0..24 {
            (0..=size).for_each(|_| sq.run(SqStep::Push));
            sq.check();
            sq.run(SqStep::Publish);
            sq.run(SqStep::Push);
            sq.run(SqStep::Take(size));
            sq.check();
            cq.run(CqStep::Post(size));
            cq.run(CqStep::Pop(size + 1));
            cq.run(CqStep::Publish);
        }
        assert!(sq.tail < start && cq.memory.tail() < start, "the indices have wrapped");
    }
}

#[test]
fn a_queue_continues_where_the_kernel_is() {
    // As on a ring whose memory was used before: indices far along, two entries not taken.
    let memory = Memory::<io_uring_sqe>::new(u32::MAX - 1, 4, 0);
    memory.tail.store(0, Ordering::Relaxed);
    let [head, tail, flags] = memory.words();
    // SAFETY: one queue's words and entries, dropped before `memory` (I8).
    let mut sq = unsafe { Sq::new(head, tail, flags, memory.entries(), 4) };
    assert_eq!((sq.mark(), sq.pending(), sq.staged(), sq.space()), (0, 2, 0, 2));
}

#[test]
fn a_closed_rings_queues_are_empty() {
    let (mut sq, mut cq) = (Sq::detached(), Cq::detached());
    for _ in 0..2 {
        assert_eq!(sq.push(io_uring_sqe::default()), Err(SqFull));
        assert_eq!(
            (sq.publish(), sq.pending(), sq.staged(), sq.space(), sq.size()),
            (0, 0, 0, 0, 0)
        );
        assert_eq!(sq.rollback(sq.mark(), |_| panic!("nothing is staged")), 0);
        assert_eq!(sq.staged_user_data(sq.mark()), None);
        assert!(!sq.needs_wakeup() && !sq.wants_enter() && !sq.cq_overflowed());
        assert!(cq.pop().is_none());
        cq.publish();
        assert_eq!((cq.ready(), cq.dropped(), cq.size()), (0, 0, 0));
        sq.unpublish();
    }
}
