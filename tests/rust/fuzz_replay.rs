//! The fuzz targets of `fuzz/` over the inputs that are kept there: those that once found something,
//! and those that together reach what fuzzing has reached. `nox -s fuzz` looks for new ones.

#![cfg(not(any(loom, shuttle)))]

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::path::Path;

/// The files of a folder, in a fixed order; none if there is no such folder.
fn inputs(folder: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    paths
}

fn replay(name: &str) {
    let (_, run) = targets::ALL.iter().find(|(known, _)| *known == name).expect("a target");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let corpus = inputs(&root.join("corpus").join(name));
    assert!(!corpus.is_empty(), "no inputs were kept for {name}");
    let found = inputs(&root.join("regressions").join(name));
    for path in found.iter().chain(&corpus) {
        // The name of the last one is what a failure is found by.
        println!("{}", path.display());
        run(&std::fs::read(path).expect("readable"));
    }
}

#[test]
fn completions() {
    replay("completions");
}

#[test]
fn entries() {
    replay("entries");
}

#[test]
fn jobs() {
    replay("jobs");
}

#[test]
fn parsers() {
    replay("parsers");
}

#[test]
fn schedules() {
    replay("schedules");
}
