//! The builders of `ops`: what the kernel would find behind the addresses of an entry is what was
//! asked for, wherever the arguments have been moved to since, and what it may write stays within
//! what it was given (the sanitizer sees to that).

use std::ffi::CString;

use arbitrary::Arbitrary;

use uring_rs::ops::args::Args;
use uring_rs::ops::attrs::{self, Of, Value};
use uring_rs::ops::batch::{Column, Place as Memory, Rows, What};
use uring_rs::ops::cmsg::Control;
use uring_rs::ops::file::RwOptions;
use uring_rs::ops::path::Place;
use uring_rs::ops::{
    cancel, direct, file, futex, integrity, message, net, path, pipe, poll, provided, send, socket,
    space, stat, timeout, uring_cmd, waitid,
};
use uring_rs::sys::abi::{
    __kernel_timespec, futex_waitv, io_uring_attr_pi, io_uring_sqe, open_how, statx as Statx,
};
use uring_rs::sys::consts::*;
use uring_rs::sys::os::{epoll_event, msghdr, siginfo_t};

mod memory;

pub use memory::Name;
use memory::*;

type Items = Vec<(i32, i32, Vec<u8>)>;

#[derive(Arbitrary, Debug)]
enum Ask {
    Vectored { write: bool, fixed: Option<u16>, lengths: Vec<u16>, offset: u64 },
    Rows { what: u8, fixed: Option<u16>, lengths: Vec<u32>, stride: u32, each: bool },
    Open { fd: i32, path: Vec<u8>, flags: u32, mode: u32 },
    Open2 { fd: i32, path: Vec<u8>, how: [u64; 3] },
    Names { which: u8, fds: [i32; 2], paths: [Vec<u8>; 2], flags: u32 },
    Statx { fd: i32, path: Vec<u8>, flags: u32, mask: u32 },
    Attribute { path: Option<Vec<u8>>, name: Vec<u8>, room: Option<u16>, set: bool },
    Time { ns: u64, flags: u32, which: u8 },
    Connect { to: Name, bind: bool },
    SendTo { to: Name, addr: u64, len: u32, zero_copy: bool, fixed: Option<u16> },
    Vectors { to: Option<Name>, lengths: Vec<u16>, flags: u32, ioprio: u16 },
    Accept { flags: u32, ioprio: u16 },
    SendMsg { to: Option<Name>, items: Items, lengths: Vec<u16>, flags: u32 },
    RecvMsg { room: u16, lengths: Vec<u16>, flags: u32 },
    RecvMsgs { group: u16, name: u32, control: u32, each: u32 },
    Epoll { fd: i32, op: u32, events: u32, data: u64 },
    EpollWait { most: u16 },
    Futexes { words: Vec<(u64, bool, u32)> },
    Waitid { idtype: u32, id: i32, options: u32 },
    Pipe { flags: u32, slots: Option<u32> },
    Files { fds: Vec<i32>, offset: Option<u16> },
    GetOption { level: i32, name: i32, len: Option<u32> },
    SetOption { level: i32, name: i32, value: Vec<u8> },
    SocketName { peer: bool },
    Command { op: u32, addr: u64, len: u32, data: [u8; 16], more: Vec<u8> },
    Protected { write: bool, addr: u64, len: u32, seed: u64, checks: u16 },
    Numbers { key: u64, fd: i32, word: u32, len: u64, shared: bool },
}

#[derive(Arbitrary, Debug)]
struct Input {
    ask: Ask,
    /// What the kernel writes, over and over.
    written: Vec<u8>,
    result: i32,
    /// Asked a second time with the same memory.
    again: bool,
}

