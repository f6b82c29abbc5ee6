//! What requests borrow from the rest of the system: types and constants of the C library that
//! are not part of io_uring itself.

pub use libc::{
    c_char, c_int, c_void, cmsghdr, epoll_event, iovec, mode_t, msghdr, pollfd, sa_family_t,
    siginfo_t, sigset_t, sockaddr, sockaddr_in, sockaddr_in6, sockaddr_storage, sockaddr_un,
    socklen_t, statx,
};
pub use libc::{
    AF_INET, AF_INET6, AF_UNIX, AF_UNSPEC, AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR,
    AT_SYMLINK_NOFOLLOW, CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_REALTIME, EFD_CLOEXEC,
    EFD_NONBLOCK, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, O_APPEND, O_CLOEXEC, O_CREAT,
    O_DIRECT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_PATH, O_RDONLY, O_RDWR, O_TMPFILE,
    O_TRUNC, O_WRONLY, POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, POLLRDHUP, RWF_APPEND,
    RWF_DSYNC, RWF_HIPRI, RWF_NOWAIT, RWF_SYNC, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK,
    SOCK_STREAM, STATX_ALL, STATX_BASIC_STATS, SYNC_FILE_RANGE_WAIT_AFTER,
    SYNC_FILE_RANGE_WAIT_BEFORE, SYNC_FILE_RANGE_WRITE,
};
pub use libc::{MSG_CMSG_CLOEXEC, MSG_CTRUNC, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_TRUNC, MSG_WAITALL};
pub use libc::{SCM_RIGHTS, SOL_SOCKET, SO_GET_FILTER, SO_PEERPIDFD};
