//! The rows of the table.
//!
//! A row: name, constant, first kernel, meaning of the result, builder, what it can do, and the
//! memory it names. A pointer: field, what is there, until when it must stay; `->` before the text
//! says that the memory is reached through what the field points at.

use super::{Field, Lifetime, OpInfo, Pointer, ResultKind};
use crate::sys::consts;

/// The number of an operation, one this library knows or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Op(pub u8);

impl Op {
    /// What is known of it.
    #[inline]
    pub fn info(self) -> Option<&'static OpInfo> {
        super::info(self.0)
    }
}

/// The longest of the lifetimes.
const fn longest(pointers: &[Pointer]) -> Lifetime {
    let mut longest = Lifetime::Nothing;
    let mut i = 0;
    while i < pointers.len() {
        if (pointers[i].lifetime as u8) > (longest as u8) {
            longest = pointers[i].lifetime;
        }
        i += 1;
    }
    longest
}

/// Whether `word` is among the words.
const fn has(words: &[Can], word: Can) -> bool {
    let mut i = 0;
    while i < words.len() {
        if words[i] as u8 == word as u8 {
            return true;
        }
        i += 1;
    }
    false
}

/// What an operation can do.
#[derive(Clone, Copy)]
enum Can {
    Multishot,
    ZeroCopy,
    Fixed,
    Select,
    Direct,
}

macro_rules! pointer {
    ($field:ident $what:literal $lifetime:ident) => {
        Pointer {
            field: Field::$field,
            what: $what,
            lifetime: Lifetime::$lifetime,
            indirect: false,
        }
    };
    ($field:ident -> $what:literal $lifetime:ident) => {
        Pointer { field: Field::$field, what: $what, lifetime: Lifetime::$lifetime, indirect: true }
    };
}

macro_rules! ops {
    ($count:literal; $(
        $name:ident $number:ident $major:literal,$minor:literal $result:ident $method:literal
        [$($can:ident),*]
        { $( $field:ident $(-> $through:literal)? $($what:literal)? $lifetime:ident ),* }
    )*) => {
        impl Op {
            $(
                #[doc = concat!("`IORING_OP_", stringify!($name), "`.")]
                pub const $name: Op = Op(consts::$number);
            )*
        }

        /// Every operation, by number.
        pub static OPS: [OpInfo; $count] = [$({
            const POINTERS: &[Pointer] =
                &[$( pointer!($field $(-> $through)? $($what)? $lifetime) ),*];
            const CAN: &[Can] = &[$( Can::$can ),*];
            OpInfo {
                name: stringify!($name),
                number: consts::$number,
                since: ($major, $minor),
                result: ResultKind::$result,
                lifetime: longest(POINTERS),
                pointers: POINTERS,
                multishot: has(CAN, Can::Multishot),
                zero_copy: has(CAN, Can::ZeroCopy),
                fixed_buffer: has(CAN, Can::Fixed),
                buffer_select: has(CAN, Can::Select),
                direct: has(CAN, Can::Direct),
                method: $method,
            }
        },)*];
    };
}

