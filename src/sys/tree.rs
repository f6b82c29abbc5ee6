//! System calls on files, folders and links, by the descriptor of a folder and a name in it.
//!
//! As in `syscall`: nothing is retried and nothing decided. Descriptors that come back are closed
//! on exec and owned by who gets them.

use core::ffi::{c_int, c_long, CStr};
use core::mem::MaybeUninit;
use core::ptr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

pub use libc::{
    AT_FDCWD, DT_BLK, DT_CHR, DT_DIR, DT_FIFO, DT_LNK, DT_REG, DT_SOCK, DT_UNKNOWN, O_CREAT,
    O_DIRECTORY, O_EXCL, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_PATH, O_RDONLY, O_TMPFILE, O_WRONLY,
    POLLIN, POLLOUT, SEEK_DATA, SEEK_END, SEEK_HOLE, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK,
    S_IFMT, S_IFREG, S_IFSOCK, S_ISGID, S_ISUID,
};

use super::Errno;

type Fd<'a> = BorrowedFd<'a>;

/// The current folder, for calls that take a folder.
// SAFETY: not the number of a descriptor but the kernel's name for "none given"; never closed (I10).
pub const CWD: BorrowedFd<'static> = unsafe { BorrowedFd::borrow_raw(AT_FDCWD) };

#[inline]
fn check(result: c_int) -> Result<(), Errno> {
    if result == -1 {
        Err(Errno::last())
    } else {
        Ok(())
    }
}

#[inline]
fn count(result: isize) -> Result<usize, Errno> {
    usize::try_from(result).map_err(|_| Errno::last())
}

/// A descriptor that a call just made.
fn owned(result: c_int) -> Result<OwnedFd, Errno> {
    check(result)?;
    // SAFETY: new, and nobody else's (I10).
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

/// Seconds and nanoseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Time {
    /// Whole seconds, negative before 1970.
    pub sec: i64,
    /// Nanoseconds, counted upwards.
    pub nsec: i64,
}

/// What stat(2) tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)] // the names are those of stat(2)
pub struct Stat {
    pub dev: u64,
    pub ino: u64,
    pub mode: u32,
    pub nlink: u64,
    pub uid: u32,
    pub gid: u32,
    pub rdev: u64,
    pub size: i64,
    pub blksize: i64,
    pub blocks: i64,
    pub atime: Time,
    pub mtime: Time,
    pub ctime: Time,
}

impl Stat {
    /// The type, as `S_IFREG`.
    pub fn kind(&self) -> u32 {
        self.mode & S_IFMT
    }

    /// What tells this file from every other.
    pub fn id(&self) -> (u64, u64) {
        (self.dev, self.ino)
    }

    // The widths of the C fields differ between architectures.
    #[allow(clippy::unnecessary_cast)]
    fn from_c(found: &libc::stat64) -> Self {
        Stat {
            dev: found.st_dev as u64,
            ino: found.st_ino as u64,
            mode: found.st_mode as u32,
            nlink: found.st_nlink as u64,
            uid: found.st_uid as u32,
            gid: found.st_gid as u32,
            rdev: found.st_rdev as u64,
            size: found.st_size as i64,
            blksize: found.st_blksize as i64,
            blocks: found.st_blocks as i64,
            atime: Time { sec: found.st_atime as i64, nsec: found.st_atime_nsec as i64 },
            mtime: Time { sec: found.st_mtime as i64, nsec: found.st_mtime_nsec as i64 },
            ctime: Time { sec: found.st_ctime as i64, nsec: found.st_ctime_nsec as i64 },
        }
    }
}

/// openat(2), close-on-exec.
#[inline]
pub fn open_at(dir: Fd<'_>, path: &CStr, flags: i32, mode: u32) -> Result<OwnedFd, Errno> {
    let flags = flags | libc::O_CLOEXEC | libc::O_LARGEFILE;
    let mut interruptions = 0;
    loop {
        // SAFETY: a live string; the descriptor belongs to the caller (I5, I10).
        match owned(unsafe { libc::openat(dir.as_raw_fd(), path.as_ptr(), flags, mode) }) {
            // Few file systems wait in there; signals are looked at between files.
            Err(Errno::EINTR) if interruptions < INTERRUPTIONS => interruptions += 1,
            opened => return opened,
        }
    }
}

