//! What is read next, when it has to come from the device: which part of a range, or which ranges
//! together, and how.

use crate::bulk::host::Host;
use crate::bulk::ranges::memory::BOUNCE;
use crate::bulk::ranges::read::{How, Piece, Reads, CHUNK};
use crate::bulk::ranges::{Direct, Row};
use crate::sys::direct::Alignment;
use crate::sys::Errno;

/// The most of a range that goes through memory of ours at a time.
const BOUNCE_PART: u64 = 128 << 10;
/// From so many bytes on, what is aligned of a range is read into its own place, and only what is
/// not goes through memory of ours. Below, copying costs less than one more request.
const EDGES: u64 = 64 << 10;
/// So many ranges at most are read together.
const TOGETHER: u32 = 1024;

impl<H: Host, M> Reads<H, M> {
    /// The next piece that has to come from the device.
    pub(super) fn cold(&mut self, row: Row) -> Result<Piece, Errno> {
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
                let fits = (more.offset + more.size).next_multiple_of(block) <= start + BOUNCE;
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
}
