//! Commands to the driver of a file, above all to sockets.

use super::*;
use crate::ops::uring_cmd as command;
use crate::py::fixed;
use crate::py::keep::{Access, Keep, BIG};
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::types::{PyBytes, PyInt, PyMemoryView};

builders! {
    /// How many bytes wait to be read from a socket.
    ///
    /// Kernel: 6.6.
    /// Memory: none.
    /// Result: so many; of a datagram socket, those of the first datagram. EOPNOTSUPP of what has
    ///     no such count, unix sockets among them.
    /// Source: io_uring_prep_cmd_sock(3) (SOCKET_URING_OP_SIOCINQ).
    fn prep_siocinq / siocinq(sock: Any<'_, '_>)
        [sock,] []
        = |keep| Ok(command::siocinq(convert::file(keep, sock)?));

    /// How many bytes wait to be sent, or to be acknowledged by the peer.
    ///
    /// Kernel: 6.6.
    /// Memory: none.
    /// Result: so many. EOPNOTSUPP of what has no such count, unix sockets among them.
    /// Source: io_uring_prep_cmd_sock(3) (SOCKET_URING_OP_SIOCOUTQ).
    fn prep_siocoutq / siocoutq(sock: Any<'_, '_>)
        [sock,] []
        = |keep| Ok(command::siocoutq(convert::file(keep, sock)?));

    /// Ask for a socket's option.
    ///
    /// Args:
    ///     level: SOL_SOCKET; the kernel refuses others with EOPNOTSUPP.
    ///     optname: socket.SO_*.
    ///     buflen: ask for as many bytes, 1 to 65536, instead of an int.
    ///
    /// Kernel: 6.7; of TCP, UDP and raw sockets, not of unix ones (EOPNOTSUPP).
    /// Memory: none of yours.
    /// Result: the option's length. `Completion.value` is the option: an int, or bytes; of
    ///     SO_PEERPIDFD a new descriptor, yours to close.
    /// Source: io_uring_prep_cmd_sock(3) (SOCKET_URING_OP_GETSOCKOPT).
    fn prep_getsockopt / getsockopt(sock: Any<'_, '_>, level: i32, optname: i32,
        buflen: Option<i64>)
        [sock, level, optname, buflen = None,] []
        = |keep| getsockopt(keep, sock, level, optname, buflen);

    /// Set a socket's option.
    ///
    /// Args:
    ///     level, optname: of any level, as for socket.setsockopt.
    ///     value: an int, or a bytes-like object of at most 65536 bytes.
    ///
    /// Kernel: 6.7; of TCP, UDP and raw sockets, not of unix ones (EOPNOTSUPP).
    /// Memory: `value` is copied.
    /// Result: 0.
    /// Source: io_uring_prep_cmd_sock(3) (SOCKET_URING_OP_SETSOCKOPT).
    fn prep_setsockopt / setsockopt(sock: Any<'_, '_>, level: i32, optname: i32,
        value: Any<'_, '_>)
        [sock, level, optname, value,] []
        = |keep| setsockopt(keep, sock, level, optname, value);

    /// Ask for a socket's own address.
    ///
    /// Kernel: 6.19; older ones answer EOPNOTSUPP.
    /// Memory: none of yours.
    /// Result: 0. `Completion.value` is the address, as socket.getsockname gives it.
    /// Source: io_uring_prep_cmd_getsockname(3).
    fn prep_getsockname / getsockname(sock: Any<'_, '_>)
        [sock,] []
        = |keep| getsockname(keep, sock, false);

    /// Ask for the address of a socket's peer.
    ///
    /// Kernel: 6.19; older ones answer EOPNOTSUPP.
    /// Memory: none of yours.
    /// Result: 0. `Completion.value` is the address, as socket.getpeername gives it.
    /// Source: io_uring_prep_cmd_getsockname(3).
    fn prep_getpeername / getpeername(sock: Any<'_, '_>)
        [sock,] []
        = |keep| getsockname(keep, sock, true);

    /// Report when what a socket sent left, as long as it is not cancelled.
    ///
    /// Args:
    ///     sock: a socket with SO_TIMESTAMPING on, and with SOF_TIMESTAMPING_OPT_TSONLY.
    ///
    /// Raises:
    ///     ValueError: the ring's completions have 16 bytes. It must be made with SetupFlags.CQE32
    ///         or CQE_MIXED.
    ///
    /// Each completion with `more` is one time stamp: `Completion.big_cqe` is its seconds and
    /// nanoseconds. The bits of `flags` from the 17th on say where
    /// the data was then (SCM_TSTAMP_*); CqeFlags.TSTAMP_HW, that the hardware took the time.
    ///
    /// Kernel: 6.17.
    /// Memory: none.
    /// Result: the number of the send (SOF_TIMESTAMPING_OPT_ID).
    /// Source: io_uring_prep_cmd_sock(3) (SOCKET_URING_OP_TX_TIMESTAMP).
    fn prep_tx_timestamp / tx_timestamp(sock: Any<'_, '_>)
        [sock,] []
        = |keep| tx_timestamp(keep, sock);

    /// Discard a range of a block device: what was there is gone.
    ///
    /// Args:
    ///     file: a block device, open for writing.
    ///     offset, nbytes: the range, in whole blocks of the device.
    ///
    /// Kernel: 6.12.
    /// Memory: none.
    /// Result: 0.
    /// Source: io_uring_prep_cmd_discard(3).
    fn prep_cmd_discard / cmd_discard(file: Any<'_, '_>, offset: u64, nbytes: u64)
        [file, offset, nbytes,] []
        = |keep| Ok(command::discard(convert::file(keep, file)?, offset, nbytes));

    /// Give the driver of a file a command, byte for byte. For experts: if the command has addresses
    /// in it, the kernel writes wherever they point, and nothing here can check them.
    ///
    /// Args:
    ///     file: a device or another file whose driver has commands.
    ///     cmd_op: the command's number, which is the driver's affair.
    ///     data: bytes for the end of the entry (`cmd`): at most 16, or 80 for a ring with entries of
    ///         128 bytes (SetupFlags.SQE128), which more than 16 need.
    ///     addr, nbytes, optlen: the entry's fields of these names (nbytes is `len`).
    ///     cmd_flags: UringCmdFlags; FIXED comes with `fixed`.
    ///     fixed: a RegisteredBuffer, or a FixedBuffer of this ring's pool for the command to use.
    ///     locks: an iterable of at most 1024 bytes-like objects that the command's addresses lead
    ///         to: they are locked.
    ///
    /// Kernel: 5.19.
    /// Memory: `locks` are locked, and `fixed` cannot be given back, until the completion.
    /// Result: what the driver says; EOPNOTSUPP if it knows no commands.
    /// Source: io_uring_prep_uring_cmd(3).
    fn prep_uring_cmd / uring_cmd(file: Any<'_, '_>, cmd_op: u32, data: Option<Any<'_, '_>>,
        addr: u64, nbytes: u32, optlen: u32, cmd_flags: u32, fixed: Option<Any<'_, '_>>,
        locks: Option<Any<'_, '_>>)
        [file, cmd_op, data = None,]
        [addr = 0, nbytes = 0, optlen = 0, cmd_flags = 0, fixed = None, locks = None,]
        = |keep| uring_cmd(keep, file, cmd_op, data, fixed, locks,
            command::Command { addr, len: nbytes, optlen, flags: cmd_flags, ..Default::default() });
}

