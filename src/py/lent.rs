//! Memory that is lent to Python until it is given back: how often it is in use just now.
//!
//! Looking whether anybody uses it and giving it back are one step, and so are looking whether it
//! was given back and beginning to use it. With a GIL that could be two; without one, another thread
//! would get a view of memory that somebody else has by then.

use std::sync::atomic::{AtomicU64, Ordering};

/// Given back.
const BACK: u64 = 1 << 63;

/// One use of memory, in the count of its kind.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(crate) enum By {
    /// A view through the buffer protocol.
    View = 1,
    /// A request.
    Request = 1 << 32,
}

/// Why memory was not given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kept {
    /// It was already.
    Already,
    /// A view of it exists.
    Viewed,
    /// A request uses it.
    Requested,
}

/// The uses of one piece of memory.
#[derive(Default)]
pub(crate) struct Lent(AtomicU64);

impl Lent {
    /// One more use; false if it was given back.
    pub(crate) fn enter(&self, by: By) -> bool {
        let one_more = |uses| (uses & BACK == 0).then_some(uses + by as u64);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok()
    }

    /// A use is over.
    pub(crate) fn leave(&self, by: By) {
        self.0.fetch_sub(by as u64, Ordering::AcqRel);
    }

    /// Give it back, if nobody uses it. Whoever gets Ok is the one who has.
    pub(crate) fn end(&self) -> Result<(), Kept> {
        let ended = self.0.compare_exchange(0, BACK, Ordering::AcqRel, Ordering::Acquire);
        ended.map(drop).map_err(|uses| match uses {
            _ if uses & BACK != 0 => Kept::Already,
            _ if uses >= By::Request as u64 => Kept::Requested,
            _ => Kept::Viewed,
        })
    }

    /// What was ended by the caller just now came to nothing: it is lent still.
    pub(crate) fn resume(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// Was it given back?
    pub(crate) fn is_back(&self) -> bool {
        self.0.load(Ordering::Acquire) & BACK != 0
    }
}
