//! What the kernel checks and copies when it takes an entry (the `prep` functions).
//!
//! Nothing that is copied here is ever read from the user again: that is the promise of
//! FEAT_SUBMIT_STABLE, and code that relies on less would be caught by nothing else.

use super::request::{copy_in, read_user, Args, Match, ReqId, Segment, Span};
use super::world::World;
use crate::sys::abi::{__kernel_timespec, io_uring_sqe};
use crate::sys::consts::*;
use crate::sys::os::{iovec, msghdr, MSG_DONTWAIT};
use crate::sys::Errno;

/// No transfer is longer than this.
const MAX_RW_COUNT: usize = 0x7fff_f000;
const UIO_MAXIOV: u32 = 1024;
const PATH_MAX: u64 = 4096;
const SOCKADDR_MAX: u64 = 128;
const CANCEL_FLAGS: u32 = IORING_ASYNC_CANCEL_ALL
    | IORING_ASYNC_CANCEL_FD
    | IORING_ASYNC_CANCEL_ANY
    | IORING_ASYNC_CANCEL_FD_FIXED
    | IORING_ASYNC_CANCEL_USERDATA
    | IORING_ASYNC_CANCEL_OP;

/// The operations there is a simulation of.
const IMPLEMENTED: [u8; 28] = [
    IORING_OP_NOP,
    IORING_OP_READV,
    IORING_OP_WRITEV,
    IORING_OP_FSYNC,
    IORING_OP_READ_FIXED,
    IORING_OP_WRITE_FIXED,
    IORING_OP_POLL_ADD,
    IORING_OP_POLL_REMOVE,
    IORING_OP_SYNC_FILE_RANGE,
    IORING_OP_SENDMSG,
    IORING_OP_RECVMSG,
    IORING_OP_TIMEOUT,
    IORING_OP_TIMEOUT_REMOVE,
    IORING_OP_ACCEPT,
    IORING_OP_ASYNC_CANCEL,
    IORING_OP_LINK_TIMEOUT,
    IORING_OP_CONNECT,
    IORING_OP_FALLOCATE,
    IORING_OP_OPENAT,
    IORING_OP_CLOSE,
    IORING_OP_READ,
    IORING_OP_WRITE,
    IORING_OP_SEND,
    IORING_OP_RECV,
    IORING_OP_SHUTDOWN,
    IORING_OP_MSG_RING,
    IORING_OP_READV_FIXED,
    IORING_OP_WRITEV_FIXED,
];

