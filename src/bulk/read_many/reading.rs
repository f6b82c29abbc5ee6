//! Reading a file that is open: at once where it is small and cached, else in pieces; and finding the end
//! of one whose size is not known.

use crate::bulk::host::Host;
use crate::bulk::work::Work;
use crate::sys::Errno;

use super::file::{Memory, Piece};
use super::{Failure, ReadMany, Ticket, PIECE_BIT, SMALL, TRIES};

/// Larger files are read in pieces of this size,
const PIECE: u64 = 1 << 20;
/// of which so many are under way for one file.
const PIECES: u32 = 4;

impl<H: Host, T: Ticket> ReadMany<H, T> {
    /// It is open, and likely to be small and cached: read it before asking what it is. True if that
    /// is all of it. A file that ends where the read ended needs no more system calls: whoever has no
    /// end (FIFOs, terminals) or another (devices) fails the comparison.
    pub(super) fn read_at_once(&mut self, index: u32) -> bool {
        let room = SMALL as u64;
        let (pump, table) = self.job.parts();
        let Some(file) = table.get(index) else { return true };
        let next = self.barrier.is_none() && self.order.is_next(file.number);
        if !next || !self.window.reserve(room, 0) {
            return false;
        }
        file.reserved = room;
        let mut block = self.blocks.pop().unwrap_or_default();
        if block.try_reserve_exact(SMALL).is_ok() {
            let (fd, addr) = (file.fd, block.as_mut_ptr());
            let work = Work::Read { fd, addr, len: SMALL as u32, offset: 0 };
            // SAFETY: as much room as that, and nobody else's (I5).
            let result = unsafe { pump.attempt(&work) };
            file.missed = result.is_none();
            let len = result.unwrap_or(0).max(0) as u64;
            if 0 < len && len < room && pump.host().end_of(file.fd) == Ok(len) {
                (file.want, file.end, file.memory) = (len, len, Memory::Own(block));
                self.succeed(index);
                return true;
            }
        }
        file.reserved = 0;
        self.window.release(room);
        self.recycle(block);
        false
    }

    /// Ask for what is left of a file, as far as there is room; see to it if nothing is.
    pub(super) fn ask(&mut self, index: u32) {
        loop {
            let (pump, table) = self.job.parts();
            let Some(file) = table.get(index) else { return };
            let pieces = if file.unsized_ { 1 } else { PIECES };
            if !file.hungry() {
                if file.under_way == 0 {
                    self.all_read(index);
                }
                return;
            }
            if file.under_way >= pieces {
                return;
            }
            if !pump.has_room() {
                self.hungry.push_back(index);
                return;
            }
            let (at, end) = (file.asked, file.want.min(file.asked + PIECE));
            file.asked = end;
            file.under_way += 1;
            let piece = table.cut(Piece { file: index, at, end, tries: 0, probe: false });
            self.read_piece(piece);
        }
    }

    /// Read what is left of a piece. True if it is done already.
    fn read_piece(&mut self, piece: u32) -> bool {
        loop {
            let (pump, table) = self.job.parts();
            let Some((work, says_not_to_wait, missed)) = table.reading(piece) else { return true };
            // SAFETY: the job keeps the memory (I2).
            let done = if missed { None } else { unsafe { pump.attempt(&work) } };
            if let Some(result) = done {
                if self.piece_got(piece, result) {
                    return true;
                }
                continue;
            }
            if says_not_to_wait {
                self.let_it_wait(piece);
            }
            let (pump, _) = self.job.parts();
            // SAFETY: as above.
            unsafe { pump.begin(work, u64::from(piece) << 1 | PIECE_BIT) };
            return false;
        }
    }

    #[cold]
    fn let_it_wait(&mut self, piece: u32) {
        let (pump, table) = self.job.parts();
        let Some(piece) = table.piece(piece).copied() else { return };
        let Some(file) = table.get(piece.file) else { return };
        file.waits = true;
        pump.host().let_it_wait(file.fd);
    }

    pub(super) fn piece_ended(&mut self, piece: u32, result: i32) {
        let Some(index) = self.job.memory().piece(piece).map(|piece| piece.file) else { return };
        if self.piece_got(piece, result) || self.read_piece(piece) {
            self.ask(index);
        }
    }

    /// A read of a piece came to this. True if the piece is done.
    fn piece_got(&mut self, index: u32, result: i32) -> bool {
        let table = self.job.memory();
        let Some(piece) = table.piece(index) else { return true };
        let cut_short = [-Errno::EINTR.0, -Errno::EAGAIN.0].contains(&result);
        if cut_short && piece.tries < TRIES {
            piece.tries += 1;
            return false;
        }
        let read = result.max(0) as u64;
        // More than there was room for is not believed.
        let absurd = read > piece.end - piece.at;
        if !absurd {
            piece.at += read;
        }
        let piece = *piece;
        let Some(file) = table.get(piece.file) else { return true };
        if result < 0 || absurd {
            let e = if absurd { Errno::EIO } else { Errno(-result) };
            file.failed.get_or_insert(Failure::Sys(e));
        } else if result == 0 {
            file.end = file.end.min(piece.at);
        } else if piece.at < piece.end {
            return false;
        }
        file.under_way -= 1;
        table.drop_piece(index);
        true
    }

    /// All that was asked for has come.
    fn all_read(&mut self, index: u32) {
        let Some(file) = self.job.memory().get(index) else { return };
        if let Some(failure) = file.failed {
            return self.fail(index, failure);
        }
        if file.unsized_ && file.end == u64::MAX {
            return self.go_past(index);
        }
        self.succeed(index);
    }

    /// A file of unknown size has filled the room there is: get more, or find out that it ends here.
    fn go_past(&mut self, index: u32) {
        let limit = self.window.limit();
        let Some(file) = self.job.memory().get(index) else { return };
        let given = matches!(file.memory, Memory::Given(_));
        if file.probe.is_some() {
            return self.fail(index, if given { Failure::NoRoom } else { Failure::TooBig });
        }
        if !given && (!limit.hard || file.want < limit.bytes) {
            self.growing = true;
            return self.grow();
        }
        file.probe = Some(Box::new(0));
        file.under_way = 1;
        let (at, end) = (file.want, file.want + 1);
        let piece = self.job.memory().cut(Piece { file: index, at, end, tries: 0, probe: true });
        if self.read_piece(piece) {
            self.all_read(index);
        }
    }

    /// Twice the memory for the file of unknown size, if it can be had now.
    pub(super) fn grow(&mut self) {
        let limit = self.window.limit();
        let Some(index) = self.barrier else { return };
        let Some(file) = self.job.memory().get(index) else { return };
        let most = if limit.hard { limit.bytes } else { u64::MAX };
        let want = file.want.saturating_mul(2).min(most);
        if !self.window.reserve(want - file.want, file.reserved) {
            return;
        }
        self.growing = false;
        let had = file.want;
        file.reserved = want;
        if let Memory::Own(own) = &mut file.memory {
            // SAFETY: so much was read into it, and nothing is under way (I2).
            unsafe { own.set_len(had as usize) };
            if own.try_reserve_exact((want - had) as usize).is_err() {
                file.failed = Some(Failure::NoMemory);
            }
        }
        file.want = want;
        self.hungry.push_back(index);
    }
}
