//! Files, pipes, sockets, registered buffers.

use uring_rs::sys::abi::io_uring_sqe;
use uring_rs::sys::consts::*;
use uring_rs::sys::os::{iovec, msghdr};

use crate::host::{compare, Host, Notes};
use crate::mini::{nop, read, recv, send, sqe, with, write, Mini};

fn name(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"\0"].concat()
}

fn openat(user_data: u64, path: &[u8], flags: u32) -> io_uring_sqe {
    io_uring_sqe {
        fd: -100,
        addr: path.as_ptr() as usize as u64,
        len: 0o600,
        op_flags: flags,
        ..sqe(IORING_OP_OPENAT, user_data)
    }
}

#[test]
fn regular_files() {
    fn script(ring: &mut Mini, host: &dyn Host, notes: &mut Notes) {
        let (fd, _) = host.file(b"0123456789");
        let mut buf = [0u8; 4];
        let at = |off, sqe| io_uring_sqe { off, ..sqe };
        for (i, off) in [0, 3, 8, 10, 500].into_iter().enumerate() {
            ring.push(at(off, read(i as u64, fd, &mut buf)));
            notes.cqes("read", &ring.finish(1));
            notes.note(format!("{buf:?}"));
        }
        ring.push(read(5, fd, &mut buf));
        ring.push(read(6, fd, &mut buf));
        notes.cqes("position", &ring.finish(2));
        notes.note(format!("{buf:?}"));
        ring.push(at(1 << 63, read(7, fd, &mut buf)));
        notes.cqes("negative offset", &ring.finish(1));
        let data = *b"ABCD";
        ring.push(with(IOSQE_IO_LINK, at(9, write(8, fd, &data))));
        ring.push(with(IOSQE_IO_LINK, io_uring_sqe { fd, ..sqe(IORING_OP_FSYNC, 9) }));
        ring.push(at(8, read(10, fd, &mut buf)));
        notes.cqes("written", &ring.finish(3));
        notes.note(format!("{buf:?}"));
        ring.push(read(11, 54_321, &mut buf));
        ring.push(io_uring_sqe { op_flags: 2, fd, ..sqe(IORING_OP_FSYNC, 12) });
        notes.ret("submit", ring.submit());
        notes.ret("submit", ring.submit());
        notes.unordered("refused", &ring.finish(2));
        ring.push(io_uring_sqe { addr: 64, ..at(0, read(13, fd, &mut buf)) });
        notes.cqes("bad address", &ring.finish(1));
        ring.push(with(IOSQE_FIXED_FILE, read(14, 0, &mut buf)));
        notes.cqes("no such slot", &ring.finish(1));
        let mut vectors = [iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: 2 }; 2];
        let mut more = [0u8; 3];
        vectors[1] = iovec { iov_base: more.as_mut_ptr().cast(), iov_len: 3 };
        ring.push(io_uring_sqe {
            fd,
            addr: vectors.as_ptr() as usize as u64,
            len: 2,
            ..sqe(IORING_OP_READV, 15)
        });
        notes.cqes("vectors", &ring.finish(1));
        notes.note(format!("{buf:?} {more:?}"));
    }
    compare(script);
}

#[test]
fn opening_and_closing() {
    fn script(ring: &mut Mini, host: &dyn Host, notes: &mut Notes) {
        let (_, existing) = host.file(b"hello");
        let existing = name(&existing);
        let missing = name("/nowhere/at/all");
        let mut buf = [0u8; 5];
        ring.push(openat(0, &missing, 0));
        notes.cqes("missing", &ring.finish(1));
        ring.push(openat(1, &existing, 0o2_000_000));
        let fd = ring.finish(1)[0].res;
        notes.note(format!("opened: {}", fd >= 0));
        ring.push(read(2, fd, &mut buf));
        notes.cqes("read", &ring.finish(1));
        notes.note(format!("{buf:?}"));
        ring.push(write(3, fd, &buf));
        notes.cqes("not writable", &ring.finish(1));
        ring.push(io_uring_sqe { fd, ..sqe(IORING_OP_CLOSE, 4) });
        notes.cqes("closed", &ring.finish(1));
        // Not the same again: another test may have the number by now.
        ring.push(io_uring_sqe { fd: 54_321, ..sqe(IORING_OP_CLOSE, 5) });
        notes.cqes("not open", &ring.finish(1));
        ring.push(openat(6, &existing, 0o300));
        notes.cqes("exists", &ring.finish(1));
        ring.push(openat(7, &existing, 0o200_000));
        notes.cqes("no directory", &ring.finish(1));
        ring.push(io_uring_sqe { fd: 54_321, ..openat(8, b"relative\0", 0) });
        notes.cqes("no such directory", &ring.finish(1));
    }
    compare(script);
}

