//! What becomes of a request that has ended.

use core::ptr;

use crate::bulk::host::Host;
use crate::bulk::ranges::read::{How, Piece, Reads};
use crate::bulk::ranges::Direct;
use crate::sys::Errno;

impl<H: Host, M> Reads<H, M> {
    /// A request has ended.
    pub(super) fn landed(&mut self, piece: Piece, slot: u32, result: i32) {
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
        let slots = self.pieces.len();
        let Some(bounce) = self.job.memory().bounce(slot, slots) else { return };
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
        if errno == Errno::EINTR {
            self.interrupted = true;
            return self.split(piece);
        }
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
    pub(super) fn split(&mut self, piece: Piece) {
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
