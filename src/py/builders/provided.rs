//! Buffers that the kernel chooses: receiving, reading and sending with a pool.

use super::sends::recv_send_flags;
use super::*;
use crate::ops::provided::{self, Transfer, NAME_ROOM};
use crate::ops::{net, CURRENT_POSITION};
use crate::py::bufring::{extract, use_pool};
use crate::py::keep::Keep;
use crate::ring::bufring::book::Kind;
use crate::ring::bufring::{How, Pool};
use crate::sys::abi::{io_uring_recvmsg_out, io_uring_sqe};
use crate::sys::consts::*;
use crate::sys::os::{MSG_TRUNC, MSG_WAITALL};
use pyo3::exceptions::{PyTypeError, PyValueError};

builders! {
    /// Receive again and again, each time into a buffer of a pool.
    ///
    /// Args:
    ///     sock: a socket.
    ///     pool: a BufferRing or ProvidedBuffers of this ring.
    ///     msg_flags: MSG_* flags.
    ///     nbytes: receive at most so many bytes each time.
    ///     total: end with the receive that brings it to so many bytes (Linux 6.17).
    ///     bundle: one completion for as many buffers as there is data for (Linux 6.10).
    ///     ioprio: RecvSendFlags.
    ///
    /// Completions have `more` as long as it goes on. The last one says why not: 0 when the peer
    /// has closed, -ENOBUFS when no buffer was left; then prepare it again.
    ///
    /// Kernel: 6.0.
    /// Memory: of the pool, which cannot be closed before the last completion.
    /// Result: bytes received; they are in `Completion.buffer`, for a bundle in `buffers`.
    /// Source: io_uring_prep_recv_multishot(3).
    fn prep_recv_multishot / recv_multishot(sock: Any<'_, '_>, pool: Any<'_, '_>, msg_flags: u32,
        nbytes: Option<i64>, total: Option<i64>, bundle: bool, ioprio: u16)
        [sock, pool, msg_flags = 0, nbytes = None,] [total = None, bundle = false, ioprio = 0,]
        = |keep| recv_multishot(keep, sock, pool, msg_flags, nbytes, total, bundle, ioprio);

    /// Receive messages again and again, each into a buffer of a pool.
    ///
    /// Args:
    ///     sock: a socket.
    ///     pool: a BufferRing (not an incremental one) or ProvidedBuffers of this ring. Each buffer
    ///         takes a header of 16 bytes, the address (128 bytes), ancillary data and the payload.
    ///     ancbufsize: bytes of room for ancillary data: socket.CMSG_SPACE of what is expected.
    ///     msg_flags: MSG_* flags.
    ///     with_address: whether to ask for the sender's address.
    ///     ioprio: RecvSendFlags.
    ///
    /// Each completion has `address`, `ancdata` and `msg_flags` as socket.recvmsg gives them, and
    /// the payload as `buffer`. They go on and end as those of prep_recv_multishot.
    ///
    /// Kernel: 6.0.
    /// Memory: of the pool, which cannot be closed before the last completion.
    /// Result: bytes used of the buffer, those before the payload included.
    /// Source: io_uring_prep_recvmsg_multishot(3).
    fn prep_recvmsg_multishot / recvmsg_multishot(sock: Any<'_, '_>, pool: Any<'_, '_>,
        ancbufsize: i64, msg_flags: u32, with_address: bool, ioprio: u16)
        [sock, pool, ancbufsize = 0, msg_flags = 0,] [with_address = true, ioprio = 0,]
        = |keep| recvmsg_multishot(keep, sock, pool, ancbufsize, msg_flags, with_address, ioprio);

    /// Read from a pipe or the like whenever there is something, each time into a buffer of a pool.
    ///
    /// Args:
    ///     file: a descriptor that can be polled, or an object with fileno().
    ///     pool: a BufferRing or ProvidedBuffers of this ring.
    ///
    /// Completions go on and end as those of prep_recv_multishot.
    ///
    /// Kernel: 6.7.
    /// Memory: of the pool, which cannot be closed before the last completion.
    /// Result: bytes read; they are in `Completion.buffer`. -EBADFD for files that cannot be polled.
    /// Source: io_uring_prep_read_multishot(3).
    fn prep_read_multishot / read_multishot(file: Any<'_, '_>, pool: Any<'_, '_>)
        [file, pool,] []
        = |keep| read_multishot(keep, file, pool);

    /// Send what was put into the buffers of a pool, many of them at once.
    ///
    /// Args:
    ///     sock: a stream socket.
    ///     pool: a BufferRing made with sending=True, whose buffers were queued.
    ///     msg_flags: MSG_* flags; MSG_WAITALL is added.
    ///     nbytes: send at most so many bytes.
    ///     ioprio: RecvSendFlags.
    ///
    /// Completions have `more` as long as it goes on.
    ///
    /// Kernel: 6.10.
    /// Memory: of the pool, which cannot be closed before the last completion.
    /// Result: bytes sent, of `Completion.buffers`; they are free once those are released.
    /// Source: io_uring_prep_send_bundle(3).
    fn prep_send_bundle / send_bundle(sock: Any<'_, '_>, pool: Any<'_, '_>, msg_flags: u32,
        nbytes: Option<i64>, ioprio: u16)
        [sock, pool, msg_flags = 0, nbytes = None,] [ioprio = 0,]
        = |keep| send_from(keep, sock, pool, msg_flags, nbytes, ioprio | IORING_RECVSEND_BUNDLE);

    /// Hand buffers to the kernel, from which it chooses those for requests with this pool.
    ///
    /// Args:
    ///     pool: ProvidedBuffers of this ring.
    ///     first: the first of the buffers.
    ///     count: how many (default: all that follow).
    ///
    /// Raises:
    ///     BufferError: one of them is not free.
    ///
    /// Kernel: 5.7.
    /// Memory: of the pool, and the kernel's until used or removed.
    /// Result: 0.
    /// Source: io_uring_prep_provide_buffers(3).
    fn prep_provide_buffers / provide_buffers(pool: Any<'_, '_>, first: i64, count: Option<i64>)
        [pool, first = 0, count = None,] []
        = |keep| provide_buffers(keep, pool, first, count);

    /// Take buffers back that were handed to the kernel and not used.
    ///
    /// Args:
    ///     pool: ProvidedBuffers of this ring.
    ///     count: how many (default: all). The kernel does not say which: they are free once all
    ///         are back.
    ///
    /// Kernel: 5.7.
    /// Memory: none.
    /// Result: how many; -ENOENT where none was ever provided.
    /// Source: io_uring_prep_remove_buffers(3).
    fn prep_remove_buffers / remove_buffers(pool: Any<'_, '_>, count: Option<i64>)
        [pool, count = None,] []
        = |keep| remove_buffers(keep, pool, count);
}

