//! The structures of `linux/io_uring.h` (Linux 6.18), field by field.
//!
//! Every field is declared with its offset. The declaration does not compile unless the offsets
//! and the size are those, and unless the structure has no hidden padding: a value whose
//! fields are all set has no uninitialised byte to hand to the kernel. `tests/rust/abi.rs`
//! compares the same table with the kernel's own header through the C compiler.
//!
//! Unions of the header are flattened: where the header gives one place several names, the field
//! here has the most general of them.
#![allow(non_camel_case_types)]

mod register;
mod stat;
mod zcrx;

pub use register::*;
pub use stat::*;
pub use zcrx::*;

/// A field of a structure of this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldLayout {
    /// The field's name.
    pub name: &'static str,
    /// Where it begins, in bytes.
    pub offset: usize,
    /// How many bytes it has.
    pub size: usize,
}

/// A structure of this module, as the ABI test reads it.
#[derive(Clone, Copy, Debug)]
pub struct StructLayout {
    /// The name of the structure in the header.
    pub name: &'static str,
    /// Its size in bytes.
    pub size: usize,
    /// Its fields in order.
    pub fields: &'static [FieldLayout],
}

/// Declare structures with the offset of every field and their size; see the module's comment.
macro_rules! abi_structs {
    ($table:ident: $(
        $(#[$meta:meta])*
        struct $name:ident ($size:literal) {
            $( $offset:literal $field:ident: $type:ty, $doc:literal; )*
        }
    )*) => {
        $(
            $(#[$meta])*
            #[repr(C)]
            #[derive(Clone, Copy, Debug, Default)]
            pub struct $name {
                $( #[doc = $doc] pub $field: $type, )*
            }
            const _: () = {
                assert!(core::mem::size_of::<$name>() == $size);
                let fields = [$( core::mem::size_of::<$type>() ),*];
                let (mut i, mut sum) = (0, 0);
                while i < fields.len() {
                    sum += fields[i];
                    i += 1;
                }
                assert!(sum == $size, "hidden padding");
                $( assert!(core::mem::offset_of!($name, $field) == $offset); )*
            };
        )*
        /// The layout of the structures declared in this file.
        pub static $table: &[$crate::sys::abi::StructLayout] = &[$(
            $crate::sys::abi::StructLayout {
                name: stringify!($name),
                size: $size,
                fields: &[$(
                    $crate::sys::abi::FieldLayout {
                        name: stringify!($field),
                        offset: $offset,
                        size: core::mem::size_of::<$type>(),
                    },
                )*],
            },
        )*];
    };
}
pub(crate) use abi_structs;

/// The layout of every structure of this module, for the comparison with the kernel's header.
pub fn layouts() -> impl Iterator<Item = &'static StructLayout> {
    QUEUE_LAYOUTS.iter().chain(REGISTER_LAYOUTS).chain(STAT_LAYOUTS).chain(ZCRX_LAYOUTS)
}

abi_structs! { QUEUE_LAYOUTS:
    /// A submission queue entry: one request. With `IORING_SETUP_SQE128` the entry has 64 bytes
    /// more, all of them command data that begins at `addr3`.
    struct io_uring_sqe (64) {
        0 opcode: u8, "What to do: `IORING_OP_*`.";
        1 flags: u8, "`IOSQE_*`.";
        2 ioprio: u16, "Priority; for sockets `IORING_RECVSEND_*` and `IORING_ACCEPT_*`.";
        4 fd: i32, "File, directory, or slot of the file table.";
        8 off: u64, "File offset; also `addr2` and `cmd_op`.";
        16 addr: u64, "Buffer, vectors, path; also `splice_off_in`, `level` and `optname`.";
        24 len: u32, "Bytes, or the number of vectors.";
        28 op_flags: u32, "`rw_flags`, `msg_flags`, `open_flags`, ...: one name per operation.";
        32 user_data: u64, "Comes back in the completion.";
        40 buf_index: u16, "Registered buffer; also `buf_group`.";
        42 personality: u16, "Credentials registered earlier, or 0.";
        44 file_index: u32, "Direct slot; also `splice_fd_in`, `optlen`, `addr_len`, ...";
        48 addr3: u64, "Third address; also `attr_ptr`, `optval`, and where `cmd` begins.";
        56 pad2: u64, "Zero, or `attr_type_mask` beside `attr_ptr`.";
    }

    /// A completion queue entry. With `IORING_SETUP_CQE32`, or where `IORING_CQE_F_32` is set, 16
    /// bytes more follow (`big_cqe`).
    struct io_uring_cqe (16) {
        0 user_data: u64, "That of the request.";
        8 res: i32, "The result, or a negated error number.";
        12 flags: u32, "`IORING_CQE_F_*`; the upper half may be a buffer id.";
    }

    /// Where the words of the submission queue are within its mapping.
    struct io_sqring_offsets (40) {
        0 head: u32, "The kernel's index.";
        4 tail: u32, "Our index.";
        8 ring_mask: u32, "Number of entries less one.";
        12 ring_entries: u32, "Number of entries.";
        16 flags: u32, "`IORING_SQ_*`.";
        20 dropped: u32, "Entries with an index out of range.";
        24 array: u32, "The index array; unused with `IORING_SETUP_NO_SQARRAY`.";
        28 resv1: u32, "Zero.";
        32 user_addr: u64, "Memory for the entries, with `IORING_SETUP_NO_MMAP`.";
    }

    /// Where the words of the completion queue are within its mapping.
    struct io_cqring_offsets (40) {
        0 head: u32, "Our index.";
        4 tail: u32, "The kernel's index.";
        8 ring_mask: u32, "Number of entries less one.";
        12 ring_entries: u32, "Number of entries.";
        16 overflow: u32, "Completions lost for good.";
        20 cqes: u32, "The entries.";
        24 flags: u32, "`IORING_CQ_*`.";
        28 resv1: u32, "Zero.";
        32 user_addr: u64, "Memory for the rings, with `IORING_SETUP_NO_MMAP`.";
    }

    /// Argument of io_uring_setup(2), filled in by the kernel.
    struct io_uring_params (120) {
        0 sq_entries: u32, "Out: size of the submission queue.";
        4 cq_entries: u32, "In with `IORING_SETUP_CQSIZE`; out: size of the completion queue.";
        8 flags: u32, "`IORING_SETUP_*`.";
        12 sq_thread_cpu: u32, "CPU of the polling thread, with `IORING_SETUP_SQ_AFF`.";
        16 sq_thread_idle: u32, "Milliseconds until the polling thread sleeps.";
        20 features: u32, "Out: `IORING_FEAT_*`.";
        24 wq_fd: u32, "Ring whose workers to share, with `IORING_SETUP_ATTACH_WQ`.";
        28 resv: [u32; 3], "Zero.";
        40 sq_off: io_sqring_offsets, "Out: layout of the submission queue.";
        80 cq_off: io_cqring_offsets, "Out: layout of the completion queue.";
    }

    /// Seconds and nanoseconds, 64 bits each on every architecture.
    struct __kernel_timespec (16) {
        0 tv_sec: i64, "Seconds.";
        8 tv_nsec: i64, "Nanoseconds.";
    }

    /// Argument of io_uring_enter(2) with `IORING_ENTER_EXT_ARG`.
    struct io_uring_getevents_arg (24) {
        0 sigmask: u64, "Address of a signal mask, or 0.";
        8 sigmask_sz: u32, "Its size in bytes.";
        12 min_wait_usec: u32, "Wait at least this long for a full batch (6.12).";
        16 ts: u64, "Address of a `__kernel_timespec`, or 0 for no limit.";
    }

    /// Entry of a registered wait region, for `IORING_ENTER_EXT_ARG_REG`.
    struct io_uring_reg_wait (64) {
        0 ts: __kernel_timespec, "Time limit, if `IORING_REG_WAIT_TS`.";
        16 min_wait_usec: u32, "As in `io_uring_getevents_arg`.";
        20 flags: u32, "`IORING_REG_WAIT_*`.";
        24 sigmask: u64, "Address of a signal mask, or 0.";
        32 sigmask_sz: u32, "Its size in bytes.";
        36 pad: [u32; 3], "Zero.";
        48 pad2: [u64; 2], "Zero.";
    }

    /// What a multishot recvmsg writes at the start of the buffer, before name, control, payload.
    struct io_uring_recvmsg_out (16) {
        0 namelen: u32, "Bytes the name has; more than there was room for if cut.";
        4 controllen: u32, "Bytes of control data.";
        8 payloadlen: u32, "Bytes of payload.";
        12 flags: u32, "`MSG_*` flags of the message.";
    }

    /// Protection information of a read or write (`IORING_RW_ATTR_FLAG_PI`).
    struct io_uring_attr_pi (32) {
        0 flags: u16, "What to check.";
        2 app_tag: u16, "Application tag.";
        4 len: u32, "Bytes of protection information.";
        8 addr: u64, "Where it is.";
        16 seed: u64, "Seed of the reference tag.";
        24 rsvd: u64, "Zero.";
    }

    /// Time stamp in a 32-byte completion of `SOCKET_URING_OP_TX_TIMESTAMP`.
    struct io_timespec (16) {
        0 tv_sec: u64, "Seconds.";
        8 tv_nsec: u64, "Nanoseconds.";
    }

    /// How `IORING_OP_OPENAT2` opens (`linux/openat2.h`).
    struct open_how (24) {
        0 flags: u64, "`O_*`.";
        8 mode: u64, "Mode of a new file.";
        16 resolve: u64, "`RESOLVE_*`.";
    }

    /// One word of `IORING_OP_FUTEX_WAITV` (`linux/futex.h`).
    struct futex_waitv (24) {
        0 val: u64, "The value expected.";
        8 uaddr: u64, "Address of the word.";
        16 flags: u32, "`FUTEX2_*`.";
        20 __reserved: u32, "Zero.";
    }
}
