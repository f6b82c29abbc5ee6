/*
 * Which argument of each operation goes into which field of the submission entry, written down from
 * io_uring_enter(2) and the manual pages of section 3.
 *
 * The functions have the names and arguments of those pages, so that the calls of
 * tests/conformance/test_c_crosscheck.py compile against this file and against liburing alike.
 * Fields have the names that the oldest header has for their place: see SQE_ALIASES in
 * tests/rust/abi.rs for the others.
 */
#define SQE struct io_uring_sqe *sqe
#define U32 unsigned
#define U64 unsigned long long
#define AT(pointer) ((unsigned long long)(unsigned long)(pointer))

/* A direct slot counts from one in the entry; "any free one" is all bits set. */
#define SLOT(index) ((index) == ~0U ? ~0U : (index) + 1)

#define OURS(name, arguments, ...) \
	static inline void io_uring_prep_##name arguments \
	{ *sqe = (struct io_uring_sqe) { __VA_ARGS__ }; }

/* Reading and writing. */
#define RW(op) .opcode = IORING_OP_##op, .fd = fd, .len = n, .off = at
OURS(nop, (SQE), .opcode = IORING_OP_NOP, .fd = -1)
OURS(read, (SQE, int fd, void *p, U32 n, U64 at), RW(READ), .addr = AT(p))
OURS(write, (SQE, int fd, const void *p, U32 n, U64 at), RW(WRITE), .addr = AT(p))
OURS(readv, (SQE, int fd, const struct iovec *p, U32 n, U64 at), RW(READV), .addr = AT(p))
OURS(writev, (SQE, int fd, const struct iovec *p, U32 n, U64 at), RW(WRITEV), .addr = AT(p))
OURS(readv2, (SQE, int fd, const struct iovec *p, U32 n, U64 at, int flags),
     RW(READV), .addr = AT(p), .rw_flags = flags)
OURS(writev2, (SQE, int fd, const struct iovec *p, U32 n, U64 at, int flags),
     RW(WRITEV), .addr = AT(p), .rw_flags = flags)
OURS(read_fixed, (SQE, int fd, void *p, U32 n, U64 at, int index),
     RW(READ_FIXED), .addr = AT(p), .buf_index = index)
OURS(write_fixed, (SQE, int fd, const void *p, U32 n, U64 at, int index),
     RW(WRITE_FIXED), .addr = AT(p), .buf_index = index)
OURS(readv_fixed, (SQE, int fd, const struct iovec *p, U32 n, U64 at, int flags, int index),
     RW(READV_FIXED), .addr = AT(p), .rw_flags = flags, .buf_index = index)
OURS(writev_fixed, (SQE, int fd, const struct iovec *p, U32 n, U64 at, int flags, int index),
     RW(WRITEV_FIXED), .addr = AT(p), .rw_flags = flags, .buf_index = index)
OURS(read_multishot, (SQE, int fd, U32 n, U64 at, int group),
     RW(READ_MULTISHOT), .flags = IOSQE_BUFFER_SELECT, .buf_group = group)

/* What is in a file, and where. */
OURS(fsync, (SQE, int fd, U32 flags), .opcode = IORING_OP_FSYNC, .fd = fd, .fsync_flags = flags)
OURS(sync_file_range, (SQE, int fd, U32 n, U64 at, int flags),
     RW(SYNC_FILE_RANGE), .sync_range_flags = flags)
OURS(fallocate, (SQE, int fd, int mode, U64 at, U64 length),
     .opcode = IORING_OP_FALLOCATE, .fd = fd, .len = mode, .off = at, .addr = length)
OURS(ftruncate, (SQE, int fd, long long length),
     .opcode = IORING_OP_FTRUNCATE, .fd = fd, .off = length)
OURS(fadvise, (SQE, int fd, U64 at, U32 n, int advice), RW(FADVISE), .fadvise_advice = advice)
OURS(fadvise64, (SQE, int fd, U64 at, long long n, int advice),
     .opcode = IORING_OP_FADVISE, .fd = fd, .off = at, .addr = n, .fadvise_advice = advice)
OURS(madvise, (SQE, void *p, U32 n, int advice),
     .opcode = IORING_OP_MADVISE, .fd = -1, .addr = AT(p), .len = n, .fadvise_advice = advice)
