//! The slots: one for every request the kernel may still touch, at an address that never changes.
//!
//! A request's `user_data` is its slot's key, `generation:32 | index:24 | kind:8` (I3). The
//! generation goes up each time a slot is freed, so a late, doubled or foreign completion never
//! matches a slot that now belongs to somebody else.

use std::alloc::{alloc_zeroed, dealloc, Layout};
use std::ptr::NonNull;

use super::spare;
use crate::sys::syscall;

/// What a completion's `user_data` says about who asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A request that lives in a slot.
    Request = 0,
    /// A wake-up from another thread.
    Wake = 1,
    /// A cancellation that the ring itself sent.
    Internal = 2,
    /// An element of a batch.
    Batch = 3,
    /// Nothing: there to make full the number of completions that somebody waits for.
    Filler = 4,
    /// A message that some ring sent to this one.
    Message = 5,
    /// A poll request of a selector, which keeps no memory: see `crate::poll`.
    Poll = 6,
}

/// The key of a completion that is no request's.
pub const fn internal_key(kind: Kind) -> u64 {
    kind as u64
}

/// The key of a message that carries `number`, of which 56 bits count.
pub const fn message_key(number: u64) -> u64 {
    (number << 8) | Kind::Message as u64
}

/// At most 2^24 slots: the bits a key has for the index.
pub const SLOTS_MAX: u32 = 1 << 24;

const NONE: u32 = u32::MAX;

/// Keys whose low byte is below this are this library's own, those of [`Kind`] and of kinds to come.
pub const FIRST_FOREIGN_KIND: u8 = 16;

/// May only the kernel send a completion with this key to a ring of ours? A forged one would end a
/// request whose memory is still in use (I3).
pub const fn is_reserved(key: u64) -> bool {
    key & 0xff < FIRST_FOREIGN_KIND as u64
}

/// Where a slot is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Nobody's. All zeroes, so fresh memory is free.
    Free = 0,
    /// Being filled; the kernel does not know it.
    Reserved = 1,
    /// Staged or with the kernel: nothing may leave it before the terminal completion (I2).
    Live = 2,
    /// Its terminal completion was seen; its memory is being released.
    Terminal = 3,
}

struct Head {
    generation: u32,
    next_free: u32,
    state: State,
    op: u8,
    sqe_flags: u8,
}

#[repr(C)]
struct Slot<P> {
    head: Head,
    payload: P,
}

/// A fixed number of generational slots that never move (I1).
///
/// Memory comes zeroed and untouched: a slot costs real memory only once it has been used.
/// `P` must be valid when all its bytes are zero; that is its empty state.
pub struct Slots<P> {
    base: NonNull<Slot<P>>,
    capacity: u32,
    /// Slots that there are addresses for; 0 for memory of the heap, which cannot grow.
    room: u32,
    free_head: u32,
    /// Slots from here on have never been used.
    fresh: u32,
    live: u32,
    reserved: u32,
}

/// Payloads whose all-zero bytes are a valid, empty value that needs no drop.
///
/// # Safety
/// All-zero bytes must be a valid value of the type.
pub unsafe trait Zeroed {}

impl<P: Zeroed> Slots<P> {
    /// `capacity` slots. None where there is no memory for them.
    pub fn new(capacity: u32) -> Option<Self> {
        assert!(capacity > 0 && capacity <= SLOTS_MAX);
        let layout = Self::layout(capacity);
        // SAFETY: the layout is not empty: capacity > 0 and a slot has fields (I1).
        let base = unsafe { alloc_zeroed(layout) }.cast::<Slot<P>>();
        Some(Self::empty(NonNull::new(base)?, capacity, 0))
    }

    /// `capacity` slots that may become `room`. Where there are no addresses for so many (a limit
    /// of the process), they cannot grow. None where there is no memory for `capacity`.
    pub fn growable(capacity: u32, room: u32) -> Option<Self> {
        if room <= capacity {
            return Self::new(capacity);
        }
        assert!(capacity > 0 && room <= SLOTS_MAX);
        let len = Self::layout(room).size();
        if let Some(base) = spare::SHELF.take(len, Self::layout(capacity).size()) {
            return Some(Self::empty(base.cast(), capacity, room));
        }
        let Ok(base) = syscall::map_reserved(len) else { return Self::new(capacity) };
        // SAFETY: reserved just now, for more than that (I1).
        if unsafe { syscall::make_usable(base, Self::layout(capacity).size()) }.is_err() {
            // SAFETY: nobody has seen it (I8).
            unsafe { syscall::unmap_reserved(base, len) };
            return Self::new(capacity);
        }
        Some(Self::empty(base.cast(), capacity, room))
    }

