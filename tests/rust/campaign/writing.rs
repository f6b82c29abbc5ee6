//! Scenarios that write: many files, one large one, ranges.

use std::ffi::CString;

use uring_rs::bulk::new_file::How;
use uring_rs::bulk::pump::{Options, Pump};
use uring_rs::bulk::ranges::{Direct, Rows, Settings, Source, Transfer, Writes};
use uring_rs::bulk::save::{self, Plan, Save};
use uring_rs::bulk::write_many::{Item, WriteMany};
use uring_rs::ops::batch::{Column, Place};
use uring_rs::ring::sim::SimKernel;
use uring_rs::sys::os::AT_FDCWD;

use crate::plan::Said;
use crate::reading::{close, go};
use crate::tokens::{Token, Tokens};
use crate::{bytes, ways, NAP_NS};

const HOW: How = How { mode: 0o666, over: true, flags: 0 };

fn pump(sim: &SimKernel, variant: u32) -> Pump<SimKernel> {
    let options = Options { depth: 3, way: ways(variant), one_thread: true, try_now: false };
    Pump::new(sim.clone(), options)
}

/// The file there was before a new one takes its place.
const OLD: &[u8] = b"what was there before";

fn old_file(sim: &SimKernel, name: &str) {
    let fd = sim.file(name, OLD).expect("room");
    sim.close_file(fd).expect("open");
}

/// Files of ours under other names than they should have.
fn temporary(sim: &SimKernel, names: &[String]) -> usize {
    let there = sim.names();
    there.iter().filter(|name| !names.iter().any(|n| n.as_bytes() == *name)).count()
}

const SIZES: [usize; 5] = [0, 1, 700, 5_000, 1_100_000];

pub fn write_many(sim: &SimKernel, tokens: &Tokens, variant: u32) -> Said {
    let mut said = Said::default();
    let names: Vec<String> = (0..SIZES.len()).map(|number| format!("w{number}")).collect();
    names.iter().for_each(|name| old_file(sim, name));
    let contents: Vec<(Vec<u8>, Token)> =
        SIZES.iter().enumerate().map(|(n, size)| (bytes(n, *size), tokens.token())).collect();
    let sync = variant & 4 == 0;
    let mut engine = WriteMany::new(pump(sim, variant), contents, AT_FDCWD, HOW, sync);
    for (token, name) in names.iter().enumerate() {
        let path = CString::new(name.as_str()).expect("no zero byte");
        let data = &engine.memory()[token].0;
        let (addr, len) = (data.as_ptr(), data.len() as u64);
        // SAFETY: the contents are the engine's own (I2).
        unsafe { engine.push(Item { path, addr, len, token: token as u64 }) };
    }
    let mut done = Vec::new();
    for round in 0.. {
        assert!(round < 10_000, "it does not get on");
        if engine.pending() == 0 {
            break;
        }
        if let Err(error) = engine.run(0, NAP_NS, &mut done) {
            said.note(&error);
            break;
        }
    }
    said.errnos.extend(engine.sync_directories().into_iter().map(|(_, errno)| errno));
    close(&mut said, |nap| engine.give_up(nap));
    drop(engine);
    let mut results = [None; SIZES.len()];
    for done in done {
        assert!(results[done.token as usize].replace(done.result).is_none(), "told twice");
    }
    for (number, name) in names.iter().enumerate() {
        let there = sim.contents(name).expect("old or new, it is there");
        let new = bytes(number, SIZES[number]);
        match results[number] {
            Some(Ok(len)) => assert!(len == new.len() as u64 && there == new, "{name}"),
            Some(Err(errno)) => {
                said.errnos.push(errno);
                assert_eq!(there, OLD, "{name}: {errno}");
            }
            None => assert!(!said.nothing() && (there == OLD || there == new), "{name}"),
        }
    }
    said.leftover = temporary(sim, &names);
    said
}

pub fn save(sim: &SimKernel, tokens: &Tokens, variant: u32) -> Said {
    let mut said = Said::default();
    let name = "saved".to_string();
    old_file(sim, &name);
    let parts: Vec<(Vec<u8>, Token)> =
        (0..5).map(|n| (bytes(n, 3_000 * n + 17), tokens.token())).collect();
    let wanted: Vec<u8> = parts.iter().flat_map(|(part, _)| part.clone()).collect();
    let direct = [save::Direct::May, save::Direct::No][variant as usize >> 2 & 1];
    let size = Some(wanted.len() as u64);
    let plan = Plan { direct, sync: true, chunk: 4096, depth: 3, size, how: HOW };
    let path = CString::new(name.as_str()).expect("no zero byte");
    match Save::new(pump(sim, variant), parts, AT_FDCWD, &path, plan) {
        Ok(engine) => save_parts(engine, &mut said),
        Err(errno) => said.errnos.push(errno),
    }
    let there = sim.contents(&name).expect("old or new, it is there");
    let whole = said.nothing();
    assert!(there == wanted || !whole && there == OLD, "{} bytes", there.len());
    said.leftover = temporary(sim, &[name]);
    said
}