/// Memory of the caller's (Ok) or a pool (Err), and not both.
pub(super) fn either<'a, 'py>(
    buf: Option<Any<'a, 'py>>,
    pool: Option<Any<'a, 'py>>,
) -> PyResult<Result<Any<'a, 'py>, Any<'a, 'py>>> {
    match (buf, pool) {
        (Some(buf), None) => Ok(Ok(buf)),
        (None, Some(pool)) => Ok(Err(pool)),
        (None, None) => {
            Err(PyTypeError::new_err("a bytes-like object or a pool is required, not None"))
        }
        (Some(_), Some(_)) => Err(PyTypeError::new_err("a buffer or a pool, but not both")),
    }
}

/// What only requests with a pool can do.
pub(super) fn no_pool(multishot: bool, bundle: bool) -> PyResult<()> {
    if multishot || bundle {
        return Err(PyTypeError::new_err("multishot and bundle need a pool"));
    }
    Ok(())
}

/// With the flags of these modes.
pub(super) fn modes(ioprio: u16, multishot: bool, bundle: bool) -> u16 {
    let multishot = if multishot { IORING_RECV_MULTISHOT } else { 0 };
    ioprio | multishot | if bundle { IORING_RECVSEND_BUNDLE } else { 0 }
}

/// A bound on bytes: none is 0, which the kernel takes for no bound.
fn bound(name: &str, nbytes: Option<i64>) -> PyResult<u32> {
    let Some(nbytes) = nbytes else { return Ok(0) };
    u32::try_from(nbytes).ok().filter(|nbytes| (1..1 << 31).contains(nbytes)).ok_or_else(|| {
        PyValueError::new_err(format!("{name} must be 1 to 2**31 - 1, not {nbytes}"))
    })
}

/// No flags but those of transfers with a pool: some others make the kernel read memory as what it
/// is not.
fn known(ioprio: u16) -> PyResult<u16> {
    let modes = IORING_RECV_MULTISHOT | IORING_RECVSEND_BUNDLE;
    recv_send_flags(ioprio, IORING_RECVSEND_POLL_FIRST | modes)
}

