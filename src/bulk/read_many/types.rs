//! What goes into the engine and comes out of it.

use core::ffi::c_char;

use crate::bulk::pump::Way;
use crate::sys::Errno;

use super::Limit;

/// Memory for a file.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Where it begins.
    pub addr: *mut u8,
    /// Its bytes.
    pub len: usize,
}

// SAFETY: memory that whoever gave it leaves alone until it gets it back (I2).
unsafe impl Send for Place {}

/// What stands for a file: the caller's.
///
/// # Safety
/// The path must be null or a string that ends with a zero byte, and the place writable memory that nobody
/// else uses; both must stay where they are, and be live, as long as the ticket lives, wherever that
/// is moved.
pub unsafe trait Ticket: Send {
    /// The path; null if there is none, and the file cannot be read (EINVAL).
    fn path(&self) -> *const c_char;
    /// Memory to read into, if there is any yet.
    fn place(&self) -> Option<Place>;
}

/// Why a file could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The system says so.
    Sys(Errno),
    /// It is a FIFO, a socket, a device.
    NotRegular,
    /// It is larger than the hard limit.
    TooBig,
    /// It is larger than the memory given for it.
    NoRoom,
    /// There is no memory for it here, as opposed to a kernel that says ENOMEM of a request.
    NoMemory,
}

impl Failure {
    /// The errno that says it.
    pub fn errno(self) -> Errno {
        match self {
            Failure::Sys(errno) => errno,
            Failure::NotRegular => Errno::EINVAL,
            Failure::TooBig => Errno::EFBIG,
            Failure::NoRoom => Errno::ENOBUFS,
            Failure::NoMemory => Errno::ENOMEM,
        }
    }
}

/// Where the bytes of a file are.
#[derive(Debug, PartialEq, Eq)]
pub enum Contents {
    /// Here.
    Own(Vec<u8>),
    /// So many of them at the beginning of the ticket's place.
    Given(usize),
}

impl Contents {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Contents::Own(own) => own.len(),
            Contents::Given(len) => *len,
        }
    }

    /// None?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A file that has been read, or could not be.
pub struct Done<T> {
    /// What the caller gave.
    pub ticket: T,
    /// What came of it.
    pub result: Result<Contents, Failure>,
}

impl<T> Done<T> {
    pub(super) fn bytes(&self) -> u64 {
        self.result.as_ref().map_or(0, |contents| contents.len() as u64)
    }
}

/// How to go about it.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Files, and requests, under way at a time.
    pub in_flight: u32,
    /// Which ways are open.
    pub way: Way,
    /// Results in the order of the input.
    pub in_order: bool,
    /// The bound on memory; not used where tickets come with places.
    pub limit: Limit,
    /// Tickets come with places.
    pub given: bool,
    /// The directory that relative paths start from, or AT_FDCWD.
    pub dir: i32,
}

/// How many files there were, and so on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Files read.
    pub files: u64,
    /// Files that could not be read.
    pub failed: u64,
    /// Bytes read.
    pub bytes: u64,
}
