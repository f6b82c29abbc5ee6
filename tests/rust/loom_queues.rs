//! Models of the queues under loom: the real `Sq` and `Cq`, against a modelled kernel, in every
//! interleaving and with every value that a load may give. Run them with
//! `RUSTFLAGS="--cfg loom" cargo test --no-default-features --release --test loom_queues`.
//!
//! The tests named `..._is_caught` weaken one ordering of `ring::word`, or break one rule, and pass
//! only if loom objects: they show that the models can fail, and at what.
//!
//! The kernel reads the completion queue's head without acquire and relies on a control dependency
//! (`io_get_cqe`), which the C11 model does not have: its counterpart here is an acquire load.
//! Loom runs sequentially consistent fences, but takes sequentially consistent accesses for
//! acquire and release, and does not reorder a load with a later store; no model relies on either.
#![cfg(loom)]

use std::ptr::NonNull;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{fence, AtomicU32, Ordering::*};
use loom::sync::{Arc, Mutex};
use loom::thread;

use uring_rs::ring::cq::Cq;
use uring_rs::ring::sq::Sq;
use uring_rs::ring::word::weaken::{self, Weakened};
use uring_rs::ring::word::{Entries, Word};
use uring_rs::sys::abi::{io_uring_cqe, io_uring_sqe};
use uring_rs::sys::consts::IORING_SQ_NEED_WAKEUP;

/// Entries of either queue: the fewest with which one can be reused while another is in use.
const SIZE: u32 = 2;

/// Where the indices start: at 0, and so that they wrap at the first, second or third entry.
const STARTS: [u32; 4] = [0, u32::MAX, u32::MAX - 1, u32::MAX - 2];

/// What user and kernel share.
struct Shared {
    sq_head: AtomicU32,
    sq_tail: AtomicU32,
    sq_flags: AtomicU32,
    cq_head: AtomicU32,
    cq_tail: AtomicU32,
    cq_overflow: AtomicU32,
    sqes: Vec<UnsafeCell<io_uring_sqe>>,
    cqes: Vec<UnsafeCell<io_uring_cqe>>,
    /// A buffer that requests read and write: what the slots keep alive.
    buffer: UnsafeCell<u64>,
}

// SAFETY: the cells are loom's, which checks every access to them (I4).
unsafe impl Send for Shared {}
// SAFETY: as above (I4).
unsafe impl Sync for Shared {}

/// A ring whose indices begin at `start`, and the modelled kernel behind it.
fn ring(start: u32) -> (Arc<Shared>, Kernel) {
    let cells = 0..SIZE;
    let shared = Arc::new(Shared {
        sq_head: AtomicU32::new(start),
        sq_tail: AtomicU32::new(start),
        sq_flags: AtomicU32::new(0),
        cq_head: AtomicU32::new(start),
        cq_tail: AtomicU32::new(start),
        cq_overflow: AtomicU32::new(0),
        sqes: cells.clone().map(|_| UnsafeCell::new(io_uring_sqe::default())).collect(),
        cqes: cells.map(|_| UnsafeCell::new(io_uring_cqe::default())).collect(),
        buffer: UnsafeCell::new(0),
    });
    let kernel = Kernel { shared: shared.clone(), sq_head: start, cq_tail: start, room: SIZE };
    (shared, kernel)
}

impl Shared {
    fn word(word: &AtomicU32) -> Word {
        // SAFETY: every model holds the shared state longer than the queues over it (I8).
        unsafe { Word::new(NonNull::from(word)) }
    }

    fn entries<T: Copy>(cells: &[UnsafeCell<T>]) -> Entries<T> {
        let base = NonNull::from(cells).cast();
        // SAFETY: as many cells as the mask says, and they live as long as the words (I8).
        unsafe { Entries::of_cells(base, cells.len() as u32 - 1) }
    }

    /// Our side of the submission queue.
    fn sq(&self) -> Sq {
        let [head, tail, flags] = [&self.sq_head, &self.sq_tail, &self.sq_flags].map(Self::word);
        // SAFETY: the words and entries of one ring (I8).
        unsafe { Sq::new(head, tail, flags, Self::entries(&self.sqes), SIZE) }
    }

    /// Our side of the completion queue.
    fn cq(&self) -> Cq {
        let [head, tail, over] = [&self.cq_head, &self.cq_tail, &self.cq_overflow].map(Self::word);
        // SAFETY: the words and entries of one ring (I8).
        unsafe { Cq::new(head, tail, over, Self::entries(&self.cqes), SIZE) }
    }
}

