//! Reads ranges.

use core::ptr;

use crate::bulk::host::Host;
use crate::bulk::job::Job;
use crate::bulk::pump::{Options, Pump};
use crate::bulk::ranges::files::{Files, Source};
use crate::bulk::ranges::warmth::{is_cached, Hope, Warmth};
use crate::bulk::ranges::{Direct, Report, Row, Rows, Settings, Step};
use crate::bulk::work::{Ended, Work};
use crate::ring::region::Region;
use crate::sys::direct::Alignment;
use crate::sys::os::O_RDONLY;
use crate::sys::syscall::monotonic_ns;
use crate::sys::Errno;

/// The most that one request reads.
pub(super) const CHUNK: u64 = 1 << 20;
/// Memory of ours for one request, and the most of a range that goes through it at a time.
const BOUNCE: u64 = 256 << 10;
const BOUNCE_PART: u64 = 128 << 10;
/// From so many bytes on, what is aligned of a range is read into its own place, and only what is
/// not goes through memory of ours. Below, copying costs less than one more request.
const EDGES: u64 = 64 << 10;
/// So many ranges at most are read together.
const TOGETHER: u32 = 1024;
/// Samples for how much is cached.
const SAMPLES: u32 = 12;
/// How long one wait takes at most.
const NAP_NS: u64 = 50_000_000;
/// So many bytes or ranges are read at once before the clock is looked at.
const LOOK_BYTES: u64 = 8 << 20;
const LOOK_ROWS: u32 = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// Past the page cache, into its own place.
    Straight,
    /// Past the page cache, through memory of ours.
    Bounce,
    /// Through the page cache.
    Buffered,
}

/// One request: a part of a range, or some ranges that are near each other, all but the first from
/// their beginning.
#[derive(Clone, Copy, Debug)]
struct Piece {
    first: u32,
    end: u32,
    /// Where in the first range it begins.
    at: u64,
    /// How much of the first range it is.
    part: u64,
    /// What is read of the file.
    offset: u64,
    len: u32,
    how: How,
}

/// What requests point at, and what the caller keeps for them.
struct Memory<M> {
    bounce: Option<Region>,
    _held: M,
}

/// A job that reads ranges. `M` is what keeps their memory.
pub struct Reads<H: Host, M> {
    // Before the files: when it goes, nothing is under way on them.
    job: Job<H, Memory<M>>,
    host: H,
    files: Files<H>,
    rows: Rows,
    settings: Settings,
    warmth: Warmth,
    /// Misses in a row of what was said to be there: RWF_NOWAIT does not work here.
    refusals: u32,
    /// The range that comes next, and how much of it has come.
    next: u32,
    at: u64,
    /// Parts that came short.
    again: Vec<Piece>,
    pieces: Vec<Piece>,
    free: Vec<u32>,
    ended: Vec<Ended>,
    /// No descriptor was free: something must end first.
    stalled: bool,
    report: Report,
}

/// After so many misses in a row of what is cached, plain reads are used for it.
const REFUSALS: u32 = 32;

impl<H: Host, M> Reads<H, M> {
    /// Nothing is opened or read yet.
    ///
    /// # Safety
    /// The memory of every range must be writable and nobody else's until the job is gone, and
    /// `held` be what keeps it (I2).
    pub unsafe fn new(
        host: H,
        sources: Vec<Source>,
        rows: Rows,
        held: M,
        settings: Settings,
    ) -> Self {
        let depth = settings.depth.clamp(1, rows.pieces(CHUNK, settings.depth).max(1));
        let options = Options { depth, way: settings.way, one_thread: true, try_now: false };
        let pump = Pump::new(host.clone(), options);
        let left = rows.per_file(sources.len());
        let empty =
            Piece { first: 0, end: 0, at: 0, part: 0, offset: 0, len: 0, how: How::Buffered };
        let mut reads = Reads {
            job: Job::new(pump, Memory { bounce: None, _held: held }),
            files: Files::new(host.clone(), sources, &left, O_RDONLY),
            host,
            warmth: Warmth::new(None),
            refusals: 0,
            next: 0,
            at: 0,
            again: Vec::new(),
            pieces: vec![empty; depth as usize],
            free: (0..depth).rev().collect(),
            ended: Vec::new(),
            stalled: false,
            report: Report { done: rows.sizes(), ..Report::default() },
            rows,
            settings: Settings { depth, ..settings },
        };
        reads.sample();
        reads
    }

