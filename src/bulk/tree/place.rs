//! Where a copy goes: never half written under its own name.
//!
//! A file that has no name yet (O_TMPFILE) gets one when it is whole. Where the file system has no
//! such files, and where another file is to be replaced, it is written under a temporary name
//! beside its own and renamed. What cannot be replaced is written in place, as `cp` does: devices
//! and pipes, files with several names, and those in folders that take no new names.

use core::ffi::CStr;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::control::Worker;
use super::data;
use super::trouble::{refuse, Side, Trouble, Whose};
use crate::sys::syscall::monotonic_ns;
use crate::sys::tree::{self as sys, Stat};
use crate::sys::Errno;

const SUFFIX: &[u8] = b".uring_rs";
/// The longest name that Linux's file systems take.
const NAME_MAX: usize = 255;
const NEW: i32 = sys::O_WRONLY | sys::O_CREAT | sys::O_EXCL | sys::O_NOFOLLOW;
/// Nobody else may read it before it has its own mode.
const MODE: u32 = 0o600;

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A folder, and a name in it.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The folder.
    pub dir: BorrowedFd<'a>,
    /// The name.
    pub name: &'a CStr,
}

impl Place<'_> {
    /// What is there, if anything is.
    pub fn existing(&self) -> Result<Option<Stat>, Trouble> {
        match sys::stat_at(self.dir, self.name, false) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno).target(),
        }
    }
}

/// `.NAME.XXXXXX.uring_rs`, and another one at every call.
fn temporary_name(name: &CStr) -> CString {
    let number = NUMBER.fetch_add(1, Relaxed);
    // Not secret, only unlikely to be there: O_EXCL is what keeps others out.
    let mut mixed = (monotonic_ns() ^ (u64::from(std::process::id()) << 32))
        .wrapping_add(number)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^= mixed >> 29;
    let name = name.to_bytes();
    let kept = &name[..name.len().min(NAME_MAX - SUFFIX.len() - 8)];
    let mut made = Vec::with_capacity(kept.len() + SUFFIX.len() + 9);
    made.push(b'.');
    made.extend_from_slice(kept);
    made.push(b'.');
    for _ in 0..6 {
        made.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[(mixed % 36) as usize]);
        mixed /= 36;
    }
    made.extend_from_slice(SUFFIX);
    // A name has no zero in it, and the rest is ours.
    CString::new(made).unwrap_or_default()
}

/// Something under a temporary name, which goes away with this unless it was renamed.
pub struct Temporary<'a> {
    place: Place<'a>,
    name: CString,
    armed: bool,
}

impl<'a> Temporary<'a> {
    /// Make something under a name that is nobody's.
    pub fn make<T>(
        place: Place<'a>,
        make: impl Fn(&CStr) -> Result<T, Errno>,
    ) -> Result<(Self, T), Errno> {
        let mut turns = 0;
        loop {
            let name = temporary_name(place.name);
            match make(&name) {
                Ok(made) => return Ok((Temporary { place, name, armed: true }, made)),
                Err(Errno::EEXIST) if turns < 100 => turns += 1,
                Err(errno) => return Err(errno),
            }
        }
    }

    /// The name, for what is to be done before it is renamed.
    pub fn name(&self) -> &CStr {
        &self.name
    }

    /// Give it its own name, in the place of what has that now.
    pub fn commit(mut self) -> Result<(), Errno> {
        sys::rename_at(self.place.dir, &self.name, self.place.name)?;
        self.armed = false;
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if self.armed {
            let _ = sys::unlink_at(self.place.dir, &self.name);
        }
    }
}

enum How<'a> {
    Nameless(Place<'a>),
    Named(Temporary<'a>),
    InPlace,
}

/// A file that is being written.
pub struct Target<'a> {
    /// Open for writing.
    pub fd: OwnedFd,
    /// What is known of it.
    pub made: Stat,
    how: How<'a>,
}

/// What came of giving a file its name.
#[derive(PartialEq, Eq)]
pub enum Committed {
    /// It has it.
    Done,
    /// Nameless files cannot be named here: write it again, under a temporary name.
    Again,
}

