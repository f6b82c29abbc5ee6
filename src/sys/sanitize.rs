//! What a build under a sanitizer (`--cfg sanitized`, see `.ci/sessions/sanitize.py`) tells it.
//! Nothing of this exists in a normal build.

use core::ffi::c_void;
use core::ptr::NonNull;

extern "C" {
    fn __lsan_register_root_region(begin: *const c_void, size: usize);
    fn __lsan_unregister_root_region(begin: *const c_void, size: usize);
    fn __lsan_ignore_object(object: *const c_void);
}

/// Pointers may be kept in this memory, which no allocator gave out: what they point at is no leak.
pub fn holds_pointers(memory: NonNull<u8>, len: usize) {
    // SAFETY: only the addresses are taken note of (I1).
    unsafe { __lsan_register_root_region(memory.as_ptr().cast(), len) }
}

/// Undo [`holds_pointers`], before the memory goes.
pub fn holds_no_pointers(memory: NonNull<u8>, len: usize) {
    // SAFETY: as above (I1).
    unsafe { __lsan_unregister_root_region(memory.as_ptr().cast(), len) }
}

/// A piece of heap memory that stays for ever, with all it points at, because the system may still
/// use it (I2): a leak that is meant.
pub fn leaked(memory: *const u8) {
    // SAFETY: as above (I1).
    unsafe { __lsan_ignore_object(memory.cast()) }
}
