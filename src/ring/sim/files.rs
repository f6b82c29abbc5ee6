//! What simulated descriptors stand for: regular files, pipes, eventfds, sockets, rings.
//!
//! Nothing here blocks: what would have to wait is EAGAIN, and every change leaves a note in
//! `wakes` for the requests that are parked on the object.

use std::collections::{BTreeMap, VecDeque};

use super::options::{Options, FD_BASE};
use super::sockets::Socket;
use crate::sys::Errno;

pub(super) const POLLIN: u32 = 0x1;
pub(super) const POLLOUT: u32 = 0x4;
pub(super) const POLLERR: u32 = 0x8;
pub(super) const POLLHUP: u32 = 0x10;
pub(super) const POLLRDNORM: u32 = 0x40;
pub(super) const POLLWRNORM: u32 = 0x100;
pub(super) const POLLRDHUP: u32 = 0x2000;
pub(super) const READABLE: u32 = POLLIN | POLLRDNORM;
pub(super) const WRITABLE: u32 = POLLOUT | POLLWRNORM;

/// A write of at most this many bytes to a pipe is taken whole or not at all.
const PIPE_BUF: usize = 4096;

/// An open file description: what descriptors and requests hold references to.
pub(super) type FileId = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Object {
    Regular {
        inode: usize,
        append: bool,
    },
    PipeRead(usize),
    PipeWrite(usize),
    Socket(usize),
    Event(usize),
    Ring(usize),
    /// The only directory there is: all names are in it.
    Directory,
}

/// Who is woken by a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    Pipe(usize),
    Socket(usize),
    Event(usize),
}

pub(super) struct Open {
    pub(super) object: Object,
    refs: u32,
    pos: u64,
    read: bool,
    write: bool,
}

#[derive(Default)]
struct Pipe {
    data: VecDeque<u8>,
    readers: u32,
    writers: u32,
}

/// All descriptors and what is behind them.
pub(super) struct Files {
    fds: BTreeMap<i32, FileId>,
    open: BTreeMap<FileId, Open>,
    next: FileId,
    pub(super) inodes: Vec<Vec<u8>>,
    pub(super) names: BTreeMap<Vec<u8>, usize>,
    pipes: Vec<Pipe>,
    pub(super) sockets: Vec<Socket>,
    events: Vec<u64>,
    /// Changes since the world last looked: who to wake, with which poll events.
    pub(super) wakes: Vec<(Queue, u32)>,
    /// Rings whose last reference is gone since the world last looked.
    pub(super) dead_rings: Vec<usize>,
    max_fds: u32,
    pipe_capacity: usize,
    pub(super) socket_capacity: usize,
}

impl Files {
    pub(super) fn new(options: &Options) -> Self {
        Files {
            fds: BTreeMap::new(),
            open: BTreeMap::new(),
            next: 1,
            inodes: Vec::new(),
            names: BTreeMap::new(),
            pipes: Vec::new(),
            sockets: Vec::new(),
            events: Vec::new(),
            wakes: Vec::new(),
            dead_rings: Vec::new(),
            max_fds: options.max_fds,
            pipe_capacity: options.pipe_capacity,
            socket_capacity: options.socket_capacity,
        }
    }

    /// Give `object` the lowest free descriptor, as POSIX does: numbers are reused at once, which
    /// is how a stale descriptor comes to name a stranger's file.
    pub(super) fn install(
        &mut self,
        object: Object,
        read: bool,
        write: bool,
    ) -> Result<i32, Errno> {
        if self.fds.len() >= self.max_fds as usize {
            return Err(Errno::EMFILE);
        }
        let mut fd = FD_BASE;
        for used in self.fds.keys() {
            if *used != fd {
                break;
            }
            fd += 1;
        }
        match object {
            Object::PipeRead(pipe) => self.pipes[pipe].readers += 1,
            Object::PipeWrite(pipe) => self.pipes[pipe].writers += 1,
            _ => {}
        }
        let id = self.next;
        self.next += 1;
        self.open.insert(id, Open { object, refs: 1, pos: 0, read, write });
        self.fds.insert(fd, id);
        Ok(fd)
    }

    pub(super) fn lookup(&self, fd: i32) -> Option<FileId> {
        self.fds.get(&fd).copied()
    }

