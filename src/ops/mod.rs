//! One function per operation: typed arguments in, a submission entry out, together with the
//! memory of ours that the entry points at ([`args::Args`]).
//!
//! The functions know no ring and no Python. Buffers come in as address and length; whoever calls
//! keeps them alive until the request's terminal completion (I2).

pub mod address;
pub mod args;
pub mod attrs;
pub mod batch;
pub mod cancel;
pub mod cmsg;
pub mod direct;
pub mod file;
pub mod futex;
pub mod integrity;
pub mod message;
pub mod net;
pub mod path;
pub mod pipe;
pub mod poll;
pub mod provided;
pub mod received;
pub mod send;
pub mod socket;
pub mod space;
pub mod splice;
pub mod stat;
pub mod timeout;
pub mod uring_cmd;
pub mod waitid;
pub mod wide;
pub mod zcrx;

use crate::sys::abi::io_uring_sqe;

/// Where in a file to read or write. The all-ones offset means the file's own position.
pub const CURRENT_POSITION: u64 = u64::MAX;

/// An entry of operation `opcode` on `fd`, everything else zero, as the kernel demands.
#[inline(always)]
pub(crate) fn entry(opcode: u8, fd: i32) -> io_uring_sqe {
    io_uring_sqe { opcode, fd, ..Default::default() }
}
