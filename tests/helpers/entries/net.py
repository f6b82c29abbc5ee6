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
    ("Sqe.multishot_accept(5)", "io_uring_prep_multishot_accept(sqe, 5, 0, 0, SOCK_CLOEXEC)"),
    (
        "Sqe.multishot_accept(5, direct=True)",
        "io_uring_prep_multishot_accept_direct(sqe, 5, 0, 0, 0)",
    ),
    (
        "Sqe.accept(5, ioprio=AcceptFlags.DONTWAIT | AcceptFlags.POLL_FIRST)",
        "io_uring_prep_accept(sqe, 5, (struct sockaddr *)&peer, &peer_length, SOCK_CLOEXEC); "
        "sqe->ioprio = IORING_ACCEPT_DONTWAIT | IORING_ACCEPT_POLL_FIRST; "
        "ROOM(addr); COPY(off, &peer_length, 4)",
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

SEVERAL = [
    (
        f"Sqe.sendto(5, BUF, {_HOME}, 6)",
        f"io_uring_prep_sendto(sqe, 5, BUF, 100, 6, {_TO}); COPY(off, &inet, sizeof(inet))",
    ),
    (
        "Sqe.send_zc(5, [BUF, BUF2], ioprio=RecvSendFlags.SEND_VECTORIZED)",
        "struct iovec two[] = {{BUF, 100}, {BUF2, 50}}; "
        "io_uring_prep_send_zc(sqe, 5, two, 2, 0, IORING_SEND_VECTORIZED); "
        "COPY(addr, two, sizeof(two))",
    ),
]

ZERO_COPY = [
    ("Sqe.send_zc(5, BUF, 6, 3)", "io_uring_prep_send_zc(sqe, 5, BUF, 3, 6, 0)"),
    (
        f"Sqe.send_zc(5, BUF, address={_HOME}, ioprio=RecvSendFlags.SEND_ZC_REPORT_USAGE)",
        "io_uring_prep_send_zc(sqe, 5, BUF, 100, 0, IORING_SEND_ZC_REPORT_USAGE); "
        f"io_uring_prep_send_set_addr(sqe, {_TO}); COPY(off, &inet, sizeof(inet))",
    ),
    (
        "Sqe.send_zc_fixed(5, FIXED, 6, 10, start=20)",
        "io_uring_prep_send_zc_fixed(sqe, 5, FIXED + 20, 10, 6, 0, FIXED_INDEX)",
    ),
    (
        f'Sqe.sendmsg_zc(5, [BUF, BUF2], [(1, 2, b"contents")], 6, {_HOME})',
        f"{_MESSAGE} io_uring_prep_sendmsg_zc(sqe, 5, &message, 6); {_MESSAGE_COPIES}",
    ),
    (
        "Sqe.sendmsg_zc_fixed(5, FIXED, [(0, 10)])",
        "struct iovec one[] = {{FIXED, 10}}; MESSAGE(0, 0, one, 1, 0, 0); "
        f"io_uring_prep_sendmsg_zc_fixed(sqe, 5, &message, 0, FIXED_INDEX); {_PLAIN_COPIES}",
    ),
]

# POOL is a ring of buffers, SENDING one to send from, LEGACY has buffers provided by requests.
PROVIDED = [
    (
        "Sqe.recv(5, pool=POOL)",
        "io_uring_prep_recv(sqe, 5, 0, 0, 0); SELECT(POOL)",
    ),
    (
        "Sqe.recv_multishot(5, POOL, 6)",
        "io_uring_prep_recv_multishot(sqe, 5, 0, 0, 6); SELECT(POOL)",
    ),
    (
        "Sqe.recv_multishot(5, POOL, total=1000)",
        "io_uring_prep_recv_multishot(sqe, 5, 0, 0, 0); sqe->file_index = 1000; SELECT(POOL)",
    ),
    (
        "Sqe.recv_multishot(5, POOL, bundle=True)",
        "io_uring_prep_recv_multishot(sqe, 5, 0, 0, 0); "
        "sqe->ioprio |= IORING_RECVSEND_BUNDLE; SELECT(POOL)",
    ),
    (
        "Sqe.recvmsg_multishot(5, POOL, 64, 6)",
        "MESSAGE(0, sizeof(peer), 0, 0, 0, 64); "
        "io_uring_prep_recvmsg_multishot(sqe, 5, &message, 6); SELECT(POOL); "
        "COPY(addr, &message, sizeof(message))",
    ),
    (
        "Sqe.send_bundle(5, SENDING, 6)",
        "io_uring_prep_send_bundle(sqe, 5, 0, 6 | MSG_WAITALL); SELECT(SENDING)",
    ),
    (
        "Sqe.provide_buffers(LEGACY, 1, 2)",
        "io_uring_prep_provide_buffers(sqe, value, 64, 2, LEGACY, 1); ROOM(addr)",
    ),
    ("Sqe.remove_buffers(LEGACY, 2)", "io_uring_prep_remove_buffers(sqe, 2, LEGACY)"),
]

_OPTION = "io_uring_prep_cmd_sock(sqe, SOCKET_URING_OP_"

COMMANDS = [
    ("Sqe.siocinq(5)", f"{_OPTION}SIOCINQ, 5, 0, 0, 0, 0)"),
    ("Sqe.siocoutq(5)", f"{_OPTION}SIOCOUTQ, 5, 0, 0, 0, 0)"),
    ("Sqe.getsockopt(5, 1, 7)", f"{_OPTION}GETSOCKOPT, 5, 1, 7, value, 4); ROOM(addr3)"),
    ("Sqe.getsockopt(5, 1, 7, 64)", f"{_OPTION}GETSOCKOPT, 5, 1, 7, value, 64); ROOM(addr3)"),
    (
        "Sqe.setsockopt(5, 6, 1, 258)",
        f"int number = 258; {_OPTION}SETSOCKOPT, 5, 6, 1, &number, 4); COPY(addr3, &number, 4)",
    ),
    (
        'Sqe.setsockopt(5, 6, 13, b"reno")',
        f'{_OPTION}SETSOCKOPT, 5, 6, 13, "reno", 4); COPY(addr3, "reno", 4)',
    ),
    (
        "Sqe.getsockname(5)",
        "io_uring_prep_cmd_getsockname(sqe, 5, (struct sockaddr *)&peer, &peer_length, 0); "
        "ROOM(addr); COPY(addr3, &peer_length, 4)",
    ),
    (
        "Sqe.getpeername(5)",
        "io_uring_prep_cmd_getsockname(sqe, 5, (struct sockaddr *)&peer, &peer_length, 1); "
        "ROOM(addr); COPY(addr3, &peer_length, 4)",
    ),
    ("Sqe.tx_timestamp(5)", f"{_OPTION}TX_TIMESTAMP, 5, 0, 0, 0, 0)"),
    ("Sqe.cmd_discard(5, 4096, 8192)", "io_uring_prep_cmd_discard(sqe, 5, 4096, 8192)"),
    (
        'Sqe.uring_cmd(5, 0x1234, b"0123456789abcdef", addr=7, nbytes=8, optlen=9)',
        "io_uring_prep_uring_cmd(sqe, 0x1234, 5); sqe->addr = 7; sqe->len = 8; "
        'sqe->file_index = 9; memcpy(&sqe->addr3, "0123456789abcdef", 16)',
    ),
]
