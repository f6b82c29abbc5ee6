//! What only a simulation can do: faults, misbehaviour, hostility, leak checks, old kernels.

use std::sync::atomic::Ordering;

use uring_rs::ring::kernel::Kernel;
use uring_rs::ring::sim::{
    Action, Call, Fault, FaultPlan, Options, RequestAction, RequestFault, SimKernel,
};
use uring_rs::sys::abi::{io_uring_params, io_uring_sqe};
use uring_rs::sys::consts::*;
use uring_rs::sys::os::{iovec, msghdr};
use uring_rs::sys::Errno;

use crate::host::DEFERRED;
use crate::mini::{cancel, nop, read, recv, send, sqe, with, Mini};

fn new(options: Options) -> SimKernel {
    SimKernel::new(options)
}

fn calls(call: Call, actions: &[Action]) -> FaultPlan {
    let fault = |(nth, action): (usize, &Action)| Fault { call, nth: nth as u64, action: *action };
    FaultPlan { calls: actions.iter().enumerate().map(fault).collect(), requests: Vec::new() }
}

fn request(nth: u64, action: RequestAction) -> FaultPlan {
    FaultPlan { calls: Vec::new(), requests: vec![RequestFault { nth, action }] }
}

fn pairs(cqes: &[uring_rs::sys::abi::io_uring_cqe]) -> Vec<(u64, i32)> {
    cqes.iter().map(|cqe| (cqe.user_data, cqe.res)).collect()
}

#[test]
fn indices_wrap_early() {
    let sim = new(Options::new(1));
    let mut ring = Mini::new(&sim, 4, 0).expect("setup");
    let word = |offset| ring.sq_word(offset).load(Ordering::Relaxed);
    assert_eq!(word(ring.params.sq_off.head), u32::MAX - 5);
    for i in 0..20 {
        ring.push(nop(i));
        assert_eq!(pairs(&ring.finish(1)), [(i, 0)]);
    }
    let word = |offset| ring.sq_word(offset).load(Ordering::Relaxed);
    assert_eq!(word(ring.params.sq_off.head), 14);
    assert_eq!(sim.violations(), Vec::<String>::new());
}

#[test]
fn calls_fail_as_planned() {
    let sim = new(Options::new(1));
    sim.plan(&calls(Call::Setup, &[Action::Err(Errno::ENOMEM)]));
    assert_eq!(Mini::new(&sim, 4, 0).err(), Some(Errno::ENOMEM));
    sim.plan(&calls(Call::Map, &[Action::Err(Errno::EAGAIN)]));
    let mut params = io_uring_params::default();
    let fd = sim.setup(4, &mut params).expect("setup");
    assert_eq!(sim.map(fd, 64, IORING_OFF_SQ_RING), Err(Errno::EAGAIN));
    // SAFETY: just opened, nobody else's (I10).
    unsafe { sim.close(fd) };
    let mut ring = Mini::new(&sim, 8, 0).expect("setup");
    for i in 0..6 {
        ring.push(nop(i));
    }
    let plan = [
        Action::Err(Errno::EBUSY),
        Action::ShortSubmit(2),
        Action::ShortSubmit(0),
        Action::Interrupt,
    ];
    sim.plan(&calls(Call::Enter, &plan));
    assert_eq!(ring.submit(), Err(Errno::EBUSY));
    assert_eq!(ring.pending(), 6);
    let before = sim.now_ns();
    assert_eq!(ring.wait(6, 1_000), Ok(2));
    assert!(sim.now_ns() - before < 1_000_000, "a short submission does not wait");
    assert_eq!(ring.submit(), Err(Errno::EAGAIN));
    assert_eq!(ring.wait(9, 1_000), Ok(4), "the count hides the signal");
    assert_eq!(pairs(&ring.reap()), (0..6).map(|i| (i, 0)).collect::<Vec<_>>());
    sim.plan(&calls(Call::Enter, &[Action::Interrupt, Action::WakeEarly]));
    assert_eq!(ring.wait(1, 1_000), Err(Errno::EINTR));
    assert_eq!(ring.wait(1, 1_000), Ok(0));
    sim.plan(&calls(Call::Register, &[Action::Err(Errno::ENOMEM)]));
    // SAFETY: no argument (I2).
    let done = unsafe { sim.register(ring.fd, IORING_UNREGISTER_EVENTFD, std::ptr::null_mut(), 0) };
    assert_eq!(done, Err(Errno::ENOMEM));
    assert_eq!(sim.faults_left(), 0);
    let taken: Vec<u64> = sim.submitted().iter().map(|s| s.user_data).collect();
    assert_eq!(taken, [0, 1, 2, 3, 4, 5], "each entry once, in order");
}

