//! What two real threads do to words that no lock guards, for ThreadSanitizer (`nox -s tsan`): the
//! queues against a thread that plays the kernel, who owns a ring, the table of descriptors that a
//! forked child closes, the bell of a ring. As ordinary tests they run, too.
//!
//! The standard library is not instrumented, and its threads hand things over in ways that
//! ThreadSanitizer does not know (fences): so these tests use atomics alone for what they are about,
//! and the C library's threads, which it does know. The tests named `planted` race on purpose: they
//! are run by name, and ThreadSanitizer must object.
#![cfg(not(any(loom, shuttle)))]

use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::atomic::AtomicUsize;
use std::thread;

use uring_rs::ring::access::{Owned, RingCell};
use uring_rs::ring::cq::Cq;
use uring_rs::ring::error::RingError;
use uring_rs::ring::fork;
use uring_rs::ring::sq::Sq;
use uring_rs::ring::word::{AtomicU32, Entries, Ordering, Word};
use uring_rs::sys::abi::{io_uring_cqe, io_uring_sqe};

const SIZE: u32 = 4;
const REQUESTS: u64 = 20_000;
/// Indices wrap on the way.
const START: u32 = u32::MAX - 1_000;

type Body<'a> = Box<dyn FnOnce() + Send + 'a>;

