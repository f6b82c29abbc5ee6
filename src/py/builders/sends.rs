//! Sending to addresses, from several buffers, and without copying.

use super::*;
use crate::ops::{net, send};
use crate::py::address;
use crate::py::build::control;
use crate::py::fixed;
use crate::py::keep::{Access, Keep};
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;
use pyo3::exceptions::{PyTypeError, PyValueError};

builders! {
    /// Send a buffer to an address: prep_send with its `address`, for unconnected sockets.
    ///
    /// Args:
    ///     address: as for prep_connect.
    ///     sock, data, msg_flags, nbytes, ioprio: as for prep_send.
    ///
    /// Kernel: 6.0.
    /// Memory: `data` is locked until the completion; the address is copied.
    /// Result: bytes sent.
    /// Source: io_uring_prep_sendto(3).
    fn prep_sendto / sendto(sock: Any<'_, '_>, data: Any<'_, '_>, address: Any<'_, '_>,
        msg_flags: u32, nbytes: Option<i64>, ioprio: u16)
        [sock, data, address, msg_flags = 0, nbytes = None,] [ioprio = 0,]
        = |keep| build::send(keep, sock, data, msg_flags, nbytes, Some(address), ioprio);

    /// Send a buffer without copying it.
    ///
    /// Args:
    ///     data: any bytes-like object.
    ///     msg_flags: MSG_* flags; with MSG_WAITALL the kernel goes on until all is sent.
    ///     nbytes: send only so many.
    ///     address: where to, for unconnected sockets.
    ///     ioprio: RecvSendFlags POLL_FIRST, SEND_ZC_REPORT_USAGE, SEND_VECTORIZED (as for
    ///         prep_send).
    ///
    /// It completes twice: first with the result and `more`; then, when the network is done with the
    /// memory, with CqeFlags.NOTIF. With SEND_ZC_REPORT_USAGE the second one's `result()` has
    /// NotifUsage.ZC_COPIED if the data was copied after all, as it always is to this host itself.
    /// A failure may bring a notification too: `more` tells. The network may need the memory for as
    /// long as the peer does not read, and closing the ring waits for it.
    ///
    /// Kernel: 6.0.
    /// Memory: `data` is locked until the notification.
    /// Result: bytes sent, perhaps fewer than asked for; of the notification 0 or NotifUsage.
    /// Source: io_uring_prep_send_zc(3).
    fn prep_send_zc / send_zc(sock: Any<'_, '_>, data: Any<'_, '_>, msg_flags: u32,
        nbytes: Option<i64>, address: Option<Any<'_, '_>>, ioprio: u16)
        [sock, data, msg_flags = 0, nbytes = None,] [address = None, ioprio = 0,]
        = |keep| send_zc(keep, sock, data, msg_flags, nbytes, address, ioprio);

    /// Send a part of a registered buffer without copying it.
    ///
    /// Args:
    ///     buf: a RegisteredBuffer, or a FixedBuffer of this ring's pool.
    ///     nbytes: send only so many bytes (default: to the end of `buf`).
    ///     start: from this byte of `buf` on.
    ///     sock, msg_flags, address, ioprio: as for prep_send_zc, without SEND_VECTORIZED.
    ///
    /// Raises:
    ///     TypeError: `buf` is not from a pool.
    ///
    /// Kernel: 6.0.
    /// Memory: the buffer cannot be given back to its pool before the notification.
    /// Result: as of prep_send_zc.
    /// Source: io_uring_prep_send_zc_fixed(3).
    fn prep_send_zc_fixed / send_zc_fixed(sock: Any<'_, '_>, buf: Any<'_, '_>, msg_flags: u32,
        nbytes: Option<i64>, start: i64, address: Option<Any<'_, '_>>, ioprio: u16)
        [sock, buf, msg_flags = 0, nbytes = None,] [start = 0, address = None, ioprio = 0,]
        = |keep| send_zc_fixed(keep, sock, buf, msg_flags, nbytes, start, address, ioprio);

    /// Send a message of several buffers, with ancillary data, without copying the buffers.
    ///
    /// Args:
    ///     sock, buffers, ancdata, msg_flags, address: as for prep_sendmsg.
    ///     ioprio: RecvSendFlags POLL_FIRST, SEND_ZC_REPORT_USAGE.
    ///
    /// Kernel: 6.1.
    /// Memory: `buffers` are locked until the notification; the rest is copied.
    /// Result: as of prep_send_zc.
    /// Source: io_uring_prep_sendmsg_zc(3).
    fn prep_sendmsg_zc / sendmsg_zc(sock: Any<'_, '_>, buffers: Any<'_, '_>,
        ancdata: Option<Any<'_, '_>>, msg_flags: u32, address: Option<Any<'_, '_>>, ioprio: u16)
        [sock, buffers, ancdata = None, msg_flags = 0, address = None,] [ioprio = 0,]
        = |keep| sendmsg_zc(keep, sock, buffers, ancdata, msg_flags, address, ioprio);

    /// Send a message of several parts of a registered buffer, without copying them.
    ///
    /// Args:
    ///     buf: a RegisteredBuffer, or a FixedBuffer of this ring's pool.
    ///     parts: an iterable of 1 to 1024 (start, nbytes) within `buf`.
    ///     sock, ancdata, msg_flags, address, ioprio: as for prep_sendmsg_zc.
    ///
    /// Raises:
    ///     TypeError: `buf` is not from a pool.
    ///
    /// Kernel: 6.15.
    /// Memory: the buffer cannot be given back to its pool before the notification.
    /// Result: as of prep_send_zc.
    /// Source: io_uring_prep_sendmsg_zc_fixed(3).
    fn prep_sendmsg_zc_fixed / sendmsg_zc_fixed(sock: Any<'_, '_>, buf: Any<'_, '_>,
        parts: Any<'_, '_>, ancdata: Option<Any<'_, '_>>, msg_flags: u32,
        address: Option<Any<'_, '_>>, ioprio: u16)
        [sock, buf, parts, ancdata = None, msg_flags = 0, address = None,] [ioprio = 0,]
        = |keep| sendmsg_zc_fixed(keep, sock, buf, parts, ancdata, msg_flags, address, ioprio);
}

