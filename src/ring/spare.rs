//! Memory for slots that can grow, kept from one ring for the next.
//!
//! A reservation costs three system calls and the faults of its first pages, a sixth of what making
//! and closing a ring costs. Programs that make many rings one after the other make them alike.

use std::ptr::NonNull;
use std::sync::Mutex;

use crate::sys::syscall;

pub(super) struct Spare {
    address: NonNull<u8>,
    reserved: usize,
    usable: usize,
}

// SAFETY: memory that nobody uses; whoever takes it owns it (I1).
unsafe impl Send for Spare {}

/// One piece of memory, and never waited for: where it is in use, memory is made and unmapped as if
/// it were not there. That also holds in a child forked while another thread had it.
pub(super) struct Shelf(Mutex<Option<Spare>>);

/// The one of the process.
pub(super) static SHELF: Shelf = Shelf(Mutex::new(None));

impl Shelf {
    /// `reserved` bytes of addresses, of which the first `usable` are zeroed memory.
    pub(super) fn take(&self, reserved: usize, usable: usize) -> Option<NonNull<u8>> {
        let mut kept = self.0.try_lock().ok()?;
        let fits = kept.as_ref().is_some_and(|s| s.reserved == reserved && s.usable == usable);
        if !fits {
            return None;
        }
        kept.take().map(|spare| spare.address)
    }

    /// Give back what [`Shelf::take`] or `map_reserved` gave: kept or unmapped.
    ///
    /// # Safety
    /// Nobody may use it any more; its first `usable` bytes are usable memory, and of these only
    /// the first `written` are not zero.
    pub(super) unsafe fn give_back(
        &self,
        address: NonNull<u8>,
        reserved: usize,
        usable: usize,
        written: usize,
    ) {
        if let (Ok(mut kept), true) = (self.0.try_lock(), written <= MOST_TO_CLEAR) {
            if kept.is_none() {
                // SAFETY: the caller's contract (I8).
                unsafe { address.write_bytes(0, written) };
                *kept = Some(Spare { address, reserved, usable });
                return;
            }
        }
        // SAFETY: the caller's contract (I8).
        unsafe { syscall::unmap_reserved(address, reserved) };
    }
}

/// Clearing more takes longer than new pages do.
const MOST_TO_CLEAR: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const RESERVED: usize = 1 << 20;
    const USABLE: usize = 1 << 18;

    fn memory() -> NonNull<u8> {
        let address = syscall::map_reserved(RESERVED).unwrap();
        // SAFETY: reserved just now, for more (I1).
        unsafe { syscall::make_usable(address, USABLE).unwrap() };
        address
    }

    #[test]
    fn what_comes_back_is_zero_and_of_the_size_asked_for() {
        let shelf = Shelf(Mutex::new(None));
        assert_eq!(shelf.take(RESERVED, USABLE), None);
        let address = memory();
        for written in [MOST_TO_CLEAR, 1, 0] {
            // SAFETY: ours, and nobody else's (I1, I8).
            unsafe {
                address.write_bytes(0xff, written);
                shelf.give_back(address, RESERVED, USABLE, written);
            }
            assert_eq!(shelf.take(RESERVED / 2, USABLE), None);
            assert_eq!(shelf.take(RESERVED, USABLE / 2), None);
            assert_eq!(shelf.take(RESERVED, USABLE), Some(address));
            assert_eq!(shelf.take(RESERVED, USABLE), None, "it is given out once");
            // SAFETY: usable memory of ours (I1).
            let bytes = unsafe { std::slice::from_raw_parts(address.as_ptr(), USABLE) };
            assert!(bytes.iter().all(|byte| *byte == 0), "after {written} bytes");
        }
        // SAFETY: ours (I8).
        unsafe { syscall::unmap_reserved(address, RESERVED) };
    }

    #[test]
    fn what_does_not_fit_is_unmapped() {
        let shelf = Shelf(Mutex::new(None));
        let (first, second, third) = (memory(), memory(), memory());
        // SAFETY: ours, and nobody else's (I8).
        unsafe {
            shelf.give_back(first, RESERVED, USABLE, MOST_TO_CLEAR + 1);
            shelf.give_back(second, RESERVED, USABLE, 0);
            shelf.give_back(third, RESERVED, USABLE, 0);
        }
        assert_eq!(shelf.take(RESERVED, USABLE), Some(second));
        assert_eq!(shelf.take(RESERVED, USABLE), None);
        // SAFETY: ours (I8).
        unsafe { syscall::unmap_reserved(second, RESERVED) };
    }
}
