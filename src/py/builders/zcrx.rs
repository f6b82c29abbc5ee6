//! Zero-copy receive.

use super::*;
use crate::ops::zcrx;
use crate::py::keep::Keep;
use crate::py::register::zcrx::PyZcrxQueue;
use crate::sys::abi::io_uring_sqe;

fn recv_zc(
    keep: &mut Keep,
    sock: Any<'_, '_>,
    queue: Any<'_, '_>,
    nbytes: i64,
) -> PyResult<io_uring_sqe> {
    let fd = convert::file(keep, sock)?;
    let len = u32::try_from(nbytes).map_err(|_| {
        pyo3::exceptions::PyValueError::new_err("nbytes must be 0 to 2**32 - 1; 0 is without end")
    })?;
    let Ok(queue) = queue.cast::<PyZcrxQueue>() else {
        return Ok(zcrx::recv_zc(fd, queue.extract()?, len));
    };
    keep.bind(queue.get().ring_id())?;
    Ok(zcrx::recv_zc(fd, queue.get().id(), len))
}

builders! {
    /// Receive from a TCP socket without copying: what arrives on the queue's packets stays where
    /// the network interface has put it. A completion comes for every piece.
    ///
    /// Args:
    ///     queue: the ZcrxQueue that the socket's packets arrive on, or its number.
    ///     nbytes: end after so many bytes; 0 goes on until the peer closes or it is cancelled.
    ///
    /// Kernel: 6.15.
    /// Memory: the queue's own; `queue.buffer(offset, cqe.res)` shows a piece, with the first half
    ///     of `cqe.big_cqe` as the offset, and gives it back when released.
    /// Result: bytes of the piece; 0 when the peer has closed.
    /// Source: io_uring_prep_recv_zc(3).
    fn prep_recv_zc / recv_zc(sock: Any<'_, '_>, queue: Any<'_, '_>, nbytes: i64)
        [sock, queue, nbytes = 0,] []
        = |keep| recv_zc(keep, sock, queue, nbytes);
}
