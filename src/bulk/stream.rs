//! A file from beginning to end, in order, with the next chunks read ahead.
//!
//! What is cached is read when its turn comes, by a plain system call; what is not is read ahead,
//! past the page cache where the file system can do that, `depth` chunks at a time. Pipes and
//! terminals have no positions: from them a chunk is what comes.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::bulk::host::Host;
use crate::bulk::job::Job;
use crate::bulk::pump::{Options, Pump, Way};
use crate::bulk::ranges::files::Files;
use crate::bulk::ranges::warmth::{Hope, Warmth};
use crate::bulk::ranges::{Direct, Source};
use crate::bulk::shelf::{Piece, Shelf};
use crate::bulk::work::{Ended, Work};
use crate::ops::CURRENT_POSITION;
use crate::ring::error::RingError;
use crate::sys::direct::Alignment;
use crate::sys::os::O_RDONLY;
use crate::sys::Errno;

const NAP_NS: u64 = 50_000_000;

/// What a stream is asked to be.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bytes of a chunk.
    pub chunk: u32,
    /// Chunks read ahead.
    pub depth: u32,
    /// Past the page cache?
    pub direct: Direct,
    /// Which ways are open.
    pub way: Way,
    /// Where it begins.
    pub offset: u64,
    /// How much of it; `u64::MAX` for all.
    pub size: u64,
}

/// A chunk.
pub struct Chunk {
    /// Its memory.
    pub memory: Piece,
    /// Where in that it begins.
    pub lead: usize,
    /// Its bytes.
    pub len: usize,
}

/// What a call came back with.
pub enum Next {
    /// The next chunk.
    Chunk(Chunk),
    /// There is none.
    End,
    /// Time to look for signals.
    Look,
    /// The chunk at this offset could not be read.
    Error(u64, Errno),
    /// The ring failed.
    Failed(RingError),
}

/// How the requests were made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Past the page cache.
    pub direct: u64,
    /// Through it.
    pub buffered: u64,
    /// Bytes handed out.
    pub bytes: u64,
}

/// A chunk that is being read, or has been.
struct Slot {
    memory: Option<Piece>,
    offset: u64,
    lead: u64,
    want: u64,
    /// None: not yet.
    result: Option<i32>,
    direct: bool,
}

/// A stream. One thread at a time uses it, but not always the same.
pub struct Stream<H: Host> {
    // Before the file: when it goes, nothing is under way on it.
    job: Job<H, Vec<Slot>>,
    host: H,
    files: Files<H>,
    settings: Settings,
    shelf: Arc<Shelf>,
    warmth: Warmth,
    positions: bool,
    in_memory: bool,
    /// Where the next chunk begins, and where the last one ends.
    next: u64,
    end: u64,
    /// Slots in the order of their chunks, and those that are free.
    queue: VecDeque<u32>,
    free: Vec<u32>,
    over: bool,
    tally: Tally,
}

impl<H: Host> Stream<H> {
    /// Open the file. Nothing is read yet.
    pub fn new(host: H, source: Source, settings: Settings) -> Result<Self, Errno> {
        let mut files = Files::new(host.clone(), vec![source], &[u32::MAX], O_RDONLY);
        let file = files.ready(0)?;
        let positions = file.on_device || file.size != u64::MAX;
        let in_memory = file.in_memory;
        let mut room = u64::from(settings.chunk);
        if positions && settings.direct != Direct::Never && !in_memory {
            match file.direct(&host) {
                Ok((_, Alignment { offset, .. })) => {
                    let block = u64::from(offset);
                    let even = room % block == 0 && settings.offset % block == 0;
                    room += if even { 0 } else { 2 * block };
                }
                Err(errno) if settings.direct == Direct::Always => return Err(errno),
                Err(_) => {}
            }
        }
        if !positions && settings.offset != 0 {
            return Err(Errno::ESPIPE);
        }
        if !positions && settings.direct == Direct::Always {
            return Err(Errno::EINVAL);
        }
        let Settings { depth, way, offset, size, .. } = settings;
        let options = Options { depth, way, one_thread: false, try_now: false };
        let slot =
            || Slot { memory: None, offset: 0, lead: 0, want: 0, result: None, direct: false };
        let slots = (0..depth).map(|_| slot()).collect();
        Ok(Stream {
            job: Job::new(Pump::new(host.clone(), options), slots),
            host,
            files,
            settings,
            shelf: Shelf::new(room as usize, depth as usize + 1),
            warmth: Warmth::new(None),
            positions,
            in_memory,
            next: offset,
            end: offset.saturating_add(size),
            queue: VecDeque::with_capacity(depth as usize),
            free: (0..depth).rev().collect(),
            over: false,
            tally: Tally::default(),
        })
    }

