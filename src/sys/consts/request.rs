//! Constants of submission and completion entries.

super::constants! { TABLE:
    IOSQE_FIXED_FILE_BIT: u8 = 0, "Bit number of `IOSQE_FIXED_FILE`.";
    IOSQE_IO_DRAIN_BIT: u8 = 1, "Bit number of `IOSQE_IO_DRAIN`.";
    IOSQE_IO_LINK_BIT: u8 = 2, "Bit number of `IOSQE_IO_LINK`.";
    IOSQE_IO_HARDLINK_BIT: u8 = 3, "Bit number of `IOSQE_IO_HARDLINK`.";
    IOSQE_ASYNC_BIT: u8 = 4, "Bit number of `IOSQE_ASYNC`.";
    IOSQE_BUFFER_SELECT_BIT: u8 = 5, "Bit number of `IOSQE_BUFFER_SELECT`.";
    IOSQE_CQE_SKIP_SUCCESS_BIT: u8 = 6, "Bit number of `IOSQE_CQE_SKIP_SUCCESS`.";
    IOSQE_FIXED_FILE: u8 = 1 << 0, "The file is a slot of the file table (5.1).";
    IOSQE_IO_DRAIN: u8 = 1 << 1, "Start after everything before, hold back everything after (5.2).";
    IOSQE_IO_LINK: u8 = 1 << 2, "The next request starts after this one succeeded (5.3).";
    IOSQE_IO_HARDLINK: u8 = 1 << 3, "The next request starts after this one (5.5).";
    IOSQE_ASYNC: u8 = 1 << 4, "Go to a worker at once (5.6).";
    IOSQE_BUFFER_SELECT: u8 = 1 << 5, "The kernel chooses a buffer of `buf_group` (5.7).";
    IOSQE_CQE_SKIP_SUCCESS: u8 = 1 << 6, "No completion if it succeeds (5.17).";
    IORING_FILE_INDEX_ALLOC: u32 = !0, "In `file_index`: choose a free direct slot (5.19).";

    IORING_CQE_F_BUFFER: u32 = 1 << 0, "The upper 16 bits are a buffer id.";
    IORING_CQE_F_MORE: u32 = 1 << 1, "The request will complete again.";
    IORING_CQE_F_SOCK_NONEMPTY: u32 = 1 << 2, "The socket has more to read.";
    IORING_CQE_F_NOTIF: u32 = 1 << 3, "The notification of a zero-copy send.";
    IORING_CQE_F_BUF_MORE: u32 = 1 << 4, "The kernel keeps the rest of the buffer (6.12).";
    IORING_CQE_F_SKIP: u32 = 1 << 5, "A filler to be ignored (6.18).";
    IORING_CQE_F_32: u32 = 1 << 15, "This entry has 32 bytes (6.18).";
    IORING_CQE_F_TSTAMP_HW: u32 = 1 << 16, "The time stamp is the hardware's (6.17).";
    IORING_CQE_BUFFER_SHIFT: u32 = 16, "Where the buffer id is in `flags`.";
    IORING_TIMESTAMP_HW_SHIFT: u32 = 16, "Bit number of `IORING_CQE_F_TSTAMP_HW`.";
    IORING_TIMESTAMP_TYPE_SHIFT: u32 = 17, "Where the kind of time stamp is in `flags`.";
    IORING_NOTIF_USAGE_ZC_COPIED: u32 = 1 << 31, "In the notification: copied all the same.";

    IORING_RW_ATTR_FLAG_PI: u64 = 1 << 0, "`attr_ptr` is an `io_uring_attr_pi` (6.14).";
    IORING_FSYNC_DATASYNC: u32 = 1 << 0, "fdatasync(2).";

    IORING_TIMEOUT_ABS: u32 = 1 << 0, "The time is absolute.";
    IORING_TIMEOUT_UPDATE: u32 = 1 << 1, "Change a timeout (5.11).";
    IORING_TIMEOUT_BOOTTIME: u32 = 1 << 2, "By the clock that counts sleep (5.15).";
    IORING_TIMEOUT_REALTIME: u32 = 1 << 3, "By the wall clock (5.15).";
    IORING_LINK_TIMEOUT_UPDATE: u32 = 1 << 4, "Change a link timeout (5.15).";
    IORING_TIMEOUT_ETIME_SUCCESS: u32 = 1 << 5, "Expiry does not break a link (5.16).";
    IORING_TIMEOUT_MULTISHOT: u32 = 1 << 6, "Expire again and again (6.4).";
    IORING_TIMEOUT_CLOCK_MASK: u32 = (1 << 2) | (1 << 3), "The flags that choose a clock.";
    IORING_TIMEOUT_UPDATE_MASK: u32 = (1 << 1) | (1 << 4), "The flags that change a timeout.";

    SPLICE_F_FD_IN_FIXED: u32 = 1 << 31, "`splice_fd_in` is a slot of the file table.";

    IORING_POLL_ADD_MULTI: u32 = 1 << 0, "In `len`: report again and again (5.13).";
    IORING_POLL_UPDATE_EVENTS: u32 = 1 << 1, "In `len`: change the events (5.13).";
    IORING_POLL_UPDATE_USER_DATA: u32 = 1 << 2, "In `len`: change the user data (5.13).";
    IORING_POLL_ADD_LEVEL: u32 = 1 << 3, "In `len`: level triggered (6.0).";

    IORING_ASYNC_CANCEL_ALL: u32 = 1 << 0, "Every request that matches (5.19).";
    IORING_ASYNC_CANCEL_FD: u32 = 1 << 1, "Match the file (5.19).";
    IORING_ASYNC_CANCEL_ANY: u32 = 1 << 2, "Match everything (5.19).";
    IORING_ASYNC_CANCEL_FD_FIXED: u32 = 1 << 3, "The file is a slot of the file table (6.0).";
    IORING_ASYNC_CANCEL_USERDATA: u32 = 1 << 4, "Match the user data (6.6).";
    IORING_ASYNC_CANCEL_OP: u32 = 1 << 5, "Match the operation (6.6).";

    IORING_RECVSEND_POLL_FIRST: u16 = 1 << 0, "Wait for readiness before trying (5.19).";
    IORING_RECV_MULTISHOT: u16 = 1 << 1, "Receive again and again (6.0).";
    IORING_RECVSEND_FIXED_BUF: u16 = 1 << 2, "Use a registered buffer (6.0).";
    IORING_SEND_ZC_REPORT_USAGE: u16 = 1 << 3, "Say whether it was copied (6.2).";
    IORING_RECVSEND_BUNDLE: u16 = 1 << 4, "Several provided buffers at once (6.10).";
    IORING_SEND_VECTORIZED: u16 = 1 << 5, "`addr` is an array of vectors (6.17).";

    IORING_ACCEPT_MULTISHOT: u16 = 1 << 0, "Accept again and again (5.19).";
    IORING_ACCEPT_DONTWAIT: u16 = 1 << 1, "Fail rather than wait (6.10).";
    IORING_ACCEPT_POLL_FIRST: u16 = 1 << 2, "Wait for readiness before trying (6.10).";

    IORING_MSG_DATA: u64 = 0, "In `addr`: post `len` and `off` as result and user data.";
    IORING_MSG_SEND_FD: u64 = 1, "In `addr`: send a direct descriptor (6.0).";
    IORING_MSG_RING_CQE_SKIP: u32 = 1 << 0, "No completion at the target.";
    IORING_MSG_RING_FLAGS_PASS: u32 = 1 << 1, "`file_index` becomes the completion's flags (6.3).";

    IORING_FIXED_FD_NO_CLOEXEC: u32 = 1 << 0, "The new descriptor survives exec.";

    IORING_NOP_INJECT_RESULT: u32 = 1 << 0, "`len` is the result (6.10).";
    IORING_NOP_FILE: u32 = 1 << 1, "Look the file up (6.13).";
    IORING_NOP_FIXED_FILE: u32 = 1 << 2, "The file is a slot of the file table (6.13).";
    IORING_NOP_FIXED_BUFFER: u32 = 1 << 3, "Look the registered buffer up (6.13).";
    IORING_NOP_TW: u32 = 1 << 4, "Complete through task work (6.16).";
    IORING_NOP_CQE32: u32 = 1 << 5, "Post a 32-byte completion (6.18).";

    IORING_URING_CMD_FIXED: u32 = 1 << 0, "Use a registered buffer (6.0).";
    IORING_URING_CMD_MULTISHOT: u32 = 1 << 1, "Complete again and again (6.18).";
    IORING_URING_CMD_MASK: u32 = 0b11, "The flags an application may set.";

    SOCKET_URING_OP_SIOCINQ: u32 = 0, "Command of a socket: bytes to read (6.6).";
    SOCKET_URING_OP_SIOCOUTQ: u32 = 1, "Command of a socket: bytes not sent (6.6).";
    SOCKET_URING_OP_GETSOCKOPT: u32 = 2, "Command of a socket: getsockopt(2) (6.7).";
    SOCKET_URING_OP_SETSOCKOPT: u32 = 3, "Command of a socket: setsockopt(2) (6.7).";
    SOCKET_URING_OP_TX_TIMESTAMP: u32 = 4, "Command of a socket: time stamps of sends (6.17).";
    BLOCK_URING_CMD_DISCARD: u32 = 0x1200, "Command of a block device: discard a range (6.12).";

    RESOLVE_NO_XDEV: u64 = 0x01, "openat2: do not cross mounts.";
    RESOLVE_NO_MAGICLINKS: u64 = 0x02, "openat2: no links like those of /proc.";
    RESOLVE_NO_SYMLINKS: u64 = 0x04, "openat2: no symbolic links.";
    RESOLVE_BENEATH: u64 = 0x08, "openat2: stay below the directory.";
    RESOLVE_IN_ROOT: u64 = 0x10, "openat2: the directory is the root.";
    RESOLVE_CACHED: u64 = 0x20, "openat2: only what is cached (5.12).";

    FUTEX2_SIZE_U8: u32 = 0, "Futex word of one byte.";
    FUTEX2_SIZE_U16: u32 = 1, "Futex word of two bytes.";
    FUTEX2_SIZE_U32: u32 = 2, "Futex word of four bytes.";
    FUTEX2_SIZE_U64: u32 = 3, "Futex word of eight bytes.";
    FUTEX2_NUMA: u32 = 4, "A node number follows the word.";
    FUTEX2_PRIVATE: u32 = 128, "Only this process waits on it.";
    FUTEX_WAITV_MAX: u32 = 128, "The most words of `IORING_OP_FUTEX_WAITV`.";
}
