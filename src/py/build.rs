//! From the arguments of a builder to a submission entry, with everything it needs kept.

pub(crate) mod attrs;
pub(crate) mod paths;
pub(crate) mod space;
pub(crate) mod splice;
pub(crate) mod stat;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyMemoryView};

use crate::ops::cmsg::{space, Control};
use crate::ops::file::RwOptions;
use crate::ops::{cancel, file, net, path, poll, timeout};
use crate::py::builders::sends::{recv_send_flags, vectors};
use crate::py::builders::sockets::accept_ioprio;
use crate::py::direct::{self, PyDirectFile};
use crate::py::keep::{Access, Keep};
use crate::py::request::{self, RequestKey};
use crate::py::{address, convert, fixed};
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;
use crate::sys::opcode;
use crate::sys::os::{AT_FDCWD, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD};
use crate::sys::os::{O_CLOEXEC, SOCK_CLOEXEC};

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

/// One buffer, one direction.
#[inline(always)]
pub(crate) fn rw(
    keep: &mut Keep,
    access: Access,
    file: Any<'_, '_>,
    buf: Any<'_, '_>,
    offset: i64,
    nbytes: Option<i64>,
    options: RwOptions,
) -> PyResult<io_uring_sqe> {
    let fd = convert::file(keep, file)?;
    let memory = keep.export(buf, access)?;
    let len = convert::length(memory, nbytes)?;
    let offset = convert::offset(offset)?;
    Ok(match access {
        Access::Destination => file::read(fd, memory.addr, len, offset, options),
        Access::Source => file::write(fd, memory.addr, len, offset, options),
    })
}

/// Several buffers.
pub(crate) fn rwv(
    keep: &mut Keep,
    access: Access,
    file: Any<'_, '_>,
    bufs: Any<'_, '_>,
    offset: i64,
    options: RwOptions,
) -> PyResult<io_uring_sqe> {
    let fd = convert::file(keep, file)?;
    let offset = convert::offset(offset)?;
    let vectors = keep.export_all(bufs, access)?;
    let (sqe, args) = match access {
        Access::Destination => file::readv(fd, vectors, offset, options),
        Access::Source => file::writev(fd, vectors, offset, options),
    };
    keep.keep_args(args);
    Ok(sqe)
}

/// A part of a registered buffer.
#[allow(clippy::too_many_arguments)]
pub(crate) fn rw_fixed(
    keep: &mut Keep,
    access: Access,
    file: Any<'_, '_>,
    buf: Any<'_, '_>,
    offset: i64,
    nbytes: Option<i64>,
    start: i64,
    options: RwOptions,
) -> PyResult<io_uring_sqe> {
    let fd = convert::file(keep, file)?;
    let offset = convert::offset(offset)?;
    let (memory, index) = fixed::memory(keep, buf, start, access)?;
    let len = convert::length(memory, nbytes)?;
    Ok(match access {
        Access::Destination => file::read_fixed(fd, memory.addr, len, offset, index, options),
        Access::Source => file::write_fixed(fd, memory.addr, len, offset, index, options),
    })
}

/// Parts of one registered buffer.
pub(crate) fn rwv_fixed(
    keep: &mut Keep,
    access: Access,
    file: Any<'_, '_>,
    buf: Any<'_, '_>,
    parts: Any<'_, '_>,
    offset: i64,
    options: RwOptions,
) -> PyResult<io_uring_sqe> {
    let fd = convert::file(keep, file)?;
    let offset = convert::offset(offset)?;
    let (vectors, index) = fixed::vectors(keep, buf, parts, access)?;
    let (sqe, args) = match access {
        Access::Destination => file::readv_fixed(fd, vectors, offset, index, options),
        Access::Source => file::writev_fixed(fd, vectors, offset, index, options),
    };
    keep.keep_args(args);
    Ok(sqe)
}

/// The range of a file: where, and how many bytes (0: to its end).
fn range(offset: i64, nbytes: i64) -> PyResult<(u64, u32)> {
    let offset =
        u64::try_from(offset).map_err(|_| PyValueError::new_err("offset must not be negative"))?;
    let len = u32::try_from(nbytes)
        .map_err(|_| PyValueError::new_err("nbytes must be 0 to 2**32 - 1; 0 is to the end"))?;
    Ok((offset, len))
}