OURS(madvise64, (SQE, void *p, long long n, int advice),
     .opcode = IORING_OP_MADVISE, .fd = -1, .addr = AT(p), .off = n, .fadvise_advice = advice)
OURS(splice, (SQE, int from, long long from_at, int to, long long to_at, U32 n, U32 flags),
     .opcode = IORING_OP_SPLICE, .splice_fd_in = from, .splice_off_in = from_at, .fd = to,
     .off = to_at, .len = n, .splice_flags = flags)
OURS(tee, (SQE, int from, int to, U32 n, U32 flags),
     .opcode = IORING_OP_TEE, .splice_fd_in = from, .fd = to, .len = n, .splice_flags = flags)
OURS(pipe, (SQE, int *fds, int flags),
     .opcode = IORING_OP_PIPE, .addr = AT(fds), .rw_flags = flags)
OURS(pipe_direct, (SQE, int *fds, int flags, U32 slot),
     .opcode = IORING_OP_PIPE, .addr = AT(fds), .rw_flags = flags, .file_index = SLOT(slot))

/* Descriptors. */
OURS(openat, (SQE, int dfd, const char *path, int flags, mode_t mode),
     .opcode = IORING_OP_OPENAT, .fd = dfd, .addr = AT(path), .len = mode, .open_flags = flags)
OURS(openat_direct, (SQE, int dfd, const char *path, int flags, mode_t mode, U32 slot),
     .opcode = IORING_OP_OPENAT, .fd = dfd, .addr = AT(path), .len = mode, .open_flags = flags,
     .file_index = SLOT(slot))
OURS(openat2, (SQE, int dfd, const char *path, const struct open_how *how),
     .opcode = IORING_OP_OPENAT2, .fd = dfd, .addr = AT(path), .off = AT(how), .len = sizeof(*how))
OURS(openat2_direct, (SQE, int dfd, const char *path, const struct open_how *how, U32 slot),
     .opcode = IORING_OP_OPENAT2, .fd = dfd, .addr = AT(path), .off = AT(how), .len = sizeof(*how),
     .file_index = SLOT(slot))
OURS(close, (SQE, int fd), .opcode = IORING_OP_CLOSE, .fd = fd)
OURS(close_direct, (SQE, U32 slot), .opcode = IORING_OP_CLOSE, .file_index = SLOT(slot))
OURS(files_update, (SQE, int *fds, U32 n, int at),
     .opcode = IORING_OP_FILES_UPDATE, .fd = -1, .addr = AT(fds), .len = n, .off = (long long)at)
OURS(fixed_fd_install, (SQE, int slot, U32 flags),
     .opcode = IORING_OP_FIXED_FD_INSTALL, .fd = slot, .flags = IOSQE_FIXED_FILE,
     .rw_flags = flags)

/* Paths. */
OURS(statx, (SQE, int dfd, const char *path, int flags, U32 mask, struct statx *result),
     .opcode = IORING_OP_STATX, .fd = dfd, .addr = AT(path), .statx_flags = flags, .len = mask,
     .off = AT(result))
OURS(renameat, (SQE, int old_dfd, const char *old, int new_dfd, const char *new, U32 flags),
     .opcode = IORING_OP_RENAMEAT, .fd = old_dfd, .addr = AT(old), .len = new_dfd, .off = AT(new),
     .rename_flags = flags)
OURS(unlinkat, (SQE, int dfd, const char *path, int flags),
     .opcode = IORING_OP_UNLINKAT, .fd = dfd, .addr = AT(path), .unlink_flags = flags)
OURS(mkdirat, (SQE, int dfd, const char *path, mode_t mode),
     .opcode = IORING_OP_MKDIRAT, .fd = dfd, .addr = AT(path), .len = mode)
OURS(symlinkat, (SQE, const char *target, int dfd, const char *path),
     .opcode = IORING_OP_SYMLINKAT, .fd = dfd, .addr = AT(target), .off = AT(path))
OURS(linkat, (SQE, int old_dfd, const char *old, int new_dfd, const char *new, int flags),
     .opcode = IORING_OP_LINKAT, .fd = old_dfd, .addr = AT(old), .len = new_dfd, .off = AT(new),
     .hardlink_flags = flags)