    /// The pump, to close it and for its counts.
    pub fn pump(&mut self) -> &mut Pump<H> {
        &mut self.job
    }

    /// The ranges.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// What came of it.
    pub fn report(&mut self) -> &mut Report {
        &mut self.report
    }

    /// How much of what is to come is cached?
    fn sample(&mut self) {
        if self.settings.direct == Direct::Always || self.rows.count() == 0 {
            return;
        }
        let step = (self.rows.count() / SAMPLES).max(1);
        let (mut cached, mut asked) = (0, 0);
        for row in (0..self.rows.count()).step_by(step as usize).take(SAMPLES as usize) {
            let row = self.rows.row(row);
            let Ok(file) = self.files.ready(row.file) else { continue };
            match is_cached(&self.host, file.fd, row.offset, row.size) {
                Some(found) => {
                    asked += 1;
                    cached += u32::from(found);
                }
                None => return,
            }
        }
        if asked > 0 {
            self.warmth = Warmth::new(Some((cached, asked)));
        }
    }

    /// Go on until all is done, or `until` (of the monotonic clock, in ns).
    pub fn go_on(&mut self, until: u64) -> Step {
        loop {
            if self.fill(until) {
                return Step::Look;
            }
            let in_flight = self.job.in_flight();
            if in_flight == 0 {
                return Step::Done;
            }
            // Some at a time: entering the kernel for each costs more than it gains.
            let min = match self.nothing_comes() {
                true => in_flight,
                false => (in_flight / 4).max(1),
            };
            let mut ended = core::mem::take(&mut self.ended);
            let waited = self.job.wait(min, NAP_NS, &mut ended);
            for Ended { token, result } in ended.drain(..) {
                let piece = self.pieces[token as usize];
                self.free.push(token as u32);
                self.landed(piece, token as u32, result);
                self.files.request_ended(self.rows.row(piece.first).file);
            }
            self.ended = ended;
            self.stalled = false;
            if let Err(error) = waited {
                return Step::Failed(error);
            }
            if monotonic_ns() >= until {
                return Step::Look;
            }
        }
    }

    fn stopped(&self) -> bool {
        self.settings.stop && !self.report.errors.is_empty()
    }

    /// Is there nothing left to begin?
    fn nothing_comes(&self) -> bool {
        self.stopped() || (self.next == self.rows.count() && self.again.is_empty())
    }

    /// Begin what there is room for. True when the time is up.
    fn fill(&mut self, until: u64) -> bool {
        let (mut bytes, mut rows) = (0, 0);
        while self.job.has_room() && !self.nothing_comes() && !self.stalled {
            let begun = match self.again.pop() {
                Some(piece) => self.begin(piece),
                None => self.come_up(),
            };
            bytes += begun;
            rows += 1;
            if rows >= LOOK_ROWS || bytes >= LOOK_BYTES {
                (bytes, rows) = (0, 0);
                if monotonic_ns() >= until {
                    return true;
                }
            }
        }
        false
    }

