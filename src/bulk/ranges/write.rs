//! Writes ranges.
//!
//! Past the page cache go whole pages only, and they go first; what is left of each range goes
//! through the page cache after the last of them has ended. A page is never written both ways, nor
//! is the cache filled beside a direct write into its neighbourhood, so neither can overwrite the
//! other. What is not aligned in memory is copied into memory of ours that is.

use core::ptr;

use crate::bulk::host::Host;
use crate::bulk::job::Job;
use crate::bulk::pump::{Options, Pump};
use crate::bulk::ranges::files::{Files, Source};
use crate::bulk::ranges::memory::{Memory, BOUNCE};
use crate::bulk::ranges::read::{CHUNK, NAP_NS};
use crate::bulk::ranges::{Direct, Report, Row, Rows, Settings, Step, Transfer};
use crate::bulk::work::{Ended, Work};
use crate::sys::os::{O_CREAT, O_WRONLY};
use crate::sys::syscall::{monotonic_ns, page_size};
use crate::sys::Errno;

/// So many bytes are written at once before the clock is looked at.
const LOOK_BYTES: u64 = 4 << 20;
/// With a flush at the end, ranges of so many bytes on the average are written directly.
const LARGE: u64 = 64 << 10;

/// A part of a range.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    row: u32,
    at: u64,
    len: u64,
    bounced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Whole pages, past the page cache.
    Direct,
    /// The rest, through it.
    Buffered,
    Flush,
    Done,
}

/// A job that writes ranges. `M` is what keeps their memory.
pub struct Writes<H: Host, M> {
    // Before the files: when it goes, nothing is under way on them.
    job: Job<H, Memory<M>>,
    host: H,
    files: Files<H>,
    rows: Rows,
    settings: Settings,
    fsync: bool,
    directly: bool,
    phase: Phase,
    /// The range that comes next in this phase, and where in it; or the file, when flushing.
    next: u32,
    at: u64,
    /// What did not go directly.
    later: Vec<Part>,
    parts: Vec<Part>,
    free: Vec<u32>,
    report: Report,
}

impl<H: Host, M> Writes<H, M> {
    /// Nothing is opened or written yet. The ranges must not overlap.
    ///
    /// # Safety
    /// The memory of every range must be readable until the job is gone, and `held` be what keeps
    /// it (I2).
    pub unsafe fn new(
        host: H,
        sources: Vec<Source>,
        rows: Rows,
        held: M,
        settings: Settings,
        fsync: bool,
    ) -> Self {
        let bytes: i64 = rows.sizes().iter().sum();
        let large = bytes as u64 >= LARGE * u64::from(rows.count().max(1));
        let directly = match settings.direct {
            Direct::Always => true,
            Direct::Auto => fsync && large,
            Direct::Never => false,
        };
        let works = rows.pieces(CHUNK, settings.depth).max(sources.len() as u32);
        let depth = settings.depth.clamp(1, works.max(1));
        let options = Options { depth, way: settings.way, one_thread: true, try_now: false };
        // Files stay open until the end: they are written in two rounds, and flushed.
        let left = vec![u32::MAX; sources.len()];
        Writes {
            job: Job::new(Pump::new(host.clone(), options), Memory::new(held)),
            files: Files::new(host.clone(), sources, &left, O_WRONLY | O_CREAT),
            host,
            settings: Settings { depth, ..settings },
            fsync,
            directly,
            phase: if directly { Phase::Direct } else { Phase::Buffered },
            next: 0,
            at: 0,
            later: Vec::new(),
            parts: vec![Part::default(); depth as usize],
            free: (0..depth).rev().collect(),
            report: Report { done: rows.sizes(), ..Report::default() },
            rows,
        }
    }

    /// With nothing under way, and nothing more to begin: to the next phase. False at the end.
    fn advance(&mut self) -> bool {
        let end = match self.phase {
            Phase::Flush => self.files.len(),
            _ => self.rows.count(),
        };
        if self.next < end || (self.phase == Phase::Buffered && !self.later.is_empty()) {
            return self.phase != Phase::Done;
        }
        (self.next, self.at) = (0, 0);
        self.phase = match self.phase {
            Phase::Direct => Phase::Buffered,
            Phase::Buffered if self.fsync => Phase::Flush,
            _ => Phase::Done,
        };
        self.phase != Phase::Done
    }

