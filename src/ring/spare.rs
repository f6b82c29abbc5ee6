//! Memory for slots that can grow, kept from one ring for the next.
//!
//! A reservation costs three system calls and the faults of its first pages, a sixth of what making
//! and closing a ring costs. Programs that make many rings one after the other make them alike.

use std::ptr::NonNull;
use std::sync::Mutex;

use crate::sys::syscall;

struct Spare {
    address: NonNull<u8>,
    reserved: usize,
    usable: usize,
}

// SAFETY: memory that nobody uses; whoever takes it owns it (I1).
unsafe impl Send for Spare {}

/// One, and never waited for: where it is in use, memory is made and unmapped as if it were not
/// there. That also holds in a child forked while another thread had it.
static KEPT: Mutex<Option<Spare>> = Mutex::new(None);

/// `reserved` bytes of addresses, of which the first `usable` are zeroed memory.
pub(super) fn take(reserved: usize, usable: usize) -> Option<NonNull<u8>> {
    let mut kept = KEPT.try_lock().ok()?;
    let fits = kept.as_ref().is_some_and(|s| s.reserved == reserved && s.usable == usable);
    if !fits {
        return None;
    }
    kept.take().map(|spare| spare.address)
}

/// Give back what [`take`] or `map_reserved` gave: kept or unmapped.
///
/// # Safety
/// Nobody may use it any more; its first `usable` bytes are usable memory, and of these only the
/// first `written` are not zero.
pub(super) unsafe fn give_back(
    address: NonNull<u8>,
    reserved: usize,
    usable: usize,
    written: usize,
) {
    if let (Ok(mut kept), true) = (KEPT.try_lock(), written <= MOST_TO_CLEAR) {
        if kept.is_none() {
            // SAFETY: the caller's contract (I8).
            unsafe { address.write_bytes(0, written) };
            *kept = Some(Spare { address, reserved, usable });
            return;
        }
    }
    // SAFETY: the caller's contract (I8).
    unsafe { syscall::unmap(address, reserved) };
}

/// Clearing more takes longer than new pages do.
const MOST_TO_CLEAR: usize = 64 * 1024;
