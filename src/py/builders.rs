//! The builders, once for `Ring.prep_*` and `Sqe.*`: names, arguments, and what is said of them.
//!
//! Every builder also takes `user_data` (any object, handed back with each completion), `flags`
//! (SqeFlags) and `personality` (of registered credentials, 0 for the ring's own).

use pyo3::prelude::*;

use crate::ops::file::RwOptions;
use crate::ops::{cancel, file};
use crate::py::keep::Access::{Destination, Source};
use crate::py::pool::{self, PyBufferPool};
use crate::py::ring::PyRing;
use crate::py::sqe::PySqe;
use crate::py::submit::Common;
use crate::py::{build, convert};

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

#[inline(always)]
fn common<'a, 'py>(
    user_data: Option<Any<'a, 'py>>,
    flags: u32,
    personality: u16,
) -> PyResult<Common<'a, 'py>> {
    Ok(Common { user_data, flags: convert::sqe_flags(flags)?, personality })
}

#[inline(always)]
fn rw(rw_flags: u32, ioprio: u16) -> RwOptions {
    RwOptions { rw_flags, ioprio }
}

/// Declares one method for rings and one for entries from the same text.
macro_rules! builders {
    ($(
        $(#[doc = $doc:literal])*
        fn $prep:ident / $name:ident ($($arg:ident: $type:ty),* $(,)?)
            [$($positional:tt)*] [$($keyword:tt)*] = |$keep:ident| $build:expr;
    )*) => {
        #[pymethods]
        impl PyRing {
            $(
                $(#[doc = $doc])*
                #[pyo3(signature = ($($positional)* *, $($keyword)* user_data = None, flags = 0,
                    personality = 0))]
                #[allow(clippy::too_many_arguments)]
                fn $prep(
                    &self,
                    py: Python<'_>,
                    $($arg: $type,)*
                    user_data: Option<&Bound<'_, PyAny>>,
                    flags: u32,
                    personality: u16,
                ) -> PyResult<Py<PyAny>> {
                    self.prep(py, common(user_data, flags, personality)?, |$keep| $build)
                }
            )*

            /// A pool of page-aligned buffers registered with this ring, for fixed reads and
            /// writes.
            ///
            /// Args:
            ///     count: how many, 1 to 16384.
            ///     size: bytes of each, up to 1 GiB.
            ///
            /// Raises:
            ///     UringError: the kernel refuses, most often for RLIMIT_MEMLOCK.
            ///     ValueError: the ring has a pool already.
            ///
            /// Source: io_uring_register_buffers(3).
            fn buffer_pool(slf: Bound<'_, Self>, count: i64, size: i64) -> PyResult<PyBufferPool> {
                pool::make(&slf, count, size)
            }

            /// Have an eventfd count completions.
            ///
            /// Args:
            ///     file: the eventfd.
            ///     async_only: only those that did not complete during submission.
            ///
            /// Source: io_uring_register_eventfd(3).
            #[pyo3(signature = (file, *, async_only = false))]
            fn register_eventfd(
                &self,
                py: Python<'_>,
                file: &Bound<'_, PyAny>,
                async_only: bool,
            ) -> PyResult<()> {
                self.set_eventfd(py, Some(convert::file_number(file)?), async_only)
            }

            /// Undo register_eventfd.
            fn unregister_eventfd(&self, py: Python<'_>) -> PyResult<()> {
                self.set_eventfd(py, None, false)
            }

            /// Do nothing.
            ///
            /// Kernel: 5.1.
            /// Memory: none.
            /// Result: 0.
            /// Source: io_uring_prep_nop(3).
            #[pyo3(signature = (user_data = None, *, flags = 0, personality = 0))]
            fn prep_nop(
                &self,
                py: Python<'_>,
                user_data: Option<&Bound<'_, PyAny>>,
                flags: u32,
                personality: u16,
            ) -> PyResult<Py<PyAny>> {
                self.prep(py, common(user_data, flags, personality)?, |_| Ok(file::nop()))
            }
        }

        #[pymethods]
        impl PySqe {
            $(
                $(#[doc = $doc])*
                #[staticmethod]
                #[pyo3(signature = ($($positional)* *, $($keyword)* user_data = None, flags = 0,
                    personality = 0))]
                #[allow(clippy::too_many_arguments)]
                fn $name(
                    py: Python<'_>,
                    $($arg: $type,)*
                    user_data: Option<&Bound<'_, PyAny>>,
                    flags: u32,
                    personality: u16,
                ) -> PyResult<PySqe> {
                    PySqe::build(py, common(user_data, flags, personality)?, |$keep| $build)
                }
            )*

            /// Do nothing. See `Ring.prep_nop`.
            #[staticmethod]
            #[pyo3(signature = (user_data = None, *, flags = 0, personality = 0))]
            fn nop(
                py: Python<'_>,
                user_data: Option<&Bound<'_, PyAny>>,
                flags: u32,
                personality: u16,
            ) -> PyResult<PySqe> {
                PySqe::build(py, common(user_data, flags, personality)?, |_| Ok(file::nop()))
            }
        }
    };
}