#[test]
fn requests_end_as_planned() {
    let sim = new(Options::new(1));
    let fd = sim.file("/f", b"0123456789").expect("file");
    let mut ring = Mini::new(&sim, 8, 0).expect("setup");
    let mut buf = [0u8; 8];
    let one = |ring: &mut Mini, action, count: usize, buf: &mut [u8]| {
        sim.plan(&request(0, action));
        ring.push(io_uring_sqe { off: 0, ..read(1, fd, buf) });
        let cqes = ring.finish(count);
        cqes.iter().map(|c| (c.user_data, c.res, c.flags)).collect::<Vec<_>>()
    };
    assert_eq!(one(&mut ring, RequestAction::Result(3), 1, &mut buf), [(1, 3, 0)]);
    assert_eq!(&buf, b"012\0\0\0\0\0");
    assert_eq!(one(&mut ring, RequestAction::Result(-5), 1, &mut buf), [(1, -5, 0)]);
    assert_eq!(one(&mut ring, RequestAction::Lie(4_000), 1, &mut buf), [(1, 4_000, 0)]);
    assert_eq!(&buf, b"01234567");
    let twice = one(&mut ring, RequestAction::Twice, 2, &mut buf);
    assert_eq!(twice, [(1, 8, 0), (1, 8, 0)]);
    let more = one(&mut ring, RequestAction::MoreAfterEnd, 2, &mut buf);
    assert_eq!(more, [(1, 8, 0), (1, 8, IORING_CQE_F_MORE)]);
    let stranger = one(&mut ring, RequestAction::Stranger(99), 2, &mut buf);
    assert_eq!(stranger, [(99, 0, 0), (1, 8, 0)]);
    let flags = one(&mut ring, RequestAction::Flags(IORING_CQE_F_BUFFER | 7 << 16), 1, &mut buf);
    assert_eq!(flags, [(1, 8, 7 << 16 | 1)]);
    // Late: not before its time.
    sim.plan(&request(0, RequestAction::Late(1_000_000)));
    ring.push(nop(2));
    assert_eq!(ring.wait(1, 0), Ok(1));
    assert_eq!((ring.ready(), sim.in_flight()), (0, 1));
    let before = sim.now_ns();
    assert_eq!(pairs(&ring.finish(1)), [(2, 0)]);
    assert!(sim.now_ns() - before < 2_000_000);
    // Lost: told once, and counted.
    sim.plan(&request(0, RequestAction::Lost));
    ring.push(nop(3));
    assert_eq!(ring.submit(), Ok(1));
    assert_eq!(ring.wait(1, 10), Err(Errno::EBADR));
    assert_eq!(ring.wait(1, 10), Err(Errno::ETIME));
    assert_eq!(ring.cq_word(ring.params.cq_off.overflow).load(Ordering::Relaxed), 1);
}

