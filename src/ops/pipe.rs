//! Making pipes.

use core::cell::UnsafeCell;

use crate::ops::args::Args;
use crate::ops::entry;
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;
use crate::sys::syscall;

/// The two ends of a pipe, where the kernel writes them: theirs until somebody takes them, and
/// closed with this if nobody does (I10).
#[derive(Debug)]
pub struct PipeEnds(UnsafeCell<[i32; 2]>);

/// No pipe.
const NONE: [i32; 2] = [-1, -1];

impl Default for PipeEnds {
    fn default() -> Self {
        PipeEnds(UnsafeCell::new(NONE))
    }
}

impl PipeEnds {
    /// Take the ends, for reading and for writing, over into a holder of their own. Only once the
    /// request has ended, and by one thread (I2).
    pub fn take(&self) -> Option<PipeEnds> {
        // SAFETY: the kernel is done with it, and the caller is the one that looks (I2, I5).
        let ends = unsafe { self.0.get().replace(NONE) };
        (ends != NONE).then(|| PipeEnds(UnsafeCell::new(ends)))
    }

    /// The numbers, which from now on are the caller's to close.
    pub fn into_numbers(self) -> [i32; 2] {
        // SAFETY: owned, so nobody else looks (I2).
        unsafe { self.0.get().replace(NONE) }
    }
}

impl Drop for PipeEnds {
    fn drop(&mut self) {
        for end in *self.0.get_mut() {
            if end >= 0 {
                // SAFETY: opened for this request, and nobody was told of it (I10).
                unsafe { syscall::close(end) };
            }
        }
    }
}

/// pipe2(2).
pub fn pipe(flags: u32) -> (io_uring_sqe, Args) {
    let ends = Box::<PipeEnds>::default();
    let sqe =
        io_uring_sqe { addr: ends.0.get() as u64, op_flags: flags, ..entry(IORING_OP_PIPE, 0) };
    (sqe, Args::Pipe(ends))
}