    /// The next part of the next range. Returns its bytes, as far as they were read now.
    fn come_up(&mut self) -> u64 {
        let row = self.rows.row(self.next);
        let (fd, in_memory) = match self.files.ready(row.file) {
            Ok(file) => (file.fd, file.in_memory),
            Err(errno) => {
                self.not_opened(row, errno);
                return 0;
            }
        };
        if row.size == 0 {
            self.pass(row.file);
            return 0;
        }
        // Held from here until it has ended.
        self.files.at(row.file).users += 1;
        let (offset, left) = (row.offset + self.at, row.size - self.at);
        let hope = match (self.settings.direct, in_memory) {
            (Direct::Always, _) => Hope::None,
            (_, true) => Hope::Told,
            _ => self.warmth.expects(&self.host, fd, offset, left),
        };
        if let Some(bytes) = self.attempt(row, fd, in_memory, hope) {
            self.files.request_ended(row.file);
            return bytes;
        }
        match self.cold(row) {
            Ok(piece) => self.begin(piece),
            Err(errno) => {
                self.fail(self.next, self.at, errno);
                self.pass(row.file);
                self.files.request_ended(row.file);
                0
            }
        }
    }

    /// Read the next part now, if it is cached.
    fn attempt(&mut self, row: Row, fd: i32, in_memory: bool, hope: Hope) -> Option<u64> {
        if hope == Hope::None {
            return None;
        }
        let (number, at) = (self.next, self.at);
        let (offset, len) = (row.offset + at, (row.size - at).min(CHUNK));
        let work = Work::Read { fd, addr: (row.addr + at) as *mut u8, len: len as u32, offset };
        let result = self.at_once(&work, in_memory, hope)?;
        self.report.buffered += 1;
        self.take_part(row, len);
        let piece = self.buffered(number, at, len, offset);
        self.landed(piece, 0, result);
        Some(len)
    }

    /// Read it now, if it is cached.
    fn at_once(&mut self, work: &Work, in_memory: bool, hope: Hope) -> Option<i32> {
        let told = hope == Hope::Told;
        if in_memory || self.settings.depth <= 1 || (told && self.refusals > REFUSALS) {
            // SAFETY: the memory is the range's own (I2).
            return Some(unsafe { self.job.carry_out(work) });
        }
        // SAFETY: as above.
        let done = unsafe { self.job.try_now(work) };
        match done {
            Some(_) => {
                self.warmth.hit();
                self.refusals = 0;
            }
            None => {
                self.warmth.missed();
                self.refusals += u32::from(told);
            }
        }
        done
    }

    /// No file, no range; unless it is for want of descriptors, which are given back.
    fn not_opened(&mut self, row: Row, errno: Errno) {
        let short = matches!(errno, Errno::EMFILE | Errno::ENFILE);
        if short && self.job.in_flight() > 0 {
            self.stalled = true;
            return;
        }
        self.fail(self.next, 0, errno);
        self.pass(row.file);
    }

    /// So much of the next range has come up.
    fn take_part(&mut self, row: Row, part: u64) {
        self.at += part;
        if self.at >= row.size {
            self.pass(row.file);
        }
    }

    fn pass(&mut self, file: u32) {
        self.files.row_passed(file);
        (self.next, self.at) = (self.next + 1, 0);
    }

    fn fail(&mut self, row: u32, at: u64, errno: Errno) {
        self.report.cut(row, at);
        self.report.errors.push((row, errno));
    }

    fn buffered(&self, row: u32, at: u64, part: u64, offset: u64) -> Piece {
        let (first, end, len) = (row, row + 1, part as u32);
        Piece { first, end, at, part, offset, len, how: How::Buffered }
    }

    /// The next piece that has to come from the device.
    fn cold(&mut self, row: Row) -> Result<Piece, Errno> {
        let (first, at) = (self.next, self.at);
        let (offset, left) = (row.offset + at, row.size - at);
        let direct = self.settings.direct;
        let file = self.files.at(row.file);
        match (direct, file.direct(&self.host)) {
            (Direct::Auto | Direct::Always, Ok((_, alignment))) => {
                Ok(self.unbuffered(row, alignment))
            }
            (Direct::Always, Err(errno)) => Err(errno),
            _ => {
                if row.size < BOUNCE_PART {
                    file.advise(&self.host);
                }
                let part = left.min(CHUNK);
                self.take_part(row, part);
                Ok(self.buffered(first, at, part, offset))
            }
        }
    }