pub fn run(data: &[u8]) {
    let Some(input) = super::parse::<Input>(data) else { return };
    let Input { ask, written, result, again } = &input;
    match ask {
        Ask::Vectored { .. } | Ask::Rows { .. } | Ask::Protected { .. } => transfers(ask),
        Ask::Open { .. } | Ask::Open2 { .. } | Ask::Names { .. } => paths(ask),
        Ask::Statx { .. } | Ask::Attribute { .. } => metadata(ask, written, *result),
        Ask::Connect { .. } | Ask::SendTo { .. } | Ask::Vectors { .. } => names(ask),
        Ask::Accept { .. } | Ask::SocketName { .. } => peers(ask, written, *again),
        Ask::SendMsg { to, items, lengths, flags } => sent(to.as_ref(), items, lengths, *flags),
        Ask::RecvMsg { room, lengths, flags } => {
            received(*room, lengths, *flags, written, *again);
        }
        Ask::RecvMsgs { group, name, control, each } => {
            let what = provided::Transfer { each: *each, ..Default::default() };
            let built = provided::recvmsg_multishot(5, *group, *name, *control, what);
            let (sqe, _args) = moved(built);
            let header: msghdr = read(sqe.addr);
            assert_eq!((header.msg_namelen, header.msg_controllen), (*name, *control as _));
            assert_eq!((sqe.buf_index, sqe.flags), (*group, IOSQE_BUFFER_SELECT));
        }
        Ask::Epoll { .. } | Ask::EpollWait { .. } | Ask::Futexes { .. } => waits(ask, written),
        Ask::Time { ns, flags, which } => times(*ns, *flags, *which),
        Ask::Waitid { .. } | Ask::Pipe { .. } | Ask::Files { .. } => numbers_back(ask, written),
        Ask::GetOption { .. } | Ask::SetOption { .. } => options(ask, written, *result),
        Ask::Command { op, addr, len, data, more } => {
            let with =
                uring_cmd::Command { addr: *addr, len: *len, data: *data, ..Default::default() };
            let sqe = uring_cmd::raw(5, *op, with);
            plain(&sqe, IORING_OP_URING_CMD);
            let raw = [sqe.addr3.to_ne_bytes(), sqe.pad2.to_ne_bytes()].concat();
            assert_eq!((raw.as_slice(), sqe.addr, sqe.len), (data.as_slice(), *addr, *len));
            assert_eq!(sqe.off.to_ne_bytes()[..4], op.to_ne_bytes());
            let half = uring_cmd::second_half(more).map(u64::to_ne_bytes).concat();
            let len = more.len().min(half.len());
            assert_eq!(half[..len], more[..len]);
            assert!(half[len..].iter().all(|byte| *byte == 0));
        }
        Ask::Numbers { key, fd, word, len, shared } => numbers(*key, *fd, *word, *len, *shared),
    }
}

