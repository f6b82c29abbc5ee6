//! Carrying requests out: at once, by a worker, or when their file is ready (`io_issue_sqe`).

use super::faults::RequestAction;
use super::files::{FileId, Object};
use super::request::{Args, ReqId, State};
use super::world::{Event, World};
use crate::sys::consts::*;
use crate::sys::os::{FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE};
use crate::sys::Errno;

/// Descriptor of the current directory in *at operations.
const AT_FDCWD: i32 = -100;

/// What came of trying to carry a request out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has ended. The flag says whether that breaks a chain: an error does, a short transfer
    /// does too.
    Done(i32, bool),
    /// Its file is not ready.
    Wait,
    /// It needs a worker thread.
    Punt,
    /// It is on its way to the disk.
    Disk,
    /// It looks after itself from here on.
    Armed,
}

impl Outcome {
    pub(super) fn failed(errno: Errno) -> Self {
        Outcome::Done(-errno.0, true)
    }

    /// The result of something that either happens or does not.
    pub(super) fn of(result: Result<(), Errno>) -> Self {
        match result {
            Ok(()) => Outcome::Done(0, false),
            Err(errno) => Outcome::failed(errno),
        }
    }
}

/// How a request is being carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// While submitting, or by task work.
    Inline,
    /// By a worker thread or the disk.
    Worker,
}

impl World {
    /// Try a request for the first time.
    pub(super) fn issue(&mut self, id: ReqId) {
        match self.attempt(id, Mode::Inline) {
            Outcome::Done(res, failed) => self.end_inline(id, res, failed),
            Outcome::Wait => {
                self.park(id);
                self.arm_link_timeout(id);
            }
            Outcome::Punt => self.punt(id),
            Outcome::Disk => {
                self.punt(id);
                if let Some(request) = self.requests.get_mut(&id) {
                    request.state = State::Disk;
                }
            }
            Outcome::Armed => self.arm_link_timeout(id),
        }
    }

    fn end_inline(&mut self, id: ReqId, res: i32, failed: bool) {
        if let Some(request) = self.requests.get_mut(&id) {
            if failed {
                request.fail();
            }
            let flags = request.cqe_flags;
            self.end(id, res, flags);
        }
    }