/// So often may a signal come between before a file is not opened.
const INTERRUPTIONS: u32 = 8;

/// fstatat(2); with `follow` through a symbolic link at the end.
#[inline]
pub fn stat_at(dir: Fd<'_>, path: &CStr, follow: bool) -> Result<Stat, Errno> {
    let flags = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
    let mut found = MaybeUninit::<libc::stat64>::uninit();
    // SAFETY: a live string and room for one structure (I5).
    check(unsafe { libc::fstatat64(dir.as_raw_fd(), path.as_ptr(), found.as_mut_ptr(), flags) })?;
    // SAFETY: the call succeeded, so it was filled in (I5).
    Ok(Stat::from_c(unsafe { found.assume_init_ref() }))
}

/// fstat(2).
#[inline]
pub fn stat_fd(fd: Fd<'_>) -> Result<Stat, Errno> {
    let mut found = MaybeUninit::<libc::stat64>::uninit();
    // SAFETY: room for one structure (I5).
    check(unsafe { libc::fstat64(fd.as_raw_fd(), found.as_mut_ptr()) })?;
    // SAFETY: the call succeeded, so it was filled in (I5).
    Ok(Stat::from_c(unsafe { found.assume_init_ref() }))
}

/// One entry of a folder.
pub struct Entry<'a> {
    /// Its name.
    pub name: &'a CStr,
    /// `DT_*`; `DT_UNKNOWN` where the file system does not tell.
    pub kind: u8,
}

/// Reads a folder, a piece at a time.
pub struct Listing {
    bytes: Vec<u8>,
    at: usize,
    end: usize,
}

impl Default for Listing {
    fn default() -> Self {
        Listing { bytes: vec![0; 32 << 10], at: 0, end: 0 }
    }
}

impl Listing {
    /// Forget what was read and not taken: the next entry is another folder's first.
    pub fn restart(&mut self) {
        self.at = 0;
        self.end = 0;
    }

    /// The next entry but `.` and `..`, or `None` at the end.
    pub fn next(&mut self, dir: Fd<'_>) -> Result<Option<Entry<'_>>, Errno> {
        loop {
            if self.at >= self.end {
                let start = self.bytes.as_mut_ptr();
                // SAFETY: the kernel writes at most as many bytes as the vector has (I5).
                let got = unsafe {
                    libc::syscall(libc::SYS_getdents64, dir.as_raw_fd(), start, self.bytes.len())
                };
                self.at = 0;
                self.end = count(got as isize)?;
                if self.end == 0 {
                    return Ok(None);
                }
            }
            let records = &self.bytes[self.at..self.end];
            let (found, length) = directory_entry(records).ok_or(Errno::EIO)?;
            let skipped = matches!(found.name.to_bytes(), b"." | b"..");
            let at = self.at;
            self.at += length;
            if !skipped {
                // Borrowed anew, as the loop would otherwise hold the first borrow over its turns.
                let (found, _) = directory_entry(&self.bytes[at..self.end]).ok_or(Errno::EIO)?;
                return Ok(Some(found));
            }
        }
    }
}

/// The first of the records that getdents64(2) wrote, and how long it is. None for what is no
/// record: too short, longer than what was written, or with a name that does not end.
pub fn directory_entry(records: &[u8]) -> Option<(Entry<'_>, usize)> {
    // struct linux_dirent64: ino 8, off 8, reclen 2, type 1, name.
    let length = usize::from(u16::from_ne_bytes([*records.get(16)?, *records.get(17)?]));
    let name = CStr::from_bytes_until_nul(records.get(19..length)?).ok()?;
    Some((Entry { name, kind: records[18] }, length))
}

/// mkdirat(2).
pub fn make_dir_at(dir: Fd<'_>, name: &CStr, mode: u32) -> Result<(), Errno> {
    // SAFETY: a live string (I5).
    check(unsafe { libc::mkdirat(dir.as_raw_fd(), name.as_ptr(), mode as libc::mode_t) })
}

/// unlinkat(2), of what is no folder.
pub fn unlink_at(dir: Fd<'_>, name: &CStr) -> Result<(), Errno> {
    // SAFETY: a live string (I5).
    check(unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), 0) })
}