    fn wait(&mut self, in_flight: u32, until: u64) -> Option<Step> {
        if in_flight > 0 {
            let full = !self.job.has_room();
            let min = if full { (in_flight / 4).max(1) } else { in_flight };
            let mut ended = Vec::new();
            let waited = self.job.wait(min, NAP_NS, &mut ended);
            for ended in ended {
                self.ended(ended);
            }
            if let Err(error) = waited {
                return Some(Step::Failed(error));
            }
        }
        (monotonic_ns() >= until).then_some(Step::Look)
    }

    fn fail(&mut self, row: u32, at: u64, errno: Errno) {
        self.report.cut(row, at);
        self.report.errors.push((row, errno));
    }

    /// Begin what there is room for. Edges are left for later. True when a signal came between.
    fn begin_direct(&mut self) -> bool {
        while self.job.has_room() && self.next < self.rows.count() {
            let row = self.rows.row(self.next);
            match self.direct_part(row) {
                Ok(Some(part)) => {
                    self.at = part.at + part.len;
                    self.begin(part, row);
                }
                Ok(None) => {
                    if self.at < row.size {
                        self.put_off(self.next, self.at, row.size - self.at);
                    }
                    (self.next, self.at) = (self.next + 1, 0);
                }
                Err(Errno::EINTR) => return true,
                Err(errno) => {
                    self.fail(self.next, self.at, errno);
                    return false;
                }
            }
        }
        false
    }

    fn put_off(&mut self, row: u32, at: u64, len: u64) {
        if len > 0 {
            self.later.push(Part { row, at, len, bounced: false });
        }
    }

    /// The next whole pages of a range. None: there are no more.
    fn direct_part(&mut self, row: Row) -> Result<Option<Part>, Errno> {
        let file = self.files.ready(row.file)?;
        let (_, alignment) = match file.direct(&self.host) {
            Ok(found) => found,
            Err(errno) if self.settings.direct == Direct::Always => return Err(errno),
            Err(_) => return Ok(None),
        };
        let page = (page_size() as u64).max(alignment.offset.into());
        let begin = row.offset + self.at;
        let start = begin.next_multiple_of(page);
        let end = (row.offset + row.size) / page * page;
        if start >= end {
            return Ok(None);
        }
        if start > begin {
            self.put_off(self.next, self.at, start - begin);
        }
        let at = start - row.offset;
        let bounced = (row.addr + at) % u64::from(alignment.memory) != 0;
        let len = (end - start).min(if bounced { BOUNCE } else { CHUNK });
        Ok(Some(Part { row: self.next, at, len: len / page * page, bounced }))
    }

    fn begin(&mut self, part: Part, row: Row) {
        let Some(slot) = self.free.pop() else { return self.later.push(part) };
        let mut addr = (row.addr + part.at) as *const u8;
        if part.bounced {
            let slots = self.parts.len();
            let Some(bounce) = self.job.memory().bounce(slot, slots) else {
                self.free.push(slot);
                return self.later.push(part);
            };
            // SAFETY: the range's memory, and ours of that size; raw pointers, as others may write
            // to it meanwhile (I5).
            unsafe { ptr::copy_nonoverlapping(addr, bounce, part.len as usize) };
            addr = bounce;
        }
        self.report.direct += 1;
        self.report.bounced += u64::from(part.bounced);
        let fd = self.files.at(row.file).direct_fd();
        let work = Work::Write { fd, addr, len: part.len as u32, offset: row.offset + part.at };
        self.parts[slot as usize] = part;
        self.files.at(row.file).users += 1;
        // SAFETY: the job keeps the ranges' memory, and ours (I2).
        if let Some(result) = unsafe { self.job.start(work, slot.into()) } {
            self.ended(Ended { token: slot.into(), result });
        }
    }

    /// A direct write or a flush has ended.
    fn ended(&mut self, ended: Ended) {
        let Ended { token, result } = ended;
        if self.phase == Phase::Flush {
            return self.flushed(token as u32, result);
        }
        let part = self.parts[token as usize];
        self.free.push(token as u32);
        let file = self.rows.row(part.row).file;
        self.files.request_ended(file);
        let errno = Errno(-result);
        let unfit = matches!(errno, Errno::EINVAL | Errno::EOPNOTSUPP);
        if result < 0 && unfit && self.settings.direct == Direct::Auto {
            self.files.at(file).refuse_direct();
            self.later.push(part);
        } else if errno == Errno::EINTR {
            self.later.push(part);
        } else if result < 0 {
            self.fail(part.row, part.at, errno);
        } else {
            // What is left of it is settled with the rest: it may not be whole pages any more.
            let done = (result as u64).min(part.len);
            self.report.bytes += done;
            self.put_off(part.row, part.at + done, part.len - done);
        }
    }

