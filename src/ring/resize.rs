//! Larger or smaller queues for a ring in use (IORING_REGISTER_RESIZE_RINGS, Linux 6.13).
//!
//! The kernel moves what is in its queues to new ones. It is given little to move: completions are
//! taken off first by the caller, and entries it has not taken are taken back and staged anew. So
//! each is copied by its own size, whatever the kernel does with those of 128 and of 32 bytes.

use std::time::Duration;

use crate::ring::error::{Call, RingError};
use crate::ring::kernel::Kernel;
use crate::ring::mapping::{Maps, OwnMemory};
use crate::ring::params::{register_error, Sizes};
use crate::ring::slots::Zeroed;
use crate::ring::sq::SecondHalf;
use crate::ring::{ringfd, Phase, Ring};
use crate::sys::abi::{io_uring_params, io_uring_sqe};
use crate::sys::consts::*;
use crate::sys::Errno;

/// Before the new queues are given up for want of memory to map them.
const MAP_NAPS_MS: [u64; 4] = [1, 5, 20, 100];

impl<K: Kernel, P: Zeroed> Ring<K, P> {
    /// Give the ring queues of other sizes. Requests in flight go on; what is staged stays staged.
    /// The caller has taken all completions off, and is the ring's owner.
    pub fn resize(&mut self, sizes: Sizes) -> Result<(), RingError> {
        self.check_resizable()?;
        let Some(slots) = self.slots.as_mut() else { return Err(RingError::Closed) };
        if !slots.grow(sizes.cq) {
            return Err(RingError::Sys(Call::Map, Errno::ENOMEM));
        }
        // No poll thread reads the queue, and the owner, the only one who enters, is here (I11).
        self.sq.unpublish();
        let staged = self.sq.staged_entries();
        if staged.len() > sizes.sq as usize {
            return Err(RingError::SqFull);
        }
        let memory = self.register_sizes(sizes)?;
        self.replace_maps(memory)?;
        self.stage_again(&staged);
        self.shrunk = u32::from(self.params.cq_entries < self.slot_count());
        Ok(())
    }

    fn slot_count(&self) -> u32 {
        self.slots.as_ref().map_or(0, crate::ring::slots::Slots::capacity)
    }

    fn check_resizable(&self) -> Result<(), RingError> {
        if self.phase() != Phase::Open {
            return Err(RingError::Closed);
        }
        if self.params.flags & IORING_SETUP_DEFER_TASKRUN == 0 {
            return Err(RingError::BadFlags(
                "only a DEFER_TASKRUN ring can be resized: nothing may complete meanwhile",
            ));
        }
        if self.disabled {
            return Err(RingError::Disabled);
        }
        Ok(())
    }

    /// Have the kernel make the queues anew, in memory of ours if those it has are.
    fn register_sizes(&mut self, sizes: Sizes) -> Result<Option<OwnMemory>, RingError> {
        let mut p = io_uring_params { flags: self.params.flags, ..Default::default() };
        let memory = match self.maps.as_ref().and_then(Maps::own_memory) {
            Some(huge) => Some(OwnMemory::new(&self.kernel, &mut p, sizes, huge)?),
            None => None,
        };
        p.flags = IORING_SETUP_CQSIZE;
        (p.sq_entries, p.cq_entries) = (sizes.sq, sizes.cq);
        let arg = core::ptr::from_mut(&mut p).cast();
        // SAFETY: what RESIZE_RINGS takes, written during the call; memory of ours that it names
        // belongs to the ring from now on if the call succeeds (I8).
        if let Err(errno) = unsafe { self.register_raw(IORING_REGISTER_RESIZE_RINGS, arg, 1) } {
            if let Some(memory) = memory {
                // SAFETY: the kernel stayed with the old memory (I8).
                unsafe { memory.free(&self.kernel) };
            }
            return Err(match errno {
                Errno::EINVAL => {
                    RingError::Unsupported { what: "resizing of rings", since: (6, 13) }
                }
                errno => register_error(errno),
            });
        }
        let (sq_entries, cq_entries) = (p.sq_entries, p.cq_entries);
        let (sq_off, cq_off) = (p.sq_off, p.cq_off);
        self.params = io_uring_params { sq_entries, cq_entries, sq_off, cq_off, ..self.params };
        self.params.flags |= IORING_SETUP_CQSIZE;
        Ok(memory)
    }

    /// Go over to the new queues. The kernel has let go of the old ones: nothing but our view of
    /// them is left, and that ends here (I8).
    fn replace_maps(&mut self, memory: Option<OwnMemory>) -> Result<(), RingError> {
        let maps = match memory {
            Some(memory) => memory.into_maps(&self.params).ok_or(RingError::Corrupted(
                "the kernel uses more memory for the queues than it was given",
            )),
            None => self.map_patiently(),
        };
        let maps = match maps {
            Ok(maps) => maps,
            Err(error) => {
                self.lose();
                return Err(error);
            }
        };
        (self.sq, self.cq) = maps.queues(&self.params);
        if let Some(old) = self.maps.replace(maps) {
            // SAFETY: the queues over them were replaced just now, and the kernel has moved (I8).
            unsafe { old.unmap(&self.kernel) };
        }
        Ok(())
    }

    fn map_patiently(&self) -> Result<Maps, RingError> {
        let mut naps = MAP_NAPS_MS.iter();
        loop {
            match (Maps::new(&self.kernel, self.fd, &self.params), naps.next()) {
                (Err(_), Some(&nap)) => std::thread::sleep(Duration::from_millis(nap)),
                (maps, _) => return maps,
            }
        }
    }

    /// The queues cannot be reached any more, so no request's end can be seen: close, and leave the
    /// memory of those in flight to the kernel for good (I2).
    #[cold]
    fn lose(&mut self) {
        self.phase = Phase::Closed;
        self.unregister_fd();
        self.detach_queues();
        self.maps = None;
        // SAFETY: the ring's own descriptor, used by nobody from here on (I10).
        unsafe { ringfd::close(&self.kernel, self.fd, self.params.flags) };
        self.fd = -1;
    }

    fn stage_again(&mut self, staged: &[(io_uring_sqe, SecondHalf)]) {
        for (sqe, half) in staged {
            let pushed = self.sq.push_wide(*sqe, half);
            debug_assert!(pushed.is_ok(), "room was checked");
        }
    }
}