    fn empty(base: NonNull<Slot<P>>, capacity: u32, room: u32) -> Self {
        Slots { base, capacity, room, free_head: NONE, fresh: 0, live: 0, reserved: 0 }
    }

    /// Have at least `capacity` slots; those there are stay where they are (I1). False where that
    /// is not possible.
    pub fn grow(&mut self, capacity: u32) -> bool {
        if capacity <= self.capacity {
            return true;
        }
        if capacity > self.room {
            return false;
        }
        // SAFETY: addresses of `growable`'s, and there are enough (I1).
        let grown =
            unsafe { syscall::make_usable(self.base.cast(), Self::layout(capacity).size()) };
        if grown.is_ok() {
            self.capacity = capacity;
        }
        grown.is_ok()
    }

    fn layout(capacity: u32) -> Layout {
        Layout::array::<Slot<P>>(capacity as usize).expect("at most 2^24 slots")
    }
}

impl<P> Slots<P> {
    #[inline(always)]
    fn slot(&self, index: u32) -> &Head {
        debug_assert!(index < self.capacity);
        // SAFETY: every index we hand out is below capacity; zeroed memory is a valid head (I1).
        // The reference covers the head alone, never a payload somebody points at (I5).
        unsafe { &(*self.base.as_ptr().add(index as usize)).head }
    }

    #[inline(always)]
    fn slot_mut(&mut self, index: u32) -> &mut Head {
        debug_assert!(index < self.capacity);
        // SAFETY: as in `slot`, and `&mut self` makes it the only one (I1, I5).
        unsafe { &mut (*self.base.as_ptr().add(index as usize)).head }
    }

    /// How many slots there are.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Requests staged or with the kernel.
    #[inline]
    pub fn live(&self) -> u32 {
        self.live
    }

    /// Slots being filled.
    pub fn reserved(&self) -> u32 {
        self.reserved
    }

    /// One past the highest index ever used.
    pub fn used(&self) -> u32 {
        self.fresh
    }

    /// A slot's state.
    pub fn state(&self, index: u32) -> State {
        self.slot(index).state
    }

    /// The opcode that [`Slots::activate`] was given.
    #[inline(always)]
    pub fn op(&self, index: u32) -> u8 {
        self.slot(index).op
    }

    /// The SQE flags that [`Slots::activate`] was given.
    #[inline(always)]
    pub fn sqe_flags(&self, index: u32) -> u8 {
        self.slot(index).sqe_flags
    }

    /// Where the payload lives. It stays there until the slot is freed (I1).
    #[inline(always)]
    pub fn payload(&self, index: u32) -> *mut P {
        debug_assert!(index < self.capacity);
        // SAFETY: in bounds as in `slot`; only the address is taken (I1, I5).
        unsafe { &raw mut (*self.base.as_ptr().add(index as usize)).payload }
    }

    /// Take a free slot to fill.
    #[inline(always)]
    pub fn reserve(&mut self) -> Option<u32> {
        let index = self.free_head;
        let index = if index != NONE {
            self.free_head = self.slot(index).next_free;
            index
        } else if self.fresh < self.capacity {
            self.fresh += 1;
            self.fresh - 1
        } else {
            return None;
        };
        debug_assert_eq!(self.slot(index).state, State::Free);
        self.slot_mut(index).state = State::Reserved;
        self.reserved += 1;
        Some(index)
    }

    /// The key that names the slot's present occupant.
    #[inline(always)]
    pub fn key(&self, index: u32) -> u64 {
        (u64::from(self.slot(index).generation) << 32) | (u64::from(index) << 8)
    }

    /// The reserved slot's request is staged: from here its memory is the kernel's (I2).
    #[inline(always)]
    pub fn activate(&mut self, index: u32, op: u8, sqe_flags: u8) {
        let slot = self.slot_mut(index);
        debug_assert_eq!(slot.state, State::Reserved);
        slot.state = State::Live;
        slot.op = op;
        slot.sqe_flags = sqe_flags;
        self.reserved -= 1;
        self.live += 1;
    }

