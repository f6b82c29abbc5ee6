//! Socket addresses as the kernel has them, and as plain Rust values.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::sys::os::*;

/// Room for any address, and how much of it is used.
#[derive(Clone, Copy)]
pub struct SockAddr {
    storage: sockaddr_storage,
    len: socklen_t,
}

/// An address taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// No address: an unnamed unix socket, or nothing was written.
    None,
    /// IPv4.
    V4(Ipv4Addr, u16),
    /// IPv6 with flow info and scope id.
    V6(Ipv6Addr, u16, u32, u32),
    /// A unix socket's path.
    UnixPath(Vec<u8>),
    /// A unix socket's abstract name, with its leading zero byte.
    UnixAbstract(Vec<u8>),
    /// Some other family, as it is.
    Other(u16, Vec<u8>),
}

/// The longest path or abstract name of a unix socket.
pub const UNIX_PATH_MAX: usize = 108;
const PATH_OFFSET: usize = core::mem::offset_of!(sockaddr_un, sun_path);

impl Default for SockAddr {
    fn default() -> Self {
        Self::new()
    }
}

impl SockAddr {
    /// Empty room for the kernel to write an address into.
    pub fn new() -> Self {
        // SAFETY: all-zero bytes are a valid sockaddr_storage (I1).
        let storage = unsafe { core::mem::zeroed() };
        SockAddr { storage, len: core::mem::size_of::<sockaddr_storage>() as socklen_t }
    }

    fn of<T>(value: T, len: usize) -> Self {
        const { assert!(core::mem::size_of::<T>() <= core::mem::size_of::<sockaddr_storage>()) };
        let mut address = Self::new();
        // SAFETY: fits, by the assertion; sockaddr_storage is aligned for every address (I1).
        unsafe { core::ptr::from_mut(&mut address.storage).cast::<T>().write(value) };
        address.len = len as socklen_t;
        address
    }

    /// An IPv4 address.
    pub fn v4(ip: Ipv4Addr, port: u16) -> Self {
        // SAFETY: all-zero bytes are a valid sockaddr_in (I1).
        let mut sin: sockaddr_in = unsafe { core::mem::zeroed() };
        sin.sin_family = AF_INET as sa_family_t;
        sin.sin_port = port.to_be();
        sin.sin_addr.s_addr = u32::from_ne_bytes(ip.octets());
        Self::of(sin, core::mem::size_of::<sockaddr_in>())
    }

    /// An IPv6 address.
    pub fn v6(ip: Ipv6Addr, port: u16, flowinfo: u32, scope: u32) -> Self {
        // SAFETY: all-zero bytes are a valid sockaddr_in6 (I1).
        let mut sin6: sockaddr_in6 = unsafe { core::mem::zeroed() };
        sin6.sin6_family = AF_INET6 as sa_family_t;
        sin6.sin6_port = port.to_be();
        sin6.sin6_flowinfo = flowinfo.to_be();
        sin6.sin6_addr.s6_addr = ip.octets();
        sin6.sin6_scope_id = scope;
        Self::of(sin6, core::mem::size_of::<sockaddr_in6>())
    }

    /// A unix socket's path, or abstract name if it begins with a zero byte. None if too long.
    pub fn unix(name: &[u8]) -> Option<Self> {
        let is_abstract = name.first() == Some(&0);
        // A path is closed by a zero byte, an abstract name by its length.
        let room = if is_abstract { UNIX_PATH_MAX } else { UNIX_PATH_MAX - 1 };
        if name.len() > room {
            return None;
        }
        // SAFETY: all-zero bytes are a valid sockaddr_un (I1).
        let mut sun: sockaddr_un = unsafe { core::mem::zeroed() };
        sun.sun_family = AF_UNIX as sa_family_t;
        for (to, from) in sun.sun_path.iter_mut().zip(name) {
            *to = *from as c_char;
        }
        let closing = usize::from(!is_abstract && !name.is_empty());
        Some(Self::of(sun, PATH_OFFSET + name.len() + closing))
    }

    /// The address, for the kernel.
    pub fn as_ptr(&self) -> *const sockaddr_storage {
        &raw const self.storage
    }

    /// Where the kernel may write an address.
    pub fn as_mut_ptr(&mut self) -> *mut sockaddr_storage {
        &raw mut self.storage
    }