#[test]
fn pipes_wait_end_and_break() {
    fn script(ring: &mut Mini, host: &dyn Host, notes: &mut Notes) {
        let (r, w) = host.pipe();
        let mut buf = [0u8; 4];
        ring.push(read(0, w, &mut buf));
        ring.push(write(1, r, b"x"));
        ring.push(io_uring_sqe { fd: r, ..sqe(IORING_OP_FSYNC, 2) });
        notes.unordered("wrong way", &ring.finish(3));
        ring.push(write(3, w, b"hello"));
        notes.cqes("write", &ring.finish(1));
        ring.push(read(4, r, &mut buf));
        ring.push(read(5, r, &mut buf));
        notes.cqes("read", &ring.finish(2));
        ring.push(io_uring_sqe { op_flags: 8, ..read(6, r, &mut buf) });
        notes.cqes("would wait", &ring.finish(1));
        // Two wait; each gets what comes, in order.
        let mut second = [0u8; 4];
        ring.push(read(7, r, &mut buf));
        notes.ret("submit", ring.submit());
        host.write(r, b"abcd");
        notes.cqes("first", &ring.finish(1));
        ring.push(read(8, r, &mut second));
        notes.ret("submit", ring.submit());
        host.write(r, b"ef");
        notes.cqes("second", &ring.finish(1));
        notes.note(format!("{buf:?} {:?}", &second[..2]));
        ring.push(read(9, r, &mut buf));
        notes.ret("submit", ring.submit());
        host.close(w);
        notes.cqes("end", &ring.finish(1));
        let (r, w) = host.pipe();
        host.close(r);
        ring.push(write(10, w, b"x"));
        notes.cqes("broken", &ring.finish(1));
    }
    compare(script);
}

#[test]
fn sockets_send_receive_and_end() {
    fn script(ring: &mut Mini, host: &dyn Host, notes: &mut Notes) {
        let (a, b) = host.pair();
        let mut buf = [0u8; 4];
        ring.push(send(0, b, b"hello!"));
        notes.cqes("send", &ring.finish(1));
        ring.push(recv(1, a, &mut buf));
        ring.push(recv(2, a, &mut buf));
        notes.note(format!("{:?}", ring.finish(2).iter().map(|c| c.res).collect::<Vec<_>>()));
        let dontwait = 0x40;
        ring.push(io_uring_sqe { op_flags: dontwait, ..recv(3, a, &mut buf) });
        notes.cqes("would wait", &ring.finish(1));
        ring.push(recv(4, a, &mut buf));
        notes.ret("submit", ring.submit());
        ring.push(send(5, b, b"wxyz"));
        notes.unordered("came", &ring.finish(2));
        notes.note(format!("{buf:?}"));
        let mut vector = iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: 4 };
        // SAFETY: a header of zeroes is a valid empty one (I2).
        let mut header: msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &raw mut vector;
        header.msg_iovlen = 1;
        header.msg_flags = 77;
        let address = &raw mut header as usize as u64;
        let msg =
            |op, user_data, fd| io_uring_sqe { fd, addr: address, len: 1, ..sqe(op, user_data) };
        ring.push(msg(IORING_OP_SENDMSG, 6, b));
        notes.cqes("sendmsg", &ring.finish(1));
        ring.push(msg(IORING_OP_RECVMSG, 7, a));
        notes.cqes("recvmsg", &ring.finish(1));
        notes.note(format!("flags {} name {}", header.msg_flags, header.msg_namelen));
        ring.push(io_uring_sqe { fd: b, len: 1, ..sqe(IORING_OP_SHUTDOWN, 8) });
        notes.cqes("shutdown", &ring.finish(1));
        ring.push(recv(9, a, &mut buf));
        notes.cqes("end", &ring.finish(1));
        let nosignal = 0x4000;
        ring.push(io_uring_sqe { op_flags: nosignal, ..send(10, b, b"x") });
        notes.cqes("broken", &ring.finish(1));
        let (r, _w) = host.pipe();
        ring.push(recv(11, r, &mut buf));
        notes.cqes("no socket", &ring.finish(1));
    }
    compare(script);
}

