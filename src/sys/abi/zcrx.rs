//! Zero-copy receive: the structures of `IORING_REGISTER_ZCRX_IFQ` and `IORING_OP_RECV_ZC`.

use super::abi_structs;

abi_structs! { ZCRX_LAYOUTS:
    /// Gives a piece of the area back to the network device.
    struct io_uring_zcrx_rqe (16) {
        0 off: u64, "Offset with the area's token.";
        8 len: u32, "Bytes.";
        12 __pad: u32, "Zero.";
    }

    /// The second half of a receive's 32-byte completion.
    struct io_uring_zcrx_cqe (16) {
        0 off: u64, "Where in the area the bytes are.";
        8 __pad: u64, "Zero.";
    }

    /// Where the words of the refill ring are within its region.
    struct io_uring_zcrx_offsets (32) {
        0 head: u32, "The kernel's index.";
        4 tail: u32, "Our index.";
        8 rqes: u32, "The entries.";
        12 __resv2: u32, "Zero.";
        16 __resv: [u64; 2], "Zero.";
    }

    /// The memory that received bytes land in.
    struct io_uring_zcrx_area_reg (48) {
        0 addr: u64, "The memory.";
        8 len: u64, "Its bytes.";
        16 rq_area_token: u64, "Out: to be put into refill entries.";
        24 flags: u32, "`IORING_ZCRX_AREA_*`.";
        28 dmabuf_fd: u32, "With `IORING_ZCRX_AREA_DMABUF`.";
        32 __resv2: [u64; 2], "Zero.";
    }

    /// Argument of `IORING_REGISTER_ZCRX_IFQ`.
    struct io_uring_zcrx_ifq_reg (96) {
        0 if_idx: u32, "Network interface.";
        4 if_rxq: u32, "Its receive queue.";
        8 rq_entries: u32, "Size of the refill ring.";
        12 flags: u32, "Zero.";
        16 area_ptr: u64, "Address of an `io_uring_zcrx_area_reg`.";
        24 region_ptr: u64, "Address of an `io_uring_region_desc` for the refill ring.";
        32 offsets: io_uring_zcrx_offsets, "Out: layout of the refill ring.";
        64 zcrx_id: u32, "Out: goes into `io_uring_sqe::file_index`.";
        68 __resv2: u32, "Zero.";
        72 __resv: [u64; 3], "Zero.";
    }
}