#[test]
fn destinations_are_overwritten_until_the_end() {
    let sim = new(Options::new(1));
    let (reader, _writer) = sim.pipe().expect("pipe");
    let mut ring = Mini::new(&sim, 8, DEFERRED).expect("setup");
    let mut buf = Box::new(*b"........");
    ring.push(read(1, reader, &mut buf[..]));
    assert_eq!(ring.submit(), Ok(1));
    assert!(buf.iter().all(|b| *b != b'.'), "poisoned in flight: {buf:?}");
    let poisoned = buf.clone();
    sim.feed(reader, b"abc").expect("feed");
    assert_eq!(buf, poisoned, "the data comes with the completion");
    assert_eq!(pairs(&ring.finish(1)), [(1, 3)]);
    assert_eq!(&buf[..], b"abc.....", "and what it does not cover is as it was");
    // A cancelled request leaves no trace.
    ring.push(read(2, reader, &mut buf[..]));
    ring.push(cancel(3, 2, 0));
    assert_eq!(ring.submit(), Ok(2));
    assert_ne!(&buf[..], b"abc.....");
    assert_eq!(ring.finish(2).len(), 2);
    assert_eq!(&buf[..], b"abc.....");
    // Work of a worker is seen only with its completion.
    let fd = sim.file("/f", b"01234567").expect("file");
    ring.push(with(IOSQE_ASYNC, io_uring_sqe { off: 0, ..read(4, fd, &mut buf[..]) }));
    assert_eq!(ring.submit(), Ok(1));
    sim.advance(1_000_000);
    assert_eq!(sim.in_flight(), 1);
    assert!(!buf.starts_with(b"0123") && !buf.starts_with(b"abc"), "{buf:?}");
    assert_eq!(pairs(&ring.finish(1)), [(4, 8)]);
    assert_eq!(&buf[..], b"01234567");
    // Memory that two requests share is left alone.
    ring.push(read(5, reader, &mut buf[..]));
    ring.push(read(6, reader, &mut buf[4..]));
    assert_eq!(ring.submit(), Ok(2));
    assert_eq!(&buf[..], b"01234567");
    sim.feed(reader, b"wxyzWXYZ").expect("feed");
    assert_eq!(ring.finish(1).len(), 1);
    ring.push(cancel(7, 0, IORING_ASYNC_CANCEL_ANY));
    assert_eq!(ring.finish(2).len(), 2);
    assert_eq!(&buf[..], b"wxyzWXYZ");
}

#[test]
fn arguments_are_read_when_linux_reads_them() {
    let sim = new(Options::new(1));
    let (a, _b) = sim.socketpair().expect("pair");
    let mut ring = Mini::new(&sim, 8, 0).expect("setup");
    let mut buf = [0u8; 4];
    let mut vector = iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: 4 };
    // SAFETY: a header of zeroes is a valid empty one (I2).
    let mut header: msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    let entry = |user_data, header: *mut msghdr| io_uring_sqe {
        fd: a,
        addr: header as usize as u64,
        ..sqe(IORING_OP_RECVMSG, user_data)
    };
    ring.push(entry(1, &raw mut header));
    assert_eq!(ring.submit(), Ok(1));
    // The vectors were copied: they may be anything now.
    vector.iov_base = std::ptr::null_mut();
    std::hint::black_box(&vector);
    sim.feed(a, b"data").expect("feed");
    assert_eq!(pairs(&ring.finish(1)), [(1, 4)]);
    assert_eq!(&buf, b"data");
    // The header is read at the end.
    vector.iov_base = buf.as_mut_ptr().cast();
    std::hint::black_box(&vector);
    ring.push(entry(2, &raw mut header));
    assert_eq!(ring.submit(), Ok(1));
    header.msg_namelen = u32::MAX;
    std::hint::black_box(&header);
    sim.feed(a, b"data").expect("feed");
    assert_eq!(pairs(&ring.finish(1)), [(2, -Errno::EINVAL.0)]);
}