    /// The pump, to close it and for its counts.
    pub fn pump(&mut self) -> &mut Pump<H> {
        &mut self.job
    }

    /// How it was done so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The next chunk, if it comes within a nap.
    pub fn next_chunk(&mut self) -> Next {
        if !self.job.same_process() {
            return Next::Failed(RingError::Forked);
        }
        let mut napped = false;
        loop {
            if self.over {
                return Next::End;
            }
            if !self.positions {
                return self.next_in_line();
            }
            if let Err(errno) = self.fill() {
                self.over = true;
                return Next::Error(self.next, errno);
            }
            let Some(slot) = self.queue.front().copied() else {
                self.over = true;
                return Next::End;
            };
            let landed = self.job.memory()[slot as usize].result.is_some();
            if napped && !landed {
                return Next::Look;
            }
            // What was begun goes to the system in any case: else the device would be idle while
            // the caller works on what it gets.
            let mut ended = Vec::new();
            let waited = self.job.wait(u32::from(!landed), NAP_NS, &mut ended);
            napped = ended.is_empty();
            for Ended { token, result } in ended {
                self.job.memory()[token as usize].result = Some(result);
            }
            if let Err(error) = waited {
                return Next::Failed(error);
            }
            if landed {
                self.queue.pop_front();
                return self.hand_out(slot);
            }
        }
    }

    /// Begin what may be read ahead, and read the first chunk if it is cached.
    fn fill(&mut self) -> Result<(), Errno> {
        while self.next < self.end && !self.free.is_empty() {
            let file = self.files.at(0);
            let (fd, first, known) = (file.fd, self.queue.is_empty(), self.next < file.size);
            // Behind the end that was known when it was opened there may be more by now.
            let cold = known && !self.in_memory && !self.is_cached(fd);
            if !cold && !first {
                break;
            }
            let want = (self.end - self.next).min(self.settings.chunk.into());
            if !self.begin(want, cold)? {
                break;
            }
            self.next += want;
            if !cold {
                break;
            }
        }
        Ok(())
    }

    fn is_cached(&mut self, fd: i32) -> bool {
        let (offset, len) = (self.next, self.settings.chunk.into());
        self.settings.direct != Direct::Always
            && self.warmth.expects(&self.host, fd, offset, len) != Hope::None
    }

    /// Begin the next chunk. False: there is no memory for it, but for those before it.
    fn begin(&mut self, want: u64, cold: bool) -> Result<bool, Errno> {
        let memory = match self.shelf.take() {
            Ok(memory) => memory,
            Err(_) if !self.queue.is_empty() => return Ok(false),
            Err(errno) => return Err(errno),
        };
        let Some(slot) = self.free.pop() else { return Ok(false) };
        let (offset, base) = (self.next, memory.base().as_ptr());
        let plain = Work::Read { fd: self.files.at(0).fd, addr: base, len: want as u32, offset };
        let (work, lead, direct) = if cold { self.cold(plain) } else { (plain, 0, false) };
        let result = self.start(work, slot, cold);
        let chunk = Slot { memory: Some(memory), offset, lead, want, result, direct };
        self.job.memory()[slot as usize] = chunk;
        self.queue.push_back(slot);
        let count = if direct { &mut self.tally.direct } else { &mut self.tally.buffered };
        *count += 1;
        Ok(true)
    }

    /// The same read past the page cache, if that can be.
    fn cold(&mut self, plain: Work) -> (Work, u64, bool) {
        let Work::Read { addr, len, offset, .. } = plain else { return (plain, 0, false) };
        if self.settings.direct == Direct::Never {
            return (plain, 0, false);
        }
        let Ok((fd, alignment)) = self.files.at(0).direct(&self.host) else {
            return (plain, 0, false);
        };
        let block = u64::from(alignment.offset);
        let lead = offset % block;
        let len = (lead + u64::from(len)).next_multiple_of(block) as u32;
        (Work::Read { fd, addr, len, offset: offset - lead }, lead, true)
    }

