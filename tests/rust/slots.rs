//! The slots against a model: whatever is done to them in whatever order, a request's memory stays
//! where it is with what is in it, and a key opens its slot from publication to the terminal
//! completion and never again.
#![cfg(not(loom))]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashSet;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use proptest::prelude::*;
use uring_rs::ring::slots::{internal_key, Kind, Slots, State, Zeroed, SLOTS_MAX};

/// What a request keeps: here a tag, and its own address as a `Py_buffer` might hold it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
struct Payload {
    tag: u64,
    own_address: usize,
    rest: [u64; 3],
}

// SAFETY: integers; all zeroes is an empty payload (I1).
unsafe impl Zeroed for Payload {}

impl Payload {
    fn new(tag: u64, own_address: usize) -> Self {
        Payload { tag, own_address, rest: [!tag; 3] }
    }
}

/// One step. The numbers choose among the slots that the step can be done to.
#[derive(Clone, Copy, Debug)]
enum Step {
    Reserve,
    Activate(usize, u8, u8),
    Deactivate(usize),
    Finish(usize),
    Free(usize),
    /// A completion with any `user_data` at all.
    Foreign(u64),
    /// A completion whose key differs from a live one in one bit.
    Near(usize, u32),
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<usize>();
    prop_oneof![
        4 => Just(Step::Reserve),
        4 => (which, any::<u8>(), any::<u8>()).prop_map(|(n, op, f)| Step::Activate(n, op, f)),
        1 => which.prop_map(Step::Deactivate),
        3 => which.prop_map(Step::Finish),
        4 => which.prop_map(Step::Free),
        1 => any::<u64>().prop_map(Step::Foreign),
        1 => (which, 0..64u32).prop_map(|(n, bit)| Step::Near(n, bit)),
    ]
}

/// What a used slot should be.
#[derive(Clone, Copy, Debug)]
struct Expected {
    index: u32,
    key: u64,
    state: State,
    op: u8,
    flags: u8,
    address: usize,
    payload: Payload,
}

/// The slots and what they should be.
struct Model {
    slots: Slots<Payload>,
    busy: Vec<Expected>,
    /// Addresses by index, from the first use on.
    addresses: Vec<Option<usize>>,
    /// Keys whose slots were freed.
    dead: HashSet<u64>,
    tags: u64,
}

impl Model {
    fn new(capacity: u32) -> Self {
        Model {
            slots: Slots::new(capacity).expect("memory"),
            busy: Vec::new(),
            addresses: vec![None; capacity as usize],
            dead: HashSet::new(),
            tags: 0,
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Reserve => self.reserve(),
            Step::Activate(which, op, flags) => {
                if let Some(at) = self.choose(which, &[State::Reserved]) {
                    self.slots.activate(self.busy[at].index, op, flags);
                    let slot = &mut self.busy[at];
                    (slot.state, slot.op, slot.flags) = (State::Live, op, flags);
                }
            }
            Step::Deactivate(which) => {
                if let Some(at) = self.choose(which, &[State::Live]) {
                    self.slots.deactivate(self.busy[at].index);
                    self.busy[at].state = State::Reserved;
                }
            }
            Step::Finish(which) => {
                if let Some(at) = self.choose(which, &[State::Live]) {
                    self.slots.finish(self.busy[at].index);
                    self.busy[at].state = State::Terminal;
                }
            }
            Step::Free(which) => {
                if let Some(at) = self.choose(which, &[State::Reserved, State::Terminal]) {
                    self.free(at);
                }
            }
            Step::Foreign(key) => assert_eq!(self.slots.lookup(key), self.owner(key)),
            Step::Near(which, bit) => {
                if let Some(at) = self.choose(which, &[State::Live]) {
                    let key = self.busy[at].key ^ (1 << bit);
                    assert_eq!(self.slots.lookup(key), self.owner(key));
                }
            }
        }
    }

    fn reserve(&mut self) {
        let Some(index) = self.slots.reserve() else {
            assert_eq!(self.busy.len(), self.addresses.len(), "refused with slots to spare");
            return;
        };
        assert!((index as usize) < self.addresses.len(), "slot {index} is past the end");
        assert!(self.busy.iter().all(|slot| slot.index != index), "slot {index} given twice");
        let key = self.slots.key(index);
        assert!(!self.dead.contains(&key), "key {key:#x} was used before");
        let place = self.slots.payload(index);
        let address = place as usize;
        assert_eq!(*self.addresses[index as usize].get_or_insert(address), address);
        // SAFETY: a reserved slot's payload is ours, and zeroed memory is a valid one (I1).
        assert_eq!(unsafe { place.read() }, Payload::default(), "slot {index} is not empty");
        self.tags += 1;
        let payload = Payload::new(self.tags, address);
        // SAFETY: as above (I1).
        unsafe { place.write(payload) };
        let state = State::Reserved;
        self.busy.push(Expected { index, key, state, op: 0, flags: 0, address, payload });
    }

