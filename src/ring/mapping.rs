//! The ring's shared memory: one or two mappings for the queues, one for the submission entries;
//! or one piece of our own for all of it (NO_MMAP).

use core::ptr::NonNull;

use crate::ring::cq::Cq;
use crate::ring::error::{Call, RingError};
use crate::ring::kernel::Kernel;
use crate::ring::params::Sizes;
use crate::ring::sq::Sq;
use crate::ring::word::{Entries, Word};
use crate::sys::abi::{io_uring_cqe, io_uring_params, io_uring_sqe};
use crate::sys::consts::*;
use crate::sys::syscall;

#[derive(Clone, Copy)]
struct Map {
    base: NonNull<u8>,
    len: usize,
}

impl Map {
    fn new<K: Kernel>(kernel: &K, fd: i32, len: usize, offset: u64) -> Result<Self, RingError> {
        let base = kernel.map(fd, len, offset).map_err(|e| RingError::Sys(Call::Map, e))?;
        Ok(Map { base, len })
    }

    /// A word at `offset`.
    fn word(&self, offset: u32) -> Word {
        debug_assert!(offset as usize + 4 <= self.len);
        // SAFETY: the kernel gave the offset for this mapping, which outlives the queues (I8).
        unsafe { Word::new(self.base.add(offset as usize).cast()) }
    }

    fn at<T>(&self, offset: u32) -> NonNull<T> {
        debug_assert!((offset as usize) < self.len);
        // SAFETY: as in `word` (I8).
        unsafe { self.base.add(offset as usize) }.cast()
    }
}

/// Bytes of the queues' mapping: those of the submission queue's words, of the completion queue.
fn queue_lengths(p: &io_uring_params) -> (usize, usize) {
    let sq_len = if p.flags & IORING_SETUP_NO_SQARRAY != 0 {
        p.sq_off.dropped as usize + 4
    } else {
        p.sq_off.array as usize + p.sq_entries as usize * 4
    };
    (sq_len, p.cq_off.cqes as usize + p.cq_entries as usize * cqe_size(p))
}

fn sqe_size(p: &io_uring_params) -> usize {
    core::mem::size_of::<io_uring_sqe>() << sqe_shift(p)
}

fn cqe_size(p: &io_uring_params) -> usize {
    core::mem::size_of::<io_uring_cqe>() << cqe_shift(p)
}

/// Memory of our own, for the kernel to put a ring into.
pub struct OwnMemory {
    all: Map,
    /// Where the submission entries begin.
    sqes: usize,
    huge: bool,
}

/// More than the words before the completions take (64 bytes in Linux 6.18, 320 at most so far),
/// and than the kernel aligns the index array by. What a later kernel needs beyond that is found
/// out by [`OwnMemory::into_maps`].
const WORDS_ROOM: usize = 4096;

/// Bytes of the huge pages that are asked for.
const HUGE_PAGE: usize = 2 << 20;

impl OwnMemory {
    /// Memory for a ring of these sizes, entered in `p`.
    pub fn new<K: Kernel>(
        kernel: &K,
        p: &mut io_uring_params,
        sizes: Sizes,
        huge: bool,
    ) -> Result<Self, RingError> {
        let page = syscall::page_size();
        let queues = WORDS_ROOM + sizes.cq as usize * cqe_size(p) + sizes.sq as usize * 4;
        let sqes = queues.next_multiple_of(page);
        let len = sqes + (sizes.sq as usize * sqe_size(p)).next_multiple_of(page);
        let len = if huge { len.next_multiple_of(HUGE_PAGE) } else { len };
        let base = kernel.allocate(len, huge).map_err(|errno| match huge {
            true => RingError::NoHugePages(errno),
            false => RingError::Sys(Call::Map, errno),
        })?;
        p.cq_off.user_addr = base.as_ptr() as u64;
        p.sq_off.user_addr = base.as_ptr() as u64 + sqes as u64;
        Ok(OwnMemory { all: Map { base, len }, sqes, huge })
    }

    /// The memory as the maps of the ring that `p` describes. None, with the memory leaked, if the
    /// kernel uses more of it than there is.
    pub fn into_maps(self, p: &io_uring_params) -> Option<Maps> {
        let (sq_len, cq_len) = queue_lengths(p);
        let (entries, room) = (p.sq_entries as usize * sqe_size(p), self.all.len - self.sqes);
        if sq_len.max(cq_len) > self.sqes || entries > room {
            return None;
        }
        // SAFETY: within the memory allocated by `new` (I8).
        let sqes = Map { base: unsafe { self.all.base.add(self.sqes) }, len: room };
        Some(Maps { rings: Map { len: self.sqes, ..self.all }, cq: None, sqes, own: Some(self) })
    }

    /// Give it back.
    ///
    /// # Safety
    /// No ring may use it (I8).
    pub unsafe fn free<K: Kernel>(self, kernel: &K) {
        // SAFETY: allocated by `new`, freed once: `self` is consumed (I8).
        unsafe { kernel.unmap(self.all.base, self.all.len) };
    }
}

