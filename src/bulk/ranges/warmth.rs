//! How much of what is read is in the page cache: found out by samples, at next to no cost.
//!
//! Asking before each read would cost a cached one a third of its time, and an attempt at what is
//! not cached (RWF_NOWAIT) makes the kernel begin to read it, and more besides, which the direct
//! read then does once more. So: while all is cached, each is attempted, unasked; while nothing is,
//! one in sixteen is asked about; in between, all are.

use crate::bulk::host::Host;
use crate::sys::syscall::page_size;

/// Full marks: everything lately was cached.
const ALL: u32 = 1 << 12;
/// Above this, attempts are made unasked.
const WARM: u32 = ALL - ALL / 16;
/// Below this, only some are asked about.
const COLD: u32 = ALL / 16;
/// The weight of what is new: a sixteenth.
const MEMORY: u32 = 16;
/// While all is cold, one in so many is asked about.
const ONE_IN: u32 = 16;
/// No more than so many bytes of a range are asked about.
pub(in crate::bulk) const LOOK: u64 = 128 << 10;

/// What can be expected of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bulk) enum Hope {
    None,
    /// By what was seen lately.
    Some,
    /// The kernel says that it is there.
    Told,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::bulk) struct Warmth {
    marks: u32,
    turn: u32,
    /// cachestat(2) is not there: what is asked about is attempted.
    blind: bool,
}

impl Warmth {
    /// `cached` of `asked` samples were cached; None if nobody can tell.
    pub(in crate::bulk) fn new(sampled: Option<(u32, u32)>) -> Self {
        let (marks, blind) = match sampled {
            Some((cached, asked)) => (ALL * cached / asked.max(1), false),
            None => (ALL, true),
        };
        Warmth { marks, turn: 0, blind }
    }

    /// Is it worth an attempt?
    #[inline]
    pub(in crate::bulk) fn expects<H: Host>(
        &mut self,
        host: &H,
        fd: i32,
        offset: u64,
        len: u64,
    ) -> Hope {
        if self.marks > WARM {
            return Hope::Some;
        }
        self.turn += 1;
        if self.marks < COLD && self.turn % ONE_IN != 0 {
            return Hope::None;
        }
        self.ask(host, fd, offset, len)
    }

    fn ask<H: Host>(&mut self, host: &H, fd: i32, offset: u64, len: u64) -> Hope {
        if self.blind {
            let worth = self.marks >= COLD || self.turn % (4 * ONE_IN) == 0;
            return if worth { Hope::Some } else { Hope::None };
        }
        match is_cached(host, fd, offset, len) {
            Some(true) => return Hope::Told,
            Some(false) => self.missed(),
            None => self.blind = true,
        }
        Hope::None
    }

    /// An attempt succeeded.
    #[inline]
    pub(in crate::bulk) fn hit(&mut self) {
        self.marks += (ALL - self.marks).div_ceil(MEMORY);
    }

    /// It was not cached.
    pub(in crate::bulk) fn missed(&mut self) {
        self.marks -= self.marks.div_ceil(MEMORY);
    }
}

/// Is the beginning of a range in the page cache? None: nobody can tell.
pub(in crate::bulk) fn is_cached<H: Host>(
    host: &H,
    fd: i32,
    offset: u64,
    len: u64,
) -> Option<bool> {
    let (page, len) = (page_size() as u64, len.clamp(1, LOOK));
    let pages = (offset + len).div_ceil(page) - offset / page;
    host.cached_pages(fd, offset, len).ok().map(|cached| cached >= pages)
}
