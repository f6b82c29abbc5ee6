//! What is known of every operation of Linux 6.18: the one table that lifetimes, checks,
//! documentation and tests are read from.

mod table;

pub use table::{Op, OPS};

/// What a completion's non-negative result means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultKind {
    /// Always 0.
    None,
    /// Bytes moved.
    Bytes,
    /// A new descriptor, which somebody must own; for a direct descriptor 0 or its slot.
    Fd,
    /// Always 0: two new descriptors, which somebody must own, are in memory.
    FdPair,
    /// A number of things done.
    Count,
    /// Poll events.
    Mask,
    /// A place: of one of the things given, or a slot.
    Index,
    /// What the driver of the file says.
    Driver,
}

/// How long memory that a request names must stay valid.
///
/// With a polling kernel thread "submitted" means that the head of the submission queue has passed
/// the entry, which may be long after io_uring_enter(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lifetime {
    /// It names no memory.
    Nothing,
    /// Until it is submitted: the kernel copies it.
    Submit,
    /// Until its terminal completion.
    Completion,
    /// Until the notification that follows its result (`IORING_CQE_F_NOTIF`).
    Notification,
    /// Beyond its completion, until the kernel has given it back some other way.
    Beyond,
}

/// A field of the submission entry that may hold an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `io_uring_sqe::off`.
    Off,
    /// `io_uring_sqe::addr`.
    Addr,
    /// `io_uring_sqe::addr3`.
    Addr3,
}

/// Memory that a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// The field with its address.
    pub field: Field,
    /// What it is.
    pub what: &'static str,
    /// How long it must stay.
    pub lifetime: Lifetime,
    /// The field's memory is not this but leads to it: the data of vectors, for example.
    pub indirect: bool,
}

/// An operation.
#[derive(Clone, Copy, Debug)]
pub struct OpInfo {
    /// The name without `IORING_OP_`.
    pub name: &'static str,
    /// The number.
    pub number: u8,
    /// The first kernel that has it.
    pub since: (u8, u8),
    /// What a result means.
    pub result: ResultKind,
    /// How long memory must stay: the longest of `pointers`.
    pub lifetime: Lifetime,
    /// The memory it names, apart from registered and provided buffers.
    pub pointers: &'static [Pointer],
    /// One request may complete many times, by a flag or always. (A bundled send does too.)
    pub multishot: bool,
    /// It takes the data without copying and notifies when done with it.
    pub zero_copy: bool,
    /// It can use a registered buffer: `buf_index` counts.
    pub fixed_buffer: bool,
    /// It can have the kernel choose a provided buffer (`IOSQE_BUFFER_SELECT`).
    pub buffer_select: bool,
    /// It can make a direct descriptor: `file_index` counts.
    pub direct: bool,
    /// The name of its builder: `prep_` and this.
    pub method: &'static str,
}

impl OpInfo {
    /// Whether any memory must stay valid after submission.
    pub const fn outlives_submission(&self) -> bool {
        !matches!(self.lifetime, Lifetime::Nothing | Lifetime::Submit)
    }

    /// Whether a result that is not negative is itself a descriptor.
    pub const fn returns_fd(&self) -> bool {
        matches!(self.result, ResultKind::Fd)
    }

    /// Whether a ring that polls for completions (`IORING_SETUP_IOPOLL`) does it.
    pub const fn can_be_polled(&self) -> bool {
        use crate::sys::consts::*;
        matches!(
            self.number,
            IORING_OP_NOP
                | IORING_OP_READV
                | IORING_OP_WRITEV
                | IORING_OP_READ_FIXED
                | IORING_OP_WRITE_FIXED
                | IORING_OP_FILES_UPDATE
                | IORING_OP_READ
                | IORING_OP_WRITE
                | IORING_OP_PROVIDE_BUFFERS
                | IORING_OP_REMOVE_BUFFERS
                | IORING_OP_MSG_RING
                | IORING_OP_URING_CMD
                | IORING_OP_READV_FIXED
                | IORING_OP_WRITEV_FIXED
        )
    }

    /// Whether a successful result is a resource that must have an owner.
    pub const fn makes_fd(&self) -> bool {
        matches!(self.result, ResultKind::Fd | ResultKind::FdPair)
    }
}

/// Whether an operation is on a file that may be a direct descriptor (`IOSQE_FIXED_FILE`). With the
/// others the kernel refuses the flag, or, worse, takes the slot's number for a descriptor's. (SPLICE
/// and TEE have two files: it is about the one written to, the other has a flag of its own.)
pub const fn takes_fixed_file(op: u8) -> bool {
    use crate::sys::consts::*;
    matches!(
        op,
        IORING_OP_READV
            | IORING_OP_WRITEV
            | IORING_OP_FSYNC
            | IORING_OP_READ_FIXED
            | IORING_OP_WRITE_FIXED
            | IORING_OP_POLL_ADD
            | IORING_OP_SYNC_FILE_RANGE
            | IORING_OP_SENDMSG
            | IORING_OP_RECVMSG
            | IORING_OP_ACCEPT
            | IORING_OP_SPLICE
            | IORING_OP_TEE
            | IORING_OP_CONNECT
            | IORING_OP_FALLOCATE
            | IORING_OP_READ
            | IORING_OP_WRITE
            | IORING_OP_FADVISE
            | IORING_OP_SEND
            | IORING_OP_RECV
            | IORING_OP_SHUTDOWN
            | IORING_OP_FSETXATTR
            | IORING_OP_FGETXATTR
            | IORING_OP_URING_CMD
            | IORING_OP_SEND_ZC
            | IORING_OP_SENDMSG_ZC
            | IORING_OP_READ_MULTISHOT
            | IORING_OP_FIXED_FD_INSTALL
            | IORING_OP_FTRUNCATE
            | IORING_OP_BIND
            | IORING_OP_LISTEN
            | IORING_OP_RECV_ZC
            | IORING_OP_EPOLL_WAIT
            | IORING_OP_READV_FIXED
            | IORING_OP_WRITEV_FIXED
    )
}

