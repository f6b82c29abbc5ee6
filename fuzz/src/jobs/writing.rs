//! New files, many or one, and ranges of them.

use std::ffi::CString;
use std::sync::Arc;

use arbitrary::Arbitrary;

use uring_rs::bulk::new_file::How;
use uring_rs::bulk::pump::{Options, Pump};
use uring_rs::bulk::ranges::{Rows, Settings, Source, Transfer, Writes};
use uring_rs::bulk::save::{Direct, Plan, Save};
use uring_rs::bulk::write_many::{Done, Item, WriteMany};
use uring_rs::ops::batch::{Column, Place};
use uring_rs::ring::sim::SimKernel;
use uring_rs::sys::os::AT_FDCWD;
use uring_rs::sys::Errno;

use super::reading::{content, direct, finished, Shared};
use super::{close_pump, closes, left_clean, World, NAP_NS};

const HOW: How = How { mode: 0o666, over: true, flags: 0 };

fn pump(kernel: &SimKernel, world: &World) -> Pump<SimKernel> {
    let options =
        Options { depth: world.depth(), way: world.way(), one_thread: true, try_now: false };
    Pump::new(kernel.clone(), options)
}

/// What stands under other names than these is a file that was never finished.
fn no_others(kernel: &SimKernel, world: &World, wanted: &[String]) {
    if world.plain_calls_fail() {
        return;
    }
    for name in kernel.names() {
        let name = String::from_utf8(name).expect("ours");
        assert!(wanted.contains(&name), "{name} was left");
    }
}

// ---- many -----------------------------------------------------------------------------------

#[derive(Arbitrary, Debug)]
pub struct Files {
    sizes: Vec<u16>,
    large: bool,
    sync: bool,
    same: u8,
    /// Given up after so many rounds; 0 for never.
    rounds: u8,
    left: u8,
}

impl Files {
    fn contents(&self) -> Vec<Vec<u8>> {
        let sizes = self.sizes[..self.sizes.len().min(12)].iter();
        let mut contents: Vec<Vec<u8>> = sizes
            .enumerate()
            .map(|(number, size)| content(number, usize::from(*size) % 5000))
            .collect();
        if self.large {
            contents.push(content(77, (1 << 20) + 3));
        }
        contents
    }

    pub fn run(self, world: &World) {
        let kernel = world.kernel();
        let contents = self.contents();
        let last = contents.len().saturating_sub(usize::from(self.same % 3));
        let names: Vec<String> =
            (0..contents.len()).map(|number| format!("f{}", number.min(last))).collect();
        world.plan(&kernel, false);
        let pump = pump(&kernel, world);
        let mut engine = WriteMany::new(pump, contents.clone(), AT_FDCWD, HOW, self.sync);
        for (number, name) in names.iter().enumerate() {
            let path = CString::new(name.as_str()).expect("no zero byte");
            let data = &engine.memory()[number];
            let (addr, len) = (data.as_ptr(), data.len() as u64);
            // SAFETY: the contents are the engine's own (I2).
            unsafe { engine.push(Item { path, addr, len, token: number as u64 }) };
        }
        let mut done: Vec<Done> = Vec::new();
        let (mut round, mut failed) = (0, false);
        while engine.pending() > usize::from(self.left % 3) && !failed {
            round += 1;
            assert!(round < 20_000, "it does not get on");
            failed = engine.run(usize::from(self.left % 3), NAP_NS, &mut done).is_err();
            if self.rounds > 0 && round == usize::from(self.rounds) {
                break;
            }
        }
        closes(|| engine.give_up(NAP_NS));
        engine.sync_directories();
        drop(engine);
        let mut tokens: Vec<u64> = done.iter().map(|done| done.token).collect();
        tokens.sort_unstable();
        tokens.dedup();
        assert_eq!(tokens.len(), done.len(), "an item ended twice");
        if world.honest() {
            for Done { token, result } in &done {
                let number = *token as usize;
                assert!(result.is_ok() || !world.flawless());
                if result.is_ok()
                    && names.iter().filter(|name| **name == names[number]).count() == 1
                {
                    assert_eq!(kernel.contents(&names[number]).as_ref(), Some(&contents[number]));
                }
            }
        }
        no_others(&kernel, world, &names);
        left_clean(&kernel, &[]);
    }
}

// ---- one ------------------------------------------------------------------------------------

#[derive(Arbitrary, Debug)]
pub struct One {
    pieces: Vec<u16>,
    direct: u8,
    sync: bool,
    chunk: u16,
    /// Seldom unknown: then space is set aside in large steps.
    size: Option<u32>,
    unknown: u8,
    /// Given up after so many rounds; 0 for never.
    rounds: u8,
    shift: u8,
}