    /// Write what is left, here and now: nothing is faster into the page cache, where each file is
    /// written to by one at a time. True when the time is up.
    fn write_buffered(&mut self, until: u64) -> bool {
        let mut bytes = 0;
        while let Some(part) = self.next_buffered() {
            let row = self.rows.row(part.row);
            let fd = match self.files.ready(row.file) {
                Ok(file) => file.fd,
                Err(Errno::EINTR) => {
                    self.later.push(part);
                    return true;
                }
                Err(errno) => {
                    self.fail(part.row, part.at, errno);
                    return false;
                }
            };
            let len = part.len.min(CHUNK);
            let (addr, offset) = ((row.addr + part.at) as *const u8, row.offset + part.at);
            let work = Work::Write { fd, addr, len: len as u32, offset };
            self.report.buffered += 1;
            // SAFETY: the job keeps the ranges' memory (I2).
            let result = unsafe { self.job.carry_out(&work) };
            match result {
                1.. => {
                    let done = (result as u64).min(len);
                    self.report.bytes += done;
                    self.put_off(part.row, part.at + done, part.len - done);
                }
                result if result == -Errno::EINTR.0 => {
                    self.later.push(part);
                    return true;
                }
                // Nothing is written, and nothing is wrong: there is no more room.
                0 => return self.failed_now(part, Errno::ENOSPC),
                errno => return self.failed_now(part, Errno(-errno)),
            }
            bytes += len;
            if bytes >= LOOK_BYTES {
                bytes = 0;
                if monotonic_ns() >= until {
                    return true;
                }
            }
        }
        false
    }

    fn failed_now(&mut self, part: Part, errno: Errno) -> bool {
        self.fail(part.row, part.at, errno);
        false
    }

    fn next_buffered(&mut self) -> Option<Part> {
        if let Some(part) = self.later.pop() {
            return Some(part);
        }
        if self.directly {
            // All ranges came up in the first phase.
            self.next = self.rows.count();
        }
        while self.next < self.rows.count() {
            let (row, len) = (self.next, self.rows.row(self.next).size);
            self.next += 1;
            if len > 0 {
                return Some(Part { row, at: 0, len, bounced: false });
            }
        }
        None
    }

    /// True when a signal came between.
    fn begin_flush(&mut self) -> bool {
        while self.job.has_room() && self.next < self.files.len() {
            let number = self.next;
            self.next += 1;
            let fd = match self.files.ready(number) {
                Ok(file) => file.fd,
                Err(Errno::EINTR) => {
                    self.next = number;
                    return true;
                }
                Err(errno) => {
                    self.report.unflushed.push((number, errno));
                    continue;
                }
            };
            let work = Work::Fsync { fd, data_only: false };
            self.files.at(number).users += 1;
            // SAFETY: no memory is pointed at (I2).
            if let Some(result) = unsafe { self.job.start(work, number.into()) } {
                if result == -Errno::EINTR.0 {
                    self.files.request_ended(number);
                    self.next = number;
                    return true;
                }
                self.flushed(number, result);
            }
        }
        false
    }

    fn flushed(&mut self, file: u32, result: i32) {
        self.files.request_ended(file);
        self.report.flushes += 1;
        if result < 0 {
            self.report.unflushed.push((file, Errno(-result)));
        }
    }
}

impl<H: Host, M> Transfer<H> for Writes<H, M> {
    fn go_on(&mut self, until: u64) -> Step {
        loop {
            if !self.report.errors.is_empty() {
                self.phase = Phase::Done;
            }
            let up = match self.phase {
                Phase::Direct => self.begin_direct(),
                Phase::Buffered => self.write_buffered(until),
                Phase::Flush => self.begin_flush(),
                Phase::Done => false,
            };
            if up {
                return Step::Look;
            }
            let in_flight = self.job.in_flight();
            if in_flight == 0 && !self.advance() {
                return Step::Done;
            }
            if let Some(step) = self.wait(in_flight, until) {
                return step;
            }
        }
    }

    fn pump(&mut self) -> &mut Pump<H> {
        &mut self.job
    }

    fn rows(&self) -> &Rows {
        &self.rows
    }

    fn report(&mut self) -> &mut Report {
        &mut self.report
    }
}
