//! What the kernel, a peer or a file system says, taken apart: any bytes and any lengths give an
//! answer within them.

use std::collections::HashMap;

use arbitrary::Arbitrary;

use uring_rs::ops::address::{Address, SockAddr};
use uring_rs::ops::cmsg::Control;
use uring_rs::ops::{received, stat};
use uring_rs::ring::bufring::book::{Book, Kind, Place};
use uring_rs::ring::probe::{from_files, Version};
use uring_rs::sys::abi::{io_uring_recvmsg_out, statx_timestamp};
use uring_rs::sys::tree::directory_entry;

use super::entries::Name;

#[derive(Arbitrary, Clone, Copy, Debug)]
enum BookStep {
    /// A completion: which buffer, how much, several, and whether the kernel goes on with it.
    Take(u16, u32, bool, bool),
    GiveBack(u16),
    TakeFree,
    Queue(u16, u32),
    Claim(u16, u16),
    Unclaim,
    Remove(u16),
    SetFree(u16),
}

#[derive(Arbitrary, Debug)]
enum Input {
    Control { bytes: Vec<u8>, room: u16, used: u64 },
    Items { items: Vec<(i32, i32, Vec<u8>)>, used: u16 },
    Address { bytes: Vec<u8>, len: u32 },
    Name(Name),
    Received { header: [u32; 4], bytes: Vec<u8>, name: u16, control: u16 },
    Directory(Vec<u8>),
    Host { files: Vec<(u8, String)>, release: String },
    Times(i64, u32),
    Book { kind: u8, count: u16, size: u32, steps: Vec<BookStep> },
}

pub fn run(data: &[u8]) {
    match super::parse::<Input>(data) {
        None => {}
        Some(Input::Control { bytes, room, used }) => control(&bytes, room.into(), used as usize),
        Some(Input::Items { items, used }) => items_cut(&items, used.into()),
        Some(Input::Address { bytes, len }) => address(&bytes, len),
        Some(Input::Name(name)) => round_trip(&name),
        Some(Input::Received { header, bytes, name, control }) => {
            message(header, &bytes, name.into(), control.into());
        }
        Some(Input::Directory(bytes)) => directory(&bytes),
        Some(Input::Host { files, release }) => host(&files, &release),
        Some(Input::Times(tv_sec, tv_nsec)) => {
            let time = statx_timestamp { tv_sec, tv_nsec, __reserved: 0 };
            let exact = stat::nanoseconds(time);
            assert_eq!(
                exact.div_euclid(1_000_000_000),
                i128::from(tv_sec) + i128::from(tv_nsec / 1_000_000_000)
            );
            assert!(
                (stat::seconds(time) - exact as f64 / 1e9).abs()
                    <= 1e-6 * (1.0 + (tv_sec as f64).abs())
            );
        }
        Some(Input::Book { kind, count, size, steps }) => book(kind, count, size, &steps),
    }
}

/// As the kernel writes it.
fn filled(bytes: &[u8], room: usize) -> Control {
    let mut control = Control::with_room(room);
    let to = control.as_mut_ptr().cast::<u8>();
    for (at, byte) in bytes.iter().take(room).enumerate() {
        // SAFETY: within the room asked for.
        unsafe { to.add(at).write(*byte) };
    }
    control
}

fn control(bytes: &[u8], room: usize, used: usize) {
    let found = filled(bytes, room).decode(used);
    let total: usize = found.iter().map(|(_, _, data)| 16 + data.len()).sum();
    assert!(total <= room.min(used), "more than there was room for");
    // Each item is there: in order, one after the other.
    let mut at = 0;
    for (level, kind, data) in found {
        assert_eq!(bytes_at(bytes, at + 8), level.to_ne_bytes());
        assert_eq!(bytes_at(bytes, at + 12), kind.to_ne_bytes());
        at += (16 + data.len()).next_multiple_of(8);
    }
}

/// Four bytes of what was written; zeroes where nothing was.
fn bytes_at(bytes: &[u8], at: usize) -> [u8; 4] {
    core::array::from_fn(|i| bytes.get(at + i).copied().unwrap_or(0))
}

/// What was pushed comes back, as far as the kernel says that it is there.
fn items_cut(items: &[(i32, i32, Vec<u8>)], used: usize) {
    let mut control = Control::default();
    for (level, kind, data) in items {
        control.push(*level, *kind, data);
    }
    let found = control.decode(used);
    assert_eq!(found, items[..found.len()]);
    if used >= control.len() {
        assert_eq!(found.len(), items.len());
    }
}

fn address(bytes: &[u8], len: u32) {
    let mut address = SockAddr::new();
    for (at, byte) in bytes.iter().take(address.len() as usize).enumerate() {
        // SAFETY: within the storage, whose size is the length of a new one.
        unsafe { address.as_mut_ptr().cast::<u8>().add(at).write(*byte) };
    }
    address.set_len(len);
    assert!(address.len() <= SockAddr::new().len());
    match address.decode() {
        Address::UnixPath(name) | Address::UnixAbstract(name) | Address::Other(_, name) => {
            assert!(name.len() + 2 <= address.len() as usize);
        }
        Address::None | Address::V4(..) | Address::V6(..) => {}
    }
}

fn round_trip(name: &Name) {
    let Some(address) = name.address() else { return };
    let again = match address.decode() {
        Address::V4(ip, port) => SockAddr::v4(ip, port),
        Address::V6(ip, port, flow, scope) => SockAddr::v6(ip, port, flow, scope),
        Address::UnixPath(path) => SockAddr::unix(&path).expect("it fitted before"),
        Address::UnixAbstract(name) => SockAddr::unix(&name).expect("it fitted before"),
        Address::None => return,
        Address::Other(..) => panic!("{name:?} is known"),
    };
    assert_eq!(again.decode(), address.decode());
}