    /// Undo [`Slots::activate`] of a request that was never published.
    pub fn deactivate(&mut self, index: u32) {
        debug_assert_eq!(self.slot(index).state, State::Live);
        self.slot_mut(index).state = State::Reserved;
        self.live -= 1;
        self.reserved += 1;
    }

    /// Whose completion is this? None for a key that no live request has.
    #[inline(always)]
    pub fn lookup(&self, key: u64) -> Option<u32> {
        let index = ((key >> 8) & 0xff_ffff) as u32;
        if key & 0xff != Kind::Request as u64 || index >= self.capacity {
            return None;
        }
        let slot = self.slot(index);
        let ours = slot.state == State::Live && slot.generation == (key >> 32) as u32;
        ours.then_some(index)
    }

    /// The terminal completion came: the kernel is done with the slot's memory.
    #[inline(always)]
    pub fn finish(&mut self, index: u32) {
        let slot = self.slot_mut(index);
        debug_assert_eq!(slot.state, State::Live);
        slot.state = State::Terminal;
        self.live -= 1;
    }

    /// Make a reserved or finished slot free again. The payload must be back to its empty state.
    #[inline(always)]
    pub fn free(&mut self, index: u32) {
        let next = self.free_head;
        let slot = self.slot_mut(index);
        debug_assert!(matches!(slot.state, State::Reserved | State::Terminal));
        let was_reserved = slot.state == State::Reserved;
        slot.state = State::Free;
        slot.generation = slot.generation.wrapping_add(1);
        slot.next_free = next;
        self.free_head = index;
        self.reserved -= u32::from(was_reserved);
    }

    /// Indices of the live slots.
    pub fn live_indices(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.fresh).filter(|&index| self.slot(index).state == State::Live)
    }

    /// Let the memory go with whatever is in it: for requests whose end we cannot see (I2).
    pub fn leak(self) {
        self.is_leaked();
        core::mem::forget(self);
    }

    /// The memory stays for ever, and is meant to.
    fn is_leaked(&self) {
        #[cfg(sanitized)]
        if self.room == 0 {
            crate::sys::sanitize::leaked(self.base.as_ptr().cast());
        }
    }
}

impl<P> Drop for Slots<P> {
    fn drop(&mut self) {
        debug_assert!(
            self.live == 0 || std::thread::panicking(),
            "slots of live requests must be leaked, never freed (I2)"
        );
        if self.live > 0 || self.reserved > 0 {
            self.is_leaked();
            return;
        }
        let slots = if self.room > 0 { self.room } else { self.capacity };
        let layout = Layout::array::<Slot<P>>(slots as usize).expect("as in new");
        if self.room > 0 {
            let size = |slots: u32| slots as usize * size_of::<Slot<P>>();
            let (usable, written) = (size(self.capacity), size(self.fresh));
            // SAFETY: reserved in `growable` with this length, and no request is live (I2). Slots
            // that were never used are still zero.
            unsafe { spare::SHELF.give_back(self.base.cast(), layout.size(), usable, written) };
            return;
        }
        // SAFETY: allocated in `new` with this layout, and no request is live (I2).
        unsafe { dealloc(self.base.as_ptr().cast(), layout) };
    }
}

// SAFETY: the slots are plain memory owned by this value; payloads decide for themselves (I1).
unsafe impl<P: Send> Send for Slots<P> {}

#[cfg(test)]
mod tests {
    use super::*;

    struct Empty;
    // SAFETY: there are no bytes.
    unsafe impl Zeroed for Empty {}

    /// 2^32 uses of one slot take too long to wait for, so the generation is set to its end.
    #[test]
    fn generations_wrap() {
        let mut slots = Slots::<Empty>::new(2).expect("memory");
        let index = slots.reserve().unwrap();
        slots.slot_mut(index).generation = u32::MAX;
        slots.activate(index, 0, 0);
        let last = slots.key(index);
        assert_eq!((last, slots.lookup(last)), (0xffff_ffff_0000_0000, Some(index)));
        slots.finish(index);
        slots.free(index);
        let index = slots.reserve().unwrap();
        slots.activate(index, 0, 0);
        let first = slots.key(index);
        assert_eq!((first, slots.lookup(first), slots.lookup(last)), (0, Some(index), None));
        slots.finish(index);
        slots.free(index);
    }
}
