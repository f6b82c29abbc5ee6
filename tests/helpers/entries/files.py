"""Cases: reading and writing, what is in files, pipes, descriptors."""

# What describes protection information, and how an entry leads to it: since Linux 6.14 the fields
# have names, attr_ptr and attr_type_mask.
_PI = "struct { __u16 flags, app_tag; __u32 len; __u64 addr, seed, rsvd; }"
_PI_GIVEN = "sqe->addr3 = 1; sqe->__pad2[0] = IORING_RW_ATTR_FLAG_PI; COPY(addr3, &pi, sizeof(pi))"

READ_WRITE = [
    ("Sqe.nop()", "io_uring_prep_nop(sqe)"),
    (
        "Sqe.nop(result=-7)",
        "io_uring_prep_nop(sqe); sqe->rw_flags = IORING_NOP_INJECT_RESULT; sqe->len = -7",
    ),
    ("Sqe.nop(file=5)", "io_uring_prep_nop(sqe); sqe->rw_flags = IORING_NOP_FILE; sqe->fd = 5"),
    (
        "Sqe.nop(buf=FIXED)",
        "io_uring_prep_nop(sqe); sqe->rw_flags = IORING_NOP_FIXED_BUFFER; "
        "sqe->buf_index = FIXED_INDEX",
    ),
    (
        "Sqe.nop(nop_flags=NopFlags.TW)",
        "io_uring_prep_nop(sqe); sqe->rw_flags = IORING_NOP_TW",
    ),
    ("Sqe.read(5, BUF)", "io_uring_prep_read(sqe, 5, BUF, 100, -1)"),
    (
        "Sqe.read(5, BUF, 7, 3, rw_flags=9, ioprio=8)",
        "io_uring_prep_read(sqe, 5, BUF, 3, 7); sqe->rw_flags = 9; sqe->ioprio = 8",
    ),
    ("Sqe.write(5, BUF)", "io_uring_prep_write(sqe, 5, BUF, 100, -1)"),
    (
        "Sqe.write(5, BUF, 7, 3, rw_flags=9, ioprio=8)",
        "io_uring_prep_write(sqe, 5, BUF, 3, 7); sqe->rw_flags = 9; sqe->ioprio = 8",
    ),
    (
        "Sqe.read_pi(5, BUF, BUF2, 7)",
        f"{_PI} pi = {{7, 0, 50, (unsigned long)BUF2, 0, 0}}; "
        f"io_uring_prep_read(sqe, 5, BUF, 100, 7); {_PI_GIVEN}",
    ),
    (
        "Sqe.write_pi(5, BUF, BUF2, 7, nbytes=3, checks=5, app_tag=9, seed=8, ioprio=6)",
        f"{_PI} pi = {{5, 9, 50, (unsigned long)BUF2, 8, 0}}; "
        f"io_uring_prep_write(sqe, 5, BUF, 3, 7); sqe->ioprio = 6; {_PI_GIVEN}",
    ),
    (
        "Sqe.readv(5, [BUF, BUF2])",
        "struct iovec two[] = {{BUF, 100}, {BUF2, 50}}; "
        "io_uring_prep_readv(sqe, 5, two, 2, -1); COPY(addr, two, sizeof(two))",
    ),
    (
        "Sqe.readv(5, [BUF], 7, rw_flags=9, ioprio=8)",
        "struct iovec one[] = {{BUF, 100}}; io_uring_prep_readv2(sqe, 5, one, 1, 7, 9); "
        "sqe->ioprio = 8; COPY(addr, one, sizeof(one))",
    ),
    (
        "Sqe.writev(5, [BUF, BUF2])",
        "struct iovec two[] = {{BUF, 100}, {BUF2, 50}}; "
        "io_uring_prep_writev(sqe, 5, two, 2, -1); COPY(addr, two, sizeof(two))",
    ),
    (
        "Sqe.writev(5, [BUF], 7, rw_flags=9, ioprio=8)",
        "struct iovec one[] = {{BUF, 100}}; io_uring_prep_writev2(sqe, 5, one, 1, 7, 9); "
        "sqe->ioprio = 8; COPY(addr, one, sizeof(one))",
    ),
    (
        "Sqe.read_fixed(5, FIXED)",
        "io_uring_prep_read_fixed(sqe, 5, FIXED, 4096, -1, FIXED_INDEX)",
    ),
    (
        "Sqe.read_fixed(5, FIXED, 7, 10, start=20, rw_flags=1, ioprio=2)",
        "io_uring_prep_read_fixed(sqe, 5, FIXED + 20, 10, 7, FIXED_INDEX); "
        "sqe->rw_flags = 1; sqe->ioprio = 2",
    ),
    (
        "Sqe.write_fixed(5, FIXED)",
        "io_uring_prep_write_fixed(sqe, 5, FIXED, 4096, -1, FIXED_INDEX)",
    ),
    (
        "Sqe.write_fixed(5, FIXED, 7, 10, start=20, rw_flags=1, ioprio=2)",
        "io_uring_prep_write_fixed(sqe, 5, FIXED + 20, 10, 7, FIXED_INDEX); "
        "sqe->rw_flags = 1; sqe->ioprio = 2",
    ),
    (
        "Sqe.readv_fixed(5, FIXED, [(0, 10), (20, 30)], 7, rw_flags=1)",
        "struct iovec two[] = {{FIXED, 10}, {FIXED + 20, 30}}; "
        "io_uring_prep_readv_fixed(sqe, 5, two, 2, 7, 1, FIXED_INDEX); "
        "COPY(addr, two, sizeof(two))",
    ),
    (
        "Sqe.writev_fixed(5, FIXED, [(0, 10), (20, 30)], 7, rw_flags=1)",
        "struct iovec two[] = {{FIXED, 10}, {FIXED + 20, 30}}; "
        "io_uring_prep_writev_fixed(sqe, 5, two, 2, 7, 1, FIXED_INDEX); "
        "COPY(addr, two, sizeof(two))",
    ),
    ("Sqe.read(5, pool=POOL)", "io_uring_prep_read(sqe, 5, 0, 0, -1); SELECT(POOL)"),
    ("Sqe.read_multishot(5, POOL)", "io_uring_prep_read_multishot(sqe, 5, 0, -1, POOL)"),
]