#[test]
fn misuse_is_recorded() {
    let sim = new(Options { strict_keys: true, ..Options::new(1) });
    let (reader, _writer) = sim.pipe().expect("pipe");
    let mut buf = [0u8; 4];
    let mut ring = Mini::new(&sim, 8, 0).expect("setup");
    ring.push(read(1, reader, &mut buf));
    ring.push(read(1, reader, &mut buf));
    assert_eq!(ring.submit(), Ok(2));
    let violation = |sim: &SimKernel, what: &str| {
        let found = sim.violations().iter().any(|v| v.contains(what));
        assert!(found, "{what} in {:?}", sim.violations());
    };
    violation(&sim, "two requests in flight");
    let fd = ring.fd;
    let tail = ring.sq_word(ring.params.sq_off.tail);
    tail.store(tail.load(Ordering::Relaxed).wrapping_add(100), Ordering::Relaxed);
    assert_eq!(ring.enter(1, 0, 0), Ok(1));
    violation(&sim, "submission tail");
    let base = sim.map(fd, 64, IORING_OFF_SQES).expect("map");
    // SAFETY: not touched any more; the second call is the misuse to be noticed (I8).
    unsafe {
        sim.unmap(base, 32);
        sim.unmap(base, 64);
        sim.unmap(base, 64);
        sim.close(54_321);
    }
    violation(&sim, "munmap of 32 bytes");
    violation(&sim, "munmap of 64 bytes");
    violation(&sim, "close of 54321");
    assert_eq!(sim.live_maps(), 2);
    drop(ring);
    violation(&sim, "unmapped with 2 requests in flight");
    violation(&sim, "closed with 2 requests in flight");
    assert_eq!((sim.live_maps(), sim.open_fds().len()), (0, 2));
}

#[test]
fn a_closed_ring_still_writes() {
    let sim = new(Options::new(1));
    let (reader, _writer) = sim.pipe().expect("pipe");
    let mut buf = Box::new([0u8; 4]);
    let mut ring = Mini::new(&sim, 8, 0).expect("setup");
    ring.push(read(1, reader, &mut buf[..]));
    assert_eq!(ring.submit(), Ok(1));
    drop(ring);
    *buf = [1; 4];
    assert_eq!(sim.in_flight(), 1, "close is no barrier");
    sim.advance(1_000_000);
    assert_eq!(sim.in_flight(), 0);
    assert_ne!(*buf, [1; 4], "written after close");
}

#[test]
fn an_old_kernel_has_two_maps_and_drops_completions() {
    let sim = new(Options::linux(5, 3, 1));
    let mut ring = Mini::new(&sim, 4, 0).expect("setup");
    assert_eq!((ring.params.features, sim.live_maps()), (0, 3));
    assert_eq!(ring.params.sq_off.tail, 64);
    for round in 0..3 {
        for i in 0..4 {
            ring.push(nop(round * 4 + i));
        }
        assert_eq!(ring.submit(), Ok(4));
    }
    assert_eq!(ring.reap().len(), 8);
    assert_eq!(ring.cq_word(ring.params.cq_off.overflow).load(Ordering::Relaxed), 4);
    // An index that points nowhere is dropped.
    let array = ring.params.sq_off.array;
    for i in 0..4 {
        ring.sq_word(array + i * 4).store(77, Ordering::Relaxed);
    }
    ring.push(nop(1));
    assert_eq!(ring.submit(), Ok(0));
    assert_eq!(ring.sq_word(ring.params.sq_off.dropped).load(Ordering::Relaxed), 1);
    assert_eq!(ring.wait(0, 1), Err(Errno::EINVAL), "no EXT_ARG");
    let newer = [IORING_SETUP_CQSIZE, IORING_SETUP_R_DISABLED, IORING_SETUP_NO_SQARRAY];
    for flag in newer {
        assert_eq!(Mini::new(&sim, 4, flag).err(), Some(Errno::EINVAL), "{flag:#x}");
    }
}

