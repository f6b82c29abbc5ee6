//! A file on its way, and the table of all that are.

use crate::bulk::work::Work;
use crate::sys::os::{O_NONBLOCK, O_RDONLY};

use super::{Failure, Place, Ticket};

/// Where a file's bytes go.
pub(super) enum Memory {
    /// Not decided yet.
    None,
    /// Memory of ours, of this much room; its length is set when all is read.
    Own(Vec<u8>),
    /// The ticket's.
    Given(Place),
}

impl Memory {
    /// Where byte `at` goes.
    fn address(&mut self, at: u64) -> *mut u8 {
        match self {
            Memory::None => core::ptr::null_mut(),
            // Within the room that was asked for, so the same allocation (I5: no reference).
            Memory::Own(own) => own.as_mut_ptr().wrapping_add(at as usize),
            Memory::Given(place) => place.addr.wrapping_add(at as usize),
        }
    }
}

pub(super) struct File<T> {
    pub(super) ticket: T,
    /// Its place in the input.
    pub(super) number: u64,
    /// -1 until it is open.
    pub(super) fd: i32,
    pub(super) flags: i32,
    pub(super) memory: Memory,
    /// Its size is not known beforehand (/proc), or it is empty.
    pub(super) unsized_: bool,
    /// Read so far.
    pub(super) want: u64,
    /// The first byte that was not asked for.
    pub(super) asked: u64,
    /// The lowest offset that is known to be at or past the end.
    pub(super) end: u64,
    pub(super) under_way: u32,
    pub(super) reserved: u64,
    pub(super) failed: Option<Failure>,
    /// Reads of it wait in a ring, too.
    pub(super) waits: bool,
    pub(super) tries: u8,
    /// It was tried at once, and would have had to wait: trying again would only send its request to
    /// the disk alone, ahead of those that a ring sends there together.
    pub(super) missed: bool,
    /// One byte past the room there is, to tell whether the file ends there.
    pub(super) probe: Option<Box<u8>>,
}

impl<T: Ticket> File<T> {
    pub(super) fn new(ticket: T, number: u64) -> Self {
        File {
            ticket,
            number,
            fd: -1,
            // Opening a FIFO must not wait for somebody who writes to it.
            flags: O_RDONLY | O_NONBLOCK,
            memory: Memory::None,
            unsized_: false,
            want: 0,
            asked: 0,
            end: u64::MAX,
            under_way: 0,
            reserved: 0,
            failed: None,
            waits: false,
            tries: 0,
            missed: false,
            probe: None,
        }
    }

    pub(super) fn opening(&self, dir: i32) -> Work {
        Work::Open { dir, path: self.ticket.path(), flags: self.flags, mode: 0 }
    }

    /// Is there something left to ask for?
    pub(super) fn hungry(&self) -> bool {
        self.failed.is_none() && self.asked < self.want.min(self.end)
    }
}

/// A part of a file that is being read.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    pub(super) file: u32,
    pub(super) at: u64,
    pub(super) end: u64,
    pub(super) tries: u8,
    pub(super) probe: bool,
}

/// All that works point at, and what is known of it.
pub(super) struct Table<T> {
    files: Vec<Option<File<T>>>,
    free_files: Vec<u32>,
    pieces: Vec<Piece>,
    free_pieces: Vec<u32>,
}

impl<T: Ticket> Table<T> {
    pub(super) fn new() -> Self {
        Table {
            files: Vec::new(),
            free_files: Vec::new(),
            pieces: Vec::new(),
            free_pieces: Vec::new(),
        }
    }

    pub(super) fn insert(&mut self, file: File<T>) -> u32 {
        match self.free_files.pop() {
            Some(index) => {
                self.files[index as usize] = Some(file);
                index
            }
            None => {
                self.files.push(Some(file));
                self.files.len() as u32 - 1
            }
        }
    }

    pub(super) fn get(&mut self, index: u32) -> Option<&mut File<T>> {
        self.files.get_mut(index as usize)?.as_mut()
    }

    /// Only of a file that nothing is under way for (I2).
    pub(super) fn remove(&mut self, index: u32) -> Option<File<T>> {
        let file = self.files.get_mut(index as usize)?.take()?;
        debug_assert_eq!(file.under_way, 0);
        self.free_files.push(index);
        Some(file)
    }

    pub(super) fn all(&mut self) -> impl Iterator<Item = &mut File<T>> {
        self.files.iter_mut().flatten()
    }

    pub(super) fn cut(&mut self, piece: Piece) -> u32 {
        match self.free_pieces.pop() {
            Some(index) => {
                self.pieces[index as usize] = piece;
                index
            }
            None => {
                self.pieces.push(piece);
                self.pieces.len() as u32 - 1
            }
        }
    }

    pub(super) fn piece(&mut self, index: u32) -> Option<&mut Piece> {
        self.pieces.get_mut(index as usize)
    }

    pub(super) fn drop_piece(&mut self, index: u32) {
        self.free_pieces.push(index);
    }

    /// The read that is left of a piece, whether the descriptor still says not to wait, and whether it
    /// is known to have to.
    pub(super) fn reading(&mut self, index: u32) -> Option<(Work, bool, bool)> {
        let piece = *self.pieces.get(index as usize)?;
        let file = self.files.get_mut(piece.file as usize)?.as_mut()?;
        let addr = match &mut file.probe {
            Some(byte) if piece.probe => core::ptr::from_mut(&mut **byte),
            _ => file.memory.address(piece.at),
        };
        let len = (piece.end - piece.at) as u32;
        let work = Work::Read { fd: file.fd, addr, len, offset: piece.at };
        Some((work, !file.waits, file.missed))
    }
}
