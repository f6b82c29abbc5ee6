//! Submission order, chains, drains, invalid entries.

use uring_rs::sys::abi::io_uring_sync_cancel_reg;
use uring_rs::sys::consts::*;

use crate::host::{compare, Host, Notes};
use crate::mini::{cancel, ms, nop, nop_res, read, recv, sqe, timeout, with, Mini};

const LINK: u8 = IOSQE_IO_LINK;
const HARD: u8 = IOSQE_IO_HARDLINK;
const DRAIN: u8 = IOSQE_IO_DRAIN;

#[test]
fn inline_requests_complete_in_submission_order() {
    fn script(ring: &mut Mini, host: &dyn Host, notes: &mut Notes) {
        let (reader, _writer) = host.pipe();
        host.write(reader, b"abcdef");
        let mut buf = [0; 3];
        for i in 0..4 {
            ring.push(nop(i));
        }
        ring.push(read(4, reader, &mut buf));
        ring.push(nop_res(5, -7));
        notes.ret("submit", ring.submit());
        notes.cqes("inline", &ring.finish(6));
        notes.note(format!("{buf:?}"));
    }
    compare(script);
}

#[test]
fn links_break_on_failure_and_hard_links_do_not() {
    fn script(ring: &mut Mini, _: &dyn Host, notes: &mut Notes) {
        for (base, link) in [(0, LINK), (10, HARD)] {
            ring.push(with(link, nop(base)));
            ring.push(with(link, nop_res(base + 1, -5)));
            ring.push(with(link, nop(base + 2)));
            ring.push(nop(base + 3));
            ring.push(nop(base + 4));
            notes.ret("submit", ring.submit());
            notes.cqes("chain", &ring.finish(5));
        }
    }
    compare(script);
}

#[test]
fn short_transfers_break_links() {
    fn script(ring: &mut Mini, host: &dyn Host, notes: &mut Notes) {
        for (base, link) in [(0, LINK), (10, HARD)] {
            let (reader, _writer) = host.pipe();
            host.write(reader, b"abc");
            let mut buf = [0; 10];
            ring.push(with(link, read(base, reader, &mut buf)));
            ring.push(nop(base + 1));
            notes.cqes("short", &ring.finish(2));
            let (a, _b) = host.pair();
            host.write(a, b"xyz");
            ring.push(with(link, recv(base + 2, a, &mut buf)));
            ring.push(nop(base + 3));
            // A short receive is no failure.
            notes.cqes("recv", &ring.finish(2));
            let (file, _) = host.file(b"0123456789");
            ring.push(with(link, read(base + 4, file, &mut buf)));
            ring.push(with(link, read(base + 5, file, &mut buf)));
            ring.push(nop(base + 6));
            notes.cqes("end of file", &ring.finish(3));
        }
    }
    compare(script);
}

#[test]
fn others_overtake_a_waiting_chain() {
    fn script(ring: &mut Mini, host: &dyn Host, notes: &mut Notes) {
        let (reader, _writer) = host.pipe();
        let mut buf = [0; 4];
        ring.push(with(LINK, read(0, reader, &mut buf)));
        ring.push(nop(1));
        ring.push(nop(2));
        notes.ret("submit", ring.submit());
        notes.cqes("before", &ring.reap());
        ring.push(nop(3));
        notes.ret("submit", ring.submit());
        notes.cqes("before", &ring.reap());
        host.write(reader, b"1234");
        notes.cqes("after", &ring.finish(2));
    }
    compare(script);
}

#[test]
fn a_chain_ends_with_the_submission() {
    fn script(ring: &mut Mini, host: &dyn Host, notes: &mut Notes) {
        let (reader, _writer) = host.pipe();
        let mut buf = [0; 4];
        ring.push(with(LINK, read(0, reader, &mut buf)));
        notes.ret("submit", ring.submit());
        ring.push(nop(1));
        notes.ret("submit", ring.submit());
        notes.cqes("not linked", &ring.reap());
        host.write(reader, b"1234");
        notes.cqes("read", &ring.finish(1));
        // It is a worker that carries it out, so even a NOP does not end at once.
        ring.push(with(LINK, nop(2)));
        notes.ret("submit", ring.submit());
        if ring.params.flags & IORING_SETUP_DEFER_TASKRUN != 0 {
            notes.note(format!("there already: {}", ring.ready()));
        }
        notes.cqes("from a worker", &ring.finish(1));
    }
    compare(script);
}

