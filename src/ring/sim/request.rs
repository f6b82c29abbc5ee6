//! A request as the simulated kernel keeps it, and the user memory it points at.

use super::faults::RequestAction;
use super::files::FileId;
use crate::sys::consts::*;
use crate::sys::Errno;

/// Names a request for ever: never reused.
pub(super) type ReqId = u64;

/// A piece of the user's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) addr: u64,
    pub(super) len: usize,
}

impl Segment {
    pub(super) fn overlaps(&self, other: &Segment) -> bool {
        let end = |s: &Segment| s.addr + s.len as u64;
        self.len > 0 && other.len > 0 && self.addr < end(other) && other.addr < end(self)
    }
}

pub(super) fn total(segments: &[Segment]) -> usize {
    segments.iter().map(|s| s.len).sum()
}

/// When a timeout expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) ns: u64,
    /// IORING_TIMEOUT_ABS and the clock.
    pub(super) flags: u32,
}

/// Which requests to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Match {
    /// IORING_ASYNC_CANCEL_*.
    pub(super) flags: u32,
    pub(super) user_data: u64,
    pub(super) op: u8,
    pub(super) file: Option<FileId>,
}

/// What preparation made of a submission entry. Everything that may be freed once the entry was
/// taken is copied in here and never read from the user again; what is read or written at
/// completion stays an address.
#[derive(Clone, Debug)]
pub(super) enum Args {
    Nop {
        res: i32,
    },
    Read {
        into: Vec<Segment>,
        offset: u64,
        rw_flags: u32,
        buffer: Option<u16>,
    },
    Write {
        from: Vec<Segment>,
        offset: u64,
        rw_flags: u32,
        buffer: Option<u16>,
    },
    Sync,
    Allocate {
        mode: u32,
        offset: u64,
        len: u64,
    },
    PollAdd {
        events: u32,
        multishot: bool,
    },
    PollRemove {
        target: u64,
        events: Option<u32>,
        user_data: Option<u64>,
    },
    Timeout {
        span: Span,
        count: u32,
        multishot: bool,
        repeats: u32,
        etime_success: bool,
    },
    TimeoutRemove {
        target: u64,
    },
    TimeoutUpdate {
        target: u64,
        span: Span,
        linked: bool,
    },
    LinkTimeout {
        span: Span,
        etime_success: bool,
    },
    Accept {
        addr: u64,
        addr_len: u64,
        multishot: bool,
        dontwait: bool,
    },
    Connect {
        address: Vec<u8>,
    },
    Open {
        path: Vec<u8>,
        flags: u32,
    },
    Close {
        fd: i32,
    },
    Cancel {
        wanted: Match,
        fd: i32,
    },
    Send {
        from: Vec<Segment>,
        msg_flags: u32,
    },
    Recv {
        into: Vec<Segment>,
        msg_flags: u32,
        header: u64,
    },
    Shutdown {
        how: u32,
    },
    MsgRing {
        res: i32,
        user_data: u64,
        flags: u32,
        skip: bool,
    },
    /// Preparation failed; the error is in the request's result.
    Refused,
}

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Behind another request of its chain, or held back by a drain, or queued as task work:
    /// nothing can find it to cancel it.
    Waiting,
    /// Waits for its file to be ready for these events.
    Parked(u32),
    /// A timeout that is ticking.
    Ticking,
    /// With a worker thread.
    Worker,
    /// A worker thread sleeps in it until its file is ready for these events.
    Blocked(u32),
    /// Handed to the disk, which nobody can call back.
    Disk,
    /// Its terminal completion is being posted.
    Ended,
}

pub(super) struct Request {
    pub(super) ring: usize,
    pub(super) op: u8,
    pub(super) flags: u8,
    pub(super) fd: i32,
    pub(super) user_data: u64,
    pub(super) args: Args,
    pub(super) file: Option<FileId>,
    pub(super) state: State,
    pub(super) res: i32,
    pub(super) cqe_flags: u32,
    /// The next request of the chain.
    pub(super) link: Option<ReqId>,
    /// Of a link timeout: the request it watches, while that may be cancelled.
    pub(super) watches: Option<ReqId>,
    /// The next request is a link timeout that has not started ticking.
    pub(super) timeout_follows: bool,
    /// A link timeout that is ticking for this request.
    pub(super) timeout: Option<ReqId>,
    pub(super) failed: bool,
    pub(super) hard_link: bool,
    pub(super) soft_link: bool,
    pub(super) force_async: bool,
    pub(super) drain: bool,
    /// A worker carries it out by a blocking call, instead of waiting for readiness.
    pub(super) blocking: bool,
    /// No completion is posted (CQE_SKIP_SUCCESS, or an earlier one of the chain had it).
    pub(super) silent: bool,
    /// The rest of the chain posts nothing once this one has failed.
    pub(super) silent_links: bool,
    /// Poll events that have come since it was parked.
    pub(super) woken: u32,
    pub(super) cancelled: bool,
    /// The last cancellation that has looked at it.
    pub(super) cancel_round: u64,
    /// Of a timeout that counts completions: the completion it waits for.
    pub(super) target_seq: u32,
    /// Its entry in the event queue.
    pub(super) event: Option<(u64, u64)>,
    pub(super) action: Option<RequestAction>,
    pub(super) scribble: Vec<(Segment, Vec<u8>)>,
}

impl Request {
    pub(super) fn linked(&self) -> bool {
        self.soft_link || self.hard_link
    }

