//! The submission queue: we stage entries and publish the tail; the kernel takes them and moves the
//! head. All indices run freely through 2^32 and are compared only by wrapping subtraction.

use crate::ring::word::{full_fence, Entries, Word};
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::{IORING_SQ_CQ_OVERFLOW, IORING_SQ_NEED_WAKEUP, IORING_SQ_TASKRUN};

/// No free submission entry: submit first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqFull;

/// The second half of a 128-byte entry: the rest of its command data.
pub type SecondHalf = [u64; 8];

/// Our side of the submission queue.
pub struct Sq {
    khead: Word,
    ktail: Word,
    kflags: Word,
    entries: Entries<io_uring_sqe>,
    /// Where the second halves of 128-byte entries are.
    second: Option<Entries<io_uring_sqe>>,
    size: u32,
    /// Where the next entry is staged. `published..tail` is ours to change or take back (I11).
    tail: u32,
    published: u32,
    /// The kernel's head as last seen: it only ever moves forward, so this errs on the safe side.
    head_seen: u32,
}

impl Sq {
    /// A queue over mapped words and entries.
    ///
    /// # Safety
    /// The views must belong to one ring and stay valid as long as the queue is used (I8).
    pub unsafe fn new(
        khead: Word,
        ktail: Word,
        kflags: Word,
        entries: Entries<io_uring_sqe>,
        size: u32,
    ) -> Self {
        let tail = ktail.relaxed();
        let head_seen = khead.acquire();
        let second = entries.second_halves();
        Sq { khead, ktail, kflags, entries, second, size, tail, published: tail, head_seen }
    }

    /// The queue of a closed ring: no entries, nothing pending, always full.
    pub fn detached() -> Self {
        let word = Word::detached();
        let entries = Entries::detached();
        Sq {
            khead: word,
            ktail: word,
            kflags: word,
            entries,
            second: None,
            size: 0,
            tail: 0,
            published: 0,
            head_seen: 0,
        }
    }

    /// How many entries the queue has.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// The kernel's head. Acquire pairs with its release after it has read the entries, so that
    /// writing them anew cannot overtake its reads (I11).
    #[inline]
    fn head(&mut self) -> u32 {
        self.head_seen = self.khead.acquire();
        self.head_seen
    }

    /// Free entries.
    #[inline]
    pub fn space(&mut self) -> u32 {
        let head = self.head();
        self.size - self.tail.wrapping_sub(head)
    }

    /// Entries staged or published that the kernel has not taken.
    #[inline]
    pub fn pending(&mut self) -> u32 {
        let head = self.head();
        self.tail.wrapping_sub(head)
    }

    /// Entries staged but not yet published.
    #[inline]
    pub fn staged(&self) -> u32 {
        self.tail.wrapping_sub(self.published)
    }

    /// Where the next entry will go; a mark for [`Sq::rollback`].
    #[inline]
    pub fn mark(&self) -> u32 {
        self.tail
    }

    /// Has the queue entries of 128 bytes?
    pub fn wide(&self) -> bool {
        self.second.is_some()
    }

    /// Stage one entry. The second half of a 128-byte one is zeroes.
    #[inline(always)]
    pub fn push(&mut self, sqe: io_uring_sqe) -> Result<(), SqFull> {
        if self.tail.wrapping_sub(self.head_seen) >= self.size {
            self.head();
            if self.tail.wrapping_sub(self.head_seen) >= self.size {
                return Err(SqFull);
            }
        }
        // SAFETY: below head + size, so the kernel is done with the entry's last use (I11).
        unsafe { self.entries.write(self.tail, sqe) };
        if let Some(second) = &self.second {
            // What an earlier entry left there must not be taken for this one's.
            // SAFETY: the other half of the same entry (I11).
            unsafe { second.write(self.tail, io_uring_sqe::default()) };
        }
        self.tail = self.tail.wrapping_add(1);
        Ok(())
    }

