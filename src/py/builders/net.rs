//! Sockets.

use super::*;

builders! {
    /// Accept a connection.
    ///
    /// Args:
    ///     sock: a listening socket.
    ///     accept_flags: SOCK_CLOEXEC (the default) and SOCK_NONBLOCK.
    ///     ioprio: AcceptFlags.POLL_FIRST and DONTWAIT.
    ///     direct: make a direct descriptor: True to have the kernel choose its slot (Linux 5.19), or
    ///         a reserved DirectFile (FileTable.reserve) for it to go into (Linux 5.15).
    ///
    /// Kernel: 5.5.
    /// Memory: none of yours; the peer is `Completion.address`.
    /// Result: the new descriptor, yours to close. A direct one is `Completion.value`, a DirectFile,
    ///     and the result is its slot, or 0 for a reserved one.
    /// Source: io_uring_prep_accept(3).
    fn prep_accept / accept(sock: Any<'_, '_>, accept_flags: u32, ioprio: u16,
        direct: Option<Any<'_, '_>>)
        [sock, accept_flags = 0o2000000,] [ioprio = 0, direct = None,]
        = |keep| build::accept(keep, sock, accept_flags, ioprio, direct);

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
    ///     ioprio: RecvSendFlags.POLL_FIRST; with SEND_VECTORIZED (6.17) `data` is an iterable of at
    ///         most 1024 bytes-like objects.
    ///     pool: a BufferRing made with sending=True: send the next buffer queued there, in place
    ///         of `data`, all of it as with MSG_WAITALL (Linux 6.10); prep_send_bundle sends many.
    ///
    /// Kernel: 5.6.
    /// Memory: `data` is locked until the completion.
    /// Result: bytes sent, perhaps fewer than asked for.
    /// Source: io_uring_prep_send(3).
    fn prep_send / send(sock: Any<'_, '_>, data: Option<Any<'_, '_>>, msg_flags: u32,
        nbytes: Option<i64>, address: Option<Any<'_, '_>>, ioprio: u16,
        pool: Option<Any<'_, '_>>)
        [sock, data = None, msg_flags = 0, nbytes = None,] [address = None, ioprio = 0,
            pool = None,]
        = |keep| match provided::either(data, pool)? {
            Ok(data) => build::send(keep, sock, data, msg_flags, nbytes, address, ioprio),
            Err(pool) => provided::send(keep, sock, pool, msg_flags, nbytes, address, ioprio),
        };

    /// Receive into a buffer.
    ///
    /// Args:
    ///     buf: writable buffer; none with a pool.
    ///     msg_flags: MSG_* flags; MSG_DONTWAIT completes with EAGAIN where it would wait.
    ///     nbytes: receive at most so many.
    ///     ioprio: RecvSendFlags.POLL_FIRST.
    ///     pool: a BufferRing or ProvidedBuffers: the kernel chooses a buffer when there is data,
    ///         and `Completion.buffer` is what was received.
    ///     multishot: go on, as prep_recv_multishot; needs a pool.
    ///     bundle: into several buffers of the pool at once, `Completion.buffers` (Linux 6.10).
    ///
    /// Kernel: 5.6.
    /// Memory: `buf` is locked until the completion.
    /// Result: bytes received; 0 when the peer has closed; -ENOBUFS when the pool has no buffer.
    /// Source: io_uring_prep_recv(3).
    fn prep_recv / recv(sock: Any<'_, '_>, buf: Option<Any<'_, '_>>, msg_flags: u32,
        nbytes: Option<i64>, ioprio: u16, pool: Option<Any<'_, '_>>, multishot: bool, bundle: bool)
        [sock, buf = None, msg_flags = 0, nbytes = None,]
        [ioprio = 0, pool = None, multishot = false, bundle = false,]
        = |keep| match provided::either(buf, pool)? {
            Ok(buf) => {
                provided::no_pool(multishot, bundle)?;
                build::recv(keep, sock, buf, msg_flags, nbytes, ioprio)
            }
            Err(pool) => {
                let ioprio = provided::modes(ioprio, multishot, bundle);
                provided::recv(keep, sock, pool, msg_flags, nbytes, ioprio)
            }
        };

    /// Send a message of several buffers, with ancillary data, perhaps to an address.
    ///
    /// Args:
    ///     buffers: an iterable of at most 1024 bytes-like objects.
    ///     ancdata: (level, type, data) items as for socket.sendmsg.
    ///     msg_flags: MSG_* flags.
    ///     address: where to, for unconnected sockets.
    ///     ioprio: RecvSendFlags.POLL_FIRST.
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
    ///     buffers: an iterable of at most 1024 writable buffers; none with a pool.
    ///     ancbufsize: bytes of room for ancillary data: socket.CMSG_SPACE of what is expected.
    ///     msg_flags: MSG_* flags.
    ///     ioprio: RecvSendFlags.POLL_FIRST.
    ///     pool: a BufferRing or ProvidedBuffers: the payload goes into a buffer that the kernel
    ///         chooses, `Completion.buffer`.
    ///
    /// The completion has `address`, `ancdata` and `msg_flags`, as socket.recvmsg gives them.
    ///
    /// Kernel: 5.3.
    /// Memory: `buffers` are locked until the completion.
    /// Result: bytes received.
    /// Source: io_uring_prep_recvmsg(3).
    fn prep_recvmsg / recvmsg(sock: Any<'_, '_>, buffers: Option<Any<'_, '_>>, ancbufsize: i64,
        msg_flags: u32, ioprio: u16, pool: Option<Any<'_, '_>>)
        [sock, buffers = None, ancbufsize = 0, msg_flags = 0,] [ioprio = 0, pool = None,]
        = |keep| match provided::either(buffers, pool)? {
            Ok(buffers) => build::recvmsg(keep, sock, buffers, ancbufsize, msg_flags, ioprio),
            Err(pool) => provided::recvmsg(keep, sock, pool, ancbufsize, msg_flags, ioprio),
        };
}