/// How completions of a transfer use the pool.
fn how(ioprio: u16) -> How {
    if ioprio & IORING_RECVSEND_BUNDLE != 0 {
        How::Bundle
    } else {
        How::One
    }
}

/// A pool to receive into.
fn receiving(object: Any<'_, '_>) -> PyResult<std::sync::Arc<Pool>> {
    let pool = extract(object)?;
    if pool.kind() == Kind::Sending {
        return Err(PyValueError::new_err("this pool is for sending"));
    }
    Ok(pool)
}

/// Of a pool that is used up bit by bit, only the kernel knows how much a request took that waits
/// in a worker.
fn not_incremental(pool: &Pool, what: &str) -> PyResult<()> {
    if pool.kind() == Kind::Incremental {
        return Err(PyValueError::new_err(format!("{what} cannot use an incremental BufferRing")));
    }
    Ok(())
}

/// Receive once into a pool.
pub(super) fn recv(
    keep: &mut Keep,
    sock: Any<'_, '_>,
    pool: Any<'_, '_>,
    msg_flags: u32,
    nbytes: Option<i64>,
    ioprio: u16,
) -> PyResult<io_uring_sqe> {
    let fd = convert::file(keep, sock)?;
    let pool = receiving(pool)?;
    let each = bound("nbytes", nbytes)?;
    let ioprio = known(ioprio)?;
    // The result is then no longer what the buffers hold, and nobody could tell how many were used.
    let several = pool.kind() == Kind::Incremental || how(ioprio) == How::Bundle;
    if several && msg_flags & MSG_TRUNC as u32 != 0 {
        return Err(PyValueError::new_err(
            "MSG_TRUNC cannot be used with bundles or an incremental BufferRing",
        ));
    }
    use_pool(keep, &pool, how(ioprio))?;
    Ok(provided::recv(fd, pool.group(), Transfer { flags: msg_flags, ioprio, each, total: 0 }))
}

#[allow(clippy::too_many_arguments)]
fn recv_multishot(
    keep: &mut Keep,
    sock: Any<'_, '_>,
    pool: Any<'_, '_>,
    msg_flags: u32,
    nbytes: Option<i64>,
    total: Option<i64>,
    bundle: bool,
    ioprio: u16,
) -> PyResult<io_uring_sqe> {
    let ioprio = modes(ioprio, true, bundle);
    let total = bound("total", total)?;
    let sqe = recv(keep, sock, pool, msg_flags, nbytes, ioprio)?;
    Ok(io_uring_sqe { file_index: total, ..sqe })
}

fn recvmsg_multishot(
    keep: &mut Keep,
    sock: Any<'_, '_>,
    pool: Any<'_, '_>,
    ancbufsize: i64,
    msg_flags: u32,
    with_address: bool,
    ioprio: u16,
) -> PyResult<io_uring_sqe> {
    let fd = convert::file(keep, sock)?;
    let pool = receiving(pool)?;
    not_incremental(&pool, "recvmsg")?;
    let name = if with_address { NAME_ROOM } else { 0 };
    let header = i64::from(name) + core::mem::size_of::<io_uring_recvmsg_out>() as i64;
    let room = i64::from(pool.size()) - header;
    if ancbufsize < 0 || ancbufsize >= room {
        return Err(PyValueError::new_err(format!(
            "buffers of {} bytes have no room for {header} bytes of header and address, \
             {ancbufsize} of ancillary data, and a payload",
            pool.size()
        )));
    }
    let control = ancbufsize as u32;
    let ioprio = known(ioprio)?;
    use_pool(keep, &pool, How::Message { name, control })?;
    let what = Transfer { flags: msg_flags, ioprio, each: 0, total: 0 };
    let (sqe, args) = provided::recvmsg_multishot(fd, pool.group(), name, control, what);
    keep.keep_args(args);
    Ok(sqe)
}

/// Receive one message, its payload into a pool.
pub(super) fn recvmsg(
    keep: &mut Keep,
    sock: Any<'_, '_>,
    pool: Any<'_, '_>,
    ancbufsize: i64,
    msg_flags: u32,
    ioprio: u16,
) -> PyResult<io_uring_sqe> {
    let fd = convert::file(keep, sock)?;
    let pool = receiving(pool)?;
    not_incremental(&pool, "recvmsg")?;
    let control = build::ancillary_room(ancbufsize)?;
    let ioprio = recv_send_flags(ioprio, IORING_RECVSEND_POLL_FIRST)?;
    use_pool(keep, &pool, How::One)?;
    let (sqe, args) = net::recvmsg(fd, Vec::new(), control, msg_flags, ioprio);
    keep.keep_args(args);
    Ok(provided::select(sqe, pool.group()))
}