builders! {
    /// Read from a file into a buffer.
    ///
    /// Args:
    ///     file: a descriptor, or an object with fileno().
    ///     buf: writable C-contiguous buffer, up to 4 GiB - 1 bytes. Never copied.
    ///     offset: where in the file; -1 is its own position (needed for pipes and sockets).
    ///     nbytes: read at most so many (default: as many as `buf` has).
    ///     rw_flags: RWF_* flags of os.preadv.
    ///     ioprio: I/O priority, ioprio_set(2).
    ///
    /// Kernel: 5.6.
    /// Memory: `buf` is locked until the completion.
    /// Result: bytes read, perhaps fewer than asked for; 0 at the end of the file.
    /// Source: io_uring_prep_read(3).
    fn prep_read / read(file: Any<'_, '_>, buf: Any<'_, '_>, offset: i64, nbytes: Option<i64>,
        rw_flags: u32, ioprio: u16)
        [file, buf, offset = -1, nbytes = None,] [rw_flags = 0, ioprio = 0,]
        = |keep| build::rw(keep, Destination, file, buf, offset, nbytes, rw(rw_flags, ioprio));

    /// Write a buffer to a file.
    ///
    /// Args:
    ///     file: a descriptor, or an object with fileno().
    ///     buf: any bytes-like object, up to 4 GiB - 1 bytes. Never copied.
    ///     offset: where in the file; -1 is its own position (needed for pipes and sockets).
    ///     nbytes: write only so many (default: all).
    ///     rw_flags: RWF_* flags of os.pwritev.
    ///     ioprio: I/O priority, ioprio_set(2).
    ///
    /// Kernel: 5.6.
    /// Memory: `buf` is locked until the completion; what is changed before then may be written.
    /// Result: bytes written, perhaps fewer than asked for.
    /// Source: io_uring_prep_write(3).
    fn prep_write / write(file: Any<'_, '_>, buf: Any<'_, '_>, offset: i64, nbytes: Option<i64>,
        rw_flags: u32, ioprio: u16)
        [file, buf, offset = -1, nbytes = None,] [rw_flags = 0, ioprio = 0,]
        = |keep| build::rw(keep, Source, file, buf, offset, nbytes, rw(rw_flags, ioprio));

    /// Read from a file into several buffers, in order.
    ///
    /// Args: as for prep_read; `bufs` is an iterable of at most 1024 writable buffers.
    ///
    /// Kernel: 5.1.
    /// Memory: all of `bufs` are locked until the completion.
    /// Result: bytes read in all, perhaps fewer than asked for.
    /// Source: io_uring_prep_readv2(3).
    fn prep_readv / readv(file: Any<'_, '_>, bufs: Any<'_, '_>, offset: i64, rw_flags: u32,
        ioprio: u16)
        [file, bufs, offset = -1,] [rw_flags = 0, ioprio = 0,]
        = |keep| build::rwv(keep, Destination, file, bufs, offset, rw(rw_flags, ioprio));

    /// Write several buffers to a file, in order.
    ///
    /// Args: as for prep_write; `bufs` is an iterable of at most 1024 bytes-like objects.
    ///
    /// Kernel: 5.1.
    /// Memory: all of `bufs` are locked until the completion.
    /// Result: bytes written in all, perhaps fewer than asked for.
    /// Source: io_uring_prep_writev2(3).
    fn prep_writev / writev(file: Any<'_, '_>, bufs: Any<'_, '_>, offset: i64, rw_flags: u32,
        ioprio: u16)
        [file, bufs, offset = -1,] [rw_flags = 0, ioprio = 0,]
        = |keep| build::rwv(keep, Source, file, bufs, offset, rw(rw_flags, ioprio));

    /// Read from a file into a registered buffer.
    ///
    /// Args:
    ///     buf: a FixedBuffer of this ring's pool.
    ///     nbytes: read at most so many bytes (default: to the end of `buf`).
    ///     start: from this byte of `buf` on.
    ///     file, offset, rw_flags, ioprio: as for prep_read.
    ///
    /// Raises:
    ///     TypeError: `buf` is not from a pool.
    ///
    /// Kernel: 5.1.
    /// Memory: the buffer cannot be given back to its pool before the completion.
    /// Result: bytes read, perhaps fewer than asked for; 0 at the end of the file.
    /// Source: io_uring_prep_read_fixed(3).
    fn prep_read_fixed / read_fixed(file: Any<'_, '_>, buf: Any<'_, '_>, offset: i64,
        nbytes: Option<i64>, start: i64, rw_flags: u32, ioprio: u16)
        [file, buf, offset = -1, nbytes = None,] [start = 0, rw_flags = 0, ioprio = 0,]
        = |keep| build::rw_fixed(keep, Destination, file, buf, offset, nbytes, start,
            rw(rw_flags, ioprio));

    /// Write a registered buffer to a file.
    ///
    /// Args: as for prep_read_fixed.
    ///
    /// Kernel: 5.1.
    /// Memory: the buffer cannot be given back to its pool before the completion.
    /// Result: bytes written, perhaps fewer than asked for.
    /// Source: io_uring_prep_write_fixed(3).
    fn prep_write_fixed / write_fixed(file: Any<'_, '_>, buf: Any<'_, '_>, offset: i64,
        nbytes: Option<i64>, start: i64, rw_flags: u32, ioprio: u16)
        [file, buf, offset = -1, nbytes = None,] [start = 0, rw_flags = 0, ioprio = 0,]
        = |keep| build::rw_fixed(keep, Source, file, buf, offset, nbytes, start,
            rw(rw_flags, ioprio));

    /// Bring a file's data and metadata to the disk.
    ///
    /// Args:
    ///     datasync: only the metadata needed to read the data back, as os.fdatasync.
    ///     offset, nbytes: only this range (0 bytes: to the end).
    ///
    /// It orders nothing by itself: link or drain it behind the writes it is to cover.
    ///
    /// Kernel: 5.1.
    /// Memory: none.
    /// Result: 0.
    /// Source: io_uring_prep_fsync(3).
    fn prep_fsync / fsync(file: Any<'_, '_>, datasync: bool, offset: i64, nbytes: i64)
        [file,] [datasync = false, offset = 0, nbytes = 0,]
        = |keep| build::fsync(keep, file, datasync, offset, nbytes);

    /// Bring a file's data to the disk: prep_fsync with datasync.
    ///
    /// Kernel: 5.1.
    /// Memory: none.
    /// Result: 0.
    /// Source: io_uring_prep_fsync(3).
    fn prep_fdatasync / fdatasync(file: Any<'_, '_>)
        [file,] []
        = |keep| build::fsync(keep, file, true, 0, 0);

    /// Start or await the writing out of a range of a file; no guarantee against power loss.
    ///
    /// Args:
    ///     offset, nbytes: the range (0 bytes: to the end).
    ///     sync_flags: SyncFileRangeFlags (default: wait, write, wait).
    ///
    /// Kernel: 5.2.
    /// Memory: none.
    /// Result: 0.
    /// Source: io_uring_prep_sync_file_range(3).
    fn prep_sync_file_range / sync_file_range(file: Any<'_, '_>, offset: i64, nbytes: i64,
        sync_flags: u32)
        [file, offset = 0, nbytes = 0, sync_flags = 7,] []
        = |keep| build::sync_file_range(keep, file, offset, nbytes, sync_flags);

    /// Open a file.
    ///
    /// Args:
    ///     path: str, bytes or os.PathLike.
    ///     open_flags: O_* flags of os.open; O_CLOEXEC is always added.
    ///     mode: permissions of a file it creates.
    ///     dir_fd: a directory that a relative path starts from.
    ///
    /// Kernel: 5.6.
    /// Memory: the path is copied.
    /// Result: the new descriptor, yours to close.
    /// Source: io_uring_prep_openat(3).
    fn prep_openat / openat(path: Any<'_, '_>, open_flags: i32, mode: u32,
        dir_fd: Option<Any<'_, '_>>)
        [path, open_flags = 0, mode = 0o777,] [dir_fd = None,]
        = |keep| build::openat(keep, path, open_flags, mode, dir_fd);

    /// Close a descriptor. Requests in flight on it go on with the file they hold.
    ///
    /// For a Python file or socket object detach it first, or its own close comes second.
    ///
    /// Kernel: 5.6.
    /// Memory: none.
    /// Result: 0.
    /// Source: io_uring_prep_close(3).
    fn prep_close / close(file: Any<'_, '_>)
        [file,] []
        = |_keep| build::close(file);

    /// Accept a connection.
    ///
    /// Args:
    ///     sock: a listening socket.
    ///     accept_flags: SOCK_CLOEXEC (the default) and SOCK_NONBLOCK.
    ///
    /// Kernel: 5.5.
    /// Memory: none of yours; the peer is `Completion.address`.
    /// Result: the new descriptor, yours to close.
    /// Source: io_uring_prep_accept(3).
    fn prep_accept / accept(sock: Any<'_, '_>, accept_flags: u32)
        [sock, accept_flags = 0o2000000,] []
        = |keep| build::accept(keep, sock, accept_flags);

    /// Connect a socket.
    ///
    /// Args:
    ///     address: ('127.0.0.1', 80), ('::1', 80, 0, 0), a path, or bytes for an abstract name.
    ///         Host names are not looked up.
    ///
    /// Kernel: 5.5.
    /// Memory: the address is copied.
    /// Result: 0.
    /// Source: io_uring_prep_connect(3).
    fn prep_connect / connect(sock: Any<'_, '_>, address: Any<'_, '_>)
        [sock, address,] []
        = |keep| build::connect(keep, sock, address);

    /// Send a buffer.
    ///
    /// Args:
    ///     data: any bytes-like object. Never copied by us.
    ///     msg_flags: MSG_* flags; with MSG_WAITALL the kernel goes on until all is sent.
    ///     nbytes: send only so many.
    ///     address: where to, for unconnected sockets (Linux 6.0).
    ///     ioprio: RecvSendFlags.
    ///
    /// Kernel: 5.6.
    /// Memory: `data` is locked until the completion.
    /// Result: bytes sent, perhaps fewer than asked for.
    /// Source: io_uring_prep_send(3).
    fn prep_send / send(sock: Any<'_, '_>, data: Any<'_, '_>, msg_flags: u32,
        nbytes: Option<i64>, address: Option<Any<'_, '_>>, ioprio: u16)
        [sock, data, msg_flags = 0, nbytes = None,] [address = None, ioprio = 0,]
        = |keep| build::send(keep, sock, data, msg_flags, nbytes, address, ioprio);

    /// Receive into a buffer.
    ///
    /// Args:
    ///     buf: writable buffer.
    ///     msg_flags: MSG_* flags; MSG_DONTWAIT completes with EAGAIN where it would wait.
    ///     nbytes: receive at most so many.
    ///     ioprio: RecvSendFlags.
    ///
    /// Kernel: 5.6.
    /// Memory: `buf` is locked until the completion.
    /// Result: bytes received; 0 when the peer has closed.
    /// Source: io_uring_prep_recv(3).
    fn prep_recv / recv(sock: Any<'_, '_>, buf: Any<'_, '_>, msg_flags: u32,
        nbytes: Option<i64>, ioprio: u16)
        [sock, buf, msg_flags = 0, nbytes = None,] [ioprio = 0,]
        = |keep| build::recv(keep, sock, buf, msg_flags, nbytes, ioprio);

    /// Send a message of several buffers, with ancillary data, perhaps to an address.
    ///
    /// Args:
    ///     buffers: an iterable of at most 1024 bytes-like objects.
    ///     ancdata: (level, type, data) items as for socket.sendmsg.
    ///     msg_flags: MSG_* flags.
    ///     address: where to, for unconnected sockets.
    ///     ioprio: RecvSendFlags.
    ///
    /// Kernel: 5.3.
    /// Memory: `buffers` are locked until the completion; the rest is copied.
    /// Result: bytes sent.
    /// Source: io_uring_prep_sendmsg(3).
    fn prep_sendmsg / sendmsg(sock: Any<'_, '_>, buffers: Any<'_, '_>,
        ancdata: Option<Any<'_, '_>>, msg_flags: u32, address: Option<Any<'_, '_>>, ioprio: u16)
        [sock, buffers, ancdata = None, msg_flags = 0, address = None,] [ioprio = 0,]
        = |keep| build::sendmsg(keep, sock, buffers, ancdata, msg_flags, address, ioprio);

    /// Receive a message into several buffers.
    ///
    /// Args:
    ///     buffers: an iterable of at most 1024 writable buffers.
    ///     ancbufsize: bytes of room for ancillary data: socket.CMSG_SPACE of what is expected.
    ///     msg_flags: MSG_* flags.
    ///     ioprio: RecvSendFlags.
    ///
    /// The completion has `address`, `ancdata` and `msg_flags`, as socket.recvmsg gives them.
    ///
    /// Kernel: 5.3.
    /// Memory: `buffers` are locked until the completion.
    /// Result: bytes received.
    /// Source: io_uring_prep_recvmsg(3).
    fn prep_recvmsg / recvmsg(sock: Any<'_, '_>, buffers: Any<'_, '_>, ancbufsize: i64,
        msg_flags: u32, ioprio: u16)
        [sock, buffers, ancbufsize = 0, msg_flags = 0,] [ioprio = 0,]
        = |keep| build::recvmsg(keep, sock, buffers, ancbufsize, msg_flags, ioprio);

    /// Wait until a file is ready.
    ///
    /// Args:
    ///     events: select.POLLIN, POLLOUT, ... or-ed together.
    ///     multishot: report again and again, with `more` set, until cancelled (Linux 5.13).
    ///
    /// Kernel: 5.1.
    /// Memory: none.
    /// Result: the events that are ready.
    /// Source: io_uring_prep_poll_add(3), io_uring_prep_poll_multishot(3).
    fn prep_poll_add / poll_add(file: Any<'_, '_>, events: u32, multishot: bool)
        [file, events,] [multishot = false,]
        = |keep| build::poll_add(keep, file, events, multishot);

    /// End a poll request, which then completes with ECANCELED.
    ///
    /// Kernel: 5.1.
    /// Memory: none.
    /// Result: 0, -ENOENT (no such request any more) or -EALREADY (just completing).
    /// Source: io_uring_prep_poll_remove(3).
    fn prep_poll_remove / poll_remove(request: Any<'_, '_>)
        [request,] []
        = |keep| build::poll_remove(keep, request);

    /// Change the events of a poll request. A multishot one stays that.
    ///
    /// Args:
    ///     events: the new ones.
    ///
    /// Kernel: 5.13.
    /// Memory: none.
    /// Result: 0, -ENOENT or -EALREADY.
    /// Source: io_uring_prep_poll_update(3).
    fn prep_poll_update / poll_update(request: Any<'_, '_>, events: u32)
        [request, events,] []
        = |keep| build::poll_update(keep, request, events);

    /// Complete when time has passed, or after other requests have completed.
    ///
    /// Args:
    ///     seconds: from now; with `absolute` the clock's time.
    ///     count: complete earlier, with result 0, after so many other completions (0: never).
    ///     clock: 'monotonic', 'boottime' or 'realtime' (the latter two: Linux 5.15).
    ///     etime_success: running out does not break a link (Linux 5.16).
    ///
    /// Kernel: 5.4.
    /// Memory: none of yours.
    /// Result: -ETIME when the time is up, 0 by count, -ECANCELED.
    /// Source: io_uring_prep_timeout(3).
    fn prep_timeout / timeout(seconds: Any<'_, '_>, count: i64, absolute: bool, clock: &str,
        etime_success: bool)
        [seconds,] [count = 0, absolute = false, clock = "monotonic", etime_success = false,]
        = |keep| build::timeout_(keep, convert::time(seconds, absolute, clock, etime_success)?,
            count);

    /// End a timeout, which then completes with ECANCELED.
    ///
    /// Kernel: 5.5.
    /// Memory: none.
    /// Result: 0, -ENOENT or -EALREADY.
    /// Source: io_uring_prep_timeout_remove(3).
    fn prep_timeout_remove / timeout_remove(request: Any<'_, '_>)
        [request,] []
        = |keep| build::timeout_remove(keep, request);

    /// Give a timeout or link timeout a new time, on the clock it was made with.
    ///
    /// Args: as for prep_timeout.
    ///
    /// Kernel: 5.11; for link timeouts 5.15.
    /// Memory: none of yours.
    /// Result: 0, -ENOENT or -EALREADY.
    /// Source: io_uring_prep_timeout_update(3).
    fn prep_timeout_update / timeout_update(request: Any<'_, '_>, seconds: Any<'_, '_>,
        absolute: bool)
        [request, seconds,] [absolute = false,]
        = |keep| build::timeout_update(keep, request,
            convert::time(seconds, absolute, "monotonic", false)?);

    /// Limit the time of the request staged just before, which must have SqeFlags.IO_LINK.
    ///
    /// Args: as for prep_timeout.
    ///
    /// Kernel: 5.5.
    /// Memory: none of yours.
    /// Result: -ETIME when it ran out and the request was cancelled, -ECANCELED when the request
    ///     was done in time.
    /// Source: io_uring_prep_link_timeout(3).
    fn prep_link_timeout / link_timeout(seconds: Any<'_, '_>, absolute: bool, clock: &str,
        etime_success: bool)
        [seconds,] [absolute = false, clock = "monotonic", etime_success = false,]
        = |keep| build::link_timeout(keep,
            convert::time(seconds, absolute, clock, etime_success)?);

    /// Cancel a request. It still completes: with ECANCELED, or as if nothing had happened.
    ///
    /// Kernel: 5.5.
    /// Memory: none.
    /// Result: 0, -ENOENT (no such request any more) or -EALREADY (too late).
    /// Source: io_uring_prep_cancel(3).
    fn prep_cancel / cancel(request: Any<'_, '_>)
        [request,] []
        = |keep| build::cancel_request(keep, request);

    /// Cancel a request on a file, or all of them.
    ///
    /// Kernel: 5.19.
    /// Memory: none.
    /// Result: 0, or how many with `all`; -ENOENT or -EALREADY.
    /// Source: io_uring_prep_cancel_fd(3).
    fn prep_cancel_fd / cancel_fd(file: Any<'_, '_>, all: bool)
        [file,] [all = false,]
        = |keep| build::cancel_fd(keep, file, all);

    /// Cancel everything on this ring.
    ///
    /// Kernel: 5.19.
    /// Memory: none.
    /// Result: how many requests.
    /// Source: io_uring_prep_cancel(3).
    fn prep_cancel_all / cancel_all()
        [] []
        = |_keep| Ok(cancel::everything());

    /// Add a file to an epoll set, change its events, or take it out.
    ///
    /// Args:
    ///     epfd: the epoll descriptor or object.
    ///     op: EpollOp.ADD, MOD or DEL.
    ///     file: the file to watch.
    ///     events: select.EPOLLIN, ... or-ed together.
    ///     data: what epoll_wait reports for it (default: the descriptor).
    ///
    /// Kernel: 5.6.
    /// Memory: none of yours.
    /// Result: 0.
    /// Source: io_uring_prep_epoll_ctl(3).
    fn prep_epoll_ctl / epoll_ctl(epfd: Any<'_, '_>, op: i64, file: Any<'_, '_>, events: u32,
        data: Option<u64>)
        [epfd, op, file, events = 0, data = None,] []
        = |keep| build::epoll_ctl(keep, epfd, op, file, events, data);
}
