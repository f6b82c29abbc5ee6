//! Direct descriptors: ordinary ones of them, into the table, and to another ring.

use super::*;
use crate::py::direct::{self, PyDirectFile};

builders! {
    /// Make an ordinary descriptor of a direct one, which stays as it is.
    ///
    /// Args:
    ///     file: a DirectFile.
    ///     install_flags: FixedFdFlags; without NO_CLOEXEC the descriptor is close-on-exec.
    ///
    /// Kernel: 6.8.
    /// Memory: none.
    /// Result: the new descriptor, yours to close.
    /// Source: io_uring_prep_fixed_fd_install(3).
    fn prep_fixed_fd_install / fixed_fd_install(file: &Bound<'_, PyDirectFile>,
        install_flags: u32)
        [file,] [install_flags = 0,]
        = |keep| direct::install(keep, file, install_flags);

    /// Put files into the ring's file table, or take them out.
    ///
    /// Args:
    ///     files: descriptors or objects with fileno(). With `slot` also None, which empties a slot,
    ///         and REGISTER_FILES_SKIP, which leaves it alone.
    ///     slot: a DirectFile, most often a reserved one: the first slot to be changed, the others
    ///         follow. By default the kernel chooses (Linux 5.19).
    ///
    /// Raises:
    ///     ValueError: a request in flight or an Sqe uses a file that would be replaced.
    ///
    /// Kernel: 5.6.
    /// Memory: none of yours; the objects in `files` are held until the completion.
    /// Result: how many slots were changed. `Completion.value` is a list of DirectFiles: where the
    ///     kernel chose they own the files, else the table does, or who reserved the slot.
    /// Source: io_uring_prep_files_update(3).
    fn prep_files_update / files_update(files: Any<'_, '_>, slot: Option<Any<'_, '_>>)
        [files, slot = None,] []
        = |keep| direct::update_files(keep, files, slot);

    /// Put a file of this ring into the file table of another ring, which gets no completion.
    ///
    /// Args:
    ///     ring: the other ring; it must have a file table, and may be another thread's.
    ///     file: a DirectFile of this ring, which stays as it is.
    ///     direct: True (the default) to have the kernel choose the slot there, or a reserved DirectFile of the
    ///         other ring.
    ///
    /// Kernel: 6.0.
    /// Memory: none.
    /// Result: `Completion.value` is a DirectFile of the other ring, yours to hand over; the result
    ///     is its slot, or 0 for a reserved one.
    /// Source: io_uring_prep_msg_ring_fd(3), io_uring_prep_msg_ring_fd_alloc(3).
    fn prep_msg_ring_fd / msg_ring_fd(ring: &Bound<'_, PyRing>, file: &Bound<'_, PyDirectFile>,
        direct: Option<Any<'_, '_>>)
        [ring, file,] [direct = None,]
        = |keep| direct::msg_ring_fd(keep, ring, file, direct);
}
