//! Memory shared with the kernel by `IORING_REGISTER_MEM_REGION`, and the wait arguments in it:
//! what a wait is told then need not be copied from the caller's stack at each call.

use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::ring::error::{Call, RingError};
use crate::ring::kernel::Kernel;
use crate::ring::register::told;
use crate::sys::abi::{
    __kernel_timespec, io_uring_mem_region_reg, io_uring_reg_wait, io_uring_region_desc,
};
use crate::sys::consts::*;
use crate::sys::{syscall, Errno};

/// Whole pages of ours, page aligned and zeroed, until dropped. The kernel has its own hold on what
/// is registered with it, so a region may go before its ring.
pub struct Region {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: plain memory, reached through raw pointers only (I5).
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// At least `len` bytes.
    pub fn new(len: usize) -> Result<Self, RingError> {
        let len = len
            .checked_next_multiple_of(syscall::page_size())
            .ok_or(RingError::Sys(Call::Map, Errno::ENOMEM))?;
        let base = syscall::map_anonymous(len).map_err(|errno| RingError::Sys(Call::Map, errno))?;
        Ok(Region { base, len })
    }

    /// Register it with the ring `fd` (which `by_index` says may be an index), as one that holds wait arguments if `waits`: such a ring must
    /// not be enabled yet.
    pub fn register<K: Kernel>(
        &self,
        kernel: &K,
        fd: i32,
        by_index: u32,
        waits: bool,
    ) -> Result<(), RingError> {
        let mut desc = self.describe();
        let mut arg = io_uring_mem_region_reg {
            region_uptr: core::ptr::from_mut(&mut desc) as u64,
            flags: if waits { IORING_MEM_REGION_REG_WAIT_ARG } else { 0 },
            ..Default::default()
        };
        let arg = core::ptr::from_mut(&mut arg).cast();
        // SAFETY: both structures live for the call, and the memory is ours; the kernel pins its
        // pages, so it may even be unmapped before the ring is closed (I8).
        let done = unsafe { kernel.register(fd, IORING_REGISTER_MEM_REGION | by_index, arg, 1) };
        done.map(drop).map_err(|errno| told(kernel, IORING_REGISTER_MEM_REGION, errno))
    }

    /// As the kernel wants it described.
    pub fn describe(&self) -> io_uring_region_desc {
        io_uring_region_desc {
            user_addr: self.base.as_ptr() as u64,
            size: self.len as u64,
            flags: IORING_MEM_REGION_TYPE_USER,
            ..Default::default()
        }
    }

    /// Its first byte.
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Its bytes.
    pub fn size(&self) -> usize {
        self.len
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`; whoever uses the memory holds the region, and the kernel has
        // pinned the pages it uses (I8).
        unsafe { syscall::unmap(self.base, self.len) };
    }
}

/// As many threads can begin a wait at the same moment: one less than a page has room for, as Linux
/// (measured: 6.18) bounds an offset as if the last place were none, and reads the first one instead.
const PLACES: usize = 63;

/// A region of wait arguments.
pub struct WaitRegion {
    region: Region,
    /// A bit for each place that a thread is about to enter the kernel with.
    taken: AtomicU64,
}

/// The wait region of a ring that stays open while the reference is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitRegionRef(NonNull<WaitRegion>);

// SAFETY: the region may be used by any thread: places are taken atomically (I9).
unsafe impl Send for WaitRegionRef {}
// SAFETY: as above.
unsafe impl Sync for WaitRegionRef {}

impl WaitRegion {
    /// Make one for the ring `fd`, which is not enabled yet.
    pub fn register<K: Kernel>(kernel: &K, fd: i32) -> Result<Box<Self>, RingError> {
        let region = Region::new((PLACES + 1) * size_of::<io_uring_reg_wait>())?;
        region.register(kernel, fd, 0, true)?;
        Ok(Box::new(WaitRegion { region, taken: AtomicU64::new(0) }))
    }

    /// A name for it that plans carry; the ring keeps it until nobody runs a plan any more.
    pub fn as_ref(&self) -> WaitRegionRef {
        WaitRegionRef(NonNull::from(self))
    }

    fn take(&self) -> Option<usize> {
        loop {
            let taken = self.taken.load(Ordering::Relaxed);
            let place = (!taken).trailing_zeros() as usize;
            if place >= PLACES {
                return None;
            }
            let bit = 1 << place;
            if self.taken.fetch_or(bit, Ordering::Acquire) & bit == 0 {
                return Some(place);
            }
        }
    }
}

impl WaitRegionRef {
    /// Write what to wait for into a free place and `enter` with its offset and size, as the kernel
    /// takes them. None when all places are taken.
    pub fn enter<R>(
        self,
        ts: Option<__kernel_timespec>,
        min_wait_usec: u32,
        sigmask: Option<&u64>,
        enter: impl FnOnce(*const c_void, usize) -> R,
    ) -> Option<R> {
        // SAFETY: a plan is run while its ring is open, and the ring keeps the region (I8).
        let waits = unsafe { self.0.as_ref() };
        let place = waits.take()?;
        let flags = if ts.is_some() { IORING_REG_WAIT_TS } else { 0 };
        let ts = ts.unwrap_or_default();
        let size = size_of::<io_uring_reg_wait>();
        let wait = io_uring_reg_wait {
            ts,
            min_wait_usec,
            flags,
            sigmask: sigmask.map_or(0, |mask| core::ptr::from_ref(mask) as u64),
            sigmask_sz: if sigmask.is_some() { size_of::<u64>() as u32 } else { 0 },
            ..Default::default()
        };
        // SAFETY: `place` is within the region and this thread's alone; no reference is made to
        // what the kernel reads (I5).
        unsafe { waits.region.base.cast::<io_uring_reg_wait>().add(place).write(wait) };
        // The kernel takes an offset for an address here.
        let result = enter((place * size) as *const c_void, size);
        waits.taken.fetch_and(!(1 << place), Ordering::Release);
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the page's last place Linux would wait for as long as whoever is in its first.
    #[test]
    fn the_last_place_of_the_page_is_nobodys() {
        let region = Region::new(4096).expect("a page");
        let waits = WaitRegion { region, taken: AtomicU64::new(0) };
        let places: Vec<_> = core::iter::from_fn(|| waits.take()).collect();
        let room = waits.region.size() / size_of::<io_uring_reg_wait>();
        assert!(places.iter().copied().eq(0..room - 1), "{places:?} of {room}");
    }
}
