//! io_uring_register(2).

use std::ffi::c_void;

use super::faults::{Action, Call};
use super::files::Object;
use super::prepare::cancel_match;
use super::request::{read_user, write_user, Match};
use super::world::World;
use crate::sys::abi::{
    io_uring_files_update, io_uring_probe, io_uring_probe_op, io_uring_rsrc_update, io_uring_sqe,
    io_uring_sync_cancel_reg,
};
use crate::sys::consts::*;
use crate::sys::os::iovec;
use crate::sys::sync::thread;
use crate::sys::Errno;

const BUFFERS_MAX: u32 = 16_384;
const REGISTERED_RINGS_MAX: usize = 16;

impl World {
    pub(super) fn register(
        &mut self,
        fd: i32,
        opcode: u32,
        arg: *mut c_void,
        nr: u32,
    ) -> Result<u32, Errno> {
        let action = {
            let op = opcode & !IORING_REGISTER_USE_REGISTERED_RING;
            self.faults.call_with(Call::Register, "io_uring_register", op)
        };
        let now = self.now.saturating_add(self.options.call_ns);
        self.advance_to(now);
        if let Some(Action::Err(errno)) = action {
            return Err(errno);
        }
        let addr = arg as usize as u64;
        let registered = opcode & IORING_REGISTER_USE_REGISTERED_RING != 0;
        let opcode = opcode & !IORING_REGISTER_USE_REGISTERED_RING;
        if opcode >= 64 || self.options.register_ops >> opcode & 1 == 0 {
            return Err(Errno::EINVAL);
        }
        if fd == -1 {
            // The operations without a ring; QUERY is not simulated, so that PROBE is used.
            let known = opcode == IORING_REGISTER_SEND_MSG_RING;
            let sent = if known { self.send_message(addr, nr) } else { Err(Errno::EINVAL) };
            self.settle_call();
            return sent.map(|()| 0);
        }
        let ring = self.ring_of_call(fd, registered)?;
        self.check_issuer(ring)?;
        let result = self.register_on(ring, opcode, addr, nr);
        self.settle_call();
        result
    }

    fn register_on(&mut self, ring: usize, opcode: u32, addr: u64, nr: u32) -> Result<u32, Errno> {
        match opcode {
            IORING_REGISTER_PROBE => self.probe(addr, nr),
            IORING_REGISTER_ENABLE_RINGS => self.enable(ring, addr, nr),
            IORING_REGISTER_SYNC_CANCEL => self.sync_cancel(ring, addr, nr),
            IORING_REGISTER_BUFFERS => self.register_buffers(ring, addr, nr),
            IORING_UNREGISTER_BUFFERS if self.rings[ring].buffers.is_empty() => Err(Errno::ENXIO),
            IORING_UNREGISTER_BUFFERS => {
                self.rings[ring].buffers.clear();
                Ok(0)
            }
            IORING_REGISTER_FILES => self.register_files(ring, addr, nr),
            IORING_REGISTER_FILES_UPDATE => self.update_files(ring, addr, nr),
            IORING_UNREGISTER_FILES if self.rings[ring].table.is_empty() => Err(Errno::ENXIO),
            IORING_UNREGISTER_FILES => {
                for file in core::mem::take(&mut self.rings[ring].table).into_iter().flatten() {
                    self.files.release(file);
                }
                Ok(0)
            }
            IORING_REGISTER_EVENTFD | IORING_REGISTER_EVENTFD_ASYNC => {
                let async_only = opcode == IORING_REGISTER_EVENTFD_ASYNC;
                self.register_eventfd(ring, addr, nr, async_only)
            }
            IORING_UNREGISTER_EVENTFD => match self.rings[ring].eventfd.take() {
                Some((file, _)) => {
                    self.files.release(file);
                    Ok(0)
                }
                None => Err(Errno::ENXIO),
            },
            IORING_REGISTER_RING_FDS => self.register_ring_fds(addr, nr),
            IORING_UNREGISTER_RING_FDS => self.unregister_ring_fds(addr, nr),
            _ => Err(Errno::EINVAL),
        }
    }

    fn probe(&self, addr: u64, nr: u32) -> Result<u32, Errno> {
        if addr == 0 || nr > 256 {
            return Err(Errno::EINVAL);
        }
        let last = (0..64u8).rev().find(|op| self.options.ops >> op & 1 == 1).unwrap_or(0);
        let count = nr.min(u32::from(last) + 1) as u8;
        let head = io_uring_probe { last_op: last, ops_len: count, ..Default::default() };
        // SAFETY: the caller of register vouches for room for the head and `nr` entries (I2).
        unsafe { write_user(addr, head) }?;
        for op in 0..count {
            let flags = if self.knows_op(op) { IO_URING_OP_SUPPORTED } else { 0 };
            let entry = io_uring_probe_op { op, flags, ..Default::default() };
            let at = size_of::<io_uring_probe>() + usize::from(op) * size_of::<io_uring_probe_op>();
            // SAFETY: as above (I2).
            unsafe { write_user(addr + at as u64, entry) }?;
        }
        Ok(0)
    }