    fn free(&mut self, at: usize) {
        let slot = self.busy.swap_remove(at);
        // SAFETY: reserved or finished, so ours to empty (I1, I2).
        unsafe { self.slots.payload(slot.index).write(Payload::default()) };
        self.slots.free(slot.index);
        assert_eq!(self.slots.state(slot.index), State::Free);
        assert!(self.dead.insert(slot.key), "key {:#x} died twice", slot.key);
    }

    /// A used slot in one of `states`, if there is one.
    fn choose(&self, which: usize, states: &[State]) -> Option<usize> {
        let fits = |at: &usize| states.contains(&self.busy[*at].state);
        let count = (0..self.busy.len()).filter(fits).count();
        (0..self.busy.len()).filter(fits).nth(which % count.max(1))
    }

    /// The slot whose request a completion with this `user_data` is of.
    fn owner(&self, key: u64) -> Option<u32> {
        let live = |slot: &&Expected| slot.state == State::Live && slot.key == key;
        self.busy.iter().find(live).map(|slot| slot.index)
    }

    fn check(&self) {
        let count = |state| self.busy.iter().filter(|slot| slot.state == state).count() as u32;
        assert_eq!(self.slots.live(), count(State::Live));
        assert_eq!(self.slots.reserved(), count(State::Reserved));
        let used = self.addresses.iter().flatten().count() as u32;
        assert_eq!((self.slots.used(), self.slots.capacity()), (used, self.addresses.len() as u32));
        for slot in &self.busy {
            assert_eq!(self.slots.state(slot.index), slot.state);
            assert_eq!(self.slots.key(slot.index), slot.key, "the key changed in use");
            assert_eq!(self.slots.lookup(slot.key), self.owner(slot.key));
            let place = self.slots.payload(slot.index);
            assert_eq!(place as usize, slot.address, "slot {} moved", slot.index);
            // SAFETY: this test's own plain data; no kernel writes it (I1).
            assert_eq!(unsafe { place.read() }, slot.payload, "slot {} changed", slot.index);
            if slot.state == State::Live {
                let told = (self.slots.op(slot.index), self.slots.sqe_flags(slot.index));
                assert_eq!(told, (slot.op, slot.flags));
            }
            for kind in [Kind::Wake, Kind::Internal, Kind::Message] {
                assert_eq!(self.slots.lookup(slot.key | kind as u64), None);
            }
        }
        for key in &self.dead {
            assert_eq!(self.slots.lookup(*key), None, "key {key:#x} opens its slot again");
        }
        for kind in [Kind::Wake, Kind::Internal, Kind::Message] {
            assert_eq!(self.slots.lookup(internal_key(kind)), None);
        }
        let mut live: Vec<u32> = self.slots.live_indices().collect();
        let mut expected: Vec<u32> =
            self.busy.iter().filter(|s| s.state == State::Live).map(|s| s.index).collect();
        live.sort_unstable();
        expected.sort_unstable();
        assert_eq!(live, expected);
    }

