//! Sockets.

use crate::ops::address::SockAddr;
use crate::ops::args::Args;
use crate::ops::cmsg::Control;
use crate::ops::entry;
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;
use crate::sys::os::{iovec, msghdr};

/// Where the kernel writes the peer's address of an accepted connection. It reads the length at
/// completion, not at submission (measured), so all of it stays until then.
pub struct AcceptArgs {
    /// The peer's address, once accepted.
    pub peer: SockAddr,
}

impl AcceptArgs {
    /// The peer's address as the kernel wrote it.
    pub fn peer_written(&self) -> SockAddr {
        let mut peer = self.peer;
        peer.set_len(peer.len());
        peer
    }
}

/// Everything a message header points at besides the payload buffers. The kernel writes the
/// header itself when a message was received (measured; the manual page says otherwise).
pub struct MsgArgs {
    header: msghdr,
    _iovecs: Vec<iovec>,
    name: SockAddr,
    control: Control,
    receives: bool,
}

impl MsgArgs {
    fn new(mut iovecs: Vec<iovec>, name: SockAddr, control: Control, receives: bool) -> Box<Self> {
        // SAFETY: all-zero bytes are a valid msghdr (I1).
        let mut header: msghdr = unsafe { core::mem::zeroed() };
        header.msg_iov = iovecs.as_mut_ptr();
        header.msg_iovlen = iovecs.len() as _;
        let mut args = Box::new(MsgArgs { header, _iovecs: iovecs, name, control, receives });
        // The addresses of what is in the box, taken after it is where it stays (I1).
        if !args.name.is_empty() {
            args.header.msg_name = args.name.as_mut_ptr().cast();
        }
        if args.control.len() > 0 {
            args.header.msg_control = args.control.as_mut_ptr().cast();
        }
        args.make_room();
        args
    }

    /// Tell the kernel of all the room there is, whatever it wrote into the header before.
    pub fn make_room(&mut self) {
        self.header.msg_namelen = self.name.len();
        self.header.msg_controllen = self.control.len() as _;
        self.header.msg_flags = 0;
    }

    /// Is it for receiving?
    pub fn receives(&self) -> bool {
        self.receives
    }

    /// The sender's address.
    pub fn sender(&self) -> SockAddr {
        let mut name = self.name;
        name.set_len(self.header.msg_namelen);
        name
    }

    /// The ancillary data received: level, type and bytes of each.
    pub fn ancillary(&self) -> Vec<(i32, i32, Vec<u8>)> {
        self.control.decode(self.header.msg_controllen as _)
    }

    /// MSG_* flags of the message received.
    pub fn flags(&self) -> i32 {
        self.header.msg_flags
    }
}

/// Accept a connection; its peer's address is in the returned [`Args::Accept`].
pub fn accept(fd: i32, flags: u32, ioprio: u16) -> (io_uring_sqe, Args) {
    let mut args = Box::new(AcceptArgs { peer: SockAddr::new() });
    let sqe = io_uring_sqe {
        addr: args.peer.as_mut_ptr() as u64,
        off: args.peer.len_mut_ptr() as u64,
        op_flags: flags,
        ioprio,
        ..entry(IORING_OP_ACCEPT, fd)
    };
    (sqe, Args::Accept(args))
}

/// Connect to an address.
pub fn connect(fd: i32, address: SockAddr) -> (io_uring_sqe, Args) {
    let address = Box::new(address);
    let sqe = io_uring_sqe {
        addr: address.as_ptr() as u64,
        off: u64::from(address.len()),
        ..entry(IORING_OP_CONNECT, fd)
    };
    (sqe, Args::Addr(address))
}

#[inline(always)]
fn transfer(opcode: u8, fd: i32, addr: u64, len: u32, flags: u32, ioprio: u16) -> io_uring_sqe {
    io_uring_sqe { addr, len, op_flags: flags, ioprio, ..entry(opcode, fd) }
}

/// Send from one buffer.
#[inline(always)]
pub fn send(fd: i32, addr: u64, len: u32, flags: u32, ioprio: u16) -> io_uring_sqe {
    transfer(IORING_OP_SEND, fd, addr, len, flags, ioprio)
}

/// Send one datagram to an address.
pub fn send_to(sqe: io_uring_sqe, address: SockAddr) -> (io_uring_sqe, Args) {
    let address = Box::new(address);
    (with_address(sqe, &address), Args::Addr(address))
}

/// A send to an address that stays where it is.
pub(crate) fn with_address(mut sqe: io_uring_sqe, address: &SockAddr) -> io_uring_sqe {
    sqe.off = address.as_ptr() as u64;
    // addr_len is the low half of the word that is `file_index` elsewhere.
    let [first, second] = (address.len() as u16).to_ne_bytes();
    sqe.file_index = u32::from_ne_bytes([first, second, 0, 0]);
    sqe
}

/// Receive into one buffer.
#[inline(always)]
pub fn recv(fd: i32, addr: u64, len: u32, flags: u32, ioprio: u16) -> io_uring_sqe {
    transfer(IORING_OP_RECV, fd, addr, len, flags, ioprio)
}

fn message(
    opcode: u8,
    fd: i32,
    args: Box<MsgArgs>,
    flags: u32,
    ioprio: u16,
) -> (io_uring_sqe, Args) {
    let header = core::ptr::from_ref(&args.header) as u64;
    (transfer(opcode, fd, header, 1, flags, ioprio), Args::Msg(args))
}

/// Send a message of several buffers, with ancillary data, perhaps to an address.
pub fn sendmsg(
    fd: i32,
    buffers: Vec<iovec>,
    address: Option<SockAddr>,
    control: Control,
    flags: u32,
    ioprio: u16,
) -> (io_uring_sqe, Args) {
    let mut name = address.unwrap_or_default();
    if address.is_none() {
        name.set_len(0);
    }
    message(IORING_OP_SENDMSG, fd, MsgArgs::new(buffers, name, control, false), flags, ioprio)
}

/// Receive a message into several buffers, with room for ancillary data.
pub fn recvmsg(
    fd: i32,
    buffers: Vec<iovec>,
    control: Control,
    flags: u32,
    ioprio: u16,
) -> (io_uring_sqe, Args) {
    let args = MsgArgs::new(buffers, SockAddr::new(), control, true);
    message(IORING_OP_RECVMSG, fd, args, flags, ioprio)
}
