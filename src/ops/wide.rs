//! Operations whose entries have 128 bytes.

use crate::ops::entry;
use crate::sys::abi::io_uring_sqe;

/// The first operation after those of Linux 6.18.
const OP_NOP128: u8 = 63;

/// The first half of a NOP of 128 bytes (Linux 6.19).
pub fn nop128() -> io_uring_sqe {
    entry(OP_NOP128, -1)
}
