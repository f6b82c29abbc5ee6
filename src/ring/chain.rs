//! Links: a chain must reach the kernel whole, in one submission, with nobody else's entries in
//! its middle.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::ring::error::RingError;
use crate::ring::sq::{SecondHalf, Sq, SqFull};
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::{IOSQE_IO_HARDLINK, IOSQE_IO_LINK};
use crate::sys::sync::thread_local;

thread_local! {
    static SERIAL: u64 = NEXT_SERIAL.fetch_add(1, Ordering::Relaxed);
}
static NEXT_SERIAL: AtomicU64 = AtomicU64::new(1);

/// A number for the calling thread that no later thread ever gets: the C library reuses its own
/// identifiers, and a chain left open by a thread that died must not catch another's entries.
fn this_thread() -> u64 {
    SERIAL.with(|serial| *serial)
}

const LINKS: u8 = IOSQE_IO_LINK | IOSQE_IO_HARDLINK;

/// An entry to be staged.
pub struct Entry {
    /// All of it, or the first half of a 128-byte one.
    pub sqe: io_uring_sqe,
    /// The second half, unless that is zeroes.
    pub half: Option<Box<SecondHalf>>,
}

impl Entry {
    /// Put it into the queue.
    pub fn push(self, sq: &mut Sq) -> Result<(), SqFull> {
        match self.half {
            Some(half) => sq.push_wide(self.sqe, &half),
            None => sq.push(self.sqe),
        }
    }
}

/// The chains that are not yet complete.
#[derive(Default)]
pub struct Chains {
    /// One thread at a time: where in the queue the open chain begins.
    open_at: Option<u32>,
    /// Many threads: each thread's open chain waits here until it is complete.
    apart: Vec<(u64, Vec<Entry>)>,
}

impl Chains {
    /// An entry with `flags` was staged at `mark`.
    #[inline(always)]
    pub fn follow(&mut self, mark: u32, flags: u8) {
        if flags & LINKS == 0 {
            self.open_at = None;
        } else if self.open_at.is_none() {
            self.open_at = Some(mark);
        }
    }

    /// Where the open chain begins, if one is open.
    pub fn open_at(&self) -> Option<u32> {
        self.open_at
    }

    /// The kernel was shown all that is staged: it ends the chain there.
    #[inline(always)]
    pub fn cut(&mut self) {
        self.open_at = None;
    }

    /// Stage an entry of one of many threads. Entries of an open chain wait apart.
    pub fn stage(&mut self, sq: &mut Sq, entry: Entry) -> Result<(), RingError> {
        let me = this_thread();
        let mine = self.apart.iter().position(|(thread, _)| *thread == me);
        if entry.sqe.flags & LINKS != 0 {
            let at = mine.unwrap_or_else(|| {
                self.apart.push((me, Vec::new()));
                self.apart.len() - 1
            });
            // One place is kept for the entry that ends the chain.
            if self.apart[at].1.len() as u32 + 1 >= sq.size() {
                return Err(RingError::ChainTooLong { max: sq.size() });
            }
            self.apart[at].1.push(entry);
            return Ok(());
        }
        let before = mine.map_or(0, |at| self.apart[at].1.len() as u32);
        if sq.space() < before + 1 {
            return Err(RingError::SqFull);
        }
        if let Some(at) = mine {
            let (_, chain) = self.apart.swap_remove(at);
            chain.into_iter().for_each(|entry| push(sq, entry));
        }
        push(sq, entry);
        Ok(())
    }

    /// The calling thread submits: its open chain ends here, as it does in the kernel. The link of
    /// its last entry is cut, or another thread's next entry would become part of the chain.
    pub fn close_mine(&mut self, sq: &mut Sq) -> Result<(), RingError> {
        if self.apart.is_empty() {
            return Ok(());
        }
        let me = this_thread();
        let Some(at) = self.apart.iter().position(|(thread, _)| *thread == me) else {
            return Ok(());
        };
        if (sq.space() as usize) < self.apart[at].1.len() {
            return Err(RingError::SqFull);
        }
        let (_, mut chain) = self.apart.swap_remove(at);
        if let Some(last) = chain.last_mut() {
            last.sqe.flags &= !LINKS;
        }
        chain.into_iter().for_each(|entry| push(sq, entry));
        Ok(())
    }

    /// Drop all entries that wait apart; `each` gets their `user_data`.
    pub fn discard(&mut self, each: &mut impl FnMut(u64)) -> u32 {
        self.open_at = None;
        let mut count = 0;
        for (_, chain) in self.apart.drain(..) {
            for entry in chain.into_iter().rev() {
                each(entry.sqe.user_data);
                count += 1;
            }
        }
        count
    }

    /// How many entries wait apart.
    pub fn waiting(&self) -> u32 {
        self.apart.iter().map(|(_, chain)| chain.len() as u32).sum()
    }
}

/// Room was checked under the same lock.
fn push(sq: &mut Sq, entry: Entry) {
    let pushed = entry.push(sq);
    debug_assert!(pushed.is_ok());
}