/// renameat(2) within one folder.
pub fn rename_at(dir: Fd<'_>, from: &CStr, to: &CStr) -> Result<(), Errno> {
    let dir = dir.as_raw_fd();
    // SAFETY: two live strings (I5).
    check(unsafe { libc::renameat(dir, from.as_ptr(), dir, to.as_ptr()) })
}

/// linkat(2), not through a symbolic link.
pub fn link_at(from_dir: Fd<'_>, from: &CStr, dir: Fd<'_>, to: &CStr) -> Result<(), Errno> {
    // SAFETY: two live strings (I5).
    check(unsafe {
        libc::linkat(from_dir.as_raw_fd(), from.as_ptr(), dir.as_raw_fd(), to.as_ptr(), 0)
    })
}

/// Give an open file (of O_TMPFILE) its first name.
pub fn link_fd(fd: Fd<'_>, dir: Fd<'_>, to: &CStr) -> Result<(), Errno> {
    let (fd, dir) = (fd.as_raw_fd(), dir.as_raw_fd());
    let flags = libc::AT_EMPTY_PATH;
    // SAFETY: two live strings (I5).
    match check(unsafe { libc::linkat(fd, c"".as_ptr(), dir, to.as_ptr(), flags) }) {
        // Before Linux 6.10 for the privileged only; the others go through /proc.
        Err(Errno::ENOENT) => {}
        other => return other,
    }
    let Ok(path) = std::ffi::CString::new(format!("/proc/self/fd/{fd}")) else {
        return Err(Errno::EINVAL);
    };
    let flags = libc::AT_SYMLINK_FOLLOW;
    // SAFETY: two live strings (I5).
    check(unsafe { libc::linkat(libc::AT_FDCWD, path.as_ptr(), dir, to.as_ptr(), flags) })
}

/// symlinkat(2).
pub fn symlink_at(text: &CStr, dir: Fd<'_>, name: &CStr) -> Result<(), Errno> {
    // SAFETY: two live strings (I5).
    check(unsafe { libc::symlinkat(text.as_ptr(), dir.as_raw_fd(), name.as_ptr()) })
}

/// readlinkat(2), into `room`: how much of it was filled.
pub fn read_link_at(dir: Fd<'_>, name: &CStr, room: &mut [u8]) -> Result<usize, Errno> {
    let start = room.as_mut_ptr().cast();
    // SAFETY: a live string; at most the room's length is written (I5).
    count(unsafe { libc::readlinkat(dir.as_raw_fd(), name.as_ptr(), start, room.len()) })
}

/// mknodat(2): type and permissions in one.
pub fn make_node_at(dir: Fd<'_>, name: &CStr, mode: u32, device: u64) -> Result<(), Errno> {
    let (mode, device) = (mode as libc::mode_t, device as libc::dev_t);
    // SAFETY: a live string (I5).
    check(unsafe { libc::mknodat(dir.as_raw_fd(), name.as_ptr(), mode, device) })
}

fn timespecs(atime: Time, mtime: Time) -> [libc::timespec; 2] {
    [atime, mtime]
        .map(|time| libc::timespec { tv_sec: time.sec as _, tv_nsec: time.nsec as c_long as _ })
}

/// futimens(3).
pub fn set_times(fd: Fd<'_>, atime: Time, mtime: Time) -> Result<(), Errno> {
    let times = timespecs(atime, mtime);
    // SAFETY: two live structures are read (I5).
    check(unsafe { libc::futimens(fd.as_raw_fd(), times.as_ptr()) })
}