fn transfers(ask: &Ask) {
    match ask {
        Ask::Vectored { write, fixed, lengths, offset } => {
            let (list, options) = (vectors(lengths), RwOptions::default());
            let built = match (write, fixed) {
                (false, None) => file::readv(5, list, *offset, options),
                (true, None) => file::writev(5, list, *offset, options),
                (false, Some(index)) => file::readv_fixed(5, list, *offset, *index, options),
                (true, Some(index)) => file::writev_fixed(5, list, *offset, *index, options),
            };
            let (sqe, args) = moved(built);
            same_vectors(sqe.addr, sqe.len as usize, lengths);
            assert_eq!((sqe.off, sqe.buf_index), (*offset, fixed.unwrap_or(0)));
            assert!(!args.written_by_kernel());
        }
        Ask::Rows { what, fixed, lengths, stride, each } => {
            let base = 1u64 << 40;
            let count = lengths.len() as u32;
            let addresses = (0..u64::from(count)).map(|row| base + row * u64::from(*stride));
            let rows = Rows {
                what: [What::Nop, What::Read, What::Write][usize::from(what % 3)],
                count,
                fds: Column::Same(5),
                offsets: Column::Each((0..i64::from(count)).map(|row| row - 1).collect()),
                lengths: Column::Each(lengths.clone()),
                place: match each {
                    true => Memory::Each(addresses.clone().collect()),
                    false => Memory::Pieces { base, stride: u64::from(*stride) },
                },
                buf_index: *fixed,
                flags: 0,
            };
            assert_eq!(rows.bytes(), lengths.iter().map(|len| u64::from(*len)).sum::<u64>());
            let entry = rows.entries();
            for (row, addr) in (0..count).zip(addresses) {
                let sqe = entry(row);
                if rows.what != What::Nop {
                    assert_eq!((sqe.addr, sqe.len), (addr, lengths[row as usize]));
                    assert_eq!(sqe.off, i64::from(row).wrapping_sub(1) as u64);
                    assert_eq!(sqe.buf_index, fixed.unwrap_or(0));
                }
            }
        }
        Ask::Protected { write, addr, len, seed, checks } => {
            let protection = integrity::Protection {
                addr: *addr,
                len: *len,
                checks: *checks,
                app_tag: !*checks,
                seed: *seed,
            };
            let ask = if *write { integrity::write_pi } else { integrity::read_pi };
            let (sqe, _args) = moved(ask(5, 4096, 512, 0, RwOptions::default(), protection));
            let found: io_uring_attr_pi = read(sqe.addr3);
            assert_eq!((found.addr, found.len, found.seed), (*addr, *len, *seed));
            assert_eq!((found.flags, found.app_tag, found.rsvd), (*checks, !*checks, 0));
            assert_eq!(sqe.pad2, IORING_RW_ATTR_FLAG_PI);
        }
        _ => {}
    }
}

fn paths(ask: &Ask) {
    match ask {
        Ask::Open { fd, path, flags, mode } => {
            let wanted = text(path);
            let (sqe, _args) = moved(path::openat(*fd, wanted.clone(), *flags, *mode));
            assert_eq!(string(sqe.addr), wanted.as_bytes());
            assert_eq!((sqe.fd, sqe.op_flags, sqe.len), (*fd, *flags, *mode));
        }
        Ask::Open2 { fd, path, how: [flags, mode, resolve] } => {
            let wanted = text(path);
            let how = open_how { flags: *flags, mode: *mode, resolve: *resolve };
            let (sqe, _args) = moved(path::openat2(*fd, wanted.clone(), how));
            assert_eq!(string(sqe.addr), wanted.as_bytes());
            assert_eq!(sqe.len as usize, size_of::<open_how>());
            let found: open_how = read(sqe.off);
            assert_eq!((found.flags, found.mode, found.resolve), (*flags, *mode, *resolve));
        }
        Ask::Names { which, fds: [from_fd, to_fd], paths: [from, to], flags } => {
            let (from, to) = (text(from), text(to));
            let at = |dir_fd: i32, path: &CString| Place { dir_fd, path: path.clone() };
            let (one, two) = (at(*from_fd, &from), at(*to_fd, &to));
            let both = |built| {
                let (sqe, args) = moved(built);
                assert_eq!(
                    (string(sqe.addr), string(sqe.off)),
                    (from.to_bytes().into(), to.to_bytes().into())
                );
                (sqe, args)
            };
            let single = |built| {
                let (sqe, _args) = moved(built);
                assert_eq!((string(sqe.addr), sqe.fd), (from.to_bytes().into(), *from_fd));
            };
            match which % 5 {
                0 | 1 => {
                    let ask = if which % 5 == 0 { path::renameat } else { path::linkat };
                    let (sqe, _args) = both(ask(one, two, *flags));
                    assert_eq!((sqe.fd, sqe.len as i32, sqe.op_flags), (*from_fd, *to_fd, *flags));
                }
                2 => {
                    let (sqe, _args) = both(path::symlinkat(from.clone(), two));
                    assert_eq!(sqe.fd, *to_fd);
                }
                3 => single(path::unlinkat(one, *flags)),
                _ => single(path::mkdirat(one, *flags)),
            }
        }
        _ => {}
    }
}

