//! How many bytes of files may be held at once: those being read, and those read and not yet handed
//! out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

/// The bound on memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// So many bytes.
    pub bytes: u64,
    /// Never more, and a larger file is an error. Otherwise a larger file is read alone.
    pub hard: bool,
}

/// What is held, against its limit.
#[derive(Debug)]
pub(super) struct Window {
    limit: Limit,
    /// All that was ever reserved and not released.
    reserved: u64,
    /// All that was ever handed out, told by whoever does it.
    handed: Arc<AtomicU64>,
    peak: u64,
}

impl Window {
    pub(super) fn new(limit: Limit, handed: Arc<AtomicU64>) -> Self {
        Window { limit, reserved: 0, handed, peak: 0 }
    }

    pub(super) fn limit(&self) -> Limit {
        self.limit
    }

    pub(super) fn held(&self) -> u64 {
        self.reserved.saturating_sub(self.handed.load(Ordering::Acquire))
    }

    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    /// Can so much ever be had?
    pub(super) fn possible(&self, bytes: u64) -> bool {
        !self.limit.hard || bytes <= self.limit.bytes
    }

    /// Reserve `more` for somebody who has `own` already; false: not now.
    pub(super) fn reserve(&mut self, more: u64, own: u64) -> bool {
        let held = self.held();
        let fits = held.saturating_add(more) <= self.limit.bytes;
        if !fits && (self.limit.hard || held > own) {
            return false;
        }
        self.reserved = self.reserved.saturating_add(more);
        self.peak = self.peak.max(held.saturating_add(more));
        true
    }

    pub(super) fn release(&mut self, bytes: u64) {
        self.reserved = self.reserved.saturating_sub(bytes);
    }
}