pub(crate) fn fsync(
    keep: &mut Keep,
    file: Any<'_, '_>,
    datasync: bool,
    offset: i64,
    nbytes: i64,
) -> PyResult<io_uring_sqe> {
    let (offset, len) = range(offset, nbytes)?;
    Ok(file::fsync(convert::file(keep, file)?, datasync, offset, len))
}

pub(crate) fn sync_file_range(
    keep: &mut Keep,
    file: Any<'_, '_>,
    offset: i64,
    nbytes: i64,
    flags: u32,
) -> PyResult<io_uring_sqe> {
    let (offset, len) = range(offset, nbytes)?;
    Ok(file::sync_file_range(convert::file(keep, file)?, offset, len, flags))
}

pub(crate) fn openat(
    keep: &mut Keep,
    path: Any<'_, '_>,
    flags: i32,
    mode: u32,
    dir_fd: Option<Any<'_, '_>>,
    direct: Option<Any<'_, '_>>,
) -> PyResult<io_uring_sqe> {
    let dir = match dir_fd {
        Some(dir) => convert::file(keep, dir)?,
        None => AT_FDCWD,
    };
    let path = convert::path(path)?;
    let file_index = direct::target(keep, direct)?;
    let flags = if file_index == 0 { flags | O_CLOEXEC } else { flags & !O_CLOEXEC };
    let (sqe, args) = path::openat(dir, path, flags as u32, mode);
    keep.keep_args(args);
    Ok(io_uring_sqe { file_index, ..sqe })
}

pub(crate) fn close(keep: &mut Keep, file: Any<'_, '_>) -> PyResult<io_uring_sqe> {
    match file.cast::<PyDirectFile>() {
        Ok(direct) => direct::close_file(keep, direct),
        Err(_) => Ok(path::close(convert::file_number(file)?)),
    }
}

/// Where accepted sockets go, and the flags that go with that: close-on-exec means nothing to a
/// direct descriptor, and the kernel refuses it.
pub(crate) fn accept_target(
    keep: &mut Keep,
    direct: Option<Any<'_, '_>>,
    flags: u32,
) -> PyResult<(u32, u32)> {
    let file_index = direct::target(keep, direct)?;
    Ok((file_index, if file_index == 0 { flags } else { flags & !(SOCK_CLOEXEC as u32) }))
}

pub(crate) fn accept(
    keep: &mut Keep,
    sock: Any<'_, '_>,
    flags: u32,
    ioprio: u16,
    direct: Option<Any<'_, '_>>,
) -> PyResult<io_uring_sqe> {
    let ioprio = accept_ioprio(ioprio)?;
    let fd = convert::file(keep, sock)?;
    let (file_index, flags) = accept_target(keep, direct, flags)?;
    let (sqe, args) = net::accept(fd, flags, ioprio);
    keep.keep_args(args);
    Ok(io_uring_sqe { file_index, ..sqe })
}

pub(crate) fn connect(
    keep: &mut Keep,
    sock: Any<'_, '_>,
    address: Any<'_, '_>,
) -> PyResult<io_uring_sqe> {
    let fd = convert::file(keep, sock)?;
    let (sqe, args) = net::connect(fd, address::to_kernel(sock, address)?);
    keep.keep_args(args);
    Ok(sqe)
}

pub(crate) fn send(
    keep: &mut Keep,
    sock: Any<'_, '_>,
    data: Any<'_, '_>,
    msg_flags: u32,
    nbytes: Option<i64>,
    address: Option<Any<'_, '_>>,
    ioprio: u16,
) -> PyResult<io_uring_sqe> {
    let ioprio = recv_send_flags(ioprio, IORING_RECVSEND_POLL_FIRST | IORING_SEND_VECTORIZED)?;
    if ioprio & IORING_SEND_VECTORIZED != 0 {
        return vectors(keep, sock, data, msg_flags, nbytes, address, ioprio);
    }
    let fd = convert::file(keep, sock)?;
    let memory = keep.export(data, Access::Source)?;
    let sqe = net::send(fd, memory.addr, convert::length(memory, nbytes)?, msg_flags, ioprio);
    let Some(address) = address else { return Ok(sqe) };
    let (sqe, args) = net::send_to(sqe, address::to_kernel(sock, address)?);
    keep.keep_args(args);
    Ok(sqe)
}

