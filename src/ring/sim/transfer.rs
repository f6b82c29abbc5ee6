//! Reads, writes, sends, receives: where the user's memory is touched.

use super::faults::RequestAction;
use super::files::{FileId, Object};
use super::issue::{Mode, Outcome};
use super::prepare::{DONTWAIT, POLL_FIRST};
use super::request::{copy_in, copy_out, read_user, total, write_user, ReqId, Segment};
use super::world::World;
use crate::sys::consts::IORING_CQE_F_SOCK_NONEMPTY;
use crate::sys::os::{msghdr, MSG_WAITALL};
use crate::sys::Errno;

const RWF_NOWAIT: u32 = 8;
const RWF_KNOWN: u32 = 0x1ff;
const MSG_PEEK: u32 = 2;

impl World {
    /// How much a request may transfer, and where: the plan may have cut it short.
    fn window(&self, id: ReqId) -> (Vec<Segment>, usize) {
        let Some(request) = self.requests.get(&id) else { return (Vec::new(), 0) };
        let segments = request.segments().to_vec();
        let limit = match request.action {
            Some(RequestAction::Result(n)) => n.max(0) as usize,
            _ => usize::MAX,
        };
        let most = total(&segments).min(limit);
        (segments, most)
    }

    /// Is all of it inside the registered buffer?
    fn check_buffer(&self, id: ReqId, buffer: Option<u16>) -> Result<(), Errno> {
        let (Some(index), Some(request)) = (buffer, self.requests.get(&id)) else { return Ok(()) };
        let buffers = &self.rings[request.ring].buffers;
        let (start, len) =
            buffers.get(usize::from(index)).copied().flatten().ok_or(Errno::EFAULT)?;
        let inside = |s: &Segment| {
            s.addr >= start && s.addr.saturating_add(s.len as u64) <= start.saturating_add(len)
        };
        if request.segments().iter().all(inside) {
            Ok(())
        } else {
            Err(Errno::EFAULT)
        }
    }

    /// Spread `bytes` over a request's segments.
    fn scatter(&mut self, id: ReqId, segments: &[Segment], bytes: &[u8]) -> Result<(), Errno> {
        if let Some(request) = self.requests.get_mut(&id) {
            request.end_scribble();
        }
        let mut rest = bytes;
        for segment in segments {
            let (now, later) = rest.split_at(rest.len().min(segment.len));
            // SAFETY: the request is in flight, so its slot keeps the memory alive (I2).
            unsafe { copy_out(segment.addr, now) }?;
            rest = later;
        }
        Ok(())
    }

    fn gather(segments: &[Segment], most: usize) -> Result<Vec<u8>, Errno> {
        let mut bytes = Vec::new();
        for segment in segments {
            let n = segment.len.min(most - bytes.len());
            // SAFETY: the request is in flight, so its slot keeps the memory alive (I2).
            bytes.extend(unsafe { copy_in(segment.addr, n) }?);
        }
        Ok(bytes)
    }

    pub(super) fn read(
        &mut self,
        id: ReqId,
        file: FileId,
        mode: Mode,
        offset: u64,
        rw_flags: u32,
        buffer: Option<u16>,
    ) -> Outcome {
        if rw_flags & !RWF_KNOWN != 0 {
            return Outcome::failed(Errno::EOPNOTSUPP);
        }
        if let Err(errno) = self.check_buffer(id, buffer) {
            return Outcome::failed(errno);
        }
        let nowait = rw_flags & RWF_NOWAIT != 0;
        let regular = matches!(self.files.object(file), Some(Object::Regular { .. }));
        let cold = u64::from(self.options.cold_percent);
        if regular && mode == Mode::Inline && self.rng.chance(cold) {
            return if nowait { Outcome::failed(Errno::EAGAIN) } else { Outcome::Disk };
        }
        let (segments, most) = self.window(id);
        match self.files.read(file, most, offset) {
            Err(Errno::EAGAIN) if !nowait => Outcome::Wait,
            Err(errno) => Outcome::failed(errno),
            Ok(bytes) => match self.scatter(id, &segments, &bytes) {
                Ok(()) => Outcome::Done(bytes.len() as i32, bytes.len() < total(&segments)),
                Err(errno) => Outcome::failed(errno),
            },
        }
    }