fn metadata(ask: &Ask, written: &[u8], result: i32) {
    match ask {
        Ask::Statx { fd, path, flags, mask } => {
            let wanted = text(path);
            let at = Place { dir_fd: *fd, path: wanted.clone() };
            let (sqe, args) = moved(stat::statx(at, *flags, *mask));
            assert_eq!(string(sqe.addr), wanted.as_bytes());
            write(sqe.off, size_of::<Statx>(), written);
            let Args::Statx(kept) = &*args else { panic!("the answer is kept") };
            assert_eq!(kept.answer().stx_mask, read::<u32>(sqe.off));
            assert_eq!(string(sqe.addr), wanted.as_bytes());
        }
        Ask::Attribute { path, name, room, set } => {
            let (path, name) = (path.as_ref().map(|path| text(path)), text(name));
            let of = path.clone().map_or(Of::File(5), Of::Path);
            let there = [1u8; 100];
            let value = match room {
                Some(room) => Value::Room(u32::from(*room)),
                None => Value::There(there.as_ptr() as u64, 100),
            };
            let built = if *set {
                attrs::set(of, name.clone(), value, 1)
            } else {
                attrs::get(of, name.clone(), value)
            };
            let (sqe, args) = moved(built);
            assert_eq!(string(sqe.addr), name.as_bytes());
            assert_eq!(sqe.addr3 != 0, path.is_some());
            if let Some(path) = &path {
                assert_eq!(string(sqe.addr3), path.as_bytes());
            }
            let Args::Xattr(kept) = &*args else { panic!("they are kept") };
            if let Some(room) = room {
                write(sqe.off, usize::from(*room), written);
                let value = kept.value(result);
                assert_eq!(value.is_some(), *room > 0 && result >= 0);
                let len = usize::try_from(result).unwrap_or(0).min(usize::from(*room));
                assert!(value.is_none_or(|value| value == bytes(sqe.off, len)));
            } else {
                assert_eq!((sqe.off, sqe.len), (there.as_ptr() as u64, 100));
                assert_eq!(kept.value(result), None);
            }
        }
        _ => {}
    }
}

fn names(ask: &Ask) {
    match ask {
        Ask::Connect { to, bind } => {
            let Some(address) = to.address() else { return };
            let built = if *bind { socket::bind(5, address) } else { net::connect(5, address) };
            let (sqe, _args) = moved(built);
            same_name(to, sqe.addr, sqe.off as usize);
        }
        Ask::SendTo { to, addr, len, zero_copy, fixed } => {
            let Some(address) = to.address() else { return };
            let mut sqe = net::send(5, *addr, *len, 0, 0);
            if *zero_copy {
                sqe = send::zero_copy(sqe);
                sqe = fixed.map_or(sqe, |index| send::fixed(sqe, index));
            }
            let (sqe, _args) = moved(net::send_to(sqe, address));
            assert_eq!((sqe.addr, sqe.len), (*addr, *len));
            same_name(to, sqe.off, address_length(&sqe));
        }
        Ask::Vectors { to, lengths, flags, ioprio } => {
            let Some(address) = to.as_ref().map(Name::address) else {
                let (sqe, _args) = moved(send::vectors(5, vectors(lengths), *flags, *ioprio, None));
                same_vectors(sqe.addr, sqe.len as usize, lengths);
                return assert_eq!((sqe.off, sqe.file_index), (0, 0));
            };
            let Some(address) = address else { return };
            let built = send::vectors(5, vectors(lengths), *flags, *ioprio, Some(address));
            let (sqe, _args) = moved(built);
            same_vectors(sqe.addr, sqe.len as usize, lengths);
            same_name(to.as_ref().expect("there is one"), sqe.off, address_length(&sqe));
        }
        _ => {}
    }
}

fn address_length(sqe: &io_uring_sqe) -> usize {
    let [first, second, ..] = sqe.file_index.to_ne_bytes();
    usize::from(u16::from_ne_bytes([first, second]))
}

