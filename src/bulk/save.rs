//! One large file out of many pieces of memory, at the device's speed.
//!
//! Direct: aligned memory goes to the device as it is, the rest through aligned buffers, of which
//! some are written while the next is filled. The last block is filled up with zeros, and the file
//! cut to its size. Buffered: plain writes, with the device told to begin with each.

mod pieces;

use std::alloc::{self, Layout};
use std::collections::VecDeque;
use std::ffi::CString;
use std::time::{Duration, Instant};

use crate::bulk::directories::Directories;
use crate::bulk::job::{Job, PATIENCE_NS};
use crate::bulk::new_file::{How, NewFile};
use crate::bulk::pump::Pump;
use crate::bulk::store::Store;
use crate::bulk::work::Work;
use crate::ring::error::RingError;
use crate::sys::errno::uninterrupted;
use crate::sys::Errno;
use pieces::{open, progress};

/// What every device takes of memory.
const PAGE: usize = 4096;
/// Space is set aside in steps of this where the size is not known.
const STEP: u64 = 64 << 20;
/// A write that moves nothing is tried so often.
const TRIES: u8 = 8;
/// After so long whoever called is asked for signals.
const TURN: Duration = Duration::from_millis(50);

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direct {
    /// Past the page cache, or not at all.
    Must,
    /// Past the page cache where the file system has it.
    May,
    /// Through the page cache.
    No,
}

/// What is wanted of the file.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Past the page cache?
    pub direct: Direct,
    /// fsync it before it gets its name, and its directory after that.
    pub sync: bool,
    /// Bytes that go out at a time.
    pub chunk: u32,
    /// Chunks under way at a time.
    pub depth: u32,
    /// How long it will be, if that is known.
    pub size: Option<u64>,
    /// How it is made.
    pub how: How,
}

/// Aligned memory of our own.
struct Bounce {
    start: *mut u8,
    layout: Layout,
    free: bool,
}

impl Bounce {
    fn new(len: usize) -> Option<Self> {
        let layout = Layout::from_size_align(len.max(1), PAGE).ok()?;
        // SAFETY: a layout that is not empty (I1).
        let start = unsafe { alloc::alloc_zeroed(layout) };
        (!start.is_null()).then_some(Bounce { start, layout, free: true })
    }
}

impl Drop for Bounce {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and nothing is under way with it (I2).
        unsafe { alloc::dealloc(self.start, self.layout) };
    }
}

// SAFETY: memory that nobody else knows of (I2).
unsafe impl Send for Bounce {}

/// What works point at.
struct Memory<M> {
    theirs: M,
    bounces: Vec<Bounce>,
}

/// A piece of the caller's memory.
struct Source {
    addr: *const u8,
    len: u64,
    pos: u64,
    token: u64,
}

// SAFETY: the caller holds the memory until the source is done, in whatever thread (I2).
unsafe impl Send for Source {}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Bounce(usize),
    Source(u64),
}

/// Bytes on their way.
#[derive(Clone, Copy)]
struct Piece {
    addr: *const u8,
    len: u64,
    offset: u64,
    done: u64,
    tries: u8,
    owner: Owner,
}

// SAFETY: as for what it points at (I2).
unsafe impl Send for Piece {}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Writing,
    Syncing,
    Synced,
    /// An error, or the end.
    Over,
}

const SYNC_TOKEN: u64 = u64::MAX;

/// See the [module](self). `M` is the memory of the sources.
pub struct Save<H: Store, M> {
    job: Job<H, Memory<M>>,
    host: H,
    dirs: Directories<H>,
    file: Option<NewFile>,
    /// It was given up, and has no name any more.
    disowned: bool,
    plan: Plan,
    /// Alignment of memory and of offsets, while writing directly.
    direct: Option<(u64, u64)>,
    /// It turned out not to be possible.
    left_direct: bool,
    sources: VecDeque<Source>,
    pieces: Vec<Option<Piece>>,
    /// The buffer that is being filled, and how far.
    filling: Option<(usize, u64)>,
    /// Where the next piece goes.
    offset: u64,
    allocated: u64,
    written: u64,
    bounced: u64,
    stage: Stage,
    done: Vec<u64>,
}

impl<H: Store, M> Save<H, M> {
    /// Make the file under a temporary name. Relative paths start from the directory `base`.
    pub fn new(
        pump: Pump<H>,
        memory: M,
        base: i32,
        path: &CString,
        plan: Plan,
    ) -> Result<Self, Errno> {
        let host = pump.host().clone();
        let mut dirs = Directories::new(host.clone(), base, plan.sync);
        let (file, direct) = open(&host, &mut dirs, path, &plan)?;
        let mut save = Save {
            job: Job::new(pump, Memory { theirs: memory, bounces: Vec::new() }),
            host,
            dirs,
            file: Some(file),
            disowned: false,
            plan,
            direct,
            left_direct: false,
            sources: VecDeque::new(),
            pieces: Vec::new(),
            filling: None,
            offset: 0,
            allocated: 0,
            written: 0,
            bounced: 0,
            stage: Stage::Writing,
            done: Vec::new(),
        };
        save.plan.chunk = save.round_up(plan.chunk.into()).min(1 << 30) as u32;
        if let Some(size) = plan.size.filter(|&size| size >= plan.chunk.into()) {
            if let Err(errno) = save.allocate_up_to(size) {
                save.over();
                return Err(errno);
            }
        }
        Ok(save)
    }

