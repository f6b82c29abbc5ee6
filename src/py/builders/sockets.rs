//! A socket's life beside the moving of data.

use super::*;
use crate::ops::socket;
use crate::py::address;
use crate::py::direct;
use crate::py::keep::Keep;
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;
use crate::sys::os::SOCK_CLOEXEC;
use pyo3::exceptions::PyValueError;

builders! {
    /// Make a socket.
    ///
    /// Args:
    ///     family, type, proto: as for socket.socket; `type` may have SOCK_NONBLOCK. The descriptor
    ///         is never inheritable (os.set_inheritable makes it so).
    ///     direct: as for prep_accept.
    ///
    /// Kernel: 5.19.
    /// Memory: none.
    /// Result: the new descriptor, yours to close: socket.socket(fileno=...) takes it over. A direct
    ///     one is `Completion.value`, as with prep_accept.
    /// Source: io_uring_prep_socket(3), io_uring_prep_socket_direct(3).
    fn prep_socket / socket(family: i32, r#type: i32, proto: i32, direct: Option<Any<'_, '_>>)
        [family = 2, r#type = 1, proto = 0,] [direct = None,]
        = |keep| new_socket(keep, family, r#type, proto, direct);

    /// Give a socket its address.
    ///
    /// Args:
    ///     address: as for prep_connect.
    ///
    /// Kernel: 6.11.
    /// Memory: the address is copied.
    /// Result: 0.
    /// Source: io_uring_prep_bind(3).
    fn prep_bind / bind(sock: Any<'_, '_>, address: Any<'_, '_>)
        [sock, address,] []
        = |keep| bind(keep, sock, address);

    /// Let a socket take connections.
    ///
    /// Args:
    ///     backlog: how many may wait to be accepted; the kernel has a limit (net.core.somaxconn).
    ///
    /// Kernel: 6.11.
    /// Memory: none.
    /// Result: 0.
    /// Source: io_uring_prep_listen(3).
    fn prep_listen / listen(sock: Any<'_, '_>, backlog: i64)
        [sock, backlog = 128,] []
        = |keep| listen(keep, sock, backlog);

    /// Shut one direction of a connection down, or both.
    ///
    /// Args:
    ///     how: socket.SHUT_RD, SHUT_WR or SHUT_RDWR.
    ///
    /// Kernel: 5.11.
    /// Memory: none.
    /// Result: 0.
    /// Source: io_uring_prep_shutdown(3).
    fn prep_shutdown / shutdown(sock: Any<'_, '_>, how: i64)
        [sock, how,] []
        = |keep| shutdown(keep, sock, how);

    /// Accept connections, one completion for each, until it fails or is cancelled.
    ///
    /// Args:
    ///     sock: a listening socket.
    ///     accept_flags: SOCK_CLOEXEC (the default) and SOCK_NONBLOCK, of the new sockets.
    ///     ioprio: AcceptFlags.POLL_FIRST and DONTWAIT.
    ///     direct: True to make direct descriptors, in slots that the kernel chooses.
    ///
    /// While `Completion.more` is true others follow. Peers' addresses are not reported: the kernel
    /// would write them all to one place. Ask the accepted socket: socket.getpeername(). Shutting a
    /// TCP listener down ends it with EINVAL; of a unix one the kernel takes no notice (seen on
    /// 6.18), so cancel it.
    ///
    /// Kernel: 5.19.
    /// Memory: none.
    /// Result: a new descriptor, yours to close. A direct one is `Completion.value`, a DirectFile,
    ///     and the result is its slot.
    /// Source: io_uring_prep_multishot_accept(3).
    fn prep_multishot_accept / multishot_accept(sock: Any<'_, '_>, accept_flags: u32, ioprio: u16,
        direct: Option<Any<'_, '_>>)
        [sock, accept_flags = 0o2000000,] [ioprio = 0, direct = None,]
        = |keep| multishot_accept(keep, sock, accept_flags, ioprio, direct);
}

fn new_socket(
    keep: &mut Keep,
    family: i32,
    kind: i32,
    protocol: i32,
    direct: Option<Any<'_, '_>>,
) -> PyResult<io_uring_sqe> {
    let file_index = direct::target(keep, direct)?;
    let kind = if file_index == 0 { kind | SOCK_CLOEXEC } else { kind & !SOCK_CLOEXEC };
    Ok(io_uring_sqe { file_index, ..socket::socket(family, kind as u32, protocol as u32) })
}

fn bind(keep: &mut Keep, sock: Any<'_, '_>, address: Any<'_, '_>) -> PyResult<io_uring_sqe> {
    let fd = convert::file(keep, sock)?;
    let (sqe, args) = socket::bind(fd, address::to_kernel(sock, address)?);
    keep.keep_args(args);
    Ok(sqe)
}

fn listen(keep: &mut Keep, sock: Any<'_, '_>, backlog: i64) -> PyResult<io_uring_sqe> {
    // As socket.listen has it: less than nothing is nothing.
    let backlog = i32::try_from(backlog.max(0))
        .map_err(|_| PyValueError::new_err("backlog must be less than 2**31"))?;
    Ok(socket::listen(convert::file(keep, sock)?, backlog as u32))
}

fn shutdown(keep: &mut Keep, sock: Any<'_, '_>, how: i64) -> PyResult<io_uring_sqe> {
    if !(0..=2).contains(&how) {
        return Err(PyValueError::new_err("how must be SHUT_RD, SHUT_WR or SHUT_RDWR"));
    }
    Ok(socket::shutdown(convert::file(keep, sock)?, how as u32))
}

fn multishot_accept(
    keep: &mut Keep,
    sock: Any<'_, '_>,
    flags: u32,
    ioprio: u16,
    direct: Option<Any<'_, '_>>,
) -> PyResult<io_uring_sqe> {
    let ioprio = accept_ioprio(ioprio & !IORING_ACCEPT_MULTISHOT)?;
    let fd = convert::file(keep, sock)?;
    let (file_index, flags) = build::accept_target(keep, direct, flags)?;
    if !matches!(file_index, 0 | IORING_FILE_INDEX_ALLOC) {
        return Err(PyValueError::new_err("many connections do not fit into one slot"));
    }
    keep.per_shot = file_index != 0;
    Ok(io_uring_sqe { file_index, ..socket::multishot_accept(fd, flags, ioprio) })
}

/// AcceptFlags that an accept of one connection can have.
pub(crate) fn accept_ioprio(ioprio: u16) -> PyResult<u16> {
    if ioprio & !(IORING_ACCEPT_DONTWAIT | IORING_ACCEPT_POLL_FIRST) != 0 {
        return Err(PyValueError::new_err(
            "ioprio must be AcceptFlags.DONTWAIT and POLL_FIRST; for MULTISHOT there is \
             prep_multishot_accept",
        ));
    }
    Ok(ioprio)
}
