//! Stock of dead objects for the two raw types, reused without going to the allocator.
//!
//! A stocked object keeps its reference to its type, so taking one out is a pop and a store: no
//! call into the interpreter, and about half the price of allocating.

use std::cell::UnsafeCell;
use std::mem::size_of;
use std::ptr::NonNull;

use pyo3::ffi;
use pyo3::Python;

/// Whether this interpreter has a GIL, which is what makes the unlocked statics here sound.
///
/// Read off the object header, since PyO3 tells its own `Py_GIL_DISABLED` to nobody: a reference
/// count and a type make two words, and every build that adds to the header (free-threaded, and
/// the old `Py_TRACE_REFS`, which wants to see every birth) also wants no freelist.
pub(crate) const GIL_BUILD: bool = size_of::<ffi::PyObject>() == 2 * size_of::<usize>();

struct Stock<const N: usize> {
    len: usize,
    objects: [*mut ffi::PyObject; N],
}

/// Up to `N` dead objects of one type. Empty for ever where there is no GIL.
pub(crate) struct Freelist<const N: usize>(UnsafeCell<Stock<N>>);

// SAFETY: both methods want proof of being attached and touch the stock only under `GIL_BUILD`;
// neither calls Python while it does (I6), so the GIL makes every access exclusive. PyO3 modules
// refuse sub-interpreters, so there is one GIL.
unsafe impl<const N: usize> Sync for Freelist<N> {}

impl<const N: usize> Freelist<N> {
    /// An empty freelist.
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new(Stock { len: 0, objects: [std::ptr::null_mut(); N] }))
    }

    /// An object with a reference count of one and its type reference, all else as it died.
    #[inline]
    pub(crate) fn take(&self, _py: Python<'_>) -> Option<NonNull<ffi::PyObject>> {
        if !GIL_BUILD {
            return None;
        }
        // SAFETY: the GIL is held and no other borrow of the stock lives (see `Sync` above).
        let stock = unsafe { &mut *self.0.get() };
        let len = stock.len.checked_sub(1)?;
        let object = *stock.objects.get(len)?;
        stock.len = len;
        // SAFETY: `object` came from `give`, so it is allocated and nobody refers to it; in a GIL
        // build the count is the first word (with the flag bits of 3.14, which are born zero).
        unsafe { object.cast::<isize>().write(1) };
        NonNull::new(object)
    }

    /// Keeps a dead object for `take`; false if it is not wanted and has to be freed.
    ///
    /// # Safety
    /// `object` must be a dead instance of the one type this freelist serves, untracked, owning
    /// nothing but its reference to that type, and not be used again by the caller if kept.
    #[inline]
    pub(crate) unsafe fn give(&self, _py: Python<'_>, object: *mut ffi::PyObject) -> bool {
        if !GIL_BUILD {
            return false;
        }
        // SAFETY: the GIL is held and no other borrow of the stock lives (see `Sync` above).
        let stock = unsafe { &mut *self.0.get() };
        let Some(place) = stock.objects.get_mut(stock.len) else { return false };
        *place = object;
        stock.len += 1;
        true
    }
}