#[test]
fn the_poll_thread_sleeps_and_is_woken() {
    let sim = new(Options::new(1));
    let params =
        io_uring_params { flags: IORING_SETUP_SQPOLL, sq_thread_idle: 10, ..Default::default() };
    let mut ring = Mini::with(&sim, 8, params).expect("setup");
    ring.push(nop(1));
    assert_eq!(ring.ready(), 0);
    assert_eq!(sim.run_sq_thread(ring.fd), Ok(true));
    assert_eq!((pairs(&ring.reap()), ring.pending()), (vec![(1, 0)], 0));
    assert_eq!(sim.run_sq_thread(ring.fd), Ok(false));
    assert_eq!(ring.sq_flags() & IORING_SQ_NEED_WAKEUP, 0, "not idle long enough");
    sim.advance(20_000_000);
    assert_eq!(ring.sq_flags() & IORING_SQ_NEED_WAKEUP, 1);
    ring.push(nop(2));
    assert_eq!(sim.run_sq_thread(ring.fd), Ok(false), "asleep");
    assert_eq!(ring.enter(0, 1, IORING_ENTER_GETEVENTS), Err(Errno::EINTR), "nobody wakes it");
    assert_eq!(sim.stats().stuck, 1);
    let flags = IORING_ENTER_GETEVENTS | IORING_ENTER_SQ_WAKEUP;
    assert_eq!(ring.enter(1, 1, flags), Ok(1));
    assert_eq!(pairs(&ring.reap()), [(2, 0)]);
    assert_eq!(ring.sq_flags() & IORING_SQ_NEED_WAKEUP, 0);
    assert_eq!(sim.idle_sq_thread(ring.fd), Ok(true));
    ring.push(nop(3));
    assert_eq!(sim.idle_sq_thread(ring.fd), Ok(true), "asleep with something published");
    assert_eq!(ring.enter(1, 1, flags), Ok(1));
    assert_eq!(sim.violations(), Vec::<String>::new());
    // Taking back what was published is a race with the thread.
    ring.push(nop(4));
    assert_eq!(sim.run_sq_thread(ring.fd), Ok(true));
    let tail = ring.sq_word(ring.params.sq_off.tail);
    tail.store(tail.load(Ordering::Relaxed).wrapping_sub(1), Ordering::Relaxed);
    assert_eq!(sim.run_sq_thread(ring.fd), Ok(true));
    assert!(sim.violations().iter().any(|v| v.contains("taken back")));
}

#[test]
fn a_wait_without_hope_ends() {
    let sim = new(Options { stuck_limit: 3, ..Options::new(1) });
    let ring = Mini::new(&sim, 8, 0).expect("setup");
    for _ in 0..3 {
        assert_eq!(ring.enter(0, 1, IORING_ENTER_GETEVENTS), Err(Errno::EINTR));
    }
    assert_eq!(sim.violations(), Vec::<String>::new());
    assert_eq!(ring.enter(0, 1, IORING_ENTER_GETEVENTS), Err(Errno::EDEADLK));
    assert_eq!(sim.stats().stuck, 4);
    assert!(sim.violations()[0].contains("never happen"));
}

#[test]
fn another_thread_ends_a_wait() {
    let sim = new(Options { patience_ms: 20_000, ..Options::new(1) });
    let (reader, _writer) = sim.pipe().expect("pipe");
    let mut ring = Mini::new(&sim, 8, DEFERRED).expect("setup");
    let mut buf = [0u8; 4];
    ring.push(read(1, reader, &mut buf));
    let other = sim.clone();
    std::thread::scope(|scope| {
        // Whichever comes first, the wait ends: there is nothing to be in time for.
        scope.spawn(move || other.feed(reader, b"abcd").expect("feed"));
        assert_eq!(ring.enter(1, 1, IORING_ENTER_GETEVENTS), Ok(1));
    });
    assert_eq!(pairs(&ring.reap()), [(1, 4)]);
    assert_eq!(sim.stats().stuck, 0);
}