/// The kernel writes an address, and a length of its own.
fn peers(ask: &Ask, written: &[u8], again: bool) {
    let (built, of) = match ask {
        Ask::Accept { flags, ioprio } => {
            let built = net::accept(5, *flags, *ioprio);
            let of = [built.0.addr, built.0.off];
            (built, of)
        }
        Ask::SocketName { peer } => {
            let built = uring_cmd::getsockname(5, *peer);
            let of = [built.0.addr, built.0.addr3];
            (built, of)
        }
        _ => return,
    };
    let (_sqe, mut args) = moved(built);
    assert!(args.written_by_kernel());
    for _ in 0..=u32::from(again) {
        let [name, length] = of;
        let room = read::<u32>(length) as usize;
        assert_eq!(room, NAME, "all of it is room, each time");
        write(name, room, written);
        write(length, 4, written);
        let peer = match &*args {
            Args::Accept(accept) => accept.peer_written(),
            Args::SocketName(name) => {
                let mut name = **name;
                name.set_len(name.len());
                name
            }
            _ => panic!("an address is kept"),
        };
        assert!(peer.len() as usize <= NAME);
        peer.decode();
        args.renew();
    }
}

fn control_of(items: &Items) -> Control {
    let mut control = Control::default();
    for (level, kind, data) in items.iter().take(16) {
        control.push(*level, *kind, data);
    }
    control
}

fn sent(to: Option<&Name>, items: &Items, lengths: &[u16], flags: u32) {
    let address = to.map(Name::address);
    if matches!(address, Some(None)) {
        return;
    }
    let control = control_of(items);
    assert_eq!(control.decode(control.len()), items[..items.len().min(16)]);
    let whole = control.len();
    let built = net::sendmsg(5, vectors(lengths), address.flatten(), control, flags, 0);
    let (sqe, args) = moved(built);
    let header: msghdr = read(sqe.addr);
    same_vectors(header.msg_iov as u64, header.msg_iovlen as _, lengths);
    assert_eq!((header.msg_controllen, sqe.len), (whole as _, 1));
    assert_eq!(header.msg_control.is_null(), whole == 0);
    bytes(header.msg_control as u64, whole);
    match to {
        Some(name) => same_name(name, header.msg_name as u64, header.msg_namelen as usize),
        None => assert!(header.msg_name.is_null() && header.msg_namelen == 0),
    }
    assert!(!args.written_by_kernel());
}

/// The kernel writes all that it may, its own header included.
fn received(room: u16, lengths: &[u16], flags: u32, written: &[u8], again: bool) {
    let control = Control::with_room(usize::from(room));
    let (sqe, mut args) = moved(net::recvmsg(5, vectors(lengths), control, flags, 0));
    assert!(args.written_by_kernel());
    for _ in 0..=u32::from(again) {
        let header: msghdr = read(sqe.addr);
        same_vectors(header.msg_iov as u64, header.msg_iovlen as _, lengths);
        let told = (header.msg_namelen as usize, header.msg_controllen);
        assert_eq!(told, (NAME, room.into()));
        write(header.msg_name as u64, NAME, written);
        write(header.msg_control as u64, usize::from(room), written);
        // What it says of them: the lengths and the flags, and nothing else of the header.
        let at = |offset: usize| sqe.addr + offset as u64;
        write(at(core::mem::offset_of!(msghdr, msg_namelen)), 4, written);
        write(at(core::mem::offset_of!(msghdr, msg_controllen)), 8, written);
        write(at(core::mem::offset_of!(msghdr, msg_flags)), 4, written);
        let Args::Msg(msg) = &*args else { panic!("a message is kept") };
        assert!(msg.sender().len() as usize <= NAME);
        msg.sender().decode();
        let found: usize = msg.ancillary().iter().map(|(_, _, data)| data.len() + 16).sum();
        assert!(found <= usize::from(room) + 7);
        args.renew();
    }
}

