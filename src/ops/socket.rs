//! A socket's life beside the moving of data: making, naming, listening, shutting down.

use crate::ops::address::SockAddr;
use crate::ops::args::Args;
use crate::ops::entry;
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;

/// Make a socket; `kind` is its type with SOCK_* flags.
pub fn socket(family: i32, kind: u32, protocol: u32) -> io_uring_sqe {
    io_uring_sqe { off: u64::from(kind), len: protocol, ..entry(IORING_OP_SOCKET, family) }
}

/// Give a socket an address.
pub fn bind(fd: i32, address: SockAddr) -> (io_uring_sqe, Args) {
    let address = Box::new(address);
    let sqe = io_uring_sqe {
        addr: address.as_ptr() as u64,
        off: u64::from(address.len()),
        ..entry(IORING_OP_BIND, fd)
    };
    (sqe, Args::Addr(address))
}

/// Let connections come.
pub fn listen(fd: i32, backlog: u32) -> io_uring_sqe {
    io_uring_sqe { len: backlog, ..entry(IORING_OP_LISTEN, fd) }
}

/// Close one direction of a connection, or both.
pub fn shutdown(fd: i32, how: u32) -> io_uring_sqe {
    io_uring_sqe { len: how, ..entry(IORING_OP_SHUTDOWN, fd) }
}

/// Accept connections until it fails or is cancelled.
///
/// It takes no address: the kernel has one place for it, and would write the next connection's over
/// the last one's before anybody has read that.
pub fn multishot_accept(fd: i32, flags: u32, ioprio: u16) -> io_uring_sqe {
    io_uring_sqe {
        op_flags: flags,
        ioprio: ioprio | IORING_ACCEPT_MULTISHOT,
        ..entry(IORING_OP_ACCEPT, fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_their_fields() {
        let sqe = socket(2, 1 | 0o2000000, 6);
        assert_eq!((sqe.opcode, sqe.fd, sqe.off, sqe.len), (IORING_OP_SOCKET, 2, 0o2000001, 6));
        let sqe = multishot_accept(5, 0o4000, IORING_ACCEPT_POLL_FIRST);
        assert_eq!((sqe.addr, sqe.off, sqe.op_flags), (0, 0, 0o4000));
        assert_eq!(sqe.ioprio, IORING_ACCEPT_MULTISHOT | IORING_ACCEPT_POLL_FIRST);
        assert_eq!((listen(5, 9).len, shutdown(5, 2).len), (9, 2));
    }

    #[test]
    fn the_address_to_bind_stays_where_the_entry_points() {
        let (sqe, args) = bind(5, SockAddr::unix(b"/tmp/x").expect("short"));
        let Args::Addr(address) = &args else { panic!("an address is kept") };
        assert_eq!((sqe.addr, sqe.off), (address.as_ptr() as u64, u64::from(address.len())));
    }
}