/// What the zero-copy sends take beside what is theirs alone.
const ZERO_COPY: u16 = IORING_RECVSEND_POLL_FIRST | IORING_SEND_ZC_REPORT_USAGE;

/// RecvSendFlags among `known`.
///
/// No other may pass: with SEND_VECTORIZED the kernel takes the data for addresses, with FIXED_BUF
/// it takes another buffer's memory for it.
pub(crate) fn recv_send_flags(ioprio: u16, known: u16) -> PyResult<u16> {
    if ioprio & !known != 0 {
        return Err(PyValueError::new_err(format!(
            "ioprio has RecvSendFlags that do not go with this operation: {:#x}",
            ioprio & !known
        )));
    }
    Ok(ioprio)
}

/// Send `data`, an iterable of buffers.
pub(crate) fn vectors(
    keep: &mut Keep,
    sock: Any<'_, '_>,
    data: Any<'_, '_>,
    msg_flags: u32,
    nbytes: Option<i64>,
    address: Option<Any<'_, '_>>,
    ioprio: u16,
) -> PyResult<io_uring_sqe> {
    if nbytes.is_some() {
        return Err(PyTypeError::new_err("nbytes does not go with SEND_VECTORIZED"));
    }
    let fd = convert::file(keep, sock)?;
    let vectors = keep.export_all(data, Access::Source)?;
    let address = address.map(|address| address::to_kernel(sock, address)).transpose()?;
    let (sqe, args) = send::vectors(fd, vectors, msg_flags, ioprio, address);
    keep.keep_args(args);
    Ok(sqe)
}