    /// The pump, for its counts.
    pub fn pump(&mut self) -> &mut Pump<H> {
        self.job.parts().0
    }

    /// The memory of the sources.
    pub fn memory(&mut self) -> &mut M {
        &mut self.job.memory().theirs
    }

    /// Does it go past the page cache?
    pub fn is_direct(&self) -> bool {
        self.direct.is_some() && !self.left_direct
    }

    /// Bytes written so far, and bytes that went through buffers of our own.
    pub fn progress(&self) -> (u64, u64) {
        // What the last block was filled up with does not count.
        (self.written.min(self.offset), self.bounced)
    }

    /// Sources that are not done.
    pub fn is_busy(&self) -> bool {
        !self.sources.is_empty()
    }

    /// What comes next in the file.
    ///
    /// # Safety
    /// `len` bytes at `addr` must be readable until [`Save::run`] has said that the token is done,
    /// or for ever (I2): they are held by the memory of this job.
    pub unsafe fn push(&mut self, addr: *const u8, len: u64, token: u64) {
        self.sources.push_back(Source { addr, len, pos: 0, token });
    }

    fn fd(&self) -> i32 {
        self.file.as_ref().map_or(-1, NewFile::fd)
    }

    fn round_up(&self, len: u64) -> u64 {
        self.direct.map_or(len, |(_, block)| len.div_ceil(block) * block)
    }

    /// Go on until all sources are on their way or a while has passed. Tokens of sources that are
    /// done with are added to `done`. An error of the file: [`Save::give_up`] is what remains.
    pub fn run(
        &mut self,
        nap_ns: u64,
        done: &mut Vec<u64>,
    ) -> Result<Result<(), Errno>, RingError> {
        if !self.pump().same_process() {
            return Err(RingError::Forked);
        }
        let until = Instant::now() + TURN;
        let mut worked = Ok(());
        while worked.is_ok() && !self.sources.is_empty() && Instant::now() < until {
            worked = match self.direct {
                Some(_) => self.feed(until),
                None => self.write_buffered(),
            };
            if worked.is_ok() && !self.sources.is_empty() && self.pump().in_flight() > 0 {
                worked = self.reap(nap_ns)?;
            }
        }
        done.append(&mut self.done);
        Ok(worked)
    }

    /// All sources are there: write what is left, and have it under its name. None: not yet, call
    /// it again; that is returned at least once between the last byte and the new name, so that
    /// whoever is told of the progress can still call it off.
    pub fn finish(&mut self, nap_ns: u64) -> Result<Result<Option<()>, Errno>, RingError> {
        if !self.pump().same_process() {
            return Err(RingError::Forked);
        }
        if self.stage == Stage::Writing {
            if let Err(errno) = self.flush() {
                return Ok(Err(errno));
            }
        }
        if self.pump().in_flight() > 0 {
            if let Err(errno) = self.reap(nap_ns)? {
                return Ok(Err(errno));
            }
        }
        if self.pump().in_flight() > 0 {
            return Ok(Ok(None));
        }
        Ok(self.close_stage())
    }

    fn close_stage(&mut self) -> Result<Option<()>, Errno> {
        if self.stage == Stage::Writing {
            if self.allocated.max(self.round_up(self.offset)) != self.offset {
                uninterrupted(|| self.host.truncate(self.fd(), self.offset))?;
            }
            self.stage = if self.plan.sync { Stage::Syncing } else { Stage::Synced };
            return Ok(None);
        }
        if self.stage == Stage::Syncing {
            let work = Work::Fsync { fd: self.fd(), data_only: false };
            // SAFETY: no memory is passed, and the descriptor is open until the end (I10).
            match unsafe { self.pump().start(work, SYNC_TOKEN) } {
                Some(result) => self.synced(result)?,
                None => return Ok(None),
            }
        }
        if self.stage == Stage::Synced {
            self.stage = Stage::Over;
            if let Some(file) = self.file.take() {
                file.finish(&self.host, &mut self.dirs)?;
            }
        }
        Ok((self.stage == Stage::Over).then_some(()))
    }

    fn synced(&mut self, result: i32) -> Result<(), Errno> {
        if result < 0 && result != -Errno::EINTR.0 {
            return Err(Errno(-result));
        }
        if result >= 0 {
            self.stage = Stage::Synced;
        }
        Ok(())
    }

    /// fsync the directory. What cannot be is returned.
    pub fn sync_directory(&mut self) -> Vec<(CString, Errno)> {
        self.dirs.let_go_of_idle();
        self.dirs.take_failed()
    }

