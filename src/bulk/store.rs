//! What writers ask of the system besides works: names, owners, space. Always by plain calls: none
//! of them waits for a device often enough to be worth a ring's way round.

use core::ffi::CStr;

use crate::bulk::host::Host;
use crate::ring::kernel::Linux;
use crate::sys::direct::Alignment;
use crate::sys::file::{self, Entry};
use crate::sys::os::{O_DIRECTORY, O_PATH, O_RDONLY};
use crate::sys::Errno;

/// renameat2(2): fail if the new name is taken.
const RENAME_NOREPLACE: u32 = 1;

/// A system that new files can be made on.
pub trait Store: Host {
    /// Open a directory to name things in; with `to_sync`, so that it can be fsynced.
    fn open_directory(&self, dir: i32, path: &CStr, to_sync: bool) -> Result<i32, Errno>;

    /// What stands under a name; a symbolic link itself.
    fn entry(&self, dir: i32, name: &CStr) -> Result<Entry, Errno>;

    /// Give a file of a directory another name, over what has it if so wanted, else EEXIST.
    fn rename(&self, dir: i32, from: &CStr, to: &CStr, over: bool) -> Result<(), Errno>;

    /// Take a name away.
    fn unlink(&self, dir: i32, name: &CStr) -> Result<(), Errno>;

    /// Give an open file the permissions, and as far as that is allowed the owner, of another.
    fn dress(&self, fd: i32, like: &Entry) -> Result<(), Errno>;

    /// Set space aside; the file is that long afterwards.
    fn set_aside(&self, fd: i32, offset: u64, len: u64) -> Result<(), Errno>;

    /// Make the file exactly so long.
    fn truncate(&self, fd: i32, len: u64) -> Result<(), Errno>;

    /// Have the device begin with a range that was written. Only a hint.
    fn start_writeback(&self, fd: i32, offset: u64, len: u64);

    /// What direct writes ask of memory, and of offset and length; None where there are none.
    fn direct_needs(&self, fd: i32) -> Option<Alignment>;

    /// Write through the page cache from here on.
    fn leave_direct(&self, fd: i32) -> Result<(), Errno>;
}

impl Store for Linux {
    fn open_directory(&self, dir: i32, path: &CStr, to_sync: bool) -> Result<i32, Errno> {
        // Without O_PATH the directory would have to be readable.
        let how = if to_sync { O_RDONLY } else { O_PATH };
        file::openat(dir, path, O_DIRECTORY | how, 0)
    }

    fn entry(&self, dir: i32, name: &CStr) -> Result<Entry, Errno> {
        file::entry_at(dir, name)
    }

    fn rename(&self, dir: i32, from: &CStr, to: &CStr, over: bool) -> Result<(), Errno> {
        if over {
            return file::rename_at(dir, from, to, 0);
        }
        match file::rename_at(dir, from, to, RENAME_NOREPLACE) {
            // Not every file system can, but a link never replaces anything.
            Err(Errno::EINVAL | Errno::ENOSYS) => {
                file::link_at(dir, from, to)?;
                file::unlink_at(dir, from)
            }
            done => done,
        }
    }

    fn unlink(&self, dir: i32, name: &CStr) -> Result<(), Errno> {
        file::unlink_at(dir, name)
    }

    fn dress(&self, fd: i32, like: &Entry) -> Result<(), Errno> {
        // Not always ours and our group's: the folder may say which group.
        let made = file::entry_of(fd)?;
        let mut owner = (made.uid, made.gid);
        if owner != (like.uid, like.gid) {
            // Only root may give files away; the group may be one of ours.
            if file::chown(fd, like.uid, like.gid).is_ok() {
                owner = (like.uid, like.gid);
            } else if file::chown(fd, u32::MAX, like.gid).is_ok() {
                owner.1 = like.gid;
            }
        }
        let same = (owner.0 == like.uid, owner.1 == like.gid);
        match file::chmod(fd, file::without_privileges(like.mode & 0o7777, same.0, same.1)) {
            // A file system without permissions.
            Err(Errno::EPERM | Errno::EOPNOTSUPP) => Ok(()),
            done => done,
        }
    }

    fn set_aside(&self, fd: i32, offset: u64, len: u64) -> Result<(), Errno> {
        file::allocate(fd, offset, len)
    }

    fn truncate(&self, fd: i32, len: u64) -> Result<(), Errno> {
        file::truncate(fd, len)
    }

    fn start_writeback(&self, fd: i32, offset: u64, len: u64) {
        // Whatever it says: fsync does the same later, and tells errors.
        let _ = file::start_writeback(fd, offset, len);
    }

    fn direct_needs(&self, fd: i32) -> Option<Alignment> {
        self.direct_alignment(fd)
    }

    fn leave_direct(&self, fd: i32) -> Result<(), Errno> {
        file::leave_direct(fd)
    }
}
