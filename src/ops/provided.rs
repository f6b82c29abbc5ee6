//! Requests whose buffer the kernel chooses from a group, and those that hand buffers to it.

use crate::ops::args::Args;
use crate::ops::entry;
use crate::ops::file::RwOptions;
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;
use crate::sys::os::{msghdr, sockaddr_storage};

/// Bytes of room for the sender's address, before control data and payload.
pub const NAME_ROOM: u32 = core::mem::size_of::<sockaddr_storage>() as u32;

/// What is common to transfers on a socket.
#[derive(Clone, Copy, Debug, Default)]
pub struct Transfer {
    /// MSG_* flags.
    pub flags: u32,
    /// RecvSendFlags, multishot and bundle included.
    pub ioprio: u16,
    /// At most so many bytes each time; 0 for what the buffers hold.
    pub each: u32,
    /// A multishot receive ends after so many bytes; 0 for never.
    pub total: u32,
}

/// `sqe` with a buffer of `group`, chosen by the kernel.
pub fn select(sqe: io_uring_sqe, group: u16) -> io_uring_sqe {
    io_uring_sqe { flags: sqe.flags | IOSQE_BUFFER_SELECT, buf_index: group, ..sqe }
}

fn transfer(opcode: u8, fd: i32, group: u16, what: Transfer) -> io_uring_sqe {
    let sqe = io_uring_sqe {
        op_flags: what.flags,
        ioprio: what.ioprio,
        len: what.each,
        // `optlen` there.
        file_index: what.total,
        ..entry(opcode, fd)
    };
    select(sqe, group)
}

/// Receive.
pub fn recv(fd: i32, group: u16, what: Transfer) -> io_uring_sqe {
    transfer(IORING_OP_RECV, fd, group, what)
}

/// Send what the caller has put into the buffers of a group.
pub fn send(fd: i32, group: u16, what: Transfer) -> io_uring_sqe {
    transfer(IORING_OP_SEND, fd, group, what)
}

/// Receive messages, each as header, address, control data and payload in one buffer.
pub fn recvmsg_multishot(
    fd: i32,
    group: u16,
    name: u32,
    control: u32,
    what: Transfer,
) -> (io_uring_sqe, Args) {
    // SAFETY: all-zero bytes are a valid msghdr (I1).
    let mut header: Box<msghdr> = Box::new(unsafe { core::mem::zeroed() });
    header.msg_namelen = name;
    header.msg_controllen = control as _;
    let sqe = io_uring_sqe {
        addr: core::ptr::from_ref(&*header) as u64,
        len: 1,
        op_flags: what.flags,
        ioprio: what.ioprio | IORING_RECV_MULTISHOT,
        ..entry(IORING_OP_RECVMSG, fd)
    };
    (select(sqe, group), Args::Header(header))
}

/// Read.
pub fn read(fd: i32, group: u16, offset: u64, each: u32, options: RwOptions) -> io_uring_sqe {
    let sqe = io_uring_sqe {
        off: offset,
        len: each,
        op_flags: options.rw_flags,
        ioprio: options.ioprio,
        ..entry(IORING_OP_READ, fd)
    };
    select(sqe, group)
}

/// Read each time there is something.
pub fn read_multishot(fd: i32, group: u16, offset: u64) -> io_uring_sqe {
    let sqe = io_uring_sqe { off: offset, ..entry(IORING_OP_READ_MULTISHOT, fd) };
    select(sqe, group)
}

/// Hand `count` buffers of `len` bytes, one after the other from `addr` on, to the kernel.
pub fn provide(group: u16, addr: u64, len: u32, first: u16, count: u16) -> io_uring_sqe {
    io_uring_sqe {
        addr,
        len,
        off: u64::from(first),
        buf_index: group,
        ..entry(IORING_OP_PROVIDE_BUFFERS, i32::from(count))
    }
}

/// Take `count` buffers back.
pub fn remove(group: u16, count: u16) -> io_uring_sqe {
    io_uring_sqe { buf_index: group, ..entry(IORING_OP_REMOVE_BUFFERS, i32::from(count)) }
}
