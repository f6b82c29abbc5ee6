"""Cases: names in directories, and attributes."""

# Of a path there is no descriptor: liburing says 0, and the kernel looks at neither.
_NO_FILE = "sqe->fd = -1;"

PATHS = [
    (
        'Sqe.statx("path", 0x100, 0x7ff, dir_fd=5)',
        'io_uring_prep_statx(sqe, 5, "path", 0x100, 0x7ff, &stat_result); '
        'COPY(addr, "path", 5); ROOM(off)',
    ),
    (
        'Sqe.renameat("old", "new", src_dir_fd=5, dst_dir_fd=6, rename_flags=1)',
        'io_uring_prep_renameat(sqe, 5, "old", 6, "new", 1); '
        'COPY(addr, "old", 4); COPY(off, "new", 4)',
    ),
    (
        'Sqe.renameat("old", "new")',
        'io_uring_prep_renameat(sqe, AT_FDCWD, "old", AT_FDCWD, "new", 0); '
        'COPY(addr, "old", 4); COPY(off, "new", 4)',
    ),
    (
        'Sqe.unlinkat("path", 0x200, dir_fd=5)',
        'io_uring_prep_unlinkat(sqe, 5, "path", AT_REMOVEDIR); COPY(addr, "path", 5)',
    ),
    (
        'Sqe.mkdirat("path", 0o750, dir_fd=5)',
        'io_uring_prep_mkdirat(sqe, 5, "path", 0750); COPY(addr, "path", 5)',
    ),
    (
        'Sqe.symlinkat("target", "link", dir_fd=5)',
        'io_uring_prep_symlinkat(sqe, "target", 5, "link"); '
        'COPY(addr, "target", 7); COPY(off, "link", 5)',
    ),
    (
        'Sqe.linkat("old", "new", src_dir_fd=5, dst_dir_fd=6, link_flags=0x400)',
        'io_uring_prep_linkat(sqe, 5, "old", 6, "new", AT_SYMLINK_FOLLOW); '
        'COPY(addr, "old", 4); COPY(off, "new", 4)',
    ),
    (
        'Sqe.setxattr("path", "user.name", b"value", 1)',
        'io_uring_prep_setxattr(sqe, "user.name", "value", "path", 1, 5); '
        f"{_NO_FILE} "
        'COPY(addr, "user.name", 10); COPY(off, "value", 5); COPY(addr3, "path", 5)',
    ),
    (
        'Sqe.fsetxattr(5, "user.name", b"value", 1)',
        'io_uring_prep_fsetxattr(sqe, 5, "user.name", "value", 1, 5); '
        'COPY(addr, "user.name", 10); COPY(off, "value", 5)',
    ),
    (
        'Sqe.getxattr("path", "user.name", size=256)',
        'io_uring_prep_getxattr(sqe, "user.name", value, "path", 256); '
        f"{_NO_FILE} "
        'COPY(addr, "user.name", 10); ROOM(off); COPY(addr3, "path", 5)',
    ),
    (
        'Sqe.fgetxattr(5, "user.name", size=256)',
        'io_uring_prep_fgetxattr(sqe, 5, "user.name", value, 256); '
        'COPY(addr, "user.name", 10); ROOM(off)',
    ),
    (
        'Sqe.getxattr("path", "user.name", BUF)',
        'io_uring_prep_getxattr(sqe, "user.name", BUF, "path", 100); '
        f"{_NO_FILE} "
        'COPY(addr, "user.name", 10); COPY(addr3, "path", 5)',
    ),
    (
        'Sqe.rename("old", "new")',
        'io_uring_prep_renameat(sqe, AT_FDCWD, "old", AT_FDCWD, "new", 0); '
        'COPY(addr, "old", 4); COPY(off, "new", 4)',
    ),
    (
        'Sqe.unlink("path")',
        'io_uring_prep_unlinkat(sqe, AT_FDCWD, "path", 0); COPY(addr, "path", 5)',
    ),
    (
        'Sqe.mkdir("path", 0o750)',
        'io_uring_prep_mkdirat(sqe, AT_FDCWD, "path", 0750); COPY(addr, "path", 5)',
    ),
    (
        'Sqe.symlink("target", "link")',
        'io_uring_prep_symlinkat(sqe, "target", AT_FDCWD, "link"); '
        'COPY(addr, "target", 7); COPY(off, "link", 5)',
    ),
    (
        'Sqe.link("old", "new")',
        'io_uring_prep_linkat(sqe, AT_FDCWD, "old", AT_FDCWD, "new", 0); '
        'COPY(addr, "old", 4); COPY(off, "new", 4)',
    ),
]