extern "C" fn begin(body: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: made by `together` from such a box, for this thread alone (I1).
    let body = unsafe { Box::from_raw(body.cast::<Body<'_>>()) };
    body();
    std::ptr::null_mut()
}

/// Run these at the same time, until all have ended. A panic in one ends the process.
fn together<'a>(bodies: impl IntoIterator<Item = Body<'a>>) {
    let begun = bodies.into_iter().map(|body| {
        let mut thread = std::mem::MaybeUninit::uninit();
        let body = Box::into_raw(Box::new(body)).cast();
        // SAFETY: what it borrows outlives the thread, which is joined below (I1).
        let made =
            unsafe { libc::pthread_create(thread.as_mut_ptr(), std::ptr::null(), begin, body) };
        assert_eq!(made, 0, "no thread is to be had");
        // SAFETY: filled in by the call, which did not fail (I1).
        unsafe { thread.assume_init() }
    });
    for thread in begun.collect::<Vec<_>>() {
        // SAFETY: begun above, and joined once (I1).
        assert_eq!(unsafe { libc::pthread_join(thread, std::ptr::null_mut()) }, 0);
    }
}

/// What both sides share.
struct Shared {
    sq_head: AtomicU32,
    sq_tail: AtomicU32,
    cq_head: AtomicU32,
    cq_tail: AtomicU32,
    zero: AtomicU32,
    sqes: [UnsafeCell<io_uring_sqe>; SIZE as usize],
    cqes: [UnsafeCell<io_uring_cqe>; SIZE as usize],
    /// What each request reads and writes: the buffers that slots keep alive.
    buffers: [UnsafeCell<u64>; SIZE as usize],
}

// SAFETY: the entries and buffers are handed over by the words (I4); ThreadSanitizer looks whether.
unsafe impl Sync for Shared {}

impl Shared {
    fn new() -> Self {
        let word = || AtomicU32::new(START);
        Shared {
            sq_head: word(),
            sq_tail: word(),
            cq_head: word(),
            cq_tail: word(),
            zero: AtomicU32::new(0),
            sqes: Default::default(),
            cqes: Default::default(),
            buffers: Default::default(),
        }
    }

    fn word(word: &AtomicU32) -> Word {
        // SAFETY: what is shared outlives the queues (I8).
        unsafe { Word::new(NonNull::from(word)) }
    }

    fn sq(&self) -> Sq {
        let [head, tail, flags] = [&self.sq_head, &self.sq_tail, &self.zero].map(Self::word);
        // SAFETY: so many entries, which outlive the queue (I8).
        unsafe {
            let entries = Entries::new(NonNull::from(&self.sqes).cast(), SIZE - 1, 0);
            Sq::new(head, tail, flags, entries, SIZE)
        }
    }

    fn cq(&self) -> Cq {
        let [head, tail, lost] = [&self.cq_head, &self.cq_tail, &self.zero].map(Self::word);
        // SAFETY: so many entries, which outlive the queue (I8).
        unsafe {
            let entries = Entries::new(NonNull::from(&self.cqes).cast(), SIZE - 1, 0);
            Cq::new(head, tail, lost, entries, SIZE)
        }
    }

    /// The kernel: take an entry, double its buffer, complete it. `see` is how it reads our tail,
    /// and `tell` how it shows its own.
    fn kernel(&self, see: Ordering, tell: Ordering) {
        let mut at = START;
        for _ in 0..REQUESTS {
            while self.sq_tail.load(see) == at {
                thread::yield_now();
            }
            let place = (at % SIZE) as usize;
            // SAFETY: published by the user, and not given back yet (I11).
            let sqe = unsafe { self.sqes[place].get().read() };
            // SAFETY: the buffer of a request in flight is the kernel's (I2).
            unsafe { *self.buffers[sqe.off as usize].get() *= 2 };
            // SAFETY: no more requests are in flight than completions fit (I4).
            unsafe {
                let res = sqe.off as i32;
                self.cqes[place].get().write(io_uring_cqe {
                    user_data: sqe.user_data,
                    res,
                    flags: 0,
                });
            }
            at = at.wrapping_add(1);
            self.sq_head.store(at, tell);
            self.cq_tail.store(at, tell);
        }
    }

    fn user(&self) {
        let (mut sq, mut cq) = (self.sq(), self.cq());
        let (mut next, mut ended) = (0, 0);
        let mut free: Vec<u64> = (0..u64::from(SIZE)).collect();
        while ended < REQUESTS {
            while next < REQUESTS && !free.is_empty() {
                let buffer = free.pop().expect("not empty");
                // SAFETY: of no request in flight, so ours (I2).
                unsafe { *self.buffers[buffer as usize].get() = next };
                let sqe = io_uring_sqe { user_data: next, off: buffer, ..Default::default() };
                sq.push(sqe).expect("as many entries as buffers");
                next += 1;
            }
            sq.publish();
            let before = ended;
            while let Some(cqe) = cq.pop() {
                // SAFETY: its request has ended (I2).
                assert_eq!(unsafe { *self.buffers[cqe.res as usize].get() }, 2 * cqe.user_data);
                assert_eq!(cqe.user_data, ended, "in order");
                free.push(cqe.res as u64);
                ended += 1;
            }
            cq.publish();
            if ended == before {
                thread::yield_now();
            }
        }
    }

    fn run(see: Ordering, tell: Ordering) {
        let shared = Shared::new();
        let kernel: Body<'_> = Box::new(|| shared.kernel(see, tell));
        together([kernel, Box::new(|| shared.user())]);
    }
}

#[test]
fn requests_and_completions_between_two_threads() {
    Shared::run(Ordering::Acquire, Ordering::Release);
}

#[test]
#[ignore = "races on purpose: nox -s tsan runs it by name"]
fn planted_tail_read_without_acquire() {
    Shared::run(Ordering::Relaxed, Ordering::Release);
}

#[test]
#[ignore = "races on purpose: nox -s tsan runs it by name"]
fn planted_tail_shown_without_release() {
    Shared::run(Ordering::Acquire, Ordering::Relaxed);
}

/// A ring that counts who uses it, without atomics.
struct Counted(u64);

impl Owned for Counted {
    fn enable(&mut self) -> Result<(), RingError> {
        self.0 += 1;
        Ok(())
    }

    fn inherited(&mut self) {
        self.0 += 1;
    }
}

#[test]
fn an_owned_ring_goes_from_thread_to_thread() {
    for _ in 0..200 {
        let cell = RingCell::in_arc(Counted(0), false);
        let owners = AtomicUsize::new(0);
        together((0..3).map(|_| -> Body<'_> {
            Box::new(|| {
                if let Ok(Some(mut ring)) = cell.hold() {
                    ring.0 += 1;
                    owners.fetch_add(1, Ordering::Relaxed);
                }
            })
        }));
        // The owner has ended.
        assert_eq!(owners.load(Ordering::Relaxed), 1);
        assert!(cell.inherit());
        assert!(cell.hold().expect("ours").expect("owned").0 >= 3);
    }
}

#[test]
fn a_shared_ring_is_held_by_one_at_a_time() {
    let cell = RingCell::in_arc(Counted(0), true);
    let use_it = || {
        for _ in 0..2_000 {
            let mut ring = loop {
                match cell.hold().expect("this process") {
                    Some(ring) => break ring,
                    None => cell.wait_turn(),
                }
            };
            ring.0 += 1;
            cell.entering();
            drop(ring);
            cell.left();
        }
    };
    let wait = || while !cell.wait_until_left(std::time::Duration::from_millis(1)) {};
    let users = (0..3).map(|_| -> Body<'_> { Box::new(use_it) });
    together(users.chain([Box::new(wait) as Body<'_>]));
    assert_eq!(cell.hold().expect("this process").expect("free").0, 6_000);
    assert!(!cell.occupied());
}

#[test]
fn descriptors_are_remembered_and_forgotten() {
    together((0..3).map(|thread| -> Body<'_> {
        Box::new(move || {
            for round in 0..50 {
                // Of no open file: nobody forks here.
                let fds = (0..100).map(|n| 2_000_000 + thread * 100_000 + round * 100 + n);
                fds.clone().for_each(fork::remember);
                fds.for_each(fork::forget);
            }
        })
    }));
}
