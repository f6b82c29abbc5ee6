//! Arguments of io_uring_register(2).

use super::{__kernel_timespec, abi_structs};

abi_structs! { REGISTER_LAYOUTS:
    /// The old form of `io_uring_rsrc_update`.
    struct io_uring_files_update (16) {
        0 offset: u32, "First slot.";
        4 resv: u32, "Zero.";
        8 fds: u64, "Address of the descriptors.";
    }

    /// A region of memory shared with the kernel.
    struct io_uring_region_desc (64) {
        0 user_addr: u64, "Our memory, with `IORING_MEM_REGION_TYPE_USER`.";
        8 size: u64, "Its bytes, whole pages.";
        16 flags: u32, "`IORING_MEM_REGION_TYPE_*`.";
        20 id: u32, "Zero.";
        24 mmap_offset: u64, "Out: where to map kernel memory.";
        32 __resv: [u64; 4], "Zero.";
    }

    /// Argument of `IORING_REGISTER_MEM_REGION`.
    struct io_uring_mem_region_reg (32) {
        0 region_uptr: u64, "Address of an `io_uring_region_desc`.";
        8 flags: u64, "`IORING_MEM_REGION_REG_*`.";
        16 __resv: [u64; 2], "Zero.";
    }

    /// Argument of `IORING_REGISTER_FILES2` and `IORING_REGISTER_BUFFERS2`.
    struct io_uring_rsrc_register (32) {
        0 nr: u32, "Number of slots.";
        4 flags: u32, "`IORING_RSRC_REGISTER_*`.";
        8 resv2: u64, "Zero.";
        16 data: u64, "Address of the descriptors or vectors.";
        24 tags: u64, "Address of the tags, or 0.";
    }

    /// Argument of `IORING_REGISTER_FILES_UPDATE` and of the `RING_FDS` operations.
    struct io_uring_rsrc_update (16) {
        0 offset: u32, "First slot; all ones to have one chosen.";
        4 resv: u32, "Zero.";
        8 data: u64, "Address of the descriptors, or the descriptor itself.";
    }

    /// Argument of `IORING_REGISTER_FILES_UPDATE2` and `IORING_REGISTER_BUFFERS_UPDATE`.
    struct io_uring_rsrc_update2 (32) {
        0 offset: u32, "First slot.";
        4 resv: u32, "Zero.";
        8 data: u64, "Address of the descriptors or vectors.";
        16 tags: u64, "Address of the tags, or 0.";
        24 nr: u32, "Number of slots.";
        28 resv2: u32, "Zero.";
    }

    /// What the kernel says of one operation.
    struct io_uring_probe_op (8) {
        0 op: u8, "`IORING_OP_*`.";
        1 resv: u8, "Zero.";
        2 flags: u16, "`IO_URING_OP_*`.";
        4 resv2: u32, "Zero.";
    }

    /// Head of the argument of `IORING_REGISTER_PROBE`; `io_uring_probe_op`s follow.
    struct io_uring_probe (16) {
        0 last_op: u8, "Out: the highest operation known.";
        1 ops_len: u8, "Out: entries filled in.";
        2 resv: u16, "Zero.";
        4 resv2: [u32; 3], "Zero.";
    }

    /// One rule of `IORING_REGISTER_RESTRICTIONS`.
    struct io_uring_restriction (16) {
        0 opcode: u16, "`IORING_RESTRICTION_*`.";
        2 register_op: u8, "What is allowed; also `sqe_op` and `sqe_flags`.";
        3 resv: u8, "Zero.";
        4 resv2: [u32; 3], "Zero.";
    }

    /// Argument of `IORING_REGISTER_CLOCK`.
    struct io_uring_clock_register (16) {
        0 clockid: u32, "`CLOCK_MONOTONIC` or `CLOCK_BOOTTIME`.";
        4 __resv: [u32; 3], "Zero.";
    }

    /// Argument of `IORING_REGISTER_CLONE_BUFFERS`.
    struct io_uring_clone_buffers (32) {
        0 src_fd: u32, "The ring to copy from.";
        4 flags: u32, "`IORING_REGISTER_SRC_REGISTERED`, `IORING_REGISTER_DST_REPLACE`.";
        8 src_off: u32, "First buffer there.";
        12 dst_off: u32, "First slot here.";
        16 nr: u32, "How many, 0 for all.";
        20 pad: [u32; 3], "Zero.";
    }

    /// One buffer of a buffer ring.
    struct io_uring_buf (16) {
        0 addr: u64, "The memory.";
        8 len: u32, "Its bytes.";
        12 bid: u16, "Buffer id, comes back in the completion.";
        14 resv: u16, "Zero; the tail of the ring in the first entry.";
    }

    /// Head of a buffer ring, overlaid on the first `io_uring_buf`.
    struct io_uring_buf_ring (16) {
        0 resv1: u64, "The first buffer's address.";
        8 resv2: u32, "The first buffer's length.";
        12 resv3: u16, "The first buffer's id.";
        14 tail: u16, "Our index.";
    }

    /// Argument of `IORING_REGISTER_PBUF_RING` and its opposite.
    struct io_uring_buf_reg (40) {
        0 ring_addr: u64, "The memory, unless `IOU_PBUF_RING_MMAP`.";
        8 ring_entries: u32, "A power of two, at most 32768.";
        12 bgid: u16, "Buffer group.";
        14 flags: u16, "`IOU_PBUF_RING_*`.";
        16 min_left: u32, "With `IOU_PBUF_RING_INC`: a rest below this retires the buffer.";
        20 resv: [u32; 5], "Zero.";
    }

    /// Argument of `IORING_REGISTER_PBUF_STATUS`.
    struct io_uring_buf_status (40) {
        0 buf_group: u32, "In: the group.";
        4 head: u32, "Out: the kernel's index.";
        8 resv: [u32; 8], "Zero.";
    }

    /// Argument of `IORING_REGISTER_NAPI` and its opposite.
    struct io_uring_napi (16) {
        0 busy_poll_to: u32, "Microseconds to poll.";
        4 prefer_busy_poll: u8, "Not 0 to prefer it.";
        5 opcode: u8, "`IO_URING_NAPI_*_OP`, `IO_URING_NAPI_STATIC_*`.";
        6 pad: [u8; 2], "Zero.";
        8 op_param: u32, "`IO_URING_NAPI_TRACKING_*`, or a NAPI id.";
        12 resv: u32, "Zero.";
    }

    /// Argument of `IORING_REGISTER_SYNC_CANCEL`.
    struct io_uring_sync_cancel_reg (64) {
        0 addr: u64, "`user_data` of the request.";
        8 fd: i32, "Its file.";
        12 flags: u32, "`IORING_ASYNC_CANCEL_*`.";
        16 timeout: __kernel_timespec, "How long to wait; -1 and -1 for ever.";
        32 opcode: u8, "Its operation.";
        33 pad: [u8; 7], "Zero.";
        40 pad2: [u64; 3], "Zero.";
    }

    /// Argument of `IORING_REGISTER_FILE_ALLOC_RANGE`.
    struct io_uring_file_index_range (16) {
        0 off: u32, "First slot.";
        4 len: u32, "How many.";
        8 resv: u64, "Zero.";
    }

    /// Argument of `IORING_REGISTER_QUERY`: one question (`linux/io_uring/query.h`).
    struct io_uring_query_hdr (40) {
        0 next_entry: u64, "Address of the next question, or 0.";
        8 query_data: u64, "Where the answer goes.";
        16 query_op: u32, "`IO_URING_QUERY_*`.";
        20 size: u32, "Bytes of the answer: room, then what the kernel has.";
        24 result: i32, "0 or a negated error number.";
        28 __resv: [u32; 3], "Zero.";
    }

    /// Answer to `IO_URING_QUERY_OPCODES`.
    struct io_uring_query_opcode (48) {
        0 nr_request_opcodes: u32, "Operations known.";
        4 nr_register_opcodes: u32, "Register operations known.";
        8 feature_flags: u64, "All `IORING_FEAT_*` known.";
        16 ring_setup_flags: u64, "All `IORING_SETUP_*` known.";
        24 enter_flags: u64, "All `IORING_ENTER_*` known.";
        32 sqe_flags: u64, "All `IOSQE_*` known.";
        40 nr_query_opcodes: u32, "Questions known.";
        44 __pad: u32, "Zero.";
    }
}
