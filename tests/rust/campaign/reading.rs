//! Scenarios that read: whole files, ranges, a stream.

use std::ffi::{c_char, CString};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use uring_rs::bulk::pump::Way;
use uring_rs::bulk::ranges::{Direct, Reads, Rows, Settings, Source, Step, Transfer};
use uring_rs::bulk::read_many::{Contents, Done, Failure, Limit, Options, Place, ReadMany, Ticket};
use uring_rs::bulk::stream::{self, Chunk, Next, Stream};
use uring_rs::ops::batch::{self, Column};
use uring_rs::ring::sim::SimKernel;
use uring_rs::sys::os::AT_FDCWD;
use uring_rs::sys::Errno;

use crate::plan::Said;
use crate::tokens::{Token, Tokens};
use crate::{bytes, ways, NAP_NS};

/// A file by name, with memory of the test's.
struct Named {
    number: usize,
    path: CString,
    room: Option<Box<[u8]>>,
    _token: Token,
}

// SAFETY: both are on the heap, which moves with nothing, and are dropped with the ticket (I1).
unsafe impl Ticket for Named {
    fn path(&self) -> *const c_char {
        self.path.as_ptr()
    }

    fn place(&self) -> Option<Place> {
        let room = self.room.as_ref()?;
        Some(Place { addr: room.as_ptr().cast_mut(), len: room.len() })
    }
}

const SIZES: [usize; 6] = [0, 10, 300, 5_000, 70_000, 1];

fn name(number: usize) -> String {
    format!("f{number}")
}

/// Files of those sizes, closed again.
fn files(sim: &SimKernel) {
    for (number, size) in SIZES.into_iter().enumerate() {
        let fd = sim.file(&name(number), &bytes(number, size)).expect("room");
        sim.close_file(fd).expect("open");
    }
}

pub fn read_many(sim: &SimKernel, tokens: &Tokens, variant: u32) -> Said {
    let mut said = Said::default();
    files(sim);
    let way = ways(variant);
    let limit = Limit { bytes: if variant & 4 == 0 { 1 << 20 } else { 70_000 }, hard: true };
    let in_order = variant & 8 == 0;
    let options = Options { in_flight: 3, way, in_order, limit, given: false, dir: AT_FDCWD };
    let handed = Arc::new(AtomicU64::new(0));
    let mut engine = ReadMany::new(sim.clone(), options, Arc::clone(&handed));
    let mut next = 0;
    let mut came = [false; SIZES.len()];
    for round in 0.. {
        assert!(round < 10_000, "it does not get on");
        for _ in 0..engine.wants(4) {
            if next == SIZES.len() {
                engine.finish();
                continue;
            }
            let path = CString::new(name(next)).expect("no zero byte");
            engine.push(Named { number: next, path, room: None, _token: tokens.token() });
            next += 1;
        }
        engine.supply(|ticket, size| {
            ticket.room = Some(vec![0; size as usize].into_boxed_slice());
            Ok(())
        });
        if let Err(error) = engine.run(4, NAP_NS) {
            said.note(&error);
            break;
        }
        while let Some(Done { ticket, result }) = engine.take() {
            let number = ticket.number;
            assert!(!std::mem::replace(&mut came[number], true), "file {number} came twice");
            match result {
                Err(Failure::Sys(errno)) => said.errnos.push(errno),
                Err(failure) => panic!("{failure:?}"),
                Ok(contents) => {
                    let own = match contents {
                        Contents::Own(own) => own,
                        Contents::Given(len) => ticket.room.expect("supplied")[..len].to_vec(),
                    };
                    assert_eq!(own, bytes(number, SIZES[number]), "file {number}");
                    handed.fetch_add(own.len() as u64, Ordering::Release);
                }
            }
        }
        if engine.is_idle() && came.iter().all(|came| *came) {
            break;
        }
    }
    assert!(!said.nothing() || came.iter().all(|came| *came), "a file is missing");
    close(&mut said, |nap| engine.close(nap));
    said
}

/// Close what may be without its completion for good.
pub fn close(said: &mut Said, mut close: impl FnMut(u64) -> bool) {
    for _ in 0..3 {
        if close(NAP_NS) {
            return;
        }
    }
    said.kept = 1;
}

const RANGES: [(u32, i64, i64); 8] = [
    (3, 0, 1000),
    (3, 1000, 1000),
    (3, 3000, 2000),
    (4, 512, 1024),
    (4, 60_001, 777),
    (1, 5, 100),
    (2, 0, 300),
    (4, 0, 50_000),
];

