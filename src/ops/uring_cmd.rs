//! Commands to the driver of a file, above all to sockets.

use crate::ops::address::SockAddr;
use crate::ops::args::Args;
use crate::ops::entry;
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;
use crate::sys::os::{SOL_SOCKET, SO_GET_FILTER, SO_PEERPIDFD};

/// getsockname(2) and getpeername(2), of Linux 6.19: not in the header that `sys::consts` describes.
const SOCKET_URING_OP_GETSOCKNAME: u32 = 5;

/// Bytes of its own a command has in an entry of 64 bytes.
pub const COMMAND_ROOM: usize = 16;

/// The same of an entry of 128 bytes.
pub const WIDE_ROOM: usize = COMMAND_ROOM + 64;

/// The longest option value: more than any option has, less than a mistake.
pub const OPTION_MAX: usize = 1 << 16;

/// Bytes of one instruction of a socket filter.
const INSTRUCTION: usize = 8;

/// Where the kernel writes a socket option.
pub struct OptionArgs {
    room: Vec<u8>,
    /// As many as were asked for, in the option's units.
    asked: usize,
    unit: usize,
    kind: Kind,
}

/// What an option is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int,
    Bytes,
    /// A descriptor the kernel makes for it.
    Fd,
}

/// A socket option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionValue {
    /// As a number.
    Int(i32),
    /// A new descriptor, which somebody must own (I10).
    Fd(i32),
    /// As it is.
    Bytes(Vec<u8>),
}

impl OptionArgs {
    /// The option's value, for a request that ended with `length`.
    pub fn value(&self, length: i32) -> OptionValue {
        let int = || i32::from_ne_bytes(self.room[..4].try_into().expect("room for an int"));
        match self.kind {
            Kind::Int => return OptionValue::Int(int()),
            Kind::Fd if length == 4 => return OptionValue::Fd(int()),
            Kind::Fd | Kind::Bytes => {}
        }
        // The kernel's word is not taken for more than there was room for.
        let length = usize::try_from(length).unwrap_or(0).min(self.asked) * self.unit;
        OptionValue::Bytes(self.room[..length.min(self.room.len())].to_vec())
    }

    /// Make it ready for another request.
    pub fn clear(&mut self) {
        self.room.fill(0);
    }
}

/// Command `op` of a file's driver, everything else zero.
fn command(fd: i32, op: u32) -> io_uring_sqe {
    io_uring_sqe { off: low_half(op), ..entry(IORING_OP_URING_CMD, fd) }
}

