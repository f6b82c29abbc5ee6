//! Zero-copy receive.

use crate::ops::entry;
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;

/// Receive into the memory of queue `ifq`, again and again; `len` bytes in all, or 0 for no end.
pub fn recv_zc(fd: i32, ifq: u32, len: u32) -> io_uring_sqe {
    io_uring_sqe {
        len,
        file_index: ifq,
        ioprio: IORING_RECV_MULTISHOT,
        ..entry(IORING_OP_RECV_ZC, fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry() {
        let sqe = recv_zc(5, 3, 100);
        assert_eq!((sqe.opcode, sqe.fd, sqe.file_index), (IORING_OP_RECV_ZC, 5, 3));
        assert_eq!((sqe.len, sqe.ioprio, sqe.addr), (100, IORING_RECV_MULTISHOT, 0));
    }
}
