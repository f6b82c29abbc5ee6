//! Direct descriptors: closing them, making ordinary ones of them, and changing the file table.

use crate::ops::args::Args;
use crate::ops::entry;
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;

/// Descriptors on their way into slots. Where the kernel chooses the slots, it writes their numbers
/// over those of the descriptors.
pub struct FdArray {
    fds: Vec<i32>,
    given: Vec<i32>,
    written: bool,
    pipe: bool,
}

impl FdArray {
    /// Are they the ends of a pipe?
    pub fn is_pipe(&self) -> bool {
        self.pipe
    }

    /// The slots that the kernel chose, for a request that ended with `res`.
    pub fn slots(&self, res: u32) -> Vec<u32> {
        let count = if self.pipe { self.fds.len() } else { res as usize };
        self.fds.iter().take(count).map(|slot| *slot as u32).collect()
    }

    /// Does the kernel write to it?
    pub fn is_written(&self) -> bool {
        self.written
    }

    /// The descriptors again, for another request.
    pub fn renew(&mut self) {
        self.fds.copy_from_slice(&self.given);
    }
}

/// Empty a slot.
pub fn close(slot: u32) -> io_uring_sqe {
    // Never 0, which would close descriptor 0: there is no slot with the last number.
    io_uring_sqe { file_index: slot.saturating_add(1), ..entry(IORING_OP_CLOSE, 0) }
}

/// Give the file in `slot` an ordinary descriptor; the entry needs IOSQE_FIXED_FILE.
pub fn fixed_fd_install(slot: i32, flags: u32) -> io_uring_sqe {
    io_uring_sqe { op_flags: flags, ..entry(IORING_OP_FIXED_FD_INSTALL, slot) }
}

/// Put descriptors into the slots from `offset` on, or, with IORING_FILE_INDEX_ALLOC, where the
/// kernel likes.
pub fn files_update(fds: Vec<i32>, offset: u32) -> (io_uring_sqe, Args) {
    let written = offset == IORING_FILE_INDEX_ALLOC;
    let mut array = Box::new(FdArray { given: fds.clone(), fds, written, pipe: false });
    let sqe = io_uring_sqe {
        addr: array.fds.as_mut_ptr() as u64,
        len: array.fds.len() as u32,
        off: u64::from(offset),
        ..entry(IORING_OP_FILES_UPDATE, -1)
    };
    (sqe, Args::Fds(array))
}

/// Make a pipe in the slots from `index` less one on, or, with IORING_FILE_INDEX_ALLOC, where the
/// kernel likes.
pub fn pipe(flags: u32, index: u32) -> (io_uring_sqe, Args) {
    let fds = vec![-1; 2];
    let mut array = Box::new(FdArray { given: fds.clone(), fds, written: true, pipe: true });
    let sqe = io_uring_sqe {
        addr: array.fds.as_mut_ptr() as u64,
        op_flags: flags,
        file_index: index,
        ..entry(IORING_OP_PIPE, 0)
    };
    (sqe, Args::Fds(array))
}

/// Put the file in `slot` into the table of the ring `ring_fd`, at `index` less one. That ring gets
/// no completion: it could not tell whose it is.
pub fn msg_ring_fd(ring_fd: i32, slot: u32, index: u32) -> io_uring_sqe {
    io_uring_sqe {
        addr: IORING_MSG_SEND_FD,
        addr3: u64::from(slot),
        file_index: index,
        op_flags: IORING_MSG_RING_CQE_SKIP,
        ..entry(IORING_OP_MSG_RING, ring_fd)
    }
}