/// A word whose first half, in memory, is `first`: the fields of the header's unions are there.
fn halves(first: u32, second: u32) -> u64 {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&first.to_ne_bytes());
    bytes[4..].copy_from_slice(&second.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

fn low_half(first: u32) -> u64 {
    halves(first, 0)
}

/// What a command has beside its number.
#[derive(Clone, Copy, Default)]
pub struct Command {
    /// `io_uring_sqe::addr`.
    pub addr: u64,
    /// `io_uring_sqe::len`.
    pub len: u32,
    /// `io_uring_sqe::optlen`.
    pub optlen: u32,
    /// `IORING_URING_CMD_*`.
    pub flags: u32,
    /// A registered buffer, with `IORING_URING_CMD_FIXED`.
    pub index: u16,
    /// The bytes of its own.
    pub data: [u8; COMMAND_ROOM],
}

/// Any command, as it is.
pub fn raw(fd: i32, op: u32, with: Command) -> io_uring_sqe {
    let word = |at: usize| u64::from_ne_bytes(with.data[at..at + 8].try_into().expect("a word"));
    io_uring_sqe {
        addr: with.addr,
        len: with.len,
        op_flags: with.flags,
        buf_index: with.index,
        file_index: with.optlen,
        addr3: word(0),
        pad2: word(8),
        ..command(fd, op)
    }
}

/// The second half of an entry of 128 bytes, with what the first has no room for.
pub fn second_half(bytes: &[u8]) -> [u64; 8] {
    let mut room = [0; WIDE_ROOM - COMMAND_ROOM];
    let len = bytes.len().min(room.len());
    room[..len].copy_from_slice(&bytes[..len]);
    let word = |at: usize| u64::from_ne_bytes(room[at..at + 8].try_into().expect("a word"));
    core::array::from_fn(|index| word(8 * index))
}

/// Bytes that wait to be read from a socket.
pub fn siocinq(fd: i32) -> io_uring_sqe {
    command(fd, SOCKET_URING_OP_SIOCINQ)
}

/// Bytes that wait to be sent by a socket.
pub fn siocoutq(fd: i32) -> io_uring_sqe {
    command(fd, SOCKET_URING_OP_SIOCOUTQ)
}

/// Time stamps of what a socket sent, one completion each.
pub fn tx_timestamp(fd: i32) -> io_uring_sqe {
    command(fd, SOCKET_URING_OP_TX_TIMESTAMP)
}

fn option(fd: i32, op: u32, level: i32, name: i32, value: u64, len: u32) -> io_uring_sqe {
    io_uring_sqe {
        addr: halves(level as u32, name as u32),
        file_index: len,
        addr3: value,
        ..command(fd, op)
    }
}

/// getsockopt(2): an int, or as many as `buflen` bytes.
pub fn getsockopt(fd: i32, level: i32, name: i32, buflen: Option<usize>) -> (io_uring_sqe, Args) {
    let is = |option: i32| level == SOL_SOCKET && name == option;
    // Of a descriptor all bytes, or nobody could know which it is.
    let whole = if is(SO_PEERPIDFD) { None } else { buflen };
    let asked = whole.unwrap_or(size_of::<i32>()).min(OPTION_MAX);
    let kind = match buflen {
        _ if is(SO_PEERPIDFD) => Kind::Fd,
        None => Kind::Int,
        Some(_) => Kind::Bytes,
    };
    // A filter is asked for in instructions, and comes in bytes: what has room for as many bytes
    // would be overrun. Other options that count so may come, so all get that room.
    let mut args = Box::new(OptionArgs {
        room: vec![0; asked * INSTRUCTION],
        asked,
        unit: if is(SO_GET_FILTER) { INSTRUCTION } else { 1 },
        kind,
    });
    let room = args.room.as_mut_ptr() as u64;
    let sqe = option(fd, SOCKET_URING_OP_GETSOCKOPT, level, name, room, asked as u32);
    (sqe, Args::SocketOption(args))
}

/// setsockopt(2).
pub fn setsockopt(fd: i32, level: i32, name: i32, value: Box<[u8]>) -> (io_uring_sqe, Args) {
    let (addr, len) = (value.as_ptr() as u64, value.len() as u32);
    let sqe = option(fd, SOCKET_URING_OP_SETSOCKOPT, level, name, addr, len);
    (sqe, Args::Bytes(value))
}

/// getsockname(2), or getpeername(2).
pub fn getsockname(fd: i32, peer: bool) -> (io_uring_sqe, Args) {
    let mut name = Box::new(SockAddr::new());
    let sqe = io_uring_sqe {
        addr: name.as_mut_ptr() as u64,
        addr3: name.len_mut_ptr() as u64,
        file_index: u32::from(peer),
        ..command(fd, SOCKET_URING_OP_GETSOCKNAME)
    };
    (sqe, Args::SocketName(name))
}

/// Discard a range of a block device.
pub fn discard(fd: i32, offset: u64, len: u64) -> io_uring_sqe {
    io_uring_sqe { addr: offset, addr3: len, ..command(fd, BLOCK_URING_CMD_DISCARD) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(args: &Args) -> &OptionArgs {
        match args {
            Args::SocketOption(option) => option,
            _ => panic!("an option's room is kept"),
        }
    }

    #[test]
    fn no_length_leads_beyond_the_room() {
        for buflen in [1, 4, 100, OPTION_MAX] {
            for name in [1, SO_GET_FILTER] {
                let (_, kept) = getsockopt(5, SOL_SOCKET, name, Some(buflen));
                for length in [i32::MIN, -1, 0, 1, buflen as i32, i32::MAX] {
                    let OptionValue::Bytes(bytes) = args(&kept).value(length) else { panic!() };
                    assert!(bytes.len() <= buflen * INSTRUCTION);
                }
            }
        }
    }

    #[test]
    fn a_filter_has_room_for_its_instructions() {
        let (sqe, kept) = getsockopt(5, SOL_SOCKET, SO_GET_FILTER, Some(6));
        assert_eq!((sqe.file_index, args(&kept).room.len()), (6, 48));
        assert_eq!(args(&kept).value(2), OptionValue::Bytes(vec![0; 16]));
        // Asked for as an int, it may bring as many as four of them.
        let (sqe, kept) = getsockopt(5, SOL_SOCKET, SO_GET_FILTER, None);
        assert!(args(&kept).room.len() >= sqe.file_index as usize * INSTRUCTION);
    }

    #[test]
    fn a_descriptor_is_told_from_a_number() {
        for buflen in [None, Some(4), Some(1)] {
            let (sqe, kept) = getsockopt(5, SOL_SOCKET, SO_PEERPIDFD, buflen);
            assert_eq!(sqe.file_index, 4);
            assert_eq!(args(&kept).value(4), OptionValue::Fd(0));
            assert_eq!(args(&kept).value(1), OptionValue::Bytes(vec![0]));
            let (_, kept) = getsockopt(5, SOL_SOCKET + 1, SO_PEERPIDFD, buflen);
            assert_ne!(args(&kept).value(4), OptionValue::Fd(0));
        }
    }

    #[test]
    fn level_and_name_are_side_by_side() {
        let (sqe, kept) = setsockopt(5, 7, 9, vec![1, 2, 3].into());
        let bytes = sqe.addr.to_ne_bytes();
        assert_eq!(bytes[..4], 7i32.to_ne_bytes());
        assert_eq!(bytes[4..], 9i32.to_ne_bytes());
        assert_eq!(sqe.off.to_ne_bytes()[..4], SOCKET_URING_OP_SETSOCKOPT.to_ne_bytes());
        let Args::Bytes(value) = &kept else { panic!("the value is kept") };
        assert_eq!((sqe.addr3, sqe.file_index), (value.as_ptr() as u64, 3));
    }

    #[test]
    fn raw_bytes_are_where_the_header_has_them() {
        let data = core::array::from_fn(|at| at as u8);
        let with = Command { addr: 1, len: 2, optlen: 3, flags: 4, index: 5, data };
        let sqe = raw(6, 7, with);
        assert_eq!((sqe.addr, sqe.len, sqe.file_index, sqe.op_flags), (1, 2, 3, 4));
        assert_eq!((sqe.buf_index, sqe.fd), (5, 6));
        assert_eq!(sqe.addr3.to_ne_bytes(), data[..8]);
        assert_eq!(sqe.pad2.to_ne_bytes(), data[8..]);
    }
}