#[test]
fn equal_seeds_do_equal_things_and_others_do_others() {
    let order = |seed| {
        let sim = new(Options { cold_percent: 50, ..Options::new(seed) });
        let fd = sim.file("/f", b"0123456789").expect("file");
        let mut ring = Mini::new(&sim, 16, 0).expect("setup");
        let mut bufs = [[0u8; 2]; 12];
        for (i, buf) in bufs.iter_mut().enumerate() {
            let entry = io_uring_sqe { off: i as u64 / 2, ..read(i as u64, fd, buf) };
            ring.push(with(if i % 3 == 0 { IOSQE_ASYNC } else { 0 }, entry));
        }
        let cqes = ring.finish(12);
        for (i, buf) in bufs.iter().enumerate() {
            assert_eq!(buf[0], b'0' + (i / 2) as u8);
        }
        pairs(&cqes)
    };
    assert_eq!(order(7), order(7));
    let orders: std::collections::BTreeSet<_> = (0..20).map(order).collect();
    assert!(orders.len() > 10, "{} orders of 20", orders.len());
}

#[test]
fn things_happen_in_the_middle_of_a_wait() {
    let sim = new(Options::new(1));
    let (reader, writer) = sim.pipe().expect("pipe");
    let mut ring = Mini::new(&sim, 8, 0).expect("setup");
    let mut buf = [0u8; 4];
    ring.push(read(1, reader, &mut buf));
    assert_eq!(ring.submit(), Ok(1));
    let began = sim.now_ns();
    sim.signal_after(1_000_000);
    sim.feed_after(3_000_000, reader, b"late").expect("feed");
    sim.close_after(5_000_000, writer).expect("close");
    assert_eq!(ring.wait(1, 1_000), Err(Errno::EINTR));
    assert_eq!(sim.now_ns() - began, 1_000_000);
    assert_eq!(ring.wait(1, 1_000), Ok(0));
    assert_eq!(sim.now_ns() - began, 3_000_000);
    assert_eq!(pairs(&ring.reap()), [(1, 4)]);
    ring.push(read(2, reader, &mut buf));
    assert_eq!(pairs(&ring.finish(1)), [(2, 0)], "the writer is gone");
    assert_eq!(ring.wait(1, 7), Err(Errno::ETIME));
}

#[test]
fn limits_are_kept() {
    let sim = new(Options { locked_memory: Some(40_000), max_fds: 4, ..Options::new(1) });
    assert_eq!(Mini::new(&sim, 4096, 0).err(), Some(Errno::ENOMEM));
    let ring = Mini::new(&sim, 8, 0).expect("setup");
    let other = Mini::new(&sim, 8, 0).expect("setup");
    drop(other);
    sim.file("/a", b"").expect("file");
    sim.file("/b", b"").expect("file");
    sim.file("/c", b"").expect("file");
    assert_eq!(sim.file("/d", b""), Err(Errno::EMFILE));
    assert_eq!(Mini::new(&sim, 8, 0).err(), Some(Errno::EMFILE));
    assert_eq!(sim.close_file(ring.fd + 1), Ok(()));
    assert_eq!(sim.file("/d", b""), Ok(ring.fd + 1), "the lowest number is used again");
}

#[test]
fn requests_keep_their_files() {
    let sim = new(Options::new(1));
    let (a, b) = sim.socketpair().expect("pair");
    let mut ring = Mini::new(&sim, 8, 0).expect("setup");
    let mut buf = [0u8; 4];
    ring.push(recv(1, a, &mut buf));
    assert_eq!(ring.submit(), Ok(1));
    assert_eq!(sim.close_file(a), Ok(()));
    let stranger = sim.file("/stranger", b"strange").expect("file");
    assert_eq!(stranger, a, "the number names another file now");
    assert_eq!(ring.ready(), 0);
    sim.plan(&FaultPlan::default());
    ring.push(send(2, b, b"data"));
    let mut ended = pairs(&ring.finish(2));
    ended.sort_unstable();
    assert_eq!(ended, [(1, 4), (2, 4)]);
    assert_eq!(&buf, b"data");
    buf = [0; 4];
    ring.push(send(3, b, &buf));
    assert_eq!(pairs(&ring.finish(1)), [(3, -Errno::EPIPE.0)]);
}