fn save_parts(mut engine: Save<SimKernel, Vec<(Vec<u8>, Token)>>, said: &mut Said) {
    for token in 0..5 {
        let data = &engine.memory()[token].0;
        let (addr, len) = (data.as_ptr(), data.len() as u64);
        // SAFETY: the memory is the engine's own (I2).
        unsafe { engine.push(addr, len, token as u64) };
    }
    let mut done = Vec::new();
    let mut ended = false;
    for round in 0.. {
        assert!(round < 10_000, "it does not get on");
        let step = if engine.is_busy() {
            engine.run(NAP_NS, &mut done).map(|worked| worked.map(|()| None))
        } else {
            engine.finish(NAP_NS)
        };
        match step {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(()))) => {
                ended = true;
                break;
            }
            Ok(Err(errno)) => {
                said.errnos.push(errno);
                break;
            }
            Err(error) => {
                said.note(&error);
                break;
            }
        }
    }
    if ended {
        let failed = engine.sync_directory();
        said.errnos.extend(failed.into_iter().map(|(_, errno)| errno));
    }
    close(said, |nap| engine.give_up(nap));
}

const RANGES: [(u32, i64, i64); 6] =
    [(0, 0, 512), (0, 512, 1024), (1, 100, 3_000), (1, 9_000, 1), (2, 4_096, 8_192), (2, 0, 10)];

pub fn write_ranges(sim: &SimKernel, tokens: &Tokens, variant: u32) -> Said {
    let mut said = Said::default();
    let names: Vec<String> = (0..3).map(|number| format!("r{number}")).collect();
    for name in &names {
        let fd = sim.file(name, &[b'-'; 10_000]).expect("room");
        sim.close_file(fd).expect("open");
    }
    let memory: Vec<Vec<u8>> =
        RANGES.iter().enumerate().map(|(n, (_, _, size))| bytes(n, *size as usize)).collect();
    let starts = memory.iter().map(|each| each.as_ptr() as u64).collect();
    let files = Column::Each(RANGES.iter().map(|(file, ..)| *file).collect());
    let offsets = Column::Each(RANGES.iter().map(|(_, offset, _)| *offset).collect());
    let sizes = Column::Each(RANGES.iter().map(|(_, _, size)| *size).collect());
    let rows = Rows::new(RANGES.len() as u32, files, offsets, sizes, Place::Each(starts));
    let rows = rows.expect("valid");
    let sources =
        names.iter().map(|name| Source::Path(CString::new(name.as_str()).expect("no zero byte")));
    let direct = if variant & 4 == 0 { Direct::Auto } else { Direct::Never };
    let settings = Settings { direct, depth: 3, way: ways(variant), stop: false };
    let held = tokens.token();
    // SAFETY: the memory outlives the job, which is closed below (I2).
    let mut job =
        unsafe { Writes::new(sim.clone(), sources.collect(), rows, held, settings, true) };
    let done = go(&mut job, &mut said);
    close(&mut said, |nap| job.pump().close(nap));
    let report = std::mem::take(job.report());
    said.errnos.extend(report.errors.iter().map(|(_, errno)| *errno));
    said.errnos.extend(report.unflushed.iter().map(|(_, errno)| *errno));
    drop(job);
    for (row, ((file, offset, size), memory)) in RANGES.iter().zip(&memory).enumerate() {
        let there = sim.contents(&names[*file as usize]).expect("it is there");
        let failed = report.errors.iter().any(|(failed, _)| *failed as usize == row);
        assert!(!done || failed || report.done[row] == *size, "range {row}");
        if done {
            let (from, to) = (*offset as usize, (*offset + report.done[row]) as usize);
            // The first error ends the job: what it says of the other ranges is of no account.
            assert!(
                !report.errors.is_empty() || there[from..to] == memory[..to - from],
                "range {row}: {report:?}"
            );
        }
    }
    if said.kept > 0 {
        std::mem::forget(memory);
    }
    said
}
