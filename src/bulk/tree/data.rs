//! The bytes of one file.

use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::control::{add, Worker};
use super::overlap::{copy_overlapped, WORTH};
use super::trouble::{Trouble, Whose};
use crate::sys::tree::{self as sys, Stat};
use crate::sys::Errno;

/// At most this much by one call: what a slow disk does between two looks for a signal.
const CHUNK: u64 = 8 << 20;
/// What is read and written in one go where the kernel does not copy.
const ROOM: usize = 256 << 10;
/// How long to wait for a pipe in one go.
const POLL_MS: i32 = 20;

/// What file systems were found not to do, so that it is not tried for each file.
#[derive(Default)]
pub struct Ways {
    no_reflink: AtomicU64,
    no_copy_range: AtomicU64,
}

/// Tells one pair of file systems from another.
#[derive(Clone, Copy)]
struct Pair(u64);

impl Pair {
    fn of(from: &Stat, to: &Stat) -> Self {
        Pair((from.dev ^ to.dev.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn refused(self, by: &AtomicU64) -> bool {
        by.load(Relaxed) == self.0
    }

    fn refuse(self, by: &AtomicU64) {
        by.store(self.0, Relaxed);
    }
}

/// The two ends of a copy.
pub struct Ends<'a> {
    /// What is copied.
    pub from: BorrowedFd<'a>,
    /// What was known of it when it was opened.
    pub stat: &'a Stat,
    /// Where to.
    pub to: BorrowedFd<'a>,
    /// And what is known of that.
    pub made: &'a Stat,
}

/// Copy everything from one plain file into another, empty one. Holes stay holes. The end is where
/// the source says: it may grow or shrink meanwhile, and files of /proc say nothing beforehand.
pub fn copy_data(worker: &mut Worker<'_>, ways: &Ways, ends: &Ends<'_>) -> Result<(), Trouble> {
    let size = ends.stat.size.max(0) as u64;
    if size == 0 {
        return copy_data_fallback(worker, ends.from, ends.to, 0..u64::MAX, 0).map(drop);
    }
    let pair = Pair::of(ends.stat, ends.made);
    if !pair.refused(&ways.no_reflink) {
        match sys::clone_file(ends.from, ends.to) {
            Ok(()) => {
                add(&worker.control.counts.by_reflink, size);
                return Ok(());
            }
            Err(Errno::EOPNOTSUPP | Errno::EXDEV | Errno::ENOTTY | Errno::ENOSYS) => {
                pair.refuse(&ways.no_reflink);
            }
            Err(_) => {} // this one file cannot; if it is worse, copying will say so
        }
    }
    // In bytes of allocated blocks. A file without holes may still be "larger" than it.
    if (ends.stat.blocks.max(0) as u64).saturating_mul(512) < size {
        return copy_sparse(worker, ways, ends, pair);
    }
    copy_range(worker, ways, ends, pair, 0..u64::MAX).map(drop)
}

/// Only what is data, by the file system's word.
fn copy_sparse(
    worker: &mut Worker<'_>,
    ways: &Ways,
    ends: &Ends<'_>,
    pair: Pair,
) -> Result<(), Trouble> {
    let mut at = 0;
    loop {
        worker.check()?;
        let data = match sys::seek(ends.from, at, sys::SEEK_DATA) {
            Ok(data) => data,
            Err(Errno::ENXIO) => break, // nothing but a hole from here on
            // A file system that knows of no holes.
            Err(_) => return copy_range(worker, ways, ends, pair, at..u64::MAX).map(drop),
        };
        let hole = match sys::seek(ends.from, data, sys::SEEK_HOLE) {
            Ok(hole) => hole,
            Err(Errno::ENXIO) => break, // cut off just now
            Err(errno) => return Err(errno).source(),
        };
        add(&worker.control.counts.in_holes, data - at);
        at = copy_range(worker, ways, ends, pair, data..hole)?;
        if at < hole {
            break; // cut off just now
        }
    }
    let end = sys::seek(ends.from, 0, sys::SEEK_END).source()?;
    if end > at {
        sys::set_size(ends.to, end).target()?;
        add(&worker.control.counts.in_holes, end - at);
    }
    Ok(())
}

/// Copy a range, or as much of it as there is: where it ended.
fn copy_range(
    worker: &mut Worker<'_>,
    ways: &Ways,
    ends: &Ends<'_>,
    pair: Pair,
    range: Range<u64>,
) -> Result<u64, Trouble> {
    let expected = ends.stat.size.max(0) as u64;
    let mut at = range.start;
    while at < range.end && !pair.refused(&ways.no_copy_range) {
        worker.check()?;
        let want = (range.end - at).min(CHUNK);
        match sys::copy_range(ends.from, ends.to, at, want as usize) {
            // Some file systems say so of files that have more: reading will tell.
            Ok(0) if at < expected => break,
            Ok(0) => return Ok(at),
            Ok(moved) => {
                add(&worker.control.counts.by_copy_file_range, moved as u64);
                at += moved as u64;
                if (moved as u64) < want && at == expected {
                    return Ok(at);
                }
            }
            Err(Errno::EINTR) => worker.look()?,
            Err(Errno::EXDEV | Errno::EOPNOTSUPP | Errno::ENOSYS) => {
                pair.refuse(&ways.no_copy_range);
            }
            // Of this pair of files (EINVAL, ETXTBSY, EPERM under a filter, ...), or an error that
            // reading and writing will meet, too, and then know whose it is.
            Err(_) => break,
        }
    }
    if at == range.end {
        return Ok(at);
    }
    copy_data_fallback(worker, ends.from, ends.to, at..range.end, expected)
}

/// Read and write a range, or as much of it as there is: where it ended. `expected` is where the
/// file should end: a short read just there is believed without another one.
pub fn copy_data_fallback(
    worker: &mut Worker<'_>,
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    range: Range<u64>,
    expected: u64,
) -> Result<u64, Trouble> {
    let mut at = range.start;
    if expected.min(range.end).saturating_sub(at) >= WORTH {
        at = copy_overlapped(worker, from, to, at..expected.min(range.end))?;
    }
    // Small files, and what has been added to a larger one meanwhile.
    let mut room = worker.take(ROOM);
    let result = read_and_write(worker, &mut room, from, to, at..range.end, expected);
    worker.give(room);
    result
}

fn read_and_write(
    worker: &mut Worker<'_>,
    room: &mut [u8],
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    range: Range<u64>,
    expected: u64,
) -> Result<u64, Trouble> {
    let mut at = range.start;
    while at < range.end {
        worker.check()?;
        let want = (range.end - at).min(ROOM as u64) as usize;
        let got = match sys::read_at(from, &mut room[..want], at) {
            Err(Errno::EINTR) => {
                worker.look()?;
                continue;
            }
            other => other.source()?,
        };
        if got == 0 {
            break;
        }
        let mut done = 0;
        while done < got {
            match sys::write_at(to, &room[done..got], at + done as u64) {
                Err(Errno::EINTR) => worker.look()?,
                Ok(0) => return Err(Errno::EIO).target(),
                other => done += other.target()?,
            }
        }
        at += got as u64;
        add(&worker.control.counts.by_read_write, got as u64);
        if got < want && at == expected {
            break;
        }
    }
    Ok(at)
}

/// From or to what has no positions: a pipe, a terminal, a device. Both are in non-blocking mode,
/// so that whoever waits can be interrupted.
pub fn copy_stream(
    worker: &mut Worker<'_>,
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
) -> Result<(), Trouble> {
    let mut room = worker.take(ROOM);
    let result = stream(worker, &mut room, from, to);
    worker.give(room);
    result
}

fn stream(
    worker: &mut Worker<'_>,
    room: &mut [u8],
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
) -> Result<(), Trouble> {
    loop {
        // Before the read: a pipe that nobody has opened for writing yet reads as if it had ended.
        while !sys::poll(from, sys::POLLIN, POLL_MS).or_else(interrupted).source()? {
            worker.look()?;
        }
        let got = match sys::read(from, &mut room[..ROOM]) {
            Err(Errno::EINTR | Errno::EAGAIN) => {
                worker.look()?;
                continue;
            }
            other => other.source()?,
        };
        if got == 0 {
            return Ok(());
        }
        let mut done = 0;
        while done < got {
            match sys::write(to, &room[done..got]) {
                Err(Errno::EINTR) => worker.look()?,
                Err(Errno::EAGAIN) => {
                    sys::poll(to, sys::POLLOUT, POLL_MS).or_else(interrupted).target()?;
                    worker.look()?;
                }
                Ok(0) => return Err(Errno::EIO).target(),
                other => done += other.target()?,
            }
        }
        add(&worker.control.counts.by_read_write, got as u64);
        worker.check()?;
    }
}

/// A wait that a signal cut short has brought nothing, and is no failure.
fn interrupted(errno: Errno) -> Result<bool, Errno> {
    if errno == Errno::EINTR {
        Ok(false)
    } else {
        Err(errno)
    }
}

/// Wait until a pipe is read by somebody, and open it for writing.
pub fn open_for_writing(
    worker: &mut Worker<'_>,
    dir: BorrowedFd<'_>,
    name: &core::ffi::CStr,
) -> Result<std::os::fd::OwnedFd, Trouble> {
    let flags = sys::O_WRONLY | sys::O_NONBLOCK | sys::O_NOCTTY | sys::O_NOFOLLOW;
    loop {
        match sys::open_at(dir, name, flags, 0) {
            Err(Errno::ENXIO) if is_pipe(dir, name) => {
                std::thread::sleep(std::time::Duration::from_millis(2));
                worker.look()?;
            }
            Err(Errno::EINTR) => worker.look()?,
            other => return other.target(),
        }
    }
}

fn is_pipe(dir: BorrowedFd<'_>, name: &core::ffi::CStr) -> bool {
    sys::stat_at(dir.as_fd(), name, false).is_ok_and(|stat| stat.kind() == sys::S_IFIFO)
}
