//! Setting up: old kernels, memory that is short, refusals, maps that fail.

use uring_rs::ring::error::{Call, RingError};
use uring_rs::ring::params::Config;
use uring_rs::ring::probe::Cause;
use uring_rs::ring::sim::{Action, Call as SimCall, Options, SimKernel};
use uring_rs::ring::Ring;
use uring_rs::sys::consts::*;
use uring_rs::sys::Errno;

use crate::bench::{faults, Bench, Op, Payload};

fn open(sim: &SimKernel, config: &Config) -> Result<Ring<SimKernel, Payload>, RingError> {
    Ring::new(sim.clone(), config)
}

/// Nothing is left of a set-up that failed.
fn nothing_left(sim: &SimKernel) {
    assert_eq!((sim.live_maps(), sim.open_fds()), (0, vec![]));
    assert_eq!(sim.violations(), Vec::<String>::new());
}

const OWNED: u32 = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_R_DISABLED;
const DEFERRED: u32 = OWNED | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
const COOP: u32 = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;

#[test]
fn every_kernel_gets_the_best_flags_it_knows() {
    let tiers = [
        ((6, 18), DEFERRED | IORING_SETUP_NO_SQARRAY),
        ((6, 6), DEFERRED | IORING_SETUP_NO_SQARRAY),
        ((6, 5), DEFERRED),
        ((6, 1), DEFERRED),
        ((6, 0), OWNED | COOP),
        ((5, 19), IORING_SETUP_SUBMIT_ALL | COOP),
        ((5, 18), IORING_SETUP_SUBMIT_ALL),
        ((5, 17), 0),
        ((5, 11), 0),
    ];
    for ((major, minor), flags) in tiers {
        let options = Options::linux(major, minor, 1);
        let mut bench = Bench::new(options, &Config::new(4));
        assert_eq!(bench.ring.params().flags, flags, "Linux {major}.{minor}");
        for _ in 0..3 {
            (0..4).for_each(|_| _ = bench.put(Op::Nop, 0));
            bench.put(Op::Read(5), 0);
            bench.settle();
        }
        bench.end();
    }
}

#[test]
fn shared_and_polled_rings_have_tiers_too() {
    let shared = Config { shared: true, ..Config::new(4) };
    let polled = Config { sqpoll_idle_ms: Some(5), ..Config::new(4) };
    let all = IORING_SETUP_SUBMIT_ALL;
    for (version, flags) in [((6, 18), all | IORING_SETUP_NO_SQARRAY), ((6, 0), all), ((5, 11), 0)]
    {
        for (config, more) in [(&shared, 0), (&polled, IORING_SETUP_SQPOLL)] {
            let mut bench = Bench::new(Options::linux(version.0, version.1, 1), config);
            assert_eq!(bench.ring.params().flags, flags | more, "Linux {version:?}");
            (0..9).for_each(|_| _ = bench.put(Op::Nop, 0));
            bench.settle();
            bench.end();
        }
    }
}

#[test]
fn kernels_that_lose_completions_or_cannot_time_waits_are_refused() {
    for (minor, since) in [(1, (5, 5)), (4, (5, 5)), (5, (5, 11)), (10, (5, 11))] {
        let sim = SimKernel::new(Options::linux(5, minor, 1));
        match open(&sim, &Config::new(4)).map(|_| ()) {
            Err(RingError::Refused(refusal)) => {
                assert_eq!((refusal.cause, refusal.errno), (Cause::OldKernel, Errno::ENOSYS));
                assert!(refusal.reason.ends_with(&format!("Linux {}.{}", since.0, since.1)));
            }
            other => panic!("Linux 5.{minor}: {other:?}"),
        }
        nothing_left(&sim);
    }
}

#[test]
fn short_memory_makes_for_smaller_rings() {
    let mut sizes = Vec::new();
    loop {
        let sim = SimKernel::new(Options::new(1));
        let errors = vec![Action::Err(Errno::ENOMEM); sizes.len()];
        sim.plan(&faults(SimCall::Setup, 0, &errors));
        let config = Config { cq_entries: Some(256), ..Config::new(64) };
        let ring = match open(&sim, &config) {
            Ok(ring) => ring,
            Err(RingError::Refused(_)) => {
                assert_eq!(sim.faults_left(), 0);
                nothing_left(&sim);
                break;
            }
            Err(error) => panic!("{error}"),
        };
        let params = *ring.params();
        sizes.push(params.sq_entries);
        assert_eq!(params.cq_entries, 4 * params.sq_entries);
        let mut bench = Bench::with(sim, ring);
        (0..100).for_each(|_| _ = bench.put(Op::Nop, 0));
        bench.settle();
        bench.end();
    }
    // First what was asked for is tried again, then half as many with each failure.
    let again = sizes.iter().filter(|size| **size == 64).count();
    assert!(again > 1);
    assert_eq!(sizes[again..], [32, 16, 8]);
}

