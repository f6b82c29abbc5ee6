//! Futexes: sleeping until a 32-bit word in memory changes, and waking who sleeps there.

use crate::ops::args::Args;
use crate::ops::entry;
use crate::sys::abi::{futex_waitv, io_uring_sqe};
use crate::sys::consts::*;

/// The one size of word that the kernel takes.
pub const WORD: usize = 4;

/// A word to wait on.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// Where it is; a multiple of [`WORD`].
    pub addr: u64,
    /// Other processes that map the same memory count too.
    pub shared: bool,
}

impl Word {
    /// FUTEX2_* flags.
    fn flags(self) -> u32 {
        FUTEX2_SIZE_U32 | if self.shared { 0 } else { FUTEX2_PRIVATE }
    }
}

/// Sleep until somebody wakes `word` with a mask that has a bit of `mask`, unless it is not
/// `value` to begin with.
pub fn wait(word: Word, value: u32, mask: u32) -> io_uring_sqe {
    io_uring_sqe {
        addr: word.addr,
        off: u64::from(value),
        addr3: u64::from(mask),
        ..entry(IORING_OP_FUTEX_WAIT, word.flags() as i32)
    }
}

/// Wake at most `count` of those that sleep on `word` with a mask that has a bit of `mask`.
pub fn wake(word: Word, count: u32, mask: u32) -> io_uring_sqe {
    io_uring_sqe {
        addr: word.addr,
        off: u64::from(count),
        addr3: u64::from(mask),
        ..entry(IORING_OP_FUTEX_WAKE, word.flags() as i32)
    }
}

/// Sleep until one of several words is woken; each with the value it must have to begin with.
pub fn waitv(words: &[(Word, u32)]) -> (io_uring_sqe, Args) {
    let list: Vec<futex_waitv> = words
        .iter()
        .map(|&(word, value)| futex_waitv {
            val: u64::from(value),
            uaddr: word.addr,
            flags: word.flags(),
            ..Default::default()
        })
        .collect();
    let sqe = io_uring_sqe {
        addr: list.as_ptr() as u64,
        len: list.len() as u32,
        // Not -1: the kernel wants the fields that it does not use to be zero.
        ..entry(IORING_OP_FUTEX_WAITV, 0)
    };
    (sqe, Args::Futexes(list))
}