/// What is known of the operation with this number.
#[inline]
pub fn info(op: u8) -> Option<&'static OpInfo> {
    OPS.get(usize::from(op))
}

/// What is known of the operation with this name: "READ", in any case, with or without
/// `IORING_OP_` before it.
pub fn by_name(name: &str) -> Option<&'static OpInfo> {
    const PREFIX: &str = "IORING_OP_";
    let short = match name.get(..PREFIX.len()) {
        Some(prefix) if prefix.eq_ignore_ascii_case(PREFIX) => &name[PREFIX.len()..],
        _ => name,
    };
    OPS.iter().find(|op| op.name.eq_ignore_ascii_case(short))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::consts;

    #[test]
    fn the_table_is_complete_and_in_order() {
        assert_eq!(OPS.len(), 63);
        for (number, op) in OPS.iter().enumerate() {
            assert_eq!(usize::from(op.number), number, "{}", op.name);
            assert_eq!(info(op.number).map(|found| found.name), Some(op.name));
        }
        assert!(info(63).is_none());
    }

    #[test]
    fn it_names_what_the_constants_name() {
        for constant in consts::all() {
            if let Some(name) = constant.name.strip_prefix("IORING_OP_") {
                let op = by_name(name).unwrap_or_else(|| panic!("{name} is not in the table"));
                assert_eq!(i128::from(op.number), constant.value, "{name}");
            }
        }
    }

    #[test]
    fn names_and_methods_are_unique() {
        for (index, op) in OPS.iter().enumerate() {
            for other in &OPS[index + 1..] {
                assert_ne!(op.name, other.name);
                assert_ne!(op.method, other.method);
            }
            let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(!op.method.is_empty() && op.method.chars().all(valid), "{}", op.method);
        }
    }

    #[test]
    fn names_are_found_however_they_are_written() {
        for name in ["READ", "read", "IORING_OP_READ", "ioring_op_read"] {
            assert_eq!(by_name(name).unwrap().number, consts::IORING_OP_READ);
        }
        for name in ["", "IORING_OP_", "READ2", "é", "ééééééééé"] {
            assert!(by_name(name).is_none(), "{name}");
        }
        assert_eq!(Op::PIPE.info().unwrap().name, "PIPE");
        assert_eq!(Op(200).info().map(|op| op.name), None);
    }

    #[test]
    fn numbers_grow_with_versions() {
        for pair in OPS.windows(2) {
            assert!(pair[0].since <= pair[1].since, "{} {}", pair[0].name, pair[1].name);
        }
        assert_eq!(OPS[0].since, (5, 1));
        assert!(OPS.iter().all(|op| op.since <= (6, 18)));
    }

    #[test]
    fn lifetimes_agree_with_the_pointers_and_kinds() {
        for op in &OPS {
            let longest = op.pointers.iter().map(|pointer| pointer.lifetime).max();
            assert_eq!(op.lifetime, longest.unwrap_or(Lifetime::Nothing), "{}", op.name);
            assert_eq!(op.lifetime == Lifetime::Notification, op.zero_copy, "{}", op.name);
            assert!(!op.direct || op.makes_fd(), "{} makes no descriptor", op.name);
            for pointer in op.pointers {
                assert_ne!(pointer.lifetime, Lifetime::Nothing, "{}", op.name);
                assert!(!pointer.what.is_empty(), "{}", op.name);
                let direct = |other: &&Pointer| other.field == pointer.field && !other.indirect;
                let named = op.pointers.iter().filter(direct).count();
                assert_eq!(named, 1, "{}: one thing is at {:?}", op.name, pointer.field);
            }
        }
    }

    /// What was measured by unmapping each argument while the request was held up.
    #[test]
    fn lifetimes_are_those_measured() {
        let at_submit = [
            "CONNECT",
            "BIND",
            "OPENAT",
            "OPENAT2",
            "RENAMEAT",
            "UNLINKAT",
            "MKDIRAT",
            "SYMLINKAT",
            "LINKAT",
            "FSETXATTR",
            "SETXATTR",
            "TIMEOUT",
            "LINK_TIMEOUT",
            "EPOLL_CTL",
        ];
        let at_completion = [
            "READ",
            "WRITE",
            "READV",
            "WRITEV",
            "SENDMSG",
            "RECVMSG",
            "SEND",
            "RECV",
            "ACCEPT",
            "STATX",
            "FGETXATTR",
            "GETXATTR",
            "EPOLL_WAIT",
            "FILES_UPDATE",
            "WAITID",
            "PIPE",
            "FUTEX_WAIT",
            "FUTEX_WAITV",
            "URING_CMD",
            "MADVISE",
        ];
        for name in at_submit {
            assert_eq!(by_name(name).unwrap().lifetime, Lifetime::Submit, "{name}");
        }
        for name in at_completion {
            assert_eq!(by_name(name).unwrap().lifetime, Lifetime::Completion, "{name}");
        }
    }
}