fn getsockopt(
    keep: &mut Keep,
    sock: Any<'_, '_>,
    level: i32,
    optname: i32,
    buflen: Option<i64>,
) -> PyResult<io_uring_sqe> {
    let fd = convert::file(keep, sock)?;
    let fits = |buflen: i64| usize::try_from(buflen).ok().filter(|n| fits_option(*n) && *n > 0);
    let buflen = match buflen {
        None => None,
        Some(asked) => Some(fits(asked).ok_or_else(|| {
            PyValueError::new_err(format!("buflen must be 1 to {}", command::OPTION_MAX))
        })?),
    };
    let (sqe, args) = command::getsockopt(fd, level, optname, buflen);
    keep.keep_args(args);
    Ok(sqe)
}

fn fits_option(len: usize) -> bool {
    len <= command::OPTION_MAX
}

fn setsockopt(
    keep: &mut Keep,
    sock: Any<'_, '_>,
    level: i32,
    optname: i32,
    value: Any<'_, '_>,
) -> PyResult<io_uring_sqe> {
    let fd = convert::file(keep, sock)?;
    let value: Box<[u8]> = if value.is_instance_of::<PyInt>() {
        let int: i32 = value
            .extract()
            .map_err(|_| PyOverflowError::new_err("an int option has 32 bits, with a sign"))?;
        Box::new(int.to_ne_bytes())
    } else {
        copied(value, command::OPTION_MAX, "an option")?
    };
    let (sqe, args) = command::setsockopt(fd, level, optname, value);
    keep.keep_args(args);
    Ok(sqe)
}