    pub(super) fn write(
        &mut self,
        id: ReqId,
        file: FileId,
        mode: Mode,
        offset: u64,
        rw_flags: u32,
        buffer: Option<u16>,
    ) -> Outcome {
        if rw_flags & !RWF_KNOWN != 0 {
            return Outcome::failed(Errno::EOPNOTSUPP);
        }
        if let Err(errno) = self.check_buffer(id, buffer) {
            return Outcome::failed(errno);
        }
        let nowait = rw_flags & RWF_NOWAIT != 0;
        if mode == Mode::Inline && matches!(self.files.object(file), Some(Object::Regular { .. })) {
            return if nowait { Outcome::failed(Errno::EAGAIN) } else { Outcome::Punt };
        }
        let (segments, most) = self.window(id);
        let sent = Self::gather(&segments, most).and_then(|b| self.files.write(file, &b, offset));
        match sent {
            Err(Errno::EAGAIN) if !nowait => Outcome::Wait,
            Err(errno) => Outcome::failed(errno),
            Ok(n) => Outcome::Done(n as i32, n < total(&segments)),
        }
    }

    pub(super) fn send(&mut self, id: ReqId, file: FileId, msg_flags: u32) -> Outcome {
        let Some(Object::Socket(socket)) = self.files.object(file) else {
            return Outcome::failed(Errno::ENOTSOCK);
        };
        let (segments, most) = self.window(id);
        let sent = Self::gather(&segments, most).and_then(|b| self.files.transmit(socket, &b));
        let waitall = msg_flags & MSG_WAITALL as u32 != 0;
        match sent {
            Err(Errno::EAGAIN) if msg_flags & DONTWAIT == 0 => Outcome::Wait,
            Err(errno) => Outcome::failed(errno),
            Ok(n) => Outcome::Done(n as i32, waitall && n < total(&segments)),
        }
    }

    /// RECV, and RECVMSG with the address of its header, which belongs to the kernel until the
    /// end: it is read and written here, not when the entry was taken.
    pub(super) fn receive(
        &mut self,
        id: ReqId,
        file: FileId,
        msg_flags: u32,
        header: u64,
    ) -> Outcome {
        let Some(Object::Socket(socket)) = self.files.object(file) else {
            return Outcome::failed(Errno::ENOTSOCK);
        };
        if msg_flags & POLL_FIRST != 0 && !self.files.has_data(socket) {
            return Outcome::Wait;
        }
        let (segments, most) = self.window(id);
        let bytes = match self.files.receive(socket, most, msg_flags & MSG_PEEK != 0) {
            Err(Errno::EAGAIN) if msg_flags & DONTWAIT == 0 => return Outcome::Wait,
            Err(errno) => return Outcome::failed(errno),
            Ok(bytes) => bytes,
        };
        let written = self.scatter(id, &segments, &bytes);
        if let Err(errno) = written.and_then(|()| write_header(header)) {
            return Outcome::failed(errno);
        }
        let more = self.files.has_data(socket);
        if let Some(request) = self.requests.get_mut(&id) {
            request.cqe_flags = if more { IORING_CQE_F_SOCK_NONEMPTY } else { 0 };
        }
        let waitall = msg_flags & MSG_WAITALL as u32 != 0;
        Outcome::Done(bytes.len() as i32, waitall && bytes.len() < total(&segments))
    }
}

/// What recvmsg says about a stream: no name, no control data, no flags.
fn write_header(addr: u64) -> Result<(), Errno> {
    if addr == 0 {
        return Ok(());
    }
    // SAFETY: the request is in flight, so its slot keeps the header alive (I2).
    let mut header: msghdr = unsafe { read_user(addr) }?;
    if (header.msg_namelen as i32) < 0 {
        return Err(Errno::EINVAL);
    }
    header.msg_namelen = 0;
    header.msg_controllen = 0;
    header.msg_flags = 0;
    // SAFETY: as above (I2).
    unsafe { write_user(addr, header) }
}
