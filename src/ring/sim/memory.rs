//! The memory that a simulated ring shares with its user: ordinary heap memory, laid out as the
//! kernel lays out `struct io_rings`, seen from the kernel's side.

use std::alloc::{alloc_zeroed, dealloc, handle_alloc_error, Layout};
use std::ptr::NonNull;

use super::options::Options;
use crate::ring::word::{full_fence, Entries, Word};
use crate::sys::abi::{io_cqring_offsets, io_sqring_offsets, io_uring_cqe, io_uring_sqe};
use crate::sys::consts::*;

/// mmap(2) gives whole pages.
const PAGE: usize = 4096;

/// What retired memory is filled with, so that a late reader finds nonsense at once.
const RETIRED: u8 = 0xdb;

/// A page-aligned piece of zeroed heap memory.
pub(super) struct Region {
    base: NonNull<u8>,
    layout: Layout,
}

// SAFETY: an address and a length; every access is through atomics or by the rules of the rings,
// and the kernel's side of those is taken under the simulation's lock (I4).
unsafe impl Send for Region {}

impl Region {
    fn new(len: usize) -> Self {
        let len = len.max(1).next_multiple_of(PAGE);
        let layout = Layout::from_size_align(len, PAGE)
            .unwrap_or_else(|_| panic!("a simulated region of {len} bytes"));
        // SAFETY: the size is not zero; freed only once nobody maps the region (I8).
        let Some(base) = NonNull::new(unsafe { alloc_zeroed(layout) }) else {
            handle_alloc_error(layout)
        };
        Region { base, layout }
    }

    pub(super) fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(super) fn len(&self) -> usize {
        self.layout.size()
    }

    fn at<T>(&self, offset: u32) -> NonNull<T> {
        debug_assert!(offset as usize + size_of::<T>() <= self.len());
        // SAFETY: within the region, by the layout that `RingMemory::new` computed (I8).
        unsafe { self.base.add(offset as usize) }.cast()
    }

    fn word(&self, offset: u32) -> Word {
        // SAFETY: in the region, aligned, and the view does not outlive it: `Word`s are made anew
        // for each access or live beside the region (I8).
        unsafe { Word::new(self.at(offset)) }
    }

    /// Nobody should look at it any more; whoever does shall notice.
    pub(super) fn retire(&mut self) {
        // SAFETY: our own memory, of this size, no longer mapped by anybody (I8).
        unsafe { self.base.as_ptr().write_bytes(RETIRED, self.len()) };
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout by `new`, freed once (I8).
        unsafe { dealloc(self.base.as_ptr(), self.layout) };
    }
}

/// One ring's shared memory.
pub(super) struct RingMemory {
    pub(super) sq: Region,
    /// The completion queue's own region, on kernels without FEAT_SINGLE_MMAP.
    pub(super) cq: Option<Region>,
    pub(super) sqes: Region,
    pub(super) sq_off: io_sqring_offsets,
    pub(super) cq_off: io_cqring_offsets,
    sq_entries: u32,
    cq_entries: u32,
    sqe_shift: u32,
    cqe_shift: u32,
}

/// Offsets of the words: [sq head, sq tail, cq head, cq tail, sq mask, cq mask, sq entries,
/// cq entries, dropped, sq flags, cq flags, overflow, cqes].
const COMPACT: [u32; 13] = [0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 64];
const ROOMY: [u32; 13] = [0, 64, 128, 192, 256, 260, 264, 268, 272, 276, 280, 284, 320];

impl RingMemory {
    pub(super) fn new(options: &Options, flags: u32, sq_entries: u32, cq_entries: u32) -> Self {
        let at = if options.roomy_layout { ROOMY } else { COMPACT };
        let sqe_shift = u32::from(flags & IORING_SETUP_SQE128 != 0);
        let cqe_shift = u32::from(flags & IORING_SETUP_CQE32 != 0);
        let single = options.features & IORING_FEAT_SINGLE_MMAP != 0;
        let cqes_end = at[12] + ((cq_entries * 16) << cqe_shift);
        let array = match (flags & IORING_SETUP_NO_SQARRAY != 0, single) {
            (true, _) => 0,
            (false, true) => cqes_end.next_multiple_of(64),
            (false, false) => at[12],
        };
        let sq_end = if array == 0 { at[12] } else { array + sq_entries * 4 };
        let sq_len = if single { sq_end.max(cqes_end) } else { sq_end };
        let memory = RingMemory {
            sq: Region::new(sq_len as usize),
            cq: (!single).then(|| Region::new(cqes_end as usize)),
            sqes: Region::new((sq_entries as usize * 64) << sqe_shift),
            sq_off: io_sqring_offsets {
                head: at[0],
                tail: at[1],
                ring_mask: at[4],
                ring_entries: at[6],
                dropped: at[8],
                flags: at[9],
                array,
                ..Default::default()
            },
            cq_off: io_cqring_offsets {
                head: at[2],
                tail: at[3],
                ring_mask: at[5],
                ring_entries: at[7],
                flags: at[10],
                overflow: at[11],
                cqes: at[12],
                ..Default::default()
            },
            sq_entries,
            cq_entries,
            sqe_shift,
            cqe_shift,
        };
        memory.init(options);
        memory
    }

