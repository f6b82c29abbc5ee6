//! Asking whether descriptors are ready, and whether they can be asked at all.

use core::mem::MaybeUninit;

use super::os::{epoll_event, pollfd};
use super::syscall::check;
use super::Errno;

/// What tells one open file from another behind the same number: device and inode. Sockets and
/// pipes have inodes of their own; files without one (eventfd, timerfd) share theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// The identity of a file of device `device`.
    pub const fn new(device: u64, inode: u64) -> Self {
        FileIdentity { device, inode }
    }
}

/// fstat(2): which file `fd` is, and its type (S_IFMT bits).
#[inline]
fn stat(fd: i32) -> Result<(FileIdentity, u32), Errno> {
    let mut found = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel writes one structure at a live address (I5).
    check(unsafe { libc::fstat(fd, found.as_mut_ptr()) }.into())?;
    // SAFETY: the call succeeded, so every field was written (I5).
    let found = unsafe { found.assume_init() };
    // Their width is the architecture's affair.
    #[allow(clippy::unnecessary_cast)]
    let identity = FileIdentity::new(found.st_dev as u64, found.st_ino as u64);
    Ok((identity, found.st_mode & libc::S_IFMT))
}

/// Which file `fd` is. EBADF if it is not open.
#[inline]
pub fn identity(fd: i32) -> Result<FileIdentity, Errno> {
    stat(fd).map(|(identity, _)| identity)
}

/// Which file `fd` is, if one can wait for it to be ready. EBADF if it is not open; EPERM for
/// regular files, folders and whatever else is always ready.
#[inline]
pub fn waitable(fd: i32) -> Result<FileIdentity, Errno> {
    let (identity, kind) = stat(fd)?;
    // Every socket and pipe can be waited for. Of the others only epoll tells: a poll request on
    // a regular file just says that it is ready.
    if kind != libc::S_IFSOCK && kind != libc::S_IFIFO {
        epoll_takes(fd)?;
    }
    Ok(identity)
}

/// Would epoll_ctl(2) add `fd`? With an empty set of its own.
#[cold]
fn epoll_takes(fd: i32) -> Result<(), Errno> {
    // SAFETY: no memory is passed; the new descriptor belongs to us (I10).
    let set = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }.into())? as i32;
    let mut event = epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
    // SAFETY: one event, read during the call (I5).
    let taken = check(unsafe { libc::epoll_ctl(set, libc::EPOLL_CTL_ADD, fd, &mut event) }.into());
    // SAFETY: opened above and shown to nobody (I10).
    unsafe { libc::close(set) };
    taken.map(drop)
}

/// ppoll(2): how many of `fds` are ready, after waiting for at most so long (for ever if None).
pub fn poll(fds: &mut [pollfd], timeout_ns: Option<u64>) -> Result<u32, Errno> {
    let timeout = timeout_ns.map(|ns| libc::timespec {
        tv_sec: (ns / 1_000_000_000) as _,
        tv_nsec: (ns % 1_000_000_000) as _,
    });
    let timeout = timeout.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
    let count = fds.len() as libc::nfds_t;
    // SAFETY: as many structures as said, the caller's alone; the time lives in this frame (I5).
    check(unsafe { libc::ppoll(fds.as_mut_ptr(), count, timeout, core::ptr::null()) }.into())
        .map(|ready| ready as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn files_that_are_always_ready_are_refused() {
        let file = std::fs::File::open("/proc/self/exe").expect("it exists");
        assert_eq!(waitable(file.as_raw_fd()), Err(Errno::EPERM));
        assert_eq!(waitable(-1), Err(Errno::EBADF));
        let (one, other) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let first = waitable(one.as_raw_fd()).expect("a socket");
        assert_eq!(identity(one.as_raw_fd()), Ok(first));
        assert_ne!(waitable(other.as_raw_fd()), Ok(first));
    }

    #[test]
    fn a_socket_is_ready_to_be_written() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let events = libc::POLLIN | libc::POLLOUT;
        let mut fds = [pollfd { fd: one.as_raw_fd(), events, revents: 0 }];
        assert_eq!(poll(&mut fds, Some(0)), Ok(1));
        assert_eq!(fds[0].revents, libc::POLLOUT);
    }
}