pub(crate) fn recv(
    keep: &mut Keep,
    sock: Any<'_, '_>,
    buf: Any<'_, '_>,
    msg_flags: u32,
    nbytes: Option<i64>,
    ioprio: u16,
) -> PyResult<io_uring_sqe> {
    let ioprio = recv_send_flags(ioprio, IORING_RECVSEND_POLL_FIRST)?;
    let fd = convert::file(keep, sock)?;
    let memory = keep.export(buf, Access::Destination)?;
    Ok(net::recv(fd, memory.addr, convert::length(memory, nbytes)?, msg_flags, ioprio))
}

pub(crate) fn sendmsg(
    keep: &mut Keep,
    sock: Any<'_, '_>,
    buffers: Any<'_, '_>,
    ancdata: Option<Any<'_, '_>>,
    msg_flags: u32,
    address: Option<Any<'_, '_>>,
    ioprio: u16,
) -> PyResult<io_uring_sqe> {
    let ioprio = recv_send_flags(ioprio, IORING_RECVSEND_POLL_FIRST)?;
    let fd = convert::file(keep, sock)?;
    let vectors = keep.export_all(buffers, Access::Source)?;
    let address = address.map(|address| address::to_kernel(sock, address)).transpose()?;
    let (sqe, args) = net::sendmsg(fd, vectors, address, control(ancdata)?, msg_flags, ioprio);
    keep.keep_args(args);
    Ok(sqe)
}