    /// Some: it is done.
    fn start(&mut self, work: Work, slot: u32, cold: bool) -> Option<i32> {
        if cold {
            // SAFETY: the memory goes into the job's slot, and stays there until it has ended (I2).
            return unsafe { self.job.start(work, slot.into()) };
        }
        if !self.in_memory && self.settings.depth > 1 {
            // SAFETY: the memory is ours (I2).
            if let Some(result) = unsafe { self.job.try_now(&work) } {
                self.warmth.hit();
                return Some(result);
            }
            self.warmth.missed();
        }
        // SAFETY: as above.
        Some(unsafe { self.job.carry_out(&work) })
    }

    /// A chunk has been read: complete it, and hand it out.
    fn hand_out(&mut self, slot: u32) -> Next {
        let found = &mut self.job.memory()[slot as usize];
        let Slot { lead, want, offset, direct, .. } = *found;
        let (memory, result) = (found.memory.take(), found.result.take().unwrap_or(0));
        self.free.push(slot);
        let Some(memory) = memory else { return Next::End };
        let unfit = [Errno::EINVAL, Errno::EOPNOTSUPP].iter().any(|errno| result == -errno.0);
        let mut got = 0;
        if result >= 0 {
            got = (result as u64).saturating_sub(lead).min(want);
        } else if direct && unfit && self.settings.direct == Direct::Auto {
            self.files.at(0).refuse_direct();
        } else if result != -Errno::EINTR.0 {
            self.over = true;
            return Next::Error(offset, Errno(-result));
        }
        let complete = self.complete(&memory, lead, offset, got, want);
        match complete {
            Ok(got) => got_chunk(self, memory, lead, got, want),
            Err(errno) => {
                self.over = true;
                Next::Error(offset, errno)
            }
        }
    }

    /// Read what is missing, up to the end of the file.
    fn complete(
        &mut self,
        memory: &Piece,
        lead: u64,
        offset: u64,
        mut got: u64,
        want: u64,
    ) -> Result<u64, Errno> {
        let fd = self.files.at(0).fd;
        while got < want {
            // SAFETY: within the piece, which has room for `lead + want` (I5: an address only).
            let addr = unsafe { memory.base().as_ptr().add((lead + got) as usize) };
            let work = Work::Read { fd, addr, len: (want - got) as u32, offset: offset + got };
            // SAFETY: the memory is ours (I2).
            match unsafe { self.job.carry_out(&work) } {
                0 => break,
                more @ 1.. => got += (more as u64).min(want - got),
                error if error == -Errno::EINTR.0 => {}
                error => return Err(Errno(-error)),
            }
        }
        Ok(got)
    }

    /// From a pipe, socket or terminal: what comes next.
    fn next_in_line(&mut self) -> Next {
        let fd = self.files.at(0).fd;
        let want = (self.end - self.next).min(self.settings.chunk.into());
        if want == 0 {
            self.over = true;
            return Next::End;
        }
        match self.host.poll_in(fd, NAP_NS) {
            Ok(true) => {}
            Ok(false) | Err(Errno::EINTR) => return Next::Look,
            Err(errno) => return self.broken(errno),
        }
        let memory = match self.shelf.take() {
            Ok(memory) => memory,
            Err(errno) => return self.broken(errno),
        };
        let addr = memory.base().as_ptr();
        let work = Work::Read { fd, addr, len: want as u32, offset: CURRENT_POSITION };
        // SAFETY: the memory is ours (I2).
        match unsafe { self.job.carry_out(&work) } {
            0 => {
                self.over = true;
                Next::End
            }
            got @ 1.. => {
                self.tally.buffered += 1;
                self.next += got as u64;
                let got = (got as u64).min(want);
                got_chunk(self, memory, 0, got, got)
            }
            error if [Errno::EINTR, Errno::EAGAIN].iter().any(|e| error == -e.0) => Next::Look,
            error => self.broken(Errno(-error)),
        }
    }

    fn broken(&mut self, errno: Errno) -> Next {
        self.over = true;
        Next::Error(self.next, errno)
    }
}

fn got_chunk<H: Host>(
    stream: &mut Stream<H>,
    memory: Piece,
    lead: u64,
    got: u64,
    want: u64,
) -> Next {
    // The file ends here; what was begun behind it is of no interest.
    stream.over |= got < want;
    stream.tally.bytes += got;
    match got {
        0 => Next::End,
        _ => Next::Chunk(Chunk { memory, lead: lead as usize, len: got as usize }),
    }
}
