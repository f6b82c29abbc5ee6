//! Messages from ring to ring.

use pyo3::exceptions::PyValueError;

use super::*;
use crate::ops::message;
use crate::py::keep::Keep;
use crate::py::kernel::AnyKernel;
use crate::ring::error::RingError;
use crate::sys::abi::io_uring_sqe;

builders! {
    /// Send a message to another ring, of this process or another, or to this one.
    ///
    /// Args:
    ///     ring: a Ring, of whatever thread, or the descriptor of one.
    ///     res: the `res` of the completion it gets there, -2**31 to 2**31 - 1.
    ///     data: its `user_data`, a number from 0 to 2**56 - 1.
    ///     cqe_flags: its `flags` (Linux 6.3). Not those that announce memory or an entry of
    ///         another size (BUFFER, NOTIF, BUF_MORE, SKIP, F_32).
    ///
    /// At the receiver a completion appears whose `op` is 'MSG_RING', whose `user_data` is `data`
    /// and whose `value` is `data` too (for the sender's own completion that is None). It belongs
    /// to no request there, and wakes a waiter as any other. A ring of another library sees
    /// `data << 8 | 5` as user_data.
    ///
    /// Raises:
    ///     ValueError: a number out of range, flags that are not allowed.
    ///     RingClosed, ForkedRing: `ring` is that.
    ///
    /// Kernel: 5.18.
    /// Memory: none. The other ring must stay open until the completion; it is not kept alive.
    /// Result: 0; -EBADFD when it is no ring, or one that no thread has used yet.
    /// Source: io_uring_prep_msg_ring(3), io_uring_prep_msg_ring_cqe_flags(3).
    fn prep_msg_ring / msg_ring(ring: Any<'_, '_>, res: i64, data: i128, cqe_flags: u32)
        [ring, res = 0, data = 0,] [cqe_flags = 0,]
        = |keep| send(keep, ring, res, data, cqe_flags);
}

fn send(
    keep: &mut Keep,
    ring: Any<'_, '_>,
    res: i64,
    data: i128,
    cqe_flags: u32,
) -> PyResult<io_uring_sqe> {
    let res =
        i32::try_from(res).map_err(|_| PyValueError::new_err("res must be -2**31 to 2**31 - 1"))?;
    let data = u64::try_from(data).ok().filter(|&data| data <= message::NUMBER_MAX);
    let data = data.ok_or_else(|| PyValueError::new_err("data must be 0 to 2**56 - 1"))?;
    if cqe_flags & message::UNFIT_FLAGS != 0 {
        return Err(PyValueError::new_err(
            "a message cannot have the flags BUFFER, NOTIF, BUF_MORE, SKIP or F_32",
        ));
    }
    let fd = match ring.cast::<PyRing>() {
        Ok(ring) => descriptor(ring)?,
        Err(_) => convert::file(keep, ring)?,
    };
    Ok(message::data(fd, res, data, cqe_flags))
}

/// The descriptor of a ring, which may be another thread's. The ring is not held: two with a
/// message staged for each other would never be collected.
fn descriptor(ring: &Bound<'_, PyRing>) -> PyResult<i32> {
    let (py, ring) = (ring.py(), ring.get());
    let error = |error| crate::py::errors::ring_error(py, &error);
    if !ring.cell.same_process() {
        return Err(error(RingError::Forked));
    }
    if !matches!(ring.kernel, AnyKernel::Linux(_)) {
        return Err(PyValueError::new_err("a ring on a simulated kernel gets no messages"));
    }
    ring.wake.descriptor().ok_or_else(|| error(RingError::Closed))
}
