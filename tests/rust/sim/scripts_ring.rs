//! The ring itself: setup, overflow, errors of enter and register, messages between rings.

use uring_rs::ring::kernel::{Kernel, Linux};
use uring_rs::ring::sim::{Options, SimKernel};
use uring_rs::sys::abi::{io_uring_params, io_uring_probe, io_uring_probe_op, io_uring_sqe};
use uring_rs::sys::consts::*;

use crate::host::{compare, real_kernel, Host, Notes, Real, Simulated, DEFERRED};
use crate::mini::{nop, poll, sqe, Mini};

#[test]
fn setup_accepts_and_refuses_as_linux_does() {
    fn line(kernel: &dyn Kernel, entries: u32, cq: u32, flags: u32) -> String {
        let params = io_uring_params { flags, cq_entries: cq, ..Default::default() };
        match Mini::with(kernel, entries, params) {
            Ok(ring) => {
                let p = &ring.params;
                let mask =
                    ring.sq_word(p.sq_off.ring_mask).load(std::sync::atomic::Ordering::Relaxed);
                format!("{} {} {mask:#x}", p.sq_entries, p.cq_entries)
            }
            Err(errno) => errno.name().to_string(),
        }
    }
    if !real_kernel(DEFERRED | IORING_SETUP_NO_SQARRAY) {
        return;
    }
    let (cqsize, clamp) = (IORING_SETUP_CQSIZE, IORING_SETUP_CLAMP);
    let mut cases = vec![
        (0, 0, 0),
        (1, 0, 0),
        (3, 0, 0),
        (33, 0, 0),
        (4_096, 0, 0),
        (40_000, 0, 0),
        (40_000, 0, clamp),
        (8, 0, cqsize),
        (8, 4, cqsize),
        (8, 5, cqsize),
        (8, 100, cqsize),
        (8, 70_000, cqsize),
        (8, 70_000, cqsize | clamp),
        (8, 0, IORING_SETUP_SQ_AFF),
    ];
    for bit in 0..32 {
        // Memory of our own, and polling of devices, are not simulated.
        let foreign = IORING_SETUP_NO_MMAP
            | IORING_SETUP_REGISTERED_FD_ONLY
            | IORING_SETUP_IOPOLL
            | IORING_SETUP_CQE_MIXED
            | IORING_SETUP_SQE128
            | IORING_SETUP_CQE32
            | IORING_SETUP_ATTACH_WQ;
        for more in [0, IORING_SETUP_SINGLE_ISSUER, IORING_SETUP_SQPOLL, DEFERRED] {
            if (1 << bit) & foreign == 0 {
                cases.push((8, 0, 1 << bit | more));
            }
        }
    }
    for (entries, cq, flags) in cases {
        let sim = SimKernel::new(Options { sq_start: 0, cq_start: 0, ..Options::new(1) });
        let simulated = line(&sim, entries, cq, flags);
        let real = line(&Linux, entries, cq, flags);
        assert_eq!(simulated, real, "{entries} entries, {cq} completions, flags {flags:#x}");
        assert_eq!((sim.live_maps(), sim.open_fds().len()), (0, 0));
    }
}

#[test]
fn overflow_loses_nothing_and_keeps_the_order() {
    fn script(host: &dyn Host, flags: u32) -> Notes {
        let mut notes = Notes::default();
        let params = io_uring_params {
            flags: flags | IORING_SETUP_CQSIZE,
            cq_entries: 8,
            ..Default::default()
        };
        let mut ring = Mini::with(host.kernel(), 8, params).expect("setup");
        for batch in 0..3 {
            for i in 0..8 {
                ring.push(nop(batch * 8 + i));
            }
            notes.ret("submit", ring.submit());
            let full = ring.sq_flags() & IORING_SQ_CQ_OVERFLOW;
            notes.note(format!("ready {} overflow {full}", ring.ready()));
        }
        for _ in 0..4 {
            notes.cqes("flushed", &ring.reap());
            notes.ret("enter", ring.enter(0, 0, IORING_ENTER_GETEVENTS));
            let full = ring.sq_flags() & IORING_SQ_CQ_OVERFLOW;
            notes.note(format!("ready {} overflow {full}", ring.ready()));
        }
        // While some wait outside, new ones do not overtake them.
        for i in 0..8 {
            ring.push(nop(100 + i));
        }
        notes.ret("submit", ring.submit());
        ring.push(nop(108));
        notes.ret("submit", ring.submit());
        notes.cqes("room", &[ring.pop().expect("a completion")]);
        ring.push(nop(109));
        notes.ret("submit", ring.submit());
        notes.cqes("in order", &ring.reap());
        notes.cqes("in order", &ring.finish(2));
        notes.ret("waiting", ring.wait(8, 5));
        // A multishot request that cannot post ends.
        let (reader, _writer) = host.pipe();
        for i in 0..7 {
            ring.push(nop(200 + i));
        }
        ring.push(poll(207, reader, 1, true));
        notes.ret("submit", ring.submit());
        for _ in 0..3 {
            host.write(reader, b"x");
            notes.ret("enter", ring.enter(0, 0, IORING_ENTER_GETEVENTS));
        }
        notes.cqes("multishot", &ring.finish(9));
        host.write(reader, b"x");
        notes.ret("nothing more", ring.wait(1, 5));
        notes
    }
    for flags in [IORING_SETUP_SUBMIT_ALL, DEFERRED] {
        let sim = SimKernel::new(Options::new(3));
        let noted = script(&Simulated(sim.clone()), flags);
        assert_eq!(sim.violations(), Vec::<String>::new());
        assert!(sim.stats().overflows >= 16);
        if real_kernel(flags) {
            assert_eq!(noted, script(&Real::default(), flags), "flags {flags:#x}");
        }
    }
}

