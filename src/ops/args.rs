//! Memory of ours that a submission entry points at. It lives in the request's slot until the
//! terminal completion, whatever the operation: one rule, no cleverness to get wrong (I1, I2).

use std::ffi::CString;

use crate::ops::address::SockAddr;
use crate::ops::attrs::XattrArgs;
use crate::ops::direct::FdArray;
use crate::ops::net::{AcceptArgs, MsgArgs};
use crate::ops::path::HowArgs;
use crate::ops::pipe::PipeEnds;
use crate::ops::send::VectorArgs;
use crate::ops::stat::StatxArgs;
use crate::ops::uring_cmd::OptionArgs;
use crate::sys::abi::{__kernel_timespec, futex_waitv, io_uring_attr_pi};
use crate::sys::os::{epoll_event, iovec, msghdr, siginfo_t};

/// What one entry points at besides the caller's buffers. Every variant keeps its memory on the
/// heap, so moving the `Args` does not move what the kernel sees.
#[derive(Default)]
pub enum Args {
    /// Nothing.
    #[default]
    None,
    /// Vectors of a vectored read or write.
    Iovecs(Vec<iovec>),
    /// A path.
    Path(CString),
    /// Two paths.
    Paths(Box<[CString; 2]>),
    /// A path and how to open it.
    How(Box<HowArgs>),
    /// A path, and what the kernel says of its file.
    Statx(Box<StatxArgs>),
    /// An extended attribute: its name, its file, room for its value.
    Xattr(Box<XattrArgs>),
    /// A time.
    Time(Box<__kernel_timespec>),
    /// A destination address.
    Addr(Box<SockAddr>),
    /// The peer's address, written by the kernel.
    Accept(Box<AcceptArgs>),
    /// A message: vectors, address, ancillary data.
    Msg(Box<MsgArgs>),
    /// The header of messages that each carry their own.
    Header(Box<msghdr>),
    /// An epoll event.
    Epoll(Box<epoll_event>),
    /// Epoll events, written by the kernel.
    EpollWait(Box<[epoll_event]>),
    /// Words to wait on.
    Futexes(Vec<futex_waitv>),
    /// What became of a child, written by the kernel.
    Waitid(Box<siginfo_t>),
    /// The ends of a pipe, written by the kernel.
    Pipe(Box<PipeEnds>),
    /// The vectors of a send, and its destination.
    Vectors(Box<VectorArgs>),
    /// Bytes that the kernel reads.
    Bytes(Box<[u8]>),
    /// A socket option, written by the kernel.
    SocketOption(Box<OptionArgs>),
    /// The address of a socket or of its peer, written by the kernel.
    SocketName(Box<SockAddr>),
    /// Where the protection information of a read or write is.
    Protection(Box<io_uring_attr_pi>),
    /// Descriptors for the file table, or the slots of a new pipe.
    Fds(Box<FdArray>),
}

impl Args {
    /// Does the kernel write to it, so that two requests must never share it?
    pub fn written_by_kernel(&self) -> bool {
        match self {
            Args::Accept(_)
            | Args::EpollWait(_)
            | Args::Waitid(_)
            | Args::Pipe(_)
            | Args::Statx(_)
            | Args::SocketOption(_)
            | Args::SocketName(_) => true,
            Args::Msg(msg) => msg.receives(),
            Args::Xattr(xattr) => xattr.has_room(),
            Args::Fds(fds) => fds.is_written(),
            _ => false,
        }
    }

    /// Make what the kernel wrote to ready for another request: it shortens what it is told of the
    /// room there is to what it used.
    pub fn renew(&mut self) {
        match self {
            Args::Accept(accept) => accept.peer.make_room(),
            Args::Msg(msg) if msg.receives() => msg.make_room(),
            Args::SocketOption(option) => option.clear(),
            Args::SocketName(name) => name.make_room(),
            Args::Fds(fds) => fds.renew(),
            _ => {}
        }
    }

    /// Does the caller get to see what the kernel wrote?
    pub fn has_results(&self) -> bool {
        self.written_by_kernel()
    }
}

// SAFETY: the raw pointers inside (iovecs, msghdr) point into the same heap memory or at exported
// buffers held by the same slot; nobody else writes them (I2).
unsafe impl Send for Args {}
// SAFETY: only read through shared references, after the kernel is done (I2).
unsafe impl Sync for Args {}
