"""Cases: sockets."""

_HOME = '("127.0.0.1", 80)'
_TO = "(struct sockaddr *)&inet, sizeof(inet)"

# A message of two buffers with ancillary data to an address, and what the header leads to.
_MESSAGE = (
    "struct iovec two[] = {{BUF, 100}, {BUF2, 50}}; "
    "union { char data[CMSG_SPACE(8)]; struct cmsghdr header; } control = {{0}}; "
    "control.header = (struct cmsghdr){CMSG_LEN(8), 1, 2}; "
    'memcpy(CMSG_DATA(&control.header), "contents", 8); '
    "MESSAGE(&inet, sizeof(inet), two, 2, &control, sizeof(control));"
)
_MESSAGE_COPIES = (
    "COPY(addr, &message, sizeof(message)); INNER(addr, struct msghdr, msg_name, &inet, 16); "
    "INNER(addr, struct msghdr, msg_iov, two, sizeof(two)); "
    "INNER(addr, struct msghdr, msg_control, &control, sizeof(control))"
)
_PLAIN = "struct iovec one[] = {{BUF, 100}}; MESSAGE(0, 0, one, 1, 0, 0);"
_PLAIN_COPIES = (
    "COPY(addr, &message, sizeof(message)); INNER(addr, struct msghdr, msg_iov, one, sizeof(one))"
)

LIFE = [
    ("Sqe.socket(2, 1, 6)", "io_uring_prep_socket(sqe, 2, SOCK_STREAM | SOCK_CLOEXEC, 6, 0)"),
    (
        f"Sqe.bind(5, {_HOME})",
        f"io_uring_prep_bind(sqe, 5, {_TO}); COPY(addr, &inet, sizeof(inet))",
    ),
    ("Sqe.listen(5, 9)", "io_uring_prep_listen(sqe, 5, 9)"),
    ("Sqe.shutdown(5, 2)", "io_uring_prep_shutdown(sqe, 5, SHUT_RDWR)"),
    (
        "Sqe.accept(5)",
        "io_uring_prep_accept(sqe, 5, (struct sockaddr *)&peer, &peer_length, SOCK_CLOEXEC); "
        "ROOM(addr); COPY(off, &peer_length, 4)",
    ),
    (
        "Sqe.accept(5, multishot=True)",
        "io_uring_prep_multishot_accept(sqe, 5, 0, 0, SOCK_CLOEXEC)",
    ),
    (
        f"Sqe.connect(5, {_HOME})",
        f"io_uring_prep_connect(sqe, 5, {_TO}); COPY(addr, &inet, sizeof(inet))",
    ),
    (
        'Sqe.connect(5, ("::1", 80))',
        "io_uring_prep_connect(sqe, 5, (struct sockaddr *)&inet6, sizeof(inet6)); "
        "COPY(addr, &inet6, sizeof(inet6))",
    ),
    (
        'Sqe.connect(5, "/path")',
        "io_uring_prep_connect(sqe, 5, (struct sockaddr *)&unix_path, 8); "
        "COPY(addr, &unix_path, 8)",
    ),
    (
        'Sqe.connect(5, b"\\0name")',
        'memcpy(unix_path.sun_path, "\\0name", 5); '
        "io_uring_prep_connect(sqe, 5, (struct sockaddr *)&unix_path, 7); "
        "COPY(addr, &unix_path, 7)",
    ),
]

DATA = [
    ("Sqe.send(5, BUF)", "io_uring_prep_send(sqe, 5, BUF, 100, 0)"),
    (
        "Sqe.send(5, BUF, 6, 3, ioprio=1)",
        "io_uring_prep_send(sqe, 5, BUF, 3, 6); sqe->ioprio = IORING_RECVSEND_POLL_FIRST",
    ),
    (
        f"Sqe.send(5, BUF, address={_HOME})",
        f"io_uring_prep_sendto(sqe, 5, BUF, 100, 0, {_TO}); COPY(off, &inet, sizeof(inet))",
    ),
    ("Sqe.recv(5, BUF)", "io_uring_prep_recv(sqe, 5, BUF, 100, 0)"),
    (
        "Sqe.recv(5, BUF, 6, 3, ioprio=1)",
        "io_uring_prep_recv(sqe, 5, BUF, 3, 6); sqe->ioprio = IORING_RECVSEND_POLL_FIRST",
    ),
    (
        f'Sqe.sendmsg(5, [BUF, BUF2], [(1, 2, b"contents")], 6, {_HOME}, ioprio=1)',
        f"{_MESSAGE} io_uring_prep_sendmsg(sqe, 5, &message, 6); "
        f"sqe->ioprio = IORING_RECVSEND_POLL_FIRST; {_MESSAGE_COPIES}",
    ),
    (
        "Sqe.sendmsg(5, [BUF])",
        f"{_PLAIN} io_uring_prep_sendmsg(sqe, 5, &message, 0); {_PLAIN_COPIES}",
    ),
    (
        "Sqe.recvmsg(5, [BUF], 64, 6, ioprio=1)",
        "struct iovec one[] = {{BUF, 100}}; MESSAGE(&peer, sizeof(peer), one, 1, value, 64); "
        "io_uring_prep_recvmsg(sqe, 5, &message, 6); sqe->ioprio = 1; "
        "COPY(addr, &message, sizeof(message)); INNER_ROOM(addr, struct msghdr, msg_name); "
        "INNER(addr, struct msghdr, msg_iov, one, sizeof(one)); "
        "INNER_ROOM(addr, struct msghdr, msg_control)",
    ),
]

ZERO_COPY = [
    ("Sqe.send_zc(5, BUF, 6, 3)", "io_uring_prep_send_zc(sqe, 5, BUF, 3, 6, 0)"),
    (
        f"Sqe.send_zc(5, BUF, address={_HOME}, report_usage=True)",
        "io_uring_prep_send_zc(sqe, 5, BUF, 100, 0, IORING_SEND_ZC_REPORT_USAGE); "
        f"io_uring_prep_send_set_addr(sqe, {_TO}); COPY(off, &inet, sizeof(inet))",
    ),
    (
        "Sqe.send_zc(5, FIXED)",
        "io_uring_prep_send_zc_fixed(sqe, 5, FIXED, 4096, 0, 0, FIXED_INDEX)",
    ),
    (
        f'Sqe.sendmsg_zc(5, [BUF, BUF2], [(1, 2, b"contents")], 6, {_HOME})',
        f"{_MESSAGE} io_uring_prep_sendmsg_zc(sqe, 5, &message, 6); {_MESSAGE_COPIES}",
    ),
]

COMMANDS = [
    (
        "Sqe.cmd_sock(5, SocketOp.SIOCINQ)",
        "io_uring_prep_cmd_sock(sqe, SOCKET_URING_OP_SIOCINQ, 5, 0, 0, 0, 0)",
    ),
    (
        "Sqe.uring_cmd(5, 0x1200, 4096, addr3=8192)",
        "io_uring_prep_cmd_discard(sqe, 5, 4096, 8192)",
    ),
]