fn waits(ask: &Ask, written: &[u8]) {
    match ask {
        Ask::Epoll { fd, op, events, data } => {
            let (sqe, _args) = moved(poll::epoll_ctl(5, *op, *fd, *events, *data));
            let event: epoll_event = read(sqe.addr);
            assert_eq!(({ event.events }, { event.u64 }), (*events, *data));
            assert_eq!((sqe.len, sqe.off as u32), (*op, *fd as u32));
        }
        Ask::EpollWait { most } => {
            let (sqe, args) = moved(poll::epoll_wait(5, u32::from(*most)));
            let count = sqe.len as usize;
            write(sqe.addr, count * size_of::<epoll_event>(), written);
            let Args::EpollWait(events) = &*args else { panic!("they are kept") };
            assert_eq!((count, events.len()), (usize::from(*most), count));
        }
        Ask::Futexes { words } => {
            let list: Vec<_> = words
                .iter()
                .take(128)
                .map(|&(addr, shared, value)| (futex::Word { addr, shared }, value))
                .collect();
            let (sqe, _args) = moved(futex::waitv(&list));
            assert_eq!(sqe.len as usize, list.len());
            for (at, (word, value)) in list.iter().enumerate() {
                let found: futex_waitv = read(sqe.addr + (at * size_of::<futex_waitv>()) as u64);
                assert_eq!((found.uaddr, found.val), (word.addr, u64::from(*value)));
                assert_eq!(found.flags & FUTEX2_PRIVATE == 0, word.shared);
            }
        }
        _ => {}
    }
}

fn times(ns: u64, flags: u32, which: u8) {
    let time = timeout::Time { ns, flags };
    let (built, update) = match which % 3 {
        0 => (timeout::timeout(time, 3), false),
        1 => (timeout::link_timeout(time), false),
        _ => (timeout::update(7, time, which > 127), true),
    };
    let (sqe, _args) = moved(built);
    let found: __kernel_timespec = read(if update { sqe.off } else { sqe.addr });
    assert!((0..1_000_000_000).contains(&found.tv_nsec) && found.tv_sec >= 0);
    let total = i128::from(found.tv_sec) * 1_000_000_000 + i128::from(found.tv_nsec);
    assert_eq!(total, i128::from(ns));
}

fn numbers_back(ask: &Ask, written: &[u8]) {
    match ask {
        Ask::Waitid { idtype, id, options } => {
            let (sqe, args) = moved(waitid::waitid(*idtype, *id, *options));
            assert_eq!((sqe.len, sqe.fd, sqe.file_index), (*idtype, *id, *options));
            write(sqe.off, size_of::<siginfo_t>(), written);
            let Args::Waitid(info) = &*args else { panic!("it is kept") };
            if let Some(child) = waitid::child(info) {
                assert_eq!(child.signo, read::<i32>(sqe.off));
            }
        }
        Ask::Pipe { flags, slots: None } => {
            let (sqe, args) = moved(pipe::pipe(*flags));
            // No descriptors that somebody might have.
            write(sqe.addr, 8, &(i32::MAX - 1).to_ne_bytes());
            let Args::Pipe(ends) = &*args else { panic!("they are kept") };
            let taken = ends.take().map(pipe::PipeEnds::into_numbers);
            assert_eq!(taken, Some([i32::MAX - 1; 2]));
            assert!(ends.take().is_none(), "taken once");
        }
        Ask::Pipe { flags, slots: Some(index) } => {
            let (sqe, args) = moved(direct::pipe(*flags, *index));
            write(sqe.addr, 8, written);
            let Args::Fds(kept) = &*args else { panic!("they are kept") };
            assert_eq!((kept.slots(0).len(), sqe.file_index), (2, *index));
        }
        Ask::Files { fds, offset } => {
            let offset = offset.map_or(IORING_FILE_INDEX_ALLOC, u32::from);
            let (sqe, mut args) = moved(direct::files_update(fds.clone(), offset));
            let all = || (0..fds.len()).map(|at| read::<i32>(sqe.addr + at as u64 * 4));
            assert!(all().eq(fds.iter().copied()));
            assert_eq!(sqe.len as usize, fds.len());
            write(sqe.addr, 4 * fds.len(), written);
            let Args::Fds(kept) = &*args else { panic!("they are kept") };
            assert!(kept.slots(u32::MAX).len() == fds.len());
            args.renew();
            assert!(all().eq(fds.iter().copied()));
        }
        _ => {}
    }
}