#[test]
fn deferred_work_waits_for_enter() {
    fn script(ring: &mut Mini, _: &dyn Host, notes: &mut Notes) {
        ring.push(with(LINK, nop(0)));
        ring.push(with(LINK, nop(1)));
        ring.push(nop(2));
        notes.ret("submit", ring.submit());
        if ring.params.flags & IORING_SETUP_COOP_TASKRUN == 0 {
            notes.note(format!("visible {}", ring.ready()));
        }
        if ring.params.flags & IORING_SETUP_TASKRUN_FLAG != 0 {
            notes.note(format!("flag {}", ring.sq_flags() & IORING_SQ_TASKRUN));
        }
        notes.ret("enter", ring.enter(0, 0, IORING_ENTER_GETEVENTS));
        notes.note(format!("flag {}", ring.sq_flags() & IORING_SQ_TASKRUN));
        let cqes = ring.reap();
        notes.cqes("chain", &cqes);
        notes.cqes("the rest", &ring.finish(3 - cqes.len()));
    }
    compare(script);
}

#[test]
fn invalid_entries_stop_a_submission_or_not() {
    fn script(ring: &mut Mini, _: &dyn Host, notes: &mut Notes) {
        ring.push(nop(0));
        ring.push(sqe(200, 1));
        ring.push(nop(2));
        notes.ret("submit", ring.submit());
        notes.note(format!("left {}", ring.pending()));
        notes.ret("again", ring.submit());
        notes.cqes("invalid", &ring.finish(3));
        // In a chain the whole chain fails, and the submission goes on, unless it was the last.
        for bad in 0..3 {
            for i in 0..3 {
                let one = if i == bad { sqe(200, i) } else { nop(i) };
                ring.push(with(if i < 2 { LINK } else { 0 }, one));
            }
            ring.push(nop(3));
            notes.ret("submit", ring.submit());
            notes.ret("again", ring.submit());
            notes.cqes("chain", &ring.finish(4));
        }
        // Unused fields must be zero.
        ring.push(uring_rs::sys::abi::io_uring_sqe { ioprio: 1, ..nop(0) });
        ring.push(uring_rs::sys::abi::io_uring_sqe { personality: 9, ..nop(1) });
        ring.push(with(IOSQE_BUFFER_SELECT, nop(2)));
        ring.push(with(0x80, nop(3)));
        for _ in 0..4 {
            notes.ret("one", ring.enter(1, 0, 0));
        }
        notes.cqes("refused", &ring.finish(4));
    }
    compare(script);
}

#[test]
fn drain_waits_for_all_before_and_holds_back_all_after() {
    fn script(ring: &mut Mini, host: &dyn Host, notes: &mut Notes) {
        let (reader, _writer) = host.pipe();
        let mut buf = [0; 4];
        ring.push(read(0, reader, &mut buf));
        ring.push(nop(1));
        ring.push(with(DRAIN, nop(2)));
        ring.push(nop(3));
        notes.ret("submit", ring.submit());
        notes.cqes("before", &ring.reap());
        ring.push(nop(4));
        notes.ret("submit", ring.wait(1, 5));
        notes.cqes("before", &ring.reap());
        host.write(reader, b"1234");
        let after = ring.finish(4);
        notes.cqes("drained", &after[..2]);
        // Those held back go to workers.
        notes.unordered("after", &after[2..]);
        ring.push(with(DRAIN, nop(5)));
        notes.cqes("nothing to wait for", &ring.finish(1));
    }
    compare(script);
}

#[test]
fn drain_holds_back_cancellations_too() {
    fn script(ring: &mut Mini, host: &dyn Host, notes: &mut Notes) {
        let (reader, _writer) = host.pipe();
        let mut buf = [0; 4];
        ring.push(read(0, reader, &mut buf));
        ring.push(with(DRAIN, nop(1)));
        ring.push(cancel(2, 0, IORING_ASYNC_CANCEL_ANY));
        notes.ret("submit", ring.submit());
        notes.ret("nothing ends", ring.wait(1, 5));
        // Only the synchronous form gets through.
        let mut all = io_uring_sync_cancel_reg {
            fd: -1,
            flags: IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL,
            ..Default::default()
        };
        let arg = (&raw mut all).cast();
        // SAFETY: what SYNC_CANCEL takes, alive during the call (I2).
        let done = unsafe { ring.kernel.register(ring.fd, IORING_REGISTER_SYNC_CANCEL, arg, 1) };
        notes.ret("cancelled", done);
        notes.cqes("in order", &ring.finish(3));
    }
    compare(script);
}

