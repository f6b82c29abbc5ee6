//! The completion queue: the kernel publishes the tail, we copy entries out and publish the head
//! once per batch.

use crate::ring::word::{Entries, Word};
use crate::sys::abi::io_uring_cqe;
use crate::sys::consts::{IORING_CQE_F_32, IORING_CQE_F_SKIP, IORING_CQ_EVENTFD_DISABLED};

/// What a 32-byte completion carries beside an ordinary one.
pub type BigCqe = [u64; 2];

/// How large completions are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// 16 bytes each.
    Plain,
    /// 32 bytes each (CQE32).
    Big,
    /// Some have 32 bytes and take two places (CQE_MIXED).
    Mixed,
}

/// Our side of the completion queue.
pub struct Cq {
    khead: Word,
    ktail: Word,
    koverflow: Word,
    /// None before Linux 5.8, and of a closed ring.
    kflags: Option<Word>,
    entries: Entries<io_uring_cqe>,
    size: u32,
    head: u32,
    /// The kernel's tail as last seen.
    tail_seen: u32,
    layout: Layout,
    /// The completion that was last taken had 32 bytes: `extra` is the rest of it.
    was_big: bool,
    extra: BigCqe,
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
        let layout = if entries.wide() { Layout::Big } else { Layout::Plain };
        Cq {
            khead,
            ktail,
            koverflow,
            kflags: None,
            entries,
            size,
            head,
            tail_seen: head,
            layout,
            was_big: false,
            extra: [0; 2],
        }
    }

    /// The same with the word of flags that the kernel looks at.
    ///
    /// # Safety
    /// As for [`Cq::new`].
    pub unsafe fn with_flags(self, kflags: Word) -> Self {
        Cq { kflags: Some(kflags), ..self }
    }

    /// The same for a ring whose completions have 16 or 32 bytes (CQE_MIXED).
    pub fn mixed(self) -> Self {
        Cq { layout: Layout::Mixed, ..self }
    }

    /// The queue of a closed ring: always empty.
    pub fn detached() -> Self {
        let word = Word::detached();
        // SAFETY: no entry is ever read: the tail stays where the head is.
        unsafe { Cq::new(word, word, word, Entries::detached(), 0) }
    }

    /// How many entries the queue has.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Places with something in them. As many completions, except that on a mixed ring some take
    /// two and some are nothing but fillers.
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
        if self.layout != Layout::Plain {
            return self.pop_big();
        }
        // SAFETY: between our head and the kernel's tail, whose acquire made the entry visible (I4).
        let cqe = unsafe { self.entries.read(self.head) };
        self.head = self.head.wrapping_add(1);
        Some(cqe)
    }

    /// Copy the next completion out, if it is known to be there and its `user_data` is `wanted`.
    #[inline(always)]
    pub fn pop_if(&mut self, wanted: impl Fn(u64) -> bool) -> Option<io_uring_cqe> {
        if self.head == self.tail_seen || self.layout != Layout::Plain {
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

    /// [`Cq::pop`] where completions may have 32 bytes, and there is something.
    #[cold]
    fn pop_big(&mut self) -> Option<io_uring_cqe> {
        loop {
            // SAFETY: as in `pop`: the head is not at the tail (I4).
            let cqe = unsafe { self.entries.read(self.head) };
            let rest = match self.layout {
                Layout::Mixed if cqe.flags & IORING_CQE_F_SKIP != 0 => {
                    // It fills the last place before the wrap, which a big one does not fit into.
                    self.head = self.head.wrapping_add(1);
                    if self.head == self.tail_seen && self.ready() == 0 {
                        return None;
                    }
                    continue;
                }
                Layout::Mixed if cqe.flags & IORING_CQE_F_32 != 0 => self.second_place(),
                // SAFETY: the other half of the same entry (I4).
                _ => self.entries.second_halves().map(|halves| unsafe { halves.read(self.head) }),
            };
            let two = self.layout == Layout::Mixed && rest.is_some();
            self.head = self.head.wrapping_add(if two { 2 } else { 1 });
            self.was_big = rest.is_some();
            if let Some(rest) = rest {
                // SAFETY: plain numbers of the same size, without padding on either side.
                self.extra = unsafe { core::mem::transmute::<io_uring_cqe, BigCqe>(rest) };
            }
            return Some(cqe);
        }
    }

    /// The second place of a big completion. The kernel publishes both at once and never wraps
    /// between them; where that does not hold, the flag is not the kernel's own (MSG_RING lets a
    /// sender choose flags), and the completion is a small one.
    fn second_place(&self) -> Option<io_uring_cqe> {
        let there = self.tail_seen.wrapping_sub(self.head) >= 2;
        let wraps = self.head & (self.size - 1) == self.size - 1;
        // SAFETY: before the kernel's tail, as just checked (I4).
        (there && !wraps).then(|| unsafe { self.entries.read(self.head.wrapping_add(1)) })
    }

    /// The rest of the completion that [`Cq::pop`] gave last, if it had 32 bytes.
    #[inline(always)]
    pub fn big(&self) -> Option<BigCqe> {
        self.was_big.then_some(self.extra)
    }

    /// Give the places of all copied completions back to the kernel.
    #[inline(always)]
    pub fn publish(&mut self) {
        // Release pairs with the kernel's acquire of the head: our reads come first.
        self.khead.release(self.head);
    }

    /// Does the kernel signal a registered eventfd?
    pub fn eventfd_enabled(&self) -> bool {
        self.kflags.is_none_or(|flags| flags.relaxed() & IORING_CQ_EVENTFD_DISABLED == 0)
    }

    /// Have it do so, or not. False where it always does.
    pub fn enable_eventfd(&mut self, enabled: bool) -> bool {
        let Some(word) = self.kflags else { return enabled };
        let rest = word.relaxed() & !IORING_CQ_EVENTFD_DISABLED;
        // Only we write this word.
        word.release(if enabled { rest } else { rest | IORING_CQ_EVENTFD_DISABLED });
        true
    }

    /// Completions the kernel dropped for want of memory: their requests' slots can never be freed.
    pub fn dropped(&self) -> u32 {
        self.koverflow.relaxed()
    }
}
