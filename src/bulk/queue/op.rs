//! What a queue can be asked to do, as a submission entry and as a plain system call.

use crate::ops;
use crate::ops::CURRENT_POSITION;
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::IOSQE_FIXED_FILE;
use crate::sys::os::{iovec, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE};
use crate::sys::{file, Errno};

/// A request. What the pointers point at belongs to it until it has ended (I2).
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// Into one piece of memory.
    Read {
        /// Where to.
        addr: *mut u8,
        /// How much at most.
        len: u32,
        /// The registered buffer that it is a part of.
        fixed: Option<u16>,
    },
    /// From one piece of memory.
    Write {
        /// Where from.
        addr: *const u8,
        /// How much at most.
        len: u32,
        /// The registered buffer that it is a part of.
        fixed: Option<u16>,
    },
    /// Into several pieces.
    Readv {
        /// Where they are.
        parts: *const iovec,
        /// How many.
        count: u32,
    },
    /// From several pieces.
    Writev {
        /// Where they are.
        parts: *const iovec,
        /// How many.
        count: u32,
    },
    /// fsync(2), or fdatasync(2).
    Sync {
        /// Only what is needed to read the data back.
        data_only: bool,
    },
    /// Give the space of a range back; it reads as zeroes afterwards.
    Discard {
        /// How many bytes.
        len: u64,
    },
}

// SAFETY: what the pointers point at is held by the queue until the request has ended, in whatever
// thread that happens (I2).
unsafe impl Send for Op {}

/// Where the file is: a descriptor, or a place in the ring's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A descriptor of the queue's own.
    Fd(i32),
    /// A place in the table of registered files.
    Fixed(u32),
}

/// A hole in a file, or a discarded range of a block device: both read as zeroes.
const HOLE: u32 = (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) as u32;

impl Op {
    /// The submission entry.
    pub fn entry(&self, target: Target, offset: u64) -> io_uring_sqe {
        let (fd, flags) = match target {
            Target::Fd(fd) => (fd, 0),
            Target::Fixed(slot) => (slot as i32, IOSQE_FIXED_FILE),
        };
        let mut sqe = self.plain_entry(fd, offset);
        sqe.flags |= flags;
        sqe
    }

    fn plain_entry(&self, fd: i32, offset: u64) -> io_uring_sqe {
        let no = ops::file::RwOptions::default();
        match *self {
            Op::Read { addr, len, fixed: None } => {
                ops::file::read(fd, addr as u64, len, offset, no)
            }
            Op::Read { addr, len, fixed: Some(index) } => {
                ops::file::read_fixed(fd, addr as u64, len, offset, index, no)
            }
            Op::Write { addr, len, fixed: None } => {
                ops::file::write(fd, addr as u64, len, offset, no)
            }
            Op::Write { addr, len, fixed: Some(index) } => {
                ops::file::write_fixed(fd, addr as u64, len, offset, index, no)
            }
            Op::Readv { parts, count } => ops::file::readv_at(fd, parts, count, offset, no),
            Op::Writev { parts, count } => ops::file::writev_at(fd, parts, count, offset, no),
            Op::Sync { data_only } => ops::file::fsync(fd, data_only, 0, 0),
            Op::Discard { len } => ops::space::fallocate(fd, HOLE, offset, len),
        }
    }

    /// Do it by a plain system call: what a completion would say.
    ///
    /// # Safety
    /// What it points at must be what it says, and live for the call.
    pub unsafe fn carry_out(&self, fd: i32, offset: u64) -> i32 {
        // SAFETY: the caller's promise (I2).
        let done = unsafe { self.call(fd, offset) };
        match done {
            // A ring does not mind the offset where a file has no positions.
            // SAFETY: as above.
            Err(Errno::ESPIPE) if offset != CURRENT_POSITION => unsafe {
                self.call(fd, CURRENT_POSITION)
            },
            done => done,
        }
        // Nothing transfers more than INT_MAX bytes.
        .map_or_else(|errno| -errno.0, |n| n.try_into().unwrap_or(i32::MAX))
    }

    /// # Safety
    /// As for [`Op::carry_out`].
    unsafe fn call(&self, fd: i32, offset: u64) -> Result<usize, Errno> {
        match *self {
            // SAFETY: the caller's promise (I2).
            Op::Read { addr, len, .. } => unsafe { file::pread(fd, addr, len as usize, offset, 0) },
            // SAFETY: as above.
            Op::Write { addr, len, .. } => unsafe {
                file::pwrite(fd, addr, len as usize, offset, 0)
            },
            // SAFETY: as above.
            Op::Readv { parts, count } => unsafe { file::preadv(fd, parts, count, offset) },
            // SAFETY: as above.
            Op::Writev { parts, count } => unsafe { file::pwritev(fd, parts, count, offset) },
            Op::Sync { data_only } => file::fsync(fd, data_only).map(|()| 0),
            Op::Discard { len } => file::fallocate(fd, HOLE, offset, len).map(|()| 0),
        }
    }
}