fn options(ask: &Ask, written: &[u8], result: i32) {
    match ask {
        Ask::GetOption { level, name, len } => {
            let len = len.map(|len| len as usize);
            let (sqe, mut args) = moved(uring_cmd::getsockopt(5, *level, *name, len));
            let asked = sqe.file_index as usize;
            assert!(asked <= uring_cmd::OPTION_MAX);
            // As many bytes as there may be instructions of a filter.
            write(sqe.addr3, asked * 8, written);
            let Args::SocketOption(kept) = &*args else { panic!("it is kept") };
            if let uring_cmd::OptionValue::Bytes(value) = kept.value(result) {
                assert!(value.len() <= asked * 8);
                assert_eq!(value, bytes(sqe.addr3, value.len()));
            }
            args.renew();
            assert!(bytes(sqe.addr3, asked * 8).iter().all(|byte| *byte == 0));
        }
        Ask::SetOption { level, name, value } => {
            let built = uring_cmd::setsockopt(5, *level, *name, value.clone().into());
            let (sqe, _args) = moved(built);
            assert_eq!(bytes(sqe.addr3, sqe.file_index as usize), *value);
        }
        _ => {}
    }
}

/// What has no memory at all.
fn numbers(key: u64, fd: i32, word: u32, len: u64, shared: bool) {
    let futex = futex::Word { addr: key, shared };
    let number = key & message::NUMBER_MAX;
    for (sqe, opcode) in [
        (space::fallocate(fd, word, key, len), IORING_OP_FALLOCATE),
        (space::fadvise(fd, key, len, word), IORING_OP_FADVISE),
        (space::madvise(key, len, word), IORING_OP_MADVISE),
        (space::ftruncate(fd, len), IORING_OP_FTRUNCATE),
        (cancel::by_key(key), IORING_OP_ASYNC_CANCEL),
        (cancel::by_fd(fd, shared, !shared), IORING_OP_ASYNC_CANCEL),
        (cancel::by_op(word as u8, shared.then_some((fd, shared)), shared), IORING_OP_ASYNC_CANCEL),
        (poll::add(fd, word, 0), IORING_OP_POLL_ADD),
        (poll::update(key, word), IORING_OP_POLL_REMOVE),
        (timeout::remove(key), IORING_OP_TIMEOUT_REMOVE),
        (futex::wait(futex, word, word), IORING_OP_FUTEX_WAIT),
        (futex::wake(futex, word, word), IORING_OP_FUTEX_WAKE),
        (direct::fixed_fd_install(fd, word), IORING_OP_FIXED_FD_INSTALL),
        (direct::msg_ring_fd(fd, word, word), IORING_OP_MSG_RING),
        (message::data(fd, word as i32, number, word & !message::UNFIT_FLAGS), IORING_OP_MSG_RING),
        (provided::provide(word as u16, key, word, 0, fd as u16), IORING_OP_PROVIDE_BUFFERS),
        (provided::remove(word as u16, fd as u16), IORING_OP_REMOVE_BUFFERS),
        (uring_cmd::discard(fd, key, len), IORING_OP_URING_CMD),
    ] {
        plain(&sqe, opcode);
    }
    let closing = direct::close(word);
    plain(&closing, IORING_OP_CLOSE);
    assert_ne!(closing.file_index, 0, "an index of 0 would close descriptor 0");
    assert_eq!(message::number(message::data(fd, 0, number, 0).off), Some(number));
    let advice = space::madvise(key, len, word);
    assert_eq!(advice.addr, key);
    assert_eq!(u64::from(advice.len).max(advice.off), len);
}
