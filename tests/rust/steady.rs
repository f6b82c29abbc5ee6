//! Steady work allocates nothing: counted by an allocator of the test's own, on the running kernel.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use uring_rs::ops::file;
use uring_rs::ring::access::Owned;
use uring_rs::ring::batches::Sink;
use uring_rs::ring::error::RingError;
use uring_rs::ring::kernel::Linux;
use uring_rs::ring::params::Config;
use uring_rs::ring::slots::Zeroed;
use uring_rs::ring::Ring;

/// Counts what this thread asks for.
struct Counting;

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: the system's allocator, with a counter beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.set(ASKED.get() + 1);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ASKED.set(ASKED.get() + 1);
        // SAFETY: the caller's contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ASKED.set(ASKED.get() + 1);
        // SAFETY: the caller's contract.
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(place, layout) }
    }
}

/// What a request keeps alive: a number.
struct Payload(#[allow(dead_code)] u64);

// SAFETY: any bytes are a number.
unsafe impl Zeroed for Payload {}

type Core = Ring<Linux, Payload>;

/// A ring; None, said aloud, where the host refuses one.
fn ring(shared: bool) -> Option<Core> {
    let config = Config { shared, ..Config::new(64) };
    match Core::new(Linux, &config) {
        Ok(mut ring) => {
            Owned::enable(&mut ring).expect("the owner's thread");
            Some(ring)
        }
        Err(RingError::Refused(refusal)) => {
            eprintln!("skipped: io_uring is refused here: {}", refusal.reason);
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn submit(ring: &mut Core, wait: u32) {
    if let Some(plan) = ring.plan_submit(wait).unwrap() {
        plan.run(ring.kernel(), None, 0).unwrap();
    }
}

fn singles(ring: &mut Core) {
    for _ in 0..64 {
        let (index, _) = ring.reserve().unwrap();
        ring.stage(index, file::nop()).unwrap();
    }
    submit(ring, 64);
    for _ in 0..64 {
        let event = ring.next_event().unwrap();
        assert!(event.terminal && event.res == 0);
        ring.free(event.index);
    }
    ring.reaped();
}

fn batch(ring: &mut Core) {
    let id = ring.batches().begin(200, Sink::Queue(7)).unwrap();
    let mut next = 0;
    while next < 200 || ring.batches().in_flight() > 0 {
        next = ring.stage_batch(id, next..200, 64, |_| file::nop()).unwrap();
        submit(ring, 1);
        assert!(ring.next_event().is_none());
        ring.reaped();
    }
    ring.batches().sealed(id);
    assert_eq!(ring.batches().next_ended(), Some(id));
    assert_eq!(ring.batches().done().drain(..).count(), 200);
}

/// What `work` asks for once it has got going.
fn asked_by(ring: &mut Core, work: fn(&mut Core)) -> u64 {
    (0..50).for_each(|_| work(ring));
    let before = ASKED.get();
    (0..200).for_each(|_| work(ring));
    ASKED.get() - before
}

#[test]
fn the_counter_counts() {
    let before = ASKED.get();
    drop(std::hint::black_box(vec![1u8; 3]));
    assert_eq!(ASKED.get() - before, 1);
}

#[test]
fn requests_one_by_one_allocate_nothing() {
    for shared in [false, true] {
        let Some(mut ring) = ring(shared) else { return };
        assert_eq!(asked_by(&mut ring, singles), 0);
        assert!(ring.finish_close());
    }
}

#[test]
fn batches_allocate_nothing() {
    for shared in [false, true] {
        let Some(mut ring) = ring(shared) else { return };
        assert_eq!(asked_by(&mut ring, batch), 0);
        assert!(ring.finish_close());
    }
}
