//! System calls on files, one function each. As in `syscall`, nothing is retried and nothing is
//! decided here.

use core::ffi::{c_long, c_void, CStr};
use core::mem::MaybeUninit;
use core::ptr;

use super::abi::open_how;
use super::Errno;

/// What libc's wrappers return, as a result.
#[inline]
fn check(result: c_long) -> Result<c_long, Errno> {
    if result == -1 {
        Err(Errno::last())
    } else {
        Ok(result)
    }
}

/// Where a file ends: lseek(2) with SEEK_END, at a third of the price of fstat(2).
pub fn end_of(fd: i32) -> Result<u64, Errno> {
    // SAFETY: no memory is passed (I10).
    let end = unsafe { libc::lseek64(fd, 0, libc::SEEK_END) };
    if end < 0 {
        return Err(Errno::last());
    }
    Ok(end as u64)
}

/// Have reads of a file wait again that was opened with O_NONBLOCK.
pub fn clear_nonblock(fd: i32) -> Result<(), Errno> {
    // SAFETY: no memory is passed (I10).
    check(unsafe { libc::fcntl(fd, libc::F_SETFL, 0) }.into()).map(|_| ())
}

/// What fstat(2) says of a file, as far as it matters to who reads and writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Type and permissions (`st_mode`).
    pub mode: u32,
    /// Bytes (`st_size`).
    pub size: u64,
    /// The file system's device (`st_dev`).
    pub dev: u64,
    /// The file on it (`st_ino`).
    pub ino: u64,
}

impl Status {
    /// Is it a regular file?
    pub fn is_regular(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFREG
    }

    /// Is it a directory?
    pub fn is_directory(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFDIR
    }
}

/// openat(2), close-on-exec.
pub fn openat(dir: i32, path: &CStr, flags: i32, mode: u32) -> Result<i32, Errno> {
    // SAFETY: the path is a live string that ends with a zero byte (I5).
    check(unsafe { libc::openat(dir, path.as_ptr(), flags | libc::O_CLOEXEC, mode) }.into())
        .map(|fd| fd as i32)
}

/// openat2(2) (Linux 5.6), close-on-exec.
pub fn openat2(dir: i32, path: &CStr, mut how: open_how) -> Result<i32, Errno> {
    how.flags |= libc::O_CLOEXEC as u64;
    // SAFETY: path and structure are live for the call, and of the size that is told (I5).
    let fd = unsafe {
        let how = ptr::from_ref(&how);
        libc::syscall(libc::SYS_openat2, dir, path.as_ptr(), how, size_of::<open_how>())
    };
    check(fd).map(|fd| fd as i32)
}

/// preadv2(2) or pwritev2(2), themselves: the C library has them from glibc 2.26 and musl 1.2.5 on
/// only, and without the function the whole module could not be loaded.
///
/// # Safety
/// As for [`preadv`] or [`pwritev`].
#[inline]
unsafe fn vectored(
    call: c_long,
    fd: i32,
    parts: *const libc::iovec,
    count: u32,
    offset: u64,
    rw_flags: i32,
) -> Result<usize, Errno> {
    // The offset in two halves, of which the second counts where a word has 32 bits.
    let (low, high) = (offset as c_long, (offset >> 32) as c_long);
    // SAFETY: the caller's promise (I5).
    let moved = unsafe { libc::syscall(call, fd, parts, count as c_long, low, high, rw_flags) };
    check(moved).map(|n| n as usize)
}

/// preadv2(2) of one piece of memory; offset -1 is the file's own position.
///
/// # Safety
/// `len` bytes at `addr` must be writable and nobody's else for the call.
#[inline]
pub unsafe fn pread(
    fd: i32,
    addr: *mut u8,
    len: usize,
    offset: u64,
    rw_flags: i32,
) -> Result<usize, Errno> {
    let part = libc::iovec { iov_base: addr.cast(), iov_len: len };
    // SAFETY: the caller's promise (I5).
    unsafe { vectored(libc::SYS_preadv2, fd, &part, 1, offset, rw_flags) }
}

/// pwritev2(2) of one piece of memory; offset -1 is the file's own position.
///
/// # Safety
/// `len` bytes at `addr` must be readable for the call.
#[inline]
pub unsafe fn pwrite(
    fd: i32,
    addr: *const u8,
    len: usize,
    offset: u64,
    rw_flags: i32,
) -> Result<usize, Errno> {
    let part = libc::iovec { iov_base: addr.cast_mut().cast(), iov_len: len };
    // SAFETY: the caller's promise (I5).
    unsafe { vectored(libc::SYS_pwritev2, fd, &part, 1, offset, rw_flags) }
}

/// preadv(2); offset -1 is the file's own position.
///
/// # Safety
/// `count` live vectors, whose memory must be writable and nobody's else for the call.
pub unsafe fn preadv(
    fd: i32,
    parts: *const libc::iovec,
    count: u32,
    offset: u64,
) -> Result<usize, Errno> {
    // SAFETY: the caller's promise (I5).
    unsafe { vectored(libc::SYS_preadv2, fd, parts, count, offset, 0) }
}

