//! The bodies of the fuzz targets: bytes in, a panic or a report of the sanitizer where something
//! does not hold. `fuzz_targets` runs them under libFuzzer, `tests/rust/fuzz_replay.rs` without it,
//! over the inputs that are kept.

#[allow(dead_code)]
#[path = "../../tests/rust/faults/bench.rs"]
mod bench;

pub mod completions;
pub mod entries;
pub mod jobs;
pub mod parsers;
pub mod schedules;

use arbitrary::{Arbitrary, Unstructured};

/// What the bytes say, if they say anything; shown if FUZZ_SHOW is set.
fn parse<T: for<'a> Arbitrary<'a> + std::fmt::Debug>(data: &[u8]) -> Option<T> {
    let said = T::arbitrary_take_rest(Unstructured::new(data)).ok();
    if std::env::var_os("FUZZ_SHOW").is_some() {
        eprintln!("{said:#?}");
    }
    said
}

/// A target, and what runs one input of it.
pub type Target = (&'static str, fn(&[u8]));

/// The targets by name, for whoever replays inputs.
pub const ALL: [Target; 5] = [
    ("completions", completions::run),
    ("entries", entries::run),
    ("jobs", jobs::run),
    ("parsers", parsers::run),
    ("schedules", schedules::run),
];
