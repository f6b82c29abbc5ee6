//! Random scripts on the simulated and on the real kernel: each request must end alike on both,
//! and on both in an order that Linux promises.

use std::collections::BTreeMap;

use proptest::prelude::*;
use uring_rs::ring::sim::{Options, SimKernel};
use uring_rs::sys::abi::{__kernel_timespec, io_uring_cqe, io_uring_sqe};
use uring_rs::sys::consts::*;

use crate::host::{real_kernel, Host, Real, Simulated, DEFERRED};
use crate::mini::{cancel, ms, nop, nop_res, read, recv, sqe, timeout, with, Mini};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nop,
    Fails,
    /// A read of four bytes that are there.
    Full,
    /// A read of four bytes of which two are there.
    Short,
    /// A read of a pipe whose bytes come after everything was submitted.
    Waits,
    /// The same from a socket.
    Receives,
    Timeout,
    File,
    Invalid,
}

#[derive(Clone, Copy, Debug)]
struct One {
    kind: Kind,
    link: u8,
    drain: bool,
    to_worker: bool,
}

#[derive(Clone, Debug)]
struct Plan {
    batches: Vec<Vec<One>>,
    flags: u32,
    /// Cancel what waits instead of feeding it.
    cancel: bool,
}

impl Plan {
    fn all(&self) -> impl Iterator<Item = &One> {
        self.batches.iter().flatten()
    }

    /// Does all of it happen where the submitter can see it, in one possible order?
    fn has_one_order(&self) -> bool {
        let simple = |one: &One| !one.drain && !one.to_worker && one.kind != Kind::Timeout;
        // A chain that the batch leaves open goes to a worker.
        let closed = |batch: &Vec<One>| batch.last().is_some_and(|one| one.link == 0);
        self.all().all(simple) && self.batches.iter().all(closed)
    }

    /// Is the request part of a chain that is refused as a whole?
    fn is_refused(&self, name: u64) -> bool {
        let invalid =
            |n: &u64| self.all().nth(*n as usize).is_some_and(|o| o.kind == Kind::Invalid);
        self.chains().iter().any(|chain| chain.contains(&name) && chain.iter().any(invalid))
    }

    /// The chain each request belongs to: a chain ends with its batch.
    fn chains(&self) -> Vec<Vec<u64>> {
        let mut chains: Vec<Vec<u64>> = Vec::new();
        let mut name = 0;
        for batch in &self.batches {
            let mut open = false;
            for one in batch {
                if !open {
                    chains.push(Vec::new());
                }
                chains.last_mut().expect("a chain").push(name);
                open = one.link != 0;
                name += 1;
            }
        }
        chains
    }
}

fn one() -> impl Strategy<Value = One> {
    let kind = prop_oneof![
        6 => Just(Kind::Nop),
        2 => Just(Kind::Fails),
        3 => Just(Kind::Full),
        2 => Just(Kind::Short),
        3 => Just(Kind::Waits),
        2 => Just(Kind::Receives),
        1 => Just(Kind::Timeout),
        2 => Just(Kind::File),
        1 => Just(Kind::Invalid),
    ];
    let link = prop_oneof![6 => Just(0), 4 => Just(IOSQE_IO_LINK), 2 => Just(IOSQE_IO_HARDLINK)];
    (kind, link, prop::bool::weighted(0.08), prop::bool::weighted(0.1))
        .prop_map(|(kind, link, drain, to_worker)| One { kind, link, drain, to_worker })
}

fn plan() -> impl Strategy<Value = Plan> {
    let batches = prop::collection::vec(prop::collection::vec(one(), 1..7), 1..4);
    let flags = prop_oneof![Just(IORING_SETUP_SUBMIT_ALL), Just(DEFERRED)];
    (batches, flags, prop::bool::weighted(0.3)).prop_map(|(batches, flags, cancel)| {
        let plan = Plan { batches, flags, cancel: false };
        // What is cancelled must be certain.
        Plan { cancel: cancel && plan.has_one_order(), ..plan }
    })
}

/// The files and buffers of one run.
struct Stage<'h> {
    host: &'h dyn Host,
    /// One for each request, where they stay.
    buffers: Box<[[u8; 4]]>,
    feeds: Vec<i32>,
    soon: Box<__kernel_timespec>,
}

impl Stage<'_> {
    fn prepare(&mut self, name: u64, one: One) -> io_uring_sqe {
        let buffer = &mut self.buffers[name as usize][..];
        let entry = match one.kind {
            Kind::Nop => nop(name),
            Kind::Fails => nop_res(name, -5),
            Kind::Full | Kind::Short | Kind::Waits => {
                let (reader, _) = self.host.pipe();
                match one.kind {
                    Kind::Full => self.host.write(reader, b"abcd"),
                    Kind::Short => self.host.write(reader, b"ab"),
                    _ => self.feeds.push(reader),
                }
                read(name, reader, buffer)
            }
            Kind::Receives => {
                let (socket, _) = self.host.pair();
                self.feeds.push(socket);
                recv(name, socket, buffer)
            }
            Kind::Timeout => timeout(name, &self.soon, 0, 0),
            Kind::File => {
                let (fd, _) = self.host.file(b"0123456789");
                io_uring_sqe { off: 2, ..read(name, fd, buffer) }
            }
            Kind::Invalid => sqe(250, name),
        };
        let drain = if one.drain { IOSQE_IO_DRAIN } else { 0 };
        let worker = if one.to_worker { IOSQE_ASYNC } else { 0 };
        with(one.link | drain | worker, entry)
    }
}