#define XATTR(op, p) .opcode = IORING_OP_##op, .addr = AT(name), .off = AT(p), .len = n
OURS(setxattr, (SQE, const char *name, const char *value, const char *path, int flags, U32 n),
     XATTR(SETXATTR, value), .addr3 = AT(path), .rw_flags = flags)
OURS(fsetxattr, (SQE, int file, const char *name, const char *value, int flags, U32 n),
     XATTR(FSETXATTR, value), .fd = file, .rw_flags = flags)
OURS(getxattr, (SQE, const char *name, char *value, const char *path, U32 n),
     XATTR(GETXATTR, value), .addr3 = AT(path))
OURS(fgetxattr, (SQE, int file, const char *name, char *value, U32 n),
     XATTR(FGETXATTR, value), .fd = file)

/* Sockets. */
#define ADDRESS const struct sockaddr *address, socklen_t length
#define ROOM_FOR_PEER struct sockaddr *address, socklen_t *length
#define PEER .addr = AT(address), .off = AT(length)
OURS(socket, (SQE, int domain, int type, int protocol, U32 flags),
     .opcode = IORING_OP_SOCKET, .fd = domain, .off = type, .len = protocol, .rw_flags = flags)
OURS(socket_direct, (SQE, int domain, int type, int protocol, U32 slot, U32 flags),
     .opcode = IORING_OP_SOCKET, .fd = domain, .off = type, .len = protocol, .rw_flags = flags,
     .file_index = SLOT(slot))
OURS(socket_direct_alloc, (SQE, int domain, int type, int protocol, U32 flags),
     .opcode = IORING_OP_SOCKET, .fd = domain, .off = type, .len = protocol, .rw_flags = flags,
     .file_index = SLOT(~0U))
OURS(bind, (SQE, int fd, ADDRESS),
     .opcode = IORING_OP_BIND, .fd = fd, .addr = AT(address), .off = length)
OURS(connect, (SQE, int fd, ADDRESS),
     .opcode = IORING_OP_CONNECT, .fd = fd, .addr = AT(address), .off = length)
OURS(listen, (SQE, int fd, int backlog), .opcode = IORING_OP_LISTEN, .fd = fd, .len = backlog)
OURS(shutdown, (SQE, int fd, int how), .opcode = IORING_OP_SHUTDOWN, .fd = fd, .len = how)
OURS(accept, (SQE, int fd, ROOM_FOR_PEER, int flags),
     .opcode = IORING_OP_ACCEPT, .fd = fd, PEER, .accept_flags = flags)
OURS(accept_direct, (SQE, int fd, ROOM_FOR_PEER, int flags, U32 slot),
     .opcode = IORING_OP_ACCEPT, .fd = fd, PEER, .accept_flags = flags, .file_index = SLOT(slot))
OURS(multishot_accept, (SQE, int fd, ROOM_FOR_PEER, int flags),
     .opcode = IORING_OP_ACCEPT, .fd = fd, PEER, .accept_flags = flags,
     .ioprio = IORING_ACCEPT_MULTISHOT)
OURS(multishot_accept_direct, (SQE, int fd, ROOM_FOR_PEER, int flags),
     .opcode = IORING_OP_ACCEPT, .fd = fd, PEER, .accept_flags = flags,
     .ioprio = IORING_ACCEPT_MULTISHOT, .file_index = SLOT(~0U))
#define DATA(op) .opcode = IORING_OP_##op, .fd = fd, .addr = AT(p), .len = n, .msg_flags = flags
OURS(send, (SQE, int fd, const void *p, size_t n, int flags), DATA(SEND))
OURS(sendto, (SQE, int fd, const void *p, size_t n, int flags, ADDRESS),
     DATA(SEND), .off = AT(address), .addr_len = length)
OURS(send_bundle, (SQE, int fd, size_t n, int flags),
     .opcode = IORING_OP_SEND, .fd = fd, .len = n, .msg_flags = flags,
     .ioprio = IORING_RECVSEND_BUNDLE)
OURS(send_zc, (SQE, int fd, const void *p, size_t n, int flags, U32 more),
     DATA(SEND_ZC), .ioprio = more)