CONTENTS = [
    ("Sqe.fsync(5)", "io_uring_prep_fsync(sqe, 5, 0)"),
    (
        "Sqe.fsync(5, datasync=True, offset=3, nbytes=4)",
        "io_uring_prep_fsync(sqe, 5, IORING_FSYNC_DATASYNC); sqe->off = 3; sqe->len = 4",
    ),
    ("Sqe.fdatasync(5)", "io_uring_prep_fsync(sqe, 5, IORING_FSYNC_DATASYNC)"),
    ("Sqe.sync_file_range(5)", "io_uring_prep_sync_file_range(sqe, 5, 0, 0, 7)"),
    ("Sqe.sync_file_range(5, 3, 4, 2)", "io_uring_prep_sync_file_range(sqe, 5, 4, 3, 2)"),
    (
        "Sqe.fallocate(5, 1 << 33, 1 << 34, 3)",
        "io_uring_prep_fallocate(sqe, 5, 3, 1ULL << 33, 1ULL << 34)",
    ),
    ("Sqe.ftruncate(5, 1 << 33)", "io_uring_prep_ftruncate(sqe, 5, 1LL << 33)"),
    # Lengths of 32 bits go where kernels before 6.10 look, longer ones where later ones do.
    ("Sqe.fadvise(5, 7, 4096, 3)", "io_uring_prep_fadvise(sqe, 5, 7, 4096, 3)"),
    ("Sqe.fadvise(5, 7, 1 << 33, 3)", "io_uring_prep_fadvise64(sqe, 5, 7, 1LL << 33, 3)"),
    ("Sqe.madvise(FIXED, 1)", "io_uring_prep_madvise(sqe, FIXED, 4096, 1)"),
    (
        "Sqe.splice(5, 6, 100, 7, 8, 2)",
        "io_uring_prep_splice(sqe, 5, 7, 6, 8, 100, 2)",
    ),
    ("Sqe.splice(5, 6, 100)", "io_uring_prep_splice(sqe, 5, -1, 6, -1, 100, 0)"),
    ("Sqe.tee(5, 6, 100, 2)", "io_uring_prep_tee(sqe, 5, 6, 100, 2)"),
]

DESCRIPTORS = [
    (
        'Sqe.openat("path")',
        'io_uring_prep_openat(sqe, AT_FDCWD, "path", O_RDONLY | O_CLOEXEC, 0777); '
        'COPY(addr, "path", 5)',
    ),
    (
        'Sqe.openat(b"p\\xff", 2, 0o600, dir_fd=5)',
        'io_uring_prep_openat(sqe, 5, "p\\xff", O_RDWR | O_CLOEXEC, 0600); COPY(addr, "p\\xff", 3)',
    ),
    (
        'Sqe.openat2("path", 0o102, 0o600, 8, dir_fd=5)',
        "struct open_how how = {O_RDWR | O_CREAT | O_CLOEXEC, 0600, 8}; "
        'io_uring_prep_openat2(sqe, 5, "path", &how); '
        'COPY(addr, "path", 5); COPY(off, &how, sizeof(how))',
    ),
    ("Sqe.close(5)", "io_uring_prep_close(sqe, 5)"),
    ("Sqe.pipe()", "io_uring_prep_pipe(sqe, two_fds, O_CLOEXEC); ROOM(addr)"),
]