/// Read once into a pool.
pub(super) fn read(
    keep: &mut Keep,
    file: Any<'_, '_>,
    pool: Any<'_, '_>,
    offset: i64,
    nbytes: Option<i64>,
    options: RwOptions,
) -> PyResult<io_uring_sqe> {
    let fd = convert::file(keep, file)?;
    let offset = convert::offset(offset)?;
    let pool = receiving(pool)?;
    not_incremental(&pool, "a single read")?;
    let each = bound("nbytes", nbytes)?;
    use_pool(keep, &pool, How::One)?;
    Ok(provided::read(fd, pool.group(), offset, each, options))
}

fn read_multishot(keep: &mut Keep, file: Any<'_, '_>, pool: Any<'_, '_>) -> PyResult<io_uring_sqe> {
    let fd = convert::file(keep, file)?;
    let pool = receiving(pool)?;
    use_pool(keep, &pool, How::One)?;
    Ok(provided::read_multishot(fd, pool.group(), CURRENT_POSITION))
}

/// Send from a pool.
fn send_from(
    keep: &mut Keep,
    sock: Any<'_, '_>,
    pool: Any<'_, '_>,
    msg_flags: u32,
    nbytes: Option<i64>,
    ioprio: u16,
) -> PyResult<io_uring_sqe> {
    let fd = convert::file(keep, sock)?;
    let pool = extract(pool)?;
    if pool.kind() != Kind::Sending {
        return Err(PyValueError::new_err("sending takes a BufferRing made with sending=True"));
    }
    let each = bound("nbytes", nbytes)?;
    let ioprio = recv_send_flags(ioprio, IORING_RECVSEND_POLL_FIRST | IORING_RECVSEND_BUNDLE)?;
    // A buffer is used up by whatever was sent of it: so all of it.
    let flags = msg_flags | MSG_WAITALL as u32;
    use_pool(keep, &pool, how(ioprio))?;
    Ok(provided::send(fd, pool.group(), Transfer { flags, ioprio, each, total: 0 }))
}

/// Send one buffer of a pool.
pub(super) fn send(
    keep: &mut Keep,
    sock: Any<'_, '_>,
    pool: Any<'_, '_>,
    msg_flags: u32,
    nbytes: Option<i64>,
    address: Option<Any<'_, '_>>,
    ioprio: u16,
) -> PyResult<io_uring_sqe> {
    let sqe = send_from(keep, sock, pool, msg_flags, nbytes, ioprio)?;
    let Some(address) = address else { return Ok(sqe) };
    let (sqe, args) = net::send_to(sqe, crate::py::address::to_kernel(sock, address)?);
    keep.keep_args(args);
    Ok(sqe)
}

/// The pool that buffers are to be provided of.
fn legacy(object: Any<'_, '_>) -> PyResult<std::sync::Arc<Pool>> {
    let pool = extract(object)?;
    if pool.kind() != Kind::Legacy {
        return Err(PyTypeError::new_err(
            "pool must be ProvidedBuffers: a BufferRing provides its \
            buffers itself",
        ));
    }
    Ok(pool)
}

fn provide_buffers(
    keep: &mut Keep,
    pool: Any<'_, '_>,
    first: i64,
    count: Option<i64>,
) -> PyResult<io_uring_sqe> {
    let pool = legacy(pool)?;
    let all = i64::from(pool.count());
    let count = count.unwrap_or(all.saturating_sub(first));
    let end = first.saturating_add(count);
    if first < 0 || count < 1 || end > all {
        return Err(PyValueError::new_err(format!(
            "the pool has {all} buffers, not those from {first} to {end}"
        )));
    }
    let (first, count) = (first as u16, count as u16);
    use_pool(keep, &pool, How::Provide { first, count })?;
    let address = pool.address_of(first);
    Ok(provided::provide(pool.group(), address, pool.size(), first, count))
}

fn remove_buffers(
    keep: &mut Keep,
    pool: Any<'_, '_>,
    count: Option<i64>,
) -> PyResult<io_uring_sqe> {
    let pool = legacy(pool)?;
    let count = count.unwrap_or(i64::from(pool.count()));
    let count = u16::try_from(count).ok().filter(|count| *count > 0);
    let count = count.ok_or_else(|| PyValueError::new_err("count must be 1 to 65535"))?;
    use_pool(keep, &pool, How::Remove)?;
    Ok(provided::remove(pool.group(), count))
}
