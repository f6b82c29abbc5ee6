//! Zero-copy receive: a queue of a network interface whose packets land in memory of ours, and the
//! refill ring by which that memory goes back to it.

use std::sync::{Mutex, PoisonError};

use crate::ring::error::RingError;
use crate::ring::kernel::Kernel;
use crate::ring::region::Region;
use crate::ring::register::told;
use crate::ring::slots::Zeroed;
use crate::ring::word::Word;
use crate::ring::Ring;
use crate::sys::abi::{io_uring_zcrx_area_reg, io_uring_zcrx_ifq_reg, io_uring_zcrx_rqe};
use crate::sys::consts::*;
use crate::sys::syscall;

/// What a queue is asked to be.
#[derive(Clone, Copy, Debug)]
pub struct IfqConfig {
    /// Number of the network interface.
    pub interface: u32,
    /// Its receive queue.
    pub queue: u32,
    /// Entries of the refill ring, a power of two.
    pub entries: u32,
    /// Bytes for packets.
    pub area: usize,
}

/// A piece of the area, on its way back to the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    offset: u64,
    len: u32,
}

/// Our side of the refill ring.
struct Refill {
    tail: u32,
    /// Pieces for which there was no room.
    waiting: Vec<Piece>,
}

/// A receive queue that was registered with a ring, until the ring is closed.
///
/// The kernel has pinned both pieces of memory, so they may be unmapped before that.
pub struct Ifq {
    area: Region,
    ring: Region,
    reg: io_uring_zcrx_ifq_reg,
    token: u64,
    refill: Mutex<Refill>,
}

impl Ifq {
    fn new(config: &IfqConfig) -> Result<Self, RingError> {
        // The words of the ring and, at worst, a page of its own for them.
        let ring = config.entries as usize * size_of::<io_uring_zcrx_rqe>() + syscall::page_size();
        Ok(Ifq {
            area: Region::new(config.area)?,
            ring: Region::new(ring)?,
            reg: io_uring_zcrx_ifq_reg {
                if_idx: config.interface,
                if_rxq: config.queue,
                rq_entries: config.entries,
                ..Default::default()
            },
            token: 0,
            refill: Mutex::new(Refill { tail: 0, waiting: Vec::new() }),
        })
    }

    fn register<K: Kernel>(&mut self, kernel: &K, fd: i32, by_index: u32) -> Result<(), RingError> {
        let mut area = io_uring_zcrx_area_reg {
            addr: self.area.base().as_ptr() as u64,
            len: self.area.size() as u64,
            ..Default::default()
        };
        let mut region = self.ring.describe();
        self.reg.area_ptr = core::ptr::from_mut(&mut area) as u64;
        self.reg.region_ptr = core::ptr::from_mut(&mut region) as u64;
        let arg = core::ptr::from_mut(&mut self.reg).cast();
        // SAFETY: the structures live for the call, the memory they name is ours (I2); its pages
        // are pinned by the kernel for as long as it uses them (I8).
        let done = unsafe { kernel.register(fd, IORING_REGISTER_ZCRX_IFQ | by_index, arg, 1) };
        done.map_err(|errno| told(kernel, IORING_REGISTER_ZCRX_IFQ, errno))?;
        self.token = area.rq_area_token;
        let offsets = self.reg.offsets;
        let entries = u64::from(self.reg.rq_entries) * size_of::<io_uring_zcrx_rqe>() as u64;
        let size = self.ring.size() as u64;
        let words = [offsets.head, offsets.tail].map(u64::from);
        let aligned = (offsets.head | offsets.tail) % 4 == 0 && offsets.rqes % 8 == 0;
        let fits =
            words.iter().all(|at| at + 4 <= size) && u64::from(offsets.rqes) + entries <= size;
        if !(aligned && fits) {
            return Err(RingError::Corrupted("the refill ring does not fit into its memory"));
        }
        Ok(())
    }

    /// The number that receives name it by.
    pub fn id(&self) -> u32 {
        self.reg.zcrx_id
    }

    /// Where `len` bytes are that a completion says are at `offset`; None if it is not in the area.
    pub fn bytes(&self, offset: u64, len: u32) -> Option<*mut u8> {
        let at = usize::try_from(offset & !IORING_ZCRX_AREA_MASK).ok()?;
        let fits = at.checked_add(len as usize)? <= self.area.size();
        // SAFETY: within the area, as just checked (I5: the address only).
        fits.then(|| unsafe { self.area.base().as_ptr().add(at) })
    }

    fn word(&self, offset: u32) -> Word {
        // SAFETY: within the region, aligned and alive with it, as `register` has seen (I4, I8).
        unsafe { Word::new(self.ring.base().add(offset as usize).cast()) }
    }

