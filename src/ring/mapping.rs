//! The ring's shared memory: one or two mappings for the queues, one for the submission entries.

use core::ptr::NonNull;

use crate::ring::cq::Cq;
use crate::ring::error::{Call, RingError};
use crate::ring::kernel::Kernel;
use crate::ring::sq::Sq;
use crate::ring::word::{Entries, Word};
use crate::sys::abi::{io_uring_cqe, io_uring_params, io_uring_sqe};
use crate::sys::consts::*;

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

/// All mappings of one ring. Not unmapped on drop: only [`Maps::unmap`] does, when no request is
/// live any more (I8); otherwise they leak.
pub struct Maps {
    rings: Map,
    /// The completion queue's own mapping on kernels without FEAT_SINGLE_MMAP.
    cq: Option<Map>,
    sqes: Map,
}

impl Maps {
    /// Map what the kernel described in `params`.
    pub fn new<K: Kernel>(kernel: &K, fd: i32, p: &io_uring_params) -> Result<Self, RingError> {
        let sqe_size = core::mem::size_of::<io_uring_sqe>() << sqe_shift(p);
        let cqe_size = core::mem::size_of::<io_uring_cqe>() << cqe_shift(p);
        let sq_len = if p.flags & IORING_SETUP_NO_SQARRAY != 0 {
            p.sq_off.dropped as usize + 4
        } else {
            p.sq_off.array as usize + p.sq_entries as usize * 4
        };
        let cq_len = p.cq_off.cqes as usize + p.cq_entries as usize * cqe_size;
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
        match Map::new(kernel, fd, p.sq_entries as usize * sqe_size, IORING_OFF_SQES) {
            Ok(sqes) => Ok(Maps { rings, cq, sqes }),
            Err(error) => {
                for map in [Some(rings), cq].into_iter().flatten() {
                    // SAFETY: mapped above, used by nobody yet (I8).
                    unsafe { kernel.unmap(map.base, map.len) };
                }
                Err(error)
            }
        }
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
        (sq, cq)
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
    /// The queues over these mappings must be gone, and no request may be live (I8).
    pub unsafe fn unmap<K: Kernel>(self, kernel: &K) {
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