    /// End all requests and free all slots.
    fn finish(mut self) {
        while let Some(slot) = self.busy.last() {
            if slot.state == State::Live {
                self.slots.finish(slot.index);
            }
            self.free(self.busy.len() - 1);
            self.check();
        }
        assert_eq!((self.slots.live(), self.slots.reserved()), (0, 0));
        let apart = size_of::<Payload>();
        let mut addresses: Vec<usize> = self.addresses.iter().flatten().copied().collect();
        addresses.sort_unstable();
        assert!(addresses.windows(2).all(|pair| pair[1] - pair[0] >= apart), "payloads overlap");
        assert!(addresses.iter().all(|address| address % align_of::<Payload>() == 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn slots_are_what_the_model_says(
        capacity in 1..12u32,
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut model = Model::new(capacity);
        for step in steps {
            model.run(step);
            model.check();
        }
        model.finish();
    }
}

#[test]
fn keys_hold_indices_of_24_bits() {
    let mut slots = Slots::<Payload>::new(70_000).expect("memory");
    let mut keys = HashSet::new();
    for _ in 0..70_000 {
        let index = slots.reserve().unwrap();
        let key = slots.key(index);
        assert_eq!((key & 0xff, (key >> 8) & 0xff_ffff), (0, u64::from(index)));
        assert!(keys.insert(key));
    }
    assert_eq!(slots.reserve(), None);
    for index in 0..70_000 {
        slots.free(index);
    }
    assert_eq!(slots.reserved(), 0);
    assert_eq!(catch_unwind(|| Slots::<Payload>::new(SLOTS_MAX + 1)).err().map(|_| ()), Some(()));
}

/// An allocator that tells when the memory around one address is given back.
struct Watchful;

static WATCHED: AtomicUsize = AtomicUsize::new(0);
static GIVEN_BACK: AtomicBool = AtomicBool::new(false);

#[global_allocator]
static ALLOCATOR: Watchful = Watchful;

// SAFETY: the system's allocator, looked at.
unsafe impl GlobalAlloc for Watchful {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        let watched = WATCHED.load(Ordering::Relaxed);
        if (place as usize..place as usize + layout.size()).contains(&watched) {
            GIVEN_BACK.store(true, Ordering::Relaxed);
        }
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(place, layout) }
    }
}

/// Is the memory of slots given back by `end`?
fn gives_back(prepare: fn(&mut Slots<Payload>), end: fn(Slots<Payload>)) -> bool {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut slots = Slots::new(8).expect("memory");
    prepare(&mut slots);
    WATCHED.store(slots.payload(0) as usize, Ordering::Relaxed);
    GIVEN_BACK.store(false, Ordering::Relaxed);
    // With a live request the debug build objects aloud; the memory must stay all the same.
    let _ = catch_unwind(AssertUnwindSafe(|| end(slots)));
    WATCHED.store(0, Ordering::Relaxed);
    GIVEN_BACK.load(Ordering::Relaxed)
}

fn one_reserved(slots: &mut Slots<Payload>) {
    slots.reserve().unwrap();
}

fn one_live(slots: &mut Slots<Payload>) {
    let index = slots.reserve().unwrap();
    slots.activate(index, 0, 0);
}

#[test]
fn memory_goes_back_only_when_nobody_can_use_it() {
    assert!(gives_back(|_| {}, drop));
    assert!(!gives_back(one_reserved, drop), "a payload was freed unreleased");
    assert!(!gives_back(one_live, drop), "the memory of a live request was freed");
    assert!(!gives_back(one_live, Slots::leak), "leaked memory was freed");
    let ended = |slots: &mut Slots<Payload>| {
        one_live(slots);
        slots.finish(0);
        slots.free(0);
    };
    assert!(gives_back(ended, drop));
}

#[test]
fn slots_become_more_without_moving() {
    let mut slots = Slots::<Payload>::growable(2, 40_000).expect("memory");
    let old: Vec<u32> = (0..2).map(|_| slots.reserve().unwrap()).collect();
    assert_eq!(slots.reserve(), None);
    old.iter().for_each(|&index| slots.activate(index, 7, 0));
    let before: Vec<_> =
        old.iter().map(|&index| (slots.key(index), slots.payload(index))).collect();
    for capacity in [3, 100, 40_000] {
        assert!(slots.grow(capacity) && slots.capacity() == capacity);
    }
    assert!(slots.grow(5) && slots.capacity() == 40_000, "slots never become fewer");
    assert!(!slots.grow(40_001), "there are no addresses for more");
    for (index, (key, payload)) in old.iter().zip(before) {
        assert_eq!((slots.key(*index), slots.payload(*index)), (key, payload));
        assert_eq!((slots.lookup(key), slots.op(*index)), (Some(*index), 7));
    }
    let more: Vec<u32> = std::iter::from_fn(|| slots.reserve()).collect();
    assert_eq!(more.len(), 40_000 - 2);
    more.into_iter().for_each(|index| slots.free(index));
    for index in old {
        slots.finish(index);
        slots.free(index);
    }
}

#[test]
fn slots_of_the_heap_cannot_grow() {
    let mut slots = Slots::<Payload>::new(4).expect("memory");
    assert!(slots.grow(4) && !slots.grow(5));
    let mut small = Slots::<Payload>::growable(4, 0).expect("memory");
    assert!(!small.grow(5) && small.capacity() == 4);
}