    /// A worker thread, or the disk, gets to a request. Its end is left to task work.
    pub(super) fn worker_runs(&mut self, id: ReqId) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.event = None;
        // While it runs nothing finds it, least of all itself, if it is a cancellation.
        request.state = State::Waiting;
        request.scribble_again(3);
        let scribbles = !request.scribble.is_empty();
        match self.attempt(id, Mode::Worker) {
            Outcome::Done(res, failed) => {
                if let Some(request) = self.requests.get_mut(&id) {
                    if failed {
                        request.fail();
                    }
                    // The data is there, but until the completion is posted nobody may look.
                    if scribbles {
                        request.end_scribble();
                        request.begin_scribble();
                    }
                }
                self.queue_end(id, res);
            }
            Outcome::Armed => {}
            _ => self.park(id),
        }
    }

    /// Whoever sleeps in a worker thread wakes up some time after its file became ready.
    pub(super) fn wake_blocked(&mut self, id: ReqId) {
        if self.requests.get(&id).is_some_and(|r| r.event.is_none()) {
            let after = 1 + self.rng.below(self.options.worker_ns);
            let event = self.schedule(after, Event::Work(id));
            self.hold_event(id, event);
        }
    }

    /// A parked request was woken or cancelled.
    pub(super) fn ready(&mut self, id: ReqId) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let State::Parked(events) = request.state else { return };
        let woken = core::mem::take(&mut request.woken);
        if request.cancelled {
            return self.end_failed(id, Errno::ECANCELED);
        }
        request.scribble_again(5);
        if let Args::PollAdd { multishot, .. } = request.args {
            return self.poll_ready(id, woken & events, multishot);
        }
        match self.attempt(id, Mode::Inline) {
            Outcome::Done(res, failed) => self.end_inline(id, res, failed),
            Outcome::Punt | Outcome::Disk => self.punt(id),
            Outcome::Wait | Outcome::Armed => {}
        }
    }

    fn poll_ready(&mut self, id: ReqId, mask: u32, multishot: bool) {
        let Some(request) = self.requests.get(&id) else { return };
        let (ring, user_data) = (request.ring, request.user_data);
        if mask == 0 {
            return;
        }
        let more = multishot && self.post_more(ring, user_data, mask as i32, IORING_CQE_F_MORE);
        if !more {
            self.end(id, mask as i32, 0);
        }
    }

    /// Wait for the request's file to be ready.
    pub(super) fn park(&mut self, id: ReqId) {
        if let Some(request) = self.requests.get_mut(&id) {
            let events = request.poll_events();
            let blocked = request.blocking;
            request.state = if blocked { State::Blocked(events) } else { State::Parked(events) };
            self.begin_scribble(id);
        }
    }

    /// Begin to overwrite a destination buffer, unless another request in flight uses it too.
    pub(super) fn begin_scribble(&mut self, id: ReqId) {
        if !self.options.scribble {
            return;
        }
        let Some(request) = self.requests.get(&id) else { return };
        if !request.is_destination() || !request.scribble.is_empty() {
            return;
        }
        let mine = request.segments().to_vec();
        let overlaps = |other: &super::request::Request| {
            other.segments().iter().any(|b| mine.iter().any(|a| a.overlaps(b)))
        };
        let shared: Vec<ReqId> = self
            .requests
            .iter()
            .filter(|(other, r)| **other != id && overlaps(r))
            .map(|(other, _)| *other)
            .collect();
        for other in &shared {
            if let Some(other) = self.requests.get_mut(other) {
                other.end_scribble();
            }
        }
        if let Some(request) = self.requests.get_mut(&id).filter(|_| shared.is_empty()) {
            request.begin_scribble();
        }
    }

    /// Carry a request out as far as it goes now.
    fn attempt(&mut self, id: ReqId, mode: Mode) -> Outcome {
        let Some(request) = self.requests.get(&id) else { return Outcome::Armed };
        if let Some(RequestAction::Result(res)) = request.action {
            if res < 0 || request.segments().is_empty() {
                return Outcome::Done(res, res < 0);
            }
        }
        let file = match self.file_of(id) {
            Ok(file) => file,
            Err(errno) => return Outcome::failed(errno),
        };
        let Some(request) = self.requests.get(&id) else { return Outcome::Armed };
        match request.args.clone() {
            Args::Nop { res } => Outcome::Done(res, res < 0),
            Args::Read { rw_flags, offset, buffer, .. } => {
                self.read(id, file, mode, offset, rw_flags, buffer)
            }
            Args::Write { rw_flags, offset, buffer, .. } => {
                self.write(id, file, mode, offset, rw_flags, buffer)
            }
            Args::Sync => match self.files.object(file) {
                Some(Object::Regular { .. } | Object::Directory) if mode == Mode::Inline => {
                    Outcome::Punt
                }
                Some(Object::Regular { .. } | Object::Directory) => Outcome::Done(0, false),
                _ => Outcome::failed(Errno::EINVAL),
            },
            Args::Allocate { .. } if mode == Mode::Inline => Outcome::Punt,
            Args::Allocate { mode, offset, len } => {
                // Holes are made here, room is not.
                let hole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
                Outcome::of(match mode as i32 == hole {
                    true => self.files.punch(file, offset, len).map(drop),
                    false => Err(Errno::EOPNOTSUPP),
                })
            }
            Args::PollAdd { multishot, .. } => self.poll_add(id, file, multishot),
            Args::PollRemove { target, events, user_data } => {
                self.poll_remove(id, target, events, user_data)
            }
            Args::Timeout { span, count, .. } => self.start_timeout(id, span, count),
            Args::TimeoutRemove { target } => self.timeout_remove(id, target),
            Args::TimeoutUpdate { target, span, linked } => {
                self.timeout_update(id, target, span, linked)
            }
            Args::LinkTimeout { .. } | Args::Refused => Outcome::failed(Errno::ECANCELED),
            Args::Cancel { wanted, fd } => self.async_cancel(id, wanted, fd),
            Args::Open { path, flags } => self.open(request.fd, &path, flags, mode),
            Args::Close { fd } => self.close_op(fd),
            Args::Accept { addr, addr_len, multishot, dontwait } => {
                self.accept(id, file, (addr, addr_len), multishot, dontwait)
            }
            Args::Connect { address } => self.connect(file, &address),
            Args::Send { msg_flags, .. } => self.send(id, file, msg_flags),
            Args::Recv { msg_flags, header, .. } => self.receive(id, file, msg_flags, header),
            Args::Shutdown { how } => match self.files.object(file) {
                Some(Object::Socket(_)) if mode == Mode::Inline => Outcome::Punt,
                Some(Object::Socket(socket)) => Outcome::of(self.files.shutdown(socket, how)),
                _ => Outcome::failed(Errno::ENOTSOCK),
            },
            Args::MsgRing { res, user_data, flags, skip } => {
                Outcome::of(self.message(file, user_data, res, flags, skip))
            }
        }
    }

    /// The file a request works on, held from its first attempt to its end. 0 where it has none.
    fn file_of(&mut self, id: ReqId) -> Result<FileId, Errno> {
        let request = self.requests.get_mut(&id).ok_or(Errno::EBADF)?;
        if let Some(file) = request.file {
            return Ok(file);
        }
        let needs_file = !matches!(
            request.args,
            Args::Nop { .. }
                | Args::PollRemove { .. }
                | Args::Timeout { .. }
                | Args::TimeoutRemove { .. }
                | Args::TimeoutUpdate { .. }
                | Args::LinkTimeout { .. }
                | Args::Cancel { .. }
                | Args::Open { .. }
                | Args::Close { .. }
                | Args::Refused
        );
        if !needs_file {
            return Ok(0);
        }
        let file = if request.flag(IOSQE_FIXED_FILE) {
            let table = &self.rings[request.ring].table;
            table.get(request.fd as u32 as usize).copied().flatten()
        } else {
            self.files.lookup(request.fd)
        };
        let file = file.ok_or(Errno::EBADF)?;
        request.file = Some(file);
        self.files.hold(file);
        Ok(file)
    }

    pub(super) fn open(&mut self, dir: i32, path: &[u8], flags: u32, mode: Mode) -> Outcome {
        use crate::sys::os::{O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_RDONLY, O_TRUNC, O_WRONLY};
        let has = |bit: i32| flags & bit as u32 != 0;
        if (has(O_CREAT) || has(O_TRUNC)) && mode == Mode::Inline {
            return Outcome::Punt;
        }
        if dir != AT_FDCWD && path.first() != Some(&b'/') {
            match self.files.lookup(dir).and_then(|file| self.files.object(file)) {
                Some(Object::Directory) => {}
                Some(_) => return Outcome::failed(Errno::ENOTDIR),
                None => return Outcome::failed(Errno::EBADF),
            }
        }
        if has(O_DIRECTORY) && path == b"." {
            return match self.files.install(Object::Directory, false, false) {
                Ok(fd) => Outcome::Done(fd, false),
                Err(errno) => Outcome::failed(errno),
            };
        }
        let known = self.files.names.get(path).copied();
        let inode = match known {
            None if path.is_empty() || !has(O_CREAT) => return Outcome::failed(Errno::ENOENT),
            None => self.files.create(path, &[]),
            Some(_) if has(O_CREAT) && has(O_EXCL) => return Outcome::failed(Errno::EEXIST),
            Some(_) if has(O_DIRECTORY) => return Outcome::failed(Errno::ENOTDIR),
            Some(inode) => inode,
        };
        if has(O_TRUNC) {
            self.files.inodes[inode].clear();
        }
        let access = flags as i32 & 3;
        let object = Object::Regular { inode, append: has(O_APPEND) };
        match self.files.install(object, access != O_WRONLY, access != O_RDONLY) {
            Ok(fd) => Outcome::Done(fd, false),
            Err(errno) => Outcome::failed(errno),
        }
    }

    fn close_op(&mut self, fd: i32) -> Outcome {
        let object = self.files.lookup(fd).and_then(|file| self.files.object(file));
        match object {
            // A ring cannot close rings: it might be its own.
            None | Some(Object::Ring(_)) => Outcome::failed(Errno::EBADF),
            Some(_) => Outcome::of(self.files.close(fd)),
        }
    }

    /// Post a completion to the ring behind `file`.
    pub(super) fn message(
        &mut self,
        file: FileId,
        user_data: u64,
        res: i32,
        flags: u32,
        skip: bool,
    ) -> Result<(), Errno> {
        let Some(Object::Ring(ring)) = self.files.object(file) else { return Err(Errno::EBADFD) };
        if self.rings[ring].disabled {
            return Err(Errno::EBADFD);
        }
        if !skip {
            self.queue_work(ring, super::world::Work::Message(user_data, res, flags));
        }
        Ok(())
    }

    /// Start the link timeout that follows a request which has not ended at once.
    pub(super) fn arm_link_timeout(&mut self, id: ReqId) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        if request.state == State::Ended || !core::mem::take(&mut request.timeout_follows) {
            return;
        }
        let Some(timeout) = request.link else { return };
        self.unlink_next(id);
        let Some(t) = self.requests.get(&timeout) else { return };
        let Args::LinkTimeout { span, .. } = t.args else { return };
        let after = self.span_from_now(span);
        let event = self.schedule(after, Event::Expire(timeout));
        if let Some(t) = self.requests.get_mut(&timeout) {
            t.state = State::Ticking;
            t.watches = Some(id);
            t.event = Some(event);
        }
        if let Some(request) = self.requests.get_mut(&id) {
            request.timeout = Some(timeout);
        }
    }
}
