//! Timeouts, polls, cancellation, waiting.

use std::collections::BTreeSet;

use uring_rs::sys::abi::{__kernel_timespec, io_uring_cqe, io_uring_sqe, io_uring_sync_cancel_reg};
use uring_rs::sys::consts::*;

use crate::host::{compare, Host, Notes};
use crate::mini::{cancel, ms, nop, poll, read, sqe, timeout, with, Mini};

const POLLIN: u32 = 1;
const POLLOUT: u32 = 4;

#[test]
fn timeouts_expire_count_and_end_waits() {
    fn script(ring: &mut Mini, _: &dyn Host, notes: &mut Notes) {
        let (soon, late, past) = (ms(5), ms(5_000), ms(1));
        ring.push(timeout(0, &soon, 0, 0));
        // Not one wait: on Linux the timer may end it just before its completion is there.
        notes.cqes("expired", &ring.finish(1));
        ring.push(timeout(1, &late, 2, 0));
        notes.ret("submit", ring.submit());
        ring.push(nop(2));
        ring.push(nop(3));
        notes.cqes("counted", &ring.finish(3));
        ring.push(timeout(4, &past, 0, IORING_TIMEOUT_ABS));
        notes.cqes("in the past", &ring.finish(1));
        ring.push(with(IOSQE_IO_LINK, timeout(5, &soon, 0, 0)));
        ring.push(nop(6));
        notes.cqes("breaks a link", &ring.finish(2));
        ring.push(with(IOSQE_IO_LINK, timeout(7, &soon, 0, IORING_TIMEOUT_ETIME_SUCCESS)));
        ring.push(nop(8));
        notes.cqes("does not", &ring.finish(2));
        for flags in [IORING_TIMEOUT_CLOCK_MASK, 1 << 9, IORING_TIMEOUT_MULTISHOT | 1] {
            ring.push(timeout(9, &soon, 0, flags));
            notes.cqes("refused", &ring.finish(1));
        }
        ring.push(timeout(10, &soon, 3, IORING_TIMEOUT_MULTISHOT));
        notes.cqes("multishot", &ring.finish(3));
        // A timeout that expires during a wait ends it, however many completions it wants. (One
        // that has expired before does not, which can happen on a busy machine: hence the tries.)
        let ended_early = (0..5).any(|_| {
            ring.push(timeout(11, &soon, 0, 0));
            assert_eq!(ring.submit(), Ok(1));
            let began = ring.kernel.now_ns();
            ring.wait(5, 400).expect("a completion");
            let waited = ring.kernel.now_ns() - began;
            assert_eq!(ring.finish(1).len(), 1);
            waited < 400_000_000
        });
        notes.note(format!("ended early: {ended_early}"));
    }
    compare(script);
}

#[test]
fn timeouts_are_removed_and_updated() {
    fn script(ring: &mut Mini, _: &dyn Host, notes: &mut Notes) {
        let (soon, late) = (ms(5), ms(5_000));
        ring.push(timeout(0, &late, 0, 0));
        notes.ret("submit", ring.submit());
        ring.push(io_uring_sqe { addr: 77, ..sqe(IORING_OP_TIMEOUT_REMOVE, 1) });
        ring.push(io_uring_sqe { addr: 0, ..sqe(IORING_OP_TIMEOUT_REMOVE, 2) });
        notes.unordered("removed", &ring.finish(3));
        ring.push(with(IOSQE_IO_LINK, timeout(6, &late, 0, 0)));
        ring.push(nop(7));
        notes.ret("submit", ring.submit());
        ring.push(io_uring_sqe { addr: 6, ..sqe(IORING_OP_TIMEOUT_REMOVE, 8) });
        notes.unordered("the rest of its chain too", &ring.finish(3));
        ring.push(timeout(3, &late, 0, 0));
        notes.ret("submit", ring.submit());
        let update = |user_data, target| io_uring_sqe {
            addr: target,
            off: std::ptr::from_ref(&soon) as usize as u64,
            op_flags: IORING_TIMEOUT_UPDATE,
            ..sqe(IORING_OP_TIMEOUT_REMOVE, user_data)
        };
        ring.push(update(4, 3));
        ring.push(update(5, 77));
        notes.cqes("updated", &ring.finish(3));
    }
    compare(script);
}

