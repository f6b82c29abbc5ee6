//! Batches: many requests that share their memory and their owner, so that each costs a bit, not a
//! slot.
//!
//! A batch is to its requests what a slot is to one: it holds everything the kernel may touch until
//! the last of them has ended (I1, I2). A request's key is `generation:20 | batch:12 | element:24 |
//! kind:8` (I3); a bit per element says whether it is in flight, so that no completion is taken
//! twice.

use std::collections::VecDeque;
use std::ptr::NonNull;

use crate::ring::slots::Kind;
use crate::sys::abi::io_uring_cqe;
use crate::sys::consts::IORING_CQE_F_MORE;

/// The most elements a batch can have.
pub const ELEMENTS_MAX: u32 = 1 << 24;
/// The most batches of one ring at a time.
pub const BATCHES_MAX: usize = 1 << 12;
const GENERATION_MASK: u32 = (1 << 20) - 1;
/// What the keys of all elements of one batch have in common.
pub const PREFIX: u64 = !0xff_ffff00;

/// One completion of a batch, as it is shown: 16 bytes, the layout of `CQE_DTYPE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct BatchCqe {
    /// The batch's first tag plus the element's number, modulo 2^64.
    pub tag: u64,
    /// The result: negative is an errno.
    pub res: i32,
    /// IORING_CQE_F_* flags.
    pub flags: u32,
}

/// Where a batch's results go.
#[derive(Clone, Copy, Debug)]
pub enum Sink {
    /// Into the queue of [`BatchCqe`]s, tagged from here on.
    Queue(u64),
    /// Into an array of one i32 per element, which the batch's owner keeps alive (I2, I5).
    Array(NonNull<i32>),
}

struct Batch {
    generation: u32,
    count: u32,
    in_flight: u32,
    /// The owner is still staging: not finished even when nothing is in flight.
    staging: bool,
    sink: Sink,
    /// A bit for each element that is staged or with the kernel.
    bits: Vec<u64>,
}

/// All batches of a ring.
#[derive(Default)]
pub struct Batches {
    batches: Vec<Batch>,
    free: Vec<u16>,
    in_flight: u32,
    /// Batches that have ended and whose owners may be let go.
    ended: Vec<u16>,
    done: VecDeque<BatchCqe>,
}

// SAFETY: the result arrays belong to the batches' owners, who keep them until the end (I2).
unsafe impl Send for Batches {}

impl Batches {
    /// Begin a batch of `count` elements. None when there are too many batches.
    pub fn begin(&mut self, count: u32, sink: Sink) -> Option<u16> {
        debug_assert!(count <= ELEMENTS_MAX);
        let id = match self.free.pop() {
            Some(id) => id,
            None if self.batches.len() < BATCHES_MAX => {
                self.batches.push(Batch {
                    generation: 0,
                    count: 0,
                    in_flight: 0,
                    staging: false,
                    sink,
                    bits: Vec::new(),
                });
                (self.batches.len() - 1) as u16
            }
            None => return None,
        };
        let batch = &mut self.batches[usize::from(id)];
        batch.count = count;
        batch.sink = sink;
        batch.staging = true;
        batch.bits.clear();
        batch.bits.resize((count as usize).div_ceil(64), 0);
        Some(id)
    }

    /// The key of an element.
    #[inline(always)]
    pub fn key(&self, id: u16, element: u32) -> u64 {
        let generation = self.batches[usize::from(id)].generation & GENERATION_MASK;
        (u64::from(generation) << 44)
            | (u64::from(id) << 32)
            | (u64::from(element) << 8)
            | Kind::Batch as u64
    }

    /// Elements `from..to` are staged: from here on their memory is the kernel's.
    #[inline]
    pub fn staged(&mut self, id: u16, from: u32, to: u32) {
        let batch = &mut self.batches[usize::from(id)];
        let mut element = from;
        while element < to {
            // Word by word: the part of this one that lies before `to`.
            let end = to.min((element / 64 + 1) * 64);
            let ones = u64::MAX >> (64 - (end - element));
            batch.bits[element as usize / 64] |= ones << (element % 64);
            element = end;
        }
        batch.in_flight += to - from;
        self.in_flight += to - from;
    }

    /// Nothing more will be staged.
    pub fn sealed(&mut self, id: u16) {
        self.batches[usize::from(id)].staging = false;
        self.maybe_ended(id);
    }

    fn maybe_ended(&mut self, id: u16) {
        let batch = &self.batches[usize::from(id)];
        if batch.in_flight == 0 && !batch.staging {
            self.ended.push(id);
        }
    }