    fn enable(&mut self, ring: usize, addr: u64, nr: u32) -> Result<u32, Errno> {
        if addr != 0 || nr != 0 {
            return Err(Errno::EINVAL);
        }
        let r = &mut self.rings[ring];
        if !core::mem::take(&mut r.disabled) {
            return Err(Errno::EBADFD);
        }
        if r.has(IORING_SETUP_SINGLE_ISSUER) {
            r.issuer = Some(thread::current().id());
        }
        Ok(0)
    }

    fn sync_cancel(&mut self, ring: usize, addr: u64, nr: u32) -> Result<u32, Errno> {
        if addr == 0 || nr != 1 {
            return Err(Errno::EINVAL);
        }
        // SAFETY: the caller of register vouches for the argument (I2).
        let arg: io_uring_sync_cancel_reg = unsafe { read_user(addr) }?;
        if arg.pad != [0; 7] || arg.pad2 != [0; 3] {
            return Err(Errno::EINVAL);
        }
        let mut wanted: Match = cancel_match(arg.flags, arg.addr, arg.opcode)?;
        if wanted.flags & IORING_ASYNC_CANCEL_FD != 0 {
            wanted.file = Some(self.files.lookup(arg.fd).ok_or(Errno::EBADF)?);
        }
        let forever = arg.timeout.tv_sec == -1 && arg.timeout.tv_nsec == -1;
        let ns = (arg.timeout.tv_sec.max(0) as u64)
            .saturating_mul(1_000_000_000)
            .saturating_add(arg.timeout.tv_nsec.max(0) as u64);
        let deadline = if forever { u64::MAX } else { self.now.saturating_add(ns) };
        let mut first = true;
        loop {
            let res = self.cancel(ring, wanted);
            let gone = res == -Errno::ENOENT.0 && !first;
            if res != -Errno::EALREADY.0 {
                let res = if gone || (!first && res > 0) { 0 } else { res };
                return u32::try_from(res).map_err(|_| Errno(-res));
            }
            first = false;
            // Too late to stop it: wait until it has ended.
            let next = self.events.first_key_value().map(|((at, _), _)| *at);
            let Some(at) = next.filter(|at| *at <= deadline) else {
                self.now = self.now.max(deadline.min(self.now.saturating_add(ns)));
                return Err(Errno::ETIME);
            };
            self.advance_to(at);
            self.run_work(ring);
        }
    }

    fn register_buffers(&mut self, ring: usize, addr: u64, nr: u32) -> Result<u32, Errno> {
        if !self.rings[ring].buffers.is_empty() {
            return Err(Errno::EBUSY);
        }
        if nr == 0 || nr > BUFFERS_MAX {
            return Err(Errno::EINVAL);
        }
        let mut buffers = Vec::new();
        for i in 0..u64::from(nr) {
            // SAFETY: the caller of register vouches for `nr` vectors (I2).
            let v: iovec = unsafe { read_user(addr + i * size_of::<iovec>() as u64) }?;
            let (base, len) = (v.iov_base as usize as u64, v.iov_len as u64);
            match (base, len) {
                (0, 0) => buffers.push(None),
                (0, _) | (_, 0) => return Err(Errno::EFAULT),
                (_, len) if len > 1 << 30 => return Err(Errno::EFAULT),
                _ => buffers.push(Some((base, len))),
            }
        }
        self.rings[ring].buffers = buffers;
        Ok(0)
    }

    /// A table of files from an array of descriptors, -1 for an empty place.
    fn register_files(&mut self, ring: usize, addr: u64, nr: u32) -> Result<u32, Errno> {
        if !self.rings[ring].table.is_empty() {
            return Err(Errno::EBUSY);
        }
        if nr == 0 || nr > self.options.max_fds {
            return Err(if nr == 0 { Errno::EINVAL } else { Errno::EMFILE });
        }
        let mut found = Vec::new();
        for i in 0..u64::from(nr) {
            // SAFETY: the caller of register vouches for `nr` descriptors (I2).
            found.push(self.registrable(unsafe { read_user(addr + i * 4) }?)?);
        }
        for file in found.iter().flatten() {
            self.files.hold(*file);
        }
        self.rings[ring].table = found;
        Ok(0)
    }

    /// What a descriptor puts into a table of files.
    fn registrable(&self, fd: i32) -> Result<Option<super::files::FileId>, Errno> {
        if fd == -1 {
            return Ok(None);
        }
        let file = self.files.lookup(fd).ok_or(Errno::EBADF)?;
        let ring = matches!(self.files.object(file), Some(Object::Ring(_)));
        if ring {
            Err(Errno::EBADF)
        } else {
            Ok(Some(file))
        }
    }

