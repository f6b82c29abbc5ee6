//! The completion queue: the kernel publishes the tail, we copy entries out and publish the head
//! once per batch.

use crate::ring::word::{Entries, Word};
use crate::sys::abi::io_uring_cqe;

/// Our side of the completion queue.
pub struct Cq {
    khead: Word,
    ktail: Word,
    koverflow: Word,
    entries: Entries<io_uring_cqe>,
    size: u32,
    head: u32,
    /// The kernel's tail as last seen.
    tail_seen: u32,
}

impl Cq {
    /// A queue over mapped words and entries.
    ///
    /// # Safety
    /// The views must belong to one ring and stay valid as long as the queue is used (I8).
    pub unsafe fn new(
        khead: Word,
        ktail: Word,
        koverflow: Word,
        entries: Entries<io_uring_cqe>,
        size: u32,
    ) -> Self {
        let head = khead.relaxed();
        Cq { khead, ktail, koverflow, entries, size, head, tail_seen: head }
    }

    /// The queue of a closed ring: always empty.
    pub fn detached() -> Self {
        let word = Word::detached();
        let entries = Entries::detached();
        Cq { khead: word, ktail: word, koverflow: word, entries, size: 0, head: 0, tail_seen: 0 }
    }

    /// How many entries the queue has.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Completions to be had now.
    #[inline]
    pub fn ready(&mut self) -> u32 {
        self.tail_seen = self.ktail.acquire();
        self.tail_seen.wrapping_sub(self.head)
    }

    /// Copy the next completion out. The kernel may reuse its place only after [`Cq::publish`].
    #[inline(always)]
    pub fn pop(&mut self) -> Option<io_uring_cqe> {
        if self.head == self.tail_seen && self.ready() == 0 {
            return None;
        }
        // SAFETY: between our head and the kernel's tail, whose acquire made the entry visible (I4).
        let cqe = unsafe { self.entries.read(self.head) };
        self.head = self.head.wrapping_add(1);
        Some(cqe)
    }

    /// Copy the next completion out, if it is known to be there and its `user_data` is `wanted`.
    #[inline(always)]
    pub fn pop_if(&mut self, wanted: impl Fn(u64) -> bool) -> Option<io_uring_cqe> {
        if self.head == self.tail_seen {
            return None;
        }
        // SAFETY: between our head and the kernel's tail, whose acquire made the entry visible (I4).
        let cqe = unsafe { self.entries.read(self.head) };
        if !wanted(cqe.user_data) {
            return None;
        }
        self.head = self.head.wrapping_add(1);
        Some(cqe)
    }

    /// Give the places of all copied completions back to the kernel.
    #[inline(always)]
    pub fn publish(&mut self) {
        // Release pairs with the kernel's acquire of the head: our reads come first.
        self.khead.release(self.head);
    }

    /// Completions the kernel dropped for want of memory: their requests' slots can never be freed.
    pub fn dropped(&self) -> u32 {
        self.koverflow.relaxed()
    }
}
