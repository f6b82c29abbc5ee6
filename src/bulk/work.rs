//! One thing to be done for a job, and what came of it.

use core::ffi::c_char;

use crate::ops;
use crate::sys::abi::io_uring_sqe;
use crate::sys::os::O_CLOEXEC;
use crate::sys::Errno;

/// A request of an engine. What the pointers point at belongs to it until it has ended (I2).
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// openat(2): the new descriptor.
    Open {
        /// The directory that a relative path starts from, or AT_FDCWD.
        dir: i32,
        /// The path, which ends with a zero byte.
        path: *const c_char,
        /// `O_*`; O_CLOEXEC is added.
        flags: i32,
        /// Mode of a new file.
        mode: u32,
    },
    /// pread(2): the bytes read, fewer than asked for perhaps, 0 at the end.
    Read {
        /// The file.
        fd: i32,
        /// Where to.
        addr: *mut u8,
        /// How much at most.
        len: u32,
        /// Where from; all ones for the file's own position.
        offset: u64,
    },
    /// pwrite(2): the bytes written.
    Write {
        /// The file.
        fd: i32,
        /// Where from.
        addr: *const u8,
        /// How much at most.
        len: u32,
        /// Where to; all ones for the file's own position.
        offset: u64,
    },
    /// fsync(2), or fdatasync(2).
    Fsync {
        /// The file or directory.
        fd: i32,
        /// Only what is needed to read the data back.
        data_only: bool,
    },
    /// close(2) of a descriptor that was written to.
    Close {
        /// It is gone, whatever the result says.
        fd: i32,
    },
}

// SAFETY: what the pointers point at is held by the job until the work has ended, in whatever
// thread that happens (I2).
unsafe impl Send for Work {}

impl Work {
    /// The submission entry.
    pub fn entry(&self) -> io_uring_sqe {
        match *self {
            Work::Open { dir, path, flags, mode } => {
                ops::path::openat_entry(dir, path, (flags | O_CLOEXEC) as u32, mode)
            }
            Work::Read { fd, addr, len, offset } => {
                ops::file::read(fd, addr as u64, len, offset, Default::default())
            }
            Work::Write { fd, addr, len, offset } => {
                ops::file::write(fd, addr as u64, len, offset, Default::default())
            }
            Work::Fsync { fd, data_only } => ops::file::fsync(fd, data_only, 0, 0),
            Work::Close { fd } => ops::path::close(fd),
        }
    }

    /// May it be begun again after it was cut short? A descriptor must not be closed twice: its
    /// number may be another file's by then.
    pub fn repeatable(&self) -> bool {
        !matches!(self, Work::Close { .. })
    }

    /// What a completion says came of it; EIO where that cannot be: more bytes than were asked for, or
    /// no error number (MAX_ERRNO is the kernel's own bound).
    pub fn told(&self, result: i32) -> i32 {
        const MAX_ERRNO: i32 = 4095;
        let absurd = match *self {
            Work::Read { len, .. } | Work::Write { len, .. } => i64::from(result) > i64::from(len),
            Work::Open { .. } | Work::Fsync { .. } | Work::Close { .. } => false,
        };
        if absurd || result < -MAX_ERRNO {
            return -Errno::EIO.0;
        }
        result
    }

    /// The descriptor that is open, with nobody to close it, when the work has ended with this
    /// result and nobody asks after it, or was never begun (None).
    pub fn left_open(&self, result: Option<i32>) -> Option<i32> {
        match (*self, result) {
            (Work::Open { .. }, Some(fd)) if fd >= 0 => Some(fd),
            (Work::Close { fd }, None) => Some(fd),
            // Cancelled before it was begun.
            (Work::Close { fd }, Some(result)) if result == -Errno::ECANCELED.0 => Some(fd),
            _ => None,
        }
    }
}

/// A work that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// What [`super::pump::Pump::start`] was given with it.
    pub token: u64,
    /// As completions have it: negative is an errno.
    pub result: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_not_believed() {
        let (fd, offset, eio) = (5, 0, -Errno::EIO.0);
        let read = Work::Read { fd, addr: core::ptr::null_mut(), len: 10, offset };
        let write = Work::Write { fd, addr: core::ptr::null(), len: 10, offset };
        for work in [read, write] {
            for result in [-4095, -1, 0, 1, 10] {
                assert_eq!(work.told(result), result);
            }
            for result in [11, i32::MAX, -4096, i32::MIN] {
                assert_eq!(work.told(result), eio);
            }
        }
        let sync = Work::Fsync { fd, data_only: false };
        assert_eq!((sync.told(0), sync.told(i32::MIN)), (0, eio));
    }
}
