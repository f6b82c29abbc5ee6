//! Plain system calls on simulated files, for programs that mix them with a ring.

use super::faults::{Action, Call};
use super::files::Object;
use super::issue::{Mode, Outcome};
use super::request::{copy_in, copy_out};
use super::world::World;
use super::SimKernel;
use crate::sys::Errno;

/// A plain system call.
#[derive(Clone, Copy, Debug)]
pub enum Plain<'a> {
    /// openat(2).
    Open {
        /// Where a relative path starts.
        dir: i32,
        /// The path.
        path: &'a [u8],
        /// `O_*`.
        flags: i32,
    },
    /// pread(2).
    Read {
        /// The file.
        fd: i32,
        /// Where to.
        addr: u64,
        /// How much.
        len: usize,
        /// Where from.
        offset: u64,
    },
    /// pwrite(2).
    Write {
        /// The file.
        fd: i32,
        /// Where from.
        addr: u64,
        /// How much.
        len: usize,
        /// Where to.
        offset: u64,
    },
    /// fsync(2).
    Sync {
        /// The file.
        fd: i32,
    },
    /// fallocate(2) that makes a hole.
    Punch {
        /// The file.
        fd: i32,
        /// Where from.
        offset: u64,
        /// How much.
        len: u64,
    },
    /// close(2).
    Close {
        /// The descriptor.
        fd: i32,
    },
    /// fstatat(2): 0 if there is such a file.
    Look {
        /// The name.
        name: &'a [u8],
    },
    /// renameat2(2).
    Rename {
        /// The name it has.
        from: &'a [u8],
        /// The name it gets.
        to: &'a [u8],
        /// Even if another file has that.
        over: bool,
    },
    /// unlinkat(2).
    Unlink {
        /// The name.
        name: &'a [u8],
    },
    /// fallocate(2).
    Allocate {
        /// The file.
        fd: i32,
        /// How long it is afterwards, at least.
        size: u64,
    },
    /// ftruncate(2).
    Truncate {
        /// The file.
        fd: i32,
        /// How long it is afterwards.
        size: u64,
    },
}

impl Plain<'_> {
    /// The system call.
    pub fn name(&self) -> &'static str {
        match self {
            Plain::Open { .. } => "openat",
            Plain::Read { .. } => "preadv2",
            Plain::Write { .. } => "pwritev2",
            Plain::Sync { .. } => "fsync",
            Plain::Punch { .. } | Plain::Allocate { .. } => "fallocate",
            Plain::Close { .. } => "close",
            Plain::Look { .. } => "newfstatat",
            Plain::Rename { .. } => "renameat2",
            Plain::Unlink { .. } => "unlinkat",
            Plain::Truncate { .. } => "ftruncate",
        }
    }
}

impl SimKernel {
    /// A call that only asks: is it planned to fail?
    pub fn may_fail(&self, name: &'static str) -> Result<(), Errno> {
        match self.world().faults.call(Call::Ask, name) {
            Some(Action::Err(errno)) => Err(errno),
            Some(Action::Interrupt | Action::WakeEarly) => Err(Errno::EINTR),
            Some(Action::ShortSubmit(_)) | None => Ok(()),
        }
    }

    /// Carry out a plain call: what a completion would say. With `nowait`, None where it would have
    /// to wait, as the seed and `cold_percent` decide.
    ///
    /// # Safety
    /// The memory named must be live and the call's own.
    pub unsafe fn plain_call(&self, call: Plain<'_>, nowait: bool) -> Option<i32> {
        self.act(|world| {
            // SAFETY: the caller's promise (I2).
            let result = unsafe { world.plain(call, nowait) };
            world.settle_call();
            result
        })
    }

    /// Size and number of a regular file, or of the directory.
    pub fn regular_file(&self, fd: i32) -> Result<(u64, u64), Errno> {
        let world = self.world();
        let file = world.files.lookup(fd).ok_or(Errno::EBADF)?;
        match world.files.object(file) {
            Some(Object::Regular { inode, .. }) => {
                Ok((world.files.inodes[inode].len() as u64, inode as u64))
            }
            Some(Object::Directory) => Ok((0, u64::MAX)),
            _ => Err(Errno::EINVAL),
        }
    }
}

impl World {
    /// # Safety
    /// The memory named must be live and the call's own.
    unsafe fn plain(&mut self, call: Plain<'_>, nowait: bool) -> Option<i32> {
        let cold = u64::from(self.options.cold_percent);
        if nowait && matches!(call, Plain::Read { .. }) && self.rng.chance(cold) {
            return None;
        }
        let limit = match self.faults.call(Call::Plain, call.name()) {
            Some(Action::Err(errno)) => {
                // A descriptor is gone after close(2), whatever that says.
                if let Plain::Close { fd } = call {
                    let _ = self.files.close(fd);
                }
                return Some(-errno.0);
            }
            Some(Action::ShortSubmit(most)) => most as usize,
            Some(Action::Interrupt | Action::WakeEarly) => {
                if let Plain::Close { fd } = call {
                    let _ = self.files.close(fd);
                }
                return Some(-Errno::EINTR.0);
            }
            None => usize::MAX,
        };
        let done = match call {
            Plain::Open { dir, path, flags } => {
                match self.open(dir, path, flags as u32, Mode::Worker) {
                    Outcome::Done(result, _) => return Some(result),
                    _ => Err(Errno::EINVAL),
                }
            }
            Plain::Read { fd, addr, len, offset } => self
                .file_behind(fd)
                .and_then(|file| self.files.read(file, len.min(limit), offset))
                .and_then(|bytes| {
                    // SAFETY: the caller's promise (I2).
                    unsafe { copy_out(addr, &bytes) }.map(|()| bytes.len() as i32)
                }),
            Plain::Write { fd, addr, len, offset } => self.file_behind(fd).and_then(|file| {
                // SAFETY: the caller's promise (I2).
                let bytes = unsafe { copy_in(addr, len.min(limit)) }?;
                self.files.write(file, &bytes, offset).map(|n| n as i32)
            }),
            Plain::Sync { fd } => self.file_behind(fd).map(|_| 0),
            Plain::Punch { fd, offset, len } => {
                self.file_behind(fd).and_then(|file| self.files.punch(file, offset, len))
            }
            Plain::Close { fd } => self.files.close(fd).map(|()| 0),
            Plain::Look { name } => self.files.names.get(name).map(|_| 0).ok_or(Errno::ENOENT),
            Plain::Rename { from, to, over } => self.files.rename(from, to, over).map(|()| 0),
            Plain::Unlink { name } => self.files.names.remove(name).map(|_| 0).ok_or(Errno::ENOENT),
            Plain::Allocate { fd, size } => self
                .file_behind(fd)
                .and_then(|file| self.files.resize(file, size, true))
                .map(|()| 0),
            Plain::Truncate { fd, size } => self
                .file_behind(fd)
                .and_then(|file| self.files.resize(file, size, false))
                .map(|()| 0),
        };
        Some(done.unwrap_or_else(|errno| -errno.0))
    }

    fn file_behind(&self, fd: i32) -> Result<super::files::FileId, Errno> {
        self.files.lookup(fd).ok_or(Errno::EBADF)
    }
}
