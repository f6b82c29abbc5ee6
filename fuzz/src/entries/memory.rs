//! What an entry points at, read and written as the kernel would.

use std::ffi::{CStr, CString};
use std::net::{Ipv4Addr, Ipv6Addr};

use arbitrary::Arbitrary;

use uring_rs::ops::address::{Address, SockAddr};
use uring_rs::ops::args::Args;
use uring_rs::sys::abi::io_uring_sqe;
use uring_rs::sys::consts::*;
use uring_rs::sys::os::{iovec, sockaddr_storage};

/// Bytes that the kernel may write for an address.
pub(super) const NAME: usize = size_of::<sockaddr_storage>();

#[derive(Arbitrary, Clone, Debug)]
pub enum Name {
    V4([u8; 4], u16),
    V6([u8; 16], u16, u32, u32),
    Unix(Vec<u8>),
}

impl Name {
    /// None where it is too long.
    pub fn address(&self) -> Option<SockAddr> {
        match self {
            Name::V4(ip, port) => Some(SockAddr::v4(Ipv4Addr::from(*ip), *port)),
            Name::V6(ip, port, flow, scope) => {
                Some(SockAddr::v6(Ipv6Addr::from(*ip), *port, *flow, *scope))
            }
            Name::Unix(name) => SockAddr::unix(name),
        }
    }

    /// What it is when it comes back.
    pub(super) fn decoded(&self) -> Address {
        match self {
            Name::V4(ip, port) => Address::V4(Ipv4Addr::from(*ip), *port),
            Name::V6(ip, port, flow, scope) => {
                Address::V6(Ipv6Addr::from(*ip), *port, *flow, *scope)
            }
            Name::Unix(name) if name.is_empty() => Address::None,
            Name::Unix(name) if name[0] == 0 => Address::UnixAbstract(name.clone()),
            Name::Unix(name) => {
                let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
                Address::UnixPath(name[..end].to_vec())
            }
        }
    }
}

/// What lies at an address, as the kernel would copy it in.
pub(super) fn read<T: Copy>(addr: u64) -> T {
    // SAFETY: an address of the entry under test; where it lies, the sanitizer tells (I1).
    unsafe { (addr as *const T).read_unaligned() }
}

pub(super) fn bytes(addr: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| read::<u8>(addr + at)).collect()
}

/// The string at an address.
pub(super) fn string(addr: u64) -> Vec<u8> {
    // SAFETY: as in `read`: it must end within its memory.
    unsafe { CStr::from_ptr(addr as *const _) }.to_bytes().to_vec()
}

/// The kernel writes as much as it may.
pub(super) fn write(addr: u64, len: usize, what: &[u8]) {
    for (at, byte) in (0..len as u64).zip(what.iter().cycle()) {
        // SAFETY: as in `read`.
        unsafe { ((addr + at) as *mut u8).write(*byte) };
    }
}

/// A string of these bytes without the zeroes.
pub(super) fn text(bytes: &[u8]) -> CString {
    CString::new(bytes.iter().copied().filter(|byte| *byte != 0).collect::<Vec<_>>())
        .expect("no zero byte")
}

pub(super) fn vectors(lengths: &[u16]) -> Vec<iovec> {
    let vector = |(at, len): (usize, &u16)| iovec {
        iov_base: (at * 65_536) as *mut _,
        iov_len: usize::from(*len),
    };
    lengths.iter().take(64).enumerate().map(vector).collect()
}

pub(super) fn same_vectors(addr: u64, count: usize, lengths: &[u16]) {
    let wanted = vectors(lengths);
    assert_eq!(count, wanted.len());
    for (at, vector) in wanted.iter().enumerate() {
        let found: iovec = read(addr + (at * size_of::<iovec>()) as u64);
        assert_eq!((found.iov_base, found.iov_len), (vector.iov_base, vector.iov_len));
    }
}

/// The address at `addr` is this one.
pub(super) fn same_name(name: &Name, addr: u64, len: usize) {
    assert!(len <= NAME);
    let mut found = SockAddr::new();
    for (at, byte) in bytes(addr, len).into_iter().enumerate() {
        // SAFETY: within the storage, by the assertion above.
        unsafe { found.as_mut_ptr().cast::<u8>().add(at).write(byte) };
    }
    found.set_len(len as u32);
    assert_eq!(found.decode(), name.decoded());
}

/// Moved about, as arguments are between being built and being kept.
pub(super) fn moved(built: (io_uring_sqe, Args)) -> (io_uring_sqe, Box<Args>) {
    let (sqe, args) = built;
    let mut shelf = vec![Args::None, args];
    shelf.reserve(100);
    (sqe, Box::new(shelf.pop().expect("two of them")))
}

/// No entry says what is for the ring to say.
pub(super) fn plain(sqe: &io_uring_sqe, opcode: u8) {
    assert_eq!((sqe.opcode, sqe.user_data, sqe.personality), (opcode, 0, 0));
    assert_eq!(sqe.flags & !IOSQE_BUFFER_SELECT, 0);
}