    fn init(&self, options: &Options) {
        let cq = self.cq_region();
        for (region, offset, value) in [
            (&self.sq, self.sq_off.head, options.sq_start),
            (&self.sq, self.sq_off.tail, options.sq_start),
            (&self.sq, self.sq_off.ring_mask, self.sq_entries - 1),
            (&self.sq, self.sq_off.ring_entries, self.sq_entries),
            (cq, self.cq_off.head, options.cq_start),
            (cq, self.cq_off.tail, options.cq_start),
            (cq, self.cq_off.ring_mask, self.cq_entries - 1),
            (cq, self.cq_off.ring_entries, self.cq_entries),
        ] {
            region.word(offset).release(value);
        }
    }

    fn cq_region(&self) -> &Region {
        self.cq.as_ref().unwrap_or(&self.sq)
    }

    /// Bytes of all regions.
    pub(super) fn len(&self) -> usize {
        self.sq.len() + self.sqes.len() + self.cq.as_ref().map_or(0, Region::len)
    }

    /// The region that is mapped at an IORING_OFF_* offset.
    pub(super) fn region(&self, offset: u64) -> Option<&Region> {
        match offset {
            IORING_OFF_SQ_RING => Some(&self.sq),
            IORING_OFF_CQ_RING => Some(self.cq_region()),
            IORING_OFF_SQES => Some(&self.sqes),
            _ => None,
        }
    }

    /// The user's tail; everything below it was written before (its release, our acquire).
    pub(super) fn sq_tail(&self) -> u32 {
        self.sq.word(self.sq_off.tail).acquire()
    }

    /// Give the places of taken entries back.
    pub(super) fn set_sq_head(&self, head: u32) {
        self.sq.word(self.sq_off.head).release(head);
    }

    /// Read the entry at free-running position `head`; None if the index array points nowhere.
    pub(super) fn sqe(&self, head: u32) -> Option<io_uring_sqe> {
        let mut index = head & (self.sq_entries - 1);
        if self.sq_off.array != 0 {
            index = self.sq.word(self.sq_off.array + index * 4).relaxed();
            if index >= self.sq_entries {
                let dropped = self.sq.word(self.sq_off.dropped);
                dropped.release(dropped.relaxed().wrapping_add(1));
                return None;
            }
        }
        // SAFETY: the region holds this many entries of this size (I8).
        let entries = unsafe {
            Entries::<io_uring_sqe>::new(self.sqes.at(0), self.sq_entries - 1, self.sqe_shift)
        };
        // SAFETY: below the user's tail, so ours to read until the head passes it (I11).
        Some(unsafe { entries.read(index) })
    }

    /// The user's head: the places below it are free again (its release, our acquire).
    pub(super) fn cq_head(&self) -> u32 {
        self.cq_region().word(self.cq_off.head).acquire()
    }

    /// Write a completion at free-running position `tail`, which must be free, and publish it.
    pub(super) fn post(&self, tail: u32, cqe: io_uring_cqe) {
        let region = self.cq_region();
        let base = region.at(self.cq_off.cqes);
        // SAFETY: the region holds this many entries of this size (I8).
        let entries =
            unsafe { Entries::<io_uring_cqe>::new(base, self.cq_entries - 1, self.cqe_shift) };
        // SAFETY: the caller checked that the user's head has passed the place's last use (I4).
        unsafe { entries.write(tail, cqe) };
        region.word(self.cq_off.tail).release(tail.wrapping_add(1));
    }

    /// One more completion is lost for good.
    pub(super) fn count_dropped_cqe(&self) {
        let overflow = self.cq_region().word(self.cq_off.overflow);
        overflow.release(overflow.relaxed().wrapping_add(1));
    }

    /// Does the user not want to hear from the eventfd?
    pub(super) fn eventfd_disabled(&self) -> bool {
        self.cq_region().word(self.cq_off.flags).relaxed() & IORING_CQ_EVENTFD_DISABLED != 0
    }

    /// Set or clear bits of the submission queue's flags word, which only the kernel writes.
    pub(super) fn set_sq_flag(&self, bit: u32, on: bool) {
        let word = self.sq.word(self.sq_off.flags);
        let old = word.relaxed();
        word.release(if on { old | bit } else { old & !bit });
        // The poll thread sets NEED_WAKEUP and then reads the tail: store before load.
        full_fence();
    }

    /// Take the regions out, to keep them where nobody maps them any more.
    pub(super) fn into_regions(self) -> impl Iterator<Item = Region> {
        [Some(self.sq), self.cq, Some(self.sqes)].into_iter().flatten()
    }
}