#[test]
fn a_limit_on_locked_memory_is_fitted_into() {
    let sim = SimKernel::new(Options { locked_memory: Some(65_536), ..Options::new(1) });
    let first = open(&sim, &Config::new(4_096)).expect("a smaller ring");
    let entries = first.params().sq_entries;
    assert!((8..4_096).contains(&entries), "{entries} entries");
    let mut bench = Bench::with(sim, first);
    (0..3 * entries).for_each(|_| _ = bench.put(Op::Nop, 0));
    bench.settle();
    bench.end();
}

#[test]
fn refusals_say_so_and_leave_nothing() {
    for errno in [Errno::EPERM, Errno::ENOSYS, Errno::EMFILE, Errno::ENFILE, Errno::EACCES] {
        let sim = SimKernel::new(Options::new(1));
        sim.plan(&faults(SimCall::Setup, 0, &[Action::Err(errno)]));
        assert!(matches!(open(&sim, &Config::new(8)), Err(RingError::Refused(_))), "{errno}");
        assert_eq!(sim.stats().setups, 1, "{errno}: asked again");
        nothing_left(&sim);
    }
    // No set of flags is known: with the library's own flags that is the kernel's fault.
    for (flags, sqpoll_idle_ms) in
        [(None, None), (Some(IORING_SETUP_CQSIZE), None), (None, Some(1))]
    {
        let sim = SimKernel::new(Options { setup_flags: 0, ..Options::new(1) });
        let config = Config { cq_entries: Some(64), flags, sqpoll_idle_ms, ..Config::new(8) };
        let refused = open(&sim, &config).map(|_| ());
        match refused {
            Err(RingError::Refused(_)) if flags.or(sqpoll_idle_ms).is_none() => {}
            Err(RingError::Sys(Call::Setup, Errno::EINVAL))
                if flags.or(sqpoll_idle_ms).is_some() => {}
            refused => panic!("{refused:?}"),
        }
        nothing_left(&sim);
    }
}

#[test]
fn a_map_that_fails_leaves_nothing() {
    let single = Options::new(1);
    let features = single.features & !IORING_FEAT_SINGLE_MMAP;
    let separate = Options { features, ..Options::linux(5, 11, 1) };
    for (options, maps) in [(single, 2), (separate, 3)] {
        for nth in 0..maps {
            for errno in [Errno::ENOMEM, Errno::EAGAIN, Errno::EPERM] {
                let sim = SimKernel::new(options.clone());
                sim.plan(&faults(SimCall::Map, nth, &[Action::Err(errno)]));
                match open(&sim, &Config::new(8)).map(|_| ()) {
                    Err(RingError::Sys(Call::Map, e)) if errno != Errno::ENOMEM => {
                        assert_eq!(e, errno);
                    }
                    // Told with the limit it may have been.
                    Err(RingError::Refused(refusal)) if errno == Errno::ENOMEM => {
                        assert_eq!(refusal.cause, Cause::Memory);
                        assert!(refusal.reason.contains("max_map_count"), "{refusal}");
                    }
                    other => panic!("map {nth} of {maps}: {other:?}"),
                }
                assert_eq!(sim.faults_left(), 0);
                nothing_left(&sim);
                // And nothing stands in the way of the next.
                let ring = open(&sim, &Config::new(8)).expect("a ring");
                assert_eq!(sim.live_maps() as u64, maps);
                drop(ring);
                nothing_left(&sim);
            }
        }
    }
}

#[test]
fn a_ring_nobody_enabled_closes_with_what_was_staged() {
    let sim = SimKernel::new(Options::new(1));
    let mut ring = open(&sim, &Config::new(8)).expect("a ring");
    let (index, _) = ring.reserve().expect("a slot");
    ring.stage(index, Default::default()).expect("room");
    sim.plan(&faults(SimCall::Register, 0, &[Action::Err(Errno::ENOMEM)]));
    assert!(matches!(ring.enable(), Err(RingError::Sys(Call::Register, Errno::ENOMEM))));
    let mut back = Vec::new();
    assert!(ring.close_within(0, |_, index| back.push(index)));
    assert_eq!(back, [index]);
    assert_eq!(sim.submitted(), []);
    nothing_left(&sim);
}
