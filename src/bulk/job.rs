//! A pump together with the memory its works point at: neither goes without the other.

use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};

use crate::bulk::host::Host;
use crate::bulk::pump::Pump;

/// How long a job that is dropped waits for the system to let go of its memory. Whoever can wait
/// longer (and be interrupted) calls [`Pump::close`] before.
pub(super) const PATIENCE_NS: u64 = 1_000_000_000;

/// A pump and the memory `M` of its works. When it goes, the works are ended first; if that cannot
/// be seen in time, the memory is leaked, not freed (I2).
pub struct Job<H: Host, M> {
    pump: Pump<H>,
    memory: ManuallyDrop<M>,
}

impl<H: Host, M> Job<H, M> {
    /// Works of `pump` may point at `memory`.
    pub fn new(pump: Pump<H>, memory: M) -> Self {
        Job { pump, memory: ManuallyDrop::new(memory) }
    }

    /// Both, to use together.
    pub fn parts(&mut self) -> (&mut Pump<H>, &mut M) {
        (&mut self.pump, &mut self.memory)
    }

    /// The memory.
    pub fn memory(&mut self) -> &mut M {
        &mut self.memory
    }
}

impl<H: Host, M> Deref for Job<H, M> {
    type Target = Pump<H>;

    fn deref(&self) -> &Pump<H> {
        &self.pump
    }
}

impl<H: Host, M> DerefMut for Job<H, M> {
    fn deref_mut(&mut self) -> &mut Pump<H> {
        &mut self.pump
    }
}

impl<H: Host, M> Drop for Job<H, M> {
    fn drop(&mut self) {
        if self.pump.close(PATIENCE_NS) {
            // SAFETY: dropped once, here, and the works that pointed there have ended (I2).
            unsafe { ManuallyDrop::drop(&mut self.memory) };
        }
    }
}