#[test]
fn eventfds_are_signalled() {
    let sim = new(Options::new(1));
    let mut event = sim.eventfd().expect("eventfd");
    let fd = event;
    let (reader, _writer) = sim.pipe().expect("pipe");
    let mut ring = Mini::new(&sim, 8, 0).expect("setup");
    let register = |ring: &Mini, op, fd: *mut i32| {
        // SAFETY: one descriptor, or nothing (I2).
        unsafe { sim.register(ring.fd, op, fd.cast(), u32::from(!fd.is_null())) }
    };
    assert_eq!(register(&ring, IORING_REGISTER_EVENTFD, &raw mut event), Ok(0));
    assert_eq!(register(&ring, IORING_REGISTER_EVENTFD, &raw mut event), Err(Errno::EBUSY));
    ring.push(nop(1));
    ring.push(nop(2));
    assert_eq!(ring.submit(), Ok(2));
    assert_eq!(sim.eventfd_count(fd), Some(1), "once a batch");
    let none = std::ptr::null_mut();
    assert_eq!(register(&ring, IORING_UNREGISTER_EVENTFD, none), Ok(0));
    assert_eq!(register(&ring, IORING_REGISTER_EVENTFD_ASYNC, &raw mut event), Ok(0));
    let mut buf = [0u8; 4];
    ring.push(nop(3));
    ring.push(read(4, reader, &mut buf));
    assert_eq!(ring.submit(), Ok(2));
    assert_eq!(sim.eventfd_count(fd), Some(1), "not for what is inline");
    sim.feed(reader, b"abcd").expect("feed");
    assert_eq!(sim.eventfd_count(fd), Some(2));
    let flags = ring.cq_word(ring.params.cq_off.flags);
    flags.store(IORING_CQ_EVENTFD_DISABLED, Ordering::Relaxed);
    ring.push(with(IOSQE_ASYNC, nop(5)));
    assert_eq!(ring.finish(4).len(), 4);
    assert_eq!(sim.eventfd_count(fd), Some(2), "not wanted");
}

#[test]
fn a_ring_can_be_named_by_its_registered_index() {
    use uring_rs::sys::abi::io_uring_rsrc_update;
    let sim = new(Options::new(1));
    let mut ring = Mini::new(&sim, 8, 0).expect("setup");
    let mut update =
        io_uring_rsrc_update { offset: u32::MAX, data: ring.fd as u64, ..Default::default() };
    let arg = (&raw mut update).cast();
    // SAFETY: one entry (I2).
    let done = unsafe { sim.register(ring.fd, IORING_REGISTER_RING_FDS, arg, 1) };
    assert_eq!((done, update.offset), (Ok(1), 0));
    ring.push(nop(1));
    // SAFETY: no argument (I2).
    let entered = unsafe { sim.enter(0, 1, 0, IORING_ENTER_REGISTERED_RING, std::ptr::null(), 0) };
    assert_eq!(entered, Ok(1));
    assert_eq!(pairs(&ring.reap()), [(1, 0)]);
    // SAFETY: as above (I2).
    let done = unsafe { sim.register(ring.fd, IORING_UNREGISTER_RING_FDS, arg, 1) };
    assert_eq!(done, Ok(1));
    // SAFETY: as above (I2).
    let entered = unsafe { sim.enter(0, 0, 0, IORING_ENTER_REGISTERED_RING, std::ptr::null(), 0) };
    assert_eq!(entered, Err(Errno::EBADF));
}