    /// Stage one entry of 128 bytes, on a queue that has such.
    pub fn push_wide(&mut self, sqe: io_uring_sqe, half: &SecondHalf) -> Result<(), SqFull> {
        let at = self.tail;
        self.push(sqe)?;
        if let Some(second) = &self.second {
            // SAFETY: plain numbers of the same size, without padding on either side.
            let half = unsafe { core::mem::transmute::<SecondHalf, io_uring_sqe>(*half) };
            // SAFETY: staged just now and not published, so ours (I11).
            unsafe { second.write(at, half) };
        }
        Ok(())
    }

    /// Copies of all staged entries, oldest first, with their second halves.
    pub fn staged_entries(&self) -> Vec<(io_uring_sqe, SecondHalf)> {
        let entry = |ahead: u32| {
            let at = self.published.wrapping_add(ahead);
            // SAFETY: staged and unpublished, so ours (I11).
            let first = unsafe { self.entries.read(at) };
            // SAFETY: as above, and plain numbers of the same size.
            let half = self.second.as_ref().map(|second| unsafe {
                core::mem::transmute::<io_uring_sqe, SecondHalf>(second.read(at))
            });
            (first, half.unwrap_or_default())
        };
        (0..self.staged()).map(entry).collect()
    }

    /// Show the kernel all staged entries. Returns how many it may now take.
    #[inline]
    pub fn publish(&mut self) -> u32 {
        self.publish_to(self.tail)
    }

    /// Show the kernel the staged entries before position `mark`, which must be staged or the tail.
    #[inline]
    pub fn publish_to(&mut self, mark: u32) -> u32 {
        debug_assert!(mark.wrapping_sub(self.published) <= self.staged(), "not staged (I11)");
        if mark != self.published {
            self.published = mark;
            // Release pairs with the kernel's smp_load_acquire of the tail: entries first.
            self.ktail.release(mark);
        }
        let head = self.head();
        self.published.wrapping_sub(head)
    }

    /// Take back what was staged since `mark` and not published; `each` gets every entry's
    /// `user_data`, newest first. Returns how many.
    pub fn rollback(&mut self, mark: u32, mut each: impl FnMut(u64)) -> u32 {
        // A mark from before the last publication takes all that is staged; one that an earlier
        // rollback has left ahead of the tail takes nothing.
        let ahead = mark.wrapping_sub(self.published);
        let keep = if (ahead as i32) < 0 { 0 } else { ahead.min(self.staged()) };
        let count = self.staged() - keep;
        for _ in 0..count {
            self.tail = self.tail.wrapping_sub(1);
            // SAFETY: staged and unpublished, so ours (I11).
            each(unsafe { self.entries.read(self.tail) }.user_data);
        }
        count
    }

    /// Un-publish what the kernel has not taken, so that [`Sq::rollback`] can take it back.
    ///
    /// Only for rings without a kernel poll thread, while nobody is inside enter: then the kernel
    /// reads the queue at no other time.
    pub fn unpublish(&mut self) {
        let head = self.head();
        if head != self.published {
            self.published = head;
            self.ktail.release(head);
        }
    }

    /// The `user_data` of the entry at `position`, which must be staged.
    pub fn staged_user_data(&self, position: u32) -> Option<u64> {
        let ahead = position.wrapping_sub(self.published);
        // SAFETY: staged and unpublished, so ours (I11).
        (ahead < self.staged()).then(|| unsafe { self.entries.read(position) }.user_data)
    }

    /// Does the kernel's poll thread sleep and want a wake-up?
    ///
    /// The thread sets NEED_WAKEUP and then looks at the tail once more; we stored the tail and
    /// now look at NEED_WAKEUP. Store-then-load on both sides needs a full barrier on both, or
    /// each may miss the other's store and the entries wait for ever. Release/acquire is not
    /// enough, not even on x86.
    #[inline]
    pub fn needs_wakeup(&self) -> bool {
        full_fence();
        self.kflags.relaxed() & IORING_SQ_NEED_WAKEUP != 0
    }

    /// Must we enter the kernel to see completions that it holds back?
    #[inline]
    pub fn wants_enter(&self) -> bool {
        self.kflags.relaxed() & (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN) != 0
    }

    /// Are completions waiting outside the full completion queue?
    pub fn cq_overflowed(&self) -> bool {
        self.kflags.relaxed() & IORING_SQ_CQ_OVERFLOW != 0
    }
}
