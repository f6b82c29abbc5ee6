//! Values of classes that Python can subclass.

use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};

/// A value that may not be there when its object is destroyed.
///
/// CPython makes an object of a subclass in two steps. Where there is no memory for the second one
/// (its `__dict__`), it destroys the object at once, before PyO3 has put the value in: the
/// destructor, and the collector meanwhile, find the zeros of fresh memory, which would be a null
/// pointer where Rust has none. All-zero bytes of this type are valid, and mean: no value.
pub(crate) struct Made<T> {
    value: MaybeUninit<T>,
    made: bool,
}

impl<T> Made<T> {
    pub(crate) fn new(value: T) -> Self {
        Made { value: MaybeUninit::new(value), made: true }
    }

    /// Is it there? Always, but in destructors and for the collector.
    pub(crate) fn is_there(&self) -> bool {
        self.made
    }
}

impl<T> Deref for Made<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        debug_assert!(self.made);
        // SAFETY: `new` is the only way to have one that is used; destructors and the collector ask
        // `is_there` first (I1).
        unsafe { self.value.assume_init_ref() }
    }
}

impl<T> DerefMut for Made<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        debug_assert!(self.made);
        // SAFETY: as above (I1).
        unsafe { self.value.assume_init_mut() }
    }
}

impl<T> Drop for Made<T> {
    fn drop(&mut self) {
        if self.made {
            // SAFETY: put in by `new`, and dropped once: here (I1).
            unsafe { self.value.assume_init_drop() }
        }
    }
}