    /// Give a piece that a completion told of back to the interface. From any thread.
    pub fn give_back(&self, offset: u64, len: u32) {
        let mut refill = self.refill.lock().unwrap_or_else(PoisonError::into_inner);
        let offset = (offset & !IORING_ZCRX_AREA_MASK) | self.token;
        refill.waiting.push(Piece { offset, len });
        let head = self.word(self.reg.offsets.head).acquire();
        while refill.tail.wrapping_sub(head) < self.reg.rq_entries {
            let Some(Piece { offset, len }) = refill.waiting.pop() else { break };
            let at = (refill.tail & (self.reg.rq_entries - 1)) as usize;
            let entry = io_uring_zcrx_rqe { off: offset, len, ..Default::default() };
            // SAFETY: a place of the ring that the kernel has read already, or never had (I4).
            unsafe {
                let entries = self.ring.base().as_ptr().add(self.reg.offsets.rqes as usize);
                entries.cast::<io_uring_zcrx_rqe>().add(at).write(entry);
            }
            refill.tail = refill.tail.wrapping_add(1);
        }
        self.word(self.reg.offsets.tail).release(refill.tail);
    }
}

impl<K: Kernel, P: Zeroed> Ring<K, P> {
    /// Register a receive queue of a network interface.
    pub fn register_ifq(&self, config: &IfqConfig) -> Result<Ifq, RingError> {
        const NEEDS: u32 = IORING_SETUP_CQE32 | IORING_SETUP_CQE_MIXED;
        let flags = self.params().flags;
        if flags & IORING_SETUP_DEFER_TASKRUN == 0 || flags & NEEDS == 0 {
            return Err(RingError::BadFlags(
                "zero-copy receive needs a ring with DEFER_TASKRUN and CQE32 or CQE_MIXED",
            ));
        }
        if !config.entries.is_power_of_two() || config.entries > 32_768 {
            return Err(RingError::BadFlags("entries must be a power of two, at most 32768"));
        }
        if self.is_closed() {
            return Err(RingError::Closed);
        }
        let mut ifq = Ifq::new(config)?;
        ifq.register(self.kernel(), self.fd(), self.by_index())?;
        Ok(ifq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::abi::io_uring_zcrx_offsets;

    /// A queue as if the kernel had made it.
    fn made(entries: u32) -> Ifq {
        let config = IfqConfig { interface: 1, queue: 0, entries, area: 8192 };
        let mut ifq = Ifq::new(&config).unwrap();
        ifq.reg.offsets =
            io_uring_zcrx_offsets { head: 0, tail: 64, rqes: 128, ..Default::default() };
        ifq.token = 3 << IORING_ZCRX_AREA_SHIFT;
        ifq
    }

    fn entry(ifq: &Ifq, at: usize) -> (u64, u32) {
        // SAFETY: within the ring's memory, which nobody else uses here (I4).
        let rqe = unsafe {
            let entries = ifq.ring.base().as_ptr().add(128);
            entries.cast::<io_uring_zcrx_rqe>().add(at).read()
        };
        (rqe.off, rqe.len)
    }

    #[test]
    fn bytes_are_in_the_area_or_nowhere() {
        let ifq = made(4);
        let base = ifq.area.base().as_ptr();
        assert_eq!(ifq.bytes(0, 8192), Some(base));
        assert_eq!(ifq.bytes(7 << IORING_ZCRX_AREA_SHIFT, 1), Some(base));
        assert_eq!(ifq.bytes(8191, 1), Some(base.wrapping_add(8191)));
        assert_eq!(ifq.bytes(8191, 2), None);
        assert_eq!(ifq.bytes(u64::MAX, u32::MAX), None);
    }

    #[test]
    fn pieces_go_back_in_turn_and_wait_for_room() {
        let ifq = made(2);
        for piece in 0..3 {
            ifq.give_back(piece * 4096, 10 + piece as u32);
        }
        let tail = || ifq.word(64).relaxed();
        assert_eq!(tail(), 2);
        assert_eq!(entry(&ifq, 0), (ifq.token, 10));
        assert_eq!(entry(&ifq, 1), (ifq.token | 4096, 11));
        ifq.word(0).release(2);
        ifq.give_back(0, 20);
        assert_eq!((tail(), ifq.refill.lock().unwrap().waiting.len()), (4, 0));
        let mut lengths = [entry(&ifq, 0).1, entry(&ifq, 1).1];
        lengths.sort_unstable();
        assert_eq!(lengths, [12, 20]);
    }
}