    /// A link breaks on this request (`req_set_fail`).
    pub(super) fn fail(&mut self) {
        self.failed = true;
        if self.silent {
            self.silent = false;
            self.silent_links = true;
        }
    }

    /// Memory the kernel reads or writes while the request runs.
    pub(super) fn segments(&self) -> &[Segment] {
        match &self.args {
            Args::Read { into, .. } | Args::Recv { into, .. } => into,
            Args::Write { from, .. } | Args::Send { from, .. } => from,
            _ => &[],
        }
    }

    /// Does it write to its segments?
    pub(super) fn is_destination(&self) -> bool {
        matches!(self.args, Args::Read { .. } | Args::Recv { .. })
    }

    /// The events whose arrival makes it worth trying again.
    pub(super) fn poll_events(&self) -> u32 {
        use super::files::{POLLERR, POLLHUP, POLLRDHUP, READABLE, WRITABLE};
        match &self.args {
            Args::PollAdd { events, .. } => events | POLLERR | POLLHUP | POLLRDHUP,
            Args::Write { .. } | Args::Send { .. } | Args::Connect { .. } => {
                WRITABLE | POLLERR | POLLHUP
            }
            _ => READABLE | POLLERR | POLLHUP,
        }
    }

    pub(super) fn flag(&self, bit: u8) -> bool {
        self.flags & bit != 0
    }

    pub(super) fn is_link_timeout(&self) -> bool {
        self.op == IORING_OP_LINK_TIMEOUT
    }

    /// The pattern a destination is overwritten with while the request is in flight.
    pub(super) fn poison(&self, moment: u8) -> u8 {
        0xa5 ^ moment.wrapping_mul(0x3b) ^ (self.user_data as u8 & 0x0f)
    }

    /// Save what the destination holds and overwrite it.
    pub(super) fn begin_scribble(&mut self) {
        let poison = self.poison(0);
        for segment in self.segments().to_vec() {
            // SAFETY: the request is in flight, so its slot keeps the memory alive (I2).
            if let Ok(old) = unsafe { copy_in(segment.addr, segment.len) } {
                self.scribble.push((segment, old));
                // SAFETY: as above (I2).
                let _ = unsafe { fill(segment, poison) };
            }
        }
    }

    /// Write once more, at some moment before the end.
    pub(super) fn scribble_again(&self, moment: u8) {
        for (segment, _) in &self.scribble {
            // SAFETY: still in flight (I2).
            let _ = unsafe { fill(*segment, self.poison(moment)) };
        }
    }

    /// Put back what was there: bytes that a transfer does not cover are left as they were.
    pub(super) fn end_scribble(&mut self) {
        for (segment, old) in core::mem::take(&mut self.scribble) {
            // SAFETY: its terminal completion is not posted yet, so still in flight (I2).
            let _ = unsafe { copy_out(segment.addr, &old) };
        }
    }
}

/// The first page is never mapped: the one bad address that can be told without asking.
fn check(addr: u64, len: usize) -> Result<(), Errno> {
    let mapped = addr >= 4096 && addr.checked_add(len as u64).is_some();
    if len == 0 || mapped {
        Ok(())
    } else {
        Err(Errno::EFAULT)
    }
}

/// Copy `len` bytes from the user.
///
/// # Safety
/// The memory must be readable, as far as it is not refused with EFAULT.
pub(super) unsafe fn copy_in(addr: u64, len: usize) -> Result<Vec<u8>, Errno> {
    check(addr, len)?;
    let mut bytes = Vec::with_capacity(len);
    if len > 0 {
        let from: *const u8 = addr as usize as *const _;
        // SAFETY: readable by the caller's contract; raw pointers only (I5).
        unsafe {
            core::ptr::copy(from, bytes.as_mut_ptr(), len);
            bytes.set_len(len);
        }
    }
    Ok(bytes)
}

/// Copy `bytes` to the user.
///
/// # Safety
/// The memory must be writable, as far as it is not refused with EFAULT.
pub(super) unsafe fn copy_out(addr: u64, bytes: &[u8]) -> Result<(), Errno> {
    check(addr, bytes.len())?;
    if !bytes.is_empty() {
        let to: *mut u8 = addr as usize as *mut _;
        // SAFETY: writable by the caller's contract; raw pointers only (I5).
        unsafe { core::ptr::copy(bytes.as_ptr(), to, bytes.len()) };
    }
    Ok(())
}

unsafe fn fill(segment: Segment, byte: u8) -> Result<(), Errno> {
    // SAFETY: writable by the caller's contract (I2).
    unsafe { copy_out(segment.addr, &vec![byte; segment.len]) }
}

/// Read a structure from the user.
///
/// # Safety
/// As for [`copy_in`]; any bytes must be a valid `T`.
pub(super) unsafe fn read_user<T: Copy>(addr: u64) -> Result<T, Errno> {
    check(addr, size_of::<T>())?;
    let from: *const T = addr as usize as *const _;
    // SAFETY: readable by the caller's contract (I2).
    Ok(unsafe { from.read_unaligned() })
}

/// Write a structure to the user.
///
/// # Safety
/// As for [`copy_out`].
pub(super) unsafe fn write_user<T: Copy>(addr: u64, value: T) -> Result<(), Errno> {
    check(addr, size_of::<T>())?;
    let to: *mut T = addr as usize as *mut _;
    // SAFETY: writable by the caller's contract (I2).
    unsafe { to.write_unaligned(value) };
    Ok(())
}