/// pwritev(2); offset -1 is the file's own position.
///
/// # Safety
/// `count` live vectors, whose memory must be readable for the call.
pub unsafe fn pwritev(
    fd: i32,
    parts: *const libc::iovec,
    count: u32,
    offset: u64,
) -> Result<usize, Errno> {
    // SAFETY: the caller's promise (I5).
    unsafe { vectored(libc::SYS_pwritev2, fd, parts, count, offset, 0) }
}

/// fallocate(2).
pub fn fallocate(fd: i32, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
    // SAFETY: no memory is passed (I10).
    check(unsafe { libc::fallocate64(fd, mode as i32, offset as i64, len as i64) }.into())
        .map(|_| ())
}

/// Another descriptor of the same open file, close-on-exec (F_DUPFD_CLOEXEC).
pub fn duplicate(fd: i32) -> Result<i32, Errno> {
    // SAFETY: no memory is passed (I10).
    check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) }.into()).map(|fd| fd as i32)
}

/// Wait until one of these can be read from, for at most `timeout_ns`. Which one, nobody says.
pub fn wait_readable(fds: [i32; 2], timeout_ns: u64) -> Result<(), Errno> {
    let mut fds = fds.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    let timeout = libc::timespec {
        tv_sec: (timeout_ns / 1_000_000_000).min(i32::MAX as u64) as _,
        tv_nsec: (timeout_ns % 1_000_000_000) as _,
    };
    // SAFETY: two live structures and a live time, used during the call only (I5).
    check(unsafe { libc::ppoll(fds.as_mut_ptr(), 2, &timeout, ptr::null()) }.into()).map(|_| ())
}

/// Take what an eventfd has counted: true if that was more than nothing. It must not block.
pub fn eventfd_take(fd: i32) -> bool {
    let mut count = 0u64;
    loop {
        // SAFETY: eight bytes at a live address (I5).
        let read = unsafe { libc::read(fd, ptr::from_mut(&mut count).cast(), size_of::<u64>()) };
        match check(read as c_long) {
            Err(Errno::EINTR) => {}
            done => return done == Ok(size_of::<u64>() as c_long),
        }
    }
}

/// fsync(2), or fdatasync(2) with `data_only`.
pub fn fsync(fd: i32, data_only: bool) -> Result<(), Errno> {
    // SAFETY: no memory is passed (I10).
    let result = unsafe {
        if data_only {
            libc::fdatasync(fd)
        } else {
            libc::fsync(fd)
        }
    };
    check(result.into()).map(|_| ())
}

/// close(2) with its error, which for a written file may be that of a write. The descriptor is gone
/// all the same.
///
/// # Safety
/// The caller must own `fd`, and nobody may use it afterwards.
pub unsafe fn close(fd: i32) -> Result<(), Errno> {
    // SAFETY: the caller's promise (I10).
    check(unsafe { libc::close(fd) }.into()).map(|_| ())
}

/// fstat(2).
pub fn fstat(fd: i32) -> Result<Status, Errno> {
    let mut status = MaybeUninit::<libc::stat64>::uninit();
    // SAFETY: the kernel writes one structure at a live address (I5).
    check(unsafe { libc::fstat64(fd, status.as_mut_ptr()) }.into())?;
    // SAFETY: the call succeeded, so every field was written (I5).
    let status = unsafe { status.assume_init() };
    Ok(Status {
        mode: status.st_mode,
        size: status.st_size.max(0) as u64,
        dev: status.st_dev,
        ino: status.st_ino,
    })
}

#[repr(C)]
struct CachestatRange {
    off: u64,
    len: u64,
}

#[repr(C)]
#[derive(Default)]
struct Cachestat {
    cache: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// The number of cachestat(2), the same on all architectures; libc has no name for it yet.
const SYS_CACHESTAT: c_long = 451;

/// cachestat(2) (Linux 6.5): how many pages of a range are in the page cache.
pub fn cached_pages(fd: i32, offset: u64, len: u64) -> Result<u64, Errno> {
    let range = CachestatRange { off: offset, len };
    let mut found = Cachestat::default();
    let (range, answer): (*const c_void, *mut c_void) =
        (ptr::from_ref(&range).cast(), ptr::from_mut(&mut found).cast());
    // SAFETY: both structures are live and have the layout of the kernel's (I5).
    check(unsafe { libc::syscall(SYS_CACHESTAT, fd, range, answer, 0) })?;
    Ok(found.cache)
}

/// What stands under a name (`newfstatat` without following a symbolic link).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Type and permissions (`st_mode`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Entry {
    fn is(&self, kind: u32) -> bool {
        self.mode & libc::S_IFMT == kind
    }

    /// Is it a regular file?
    pub fn is_regular(&self) -> bool {
        self.is(libc::S_IFREG)
    }

    /// Is it a directory?
    pub fn is_directory(&self) -> bool {
        self.is(libc::S_IFDIR)
    }

