//! What a job of ranges is asked to be, and what it says of itself.

use crate::bulk::host::Host;
use crate::bulk::pump::{Pump, Way};
use crate::bulk::ranges::{Direct, Rows};
use crate::ring::error::RingError;
use crate::sys::Errno;

/// What a job is asked to be.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Past the page cache?
    pub direct: Direct,
    /// Requests under way at a time.
    pub depth: u32,
    /// Which ways are open.
    pub way: Way,
    /// Stop at the first range that fails.
    pub stop: bool,
}

/// Why a job came back.
#[derive(Debug)]
pub enum Step {
    /// It has ended.
    Done,
    /// Time to look for signals.
    Look,
    /// The ring failed.
    Failed(RingError),
}

/// A job on ranges, either way.
pub trait Transfer<H: Host> {
    /// Go on until all is done, or `until` (of the monotonic clock, in ns).
    fn go_on(&mut self, until: u64) -> Step;

    /// The pump, to close it and for its counts.
    fn pump(&mut self) -> &mut Pump<H>;

    /// The ranges.
    fn rows(&self) -> &Rows;

    /// What came of it.
    fn report(&mut self) -> &mut Report;
}

/// What came of the ranges.
#[derive(Debug, Default)]
pub struct Report {
    /// Bytes transferred of each, without a gap from its beginning.
    pub done: Vec<i64>,
    /// Those that the end of the file cut short, in no order, some perhaps more than once.
    pub eof: Vec<u32>,
    /// Those that failed, in the order in which that was found out.
    pub errors: Vec<(u32, Errno)>,
    /// Bytes written. (Those read are the sum of `done`.)
    pub bytes: u64,
    /// Flushes of files.
    pub flushes: u64,
    /// Files whose flush failed.
    pub unflushed: Vec<(u32, Errno)>,
    /// Requests that went past the page cache.
    pub direct: u64,
    /// Of those, the ones that went through memory of ours.
    pub bounced: u64,
    /// Requests that went through the page cache.
    pub buffered: u64,
    /// Ranges that were done together with the one before them.
    pub merged: u64,
}

impl Report {
    /// Range `row` ends here, whatever else is done of it.
    pub(super) fn cut(&mut self, row: u32, at: u64) {
        let done = &mut self.done[row as usize];
        *done = (*done).min(at as i64);
    }
}