/// utimensat(2) of what is held by an O_PATH descriptor, be it a symbolic link.
pub fn set_times_held(held: Fd<'_>, atime: Time, mtime: Time) -> Result<(), Errno> {
    let times = timespecs(atime, mtime);
    let (fd, name, flags) = (held.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH);
    // SAFETY: a live string, and two live structures are read (I5).
    check(unsafe { libc::utimensat(fd, name, times.as_ptr(), flags) })
}

/// fchown(2); `None` leaves the owner.
pub fn set_owner(fd: Fd<'_>, uid: Option<u32>, gid: u32) -> Result<(), Errno> {
    // SAFETY: no memory is passed (I5).
    check(unsafe { libc::fchown(fd.as_raw_fd(), uid.unwrap_or(u32::MAX), gid) })
}

/// fchownat(2) of what is held by an O_PATH descriptor, be it a symbolic link.
pub fn set_owner_held(held: Fd<'_>, uid: Option<u32>, gid: u32) -> Result<(), Errno> {
    let (uid, flags) = (uid.unwrap_or(u32::MAX), libc::AT_EMPTY_PATH);
    // SAFETY: a live string (I5).
    check(unsafe { libc::fchownat(held.as_raw_fd(), c"".as_ptr(), uid, gid, flags) })
}

/// fchmod(2).
pub fn set_mode(fd: Fd<'_>, mode: u32) -> Result<(), Errno> {
    // SAFETY: no memory is passed (I5).
    check(unsafe { libc::fchmod(fd.as_raw_fd(), mode as libc::mode_t) })
}

/// The mode of what is held by an O_PATH descriptor and is no symbolic link.
pub fn set_mode_held(held: Fd<'_>, mode: u32) -> Result<(), Errno> {
    const FCHMODAT2: c_long = 452; // one number on every architecture (6.6)
    let (fd, name, flags) = (held.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH);
    // SAFETY: a live string (I5).
    let result = unsafe { libc::syscall(FCHMODAT2, fd, name, mode, flags) };
    match check(result as c_int) {
        Err(Errno::ENOSYS) => {}
        other => return other,
    }
    let Ok(path) = std::ffi::CString::new(format!("/proc/self/fd/{fd}")) else {
        return Err(Errno::EINVAL);
    };
    // SAFETY: a live string (I5).
    check(unsafe { libc::chmod(path.as_ptr(), mode as libc::mode_t) })
}

/// faccessat(2): whether this may be written, by the rights in force.
pub fn may_write_at(dir: Fd<'_>, name: &CStr) -> Result<(), Errno> {
    let flags = libc::AT_EACCESS;
    // SAFETY: a live string (I5).
    check(unsafe { libc::faccessat(dir.as_raw_fd(), name.as_ptr(), libc::W_OK, flags) })
}

/// flistxattr(2): how much of `room` was filled; with no room, how much is needed.
pub fn list_attributes(fd: Fd<'_>, room: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: at most the room's length is written (I5).
    count(unsafe { libc::flistxattr(fd.as_raw_fd(), room.as_mut_ptr().cast(), room.len()) })
}

/// fgetxattr(2), likewise.
pub fn get_attribute(fd: Fd<'_>, name: &CStr, room: &mut [u8]) -> Result<usize, Errno> {
    let start = room.as_mut_ptr().cast();
    // SAFETY: a live string; at most the room's length is written (I5).
    count(unsafe { libc::fgetxattr(fd.as_raw_fd(), name.as_ptr(), start, room.len()) })
}

/// fsetxattr(2).
pub fn set_attribute(fd: Fd<'_>, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    let start = value.as_ptr().cast();
    // SAFETY: a live string and live bytes are read (I5).
    check(unsafe { libc::fsetxattr(fd.as_raw_fd(), name.as_ptr(), start, value.len(), 0) })
}

/// fremovexattr(2).
pub fn remove_attribute(fd: Fd<'_>, name: &CStr) -> Result<(), Errno> {
    // SAFETY: a live string (I5).
    check(unsafe { libc::fremovexattr(fd.as_raw_fd(), name.as_ptr()) })
}