fn message(header: [u32; 4], bytes: &[u8], name: usize, control: usize) {
    let [namelen, controllen, payloadlen, flags] = header;
    let mut all: Vec<u8> = [namelen, controllen, payloadlen, flags].map(u32::to_ne_bytes).concat();
    all.extend(bytes);
    // The whole of it, and cut anywhere near its end.
    for len in [all.len(), all.len().saturating_sub(bytes.len() % 40)] {
        // A piece of memory of just that size, so that one byte too far is seen.
        let exact: Box<[u8]> = all[..len].into();
        // SAFETY: so many bytes are there.
        let got = unsafe { received::take_apart(exact.as_ptr(), len, name, control) };
        assert!(got.payload <= len);
        let whole = len >= size_of::<io_uring_recvmsg_out>() + name + control;
        assert_eq!(got.payload, if whole { 16 + name + control } else { len });
        if !whole {
            assert!(got.ancillary.is_empty());
            assert_eq!(got.sender.decode(), Address::None);
        }
        assert!(got.sender.len() as usize <= name);
        let found: usize = got.ancillary.iter().map(|(_, _, data)| data.len() + 16).sum();
        assert!(found <= control.min(controllen as usize));
    }
}

fn directory(bytes: &[u8]) {
    let mut left = bytes;
    while let Some((entry, length)) = directory_entry(left) {
        assert!(length >= 20 && length <= left.len(), "it gets on, and not too far");
        assert!(entry.name.to_bytes_with_nul().len() <= length - 19);
        left = &left[length..];
    }
}

const FILES: [&str; 9] = [
    "/proc/self/status",
    "/proc/self/uid_map",
    "/proc/sys/kernel/io_uring_group",
    "/proc/sys/kernel/io_uring_disabled",
    "/sys/fs/selinux/enforce",
    "/proc/self/cgroup",
    "/sys/fs/cgroup/cpu.max",
    "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
    "/sys/fs/cgroup/cpu/cpu.cfs_period_us",
];

fn host(files: &[(u8, String)], release: &str) {
    Version::parse(release);
    let texts: HashMap<&str, &str> = files
        .iter()
        .map(|(which, text)| (FILES[usize::from(*which) % FILES.len()], text.as_str()))
        .collect();
    let found = from_files(|path| texts.get(path).map(|text| (*text).to_string()));
    assert!(found.cpu_quota.is_none_or(|quota| quota > 0.0));
    assert!(found.sysctl_group.is_some() || !found.in_group);
}

/// The books of a pool hold whatever the kernel says of its buffers; what the caller does is what
/// `Pool` does.
fn book(kind: u8, count: u16, size: u32, steps: &[BookStep]) {
    let kind =
        [Kind::Receiving, Kind::Incremental, Kind::Sending, Kind::Legacy][usize::from(kind % 4)];
    let (count, size) = (u32::from(count % 300) + 1, size % (1 << 30) + 1);
    let entries = if kind == Kind::Legacy { 1 } else { count.next_power_of_two() };
    let mut book = Book::new(kind, count, size, entries);
    if matches!(kind, Kind::Receiving | Kind::Incremental) {
        (0..count).for_each(|id| _ = book.publish(id as u16, size));
    }
    // Parts that are with the caller, and buffers that it fills.
    let (mut held, mut filling, mut claimed) = (Vec::new(), Vec::new(), Vec::new());
    for step in steps {
        match *step {
            BookStep::Take(first, got, bundle, keeps) => {
                let spans = book.take(first, got, bundle, keeps);
                assert!(spans.iter().map(|span| u64::from(span.len)).sum::<u64>() <= got.into());
                for span in spans {
                    assert!(u32::from(span.id) < count && span.start + span.len <= size);
                    held.push(span.id);
                }
            }
            BookStep::GiveBack(which) if !held.is_empty() => {
                let id = held.swap_remove(usize::from(which) % held.len());
                if book.give_back(id) {
                    book.publish(id, size);
                }
            }
            BookStep::SetFree(which) if !held.is_empty() => {
                let id = held.swap_remove(usize::from(which) % held.len());
                if book.give_back(id) {
                    book.set_free(id);
                }
            }
            BookStep::TakeFree if kind == Kind::Sending => {
                filling.extend(book.take_free().map(|span| span.id));
            }
            BookStep::Queue(which, len) if !filling.is_empty() => {
                let id = filling.swap_remove(usize::from(which) % filling.len());
                book.queue(id, len % (size + 1));
            }
            BookStep::Claim(first, many)
                if kind == Kind::Legacy && many > 0 && book.claim(first, many) =>
            {
                claimed.push((first, many));
            }
            BookStep::Unclaim if kind == Kind::Legacy => {
                // Only of a request that never was: nothing of it can have been taken meanwhile.
                if let Some((first, many)) = claimed.pop() {
                    let whole = (first..=first + (many - 1)).all(|id| !held.contains(&id));
                    if whole && book.count(Place::Kernel) >= u32::from(many) {
                        book.unclaim(first, many);
                    }
                }
            }
            BookStep::Remove(many) if kind == Kind::Legacy => book.remove(many.into()),
            _ => {}
        }
        let places = [Place::Free, Place::Kernel, Place::Taken];
        assert_eq!(places.map(|place| book.count(place)).iter().sum::<u32>(), count);
    }
}