ops! { 63;
    NOP IORING_OP_NOP 5,1 None "nop" [Fixed] {}
    READV IORING_OP_READV 5,1 Bytes "readv" [Select]
        { Addr "vectors" Submit, Addr -> "data" Completion, Addr3 "attributes" Submit,
          Addr3 -> "protection information" Completion }
    WRITEV IORING_OP_WRITEV 5,1 Bytes "writev" []
        { Addr "vectors" Submit, Addr -> "data" Completion, Addr3 "attributes" Submit,
          Addr3 -> "protection information" Completion }
    FSYNC IORING_OP_FSYNC 5,1 None "fsync" [] {}
    READ_FIXED IORING_OP_READ_FIXED 5,1 Bytes "read_fixed" [Fixed]
        { Addr3 "attributes" Submit,
          Addr3 -> "protection information" Completion }
    WRITE_FIXED IORING_OP_WRITE_FIXED 5,1 Bytes "write_fixed" [Fixed]
        { Addr3 "attributes" Submit,
          Addr3 -> "protection information" Completion }
    POLL_ADD IORING_OP_POLL_ADD 5,1 Mask "poll_add" [Multishot] {}
    POLL_REMOVE IORING_OP_POLL_REMOVE 5,1 None "poll_remove" [] {}
    SYNC_FILE_RANGE IORING_OP_SYNC_FILE_RANGE 5,2 None "sync_file_range" [] {}
    SENDMSG IORING_OP_SENDMSG 5,3 Bytes "sendmsg" []
        { Addr "msghdr" Submit, Addr -> "data and control" Completion }
    RECVMSG IORING_OP_RECVMSG 5,3 Bytes "recvmsg" [Multishot, Select]
        { Addr "msghdr" Completion, Addr -> "data, name and control" Completion }
    TIMEOUT IORING_OP_TIMEOUT 5,4 None "timeout" [Multishot] { Addr "timespec" Submit }
    TIMEOUT_REMOVE IORING_OP_TIMEOUT_REMOVE 5,5 None "timeout_remove" [] { Off "timespec" Submit }
    ACCEPT IORING_OP_ACCEPT 5,5 Fd "accept" [Multishot, Direct]
        { Addr "address" Completion, Off "address length" Completion }
    ASYNC_CANCEL IORING_OP_ASYNC_CANCEL 5,5 Count "cancel" [] {}
    LINK_TIMEOUT IORING_OP_LINK_TIMEOUT 5,5 None "link_timeout" [] { Addr "timespec" Submit }
    CONNECT IORING_OP_CONNECT 5,5 None "connect" [] { Addr "address" Submit }
    FALLOCATE IORING_OP_FALLOCATE 5,6 None "fallocate" [] {}
    OPENAT IORING_OP_OPENAT 5,6 Fd "openat" [Direct] { Addr "path" Submit }
    CLOSE IORING_OP_CLOSE 5,6 None "close" [] {}
    FILES_UPDATE IORING_OP_FILES_UPDATE 5,6 Count "files_update" []
        { Addr "descriptors" Completion }
    STATX IORING_OP_STATX 5,6 None "statx" [] { Addr "path" Submit, Off "statx" Completion }
    READ IORING_OP_READ 5,6 Bytes "read" [Select]
        { Addr "data" Completion, Addr3 "attributes" Submit,
          Addr3 -> "protection information" Completion }
    WRITE IORING_OP_WRITE 5,6 Bytes "write" []
        { Addr "data" Completion, Addr3 "attributes" Submit,
          Addr3 -> "protection information" Completion }
    FADVISE IORING_OP_FADVISE 5,6 None "fadvise" [] {}
    MADVISE IORING_OP_MADVISE 5,6 None "madvise" [] { Addr "memory" Completion }
    SEND IORING_OP_SEND 5,6 Bytes "send" [Select] { Addr "data" Completion, Off "address" Submit }
    RECV IORING_OP_RECV 5,6 Bytes "recv" [Multishot, Select] { Addr "data" Completion }
    OPENAT2 IORING_OP_OPENAT2 5,6 Fd "openat2" [Direct]
        { Addr "path" Submit, Off "open_how" Submit }
    EPOLL_CTL IORING_OP_EPOLL_CTL 5,6 None "epoll_ctl" [] { Addr "event" Submit }
    SPLICE IORING_OP_SPLICE 5,7 Bytes "splice" [] {}
    PROVIDE_BUFFERS IORING_OP_PROVIDE_BUFFERS 5,7 None "provide_buffers" []
        { Addr "buffers" Beyond }
    REMOVE_BUFFERS IORING_OP_REMOVE_BUFFERS 5,7 Count "remove_buffers" [] {}
    TEE IORING_OP_TEE 5,8 Bytes "tee" [] {}
    SHUTDOWN IORING_OP_SHUTDOWN 5,11 None "shutdown" [] {}
    RENAMEAT IORING_OP_RENAMEAT 5,11 None "renameat" []
        { Addr "old path" Submit, Off "new path" Submit }
    UNLINKAT IORING_OP_UNLINKAT 5,11 None "unlinkat" [] { Addr "path" Submit }
    MKDIRAT IORING_OP_MKDIRAT 5,15 None "mkdirat" [] { Addr "path" Submit }
    SYMLINKAT IORING_OP_SYMLINKAT 5,15 None "symlinkat" []
        { Addr "target" Submit, Off "path" Submit }
    LINKAT IORING_OP_LINKAT 5,15 None "linkat" [] { Addr "old path" Submit, Off "new path" Submit }
    MSG_RING IORING_OP_MSG_RING 5,18 Index "msg_ring" [] {}
    FSETXATTR IORING_OP_FSETXATTR 5,19 None "fsetxattr" []
        { Addr "name" Submit, Off "value" Submit }
    SETXATTR IORING_OP_SETXATTR 5,19 None "setxattr" []
        { Addr "name" Submit, Off "value" Submit, Addr3 "path" Submit }
    FGETXATTR IORING_OP_FGETXATTR 5,19 Bytes "fgetxattr" []
        { Addr "name" Submit, Off "value" Completion }
    GETXATTR IORING_OP_GETXATTR 5,19 Bytes "getxattr" []
        { Addr "name" Submit, Off "value" Completion, Addr3 "path" Submit }
    SOCKET IORING_OP_SOCKET 5,19 Fd "socket" [Direct] {}
    URING_CMD IORING_OP_URING_CMD 5,19 Driver "uring_cmd" [Multishot, Fixed, Select]
        { Addr3 "option value" Completion }
    SEND_ZC IORING_OP_SEND_ZC 6,0 Bytes "send_zc" [ZeroCopy, Fixed]
        { Addr "data" Notification, Off "address" Submit }
    SENDMSG_ZC IORING_OP_SENDMSG_ZC 6,1 Bytes "sendmsg_zc" [ZeroCopy, Fixed]
        { Addr "msghdr" Submit, Addr -> "data and control" Notification }
    READ_MULTISHOT IORING_OP_READ_MULTISHOT 6,7 Bytes "read_multishot" [Multishot, Select] {}
    WAITID IORING_OP_WAITID 6,7 None "waitid" [] { Off "siginfo" Completion }
    FUTEX_WAIT IORING_OP_FUTEX_WAIT 6,7 None "futex_wait" [] { Addr "futex word" Completion }
    FUTEX_WAKE IORING_OP_FUTEX_WAKE 6,7 Count "futex_wake" [] { Addr "futex word" Completion }
    FUTEX_WAITV IORING_OP_FUTEX_WAITV 6,7 Index "futex_waitv" []
        { Addr "futex_waitv array" Submit, Addr -> "futex words" Completion }
    FIXED_FD_INSTALL IORING_OP_FIXED_FD_INSTALL 6,8 Fd "fixed_fd_install" [] {}
    FTRUNCATE IORING_OP_FTRUNCATE 6,9 None "ftruncate" [] {}
    BIND IORING_OP_BIND 6,11 None "bind" [] { Addr "address" Submit }
    LISTEN IORING_OP_LISTEN 6,11 None "listen" [] {}
    RECV_ZC IORING_OP_RECV_ZC 6,15 Bytes "recv_zc" [Multishot] {}
    EPOLL_WAIT IORING_OP_EPOLL_WAIT 6,15 Count "epoll_wait" [] { Addr "events" Completion }
    READV_FIXED IORING_OP_READV_FIXED 6,15 Bytes "readv_fixed" [Fixed] { Addr "vectors" Submit }
    WRITEV_FIXED IORING_OP_WRITEV_FIXED 6,15 Bytes "writev_fixed" [Fixed] { Addr "vectors" Submit }
    PIPE IORING_OP_PIPE 6,16 FdPair "pipe" [Direct] { Addr "descriptors" Completion }
}