    pub(super) fn object(&self, file: FileId) -> Option<Object> {
        self.open.get(&file).map(|open| open.object)
    }

    pub(super) fn fds(&self) -> impl Iterator<Item = i32> + '_ {
        self.fds.keys().copied()
    }

    /// A request keeps the file open, whatever happens to the descriptor meanwhile.
    pub(super) fn hold(&mut self, file: FileId) {
        if let Some(open) = self.open.get_mut(&file) {
            open.refs += 1;
        }
    }

    pub(super) fn close(&mut self, fd: i32) -> Result<(), Errno> {
        let file = self.fds.remove(&fd).ok_or(Errno::EBADF)?;
        self.release(file);
        Ok(())
    }

    /// Drop one reference; the last one ends the object.
    pub(super) fn release(&mut self, file: FileId) {
        let Some(open) = self.open.get_mut(&file) else { return };
        open.refs -= 1;
        if open.refs > 0 {
            return;
        }
        let object = open.object;
        self.open.remove(&file);
        match object {
            Object::PipeRead(pipe) => {
                self.pipes[pipe].readers -= 1;
                self.wakes.push((Queue::Pipe(pipe), WRITABLE | POLLERR));
            }
            Object::PipeWrite(pipe) => {
                self.pipes[pipe].writers -= 1;
                self.wakes.push((Queue::Pipe(pipe), POLLHUP));
            }
            Object::Socket(socket) => self.close_socket(socket),
            Object::Ring(ring) => self.dead_rings.push(ring),
            Object::Regular { .. } | Object::Event(_) | Object::Directory => {}
        }
    }

    pub(super) fn queue(&self, file: FileId) -> Option<Queue> {
        match self.object(file)? {
            Object::PipeRead(pipe) | Object::PipeWrite(pipe) => Some(Queue::Pipe(pipe)),
            Object::Socket(socket) => Some(Queue::Socket(socket)),
            Object::Event(event) => Some(Queue::Event(event)),
            Object::Regular { .. } | Object::Ring(_) | Object::Directory => None,
        }
    }

    pub(super) fn poll(&self, file: FileId) -> u32 {
        let Some(object) = self.object(file) else { return POLLERR };
        match object {
            Object::Regular { .. } | Object::Directory => READABLE | WRITABLE,
            Object::PipeRead(pipe) => {
                let pipe = &self.pipes[pipe];
                let data = if pipe.data.is_empty() { 0 } else { READABLE };
                data | if pipe.writers == 0 { POLLHUP } else { 0 }
            }
            Object::PipeWrite(pipe) => {
                let pipe = &self.pipes[pipe];
                let room = if pipe.data.len() < self.pipe_capacity { WRITABLE } else { 0 };
                room | if pipe.readers == 0 { POLLERR } else { 0 }
            }
            Object::Event(event) => WRITABLE | if self.events[event] > 0 { READABLE } else { 0 },
            Object::Socket(socket) => self.poll_socket(socket),
            Object::Ring(_) => 0,
        }
    }

    /// Read at most `max` bytes, at `offset` where the object has positions (-1: the current one).
    pub(super) fn read(&mut self, file: FileId, max: usize, offset: u64) -> Result<Vec<u8>, Errno> {
        let open = self.open.get_mut(&file).ok_or(Errno::EBADF)?;
        if !open.read {
            return Err(Errno::EBADF);
        }
        match open.object {
            Object::Regular { inode, .. } => {
                let data = &self.inodes[inode];
                let at = position(open.pos, offset)?.min(data.len() as u64) as usize;
                let bytes = data[at..data.len().min(at + max)].to_vec();
                if offset == u64::MAX {
                    open.pos = (at + bytes.len()) as u64;
                }
                Ok(bytes)
            }
            Object::PipeRead(pipe) => {
                let p = &mut self.pipes[pipe];
                if max == 0 || (p.data.is_empty() && p.writers == 0) {
                    return Ok(Vec::new());
                }
                if p.data.is_empty() {
                    return Err(Errno::EAGAIN);
                }
                let n = max.min(p.data.len());
                let bytes = p.data.drain(..n).collect();
                self.wakes.push((Queue::Pipe(pipe), WRITABLE));
                Ok(bytes)
            }
            Object::Event(event) => match core::mem::take(&mut self.events[event]) {
                _ if max < 8 => Err(Errno::EINVAL),
                0 => Err(Errno::EAGAIN),
                count => Ok(count.to_ne_bytes().to_vec()),
            },
            Object::Socket(socket) => self.receive(socket, max, false),
            Object::PipeWrite(_) => Err(Errno::EBADF),
            Object::Directory => Err(Errno::EISDIR),
            Object::Ring(_) => Err(Errno::EINVAL),
        }
    }

    /// Write what fits of `bytes`.
    pub(super) fn write(
        &mut self,
        file: FileId,
        bytes: &[u8],
        offset: u64,
    ) -> Result<usize, Errno> {
        let open = self.open.get_mut(&file).ok_or(Errno::EBADF)?;
        if !open.write {
            return Err(Errno::EBADF);
        }
        match open.object {
            Object::Regular { inode, append } => {
                let data = &mut self.inodes[inode];
                let asked = position(open.pos, offset)?;
                if bytes.is_empty() {
                    return Ok(0);
                }
                let at = if append { data.len() } else { asked as usize };
                let end = at.checked_add(bytes.len()).ok_or(Errno::EFBIG)?;
                // Simulated files live in memory; a far offset is beyond this file system.
                if end > 1 << 30 {
                    return Err(Errno::EFBIG);
                }
                if data.len() < end {
                    data.resize(end, 0);
                }
                data[at..end].copy_from_slice(bytes);
                if offset == u64::MAX {
                    open.pos = end as u64;
                }
                Ok(bytes.len())
            }
            Object::PipeWrite(pipe) => {
                let p = &mut self.pipes[pipe];
                if p.readers == 0 {
                    return Err(Errno::EPIPE);
                }
                let room = self.pipe_capacity.saturating_sub(p.data.len());
                if room == 0 || (bytes.len() <= PIPE_BUF && room < bytes.len()) {
                    return Err(Errno::EAGAIN);
                }
                let n = room.min(bytes.len());
                p.data.extend(&bytes[..n]);
                self.wakes.push((Queue::Pipe(pipe), READABLE));
                Ok(n)
            }
            Object::Event(event) => {
                let value: [u8; 8] =
                    bytes.get(..8).ok_or(Errno::EINVAL)?.try_into().unwrap_or([0; 8]);
                self.signal(event, u64::from_ne_bytes(value));
                Ok(8)
            }
            Object::Socket(socket) => self.transmit(socket, bytes),
            Object::PipeRead(_) => Err(Errno::EBADF),
            Object::Ring(_) | Object::Directory => Err(Errno::EINVAL),
        }
    }

    /// Make a hole: zeroes, and the file keeps its size.
    pub(super) fn punch(&mut self, file: FileId, offset: u64, len: u64) -> Result<i32, Errno> {
        let open = self.open.get(&file).ok_or(Errno::EBADF)?;
        if !open.write {
            return Err(Errno::EBADF);
        }
        let Object::Regular { inode, .. } = open.object else { return Err(Errno::ESPIPE) };
        let (offset, len) = (offset as i64, len as i64);
        if offset < 0 || len <= 0 {
            return Err(Errno::EINVAL);
        }
        let end = offset.checked_add(len).ok_or(Errno::EFBIG)?;
        let data = &mut self.inodes[inode];
        let (from, to) = (data.len().min(offset as usize), data.len().min(end as usize));
        data[from..to].fill(0);
        Ok(0)
    }

    /// Another descriptor of the same open file.
    pub(super) fn duplicate(&mut self, fd: i32) -> Result<i32, Errno> {
        let file = self.lookup(fd).ok_or(Errno::EBADF)?;
        if self.fds.len() >= self.max_fds as usize {
            return Err(Errno::EMFILE);
        }
        let taken = |fd: &i32| self.fds.contains_key(fd);
        let free = (FD_BASE..).find(|fd| !taken(fd)).ok_or(Errno::EMFILE)?;
        self.hold(file);
        self.fds.insert(free, file);
        Ok(free)
    }

    /// Add to an eventfd's counter.
    pub(super) fn signal(&mut self, event: usize, by: u64) {
        self.events[event] = self.events[event].saturating_add(by);
        self.wakes.push((Queue::Event(event), READABLE));
    }

    pub(super) fn event_count(&self, event: usize) -> u64 {
        self.events[event]
    }

    pub(super) fn new_event(&mut self) -> Result<i32, Errno> {
        self.events.push(0);
        self.install(Object::Event(self.events.len() - 1), true, true)
    }

    pub(super) fn new_pipe(&mut self) -> Result<(i32, i32), Errno> {
        self.pipes.push(Pipe::default());
        let pipe = self.pipes.len() - 1;
        let reader = self.install(Object::PipeRead(pipe), true, false)?;
        let writer = self.install(Object::PipeWrite(pipe), false, true)?;
        Ok((reader, writer))
    }

    /// Make the file `name`, or give it new contents.
    pub(super) fn create(&mut self, name: &[u8], contents: &[u8]) -> usize {
        let inode = *self.names.entry(name.to_vec()).or_insert(self.inodes.len());
        if inode == self.inodes.len() {
            self.inodes.push(Vec::new());
        }
        self.inodes[inode] = contents.to_vec();
        inode
    }

    /// Put bytes where a reader of `file` finds them, whatever the capacity.
    pub(super) fn feed(&mut self, file: FileId, bytes: &[u8]) -> Result<(), Errno> {
        match self.object(file).ok_or(Errno::EBADF)? {
            Object::PipeRead(pipe) | Object::PipeWrite(pipe) => {
                self.pipes[pipe].data.extend(bytes);
                self.wakes.push((Queue::Pipe(pipe), READABLE));
            }
            Object::Socket(socket) => {
                self.sockets[socket].received.extend(bytes);
                self.wakes.push((Queue::Socket(socket), READABLE));
            }
            Object::Event(event) => {
                let value = bytes.try_into().map_err(|_| Errno::EINVAL)?;
                self.signal(event, u64::from_ne_bytes(value));
            }
            Object::Regular { inode, .. } => self.inodes[inode].extend(bytes),
            Object::Ring(_) | Object::Directory => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    /// Take out everything a reader of `file` could read.
    pub(super) fn drain(&mut self, file: FileId) -> Result<Vec<u8>, Errno> {
        match self.object(file).ok_or(Errno::EBADF)? {
            Object::PipeRead(pipe) | Object::PipeWrite(pipe) => {
                self.wakes.push((Queue::Pipe(pipe), WRITABLE));
                Ok(self.pipes[pipe].data.drain(..).collect())
            }
            Object::Socket(socket) => {
                let n = self.sockets[socket].received.len();
                match n {
                    0 => Ok(Vec::new()),
                    n => self.receive(socket, n, false),
                }
            }
            Object::Event(event) => {
                Ok(core::mem::take(&mut self.events[event]).to_ne_bytes().to_vec())
            }
            Object::Regular { inode, .. } => Ok(self.inodes[inode].clone()),
            Object::Ring(_) | Object::Directory => Err(Errno::EINVAL),
        }
    }

    /// renameat(2), over what has the name if so wanted.
    pub(super) fn rename(&mut self, from: &[u8], to: &[u8], over: bool) -> Result<(), Errno> {
        if !over && self.names.contains_key(to) {
            return Err(Errno::EEXIST);
        }
        let inode = self.names.remove(from).ok_or(Errno::ENOENT)?;
        self.names.insert(to.to_vec(), inode);
        Ok(())
    }

    /// Set the length of a regular file; `grow_only`: as fallocate(2) does.
    pub(super) fn resize(&mut self, file: FileId, len: u64, grow_only: bool) -> Result<(), Errno> {
        match self.open.get(&file).map(|open| (open.object, open.write)) {
            Some((Object::Regular { inode, .. }, true)) if len <= 1 << 30 => {
                let data = &mut self.inodes[inode];
                if !grow_only || data.len() < len as usize {
                    data.resize(len as usize, 0);
                }
                Ok(())
            }
            Some((Object::Regular { .. }, true)) => Err(Errno::EFBIG),
            _ => Err(Errno::EBADF),
        }
    }
}

/// Where a read or write of a regular file happens.
fn position(current: u64, offset: u64) -> Result<u64, Errno> {
    match offset {
        u64::MAX => Ok(current),
        offset if offset > i64::MAX as u64 => Err(Errno::EINVAL),
        offset => Ok(offset),
    }
}