#[test]
fn polls_report_once_or_again_and_again() {
    fn script(ring: &mut Mini, host: &dyn Host, notes: &mut Notes) {
        let (reader, writer) = host.pipe();
        ring.push(poll(0, reader, POLLIN, false));
        ring.push(poll(1, writer, POLLIN | POLLOUT, false));
        notes.ret("submit", ring.submit());
        notes.cqes("ready", &ring.reap());
        host.write(reader, b"x");
        notes.cqes("became ready", &ring.finish(1));
        host.read_now(reader, 1);
        ring.push(poll(2, reader, POLLIN, true));
        notes.ret("submit", ring.submit());
        for _ in 0..3 {
            host.write(reader, b"x");
            notes.cqes("again", &ring.finish(1));
        }
        ring.push(io_uring_sqe { addr: 2, ..sqe(IORING_OP_POLL_REMOVE, 3) });
        notes.unordered("removed", &ring.finish(2));
        ring.push(io_uring_sqe { addr: 2, ..sqe(IORING_OP_POLL_REMOVE, 4) });
        notes.cqes("gone", &ring.finish(1));
        host.read_now(reader, 3);
        ring.push(poll(5, reader, POLLIN, true));
        notes.ret("submit", ring.submit());
        host.close(writer);
        notes.cqes("hung up", &ring.finish(1));
        ring.push(cancel(6, 5, 0));
        notes.unordered("cancelled", &ring.finish(2));
        ring.push(io_uring_sqe { len: IORING_POLL_ADD_LEVEL, ..poll(7, reader, POLLIN, false) });
        ring.push(io_uring_sqe { addr: 1, ..poll(8, reader, POLLIN, false) });
        notes.ret("submit", ring.enter(1, 0, 0));
        notes.ret("submit", ring.enter(1, 0, 0));
        notes.cqes("refused", &ring.finish(2));
    }
    compare(script);
}

#[test]
fn polls_are_updated() {
    fn script(ring: &mut Mini, host: &dyn Host, notes: &mut Notes) {
        let (a, _b) = host.pair();
        let update = |user_data, target, flags, events, new| io_uring_sqe {
            addr: target,
            off: new,
            len: flags,
            op_flags: events,
            ..sqe(IORING_OP_POLL_REMOVE, user_data)
        };
        ring.push(poll(0, a, POLLIN, false));
        notes.ret("submit", ring.submit());
        ring.push(update(1, 0, IORING_POLL_UPDATE_USER_DATA, 0, 9));
        notes.cqes("renamed", &ring.finish(1));
        ring.push(update(2, 0, IORING_POLL_UPDATE_EVENTS, POLLOUT, 0));
        notes.cqes("unknown", &ring.finish(1));
        ring.push(update(3, 9, IORING_POLL_UPDATE_EVENTS, POLLOUT, 0));
        notes.unordered("ready now", &ring.finish(2));
        ring.push(update(4, 9, IORING_POLL_ADD_MULTI, 0, 0));
        notes.cqes("refused", &ring.finish(1));
    }
    compare(script);
}

#[test]
fn cancellation_by_key_file_operation_and_of_everything() {
    fn script(ring: &mut Mini, host: &dyn Host, notes: &mut Notes) {
        let (r, _w) = host.pipe();
        let (r2, _w2) = host.pipe();
        let late = ms(5_000);
        let mut bufs = [[0u8; 4]; 8];
        let by_fd = |user_data, fd, flags| io_uring_sqe {
            fd,
            ..cancel(user_data, 0, IORING_ASYNC_CANCEL_FD | flags)
        };
        ring.push(read(0, r, &mut bufs[0]));
        notes.ret("submit", ring.submit());
        ring.push(cancel(1, 0, 0));
        ring.push(cancel(2, 99, 0));
        notes.unordered("by key", &ring.finish(3));
        ring.push(cancel(3, 99, IORING_ASYNC_CANCEL_ALL));
        notes.cqes("all of none", &ring.finish(1));
        for (i, buf) in bufs[1..5].iter_mut().enumerate() {
            ring.push(read(10 + i as u64, if i < 2 { r } else { r2 }, buf));
        }
        ring.push(timeout(14, &late, 0, 0));
        notes.ret("submit", ring.submit());
        ring.push(by_fd(4, r, IORING_ASYNC_CANCEL_ALL));
        notes.unordered("by file", &ring.finish(3));
        ring.push(by_fd(5, r2, 0));
        // Which one is not promised.
        let results = |cqes: Vec<io_uring_cqe>| cqes.iter().map(|c| c.res).collect::<BTreeSet<_>>();
        notes.note(format!("one of two: {:?}", results(ring.finish(2))));
        ring.push(by_fd(5, r2, IORING_ASYNC_CANCEL_ALL));
        notes.note(format!("the other: {:?}", results(ring.finish(2))));
        ring.push(by_fd(6, 12_345, 0));
        notes.cqes("bad file", &ring.finish(1));
        let op = u32::from(IORING_OP_TIMEOUT);
        let by_op = IORING_ASYNC_CANCEL_OP | IORING_ASYNC_CANCEL_ALL;
        ring.push(io_uring_sqe { len: op, ..cancel(7, 0, by_op) });
        notes.unordered("by operation", &ring.finish(2));
        // The head of a chain takes the chain along; what waits in it cannot be found.
        ring.push(with(IOSQE_IO_LINK, read(20, r, &mut bufs[5])));
        ring.push(nop(21));
        notes.ret("submit", ring.submit());
        ring.push(cancel(22, 21, 0));
        notes.cqes("in a chain", &ring.finish(1));
        ring.push(cancel(23, 0, IORING_ASYNC_CANCEL_ANY));
        notes.unordered("everything", &ring.finish(3));
        ring.push(cancel(24, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_FD));
        notes.cqes("refused", &ring.finish(1));
    }
    compare(script);
}

