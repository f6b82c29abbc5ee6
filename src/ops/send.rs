//! Sending from several buffers at once, and without copying.
//!
//! A zero-copy send completes twice: with its result, and when the network is done with the memory
//! (`IORING_CQE_F_NOTIF`). Only the second is terminal (I2).

use crate::ops::address::SockAddr;
use crate::ops::args::Args;
use crate::ops::net;
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;
use crate::sys::os::iovec;

/// The vectors of a send, and where it goes to.
pub struct VectorArgs {
    vectors: Vec<iovec>,
    address: Option<SockAddr>,
}

/// Make a send into a zero-copy one.
pub fn zero_copy(mut sqe: io_uring_sqe) -> io_uring_sqe {
    sqe.opcode = match sqe.opcode {
        IORING_OP_SENDMSG => IORING_OP_SENDMSG_ZC,
        _ => IORING_OP_SEND_ZC,
    };
    sqe
}

/// Make a zero-copy send take its data from registered buffer `index`.
pub fn fixed(mut sqe: io_uring_sqe, index: u16) -> io_uring_sqe {
    sqe.ioprio |= IORING_RECVSEND_FIXED_BUF;
    sqe.buf_index = index;
    sqe
}

/// Send from several buffers, perhaps to an address.
pub fn vectors(
    fd: i32,
    vectors: Vec<iovec>,
    flags: u32,
    ioprio: u16,
    address: Option<SockAddr>,
) -> (io_uring_sqe, Args) {
    let args = Box::new(VectorArgs { vectors, address });
    // The addresses of what is in the box, taken after it is where it stays (I1).
    let addr = args.vectors.as_ptr() as u64;
    let len = args.vectors.len() as u32;
    let sqe = net::send(fd, addr, len, flags, ioprio | IORING_SEND_VECTORIZED);
    let sqe = match &args.address {
        Some(address) => net::with_address(sqe, address),
        None => sqe,
    };
    (sqe, Args::Vectors(args))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_and_address_are_kept_together() {
        let vector = iovec { iov_base: core::ptr::null_mut(), iov_len: 0 };
        let address = SockAddr::v4(std::net::Ipv4Addr::LOCALHOST, 9);
        let (sqe, args) = vectors(5, vec![vector; 3], 7, 1, Some(address));
        let Args::Vectors(kept) = &args else { panic!("they are kept") };
        assert_eq!((sqe.addr, sqe.len), (kept.vectors.as_ptr() as u64, 3));
        let to = kept.address.as_ref().expect("kept");
        assert_eq!(sqe.off, to.as_ptr() as u64);
        assert_eq!((sqe.op_flags, sqe.ioprio), (7, 1 | IORING_SEND_VECTORIZED));
    }

    #[test]
    fn zero_copy_changes_the_operation_only() {
        let sqe = net::send(5, 4096, 10, 0, 1);
        assert_eq!(zero_copy(sqe).opcode, IORING_OP_SEND_ZC);
        let sqe = fixed(zero_copy(sqe), 3);
        assert_eq!((sqe.buf_index, sqe.ioprio), (3, 1 | IORING_RECVSEND_FIXED_BUF));
        let message = io_uring_sqe { opcode: IORING_OP_SENDMSG, ..sqe };
        assert_eq!(zero_copy(message).opcode, IORING_OP_SENDMSG_ZC);
    }
}
