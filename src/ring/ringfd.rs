//! The ring's descriptor in the table of the thread that owns the ring: entering by its index
//! spares the kernel a look-up, 13 ns of 100.

use crate::ring::kernel::Kernel;
use crate::ring::slots::Zeroed;
use crate::ring::Ring;
use crate::sys::abi::io_uring_rsrc_update;
use crate::sys::consts::*;
use crate::sys::sync;

/// Close a ring set up with `flags`: its descriptor, or what is in the calling thread's table
/// instead (REGISTERED_FD_ONLY).
///
/// # Safety
/// The caller owns the ring, and nobody uses it afterwards (I10).
pub(super) unsafe fn close<K: Kernel>(kernel: &K, fd: i32, flags: u32) {
    if flags & IORING_SETUP_REGISTERED_FD_ONLY == 0 {
        // SAFETY: the caller's contract (I10).
        return unsafe { kernel.close(fd) };
    }
    let mut update = io_uring_rsrc_update { offset: fd as u32, resv: 0, data: 0 };
    let arg = core::ptr::from_mut(&mut update).cast();
    let opcode = IORING_UNREGISTER_RING_FDS | IORING_REGISTER_USE_REGISTERED_RING;
    // SAFETY: one update, read during the call; the index is the ring's, says the caller (I10).
    let _ = unsafe { kernel.register(fd, opcode, arg, 1) };
}

impl<K: Kernel, P: Zeroed> Ring<K, P> {
    /// Is the ring only an index in its thread's table, without a descriptor?
    pub fn is_index_only(&self) -> bool {
        self.params.flags & IORING_SETUP_REGISTERED_FD_ONLY != 0
    }

    /// The bit that says so to io_uring_register(2).
    #[inline]
    pub(crate) fn by_index(&self) -> u32 {
        if self.is_index_only() {
            IORING_REGISTER_USE_REGISTERED_RING
        } else {
            0
        }
    }

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
            self.registered_by = sync::thread_id();
        }
    }

    /// Enter by the descriptor itself, always: whoever closes it then closes the ring, in whichever
    /// thread.
    pub fn stay_unregistered(&mut self) {
        self.enters_to_register = 0;
    }

    /// The thread that owned the ring has ended, and its table with it. The caller may have the same
    /// word, but what has that index in its own table is another ring.
    ///
    /// A ring without a descriptor went with the table.
    pub fn inherited(&mut self) {
        self.gone = self.is_index_only();
        self.registered_by = 0;
        self.enter_fd = if self.gone { -1 } else { self.fd };
        self.enters_to_register = 0;
    }

    /// Did the ring end with its owner's thread? Its requests did too, or will, unseen.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// Undo it. Another thread has a table of its own, where the index may be another ring's: it
    /// leaves the place to be freed when the owner ends.
    pub(super) fn unregister_fd(&mut self) {
        let mine = self.registered_by == sync::thread_id();
        if self.registered_by == 0 || !mine || self.is_index_only() {
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