/// What came of a plan: the completions in order, and every buffer.
struct Ended {
    cqes: Vec<io_uring_cqe>,
    buffers: Vec<[u8; 4]>,
}

fn carry_out(host: &dyn Host, plan: &Plan) -> Ended {
    let mut stage = Stage {
        host,
        buffers: vec![[0; 4]; plan.all().count()].into(),
        feeds: Vec::new(),
        soon: Box::new(ms(2)),
    };
    let mut ring = Mini::new(host.kernel(), 32, plan.flags).expect("setup");
    let mut total = 0;
    for batch in &plan.batches {
        for one in batch {
            let entry = stage.prepare(total, *one);
            ring.push(entry);
            total += 1;
        }
        assert_eq!(ring.submit(), Ok(batch.len() as u32), "SUBMIT_ALL takes everything");
    }
    let mut cqes = Vec::new();
    let settle = |ring: &Mini, cqes: &mut Vec<io_uring_cqe>| loop {
        ring.enter(0, 0, IORING_ENTER_GETEVENTS).expect("enter");
        match ring.reap() {
            some if some.is_empty() => break,
            some => cqes.extend(some),
        }
    };
    settle(&ring, &mut cqes);
    if plan.cancel {
        // What a cancelled request was holding back cannot be found before it has started.
        let mut round = 0;
        while cqes.len() < total as usize && round < total {
            ring.push(cancel(1_000 + round, 0, IORING_ASYNC_CANCEL_ANY));
            ring.submit().expect("submit");
            settle(&ring, &mut cqes);
            cqes.retain(|cqe| cqe.user_data < 1_000);
            round += 1;
        }
    } else {
        for fd in stage.feeds.clone() {
            host.write(fd, b"wxyz");
            settle(&ring, &mut cqes);
        }
    }
    let left = total as usize - cqes.len();
    cqes.extend(ring.finish(left));
    Ended { cqes, buffers: stage.buffers.to_vec() }
}

/// One completion each; chains in order; nothing passes a drain.
fn check_order(plan: &Plan, cqes: &[io_uring_cqe]) -> Result<(), TestCaseError> {
    let place: BTreeMap<u64, usize> =
        cqes.iter().enumerate().map(|(at, cqe)| (cqe.user_data, at)).collect();
    prop_assert_eq!(place.len(), plan.all().count(), "one completion each: {:?}", cqes);
    prop_assert_eq!(cqes.len(), place.len(), "none twice: {:?}", cqes);
    for chain in plan.chains() {
        for pair in chain.windows(2) {
            prop_assert!(place[&pair[0]] < place[&pair[1]], "chain {:?}: {:?}", chain, cqes);
        }
        if chain.len() > 1 {
            continue;
        }
        let name = chain[0];
        let drains = plan.all().nth(name as usize).is_some_and(|one| one.drain);
        if !drains || plan.is_refused(name) {
            continue;
        }
        // What is refused ends at once, whatever drains.
        for (other, at) in place.iter().filter(|(other, _)| !plan.is_refused(**other)) {
            let wrong =
                (*other < name && *at > place[&name]) || (*other > name && *at < place[&name]);
            prop_assert!(!wrong, "{} passed the drain {}: {:?}", other, name, cqes);
        }
    }
    Ok(())
}

fn results(ended: &Ended) -> BTreeMap<u64, (i32, u32)> {
    ended.cqes.iter().map(|cqe| (cqe.user_data, (cqe.res, cqe.flags))).collect()
}

fn sequence(ended: &Ended) -> Vec<(u64, i32)> {
    ended.cqes.iter().map(|cqe| (cqe.user_data, cqe.res)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn random_scripts_end_alike(plan in plan(), seed in any::<u64>()) {
        let sim = SimKernel::new(Options::new(seed));
        let simulated = carry_out(&Simulated(sim.clone()), &plan);
        check_order(&plan, &simulated.cqes)?;
        prop_assert_eq!(sim.violations(), Vec::<String>::new());
        prop_assert_eq!((sim.live_maps(), sim.in_flight()), (0, 0));
        let taken: Vec<u64> = sim.submitted().iter().map(|s| s.user_data).filter(|n| *n < 1_000).collect();
        prop_assert_eq!(taken, (0..plan.all().count() as u64).collect::<Vec<_>>());
        if real_kernel(plan.flags) {
            let real = carry_out(&Real::default(), &plan);
            check_order(&plan, &real.cqes)?;
            prop_assert_eq!(results(&simulated), results(&real));
            prop_assert_eq!(&simulated.buffers, &real.buffers);
            // In which order requests are cancelled is not promised.
            if plan.has_one_order() && !plan.cancel {
                prop_assert_eq!(sequence(&simulated), sequence(&real), "simulated, real");
            }
        }
    }
}
