//! Memory of ours that a submission entry points at. It lives in the request's slot until the
//! terminal completion, whatever the operation: one rule, no cleverness to get wrong (I1, I2).

use std::ffi::CString;

use crate::ops::address::SockAddr;
use crate::ops::direct::FdArray;
use crate::ops::net::{AcceptArgs, MsgArgs};
use crate::sys::abi::__kernel_timespec;
use crate::sys::os::{epoll_event, iovec};

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
    /// A time.
    Time(Box<__kernel_timespec>),
    /// A destination address.
    Addr(Box<SockAddr>),
    /// The peer's address, written by the kernel.
    Accept(Box<AcceptArgs>),
    /// A message: vectors, address, ancillary data.
    Msg(Box<MsgArgs>),
    /// An epoll event.
    Epoll(Box<epoll_event>),
    /// Descriptors for the file table.
    Fds(Box<FdArray>),
}

impl Args {
    /// Does the kernel write to it, so that two requests must never share it?
    pub fn written_by_kernel(&self) -> bool {
        match self {
            Args::Accept(_) => true,
            Args::Msg(msg) => msg.receives(),
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