    /// The next piece, past the page cache.
    fn unbuffered(&mut self, row: Row, alignment: Alignment) -> Piece {
        let (first, at) = (self.next, self.at);
        let (offset, addr, left) = (row.offset + at, row.addr + at, row.size - at);
        let (block, memory) = (u64::from(alignment.offset), u64::from(alignment.memory));
        let lead = offset % block;
        let aligned = lead == 0 && addr % memory == 0 && left >= block;
        if aligned && (left % block == 0 || left >= EDGES) {
            return self.straight(row, block);
        }
        // Only what is not aligned, if the rest then is.
        let head = block - lead;
        let edge = lead != 0 && left >= EDGES && (addr + head) % memory == 0;
        let part = if edge { head } else { left.min(BOUNCE_PART) };
        let start = offset - lead;
        let mut end = offset + part;
        self.take_part(row, part);
        if part == left {
            self.gather(row.file, |more| {
                let near = more.offset >= offset && more.offset <= end.next_multiple_of(block);
                let fits = (more.offset + more.size).next_multiple_of(block) - start <= BOUNCE;
                if near && fits {
                    end = end.max(more.offset + more.size);
                }
                near && fits
            });
        }
        let len = (end.next_multiple_of(block) - start) as u32;
        let past = self.past(first);
        Piece { first, end: past, at, part, offset: start, len, how: How::Bounce }
    }

    fn straight(&mut self, row: Row, block: u64) -> Piece {
        let (first, at) = (self.next, self.at);
        let (offset, addr, left) = (row.offset + at, row.addr + at, row.size - at);
        let part = left.min(CHUNK) / block * block;
        let mut len = part;
        self.take_part(row, part);
        if part == left {
            self.gather(row.file, |more| {
                let next = more.offset == offset + len && more.addr == addr + len;
                let whole = more.size % block == 0 && len + more.size <= CHUNK;
                len += if next && whole { more.size } else { 0 };
                next && whole
            });
        }
        let past = self.past(first);
        Piece { first, end: past, at, part, offset, len: len as u32, how: How::Straight }
    }

    /// Where the ranges of the piece that began with `first` end.
    fn past(&self, first: u32) -> u32 {
        self.next.max(first + 1)
    }

    /// Take the ranges that follow as long as `fits` has them.
    fn gather(&mut self, file: u32, mut fits: impl FnMut(Row) -> bool) {
        for _ in 1..TOGETHER {
            if self.next == self.rows.count() {
                return;
            }
            let more = self.rows.row(self.next);
            if more.file != file || more.size == 0 || !fits(more) {
                return;
            }
            self.report.merged += 1;
            self.pass(file);
        }
    }

    /// Begin a piece. Returns its bytes, if it is done already.
    fn begin(&mut self, piece: Piece) -> u64 {
        let Some(slot) = self.free.pop() else {
            self.again.push(piece);
            return 0;
        };
        let row = self.rows.row(piece.first);
        let Some(work) = self.work_of(&piece, row, slot) else {
            self.free.push(slot);
            self.split(piece);
            self.files.request_ended(row.file);
            return 0;
        };
        match piece.how {
            How::Buffered => self.report.buffered += 1,
            How::Straight => self.report.direct += 1,
            How::Bounce => {
                (self.report.direct, self.report.bounced) =
                    (self.report.direct + 1, self.report.bounced + 1)
            }
        }
        self.pieces[slot as usize] = piece;
        // SAFETY: the job keeps the ranges' memory, and ours (I2).
        let Some(result) = (unsafe { self.job.start(work, slot.into()) }) else { return 0 };
        self.free.push(slot);
        self.landed(piece, slot, result);
        self.files.request_ended(row.file);
        piece.len.into()
    }