fn send_zc(
    keep: &mut Keep,
    sock: Any<'_, '_>,
    data: Any<'_, '_>,
    msg_flags: u32,
    nbytes: Option<i64>,
    address: Option<Any<'_, '_>>,
    ioprio: u16,
) -> PyResult<io_uring_sqe> {
    let ioprio = recv_send_flags(ioprio, ZERO_COPY | IORING_SEND_VECTORIZED)?;
    if ioprio & IORING_SEND_VECTORIZED != 0 {
        return vectors(keep, sock, data, msg_flags, nbytes, address, ioprio).map(send::zero_copy);
    }
    let fd = convert::file(keep, sock)?;
    let memory = keep.export(data, Access::Source)?;
    let len = convert::length(memory, nbytes)?;
    let sqe = send::zero_copy(net::send(fd, memory.addr, len, msg_flags, ioprio));
    to_address(keep, sqe, sock, address)
}

#[allow(clippy::too_many_arguments)]
fn send_zc_fixed(
    keep: &mut Keep,
    sock: Any<'_, '_>,
    buf: Any<'_, '_>,
    msg_flags: u32,
    nbytes: Option<i64>,
    start: i64,
    address: Option<Any<'_, '_>>,
    ioprio: u16,
) -> PyResult<io_uring_sqe> {
    let ioprio = recv_send_flags(ioprio, ZERO_COPY)?;
    let fd = convert::file(keep, sock)?;
    let (memory, index) = fixed::memory(keep, buf, start, Access::Source)?;
    let len = convert::length(memory, nbytes)?;
    let sqe = send::zero_copy(net::send(fd, memory.addr, len, msg_flags, ioprio));
    to_address(keep, send::fixed(sqe, index), sock, address)
}

/// The same send, to `address` if there is one.
fn to_address(
    keep: &mut Keep,
    sqe: io_uring_sqe,
    sock: Any<'_, '_>,
    address: Option<Any<'_, '_>>,
) -> PyResult<io_uring_sqe> {
    let Some(address) = address else { return Ok(sqe) };
    let (sqe, args) = net::send_to(sqe, address::to_kernel(sock, address)?);
    keep.keep_args(args);
    Ok(sqe)
}

fn sendmsg_zc(
    keep: &mut Keep,
    sock: Any<'_, '_>,
    buffers: Any<'_, '_>,
    ancdata: Option<Any<'_, '_>>,
    msg_flags: u32,
    address: Option<Any<'_, '_>>,
    ioprio: u16,
) -> PyResult<io_uring_sqe> {
    let ioprio = recv_send_flags(ioprio, ZERO_COPY)?;
    let fd = convert::file(keep, sock)?;
    let vectors = keep.export_all(buffers, Access::Source)?;
    let address = address.map(|address| address::to_kernel(sock, address)).transpose()?;
    let (sqe, args) = net::sendmsg(fd, vectors, address, control(ancdata)?, msg_flags, ioprio);
    keep.keep_args(args);
    Ok(send::zero_copy(sqe))
}

#[allow(clippy::too_many_arguments)]
fn sendmsg_zc_fixed(
    keep: &mut Keep,
    sock: Any<'_, '_>,
    buf: Any<'_, '_>,
    parts: Any<'_, '_>,
    ancdata: Option<Any<'_, '_>>,
    msg_flags: u32,
    address: Option<Any<'_, '_>>,
    ioprio: u16,
) -> PyResult<io_uring_sqe> {
    let ioprio = recv_send_flags(ioprio, ZERO_COPY)?;
    let fd = convert::file(keep, sock)?;
    let (vectors, index) = fixed::vectors(keep, buf, parts, Access::Source)?;
    if vectors.is_empty() {
        return Err(PyValueError::new_err("a message needs at least one part that is not empty"));
    }
    let address = address.map(|address| address::to_kernel(sock, address)).transpose()?;
    let (sqe, args) = net::sendmsg(fd, vectors, address, control(ancdata)?, msg_flags, ioprio);
    keep.keep_args(args);
    Ok(send::fixed(send::zero_copy(sqe), index))
}