#[test]
fn cancellation_by_register() {
    fn script(ring: &mut Mini, host: &dyn Host, notes: &mut Notes) {
        let (r, _w) = host.pipe();
        let mut bufs = [[0u8; 4]; 4];
        let call = |ring: &Mini, addr, fd, flags| {
            let forever = __kernel_timespec { tv_sec: -1, tv_nsec: -1 };
            let mut arg = io_uring_sync_cancel_reg {
                addr,
                fd,
                flags,
                timeout: forever,
                ..Default::default()
            };
            let arg = (&raw mut arg).cast();
            // SAFETY: what SYNC_CANCEL takes, alive during the call (I2).
            unsafe { ring.kernel.register(ring.fd, IORING_REGISTER_SYNC_CANCEL, arg, 1) }
        };
        let all = IORING_ASYNC_CANCEL_ALL;
        let any = all | IORING_ASYNC_CANCEL_ANY;
        notes.ret("nothing", call(ring, 7, -1, 0));
        notes.ret("nothing of all", call(ring, 7, -1, any));
        for (i, buf) in bufs.iter_mut().enumerate() {
            ring.push(read(i as u64, r, buf));
        }
        notes.ret("submit", ring.submit());
        notes.ret("one", call(ring, 2, -1, 0));
        notes.ret("of a file", call(ring, 0, r, all | IORING_ASYNC_CANCEL_FD));
        notes.ret("bad file", call(ring, 0, 12_345, all | IORING_ASYNC_CANCEL_FD));
        notes.ret("any", call(ring, 0, -1, any));
        notes.unordered("cancelled", &ring.finish(4));
    }
    compare(script);
}

#[test]
fn waits_end_with_time_or_with_completions() {
    fn script(ring: &mut Mini, host: &dyn Host, notes: &mut Notes) {
        let (r, _w) = host.pipe();
        let mut buf = [0; 4];
        notes.ret("empty", ring.wait(1, 5));
        ring.push(read(0, r, &mut buf));
        ring.push(nop(1));
        notes.ret("submitted, too few", ring.wait(2, 5));
        notes.ret("too few", ring.wait(2, 5));
        notes.cqes("there", &ring.reap());
        notes.ret("empty", ring.wait(1, 5));
        notes.ret("nothing wanted", ring.wait(0, 5));
        host.write(r, b"1234");
        notes.ret("more than the queue holds", ring.wait(1, 2_000));
        notes.cqes("read", &ring.reap());
        ring.push(nop(2));
        notes.ret("submit", ring.submit());
        notes.ret("least", ring.wait_least(8, 2_000, 5_000));
        notes.cqes("one", &ring.reap());
        notes.ret("least of none", ring.wait_least(8, 20, 5_000));
        notes.ret("too many entries", ring.enter(5, 0, 0));
        ring.push(nop(3));
        // More asked for than there is: what there is is taken, and nothing is waited for.
        notes.ret("more than there is", ring.enter(5, 9, IORING_ENTER_GETEVENTS));
        notes.cqes("last", &ring.finish(1));
    }
    compare(script);
}