    /// A completion with a batch's key, and those that follow it from the same batch: `next` gives
    /// one whose key has the same [`PREFIX`], or None. They come in runs, and so need to find their
    /// batch but once. Returns how many of them no element in flight has the key of.
    #[inline(always)]
    pub fn complete(
        &mut self,
        mut cqe: io_uring_cqe,
        mut next: impl FnMut(u64) -> Option<io_uring_cqe>,
    ) -> u64 {
        let Some((id, batch)) = find(&mut self.batches, cqe.user_data) else { return 1 };
        let prefix = cqe.user_data & PREFIX;
        let (mut strays, mut ended) = (0, 0);
        loop {
            let (element, at, bit) = place(cqe.user_data);
            // Only elements below the batch's count ever have their bit set.
            match batch.bits.get_mut(at) {
                Some(word) if *word & bit != 0 => {
                    if cqe.flags & IORING_CQE_F_MORE == 0 {
                        *word &= !bit;
                        ended += 1;
                    }
                    match batch.sink {
                        Sink::Queue(tag) => {
                            let tag = tag.wrapping_add(u64::from(element));
                            self.done.push_back(BatchCqe { tag, res: cqe.res, flags: cqe.flags });
                        }
                        // SAFETY: `element` is below the batch's count, for which the array has
                        // room, and the batch's owner keeps it until the batch has ended (I2).
                        Sink::Array(results) => unsafe {
                            results.add(element as usize).write_unaligned(cqe.res);
                        },
                    }
                }
                _ => strays += 1,
            }
            match next(prefix) {
                Some(following) => cqe = following,
                None => break,
            }
        }
        self.ended(id, ended);
        strays
    }

    /// `count` elements of a batch have ended.
    #[inline(always)]
    fn ended(&mut self, id: u16, count: u32) {
        let batch = &mut self.batches[usize::from(id)];
        batch.in_flight -= count;
        self.in_flight -= count;
        if count > 0 && batch.in_flight == 0 && !batch.staging {
            self.ended.push(id);
        }
    }

    /// An element was taken back before the kernel saw it.
    pub fn taken_back(&mut self, key: u64) {
        let Some((id, batch)) = find(&mut self.batches, key) else { return };
        let (_, at, bit) = place(key);
        if let Some(word) = batch.bits.get_mut(at).filter(|word| **word & bit != 0) {
            *word &= !bit;
            self.ended(id, 1);
        }
    }

    /// Elements staged or with the kernel.
    #[inline(always)]
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Elements of one batch staged or with the kernel.
    pub fn in_flight_of(&self, id: u16) -> u32 {
        self.batches[usize::from(id)].in_flight
    }

    /// How many completions were taken off the ring and not yet handed out.
    #[inline(always)]
    pub fn done_count(&self) -> usize {
        self.done.len()
    }

    /// Completions taken off the ring and not yet handed out.
    pub fn done(&mut self) -> &mut VecDeque<BatchCqe> {
        &mut self.done
    }

    /// Has a batch ended?
    #[inline(always)]
    pub fn has_ended(&self) -> bool {
        !self.ended.is_empty()
    }

    /// The keys of all elements in flight.
    pub fn keys_in_flight(&self) -> Vec<u64> {
        let mut keys = Vec::new();
        for (id, batch) in self.batches.iter().enumerate() {
            for element in 0..batch.count {
                if batch.bits[element as usize / 64] & (1 << (element % 64)) != 0 {
                    keys.push(self.key(id as u16, element));
                }
            }
        }
        keys
    }

    /// A batch that has ended: its owner may be let go, then it is to be freed.
    pub fn next_ended(&mut self) -> Option<u16> {
        let id = self.ended.pop()?;
        let batch = &mut self.batches[usize::from(id)];
        batch.generation = batch.generation.wrapping_add(1);
        batch.count = 0;
        self.free.push(id);
        Some(id)
    }
}

/// The batch that a key names.
#[inline(always)]
fn find(batches: &mut [Batch], key: u64) -> Option<(u16, &mut Batch)> {
    let id = ((key >> 32) & 0xfff) as u16;
    let batch = batches.get_mut(usize::from(id))?;
    (batch.generation & GENERATION_MASK == (key >> 44) as u32).then_some((id, batch))
}

/// The element that a key names, and where its bit is.
#[inline(always)]
fn place(key: u64) -> (u32, usize, u64) {
    let element = ((key >> 8) & 0xff_ffff) as u32;
    (element, element as usize / 64, 1 << (element % 64))
}