/// All mappings of one ring. Not unmapped on drop: only [`Maps::unmap`] does, when no request is
/// live any more (I8); otherwise they leak.
pub struct Maps {
    rings: Map,
    /// The completion queue's own mapping on kernels without FEAT_SINGLE_MMAP.
    cq: Option<Map>,
    sqes: Map,
    /// The memory that the others are parts of, if it is ours.
    own: Option<OwnMemory>,
}

impl Maps {
    /// Map what the kernel described in `params`.
    pub fn new<K: Kernel>(kernel: &K, fd: i32, p: &io_uring_params) -> Result<Self, RingError> {
        let (sq_len, cq_len) = queue_lengths(p);
        let single = p.features & IORING_FEAT_SINGLE_MMAP != 0;
        let rings_len = if single { sq_len.max(cq_len) } else { sq_len };
        let rings = Map::new(kernel, fd, rings_len, IORING_OFF_SQ_RING)?;
        let cq = if single {
            None
        } else {
            match Map::new(kernel, fd, cq_len, IORING_OFF_CQ_RING) {
                Ok(map) => Some(map),
                Err(error) => {
                    // SAFETY: mapped above, used by nobody yet (I8).
                    unsafe { kernel.unmap(rings.base, rings.len) };
                    return Err(error);
                }
            }
        };
        match Map::new(kernel, fd, p.sq_entries as usize * sqe_size(p), IORING_OFF_SQES) {
            Ok(sqes) => Ok(Maps { rings, cq, sqes, own: None }),
            Err(error) => {
                for map in [Some(rings), cq].into_iter().flatten() {
                    // SAFETY: mapped above, used by nobody yet (I8).
                    unsafe { kernel.unmap(map.base, map.len) };
                }
                Err(error)
            }
        }
    }

    /// Is the memory ours, and if so, is it of huge pages?
    pub fn own_memory(&self) -> Option<bool> {
        self.own.as_ref().map(|own| own.huge)
    }

    /// The two queues over these mappings.
    pub fn queues(&self, p: &io_uring_params) -> (Sq, Cq) {
        let sq_off = &p.sq_off;
        if p.flags & IORING_SETUP_NO_SQARRAY == 0 {
            self.fill_sq_array(p);
        }
        // SAFETY: the mapping holds sq_entries entries of this size and outlives the queue (I8).
        let sqes = unsafe { Entries::new(self.sqes.at(0), p.sq_entries - 1, sqe_shift(p)) };
        // SAFETY: words and entries of the one ring described by `p` (I8).
        let sq = unsafe {
            Sq::new(
                self.rings.word(sq_off.head),
                self.rings.word(sq_off.tail),
                self.rings.word(sq_off.flags),
                sqes,
                p.sq_entries,
            )
        };
        let cq_map = self.cq.as_ref().unwrap_or(&self.rings);
        let cq_off = &p.cq_off;
        // SAFETY: as above for the completion entries (I8).
        let cqes = unsafe { Entries::new(cq_map.at(cq_off.cqes), p.cq_entries - 1, cqe_shift(p)) };
        // SAFETY: as above (I8).
        let cq = unsafe {
            Cq::new(
                cq_map.word(cq_off.head),
                cq_map.word(cq_off.tail),
                cq_map.word(cq_off.overflow),
                cqes,
                p.cq_entries,
            )
        };
        let cq = match cq_off.flags {
            0 => cq,
            // SAFETY: as above (I8).
            flags => unsafe { cq.with_flags(cq_map.word(flags)) },
        };
        (sq, if p.flags & IORING_SETUP_CQE_MIXED != 0 { cq.mixed() } else { cq })
    }

    /// Older layouts reach entries through an index array; entry i always sits at place i.
    fn fill_sq_array(&self, p: &io_uring_params) {
        for index in 0..p.sq_entries {
            self.rings.word(p.sq_off.array + index * 4).release(index);
        }
    }

    /// Unmap everything.
    ///
    /// # Safety
    /// The queues over these mappings must be gone, and no request may be live that has its
    /// entries or completions there (I8).
    pub unsafe fn unmap<K: Kernel>(self, kernel: &K) {
        if let Some(own) = self.own {
            // SAFETY: the caller's contract (I8).
            return unsafe { own.free(kernel) };
        }
        for map in [Some(self.sqes), self.cq, Some(self.rings)].into_iter().flatten() {
            // SAFETY: mapped by `new`, unmapped once: `self` is consumed (I8).
            unsafe { kernel.unmap(map.base, map.len) };
        }
    }
}

fn sqe_shift(p: &io_uring_params) -> u32 {
    u32::from(p.flags & IORING_SETUP_SQE128 != 0)
}

fn cqe_shift(p: &io_uring_params) -> u32 {
    u32::from(p.flags & IORING_SETUP_CQE32 != 0)
}

// SAFETY: plain addresses; who may touch the memory is decided by the ring that owns them (I8, I9).
unsafe impl Send for Maps {}