    /// Through the page cache, here and now.
    fn write_buffered(&mut self) -> Result<(), Errno> {
        let Some(source) = self.sources.front_mut() else { return Ok(()) };
        let left = (source.len - source.pos).min(self.plan.chunk.into());
        let addr = source.addr.wrapping_add(source.pos as usize);
        let work = Work::Write { fd: self.fd(), addr, len: left as u32, offset: self.offset };
        let mut done = 0;
        if left > 0 {
            let mut tries = TRIES;
            loop {
                // SAFETY: the source is held until it is done (I2).
                let result = unsafe { self.pump().carry_out(&work) };
                done = progress(result, left, &mut tries)?;
                if done > 0 {
                    break;
                }
            }
        }
        if self.plan.sync && done > 0 {
            self.host.start_writeback(self.fd(), self.offset, done);
        }
        self.offset += done;
        self.written += done;
        if let Some(source) = self.sources.front_mut() {
            source.pos += done;
        }
        self.drop_used_up();
        Ok(())
    }

    /// A source of which all is on its way.
    fn drop_used_up(&mut self) {
        if self.sources.front().is_none_or(|source| source.pos < source.len) {
            return;
        }
        let Some(source) = self.sources.pop_front() else { return };
        let owner = Owner::Source(source.token);
        if !self.pieces.iter().flatten().any(|piece| piece.owner == owner) {
            self.done.push(source.token);
        }
    }

    /// Have as much on its way to the device as there is room for.
    fn feed(&mut self, until: Instant) -> Result<(), Errno> {
        let Some((mem, block)) = self.direct else { return Ok(()) };
        while self.pump().has_room() && Instant::now() < until {
            let Some(source) = self.sources.front() else { return Ok(()) };
            let addr = source.addr.wrapping_add(source.pos as usize);
            let (left, token) = (source.len - source.pos, source.token);
            let aligned = addr as u64 % mem == 0;
            let chunk = u64::from(self.plan.chunk);
            match self.filling {
                None if aligned && left >= block => {
                    let len = left.min(chunk) / block * block;
                    self.used(len);
                    self.issue(addr, len, Owner::Source(token))?;
                }
                // What was begun goes out short, so that the rest need not be copied.
                Some((_, filled)) if filled % block == 0 && aligned && left >= chunk => {
                    self.issue_filling()?;
                }
                _ => {
                    if left > 0 && !self.fill(addr, left)? {
                        return Ok(());
                    }
                }
            }
            self.drop_used_up();
        }
        Ok(())
    }

    fn used(&mut self, len: u64) {
        if let Some(source) = self.sources.front_mut() {
            source.pos += len;
        }
    }

    /// Copy into a buffer of ours. False: all are under way.
    fn fill(&mut self, addr: *const u8, left: u64) -> Result<bool, Errno> {
        let Some((index, filled)) = self.filling.or_else(|| self.free_bounce()) else {
            // Without a buffer under way there is no memory for one.
            let waits = self.pump().in_flight() > 0;
            return if waits { Ok(false) } else { Err(Errno::ENOMEM) };
        };
        let chunk = u64::from(self.plan.chunk);
        let len = left.min(chunk - filled);
        let start = self.job.memory().bounces[index].start;
        // SAFETY: the source is held until it is done; the buffer is ours, has room for a chunk, and
        // nothing is under way with it (I2, I5: raw pointers).
        unsafe { core::ptr::copy_nonoverlapping(addr, start.add(filled as usize), len as usize) };
        self.used(len);
        self.bounced += len;
        self.filling = Some((index, filled + len));
        if filled + len == chunk {
            self.issue_filling()?;
        }
        Ok(true)
    }

    /// A buffer that nothing is under way with: one more than are written at a time.
    fn free_bounce(&mut self) -> Option<(usize, u64)> {
        let (chunk, most) = (self.plan.chunk as usize, self.plan.depth as usize + 1);
        let bounces = &mut self.job.memory().bounces;
        let free = bounces.iter().position(|bounce| bounce.free);
        let index = match free {
            Some(index) => index,
            None if bounces.len() < most => {
                bounces.push(Bounce::new(chunk)?);
                bounces.len() - 1
            }
            None => return None,
        };
        bounces[index].free = false;
        Some((index, 0))
    }

    fn issue_filling(&mut self) -> Result<(), Errno> {
        let Some((index, filled)) = self.filling.take() else { return Ok(()) };
        let addr = self.job.memory().bounces[index].start;
        self.issue(addr, filled, Owner::Bounce(index))
    }

    /// The last bytes, filled up to a whole block.
    fn flush(&mut self) -> Result<(), Errno> {
        let Some((index, filled)) = self.filling else { return Ok(()) };
        let padded = self.round_up(filled);
        let start = self.job.memory().bounces[index].start;
        // SAFETY: a chunk is a whole number of blocks, so there is room; the buffer is ours (I5).
        unsafe { start.add(filled as usize).write_bytes(0, (padded - filled) as usize) };
        self.filling = Some((index, padded));
        let whole = self.offset + filled;
        self.issue_filling()?;
        self.offset = whole;
        Ok(())
    }
}

impl<H: Store, M> Drop for Save<H, M> {
    fn drop(&mut self) {
        if self.file.is_some() {
            self.give_up(PATIENCE_NS);
        }
    }
}
