//! Readiness: poll requests, and changing an epoll set through the ring.

use crate::ops::args::Args;
use crate::ops::entry;
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;
use crate::sys::os::epoll_event;

/// The kernel reads poll events as two half words, the high one first on big-endian machines.
fn events32(events: u32) -> u32 {
    if cfg!(target_endian = "big") {
        events.rotate_left(16)
    } else {
        events
    }
}

/// Complete when `fd` is ready for one of `events`; `flags` are IORING_POLL_ADD_*.
pub fn add(fd: i32, events: u32, flags: u32) -> io_uring_sqe {
    io_uring_sqe { len: flags, op_flags: events32(events), ..entry(IORING_OP_POLL_ADD, fd) }
}

/// End the poll request that has `key`.
pub fn remove(key: u64) -> io_uring_sqe {
    io_uring_sqe { addr: key, ..entry(IORING_OP_POLL_REMOVE, -1) }
}

/// Change the events of the poll request that has `key`. The kernel takes IORING_POLL_ADD_MULTI
/// here too, but a request stays what it was: one-shot or multishot (measured).
pub fn update(key: u64, events: u32) -> io_uring_sqe {
    io_uring_sqe {
        addr: key,
        len: IORING_POLL_UPDATE_EVENTS,
        op_flags: events32(events),
        ..entry(IORING_OP_POLL_REMOVE, -1)
    }
}

/// epoll_wait(2): until the set `epfd` has events, at most `max` of them.
pub fn epoll_wait(epfd: i32, max: u32) -> (io_uring_sqe, Args) {
    let events = vec![epoll_event { events: 0, u64: 0 }; max as usize].into_boxed_slice();
    let sqe = io_uring_sqe {
        addr: events.as_ptr() as u64,
        len: max,
        ..entry(IORING_OP_EPOLL_WAIT, epfd)
    };
    (sqe, Args::EpollWait(events))
}

/// epoll_ctl(2): add, modify or delete `fd` in the set `epfd`.
pub fn epoll_ctl(epfd: i32, op: u32, fd: i32, events: u32, data: u64) -> (io_uring_sqe, Args) {
    let event = Box::new(epoll_event { events, u64: data });
    let sqe = io_uring_sqe {
        addr: core::ptr::from_ref(&*event) as u64,
        len: op,
        off: fd as u32 as u64,
        ..entry(IORING_OP_EPOLL_CTL, epfd)
    };
    (sqe, Args::Epoll(event))
}
