//! The fault campaign: every call that a scenario makes fails in every way it can, one after the
//! other, and every request ends in every way it can. After each fault nothing has been lost,
//! released twice or left behind, what was told is what happened, and later work succeeds.
//!
//! By itself a sample of it; all of it with URING_RS_FAULTS=all (`nox -s faults-sim`).
#![cfg(not(loom))]

#[path = "faults/bench.rs"]
#[allow(dead_code)]
mod bench;
#[path = "campaign/errnos.rs"]
mod errnos;
#[path = "campaign/plan.rs"]
mod plan;
#[path = "campaign/queues.rs"]
mod queues;
#[path = "campaign/reading.rs"]
mod reading;
#[path = "campaign/rings.rs"]
mod rings;
#[path = "campaign/tokens.rs"]
mod tokens;
#[path = "campaign/writing.rs"]
mod writing;

use std::sync::OnceLock;

use uring_rs::bulk::pump::Way;
use uring_rs::ring::sim::{Options, SimKernel};

use plan::{campaign, Said, Scenario};
use tokens::Tokens;

const NAP_NS: u64 = 20_000_000;

/// The way that a variant's lowest two bits name.
fn ways(variant: u32) -> Way {
    reading::WAYS[(variant & 3) as usize]
}

/// Bytes that differ from file to file and from place to place.
fn bytes(number: usize, size: usize) -> Vec<u8> {
    static ALL: OnceLock<Vec<u8>> = OnceLock::new();
    let all = ALL.get_or_init(|| (0..1_200_000).map(|at| (at * 31 + at / 251) as u8).collect());
    all[number * 7..number * 7 + size].to_vec()
}

type Run = fn(&SimKernel, &Tokens, u32) -> Said;

/// By a ring if there is one, by a ring or not at all, by threads: what is cached and what is not.
fn by_all_ways(name: &str, run: Run, more: &[u32]) -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for (way, which) in reading::WAYS.iter().enumerate() {
        for more in more {
            let options = Options { cold_percent: 60, ..Options::new(11 + u64::from(*more)) };
            scenarios.push(Scenario {
                name: format!("{name}, {which:?}, variant {more}"),
                options,
                has_threads: *which != Way::Ring,
                steady: *which != Way::Threads,
                late: true,
                run,
                variant: way as u32 | more,
            });
        }
    }
    scenarios
}

#[test]
fn reading() {
    let mut scenarios = by_all_ways("read_many", reading::read_many, &[0, 4, 8]);
    scenarios.extend(by_all_ways("read_ranges", reading::read_ranges, &[0, 4]));
    scenarios.extend(by_all_ways("stream", reading::stream, &[0, 4]));
    campaign("reading", &scenarios);
}

#[test]
fn writing() {
    let mut scenarios = by_all_ways("write_many", writing::write_many, &[0, 4]);
    scenarios.extend(by_all_ways("save", writing::save, &[0, 4]));
    scenarios.extend(by_all_ways("write_ranges", writing::write_ranges, &[0, 4]));
    campaign("writing", &scenarios);
}

#[test]
fn waiting() {
    let mut scenarios = by_all_ways("queue", queues::queue, &[0]);
    for variant in 0..2 {
        scenarios.push(Scenario {
            name: format!("selector, variant {variant}"),
            options: Options::new(5),
            has_threads: false,
            steady: true,
            late: false,
            run: queues::selector,
            variant,
        });
    }
    campaign("waiting", &scenarios);
}

#[test]
fn rings() {
    let scripts: [(&str, Run); 4] = [
        ("requests", rings::requests),
        ("in flight", rings::in_flight),
        ("overflow", rings::overflow),
        ("registered", rings::registered),
    ];
    let mut scenarios = Vec::new();
    for (name, run) in scripts {
        for (variant, (kind, options, _)) in bench::kinds().into_iter().enumerate() {
            scenarios.push(Scenario {
                name: format!("{name} on a {kind} ring"),
                options,
                has_threads: false,
                steady: true,
                late: true,
                run,
                variant: variant as u32,
            });
        }
    }
    campaign("rings", &scenarios);
}