    /// Where the kernel reads and writes the length.
    pub fn len_mut_ptr(&mut self) -> *mut socklen_t {
        &raw mut self.len
    }

    /// Bytes in use.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Is nothing in use?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of it is room again, for the kernel to write another address into.
    pub fn make_room(&mut self) {
        self.len = core::mem::size_of::<sockaddr_storage>() as socklen_t;
    }

    /// Say how many bytes the kernel wrote. It reports the full length of an address it had to
    /// cut, so never trust more than there is room for.
    pub fn set_len(&mut self, len: u32) {
        self.len = len.min(core::mem::size_of::<sockaddr_storage>() as u32);
    }

    /// The bytes in use.
    fn bytes(&self) -> &[u8] {
        let len = (self.len as usize).min(core::mem::size_of::<sockaddr_storage>());
        // SAFETY: within `storage`, which is plain initialised bytes of ours (I1).
        unsafe { core::slice::from_raw_parts(core::ptr::from_ref(&self.storage).cast(), len) }
    }

    /// Take it apart.
    pub fn decode(&self) -> Address {
        let bytes = self.bytes();
        if bytes.len() < core::mem::size_of::<sa_family_t>() {
            return Address::None;
        }
        let family = i32::from(self.storage.ss_family);
        match family {
            AF_INET if bytes.len() >= 8 => {
                let ip = Ipv4Addr::new(bytes[4], bytes[5], bytes[6], bytes[7]);
                Address::V4(ip, u16::from_be_bytes([bytes[2], bytes[3]]))
            }
            AF_INET6 if bytes.len() >= 28 => {
                let ip: [u8; 16] = bytes[8..24].try_into().expect("16 bytes");
                let flow = u32::from_be_bytes(bytes[4..8].try_into().expect("4 bytes"));
                let scope = u32::from_ne_bytes(bytes[24..28].try_into().expect("4 bytes"));
                let port = u16::from_be_bytes([bytes[2], bytes[3]]);
                Address::V6(Ipv6Addr::from(ip), port, flow, scope)
            }
            AF_UNIX => match bytes.get(PATH_OFFSET..) {
                None | Some([]) => Address::None,
                Some(name @ [0, ..]) => Address::UnixAbstract(name.to_vec()),
                Some(path) => {
                    let end = path.iter().position(|&b| b == 0).unwrap_or(path.len());
                    Address::UnixPath(path[..end].to_vec())
                }
            },
            AF_UNSPEC => Address::None,
            _ => Address::Other(family as u16, bytes[2..].to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_round_trip() {
        let v4 = SockAddr::v4(Ipv4Addr::new(127, 0, 0, 1), 8080);
        assert_eq!(v4.decode(), Address::V4(Ipv4Addr::new(127, 0, 0, 1), 8080));
        let v6 = SockAddr::v6(Ipv6Addr::LOCALHOST, 80, 7, 3);
        assert_eq!(v6.decode(), Address::V6(Ipv6Addr::LOCALHOST, 80, 7, 3));
        let path = SockAddr::unix(b"/tmp/x").expect("short");
        assert_eq!(path.decode(), Address::UnixPath(b"/tmp/x".to_vec()));
        let name = SockAddr::unix(b"\0name").expect("short");
        assert_eq!(name.decode(), Address::UnixAbstract(b"\0name".to_vec()));
        assert_eq!(SockAddr::unix(b"").expect("short").decode(), Address::None);
    }

    #[test]
    fn unix_names_are_bounded() {
        assert!(SockAddr::unix(&[b'x'; UNIX_PATH_MAX]).is_none());
        assert!(SockAddr::unix(&[b'x'; UNIX_PATH_MAX - 1]).is_some());
        let mut name = [b'x'; UNIX_PATH_MAX];
        name[0] = 0;
        assert!(SockAddr::unix(&name).is_some());
    }

    #[test]
    fn a_length_too_large_is_cut() {
        let mut address = SockAddr::v4(Ipv4Addr::LOCALHOST, 1);
        address.set_len(4_000_000);
        assert!(address.bytes().len() <= core::mem::size_of::<sockaddr_storage>());
        address.set_len(1);
        assert_eq!(address.decode(), Address::None);
    }
}