#[test]
fn drain_in_a_chain_drains_the_chain_and_what_follows() {
    fn script(ring: &mut Mini, host: &dyn Host, notes: &mut Notes) {
        let (reader, _writer) = host.pipe();
        let mut buf = [0; 4];
        ring.push(read(0, reader, &mut buf));
        ring.push(with(LINK, nop(1)));
        ring.push(with(LINK | DRAIN, nop(2)));
        ring.push(nop(3));
        ring.push(nop(4));
        notes.ret("submit", ring.wait(1, 5));
        notes.cqes("before", &ring.reap());
        host.write(reader, b"1234");
        notes.cqes("in order", &ring.finish(5));
    }
    compare(script);
}

#[test]
fn drain_is_refused_after_a_skipped_completion() {
    fn script(ring: &mut Mini, _: &dyn Host, notes: &mut Notes) {
        ring.push(with(IOSQE_CQE_SKIP_SUCCESS, nop(0)));
        ring.push(nop(1));
        notes.cqes("skipped", &ring.finish(1));
        ring.push(with(IOSQE_CQE_SKIP_SUCCESS, nop_res(2, -5)));
        notes.cqes("failed", &ring.finish(1));
        ring.push(with(IOSQE_CQE_SKIP_SUCCESS | LINK, nop_res(3, -5)));
        ring.push(nop(4));
        ring.push(nop(5));
        notes.cqes("chain failed", &ring.finish(2));
        ring.push(with(DRAIN, nop(6)));
        notes.ret("submit", ring.submit());
        notes.cqes("drain", &ring.finish(1));
    }
    compare(script);
}

#[test]
fn async_requests_end_whatever_their_order() {
    fn script(ring: &mut Mini, host: &dyn Host, notes: &mut Notes) {
        let (file, _) = host.file(b"0123456789");
        let mut bufs = [[0u8; 4]; 4];
        for (i, buf) in bufs.iter_mut().enumerate() {
            let i = i as u64;
            let one = read(i, file, buf);
            let at = uring_rs::sys::abi::io_uring_sqe { off: i * 2, ..one };
            ring.push(with(IOSQE_ASYNC, at));
        }
        ring.push(with(IOSQE_ASYNC | LINK, nop(10)));
        ring.push(nop(11));
        let all = ring.finish(6);
        notes.unordered("async", &all);
        let place = |user_data| all.iter().position(|cqe| cqe.user_data == user_data);
        notes.note(format!("chain in order: {}", place(10) < place(11)));
        notes.note(format!("{bufs:?}"));
    }
    compare(script);
}

#[test]
fn link_timeouts() {
    fn script(ring: &mut Mini, host: &dyn Host, notes: &mut Notes) {
        let (reader, _writer) = host.pipe();
        let mut buf = [0; 4];
        let (soon, late) = (ms(5), ms(5_000));
        let link_timeout = |user_data, ts| uring_rs::sys::abi::io_uring_sqe {
            opcode: IORING_OP_LINK_TIMEOUT,
            ..timeout(user_data, ts, 0, 0)
        };
        // It fires.
        ring.push(with(LINK, read(0, reader, &mut buf)));
        ring.push(with(LINK, link_timeout(1, &soon)));
        ring.push(nop(2));
        notes.unordered("fired", &ring.finish(3));
        // The request wins.
        ring.push(with(LINK, read(3, reader, &mut buf)));
        ring.push(link_timeout(4, &late));
        notes.ret("submit", ring.submit());
        host.write(reader, b"1234");
        notes.cqes("won", &ring.finish(2));
        // The request wins at once.
        ring.push(with(LINK, nop(5)));
        ring.push(with(LINK, link_timeout(6, &late)));
        ring.push(nop(7));
        notes.cqes("inline", &ring.finish(3));
        // Nothing to watch.
        ring.push(link_timeout(8, &late));
        notes.cqes("alone", &ring.finish(1));
    }
    compare(script);
}