/// The kernel's side of both queues, with the orderings that Linux uses.
struct Kernel {
    shared: Arc<Shared>,
    sq_head: u32,
    cq_tail: u32,
    /// Completions that fit in before the user's head must be looked at again.
    room: u32,
}

impl Kernel {
    /// Take at most `count` published entries, and give their places back at the end.
    fn take(&mut self, count: u32) -> Vec<io_uring_sqe> {
        let pending = self.shared.sq_tail.load(Acquire).wrapping_sub(self.sq_head);
        assert!(pending <= SIZE, "the published tail is {pending} entries past the kernel's head");
        let mut taken = Vec::new();
        for _ in 0..pending.min(count) {
            let cell = &self.shared.sqes[(self.sq_head % SIZE) as usize];
            // SAFETY: published and not taken; loom checks that nobody writes it now (I11).
            taken.push(cell.with(|entry| unsafe { *entry }));
            self.sq_head = self.sq_head.wrapping_add(1);
        }
        if !taken.is_empty() {
            self.shared.sq_head.store(self.sq_head, Release);
        }
        taken
    }

    /// Take at least one entry.
    fn take_some(&mut self) -> Vec<io_uring_sqe> {
        loop {
            let taken = self.take(SIZE);
            if !taken.is_empty() {
                return taken;
            }
            thread::yield_now();
        }
    }

    /// Post a completion where there is room.
    fn post(&mut self, user_data: u64) {
        while self.room == 0 {
            let used = self.cq_tail.wrapping_sub(self.shared.cq_head.load(Acquire));
            self.room = SIZE - used;
            if self.room == 0 {
                thread::yield_now();
            }
        }
        self.room -= 1;
        let cell = &self.shared.cqes[(self.cq_tail % SIZE) as usize];
        let cqe = io_uring_cqe { user_data, res: user_data as i32, flags: 0 };
        // SAFETY: the user is done with the entry; loom checks that this is so (I4).
        cell.with_mut(|entry| unsafe { *entry = cqe });
        self.cq_tail = self.cq_tail.wrapping_add(1);
        self.shared.cq_tail.store(self.cq_tail, Release);
    }

    /// The poll thread, until it finds nothing to do and goes to sleep.
    fn poll_until_idle(&mut self) -> Vec<u64> {
        let flags = &self.shared.clone().sq_flags;
        let mut taken = Vec::new();
        loop {
            let new = self.take(SIZE);
            if !new.is_empty() {
                taken.extend(keys(&new));
                continue;
            }
            flags.fetch_or(IORING_SQ_NEED_WAKEUP, Relaxed);
            fence(SeqCst);
            let new = self.take(SIZE);
            if new.is_empty() {
                return taken;
            }
            taken.extend(keys(&new));
            flags.fetch_and(!IORING_SQ_NEED_WAKEUP, Relaxed);
        }
    }
}

fn keys(entries: &[io_uring_sqe]) -> Vec<u64> {
    entries.iter().map(|entry| entry.user_data).collect()
}

fn sqe(user_data: u64) -> io_uring_sqe {
    io_uring_sqe { user_data, fd: user_data as i32, off: !user_data, ..Default::default() }
}

fn push_when_room(sq: &mut Sq, user_data: u64) {
    while sq.push(sqe(user_data)).is_err() {
        thread::yield_now();
    }
}

fn pop_when_there(cq: &mut Cq) -> u64 {
    loop {
        if let Some(cqe) = cq.pop() {
            assert_eq!(cqe.res, cqe.user_data as i32, "half a completion");
            return cqe.user_data;
        }
        thread::yield_now();
    }
}

/// Run `model` with the indices at every start.
fn at_every_start(model: fn(u32)) {
    for start in STARTS {
        loom::model(move || model(start));
    }
}

/// The same for a model too big to be run in every way: in all ways with at most three changes of
/// thread that nothing forces. The mutations below are all caught with two.
fn at_every_start_bounded(model: fn(u32)) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    for start in STARTS {
        builder.check(move || model(start));
    }
}

/// Run `model` with one ordering left out, over an index that does not wrap.
fn weakened(what: Weakened, model: fn(u32)) {
    weaken::choose(what);
    loom::model(move || model(0));
    weaken::choose(Weakened::Nothing);
}

/// Three completions through two entries, the places given back one by one.
fn consume(start: u32) {
    let (shared, mut kernel) = ring(start);
    let kernel = thread::spawn(move || (1..=3).for_each(|n| kernel.post(n)));
    let mut cq = shared.cq();
    for n in 1..=3 {
        assert_eq!(pop_when_there(&mut cq), n);
        cq.publish();
    }
    kernel.join().unwrap();
    assert_eq!(cq.ready(), 0);
}

