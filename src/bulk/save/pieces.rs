//! The pieces of a file that are under way, and how it is opened.

use std::ffi::CString;

use super::{Direct, Owner, Piece, Plan, Save, Stage, STEP, SYNC_TOKEN, TRIES};
use crate::bulk::directories::Directories;
use crate::bulk::new_file::{How, Names, NewFile};
use crate::bulk::store::Store;
use crate::bulk::work::{Ended, Work};
use crate::ring::error::RingError;
use crate::sys::errno::uninterrupted;
use crate::sys::os::O_DIRECT;
use crate::sys::Errno;

impl<H: Store, M> Save<H, M> {
    pub(super) fn issue(&mut self, addr: *const u8, len: u64, owner: Owner) -> Result<(), Errno> {
        let offset = self.offset;
        self.offset += len;
        if self.offset > self.allocated && self.plan.size.is_none() {
            // Writes within a file run beside each other, those that make it longer do not. If
            // there is no room for the step, there may be for the data.
            let _ = self.allocate_up_to(self.offset.max(self.allocated + STEP));
        }
        let piece = Piece { addr, len, offset, done: 0, tries: 0, owner };
        let free = self.pieces.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.pieces.push(None);
            self.pieces.len() - 1
        });
        self.pieces[index] = Some(piece);
        self.start_piece(index)
    }

    pub(super) fn allocate_up_to(&mut self, size: u64) -> Result<(), Errno> {
        let from = self.allocated;
        let size = self.round_up(size);
        self.allocated = size;
        match self.host.set_aside(self.fd(), from, size - from) {
            Err(errno @ (Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG | Errno::EIO)) => Err(errno),
            // A file system that cannot, or a signal: it was only for speed.
            _ => Ok(()),
        }
    }

    pub(super) fn start_piece(&mut self, index: usize) -> Result<(), Errno> {
        while let Some(piece) = self.pieces[index] {
            let (addr, len) =
                (piece.addr.wrapping_add(piece.done as usize), piece.len - piece.done);
            let offset = piece.offset + piece.done;
            let work = Work::Write { fd: self.fd(), addr, len: len as u32, offset };
            // SAFETY: the source or the buffer is held until the piece is through (I2).
            match unsafe { self.pump().start(work, index as u64) } {
                Some(result) => self.note(index, result)?,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Take the result of a piece's write down. It is gone when all of it is written.
    pub(super) fn note(&mut self, index: usize, result: i32) -> Result<(), Errno> {
        let Some(mut piece) = self.pieces[index] else { return Ok(()) };
        if result == -Errno::EINVAL.0 && self.plan.direct == Direct::May && piece.tries == 0 {
            // This file system says only now that it has no direct I/O, or not for this.
            uninterrupted(|| self.host.leave_direct(self.fd()))?;
            self.left_direct = true;
            piece.tries = 1;
            self.pieces[index] = Some(piece);
            return Ok(());
        }
        let left = piece.len - piece.done;
        let block = self.direct.map_or(1, |(_, block)| block);
        let mut tries = TRIES - piece.tries;
        let moved = progress(result, left, &mut tries)?;
        piece.tries = TRIES - tries;
        // Direct writes begin at whole blocks: the last one may have to be written again.
        let moved = if moved == left { moved } else { moved / block * block };
        (piece.done, piece.tries) =
            (piece.done + moved, if moved > 0 { 0 } else { piece.tries + 1 });
        if piece.tries > TRIES {
            return Err(Errno::EIO);
        }
        let whole = piece.done == piece.len;
        self.pieces[index] = (!whole).then_some(piece);
        if whole {
            self.piece_through(&piece);
        }
        Ok(())
    }

    pub(super) fn piece_through(&mut self, piece: &Piece) {
        self.written += piece.len;
        match piece.owner {
            Owner::Bounce(index) => self.job.memory().bounces[index].free = true,
            Owner::Source(token) => {
                let in_use = self.sources.iter().any(|source| source.token == token)
                    || self.pieces.iter().flatten().any(|each| each.owner == piece.owner);
                if !in_use {
                    self.done.push(token);
                }
            }
        }
    }

    /// Wait for something to end.
    pub(super) fn reap(&mut self, nap_ns: u64) -> Result<Result<(), Errno>, RingError> {
        let mut ended = Vec::new();
        self.pump().wait(1, nap_ns, &mut ended)?;
        for Ended { token, result } in ended {
            let noted = if token == SYNC_TOKEN {
                self.synced(result)
            } else {
                let index = token as usize;
                self.note(index, result).and_then(|()| self.start_piece(index))
            };
            if noted.is_err() {
                return Ok(noted);
            }
        }
        Ok(Ok(()))
    }

    /// Give the file up; what was under its name before still is. True when the system has let go
    /// of all memory; false: call it again.
    pub fn give_up(&mut self, nap_ns: u64) -> bool {
        let ours = self.pump().same_process();
        let settled = self.pump().close(nap_ns);
        if let Some(file) = self.file.as_ref().filter(|_| ours && !self.disowned) {
            file.disown(&self.host, &self.dirs);
            self.disowned = true;
        }
        if settled || !ours {
            if let Some(file) = self.file.take() {
                file.forget(&self.host, &mut self.dirs);
            }
        }
        self.stage = Stage::Over;
        settled
    }

    pub(super) fn over(&mut self) {
        self.give_up(0);
    }
}

/// Bytes moved by a write, 0: try again. `tries` says how often that may be.
pub(super) fn progress(result: i32, most: u64, tries: &mut u8) -> Result<u64, Errno> {
    let again = [Errno::EINTR, Errno::EAGAIN].iter().any(|errno| result == -errno.0);
    if result > 0 {
        // A kernel that claims more than it was given is not believed.
        return Ok(most.min(result as u64));
    }
    if result < 0 && !again {
        return Err(Errno(-result));
    }
    *tries = tries.saturating_sub(1);
    if *tries == 0 {
        return Err(if result < 0 { Errno(-result) } else { Errno::EIO });
    }
    Ok(0)
}

/// The new file, and what direct I/O to it wants, if it will be that.
pub(super) fn open<H: Store>(
    host: &H,
    dirs: &mut Directories<H>,
    path: &CString,
    plan: &Plan,
) -> Result<(NewFile, Option<(u64, u64)>), Errno> {
    let mut names = Names::new();
    let path = path.as_bytes();
    if plan.direct == Direct::No {
        return Ok((NewFile::create(host, dirs, &mut names, path, plan.how)?, None));
    }
    let how = How { flags: plan.how.flags | O_DIRECT, ..plan.how };
    let file = match NewFile::create(host, dirs, &mut names, path, how) {
        Err(Errno::EINVAL) if plan.direct == Direct::May => {
            return Ok((NewFile::create(host, dirs, &mut names, path, plan.how)?, None));
        }
        file => file?,
    };
    let Some(needs) = host.direct_needs(file.fd()) else {
        // No direct I/O on this file, though it may be opened so.
        let left = match plan.direct {
            Direct::Must => Err(Errno::EINVAL),
            _ => uninterrupted(|| host.leave_direct(file.fd())),
        };
        if let Err(errno) = left {
            file.abandon(host, dirs);
            return Err(errno);
        }
        return Ok((file, None));
    };
    Ok((file, Some((needs.memory.into(), needs.offset.into()))))
}