/// The ioctl FICLONE: share all of `from`'s blocks.
pub fn clone_file(from: Fd<'_>, to: Fd<'_>) -> Result<(), Errno> {
    // SAFETY: the argument is a descriptor, no memory (I5).
    check(unsafe { libc::ioctl(to.as_raw_fd(), libc::FICLONE as _, from.as_raw_fd()) })
}

/// copy_file_range(2), at the same place in both files.
pub fn copy_range(from: Fd<'_>, to: Fd<'_>, at: u64, len: usize) -> Result<usize, Errno> {
    let (mut read_at, mut write_at) = (at as i64, at as i64);
    // SAFETY: two live offsets, read and written (I5).
    let moved = unsafe {
        libc::syscall(
            libc::SYS_copy_file_range,
            from.as_raw_fd(),
            ptr::from_mut(&mut read_at),
            to.as_raw_fd(),
            ptr::from_mut(&mut write_at),
            len,
            0_u32,
        )
    };
    count(moved as isize)
}

/// lseek(2).
pub fn seek(fd: Fd<'_>, offset: u64, whence: i32) -> Result<u64, Errno> {
    // SAFETY: no memory is passed (I5).
    let found = unsafe { libc::lseek64(fd.as_raw_fd(), offset as i64, whence) };
    u64::try_from(found).map_err(|_| Errno::last())
}

/// ftruncate(2).
pub fn set_size(fd: Fd<'_>, size: u64) -> Result<(), Errno> {
    // SAFETY: no memory is passed (I5).
    check(unsafe { libc::ftruncate64(fd.as_raw_fd(), size as i64) })
}

/// pread(2).
pub fn read_at(fd: Fd<'_>, room: &mut [u8], at: u64) -> Result<usize, Errno> {
    let start = room.as_mut_ptr().cast();
    // SAFETY: at most the room's length is written (I5).
    count(unsafe { libc::pread64(fd.as_raw_fd(), start, room.len(), at as i64) })
}

/// pwrite(2).
pub fn write_at(fd: Fd<'_>, bytes: &[u8], at: u64) -> Result<usize, Errno> {
    let start = bytes.as_ptr().cast();
    // SAFETY: live bytes are read (I5).
    count(unsafe { libc::pwrite64(fd.as_raw_fd(), start, bytes.len(), at as i64) })
}

/// read(2).
pub fn read(fd: Fd<'_>, room: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: at most the room's length is written (I5).
    count(unsafe { libc::read(fd.as_raw_fd(), room.as_mut_ptr().cast(), room.len()) })
}

/// write(2).
pub fn write(fd: Fd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    // SAFETY: live bytes are read (I5).
    count(unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) })
}

/// poll(2) of one descriptor: whether anything came within that time.
pub fn poll(fd: Fd<'_>, events: i16, milliseconds: i32) -> Result<bool, Errno> {
    let mut one = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    // SAFETY: one live structure (I5).
    check(unsafe { libc::poll(ptr::from_mut(&mut one), 1, milliseconds) })?;
    Ok(one.revents != 0)
}

/// close(2), for whoever wants to hear of a write that failed late.
pub fn close(fd: OwnedFd) -> Result<(), Errno> {
    // SAFETY: ours, and given up here (I10).
    match check(unsafe { libc::close(std::os::fd::IntoRawFd::into_raw_fd(fd)) }) {
        // It is closed all the same.
        Err(Errno::EINTR) => Ok(()),
        other => other,
    }
}

/// Effective user and group: whose files this process makes.
pub fn effective_ids() -> (u32, u32) {
    // SAFETY: no argument, no failure (I5).
    unsafe { (libc::geteuid(), libc::getegid()) }
}

/// Run this with every signal blocked, so that threads begun in it never take one: signals go to
/// the threads that know what to do with them.
pub fn without_signals<T>(run: impl FnOnce() -> T) -> T {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: two live sets, the first filled before it is read (I5).
    let blocked = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr())
    };
    let result = run();
    if blocked == 0 {
        // SAFETY: the set that the call above filled in (I5).
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    }
    result
}
