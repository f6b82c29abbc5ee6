//! What the requests of a job point at.

use crate::ring::region::Region;

/// Memory of ours for one request.
pub(super) const BOUNCE: u64 = 256 << 10;

/// What the caller keeps for the ranges, and memory of ours for those that are not aligned.
pub(super) struct Memory<M> {
    bounce: Option<Region>,
    _held: M,
}

impl<M> Memory<M> {
    pub(super) fn new(held: M) -> Self {
        Memory { bounce: None, _held: held }
    }

    /// The memory of ours that goes with one of so many slots. None: there is none to be had.
    pub(super) fn bounce(&mut self, slot: u32, slots: usize) -> Option<*mut u8> {
        if self.bounce.is_none() {
            self.bounce = Region::new(BOUNCE as usize * slots).ok();
        }
        let base = self.bounce.as_ref()?.base();
        // SAFETY: one part for each slot (I5: an address only).
        Some(unsafe { base.as_ptr().add(BOUNCE as usize * slot as usize) })
    }
}