    /// Change places of the table; how many were.
    fn update_files(&mut self, ring: usize, addr: u64, nr: u32) -> Result<u32, Errno> {
        // SAFETY: the caller of register vouches for the argument (I2).
        let update: io_uring_files_update = unsafe { read_user(addr) }?;
        let count = self.rings[ring].table.len() as u64;
        if count == 0 {
            return Err(Errno::ENXIO);
        }
        if nr == 0 || update.resv != 0 || u64::from(update.offset) + u64::from(nr) > count {
            return Err(Errno::EINVAL);
        }
        for i in 0..nr {
            // SAFETY: as above, for `nr` descriptors (I2).
            let file = match self.registrable(unsafe { read_user(update.fds + 4 * u64::from(i)) }?)
            {
                Ok(file) => file,
                // Those before it stay changed.
                Err(errno) => return if i == 0 { Err(errno) } else { Ok(i) },
            };
            if let Some(file) = file {
                self.files.hold(file);
            }
            let place = (update.offset + i) as usize;
            if let Some(old) = core::mem::replace(&mut self.rings[ring].table[place], file) {
                self.files.release(old);
            }
        }
        Ok(nr)
    }

    fn register_eventfd(
        &mut self,
        ring: usize,
        addr: u64,
        nr: u32,
        async_only: bool,
    ) -> Result<u32, Errno> {
        if nr != 1 {
            return Err(Errno::EINVAL);
        }
        if self.rings[ring].eventfd.is_some() {
            return Err(Errno::EBUSY);
        }
        // SAFETY: the caller of register vouches for the descriptor's address (I2).
        let fd: i32 = unsafe { read_user(addr) }?;
        let file = self.files.lookup(fd).ok_or(Errno::EBADF)?;
        if !matches!(self.files.object(file), Some(Object::Event(_))) {
            return Err(Errno::EINVAL);
        }
        self.files.hold(file);
        self.rings[ring].eventfd = Some((file, async_only));
        Ok(0)
    }

    fn register_ring_fds(&mut self, addr: u64, nr: u32) -> Result<u32, Errno> {
        if nr == 0 || nr as usize > REGISTERED_RINGS_MAX {
            return Err(Errno::EINVAL);
        }
        self.registered.resize(REGISTERED_RINGS_MAX, None);
        for i in 0..nr {
            let at = addr + u64::from(i) * size_of::<io_uring_rsrc_update>() as u64;
            // SAFETY: the caller of register vouches for `nr` entries (I2).
            let mut update: io_uring_rsrc_update = unsafe { read_user(at) }?;
            let done = match self.register_ring_fd(&mut update) {
                // Those before it stay registered.
                Err(errno) if i == 0 => return Err(errno),
                Err(_) => return Ok(i),
                Ok(()) => update,
            };
            // SAFETY: as above (I2).
            unsafe { write_user(at, done) }?;
        }
        Ok(nr)
    }

    fn register_ring_fd(&mut self, update: &mut io_uring_rsrc_update) -> Result<(), Errno> {
        let ring = self.ring_of_fd(update.data as i32)?;
        let index = match update.offset {
            u32::MAX => self.registered.iter().position(Option::is_none).ok_or(Errno::EBUSY)?,
            index if (index as usize) < REGISTERED_RINGS_MAX => index as usize,
            _ => return Err(Errno::EINVAL),
        };
        if self.registered[index].is_some() {
            return Err(Errno::EBUSY);
        }
        self.registered[index] = Some(ring);
        update.offset = index as u32;
        Ok(())
    }

    fn unregister_ring_fds(&mut self, addr: u64, nr: u32) -> Result<u32, Errno> {
        for i in 0..nr {
            let at = addr + u64::from(i) * size_of::<io_uring_rsrc_update>() as u64;
            // SAFETY: the caller of register vouches for `nr` entries (I2).
            let update: io_uring_rsrc_update = unsafe { read_user(at) }?;
            let slot = self.registered.get_mut(update.offset as usize).ok_or(Errno::EINVAL)?;
            *slot = None;
        }
        Ok(nr)
    }

    /// Post to a ring without having one, from any thread.
    fn send_message(&mut self, addr: u64, nr: u32) -> Result<(), Errno> {
        if nr != 1 {
            return Err(Errno::EINVAL);
        }
        // SAFETY: the caller of register vouches for the entry (I2).
        let sqe: io_uring_sqe = unsafe { read_user(addr) }?;
        if sqe.flags != 0 || sqe.opcode != IORING_OP_MSG_RING || sqe.addr != IORING_MSG_DATA {
            return Err(Errno::EINVAL);
        }
        let pass = sqe.op_flags & IORING_MSG_RING_FLAGS_PASS != 0;
        let flags = if pass { sqe.file_index } else { 0 };
        let skip = sqe.op_flags & IORING_MSG_RING_CQE_SKIP != 0;
        let file = self.files.lookup(sqe.fd).ok_or(Errno::EBADF)?;
        self.message(file, sqe.off, sqe.len as i32, flags, skip)
    }
}
