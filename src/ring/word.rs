//! The words and entries that the kernel and we share: the only place that touches them (I4).
//!
//! Under `--cfg loom` the same types sit on loom's atomics and cells, so that the queue code of
//! `sq.rs` and `cq.rs` is model-checked as it is, against a modelled kernel.

#[cfg(loom)]
use loom::cell::UnsafeCell;
#[cfg(loom)]
pub use loom::sync::atomic::{fence, AtomicU32, Ordering};

#[cfg(not(loom))]
use core::cell::UnsafeCell;
#[cfg(not(loom))]
pub use core::sync::atomic::{fence, AtomicU32, Ordering};

use core::ptr::NonNull;

use crate::sys::abi::{io_uring_buf, io_uring_buf_ring};

/// An index or flag word in memory shared with the kernel.
#[derive(Clone, Copy)]
pub struct Word(NonNull<AtomicU32>);

impl Word {
    /// A view of the word at `ptr`.
    ///
    /// # Safety
    /// `ptr` must be aligned, and valid for as long as the view is used (I8).
    pub unsafe fn new(ptr: NonNull<AtomicU32>) -> Self {
        Word(ptr)
    }

    /// A view of a word that is nobody's and always 0: what a closed ring looks at.
    pub fn detached() -> Self {
        #[cfg(not(loom))]
        {
            static NOBODYS: AtomicU32 = AtomicU32::new(0);
            Word(NonNull::from(&NOBODYS))
        }
        #[cfg(loom)]
        Word(NonNull::from(Box::leak(Box::new(AtomicU32::new(0)))))
    }

    #[inline(always)]
    fn get(&self) -> &AtomicU32 {
        // SAFETY: valid while the queue that owns this view exists (I8); shared memory is only
        // ever touched through this atomic (I4).
        unsafe { self.0.as_ref() }
    }

    /// Read what the other side published, and with it all it wrote before.
    #[inline(always)]
    pub fn acquire(&self) -> u32 {
        #[cfg(loom)]
        if weaken::chosen() == weaken::Weakened::Acquire {
            return self.relaxed();
        }
        self.get().load(Ordering::Acquire)
    }

    /// Read a word that orders nothing: flags, counters, our own index.
    #[inline(always)]
    pub fn relaxed(&self) -> u32 {
        self.get().load(Ordering::Relaxed)
    }

    /// Publish `value`, and with it all we wrote before.
    #[inline(always)]
    pub fn release(&self, value: u32) {
        #[cfg(loom)]
        if weaken::chosen() == weaken::Weakened::Release {
            return self.get().store(value, Ordering::Relaxed);
        }
        self.get().store(value, Ordering::Release);
    }
}

/// A power-of-two ring of entries shared with the kernel, indexed by free-running indices.
///
/// `shift` is 1 where entries are twice their size (SQE128, CQE32): entry `i` then sits at `2 * i`.
pub struct Entries<T> {
    base: NonNull<UnsafeCell<T>>,
    mask: u32,
    shift: u32,
}

impl<T: Copy> Entries<T> {
    /// A view of `mask + 1` entries at `base`.
    ///
    /// # Safety
    /// `base` must point at that many (times `1 << shift`) entries, aligned, valid as long as the
    /// view is used (I8).
    pub unsafe fn new(base: NonNull<T>, mask: u32, shift: u32) -> Self {
        Entries { base: base.cast(), mask, shift }
    }

    #[cfg(loom)]
    /// A view of loom's own cells, for models.
    ///
    /// # Safety
    /// As for [`Entries::new`].
    pub unsafe fn of_cells(base: NonNull<UnsafeCell<T>>, mask: u32) -> Self {
        Entries { base, mask, shift: 0 }
    }

    /// Are entries twice their size?
    #[inline(always)]
    pub fn wide(&self) -> bool {
        self.shift != 0
    }

    /// The second halves of wide entries, at the same indices. None if entries are not wide.
    pub fn second_halves(&self) -> Option<Entries<T>> {
        // SAFETY: a wide entry has room for two, so the one behind its first is in bounds (I8).
        self.wide().then(|| Entries { base: unsafe { self.base.add(1) }, ..*self })
    }

    /// A view of no entries at all.
    pub fn detached() -> Self {
        Entries { base: NonNull::dangling(), mask: 0, shift: 0 }
    }