/// EINVAL if any of these fields is set.
fn unused(fields: &[u64]) -> Result<(), Errno> {
    if fields.iter().all(|field| *field == 0) {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

fn one(addr: u64, len: usize) -> Vec<Segment> {
    vec![Segment { addr, len: len.min(MAX_RW_COUNT) }]
}

fn vectors(addr: u64, count: u32) -> Result<Vec<Segment>, Errno> {
    if count > UIO_MAXIOV {
        return Err(Errno::EINVAL);
    }
    let mut segments = Vec::new();
    for i in 0..u64::from(count) {
        // SAFETY: the caller of enter vouches for the array until the entry is taken (I2).
        let v: iovec = unsafe { read_user(addr + i * size_of::<iovec>() as u64) }?;
        segments.push(Segment { addr: v.iov_base as usize as u64, len: v.iov_len });
    }
    Ok(segments)
}

fn timespec(addr: u64) -> Result<u64, Errno> {
    // SAFETY: the caller of enter vouches for it until the entry is taken (I2).
    let ts: __kernel_timespec = unsafe { read_user(addr) }?;
    if ts.tv_sec < 0 || ts.tv_nsec < 0 {
        return Err(Errno::EINVAL);
    }
    Ok((ts.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(ts.tv_nsec as u64))
}

fn path(addr: u64) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    for i in 0..PATH_MAX {
        // SAFETY: the caller of enter vouches for the string until the entry is taken (I2).
        match unsafe { read_user::<u8>(addr + i) }? {
            0 => return Ok(bytes),
            byte => bytes.push(byte),
        }
    }
    Err(Errno::ENAMETOOLONG)
}

impl World {
    /// Is there such an operation, on a kernel of this age?
    pub(super) fn knows_op(&self, op: u8) -> bool {
        op < 64 && self.options.ops >> op & 1 == 1 && IMPLEMENTED.contains(&op)
    }

    /// Check an entry and copy what may be gone after it was taken.
    pub(super) fn prepare(
        &mut self,
        ring: usize,
        id: ReqId,
        sqe: &io_uring_sqe,
    ) -> Result<Args, Errno> {
        let takes_ioprio = matches!(
            sqe.opcode,
            IORING_OP_READV
                | IORING_OP_WRITEV
                | IORING_OP_READ_FIXED
                | IORING_OP_WRITE_FIXED
                | IORING_OP_READ
                | IORING_OP_WRITE
                | IORING_OP_READV_FIXED
                | IORING_OP_WRITEV_FIXED
                | IORING_OP_SEND
                | IORING_OP_RECV
                | IORING_OP_SENDMSG
                | IORING_OP_RECVMSG
                | IORING_OP_ACCEPT
        );
        if (sqe.ioprio != 0 && !takes_ioprio) || sqe.personality != 0 {
            return Err(Errno::EINVAL);
        }
        match sqe.opcode {
            IORING_OP_NOP => nop(sqe),
            IORING_OP_READ
            | IORING_OP_READV
            | IORING_OP_READ_FIXED
            | IORING_OP_READV_FIXED
            | IORING_OP_WRITE
            | IORING_OP_WRITEV
            | IORING_OP_WRITE_FIXED
            | IORING_OP_WRITEV_FIXED => transfer(sqe),
            IORING_OP_FSYNC | IORING_OP_SYNC_FILE_RANGE => {
                let flags = if sqe.opcode == IORING_OP_FSYNC { IORING_FSYNC_DATASYNC } else { 7 };
                unused(&[
                    sqe.addr,
                    sqe.buf_index.into(),
                    sqe.file_index.into(),
                    (sqe.op_flags & !flags).into(),
                ])?;
                Ok(Args::Sync)
            }
            IORING_OP_FALLOCATE => {
                unused(&[sqe.buf_index.into(), sqe.op_flags.into(), sqe.file_index.into()])?;
                Ok(Args::Allocate { mode: sqe.len, offset: sqe.off, len: sqe.addr })
            }
            IORING_OP_POLL_ADD => poll_add(sqe),
            IORING_OP_POLL_REMOVE => poll_remove(sqe),
            IORING_OP_TIMEOUT | IORING_OP_LINK_TIMEOUT => self.timeout(ring, id, sqe),
            IORING_OP_TIMEOUT_REMOVE => timeout_remove(sqe),
            IORING_OP_ASYNC_CANCEL => cancel(sqe),
            IORING_OP_OPENAT => {
                unused(&[sqe.buf_index.into(), sqe.file_index.into()])?;
                Ok(Args::Open { path: path(sqe.addr)?, flags: sqe.op_flags })
            }
            IORING_OP_CLOSE => {
                let fields = [sqe.off, sqe.addr, sqe.len.into(), sqe.op_flags.into()];
                unused(&fields)?;
                unused(&[sqe.buf_index.into(), sqe.file_index.into()])?;
                Ok(Args::Close { fd: sqe.fd })
            }
            IORING_OP_MSG_RING => msg_ring(sqe),
            _ => socket_op(sqe),
        }
    }

    /// TIMEOUT and LINK_TIMEOUT; the latter belongs to the entry just before it in a chain.
    fn timeout(&mut self, ring: usize, id: ReqId, sqe: &io_uring_sqe) -> Result<Args, Errno> {
        let linked = sqe.opcode == IORING_OP_LINK_TIMEOUT;
        unused(&[sqe.buf_index.into(), sqe.file_index.into()])?;
        let known = IORING_TIMEOUT_ABS
            | IORING_TIMEOUT_CLOCK_MASK
            | IORING_TIMEOUT_ETIME_SUCCESS
            | IORING_TIMEOUT_MULTISHOT;
        let flags = sqe.op_flags;
        let has = |bit: u32| flags & bit == bit;
        let bad = sqe.len != 1
            || (linked && sqe.off != 0)
            || flags & !known != 0
            || has(IORING_TIMEOUT_CLOCK_MASK)
            || has(IORING_TIMEOUT_MULTISHOT | IORING_TIMEOUT_ABS);
        if bad {
            return Err(Errno::EINVAL);
        }
        let span = Span { ns: timespec(sqe.addr)?, flags };
        let etime_success = has(IORING_TIMEOUT_ETIME_SUCCESS);
        if !linked {
            let multishot = has(IORING_TIMEOUT_MULTISHOT);
            let (count, repeats) =
                if multishot { (0, sqe.off as u32) } else { (sqe.off as u32, 0) };
            return Ok(Args::Timeout { span, count, multishot, repeats, etime_success });
        }
        if self.rings[ring].chain_head.is_none() {
            return Err(Errno::EINVAL);
        }
        let last = self.rings[ring].chain_last;
        let Some(before) = last.and_then(|last| self.requests.get_mut(&last)) else {
            return Err(Errno::EINVAL);
        };
        if before.is_link_timeout() {
            return Err(Errno::EINVAL);
        }
        before.timeout_follows = true;
        debug_assert!(last != Some(id));
        Ok(Args::LinkTimeout { span, etime_success })
    }
}

fn nop(sqe: &io_uring_sqe) -> Result<Args, Errno> {
    match sqe.op_flags {
        0 => Ok(Args::Nop { res: 0 }),
        IORING_NOP_INJECT_RESULT => Ok(Args::Nop { res: sqe.len as i32 }),
        _ => Err(Errno::EINVAL),
    }
}

fn transfer(sqe: &io_uring_sqe) -> Result<Args, Errno> {
    // Attributes are for files that keep protection information, which none here does.
    unused(&[sqe.pad2])?;
    let (offset, rw_flags) = (sqe.off, sqe.op_flags);
    let vectored = matches!(
        sqe.opcode,
        IORING_OP_READV | IORING_OP_WRITEV | IORING_OP_READV_FIXED | IORING_OP_WRITEV_FIXED
    );
    let segments =
        if vectored { vectors(sqe.addr, sqe.len)? } else { one(sqe.addr, sqe.len as usize) };
    let fixed = matches!(
        sqe.opcode,
        IORING_OP_READ_FIXED
            | IORING_OP_WRITE_FIXED
            | IORING_OP_READV_FIXED
            | IORING_OP_WRITEV_FIXED
    );
    let buffer = fixed.then_some(sqe.buf_index);
    let reads = matches!(
        sqe.opcode,
        IORING_OP_READ | IORING_OP_READV | IORING_OP_READ_FIXED | IORING_OP_READV_FIXED
    );
    Ok(if reads {
        Args::Read { into: segments, offset, rw_flags, buffer }
    } else {
        Args::Write { from: segments, offset, rw_flags, buffer }
    })
}

fn poll_add(sqe: &io_uring_sqe) -> Result<Args, Errno> {
    unused(&[sqe.buf_index.into(), sqe.off, sqe.addr, (sqe.len & !IORING_POLL_ADD_MULTI).into()])?;
    let multishot = sqe.len & IORING_POLL_ADD_MULTI != 0;
    if multishot && sqe.flags & IOSQE_CQE_SKIP_SUCCESS != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(Args::PollAdd { events: sqe.op_flags, multishot })
}

fn poll_remove(sqe: &io_uring_sqe) -> Result<Args, Errno> {
    unused(&[sqe.buf_index.into(), sqe.file_index.into()])?;
    let known = IORING_POLL_UPDATE_EVENTS | IORING_POLL_UPDATE_USER_DATA | IORING_POLL_ADD_MULTI;
    let flags = sqe.len;
    let new_events = flags & IORING_POLL_UPDATE_EVENTS != 0;
    let new_user_data = flags & IORING_POLL_UPDATE_USER_DATA != 0;
    let bad = flags & !known != 0
        || flags == IORING_POLL_ADD_MULTI
        || (!new_user_data && sqe.off != 0)
        || (!new_events && sqe.op_flags != 0);
    if bad {
        return Err(Errno::EINVAL);
    }
    Ok(Args::PollRemove {
        target: sqe.addr,
        events: new_events.then_some(sqe.op_flags),
        user_data: new_user_data.then_some(sqe.off),
    })
}

fn timeout_remove(sqe: &io_uring_sqe) -> Result<Args, Errno> {
    unused(&[sqe.buf_index.into(), sqe.len.into(), sqe.file_index.into()])?;
    let flags = sqe.op_flags;
    if flags & IORING_TIMEOUT_UPDATE_MASK == 0 {
        unused(&[flags.into()])?;
        return Ok(Args::TimeoutRemove { target: sqe.addr });
    }
    // An update keeps the clock of the original.
    if flags & !(IORING_TIMEOUT_UPDATE_MASK | IORING_TIMEOUT_ABS) != 0 {
        return Err(Errno::EINVAL);
    }
    // LINK_TIMEOUT_UPDATE says which list to look in; alone it is a removal all the same.
    if flags & IORING_TIMEOUT_UPDATE == 0 {
        return Ok(Args::TimeoutRemove { target: sqe.addr });
    }
    Ok(Args::TimeoutUpdate {
        target: sqe.addr,
        span: Span { ns: timespec(sqe.off)?, flags },
        linked: flags & IORING_LINK_TIMEOUT_UPDATE != 0,
    })
}

fn cancel(sqe: &io_uring_sqe) -> Result<Args, Errno> {
    unused(&[sqe.off, sqe.file_index.into(), (sqe.op_flags & !CANCEL_FLAGS).into()])?;
    let wanted = cancel_match(sqe.op_flags, sqe.addr, sqe.len as u8)?;
    Ok(Args::Cancel { wanted, fd: sqe.fd })
}

/// What cancellation, by request or by register, is told.
pub(super) fn cancel_match(flags: u32, user_data: u64, op: u8) -> Result<Match, Errno> {
    let by = IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_OP;
    if flags & !CANCEL_FLAGS != 0 || (flags & IORING_ASYNC_CANCEL_ANY != 0 && flags & by != 0) {
        return Err(Errno::EINVAL);
    }
    Ok(Match { flags, user_data, op, file: None })
}

fn msg_ring(sqe: &io_uring_sqe) -> Result<Args, Errno> {
    unused(&[sqe.buf_index.into()])?;
    let known = IORING_MSG_RING_CQE_SKIP | IORING_MSG_RING_FLAGS_PASS;
    if sqe.addr != IORING_MSG_DATA || sqe.op_flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let pass = sqe.op_flags & IORING_MSG_RING_FLAGS_PASS != 0;
    if !pass && sqe.file_index != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(Args::MsgRing {
        res: sqe.len as i32,
        user_data: sqe.off,
        flags: if pass { sqe.file_index } else { 0 },
        skip: sqe.op_flags & IORING_MSG_RING_CQE_SKIP != 0,
    })
}

fn socket_op(sqe: &io_uring_sqe) -> Result<Args, Errno> {
    let poll_first = u32::from(sqe.ioprio & IORING_RECVSEND_POLL_FIRST != 0) * POLL_FIRST;
    let msg_flags = sqe.op_flags | poll_first;
    match sqe.opcode {
        IORING_OP_SHUTDOWN => {
            unused(&[sqe.off, sqe.addr, sqe.op_flags.into(), sqe.buf_index.into()])?;
            Ok(Args::Shutdown { how: sqe.len })
        }
        IORING_OP_CONNECT => {
            unused(&[sqe.len.into(), sqe.buf_index.into(), sqe.op_flags.into()])?;
            if sqe.off > SOCKADDR_MAX {
                return Err(Errno::EINVAL);
            }
            // SAFETY: the caller of enter vouches for it until the entry is taken (I2).
            Ok(Args::Connect { address: unsafe { copy_in(sqe.addr, sqe.off as usize) }? })
        }
        IORING_OP_ACCEPT => {
            unused(&[sqe.len.into(), sqe.buf_index.into(), sqe.file_index.into()])?;
            Ok(Args::Accept {
                addr: sqe.addr,
                addr_len: sqe.off,
                multishot: sqe.ioprio & IORING_ACCEPT_MULTISHOT != 0,
                dontwait: sqe.ioprio & IORING_ACCEPT_DONTWAIT != 0,
            })
        }
        // Beyond waiting first, these flags need provided or registered buffers.
        _ if sqe.ioprio & !IORING_RECVSEND_POLL_FIRST != 0 => Err(Errno::EINVAL),
        IORING_OP_SEND => Ok(Args::Send { from: one(sqe.addr, sqe.len as usize), msg_flags }),
        IORING_OP_RECV => {
            Ok(Args::Recv { into: one(sqe.addr, sqe.len as usize), msg_flags, header: 0 })
        }
        IORING_OP_SENDMSG | IORING_OP_RECVMSG => {
            // SAFETY: the caller of enter vouches for the header (I2).
            let header: msghdr = unsafe { read_user(sqe.addr) }?;
            let count = u32::try_from(header.msg_iovlen).unwrap_or(u32::MAX);
            let segments = vectors(header.msg_iov as usize as u64, count)?;
            if sqe.opcode == IORING_OP_SENDMSG {
                Ok(Args::Send { from: segments, msg_flags })
            } else {
                Ok(Args::Recv { into: segments, msg_flags, header: sqe.addr })
            }
        }
        _ => Err(Errno::EINVAL),
    }
}

/// IORING_RECVSEND_POLL_FIRST, kept among the message flags where no MSG_* flag is.
pub(super) const POLL_FIRST: u32 = 1 << 31;
/// The message flag that turns waiting into EAGAIN.
pub(super) const DONTWAIT: u32 = MSG_DONTWAIT as u32;
