//! A large file copied where the kernel does not copy by itself, from one file system to another: some
//! pieces are read while others are written.

use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::Ordering::Relaxed;

use super::control::{add, Worker};
use super::trouble::{Side, Trouble, Whose};
use crate::bulk::job::Job;
use crate::bulk::pump::{Options, Pump, Way};
use crate::bulk::work::{Ended, Work};
use crate::ring::kernel::Linux;
use crate::sys::tree as sys;
use crate::sys::Errno;

/// Files with less left are done before a ring is made.
pub const WORTH: u64 = 8 << 20;
/// One piece, and how many are under way: 4 MiB, which stay in the processor's cache.
const PIECE: usize = 512 << 10;
const PIECES: usize = 8;
/// How long to wait before looking up.
const NAP_NS: u64 = 25_000_000;

/// One piece of the file on its way: read, and then written, in as many goes as it takes.
#[derive(Clone, Copy, Default)]
struct Piece {
    at: u64,
    len: usize,
    done: usize,
    writing: bool,
}

struct Copier<'a> {
    from: BorrowedFd<'a>,
    to: BorrowedFd<'a>,
    job: Job<Linux, Vec<Vec<u8>>>,
    pieces: [Piece; PIECES],
    idle: Vec<usize>,
    next: u64,
    /// Where the file ends, as far as is known.
    end: u64,
}

/// Copy a range that should all be there, or as much of it as there is: where it ended.
pub fn copy_overlapped(
    worker: &mut Worker<'_>,
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    range: Range<u64>,
) -> Result<u64, Trouble> {
    let way = if worker.control.no_ring.load(Relaxed) { Way::Threads } else { Way::Auto };
    let options = Options { depth: PIECES as u32, way, one_thread: true, try_now: true };
    let memory = vec![vec![0; PIECE]; PIECES];
    let mut copier = Copier {
        from,
        to,
        job: Job::new(Pump::new(Linux, options), memory),
        pieces: [Piece::default(); PIECES],
        idle: (0..PIECES).collect(),
        next: range.start,
        end: range.end,
    };
    copier.run(worker)?;
    if copier.end < range.end {
        // Pieces behind the new end may have been read before it was cut off.
        sys::set_size(to, copier.end).target()?;
    }
    Ok(copier.end)
}

impl Copier<'_> {
    fn run(&mut self, worker: &mut Worker<'_>) -> Result<(), Trouble> {
        let mut ended: Vec<Ended> = Vec::new();
        loop {
            worker.check()?;
            while self.next < self.end {
                let Some(index) = self.idle.pop() else { break };
                let len = (self.end - self.next).min(PIECE as u64) as usize;
                self.pieces[index] = Piece { at: self.next, len, done: 0, writing: false };
                self.next += len as u64;
                self.go_on(worker, index)?;
            }
            if self.idle.len() == PIECES {
                return Ok(());
            }
            // A ring that breaks is no error of either file, but ends this copy all the same.
            let waited = self.job.wait(1, NAP_NS, &mut ended);
            waited.map_err(|_| Errno::EIO).both()?;
            for Ended { token, result } in ended.drain(..) {
                let index = token as usize;
                if self.got(worker, index, result)? {
                    self.go_on(worker, index)?;
                }
            }
        }
    }

    /// Read or write on, until that has to wait or the piece is done.
    fn go_on(&mut self, worker: &mut Worker<'_>, index: usize) -> Result<(), Trouble> {
        loop {
            let work = self.work(index);
            let (pump, _) = self.job.parts();
            // SAFETY: the job keeps the memory; a piece has its own (I2).
            let Some(result) = (unsafe { pump.start(work, index as u64) }) else { return Ok(()) };
            if !self.got(worker, index, result)? {
                return Ok(());
            }
        }
    }

    fn work(&mut self, index: usize) -> Work {
        let Piece { at, len, done, writing } = self.pieces[index];
        let (_, memory) = self.job.parts();
        let addr = memory[index][done..len].as_mut_ptr();
        let (len, offset) = ((len - done) as u32, at + done as u64);
        match writing {
            false => Work::Read { fd: self.from.as_raw_fd(), addr, len, offset },
            true => Work::Write { fd: self.to.as_raw_fd(), addr, len, offset },
        }
    }

    /// A read or write came to this. True if there is more to do for the piece.
    fn got(&mut self, worker: &mut Worker<'_>, index: usize, result: i32) -> Result<bool, Trouble> {
        let piece = &mut self.pieces[index];
        let side = if piece.writing { Side::Target } else { Side::Source };
        if [Errno::EINTR, Errno::EAGAIN].iter().any(|errno| result == -errno.0) {
            worker.look()?;
            return Ok(true);
        }
        let moved = result.max(0) as usize;
        let absurd = moved > piece.len - piece.done || (result == 0 && piece.writing);
        let errno = if absurd { Errno::EIO } else { Errno(-result) };
        if result < 0 || absurd {
            return match side {
                Side::Target => Err(errno).target(),
                _ => Err(errno).source(),
            };
        }
        piece.done += moved;
        if piece.writing {
            add(&worker.control.counts.by_read_write, moved as u64);
        } else if result == 0 {
            // It has become shorter: what was read is written, and no more is begun.
            piece.len = piece.done;
            self.end = self.end.min(piece.at + piece.done as u64);
        }
        if piece.done < piece.len {
            return Ok(true);
        }
        if !piece.writing && piece.len > 0 {
            (piece.writing, piece.done) = (true, 0);
            return Ok(true);
        }
        self.idle.push(index);
        Ok(false)
    }
}