/// Whether nameless files are of use here.
#[derive(Default)]
pub struct Naming {
    no_nameless: AtomicBool,
}

impl<'a> Target<'a> {
    /// Begin a file that is not there, or that replaces a plain one. `nameless` may be false to
    /// have it seen while it grows.
    pub fn begin(
        worker: &mut Worker<'_>,
        naming: &Naming,
        place: Place<'a>,
        existing: Option<&Stat>,
        nameless: bool,
        top: bool,
    ) -> Result<Self, Trouble> {
        let Some(there) = existing else {
            return Target::fresh(naming, place, nameless).target();
        };
        let plain = there.kind() == sys::S_IFREG;
        match there.kind() {
            sys::S_IFDIR => {
                return refuse(
                    Errno::EISDIR,
                    Side::Target,
                    "is a directory, where a file should go",
                )
            }
            // In a tree only a plain file is ever written to, whatever has come to be there.
            _ if !plain && !top => return Target::named(place).target(),
            sys::S_IFREG if there.nlink <= 1 => {
                // What may not be written may not be replaced either, whatever its folder allows.
                sys::may_write_at(place.dir, place.name).target()?;
                match Target::named(place) {
                    Err(Errno::EACCES | Errno::EPERM | Errno::EROFS) => {}
                    other => return other.target(),
                }
            }
            _ => {}
        }
        let fd = data::open_for_writing(worker, place.dir, place.name)?;
        let made = sys::stat_fd(fd.as_fd()).target()?;
        if made.id() != there.id() {
            return Err(Errno::ESTALE).target();
        }
        if plain {
            sys::set_size(fd.as_fd(), 0).target()?;
        }
        Ok(Target { fd, made, how: How::InPlace })
    }

    fn fresh(naming: &Naming, place: Place<'a>, nameless: bool) -> Result<Self, Errno> {
        if nameless && !naming.no_nameless.load(Relaxed) {
            match sys::open_at(place.dir, c".", sys::O_WRONLY | sys::O_TMPFILE, MODE) {
                Ok(fd) => return Target::of(fd, How::Nameless(place)),
                // EISDIR and ENOENT are what kernels and file systems say that do not know it.
                Err(Errno::EOPNOTSUPP | Errno::EISDIR | Errno::EINVAL | Errno::ENOENT) => {
                    naming.no_nameless.store(true, Relaxed);
                }
                Err(errno) => return Err(errno),
            }
        }
        Target::named(place)
    }

    fn named(place: Place<'a>) -> Result<Self, Errno> {
        let make = |name: &CStr| sys::open_at(place.dir, name, NEW, MODE);
        let (temporary, fd) = Temporary::make(place, make)?;
        Target::of(fd, How::Named(temporary))
    }

    fn of(fd: OwnedFd, how: How<'a>) -> Result<Self, Errno> {
        let made = sys::stat_fd(fd.as_fd())?;
        Ok(Target { fd, made, how })
    }

    /// Whether this is a plain file, with positions, mode and times.
    pub fn is_plain(&self) -> bool {
        self.made.kind() == sys::S_IFREG
    }

    /// It is whole: its own name.
    pub fn commit(self, naming: &Naming) -> Result<Committed, Errno> {
        match self.how {
            // Some file systems tell of a failed write only at the close.
            How::InPlace => sys::close(self.fd)?,
            How::Named(temporary) => {
                sys::close(self.fd)?;
                temporary.commit()?;
            }
            How::Nameless(place) => match sys::link_fd(self.fd.as_fd(), place.dir, place.name) {
                Ok(()) => {}
                Err(Errno::EEXIST) => {
                    // Somebody has made one since we looked.
                    let make = |name: &CStr| sys::link_fd(self.fd.as_fd(), place.dir, name);
                    Temporary::make(place, make)?.0.commit()?;
                }
                Err(errno @ (Errno::ENOSPC | Errno::EDQUOT | Errno::EIO)) => return Err(errno),
                Err(_) => {
                    naming.no_nameless.store(true, Relaxed);
                    return Ok(Committed::Again);
                }
            },
        }
        Ok(Committed::Done)
    }
}