#[test]
fn errors_of_enter_and_register() {
    fn script(ring: &mut Mini, host: &dyn Host, notes: &mut Notes) {
        let kernel = ring.kernel;
        let (r, _w) = host.pipe();
        let enter = |fd, flags, arg: usize, size| {
            // SAFETY: arguments that are refused, or absent (I2).
            unsafe { kernel.enter(fd, 0, 0, flags, arg as *const _, size) }
        };
        notes.ret("bad descriptor", enter(54_321, 0, 0, 0));
        notes.ret("no ring", enter(r, 0, 0, 0));
        notes.ret("unknown flag", enter(ring.fd, 1 << 20, 0, 0));
        notes
            .ret("wrong size", enter(ring.fd, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, 0, 3));
        notes.ret("no such index", enter(99, IORING_ENTER_REGISTERED_RING, 0, 0));
        let register = |op| {
            // SAFETY: no argument (I2).
            unsafe { kernel.register(ring.fd, op, std::ptr::null_mut(), 0) }
        };
        notes.ret("unknown operation", register(200));
        notes.ret("enabled already", register(IORING_REGISTER_ENABLE_RINGS));
        notes.ret("no eventfd", register(IORING_UNREGISTER_EVENTFD));
        notes.ret("probe of nothing", register(IORING_REGISTER_PROBE));
        // SAFETY: as above (I2).
        let bad =
            unsafe { kernel.register(54_321, IORING_REGISTER_PROBE, std::ptr::null_mut(), 0) };
        notes.ret("bad descriptor", bad);
    }
    compare(script);
}

#[test]
fn a_disabled_ring_is_enabled_by_its_owner() {
    fn script(host: &dyn Host) -> Notes {
        let mut notes = Notes::default();
        let mut ring =
            Mini::new(host.kernel(), 8, DEFERRED | IORING_SETUP_R_DISABLED).expect("setup");
        ring.push(nop(1));
        notes.ret("disabled", ring.submit());
        let (kernel, fd) = (ring.kernel, ring.fd);
        let elsewhere = std::thread::scope(|scope| {
            let owner = scope.spawn(move || {
                let none = std::ptr::null_mut();
                // SAFETY: no argument (I2).
                unsafe { kernel.register(fd, IORING_REGISTER_ENABLE_RINGS, none, 0) }
            });
            owner.join().expect("thread")
        });
        notes.ret("enabled elsewhere", elsewhere);
        notes.ret("not the owner", ring.submit());
        notes.ret("not the owner", ring.enter(0, 0, IORING_ENTER_GETEVENTS));
        // SAFETY: no argument (I2).
        let again =
            unsafe { kernel.register(fd, IORING_REGISTER_ENABLE_RINGS, std::ptr::null_mut(), 0) };
        notes.ret("not the owner", again);
        notes.note(format!("left {}", ring.pending()));
        notes
    }
    let noted = script(&Simulated(SimKernel::new(Options::new(1))));
    if real_kernel(DEFERRED) {
        assert_eq!(noted, script(&Real::default()));
    }
}

#[test]
fn messages_reach_rings() {
    fn script(ring: &mut Mini, _: &dyn Host, notes: &mut Notes) {
        let message = |user_data, fd| io_uring_sqe {
            fd,
            len: 77,
            off: 0x1234,
            ..sqe(IORING_OP_MSG_RING, user_data)
        };
        let other = Mini::new(ring.kernel, 8, ring.params.flags).expect("setup");
        ring.push(message(0, other.fd));
        notes.cqes("sent", &ring.finish(1));
        notes.cqes("came", &other.finish(1));
        ring.push(message(1, 54_321));
        notes.cqes("nowhere", &ring.finish(1));
        let post = |kernel: &dyn Kernel, fd| {
            let mut sqe = message(0, fd);
            let arg = (&raw mut sqe).cast();
            // SAFETY: the entry lives during the call (I2).
            unsafe { kernel.register(-1, IORING_REGISTER_SEND_MSG_RING, arg, 1) }
        };
        let kernel = ring.kernel;
        let fd = ring.fd;
        let sent = std::thread::scope(|scope| {
            scope.spawn(move || post(kernel, fd)).join().expect("thread")
        });
        notes.ret("without a ring", sent);
        notes.cqes("came", &ring.finish(1));
        notes.ret("nowhere", post(kernel, 54_321));
    }
    compare(script);
}

#[test]
fn the_probe_knows_what_is_simulated() {
    let sim = SimKernel::new(Options::linux(5, 10, 1));
    let ring = Mini::new(&sim, 8, 0).expect("setup");
    #[repr(C)]
    struct Probe {
        head: io_uring_probe,
        ops: [io_uring_probe_op; 64],
    }
    let mut probe = Probe { head: Default::default(), ops: [Default::default(); 64] };
    let arg = (&raw mut probe).cast();
    // SAFETY: room for the head and 64 entries (I2).
    let done = unsafe { sim.register(ring.fd, IORING_REGISTER_PROBE, arg, 64) };
    assert_eq!(done, Ok(0));
    assert_eq!((probe.head.last_op, probe.head.ops_len), (IORING_OP_TEE, 34));
    let known = |op: u8| probe.ops[usize::from(op)].flags & IO_URING_OP_SUPPORTED != 0;
    assert!(known(IORING_OP_READ) && known(IORING_OP_POLL_REMOVE));
    assert!(!known(IORING_OP_SPLICE), "not simulated");
    assert!(!known(IORING_OP_MSG_RING), "not in 5.10");
}
