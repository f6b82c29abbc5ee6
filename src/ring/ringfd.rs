//! The ring's descriptor in the table of the thread that owns the ring: entering by its index
//! spares the kernel a look-up, 13 ns of 100.

use crate::ring::kernel::Kernel;
use crate::ring::slots::Zeroed;
use crate::ring::Ring;
use crate::sys::abi::io_uring_rsrc_update;
use crate::sys::consts::*;
use crate::sys::syscall;

impl<K: Kernel, P: Zeroed> Ring<K, P> {
    /// Register the descriptor with the calling thread, the owner. Where that is refused (before
    /// Linux 5.18, or with all 16 places of the thread taken), nothing changes.
    #[cold]
    pub(super) fn register_fd(&mut self) {
        let mut update = io_uring_rsrc_update { offset: u32::MAX, resv: 0, data: self.fd as u64 };
        let arg = core::ptr::from_mut(&mut update).cast();
        // SAFETY: one update, read and written during the call (I9: the owner thread).
        let done = unsafe { self.kernel.register(self.fd, IORING_REGISTER_RING_FDS, arg, 1) };
        if done == Ok(1) {
            self.enter_fd = update.offset as i32;
            self.registered_by = syscall::thread_id();
        }
    }

    /// The thread that owned the ring has ended, and its table with it. The caller may have the same
    /// word, but what has that index in its own table is another ring.
    pub fn inherited(&mut self) {
        self.registered_by = 0;
        self.enter_fd = self.fd;
        self.enters_to_register = 0;
    }

    /// Undo it. Another thread has a table of its own, where the index may be another ring's: it
    /// leaves the place to be freed when the owner ends.
    pub(super) fn unregister_fd(&mut self) {
        if self.registered_by == 0 || self.registered_by != syscall::thread_id() {
            return;
        }
        let mut update = io_uring_rsrc_update { offset: self.enter_fd as u32, resv: 0, data: 0 };
        let arg = core::ptr::from_mut(&mut update).cast();
        // SAFETY: one update, read during the call (I9).
        let _ = unsafe { self.kernel.register(self.fd, IORING_UNREGISTER_RING_FDS, arg, 1) };
        self.registered_by = 0;
        self.enter_fd = self.fd;
    }
}