# Registered files: DIRECT is one in a slot, RESERVED a slot for one to come.
DIRECT = [
    (
        "Sqe.read(DIRECT, BUF)",
        "io_uring_prep_read(sqe, DIRECT, BUF, 100, -1); sqe->flags |= IOSQE_FIXED_FILE",
    ),
    (
        "Sqe.splice(DIRECT, 6, 100)",
        "io_uring_prep_splice(sqe, DIRECT, -1, 6, -1, 100, SPLICE_F_FD_IN_FIXED)",
    ),
    ("Sqe.cancel_fd(DIRECT)", "io_uring_prep_cancel_fd(sqe, DIRECT, IORING_ASYNC_CANCEL_FD_FIXED)"),
    (
        'Sqe.openat("path", direct=RESERVED)',
        'io_uring_prep_openat_direct(sqe, AT_FDCWD, "path", O_RDONLY, 0777, RESERVED); '
        'COPY(addr, "path", 5)',
    ),
    (
        'Sqe.openat("path", direct=True)',
        'io_uring_prep_openat_direct(sqe, AT_FDCWD, "path", 0, 0777, IORING_FILE_INDEX_ALLOC); '
        'COPY(addr, "path", 5)',
    ),
    (
        'Sqe.openat2("path", resolve=8, direct=RESERVED)',
        "struct open_how how = {.resolve = 8}; "
        'io_uring_prep_openat2_direct(sqe, AT_FDCWD, "path", &how, RESERVED); '
        'COPY(addr, "path", 5); COPY(off, &how, sizeof(how))',
    ),
    (
        "Sqe.socket(2, 1, 6, direct=RESERVED)",
        "io_uring_prep_socket_direct(sqe, 2, 1, 6, RESERVED, 0)",
    ),
    ("Sqe.socket(2, 1, 6, direct=True)", "io_uring_prep_socket_direct_alloc(sqe, 2, 1, 6, 0)"),
    (
        "Sqe.accept(5, direct=RESERVED)",
        "io_uring_prep_accept_direct(sqe, 5, (struct sockaddr *)&peer, &peer_length, 0, RESERVED); "
        "ROOM(addr); COPY(off, &peer_length, 4)",
    ),
    ("Ring.prep_close(DIRECT)", "io_uring_prep_close_direct(sqe, DIRECT)"),
    (
        "Sqe.files_update([5, 6])",
        "int fds[] = {5, 6}; io_uring_prep_files_update(sqe, fds, 2, 0); "
        "sqe->off = IORING_FILE_INDEX_ALLOC; COPY(addr, fds, sizeof(fds))",
    ),
    (
        "Ring.prep_files_update([5, None, -2], RESERVED)",
        "int fds[] = {5, -1, -2}; io_uring_prep_files_update(sqe, fds, 3, RESERVED); "
        "COPY(addr, fds, sizeof(fds))",
    ),
    ("Sqe.fixed_fd_install(DIRECT)", "io_uring_prep_fixed_fd_install(sqe, DIRECT, 0)"),
    (
        "Sqe.fixed_fd_install(DIRECT, install_flags=FixedFdFlags.NO_CLOEXEC)",
        "io_uring_prep_fixed_fd_install(sqe, DIRECT, IORING_FIXED_FD_NO_CLOEXEC)",
    ),
    (
        "Sqe.pipe(direct=True)",
        "io_uring_prep_pipe_direct(sqe, two_fds, 0, IORING_FILE_INDEX_ALLOC); ROOM(addr)",
    ),
    (
        "Sqe.msg_ring_fd(OTHER, DIRECT)",
        "io_uring_prep_msg_ring_fd_alloc(sqe, OTHER, DIRECT, 0, IORING_MSG_RING_CQE_SKIP)",
    ),
    (
        "Sqe.msg_ring_fd(OTHER, DIRECT, direct=OTHERS)",
        "io_uring_prep_msg_ring_fd(sqe, OTHER, DIRECT, OTHERS, 0, IORING_MSG_RING_CQE_SKIP)",
    ),
]