/// The bytes of a bytes-like object of at most `most` of them.
fn copied(object: Any<'_, '_>, most: usize, what: &str) -> PyResult<Box<[u8]>> {
    // Not bytes(object), which makes five zeroes of 5 and takes any list.
    let view = PyMemoryView::from(object)?;
    let nbytes: usize = view.getattr("nbytes")?.extract()?;
    if nbytes > most {
        return Err(PyValueError::new_err(format!(
            "{what} has at most {most} bytes here, not {nbytes}"
        )));
    }
    let bytes = view.call_method0("tobytes")?;
    Ok(bytes.cast::<PyBytes>()?.as_bytes().into())
}

fn getsockname(keep: &mut Keep, sock: Any<'_, '_>, peer: bool) -> PyResult<io_uring_sqe> {
    let (sqe, args) = command::getsockname(convert::file(keep, sock)?, peer);
    keep.keep_args(args);
    Ok(sqe)
}

fn tx_timestamp(keep: &mut Keep, sock: Any<'_, '_>) -> PyResult<io_uring_sqe> {
    keep.ring_id |= BIG;
    Ok(command::tx_timestamp(convert::file(keep, sock)?))
}

fn uring_cmd(
    keep: &mut Keep,
    file: Any<'_, '_>,
    cmd_op: u32,
    data: Option<Any<'_, '_>>,
    fixed: Option<Any<'_, '_>>,
    locks: Option<Any<'_, '_>>,
    mut with: command::Command,
) -> PyResult<io_uring_sqe> {
    let allowed = if fixed.is_some() { IORING_URING_CMD_MASK } else { IORING_URING_CMD_MULTISHOT };
    if with.flags & !allowed != 0 {
        return Err(PyValueError::new_err("cmd_flags must be UringCmdFlags; FIXED needs `fixed`"));
    }
    let fd = convert::file(keep, file)?;
    let mut more = Vec::new();
    if let Some(data) = data {
        let bytes = copied(data, command::WIDE_ROOM, "a command")?;
        let (first, rest) = bytes.split_at(bytes.len().min(command::COMMAND_ROOM));
        with.data[..first.len()].copy_from_slice(first);
        more.extend_from_slice(rest);
    }
    if let Some(buffer) = fixed {
        let (_, index) = fixed::memory(keep, buffer, 0, Access::Source)?;
        with.index = index;
        with.flags |= IORING_URING_CMD_FIXED;
    }
    if let Some(locks) = locks {
        keep.export_all(locks, Access::Source)?;
    }
    if !more.is_empty() {
        keep.set_second_half(command::second_half(&more));
    }
    Ok(command::raw(fd, cmd_op, with))
}