#[test]
fn accepting_once_and_again() {
    fn script(ring: &mut Mini, host: &dyn Host, notes: &mut Notes) {
        let (listener, port) = host.listener();
        let mut address = [0u8; 16];
        let mut len = 16i32;
        let accept = |user_data| io_uring_sqe { fd: listener, ..sqe(IORING_OP_ACCEPT, user_data) };
        ring.push(io_uring_sqe {
            addr: address.as_mut_ptr() as usize as u64,
            off: &raw mut len as usize as u64,
            ..accept(0)
        });
        notes.ret("submit", ring.submit());
        notes.cqes("nobody", &ring.reap());
        let client = host.connect(port);
        let cqe = ring.finish(1)[0];
        notes.note(format!("accepted: {} {len} {:?}", cqe.res >= 0, &address[..2]));
        notes.note(format!("from {:?}", &address[4..8]));
        // SAFETY: accepted just now, nobody else's (I10).
        unsafe { ring.kernel.close(cqe.res) };
        host.close(client);
        ring.push(io_uring_sqe { ioprio: IORING_ACCEPT_MULTISHOT, ..accept(1) });
        notes.ret("submit", ring.submit());
        for _ in 0..2 {
            host.connect(port);
            let cqe = ring.finish(1)[0];
            notes.note(format!("again: {} {:#x}", cqe.res >= 0, cqe.flags));
            // SAFETY: as above (I10).
            unsafe { ring.kernel.close(cqe.res) };
        }
        ring.push(crate::mini::cancel(2, 1, 0));
        notes.unordered("cancelled", &ring.finish(2));
    }
    compare(script);
}

#[test]
fn registered_buffers() {
    fn script(ring: &mut Mini, host: &dyn Host, notes: &mut Notes) {
        let (fd, _) = host.file(b"0123456789");
        let mut pool = vec![0u8; 8192];
        let base = pool.as_mut_ptr() as usize as u64;
        let vectors = [iovec { iov_base: pool.as_mut_ptr().cast(), iov_len: 4096 }];
        let fixed = |user_data, addr, len, index| io_uring_sqe {
            fd,
            addr,
            len,
            buf_index: index,
            ..sqe(IORING_OP_READ_FIXED, user_data)
        };
        ring.push(fixed(0, base, 4, 0));
        notes.cqes("none registered", &ring.finish(1));
        let kernel = ring.kernel;
        let call = |op, arg: *const iovec, nr| {
            // SAFETY: what the operation takes, alive during the call (I2).
            unsafe { kernel.register(ring.fd, op, arg.cast_mut().cast(), nr) }
        };
        notes.ret("none", call(IORING_UNREGISTER_BUFFERS, std::ptr::null(), 0));
        notes.ret("empty", call(IORING_REGISTER_BUFFERS, vectors.as_ptr(), 0));
        notes.ret("register", call(IORING_REGISTER_BUFFERS, vectors.as_ptr(), 1));
        notes.ret("twice", call(IORING_REGISTER_BUFFERS, vectors.as_ptr(), 1));
        for (i, (addr, len, index)) in
            [(base, 4, 0), (base + 4094, 2, 0), (base + 4094, 4, 0), (base, 4, 1)]
                .into_iter()
                .enumerate()
        {
            ring.push(fixed(i as u64, addr, len, index));
            notes.cqes("fixed", &ring.finish(1));
        }
        notes.note(format!("{:?} {:?}", &pool[..4], &pool[4094..4096]));
        let kernel = ring.kernel;
        // SAFETY: takes no argument (I2).
        let un =
            unsafe { kernel.register(ring.fd, IORING_UNREGISTER_BUFFERS, std::ptr::null_mut(), 0) };
        notes.ret("unregister", un);
        ring.push(nop(9));
        notes.cqes("last", &ring.finish(1));
    }
    compare(script);
}
