//! Messages from ring to ring: a completion that no request of the receiver stands for.
//!
//! A sender chooses the receiver's `user_data`. It is always a key of a kind of its own
//! ([`Kind::Message`]), so that no message can be taken for the completion of a request, whatever
//! number it carries (I3).

use crate::ops::entry;
use crate::ring::slots::{message_key, Kind};
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;

/// The largest number a message can carry: the bits of a key that are not its kind.
pub const NUMBER_MAX: u64 = (1 << 56) - 1;

/// Flags that a sender may not give a message: they would change where the receiver looks for the
/// next completion, or are about memory that it does not come with.
pub const UNFIT_FLAGS: u32 = IORING_CQE_F_BUFFER
    | IORING_CQE_F_NOTIF
    | IORING_CQE_F_BUF_MORE
    | IORING_CQE_F_SKIP
    | IORING_CQE_F_32;

/// Post a completion with `res`, `number` and `cqe_flags` to the ring behind descriptor `ring`.
pub fn data(ring: i32, res: i32, number: u64, cqe_flags: u32) -> io_uring_sqe {
    debug_assert!(number <= NUMBER_MAX && cqe_flags & UNFIT_FLAGS == 0);
    io_uring_sqe {
        addr: IORING_MSG_DATA,
        len: res as u32,
        off: message_key(number),
        op_flags: if cqe_flags == 0 { 0 } else { IORING_MSG_RING_FLAGS_PASS },
        file_index: cqe_flags,
        ..entry(IORING_OP_MSG_RING, ring)
    }
}

/// The number that the message with this key carries; None for a key that is no message's.
pub fn number(key: u64) -> Option<u64> {
    (key & 0xff == Kind::Message as u64).then_some(key >> 8)
}
