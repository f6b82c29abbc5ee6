//! Which errnos each call can return, and where that is written.
//!
//! The man pages are those of liburing 2.9 (io_uring_*) and man-pages 6.9 (the rest); `6.18` is the
//! kernel's own source where it returns more than its pages say. Signals and shortages belong to
//! every call that may sleep or allocate.

use uring_rs::sys::consts::*;
use uring_rs::sys::Errno;

macro_rules! errnos {
    ($($name:ident),* $(,)?) => { &[$(Errno::$name),*] };
}

/// Of a system call, by its name.
pub fn of_call(name: &str) -> &'static [Errno] {
    match name {
        // io_uring_setup(2); EACCES, ENODEV and EOPNOTSUPP: LSMs and sandboxes.
        "io_uring_setup" => errnos![
            EPERM, ENOSYS, ENOMEM, EMFILE, ENFILE, EINVAL, EFAULT, EACCES, EOPNOTSUPP, EAGAIN
        ],
        // io_uring_enter(2), io_uring/io_uring.c and io_uring/wait.c of 6.18.
        "io_uring_enter" => errnos![
            EAGAIN, EBUSY, EINTR, ENOMEM, EBADF, EFAULT, EINVAL, ENXIO, EOPNOTSUPP, EPERM, EACCES,
            ENOSYS
        ],
        // io_uring_register(2).
        "io_uring_register" => errnos![
            EINVAL, EPERM, ENOMEM, EBUSY, EINTR, EAGAIN, EBADF, EFAULT, EMFILE, ENXIO, EACCES,
            ENOSYS, EOPNOTSUPP
        ],
        // mmap(2), io_uring/memmap.c of 6.18.
        "mmap" => errnos![ENOMEM, EAGAIN, EPERM, EACCES, EINVAL, ENODEV, ENFILE, EOVERFLOW],
        // openat(2), openat2(2).
        "openat" => errnos![
            EINTR, EMFILE, ENFILE, EACCES, EPERM, ENOENT, ENOTDIR, ELOOP, ENOMEM, EIO, ENXIO,
            ETXTBSY, EOVERFLOW, ENOSPC, EROFS, EDQUOT, EINVAL, EAGAIN
        ],
        // readv(2), read(2), io errors of file systems: EIO, ESTALE.
        "preadv2" => errnos![
            EINTR, EIO, EBADF, EFAULT, EINVAL, EISDIR, ENXIO, ESPIPE, EOVERFLOW, EOPNOTSUPP,
            ENOMEM, ESTALE, EAGAIN
        ],
        // writev(2), write(2).
        "pwritev2" => errnos![
            EINTR, EIO, ENOSPC, EDQUOT, EFBIG, EPERM, EBADF, EFAULT, EINVAL, ESPIPE, EOPNOTSUPP,
            ENOMEM, EROFS, ESTALE, EAGAIN
        ],
        // fsync(2).
        "fsync" => errnos![EIO, ENOSPC, EDQUOT, EROFS, EINVAL, EBADF, EINTR],
        // close(2).
        "close" => errnos![EIO, ENOSPC, EDQUOT, EINTR, EBADF],
        // stat(2).
        "newfstatat" | "fstat" => {
            errnos![EACCES, ELOOP, ENOMEM, ENOTDIR, EOVERFLOW, EIO, ESTALE, EBADF, EINTR]
        }
        // rename(2).
        "renameat2" => errnos![
            EACCES, EBUSY, EDQUOT, EISDIR, ELOOP, EMLINK, ENOENT, ENOMEM, ENOSPC, ENOTDIR, EPERM,
            EROFS, EXDEV, EIO, EINTR
        ],
        // unlink(2). Nobody is told: the file that is thrown away has failed already.
        "unlinkat" => errnos![EACCES, EBUSY, EIO, ENOMEM, EPERM, EROFS, EINTR],
        // fallocate(2).
        "fallocate" => errnos![
            EINTR, ENOSPC, EFBIG, EIO, EOPNOTSUPP, ENOSYS, EPERM, ENODEV, EINVAL, ETXTBSY, ESPIPE
        ],
        // truncate(2).
        "ftruncate" => errnos![EINTR, EFBIG, EIO, EINVAL, EPERM, EROFS, ETXTBSY],
        // chmod(2), chown(2).
        "fchmod" => errnos![EPERM, EROFS, EIO, ENOMEM, EOPNOTSUPP, EINTR],
        // fcntl(2).
        "fcntl" => errnos![EMFILE, EINVAL, EBADF],
        // eventfd(2).
        "eventfd2" => errnos![EMFILE, ENFILE, ENOMEM, ENODEV],
        // poll(2).
        "ppoll" => errnos![EINTR, ENOMEM, EINVAL, EFAULT],
        other => panic!("what can {other} return?"),
    }
}

/// Of a request's completion, by its operation (the pages of io_uring_prep_* and the call each
/// stands for).
pub fn of_request(op: u8) -> &'static [Errno] {
    match op {
        IORING_OP_READ | IORING_OP_READV | IORING_OP_READ_FIXED => errnos![
            EINTR, EAGAIN, ECANCELED, EIO, EBADF, EFAULT, EINVAL, EISDIR, ENXIO, ESPIPE,
            EOPNOTSUPP, ENOMEM, ESTALE
        ],
        IORING_OP_WRITE | IORING_OP_WRITEV | IORING_OP_WRITE_FIXED => errnos![
            EINTR, EAGAIN, ECANCELED, EIO, ENOSPC, EDQUOT, EFBIG, EPERM, EBADF, EFAULT, EINVAL,
            EOPNOTSUPP, ENOMEM, EROFS
        ],
        IORING_OP_OPENAT => errnos![
            EINTR, EAGAIN, ECANCELED, EMFILE, ENFILE, EACCES, EPERM, ENOENT, ENOTDIR, ELOOP,
            ENOMEM, EIO, ENXIO, ETXTBSY
        ],
        IORING_OP_FSYNC => errnos![EINTR, ECANCELED, EIO, ENOSPC, EDQUOT, EROFS, EINVAL, EBADF],
        IORING_OP_CLOSE => errnos![EIO, EBADF, EINTR, ECANCELED, EAGAIN],
        IORING_OP_POLL_ADD => errnos![ECANCELED, EBADF, ENOMEM, EINVAL, EOPNOTSUPP, EINTR, EAGAIN],
        IORING_OP_ASYNC_CANCEL | IORING_OP_POLL_REMOVE => {
            errnos![ENOENT, EALREADY, EINVAL, EINTR, ECANCELED]
        }
        IORING_OP_TIMEOUT | IORING_OP_LINK_TIMEOUT => {
            errnos![ECANCELED, EINVAL, EFAULT, ENOMEM, EINTR]
        }
        _ => errnos![EINTR, ECANCELED, EAGAIN, EINVAL, ENOMEM],
    }
}

#[test]
fn every_call_has_a_table() {
    for op in 0..64 {
        assert!(of_request(op).len() > 3);
    }
    assert!(of_call("io_uring_enter").contains(&Errno::EAGAIN));
}