    /// None: there is no memory of ours for it.
    fn work_of(&mut self, piece: &Piece, row: Row, slot: u32) -> Option<Work> {
        let addr = match piece.how {
            How::Bounce => self.bounce(slot)?,
            How::Straight | How::Buffered => (row.addr + piece.at) as *mut u8,
        };
        let file = self.files.at(row.file);
        let fd = if piece.how == How::Buffered { file.fd } else { file.direct_fd() };
        Some(Work::Read { fd, addr, len: piece.len, offset: piece.offset })
    }

    /// The memory of ours that goes with a slot.
    fn bounce(&mut self, slot: u32) -> Option<*mut u8> {
        let len = BOUNCE as usize * self.pieces.len();
        let memory = self.job.memory();
        if memory.bounce.is_none() {
            memory.bounce = Region::new(len).ok();
        }
        let base = memory.bounce.as_ref()?.base();
        // SAFETY: one part for each slot (I5: an address only).
        Some(unsafe { base.as_ptr().add(BOUNCE as usize * slot as usize) })
    }

    /// A request has ended.
    fn landed(&mut self, piece: Piece, slot: u32, result: i32) {
        if result < 0 {
            return self.refused(piece, Errno(-result));
        }
        let got = (result as u32).min(piece.len);
        if got == piece.len && piece.how != How::Bounce {
            return;
        }
        let end = piece.offset + u64::from(got);
        for number in piece.first..piece.end {
            let row = self.rows.row(number);
            let first = number == piece.first;
            let (at, part) = if first { (piece.at, piece.part) } else { (0, row.size) };
            let have = end.saturating_sub(row.offset + at).min(part);
            if piece.how == How::Bounce && have > 0 {
                let (from, to) = (row.offset + at - piece.offset, (row.addr + at) as *mut u8);
                self.copy_out(slot, from, to, have);
            }
            if have < part {
                self.short(number, at + have, part - have, got == 0);
            }
        }
    }

    fn copy_out(&mut self, slot: u32, from: u64, to: *mut u8, len: u64) {
        let Some(bounce) = self.bounce(slot) else { return };
        // SAFETY: `from + len` was read there, and the range's memory is its own; raw pointers, as
        // others may look at it meanwhile (I5).
        unsafe { ptr::copy_nonoverlapping(bounce.add(from as usize), to, len as usize) };
    }

    /// A range came short: at the end of the file, or for another reason that a plain read through
    /// the page cache finds out.
    fn short(&mut self, number: u32, at: u64, rest: u64, nothing: bool) {
        let row = self.rows.row(number);
        let file = self.files.at(row.file);
        if nothing || row.offset + at >= file.size {
            self.report.cut(number, at);
            self.report.eof.push(number);
            return;
        }
        file.users += 1;
        let piece = self.buffered(number, at, rest, row.offset + at);
        self.again.push(piece);
    }

    /// A request has failed.
    fn refused(&mut self, piece: Piece, errno: Errno) {
        let unfit = matches!(errno, Errno::EINVAL | Errno::EOPNOTSUPP);
        let fall_back = unfit && piece.how != How::Buffered && self.settings.direct == Direct::Auto;
        if fall_back {
            let file = self.rows.row(piece.first).file;
            self.files.at(file).refuse_direct();
        }
        if fall_back || piece.end > piece.first + 1 {
            // One by one, it will be seen which of them it is.
            return self.split(piece);
        }
        self.fail(piece.first, piece.at, errno);
    }

    /// Do the ranges of a piece one by one, through the page cache.
    fn split(&mut self, piece: Piece) {
        for number in (piece.first..piece.end).rev() {
            let row = self.rows.row(number);
            let first = number == piece.first;
            let (at, part) = if first { (piece.at, piece.part) } else { (0, row.size) };
            self.files.at(row.file).users += 1;
            let piece = self.buffered(number, at, part, row.offset + at);
            self.again.push(piece);
        }
    }
}