pub fn read_ranges(sim: &SimKernel, tokens: &Tokens, variant: u32) -> Said {
    let mut said = Said::default();
    files(sim);
    let memory: Vec<Box<[u8]>> =
        RANGES.iter().map(|(_, _, size)| vec![0; *size as usize].into_boxed_slice()).collect();
    let starts = memory.iter().map(|each| each.as_ptr() as u64).collect();
    let column = |which: fn(&(u32, i64, i64)) -> i64| RANGES.iter().map(which).collect();
    let files = Column::Each(RANGES.iter().map(|(file, ..)| *file).collect());
    let offsets = Column::Each(column(|(_, offset, _)| *offset));
    let sizes = Column::Each(column(|(_, _, size)| *size));
    let count = RANGES.len() as u32;
    let rows = Rows::new(count, files, offsets, sizes, batch::Place::Each(starts)).expect("valid");
    let sources = (0..SIZES.len())
        .map(|number| Source::Path(CString::new(name(number)).expect("no zero byte")));
    let direct = if variant & 4 == 0 { Direct::Auto } else { Direct::Never };
    let settings = Settings { direct, depth: 3, way: ways(variant), stop: false };
    let held = (tokens.token(), ());
    // SAFETY: the memory outlives the job, which is closed below (I2).
    let mut job = unsafe { Reads::new(sim.clone(), sources.collect(), rows, held, settings) };
    let done = go(&mut job, &mut said);
    close(&mut said, |nap| job.pump().close(nap));
    let report = std::mem::take(job.report());
    said.errnos.extend(report.errors.iter().map(|(_, errno)| *errno));
    if said.kept > 0 {
        // The kernel may still write there.
        std::mem::forget(memory);
        return said;
    }
    for (row, ((file, offset, size), memory)) in RANGES.iter().zip(&memory).enumerate() {
        let whole = bytes(*file as usize, SIZES[*file as usize]);
        let there = (whole.len() as i64 - offset).clamp(0, *size);
        let failed = report.errors.iter().any(|(failed, _)| *failed as usize == row);
        let got = report.done[row];
        assert!(!done || failed || got == there, "range {row}: {got} of {there}");
        assert!(!done || failed || report.eof.contains(&(row as u32)) == (there < *size));
        if done {
            assert_eq!(memory[..got as usize], whole[*offset as usize..(offset + got) as usize]);
        }
    }
    said
}

/// To the end, if it comes to that.
pub fn go(job: &mut impl Transfer<SimKernel>, said: &mut Said) -> bool {
    for _ in 0..10_000 {
        match job.go_on(u64::MAX) {
            Step::Done => return true,
            Step::Look => {}
            Step::Failed(error) => {
                said.note(&error);
                return false;
            }
        }
    }
    panic!("it does not get on");
}

pub fn stream(sim: &SimKernel, _tokens: &Tokens, variant: u32) -> Said {
    let mut said = Said::default();
    files(sim);
    let direct = if variant & 4 == 0 { Direct::Auto } else { Direct::Never };
    let (chunk, depth, way, size) = (9_000, 3, ways(variant), 60_000);
    let settings = stream::Settings { chunk, depth, direct, way, offset: 500, size };
    let path = CString::new(name(4)).expect("no zero byte");
    let new = || Stream::new(sim.clone(), Source::Path(path.clone()), settings);
    // Python looks at signals in between.
    let made = new().or_else(|errno| if errno == Errno::EINTR { new() } else { Err(errno) });
    let mut stream = match made {
        Ok(stream) => stream,
        Err(errno) => {
            said.errnos.push(errno);
            return said;
        }
    };
    let mut found = Vec::new();
    let mut whole = false;
    for round in 0.. {
        assert!(round < 10_000, "it does not get on");
        match stream.next_chunk() {
            Next::Chunk(Chunk { memory, lead, len }) => {
                let base = memory.base().as_ptr();
                // SAFETY: the stream says that so much was read there (I2).
                let part = unsafe { std::slice::from_raw_parts(base.add(lead), len) };
                found.extend_from_slice(part);
            }
            Next::Look => {}
            Next::End => {
                whole = said.nothing();
                break;
            }
            Next::Error(offset, errno) => {
                assert_eq!(offset, 500 + found.len() as u64);
                said.errnos.push(errno);
                break;
            }
            Next::Failed(error) => {
                said.note(&error);
                break;
            }
        }
    }
    let wanted = &bytes(4, SIZES[4])[500..60_500];
    assert_eq!(found, wanted[..found.len()]);
    assert!(!whole || found.len() == wanted.len(), "{} bytes", found.len());
    close(&mut said, |nap| stream.pump().close(nap));
    said
}

/// The way that a variant goes.
pub const WAYS: [Way; 3] = [Way::Auto, Way::Ring, Way::Threads];
