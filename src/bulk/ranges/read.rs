//! Reads ranges.

use crate::bulk::host::Host;
use crate::bulk::job::Job;
use crate::bulk::pump::{Options, Pump};
use crate::bulk::ranges::files::{Files, Source};
use crate::bulk::ranges::memory::Memory;
use crate::bulk::ranges::warmth::{is_cached, Hope, Warmth};
use crate::bulk::ranges::{Direct, Report, Row, Rows, Settings, Step, Transfer};
use crate::bulk::work::{Ended, Work};
use crate::sys::os::O_RDONLY;
use crate::sys::syscall::monotonic_ns;
use crate::sys::Errno;

/// The most that one request reads.
pub(super) const CHUNK: u64 = 1 << 20;
/// Samples for how much is cached.
const SAMPLES: u32 = 12;
/// How long one wait takes at most.
pub(super) const NAP_NS: u64 = 50_000_000;
/// So many bytes or ranges are read at once before the clock is looked at.
const LOOK_BYTES: u64 = 8 << 20;
const LOOK_ROWS: u32 = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
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
pub(super) struct Piece {
    pub(super) first: u32,
    pub(super) end: u32,
    /// Where in the first range it begins.
    pub(super) at: u64,
    /// How much of the first range it is.
    pub(super) part: u64,
    /// What is read of the file.
    pub(super) offset: u64,
    pub(super) len: u32,
    pub(super) how: How,
}

/// A job that reads ranges. `M` is what keeps their memory.
pub struct Reads<H: Host, M> {
    // Before the files: when it goes, nothing is under way on them.
    pub(super) job: Job<H, Memory<M>>,
    pub(super) host: H,
    pub(super) files: Files<H>,
    pub(super) rows: Rows,
    pub(super) settings: Settings,
    warmth: Warmth,
    /// Misses in a row of what was said to be there: RWF_NOWAIT does not work here.
    refusals: u32,
    /// The range that comes next, and how much of it has come.
    pub(super) next: u32,
    pub(super) at: u64,
    /// Parts that came short.
    pub(super) again: Vec<Piece>,
    pub(super) pieces: Vec<Piece>,
    free: Vec<u32>,
    ended: Vec<Ended>,
    /// No descriptor was free: something must end first.
    stalled: bool,
    /// A signal cut something short: whoever called is to look at it before that is tried again.
    pub(super) interrupted: bool,
    pub(super) report: Report,
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
            job: Job::new(pump, Memory::new(held)),
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
            interrupted: false,
            report: Report { done: rows.sizes(), ..Report::default() },
            rows,
            settings: Settings { depth, ..settings },
        };
        reads.sample();
        reads
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
            if core::mem::take(&mut self.interrupted) {
                return true;
            }
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
        if errno == Errno::EINTR {
            self.interrupted = true;
            return;
        }
        let short = matches!(errno, Errno::EMFILE | Errno::ENFILE);
        if short && self.job.in_flight() > 0 {
            self.stalled = true;
            return;
        }
        self.fail(self.next, 0, errno);
        self.pass(row.file);
    }

    /// So much of the next range has come up.
    pub(super) fn take_part(&mut self, row: Row, part: u64) {
        self.at += part;
        if self.at >= row.size {
            self.pass(row.file);
        }
    }

    pub(super) fn pass(&mut self, file: u32) {
        self.files.row_passed(file);
        (self.next, self.at) = (self.next + 1, 0);
    }

    pub(super) fn fail(&mut self, row: u32, at: u64, errno: Errno) {
        self.report.cut(row, at);
        self.report.errors.push((row, errno));
    }

    pub(super) fn buffered(&self, row: u32, at: u64, part: u64, offset: u64) -> Piece {
        let (first, end, len) = (row, row + 1, part as u32);
        Piece { first, end, at, part, offset, len, how: How::Buffered }
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
            How::Bounce => {
                let slots = self.pieces.len();
                self.job.memory().bounce(slot, slots)?
            }
            How::Straight | How::Buffered => (row.addr + piece.at) as *mut u8,
        };
        let file = self.files.at(row.file);
        let fd = if piece.how == How::Buffered { file.fd } else { file.direct_fd() };
        Some(Work::Read { fd, addr, len: piece.len, offset: piece.offset })
    }
}

impl<H: Host, M> Transfer<H> for Reads<H, M> {
    fn go_on(&mut self, until: u64) -> Step {
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
