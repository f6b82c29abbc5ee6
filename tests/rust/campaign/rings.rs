//! Scenarios of rings: scripts of requests of every kind, and the ways of ending.

use uring_rs::ring::error::RingError;
use uring_rs::ring::sim::SimKernel;
use uring_rs::sys::abi::io_uring_files_update;
use uring_rs::sys::consts::*;
use uring_rs::sys::os::iovec;

use crate::bench::{kinds, Bench, Op, SECOND};
use crate::plan::Said;
use crate::tokens::Tokens;

/// The ring of a kind, or what was said instead.
fn open(sim: &SimKernel, kind: u32) -> Result<Bench, Said> {
    let (_, _, config) = &kinds()[kind as usize];
    let failed = |error: RingError| {
        let mut said = Said::default();
        said.note(&error);
        said
    };
    let mut ring = uring_rs::ring::Ring::new(sim.clone(), config).map_err(failed)?;
    // It may fail, and then succeed.
    let enabled = ring.enable().or_else(|first| ring.enable().map_err(|_| first));
    enabled.map_err(failed)?;
    let mut bench = Bench::with(sim.clone(), ring);
    bench.patient = true;
    Ok(bench)
}

/// Close it, and what the files were.
fn end(mut bench: Bench) -> Said {
    let mut said = Said { errnos: std::mem::take(&mut bench.errnos), ..Said::default() };
    let whole = (0..3).any(|_| bench.close(SECOND));
    if whole {
        assert!(bench.owed.is_empty(), "{:?} never came back", bench.owed);
        bench.check_taken();
    } else {
        said.kept = bench.owed.len();
    }
    for fd in [bench.data, bench.sink, bench.pipe.0, bench.pipe.1] {
        bench.sim.close_file(fd).expect("open");
    }
    said
}

/// Something of everything, and so many entries to the kernel that the ring registers its descriptor.
pub fn requests(sim: &SimKernel, _tokens: &Tokens, kind: u32) -> Said {
    let mut bench = match open(sim, kind) {
        Ok(bench) => bench,
        Err(said) => return said,
    };
    bench.work(false);
    end(bench)
}

/// Everything that may still be there when the ring is closed.
pub fn in_flight(sim: &SimKernel, _tokens: &Tokens, kind: u32) -> Said {
    let mut bench = match open(sim, kind) {
        Ok(bench) => bench,
        Err(said) => return said,
    };
    bench.put_in_flight();
    bench.sim.feed_after(2_000, bench.pipe.0, b"pp").expect("a pipe");
    end(bench)
}

/// More completions than the queue holds, from requests that complete again and again.
pub fn overflow(sim: &SimKernel, _tokens: &Tokens, kind: u32) -> Said {
    let mut bench = match open(sim, kind) {
        Ok(bench) => bench,
        Err(said) => return said,
    };
    // Repeated timeouts came with Linux 6.4; older ones refuse them.
    bench.put(Op::Timeouts(1_000, 40), 0);
    (0..3).for_each(|n| _ = bench.put(Op::Timeout(10_500 + n), 0));
    bench.put(Op::Polls, 0);
    bench.enter(0);
    bench.sim.advance(100_000);
    for round in 0..100 {
        bench.reap();
        if bench.owed.len() <= 1 {
            break;
        }
        if round % 7 == 0 {
            // A full pipe is no matter.
            _ = bench.sim.feed(bench.pipe.0, b"p");
        }
        let plan = bench.ring.plan_flush();
        bench.carry_out(plan);
        bench.enter(1);
    }
    end(bench)
}

/// Tables of buffers and of files, and an eventfd: registered, used, changed, let go of.
pub fn registered(sim: &SimKernel, _tokens: &Tokens, kind: u32) -> Said {
    let mut bench = match open(sim, kind) {
        Ok(bench) => bench,
        Err(said) => return said,
    };
    let mut memory = [0u8; 64];
    let mut vector = iovec { iov_base: memory.as_mut_ptr().cast(), iov_len: memory.len() };
    let files = [bench.data, bench.sink, -1];
    let mut event = sim.eventfd().expect("an eventfd");
    let mut update = io_uring_files_update {
        offset: 1,
        resv: 0,
        fds: [bench.data, -1].as_ptr() as usize as u64,
    };
    let change = [bench.data, -1];
    update.fds = change.as_ptr() as usize as u64;
    let steps: [(u32, *mut core::ffi::c_void, u32); 8] = [
        (IORING_REGISTER_BUFFERS, (&raw mut vector).cast(), 1),
        (IORING_REGISTER_FILES, files.as_ptr().cast_mut().cast(), 3),
        (IORING_REGISTER_EVENTFD, (&raw mut event).cast(), 1),
        (IORING_REGISTER_FILES_UPDATE, (&raw mut update).cast(), 2),
        (IORING_UNREGISTER_EVENTFD, core::ptr::null_mut(), 0),
        (IORING_REGISTER_FILES_UPDATE, (&raw mut update).cast(), 2),
        (IORING_UNREGISTER_FILES, core::ptr::null_mut(), 0),
        (IORING_UNREGISTER_BUFFERS, core::ptr::null_mut(), 0),
    ];
    for (op, arg, nr) in steps {
        let mut done = false;
        for _ in 0..3 {
            // SAFETY: what each operation takes, alive until the end of this function (I2).
            match unsafe { bench.ring.register(op, arg, nr) } {
                Ok(_) => {
                    done = true;
                    break;
                }
                Err(RingError::Sys(_, errno)) => bench.errnos.push(errno),
                Err(error) => panic!("{error}"),
            }
        }
        assert!(done, "register operation {op}: {:?}", bench.errnos);
        bench.put(Op::Nop, 0);
        bench.put(Op::Read(4), 0);
        bench.enter(1);
        bench.reap();
    }
    bench.try_settle();
    sim.close_file(event).expect("open");
    end(bench)
}