/// The same, the places given back once per batch.
fn consume_in_batches(start: u32) {
    let (shared, mut kernel) = ring(start);
    let kernel = thread::spawn(move || (1..=3).for_each(|n| kernel.post(n)));
    let mut cq = shared.cq();
    assert_eq!(pop_when_there(&mut cq), 1);
    assert_eq!(pop_when_there(&mut cq), 2);
    cq.publish();
    assert_eq!(pop_when_there(&mut cq), 3);
    cq.publish();
    kernel.join().unwrap();
    assert_eq!(cq.ready(), 0);
}

#[test]
fn completions_are_whole_and_in_order() {
    at_every_start(consume);
}

#[test]
fn completions_in_batches_are_whole_and_in_order() {
    at_every_start(consume_in_batches);
}

#[test]
#[should_panic(expected = "Causality violation: Concurrent read and write accesses.")]
fn cq_tail_loaded_relaxed_is_caught() {
    weakened(Weakened::Acquire, consume);
}

#[test]
#[should_panic(expected = "Causality violation: Concurrent read and write accesses to")]
fn cq_head_stored_relaxed_is_caught() {
    weakened(Weakened::Release, consume);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_kernel_that_overruns_the_queue_is_caught() {
    loom::model(|| {
        let (shared, mut kernel) = ring(0);
        // It never looks at the head: as if there were always room.
        kernel.room = u32::MAX;
        let kernel = thread::spawn(move || (1..=3).for_each(|n| kernel.post(n)));
        let mut cq = shared.cq();
        while cq.pop().is_none() {
            thread::yield_now();
        }
        kernel.join().unwrap();
    });
}

/// Three requests through two entries: the third reuses the first one's place. `batch` entries are
/// published at once.
fn submit<const BATCH: u64>(start: u32) {
    let (shared, mut kernel) = ring(start);
    let kernel = thread::spawn(move || {
        let mut taken = Vec::new();
        while taken.len() < 3 {
            taken.extend(kernel.take_some());
        }
        for entry in &taken {
            assert_eq!((entry.fd, entry.off), (entry.user_data as i32, !entry.user_data));
        }
        keys(&taken)
    });
    let mut sq = shared.sq();
    for n in 1..=3 {
        push_when_room(&mut sq, n);
        if n % BATCH == 0 || n == 3 {
            sq.publish();
        }
    }
    assert_eq!(kernel.join().unwrap(), [1, 2, 3]);
    assert_eq!((sq.pending(), sq.staged(), sq.space()), (0, 0, SIZE));
}

#[test]
fn requests_are_taken_whole_and_in_order() {
    at_every_start_bounded(submit::<1>);
}

#[test]
fn requests_published_together_are_taken_whole_and_in_order() {
    at_every_start(submit::<2>);
}

#[test]
#[should_panic(expected = "Causality violation: Concurrent read and write accesses.")]
fn sq_tail_stored_relaxed_is_caught() {
    weakened(Weakened::Release, submit::<1>);
}

#[test]
#[should_panic(expected = "Causality violation: Concurrent read and write accesses to")]
fn sq_head_loaded_relaxed_is_caught() {
    weakened(Weakened::Acquire, submit::<1>);
}

/// `N` requests to a poll thread that falls asleep whenever it finds nothing. What it has not seen
/// when it sleeps, we must have been told to wake it for.
fn wake_up<const N: u64>(start: u32) {
    let (shared, mut kernel) = ring(start);
    let kernel = thread::spawn(move || {
        let taken = kernel.poll_until_idle();
        (kernel, taken)
    });
    let mut sq = shared.sq();
    let mut wake = false;
    for n in 1..=N {
        sq.push(sqe(n)).unwrap();
        sq.publish();
        wake = sq.needs_wakeup();
    }
    let (mut kernel, mut taken) = kernel.join().unwrap();
    // Asleep: it takes nothing more unless it is woken.
    let all = taken.len() as u64 == N;
    assert!(wake || all, "lost wake-up: {taken:?} taken, nobody wakes the thread");
    taken.extend(keys(&kernel.take(SIZE)));
    assert!(taken.into_iter().eq(1..=N));
}

#[test]
fn a_sleeping_poll_thread_is_always_woken() {
    at_every_start(wake_up::<1>);
}

#[test]
fn a_poll_thread_that_goes_to_sleep_again_is_always_woken() {
    at_every_start_bounded(wake_up::<2>);
}

#[test]
#[should_panic(expected = "lost wake-up")]
fn no_fence_before_need_wakeup_is_caught() {
    weakened(Weakened::Fence, wake_up::<1>);
}

#[test]
#[should_panic(expected = "Causality violation: Concurrent read and write accesses.")]
fn sq_tail_stored_relaxed_before_need_wakeup_is_caught() {
    weakened(Weakened::Release, wake_up::<1>);
}

/// What is staged can be taken back beside a poll thread that takes what was published; the place
/// is used anew.
fn take_back(start: u32) {
    let (shared, mut kernel) = ring(start);
    let kernel = thread::spawn(move || {
        let mut taken = kernel.take_some();
        while taken.len() < 2 {
            taken.extend(kernel.take_some());
        }
        keys(&taken)
    });
    let mut sq = shared.sq();
    sq.push(sqe(1)).unwrap();
    sq.publish();
    let mark = sq.mark();
    sq.push(sqe(2)).unwrap();
    let mut back = Vec::new();
    assert_eq!(sq.rollback(mark, |key| back.push(key)), 1);
    assert_eq!((back, sq.staged()), (vec![2], 0));
    sq.push(sqe(3)).unwrap();
    sq.publish();
    assert_eq!(kernel.join().unwrap(), [1, 3]);
}

#[test]
fn rollback_beside_a_poll_thread_takes_back_only_what_is_staged() {
    at_every_start(take_back);
}

/// Entries that enter has not taken are unpublished by another thread, under the lock that keeps
/// everybody out of enter: each is either taken or given back.
fn unpublish(start: u32) {
    let (shared, kernel) = ring(start);
    let mut sq = shared.sq();
    sq.push(sqe(1)).unwrap();
    sq.push(sqe(2)).unwrap();
    sq.publish();
    let kernel = Arc::new(Mutex::new(kernel));
    let enter = kernel.clone();
    let entered = thread::spawn(move || keys(&enter.lock().unwrap().take(1)));
    let mut back = Vec::new();
    {
        let _nobody_enters = kernel.lock().unwrap();
        sq.unpublish();
        sq.rollback(sq.mark().wrapping_sub(sq.staged()), |key| back.push(key));
        sq.push(sqe(3)).unwrap();
        sq.publish();
    }
    let mut seen = entered.join().unwrap();
    seen.extend(keys(&kernel.lock().unwrap().take(SIZE)));
    match back[..] {
        [2, 1] => assert_eq!(seen, [3]),
        [2] => assert_eq!(seen, [1, 3]),
        _ => panic!("{back:?} came back"),
    }
}

#[test]
fn unpublished_entries_are_taken_or_given_back() {
    at_every_start(unpublish);
}

#[test]
#[should_panic(expected = "past the kernel's head")]
fn unpublishing_beside_a_poll_thread_is_caught() {
    loom::model(|| {
        let (shared, mut kernel) = ring(0);
        let mut sq = shared.sq();
        sq.push(sqe(1)).unwrap();
        sq.publish();
        let poll_thread = thread::spawn(move || {
            kernel.take(SIZE);
            kernel.take(SIZE);
        });
        sq.unpublish();
        poll_thread.join().unwrap();
    });
}

/// A buffer goes with its request to the kernel and comes back with the completion: the indices
/// order not only the entries but also what they point at (I2).
fn round_trip(start: u32) {
    let (shared, mut kernel) = ring(start);
    let kernel = thread::spawn(move || {
        for _ in 1..=2 {
            for key in keys(&kernel.take_some()) {
                // SAFETY: in flight, so the kernel's; loom checks that it is (I2).
                kernel.shared.buffer.with_mut(|buffer| unsafe { *buffer += key });
                kernel.post(key);
            }
        }
    });
    let (mut sq, mut cq) = (shared.sq(), shared.cq());
    for n in 1..=2 {
        // SAFETY: not in flight, so ours; loom checks that it is (I2).
        shared.buffer.with_mut(|buffer| unsafe { *buffer = 10 * n });
        push_when_room(&mut sq, n);
        sq.publish();
        assert_eq!(pop_when_there(&mut cq), n);
        cq.publish();
        // SAFETY: its terminal completion was seen; loom checks that this suffices (I2).
        assert_eq!(shared.buffer.with(|buffer| unsafe { *buffer }), 11 * n);
    }
    kernel.join().unwrap();
}

#[test]
fn buffers_travel_with_their_requests() {
    at_every_start(round_trip);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_buffer_that_overtakes_its_request_is_caught() {
    weakened(Weakened::Release, round_trip);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_completion_that_overtakes_its_buffer_is_caught() {
    weakened(Weakened::Acquire, round_trip);
}