/// Ancillary data in the form of `socket.sendmsg`.
pub(crate) fn control(ancdata: Option<Any<'_, '_>>) -> PyResult<Control> {
    let mut control = Control::default();
    let Some(ancdata) = ancdata else { return Ok(control) };
    for item in ancdata.try_iter()? {
        let (level, kind, data): (i32, i32, Bound<'_, PyAny>) = item?.extract()?;
        // Through a memoryview: `bytes(5)` would be five zeroes.
        let bytes = PyMemoryView::from(&data)?.call_method0("tobytes")?;
        let bytes: PyBackedBytes = bytes.cast_into::<PyBytes>()?.into();
        if control.len() + space(bytes.len()) > ANCILLARY_MAX {
            return Err(PyValueError::new_err("the ancillary data is too long"));
        }
        control.push(level, kind, &bytes);
    }
    Ok(control)
}

/// More than the kernel takes (net.core.optmem_max), less than a mistake.
const ANCILLARY_MAX: usize = 1 << 20;

pub(crate) fn recvmsg(
    keep: &mut Keep,
    sock: Any<'_, '_>,
    buffers: Any<'_, '_>,
    ancbufsize: i64,
    msg_flags: u32,
    ioprio: u16,
) -> PyResult<io_uring_sqe> {
    let ioprio = recv_send_flags(ioprio, IORING_RECVSEND_POLL_FIRST)?;
    let fd = convert::file(keep, sock)?;
    let room = ancillary_room(ancbufsize)?;
    let vectors = keep.export_all(buffers, Access::Destination)?;
    let (sqe, args) = net::recvmsg(fd, vectors, room, msg_flags, ioprio);
    keep.keep_args(args);
    Ok(sqe)
}

/// Room for so many bytes of ancillary data.
pub(crate) fn ancillary_room(ancbufsize: i64) -> PyResult<Control> {
    let room = usize::try_from(ancbufsize).ok().filter(|room| *room <= ANCILLARY_MAX);
    room.map(Control::with_room)
        .ok_or_else(|| PyValueError::new_err(format!("ancbufsize must be 0 to {ANCILLARY_MAX}")))
}

pub(crate) fn poll_add(
    keep: &mut Keep,
    file: Any<'_, '_>,
    events: u32,
    multishot: bool,
    level: bool,
) -> PyResult<io_uring_sqe> {
    let multishot = if multishot { IORING_POLL_ADD_MULTI } else { 0 };
    let level = if level { IORING_POLL_ADD_LEVEL } else { 0 };
    Ok(poll::add(convert::file(keep, file)?, events, multishot | level))
}

/// As much memory for events as anybody can use at once.
const EVENTS_MAX: i64 = 1 << 16;

pub(crate) fn epoll_wait(
    keep: &mut Keep,
    epfd: Any<'_, '_>,
    maxevents: i64,
) -> PyResult<io_uring_sqe> {
    if !(1..=EVENTS_MAX).contains(&maxevents) {
        return Err(PyValueError::new_err(format!("maxevents must be 1 to {EVENTS_MAX}")));
    }
    let (sqe, args) = poll::epoll_wait(convert::file(keep, epfd)?, maxevents as u32);
    keep.keep_args(args);
    Ok(sqe)
}

/// The request that another one is to act on; only one of the same ring will do.
fn target(keep: &mut Keep, request: Any<'_, '_>) -> PyResult<RequestKey> {
    let target = request::extract(request)?;
    keep.bind(target.ring_id)?;
    Ok(target)
}

pub(crate) fn poll_remove(keep: &mut Keep, request: Any<'_, '_>) -> PyResult<io_uring_sqe> {
    Ok(poll::remove(target(keep, request)?.key))
}

pub(crate) fn poll_update(
    keep: &mut Keep,
    request: Any<'_, '_>,
    events: u32,
) -> PyResult<io_uring_sqe> {
    Ok(poll::update(target(keep, request)?.key, events))
}

pub(crate) fn timeout_(
    keep: &mut Keep,
    mut time: timeout::Time,
    count: i64,
    multishot: bool,
) -> PyResult<io_uring_sqe> {
    if multishot && time.flags & IORING_TIMEOUT_ABS != 0 {
        return Err(PyValueError::new_err("a multishot timeout cannot be absolute"));
    }
    time.flags |= if multishot { IORING_TIMEOUT_MULTISHOT } else { 0 };
    let count =
        u32::try_from(count).map_err(|_| PyValueError::new_err("count must be 0 to 2**32 - 1"))?;
    let (sqe, args) = timeout::timeout(time, count);
    keep.keep_args(args);
    Ok(sqe)
}

pub(crate) fn link_timeout(keep: &mut Keep, time: timeout::Time) -> PyResult<io_uring_sqe> {
    let (sqe, args) = timeout::link_timeout(time);
    keep.keep_args(args);
    Ok(sqe)
}

pub(crate) fn timeout_remove(keep: &mut Keep, request: Any<'_, '_>) -> PyResult<io_uring_sqe> {
    Ok(timeout::remove(target(keep, request)?.key))
}

pub(crate) fn timeout_update(
    keep: &mut Keep,
    request: Any<'_, '_>,
    time: timeout::Time,
) -> PyResult<io_uring_sqe> {
    let target = target(keep, request)?;
    let link = target.op == IORING_OP_LINK_TIMEOUT;
    let (sqe, args) = timeout::update(target.key, time, link);
    keep.keep_args(args);
    Ok(sqe)
}

pub(crate) fn cancel_request(keep: &mut Keep, request: Any<'_, '_>) -> PyResult<io_uring_sqe> {
    Ok(cancel::by_key(target(keep, request)?.key))
}

pub(crate) fn cancel_fd(keep: &mut Keep, file: Any<'_, '_>, all: bool) -> PyResult<io_uring_sqe> {
    let (fd, is_slot) = direct::number_or_slot(keep, file)?;
    Ok(cancel::by_fd(fd, is_slot, all))
}

/// The operation with this name or number.
fn opcode_of(op: Any<'_, '_>) -> PyResult<u8> {
    if let Ok(name) = op.extract::<String>() {
        let info = opcode::by_name(&name);
        let info = info.ok_or_else(|| PyValueError::new_err(format!("no operation {name:?}")))?;
        return Ok(info.number);
    }
    op.extract()
}

pub(crate) fn cancel_op(
    keep: &mut Keep,
    op: Any<'_, '_>,
    file: Option<Any<'_, '_>>,
    all: bool,
) -> PyResult<io_uring_sqe> {
    let op = opcode_of(op)?;
    let file = file.map(|file| direct::number_or_slot(keep, file)).transpose()?;
    Ok(cancel::by_op(op, file, all))
}

pub(crate) fn epoll_ctl(
    keep: &mut Keep,
    epfd: Any<'_, '_>,
    op: i64,
    file: Any<'_, '_>,
    events: u32,
    data: Option<u64>,
) -> PyResult<io_uring_sqe> {
    let known = [EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD].map(i64::from);
    if !known.contains(&op) {
        return Err(PyValueError::new_err("op must be EpollOp.ADD, MOD or DEL"));
    }
    let epfd = convert::file(keep, epfd)?;
    // The file itself need not be held: the kernel takes its own reference when it is added.
    let fd = convert::file_number(file)?;
    let (sqe, args) = poll::epoll_ctl(epfd, op as u32, fd, events, data.unwrap_or(fd as u64));
    keep.keep_args(args);
    Ok(sqe)
}