OURS(send_zc_fixed, (SQE, int fd, const void *p, size_t n, int flags, U32 more, U32 index),
     DATA(SEND_ZC), .ioprio = more | IORING_RECVSEND_FIXED_BUF, .buf_index = index)
OURS(recv, (SQE, int fd, void *p, size_t n, int flags), DATA(RECV))
OURS(recv_multishot, (SQE, int fd, void *p, size_t n, int flags),
     DATA(RECV), .ioprio = IORING_RECV_MULTISHOT)
#define MSG(op) .opcode = IORING_OP_##op, .fd = fd, .addr = AT(msg), .len = 1, .msg_flags = flags
OURS(sendmsg, (SQE, int fd, const struct msghdr *msg, U32 flags), MSG(SENDMSG))
OURS(sendmsg_zc, (SQE, int fd, const struct msghdr *msg, U32 flags), MSG(SENDMSG_ZC))
OURS(sendmsg_zc_fixed, (SQE, int fd, const struct msghdr *msg, U32 flags, U32 index),
     MSG(SENDMSG_ZC), .ioprio = IORING_RECVSEND_FIXED_BUF, .buf_index = index)
OURS(recvmsg, (SQE, int fd, struct msghdr *msg, U32 flags), MSG(RECVMSG))
OURS(recvmsg_multishot, (SQE, int fd, struct msghdr *msg, U32 flags),
     MSG(RECVMSG), .ioprio = IORING_RECV_MULTISHOT)
static inline void io_uring_prep_send_set_addr(SQE, const struct sockaddr *address, __u16 length)
{
	sqe->off = AT(address);
	sqe->addr_len = length;
}

/* Waiting and cancelling. On big-endian machines the halves of poll events change places. */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define EVENTS(mask) ((mask) << 16 | (mask) >> 16)
#else
#define EVENTS(mask) (mask)
#endif
OURS(poll_add, (SQE, int fd, U32 mask),
     .opcode = IORING_OP_POLL_ADD, .fd = fd, .poll32_events = EVENTS(mask))
OURS(poll_multishot, (SQE, int fd, U32 mask),
     .opcode = IORING_OP_POLL_ADD, .fd = fd, .poll32_events = EVENTS(mask),
     .len = IORING_POLL_ADD_MULTI)
OURS(poll_remove, (SQE, U64 key), .opcode = IORING_OP_POLL_REMOVE, .fd = -1, .addr = key)
OURS(poll_update, (SQE, U64 key, U64 new_key, U32 mask, U32 flags),
     .opcode = IORING_OP_POLL_REMOVE, .fd = -1, .addr = key, .off = new_key, .len = flags,
     .poll32_events = EVENTS(mask))
OURS(epoll_ctl, (SQE, int epfd, int fd, int op, const struct epoll_event *event),
     .opcode = IORING_OP_EPOLL_CTL, .fd = epfd, .off = fd, .len = op, .addr = AT(event))
OURS(epoll_wait, (SQE, int fd, struct epoll_event *events, int n, U32 flags),
     .opcode = IORING_OP_EPOLL_WAIT, .fd = fd, .addr = AT(events), .len = n, .rw_flags = flags)
#define TIME .addr = AT(time), .len = 1, .fd = -1, .timeout_flags = flags
OURS(timeout, (SQE, const struct __kernel_timespec *time, U32 count, U32 flags),
     .opcode = IORING_OP_TIMEOUT, TIME, .off = count)
OURS(link_timeout, (SQE, const struct __kernel_timespec *time, U32 flags),
     .opcode = IORING_OP_LINK_TIMEOUT, TIME)
OURS(timeout_remove, (SQE, U64 key, U32 flags),
     .opcode = IORING_OP_TIMEOUT_REMOVE, .fd = -1, .addr = key, .timeout_flags = flags)
OURS(timeout_update, (SQE, const struct __kernel_timespec *time, U64 key, U32 flags),
     .opcode = IORING_OP_TIMEOUT_REMOVE, .fd = -1, .addr = key, .off = AT(time),
     .timeout_flags = flags | IORING_TIMEOUT_UPDATE)
OURS(cancel64, (SQE, U64 key, int flags),
     .opcode = IORING_OP_ASYNC_CANCEL, .fd = -1, .addr = key, .cancel_flags = flags)