    #[inline(always)]
    fn cell(&self, index: u32) -> *const UnsafeCell<T> {
        let position = ((index & self.mask) as usize) << self.shift;
        // SAFETY: masked, so within the entries that `new` was promised (I4).
        unsafe { self.base.as_ptr().add(position) }
    }

    /// Copy entry `index` out.
    ///
    /// # Safety
    /// The entry must be ours: between our head and the kernel's published tail.
    #[inline(always)]
    pub unsafe fn read(&self, index: u32) -> T {
        let cell = self.cell(index);
        // SAFETY: ours by the caller's contract, so the kernel does not write it (I4).
        #[cfg(not(loom))]
        let value = unsafe { UnsafeCell::raw_get(cell).read() };
        // SAFETY: as above; loom checks it.
        #[cfg(loom)]
        let value = unsafe { (*cell).with(|p| *p) };
        value
    }

    /// Write entry `index`.
    ///
    /// # Safety
    /// The entry must be ours: the kernel's head has passed its last use (I11).
    #[inline(always)]
    pub unsafe fn write(&self, index: u32, value: T) {
        let cell = self.cell(index);
        // SAFETY: ours by the caller's contract (I11).
        #[cfg(not(loom))]
        unsafe {
            UnsafeCell::raw_get(cell).write(value)
        };
        // SAFETY: as above; loom checks it.
        #[cfg(loom)]
        unsafe {
            (*cell).with_mut(|p| *p = value)
        };
    }
}

/// The entries of a ring of provided buffers, and the tail that hides in the first of them.
///
/// Outside of the models: there is one writer under a lock, and one acquire-release pair.
pub struct BufferEntries {
    base: NonNull<io_uring_buf>,
    mask: u16,
}

impl BufferEntries {
    /// A view of `mask + 1` entries at `base`.
    ///
    /// # Safety
    /// `base` must point at that many entries, aligned, valid as long as the view is used (I8).
    pub unsafe fn new(base: NonNull<io_uring_buf>, mask: u16) -> Self {
        BufferEntries { base, mask }
    }

    /// Write entry `index`, all of it but the place of the tail.
    ///
    /// # Safety
    /// The entry must be ours: the kernel's head has passed its last use (I11).
    pub unsafe fn write(&self, index: u16, value: io_uring_buf) {
        // SAFETY: masked, so within the entries that `new` was promised, and ours by the caller's
        // contract; raw, for the kernel may read the tail in it meanwhile (I4).
        unsafe {
            let entry = self.base.as_ptr().add(usize::from(index & self.mask));
            (&raw mut (*entry).addr).write(value.addr);
            (&raw mut (*entry).len).write(value.len);
            (&raw mut (*entry).bid).write(value.bid);
        }
    }

    /// Publish the tail, and with it all entries before it.
    pub fn publish(&self, tail: u16) {
        const OFFSET: usize = core::mem::offset_of!(io_uring_buf_ring, tail);
        // SAFETY: within the first entry, aligned to two; touched through this atomic only (I4).
        let word = unsafe {
            let place = self.base.as_ptr().cast::<u8>().add(OFFSET);
            &*place.cast::<core::sync::atomic::AtomicU16>()
        };
        word.store(tail, core::sync::atomic::Ordering::Release);
    }
}

/// A full barrier: what we stored before it is seen before what we load after it.
#[inline(always)]
pub fn full_fence() {
    #[cfg(loom)]
    if weaken::chosen() == weaken::Weakened::Fence {
        return;
    }
    fence(Ordering::SeqCst);
}

/// Mutations of this module for the models: a checker that has never been seen to object proves
/// nothing, so each ordering is weakened once and the model must notice. Nothing of this exists in
/// a normal build.
#[cfg(loom)]
pub mod weaken {
    use std::cell::Cell;

    /// The ordering that is left out.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Weakened {
        /// None: the code as it is.
        Nothing,
        /// [`Word::acquire`](super::Word::acquire) loads relaxed.
        Acquire,
        /// [`Word::release`](super::Word::release) stores relaxed.
        Release,
        /// [`full_fence`](super::full_fence) does nothing.
        Fence,
    }

    // A model's threads are all run by the thread of its test, so this reaches them and no other
    // test.
    std::thread_local!(static CHOSEN: Cell<Weakened> = const { Cell::new(Weakened::Nothing) });

    /// Leave `what` out in all models that this thread runs from now on.
    pub fn choose(what: Weakened) {
        CHOSEN.with(|chosen| chosen.set(what));
    }

    pub(super) fn chosen() -> Weakened {
        CHOSEN.with(Cell::get)
    }
}
