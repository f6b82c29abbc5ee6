//! Equal pieces of page-aligned memory, used again and again.

use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use crate::ring::region::Region;
use crate::sys::direct::advise_huge;
use crate::sys::Errno;

/// From so many bytes on, huge pages save more time than they cost.
const HUGE: usize = 2 << 20;

/// Where pieces lie that nobody uses.
pub struct Shelf {
    size: usize,
    most: usize,
    free: Mutex<Vec<Region>>,
}

/// A piece. It goes back to its shelf when dropped, or to the system if that has enough.
pub struct Piece {
    region: ManuallyDrop<Region>,
    shelf: Arc<Shelf>,
}

impl Shelf {
    /// For pieces of `size` bytes, of which it keeps at most so many.
    pub fn new(size: usize, most: usize) -> Arc<Self> {
        Arc::new(Shelf { size, most, free: Mutex::default() })
    }

    /// A piece, a new one if none lies there.
    pub fn take(self: &Arc<Self>) -> Result<Piece, Errno> {
        // Nothing below panics while it holds the lock; if it did, the list is whole all the same.
        let found = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let region = match found {
            Some(region) => region,
            None => self.make()?,
        };
        Ok(Piece { region: ManuallyDrop::new(region), shelf: Arc::clone(self) })
    }

    fn make(&self) -> Result<Region, Errno> {
        let region = Region::new(self.size).map_err(|_| Errno::ENOMEM)?;
        if self.size >= HUGE {
            // SAFETY: a private mapping of ours (I1).
            unsafe { advise_huge(region.base(), region.size()) };
        }
        Ok(region)
    }
}

impl Piece {
    /// Its first byte.
    pub fn base(&self) -> NonNull<u8> {
        self.region.base()
    }

    /// Its bytes.
    pub fn size(&self) -> usize {
        self.region.size()
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // SAFETY: taken once, here; nobody refers to the piece any more (I2).
        let region = unsafe { ManuallyDrop::take(&mut self.region) };
        let mut free = self.shelf.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < self.shelf.most {
            free.push(region);
        }
    }
}