OURS(cancel, (SQE, const void *key, int flags),
     .opcode = IORING_OP_ASYNC_CANCEL, .fd = -1, .addr = AT(key), .cancel_flags = flags)
OURS(cancel_fd, (SQE, int fd, U32 flags),
     .opcode = IORING_OP_ASYNC_CANCEL, .fd = fd, .cancel_flags = flags | IORING_ASYNC_CANCEL_FD)
OURS(waitid, (SQE, int type, int id, void *info, int options, U32 flags),
     .opcode = IORING_OP_WAITID, .fd = id, .len = type, .off = AT(info), .file_index = options,
     .rw_flags = flags)
OURS(futex_wait, (SQE, const void *word, U64 value, U64 mask, U32 kind, U32 flags),
     .opcode = IORING_OP_FUTEX_WAIT, .fd = kind, .addr = AT(word), .off = value, .addr3 = mask,
     .rw_flags = flags)
OURS(futex_wake, (SQE, const void *word, U64 count, U64 mask, U32 kind, U32 flags),
     .opcode = IORING_OP_FUTEX_WAKE, .fd = kind, .addr = AT(word), .off = count, .addr3 = mask,
     .rw_flags = flags)
OURS(futex_waitv, (SQE, const struct futex_waitv *words, U32 n, U32 flags),
     .opcode = IORING_OP_FUTEX_WAITV, .addr = AT(words), .len = n, .rw_flags = flags)

/* Other rings, provided buffers, drivers. */
OURS(msg_ring, (SQE, int fd, U32 n, U64 data, U32 flags),
     .opcode = IORING_OP_MSG_RING, .fd = fd, .len = n, .off = data, .msg_ring_flags = flags)
OURS(msg_ring_cqe_flags, (SQE, int fd, U32 n, U64 data, U32 flags, U32 cqe_flags),
     .opcode = IORING_OP_MSG_RING, .fd = fd, .len = n, .off = data, .file_index = cqe_flags,
     .msg_ring_flags = flags | IORING_MSG_RING_FLAGS_PASS)
OURS(msg_ring_fd, (SQE, int fd, int source, int target, U64 data, U32 flags),
     .opcode = IORING_OP_MSG_RING, .fd = fd, .addr = IORING_MSG_SEND_FD, .addr3 = source,
     .file_index = SLOT((U32)target), .off = data, .msg_ring_flags = flags)
OURS(msg_ring_fd_alloc, (SQE, int fd, int source, U64 data, U32 flags),
     .opcode = IORING_OP_MSG_RING, .fd = fd, .addr = IORING_MSG_SEND_FD, .addr3 = source,
     .file_index = SLOT(~0U), .off = data, .msg_ring_flags = flags)
OURS(provide_buffers, (SQE, void *p, int size, int count, int group, int first),
     .opcode = IORING_OP_PROVIDE_BUFFERS, .fd = count, .addr = AT(p), .len = size, .off = first,
     .buf_group = group)
OURS(remove_buffers, (SQE, int count, int group),
     .opcode = IORING_OP_REMOVE_BUFFERS, .fd = count, .buf_group = group)
OURS(uring_cmd, (SQE, int command, int fd),
     .opcode = IORING_OP_URING_CMD, .fd = fd, .off = (U32)command)
/* Level and name of an option share a word, in this order in memory. */
static inline void io_uring_prep_cmd_sock(SQE, int command, int fd, int level, int name,
					  void *value, int length)
{
	U32 words[] = { level, name };

	*sqe = (struct io_uring_sqe) {
		.opcode = IORING_OP_URING_CMD, .fd = fd, .off = (U32)command, .addr3 = AT(value),
		.file_index = length,
	};
	memcpy(&sqe->addr, words, sizeof(words));
}
OURS(cmd_discard, (SQE, int fd, U64 at, U64 length),
     .opcode = IORING_OP_URING_CMD, .fd = fd, .off = BLOCK_URING_CMD_DISCARD, .addr = at,
     .addr3 = length)
OURS(cmd_getsockname, (SQE, int fd, struct sockaddr *address, socklen_t *length, int peer),
     .opcode = IORING_OP_URING_CMD, .fd = fd, .off = SOCKET_URING_OP_GETSOCKNAME,
     .addr = AT(address), .addr3 = AT(length), .file_index = peer)