impl One {
    pub fn run(self, world: &World) {
        let kernel = world.kernel();
        let pieces = &self.pieces[..self.pieces.len().min(12)];
        let shift = usize::from(self.shift);
        let memory: Vec<Vec<u8>> = pieces
            .iter()
            .enumerate()
            .map(|(number, len)| content(number, shift + usize::from(*len) % 20_000))
            .collect();
        let wanted: Vec<u8> = memory.iter().flat_map(|piece| piece[shift..].to_vec()).collect();
        world.plan(&kernel, false);
        let plan = Plan {
            direct: [Direct::Must, Direct::May, Direct::No][usize::from(self.direct % 3)],
            sync: self.sync,
            chunk: u32::from(self.chunk) + 1,
            depth: world.depth(),
            size: self
                .size
                .map(|size| u64::from(size) % 300_000)
                .or((self.unknown > 8).then_some(wanted.len() as u64)),
            how: HOW,
        };
        let path = CString::from(c"saved");
        let made = Save::new(pump(&kernel, world), memory, AT_FDCWD, &path, plan);
        let Ok(mut engine) = made else {
            assert!(!world.flawless());
            return left_clean(&kernel, &[]);
        };
        let mut done = Vec::new();
        let finished = self.drive(&mut engine, shift, &mut done);
        closes(|| engine.give_up(NAP_NS));
        engine.sync_directory();
        drop(engine);
        let count = done.len();
        done.sort_unstable();
        done.dedup();
        assert_eq!(done.len(), count, "a piece was done twice");
        assert!(finished != Some(false) || !world.flawless());
        if finished == Some(true) && world.honest() {
            assert_eq!(kernel.contents("saved"), Some(wanted));
        }
        no_others(&kernel, world, &["saved".into()]);
        left_clean(&kernel, &[]);
    }

    /// True: it is under its name. False: something failed. None: given up.
    fn drive(
        &self,
        engine: &mut Save<SimKernel, Vec<Vec<u8>>>,
        shift: usize,
        done: &mut Vec<u64>,
    ) -> Option<bool> {
        for token in 0..engine.memory().len() {
            let data = &engine.memory()[token][shift..];
            let (addr, len) = (data.as_ptr(), data.len() as u64);
            // SAFETY: the memory is the engine's own (I2).
            unsafe { engine.push(addr, len, token as u64) };
        }
        for round in 0..20_000 {
            if self.rounds > 0 && round == usize::from(self.rounds) {
                return None;
            }
            if engine.is_busy() {
                match engine.run(NAP_NS, done) {
                    Ok(Ok(())) => {}
                    _ => return Some(false),
                }
                continue;
            }
            match engine.finish(NAP_NS) {
                Ok(Ok(None)) => {}
                Ok(Ok(Some(()))) => return Some(true),
                _ => return Some(false),
            }
        }
        panic!("it does not get on");
    }
}

// ---- ranges ---------------------------------------------------------------------------------

#[derive(Arbitrary, Debug)]
pub struct Ranges {
    /// File, gap before it, size.
    ranges: Vec<(u8, u16, u16)>,
    direct: u8,
    stop: bool,
    fsync: bool,
    shift: u8,
}

impl Ranges {
    pub fn run(self, world: &World) {
        const FILES: usize = 3;
        let kernel = world.kernel();
        let ranges = &self.ranges[..self.ranges.len().min(24)];
        world.plan(&kernel, false);
        let shift = usize::from(self.shift);
        let lengths: Vec<usize> =
            ranges.iter().map(|(_, _, len)| usize::from(*len) % 20_000).collect();
        let all = content(5, shift + lengths.iter().sum::<usize>());
        let memory = Shared::new(all.iter().copied());
        let (mut wanted, mut offsets, mut starts) =
            (vec![Vec::new(); FILES], Vec::new(), Vec::new());
        let mut at = shift;
        for ((file, gap, _), len) in ranges.iter().zip(&lengths) {
            let file: &mut Vec<u8> = &mut wanted[usize::from(*file) % FILES];
            file.resize(file.len() + usize::from(*gap) % 5000, 0);
            offsets.push(file.len() as i64);
            file.extend(&all[at..at + len]);
            starts.push(memory.addr() + at as u64);
            at += len;
        }
        let rows = Rows::new(
            ranges.len() as u32,
            Column::Each(ranges.iter().map(|(file, ..)| u32::from(*file) % 3).collect()),
            Column::Each(offsets.clone()),
            Column::Each(lengths.iter().map(|len| *len as i64).collect()),
            Place::Each(starts),
        )
        .expect("all of them fit");
        assert_eq!(rows.overlap(), None);
        let names: Vec<String> = (0..FILES).map(|number| format!("f{number}")).collect();
        let path = |name: &String| Source::Path(CString::new(name.as_str()).expect("no zero byte"));
        let settings = Settings {
            direct: direct(self.direct),
            depth: world.depth(),
            way: world.way(),
            stop: self.stop,
        };
        let held = Arc::clone(&memory);
        let sources = names.iter().map(path).collect();
        // SAFETY: the ranges are parts of what is held.
        let mut writes =
            unsafe { Writes::new(kernel.clone(), sources, rows, held, settings, self.fsync) };
        let whole = finished(&mut writes);
        close_pump(writes.pump());
        let report = std::mem::take(writes.report());
        drop(writes);
        let fine = report.errors.is_empty() && report.unflushed.is_empty();
        assert!((whole && fine) || !world.flawless() || self.direct % 3 == 1);
        // The first error ends it, and nothing is said of what was not begun.
        if whole && world.honest() && report.errors.is_empty() {
            for (row, (file, ..)) in ranges.iter().enumerate() {
                let done = report.done[row] as usize;
                assert_eq!(done, lengths[row], "range {row}");
                let from = offsets[row] as usize;
                let name = &names[usize::from(*file) % FILES];
                let there = kernel.contents(name).unwrap_or_default();
                let there = there.get(from..from + done).unwrap_or(&[]);
                assert_eq!(there, &wanted[usize::from(*file) % FILES][from..from + done]);
            }
        }
        assert!(report
            .errors
            .iter()
            .all(|(row, errno)| { (*row as usize) < ranges.len() && *errno != Errno(0) }));
        left_clean(&kernel, &[]);
    }
}