    /// Is it a symbolic link?
    pub fn is_link(&self) -> bool {
        self.is(libc::S_IFLNK)
    }
}

/// fstatat(2), of a symbolic link itself.
pub fn entry_at(dir: i32, name: &CStr) -> Result<Entry, Errno> {
    let mut status = MaybeUninit::<libc::stat64>::uninit();
    let (path, flags) = (name.as_ptr(), libc::AT_SYMLINK_NOFOLLOW);
    // SAFETY: a live string, and room for one structure (I5).
    check(unsafe { libc::fstatat64(dir, path, status.as_mut_ptr(), flags) }.into())?;
    // SAFETY: the call succeeded, so every field was written (I5).
    let status = unsafe { status.assume_init() };
    Ok(Entry { mode: status.st_mode, uid: status.st_uid, gid: status.st_gid })
}

/// What an open file is.
pub fn entry_of(fd: i32) -> Result<Entry, Errno> {
    let mut status = MaybeUninit::<libc::stat64>::uninit();
    // SAFETY: room for one structure (I5).
    check(unsafe { libc::fstat64(fd, status.as_mut_ptr()) }.into())?;
    // SAFETY: the call succeeded, so every field was written (I5).
    let status = unsafe { status.assume_init() };
    Ok(Entry { mode: status.st_mode, uid: status.st_uid, gid: status.st_gid })
}

/// renameat2(2) within a directory. `flags` of 0 is renameat(2).
pub fn rename_at(dir: i32, from: &CStr, to: &CStr, flags: u32) -> Result<(), Errno> {
    let (from, to) = (from.as_ptr(), to.as_ptr());
    // SAFETY: live strings that end with a zero byte (I5).
    let done = unsafe {
        if flags == 0 {
            libc::renameat(dir, from, dir, to).into()
        } else {
            libc::syscall(libc::SYS_renameat2, dir, from, dir, to, flags)
        }
    };
    check(done).map(|_| ())
}

/// linkat(2) within a directory.
pub fn link_at(dir: i32, from: &CStr, to: &CStr) -> Result<(), Errno> {
    // SAFETY: live strings that end with a zero byte (I5).
    check(unsafe { libc::linkat(dir, from.as_ptr(), dir, to.as_ptr(), 0) }.into()).map(|_| ())
}

/// unlinkat(2) of a file.
pub fn unlink_at(dir: i32, name: &CStr) -> Result<(), Errno> {
    // SAFETY: a live string that ends with a zero byte (I5).
    check(unsafe { libc::unlinkat(dir, name.as_ptr(), 0) }.into()).map(|_| ())
}

/// fchmod(2).
pub fn chmod(fd: i32, mode: u32) -> Result<(), Errno> {
    // SAFETY: no memory is passed (I10).
    check(unsafe { libc::fchmod(fd, mode) }.into()).map(|_| ())
}

/// fchown(2).
pub fn chown(fd: i32, uid: u32, gid: u32) -> Result<(), Errno> {
    // SAFETY: no memory is passed (I10).
    check(unsafe { libc::fchown(fd, uid, gid) }.into()).map(|_| ())
}

/// Permissions without what makes a program run as its owner or group, unless they are the same.
pub fn without_privileges(mode: u32, same_owner: bool, same_group: bool) -> u32 {
    let set_uid = if same_owner { 0 } else { libc::S_ISUID };
    let set_gid = if same_group { 0 } else { libc::S_ISGID };
    mode & !(set_uid | set_gid)
}

/// fallocate(2) with mode 0: the file is that long afterwards.
pub fn allocate(fd: i32, offset: u64, len: u64) -> Result<(), Errno> {
    // SAFETY: no memory is passed (I10).
    check(unsafe { libc::fallocate64(fd, 0, offset as i64, len as i64) }.into()).map(|_| ())
}

/// ftruncate(2).
pub fn truncate(fd: i32, len: u64) -> Result<(), Errno> {
    // SAFETY: no memory is passed (I10).
    check(unsafe { libc::ftruncate64(fd, len as i64) }.into()).map(|_| ())
}

/// sync_file_range(2): have the device begin with what is dirty in a range.
pub fn start_writeback(fd: i32, offset: u64, len: u64) -> Result<(), Errno> {
    let flags = libc::SYNC_FILE_RANGE_WRITE;
    // SAFETY: no memory is passed (I10).
    check(unsafe { libc::sync_file_range(fd, offset as i64, len as i64, flags) }.into()).map(|_| ())
}

/// Take O_DIRECT off an open file.
pub fn leave_direct(fd: i32) -> Result<(), Errno> {
    // SAFETY: no memory is passed (I10).
    let flags = check(unsafe { libc::fcntl(fd, libc::F_GETFL) }.into())? as i32;
    // SAFETY: as above (I10).
    check(unsafe { libc::fcntl(fd, libc::F_SETFL, flags & !libc::O_DIRECT) }.into()).map(|_| ())
}
