//! Whole files, ranges of them, and streams.

use std::cell::UnsafeCell;
use std::ffi::{c_char, CString};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use arbitrary::Arbitrary;

use uring_rs::bulk::host::Host;
use uring_rs::bulk::ranges::{Direct, Reads, Rows, Settings, Source, Step, Transfer};
use uring_rs::bulk::read_many::{Contents, Done, Failure, Limit, Options, Place, ReadMany, Ticket};
use uring_rs::bulk::stream::{Next, Settings as Stretch, Stream};
use uring_rs::bulk::work::Work;
use uring_rs::ops::batch::{Column, Place as Memory};
use uring_rs::ring::sim::SimKernel;
use uring_rs::sys::direct::Alignment;
use uring_rs::sys::file::Status;
use uring_rs::sys::os::AT_FDCWD;
use uring_rs::sys::syscall::monotonic_ns;
use uring_rs::sys::Errno;

use super::{close_pump, closes, left_clean, settled, World, NAP_NS};

/// Sizes around those at which engines do something else.
const SIZES: [usize; 8] = [0, 1, 511, 512, 4096, 16_383, 16_384, 16_385];

fn size(of: u16) -> usize {
    match of {
        0..=31 => SIZES[usize::from(of % 8)],
        32..=33 => (1 << 20) + usize::from(of),
        _ => usize::from(of) % 9000,
    }
}

/// Bytes that are no other file's, nor any others of the same one nearby.
pub fn content(number: usize, len: usize) -> Vec<u8> {
    let turn: Vec<u8> = (0..=250).map(|at| (at * 7 + number * 31 + 1) as u8).collect();
    turn.into_iter().cycle().take(len).collect()
}

/// Files by name, none of them open.
fn files(kernel: &SimKernel, sizes: &[u16]) -> (Vec<String>, Vec<Vec<u8>>) {
    let contents: Vec<Vec<u8>> =
        sizes.iter().enumerate().map(|(number, of)| content(number, size(*of))).collect();
    let name = |(number, content): (usize, &Vec<u8>)| {
        let name = format!("f{number}");
        let fd = kernel.file(&name, content).expect("room");
        kernel.close_file(fd).expect("open");
        name
    };
    (contents.iter().enumerate().map(name).collect(), contents)
}

/// The simulated kernel, with direct I/O if so wanted, and sizes that are not to be relied on.
#[derive(Clone)]
struct Odd {
    kernel: SimKernel,
    direct: bool,
    wrong: i8,
}

impl Host for Odd {
    type Kernel = SimKernel;

    fn kernel(&self) -> SimKernel {
        self.kernel.clone()
    }

    unsafe fn carry_out(&self, work: &Work) -> i32 {
        // SAFETY: the caller's promise (I2).
        unsafe { self.kernel.carry_out(work) }
    }

    unsafe fn try_now(&self, work: &Work) -> Option<i32> {
        // SAFETY: the caller's promise (I2).
        unsafe { self.kernel.try_now(work) }
    }

    unsafe fn drop_fd(&self, fd: i32) {
        // SAFETY: the caller's promise (I10).
        unsafe { self.kernel.drop_fd(fd) }
    }

    fn status(&self, fd: i32) -> Result<Status, Errno> {
        let status = self.kernel.status(fd)?;
        let size = status.size.saturating_add_signed(i64::from(self.wrong) * 100);
        Ok(Status { size, ..status })
    }

    fn direct_alignment(&self, _fd: i32) -> Option<Alignment> {
        self.direct.then_some(Alignment { memory: 512, offset: 512 })
    }

    fn reopen(&self, fd: i32, _flags: i32) -> Result<i32, Errno> {
        self.kernel.duplicate_file(fd)
    }
}

/// Memory that an engine writes to and the test reads afterwards.
pub struct Shared(Box<[UnsafeCell<u8>]>);

// SAFETY: read only when the engine is done with it.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub fn new(bytes: impl Iterator<Item = u8>) -> Arc<Self> {
        Arc::new(Shared(bytes.map(UnsafeCell::new).collect()))
    }

    pub fn addr(&self) -> u64 {
        self.0.as_ptr() as u64
    }

    fn get(&self, from: usize, len: usize) -> Vec<u8> {
        // SAFETY: the engine is done with it.
        self.0[from..from + len].iter().map(|cell| unsafe { *cell.get() }).collect()
    }
}

// ---- whole files ----------------------------------------------------------------------------

struct Named {
    number: usize,
    path: CString,
    room: Option<Box<[u8]>>,
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

/// A file by its number, and what came of it.
type Outcome = (usize, Result<Vec<u8>, Failure>);

#[derive(Arbitrary, Debug)]
pub struct Files {
    sizes: Vec<u16>,
    missing: bool,
    in_order: bool,
    /// Bytes at most; 0 for many.
    limit: u16,
    given: bool,
    batch: u8,
    /// Dropped after so many rounds.
    rounds: u8,
    wrong: i8,
    no_memory: u8,
}

impl Files {
    pub fn run(self, world: &World) {
        let kernel = world.kernel();
        let (mut names, contents) = files(&kernel, &self.sizes[..self.sizes.len().min(24)]);
        if self.missing {
            names.push("missing".into());
        }
        world.plan(&kernel, true);
        let odd = Odd { kernel: kernel.clone(), direct: false, wrong: self.wrong };
        let limit = match self.limit {
            0 => Limit { bytes: 64 << 20, hard: false },
            bytes => Limit { bytes: u64::from(bytes) * 8, hard: true },
        };
        let options = Options {
            in_flight: world.depth(),
            way: world.way(),
            in_order: self.in_order,
            limit,
            given: self.given,
            dir: AT_FDCWD,
        };
        let handed = Arc::new(AtomicU64::new(0));
        let mut engine = ReadMany::new(odd, options, Arc::clone(&handed));
        let results = self.results(&mut engine, &names, &handed);
        closes(|| engine.close(NAP_NS));
        drop(engine);
        for (number, result) in results.iter().flatten() {
            match (result, contents.get(*number)) {
                (Ok(bytes), Some(content)) if world.honest() && self.wrong == 0 => {
                    assert_eq!(bytes, content, "file {number}");
                }
                (Ok(_), Some(_)) => {}
                (Ok(_), None) => assert!(!world.honest(), "there is no such file"),
                (Err(Failure::Sys(errno)), Some(_)) if self.no_memory % 8 != 1 => {
                    assert!(!world.flawless() || self.wrong != 0, "{errno:?}");
                }
                (Err(_), _) => {}
            }
        }
        if !world.honest() {
            // Nobody can close a descriptor whose number was a lie.
            return settled(&kernel);
        }
        left_clean(&kernel, &[]);
    }

    /// All results, each file once; None if the ring failed or it was dropped before that.
    fn results(
        &self,
        engine: &mut ReadMany<Odd, Named>,
        names: &[String],
        handed: &AtomicU64,
    ) -> Option<Vec<Outcome>> {
        let mut tickets = names.iter().enumerate().map(|(number, name)| Named {
            number,
            path: CString::new(name.as_str()).expect("no zero byte"),
            room: self.given.then(|| vec![0; 5000].into_boxed_slice()),
        });
        let mut results = Vec::new();
        let batch = usize::from(self.batch % 16) + 1;
        let mut supplied = 0u8;
        for round in 0.. {
            if self.rounds > 0 && round == usize::from(self.rounds) {
                return None;
            }
            assert!(round < 20_000, "it does not get on");
            for _ in 0..engine.wants(batch) {
                match tickets.next() {
                    Some(ticket) => engine.push(ticket),
                    None => engine.finish(),
                }
            }
            engine.supply(|ticket, size| {
                supplied = supplied.wrapping_add(1);
                if self.no_memory % 8 == 1 && supplied % 3 == 0 {
                    return Err(Failure::NoMemory);
                }
                assert!(size < 64 << 20);
                ticket.room = Some(vec![0; size as usize].into_boxed_slice());
                Ok(())
            });
            engine.run(batch, NAP_NS).ok()?;
            while let Some(Done { ticket, result }) = engine.take() {
                let whole = result.map(|contents| match contents {
                    Contents::Own(own) => {
                        let bytes = own.clone();
                        engine.recycle(own);
                        bytes
                    }
                    Contents::Given(len) => ticket.room.expect("it was supplied")[..len].to_vec(),
                });
                handed.fetch_add(whole.as_ref().map_or(0, Vec::len) as u64, Ordering::Release);
                results.push((ticket.number, whole));
            }
            if engine.is_idle() && results.len() == names.len() {
                break;
            }
        }
        let mut numbers: Vec<usize> = results.iter().map(|(number, _)| *number).collect();
        if !self.in_order {
            numbers.sort_unstable();
        }
        assert_eq!(numbers, (0..names.len()).collect::<Vec<_>>());
        Some(results)
    }
}

// ---- ranges ---------------------------------------------------------------------------------

#[derive(Arbitrary, Debug)]
pub struct Ranges {
    sizes: Vec<u16>,
    /// File, offset, size.
    ranges: Vec<(u8, u16, u16)>,
    open: bool,
    direct: u8,
    stop: bool,
    alignment: bool,
    shift: u8,
    wrong: i8,
}

pub fn direct(which: u8) -> Direct {
    [Direct::Auto, Direct::Always, Direct::Never][usize::from(which % 3)]
}

/// Where files are, open or not; those that are open are the test's to close.
pub fn sources(kernel: &SimKernel, names: &[String], open: bool) -> (Vec<Source>, Vec<i32>) {
    if !open {
        let path = |name: &String| Source::Path(CString::new(name.as_str()).expect("no zero byte"));
        return (names.iter().map(path).collect(), Vec::new());
    }
    let fds: Vec<i32> = (0..names.len())
        .map(|number| {
            let content = kernel.contents(&names[number]).expect("it is there");
            kernel.file(&names[number], &content).expect("room")
        })
        .collect();
    (fds.iter().map(|fd| Source::Fd(*fd)).collect(), fds)
}

impl Ranges {
    pub fn run(self, world: &World) {
        let kernel = world.kernel();
        let (names, contents) = files(&kernel, &self.sizes[..self.sizes.len().min(6)]);
        let ranges = &self.ranges[..self.ranges.len().min(24)];
        if names.is_empty() || ranges.is_empty() {
            return;
        }
        let (sources, fds) = sources(&kernel, &names, self.open);
        world.plan(&kernel, false);
        let of = |file: u8| u32::from(file) % names.len() as u32;
        // Each has as much memory as it asks for, and the last ends where the memory does.
        let lengths: Vec<usize> = ranges.iter().map(|(_, _, len)| size(*len)).collect();
        let shift = usize::from(self.shift);
        let memory = Shared::new(std::iter::repeat_n(b'.', shift + lengths.iter().sum::<usize>()));
        let starts: Vec<usize> =
            lengths.iter().scan(shift, |at, len| Some(std::mem::replace(at, *at + len))).collect();
        let rows = Rows::new(
            ranges.len() as u32,
            Column::Each(ranges.iter().map(|(file, ..)| of(*file)).collect()),
            Column::Each(ranges.iter().map(|(_, offset, _)| i64::from(*offset)).collect()),
            Column::Each(lengths.iter().map(|len| *len as i64).collect()),
            Memory::Each(starts.iter().map(|at| memory.addr() + *at as u64).collect()),
        )
        .expect("all of them fit");
        let settings = Settings {
            direct: direct(self.direct),
            depth: world.depth(),
            way: world.way(),
            stop: self.stop,
        };
        let odd = Odd { kernel: kernel.clone(), direct: self.alignment, wrong: self.wrong };
        // SAFETY: the ranges are parts of what is held.
        let mut reads = unsafe { Reads::new(odd, sources, rows, Arc::clone(&memory), settings) };
        let whole = finished(&mut reads);
        close_pump(reads.pump());
        let report = std::mem::take(reads.report());
        drop(reads);
        if whole && world.honest() && (!self.stop || report.errors.is_empty()) {
            for (at, (file, offset, _)) in ranges.iter().enumerate() {
                let done = report.done[at] as usize;
                let failed = report.errors.iter().any(|(row, _)| *row as usize == at);
                let content = &contents[of(*file) as usize];
                let from = content.get(usize::from(*offset)..).unwrap_or(&[]);
                let there = from.len().min(lengths[at]);
                assert!(done <= there, "more than there is");
                assert_eq!(memory.get(starts[at], done), from[..done], "range {at}");
                assert!(
                    done == there || failed || self.wrong != 0,
                    "range {at}: {done} of {there}"
                );
                assert!(!failed || !world.flawless() || self.direct % 3 == 1);
            }
        }
        for fd in &fds {
            kernel.close_file(*fd).expect("still open");
        }
        left_clean(&kernel, &[]);
    }
}

/// Go on to the end; false if the ring failed.
pub fn finished<H: Host>(job: &mut impl Transfer<H>) -> bool {
    for _ in 0..20_000 {
        match job.go_on(monotonic_ns() + 50_000_000) {
            Step::Done => return true,
            Step::Look => {}
            Step::Failed(_) => return false,
        }
    }
    panic!("it does not get on");
}

// ---- streams --------------------------------------------------------------------------------

#[derive(Arbitrary, Debug)]
pub struct Chunks {
    size: u16,
    chunk: u16,
    depth: u8,
    direct: u8,
    alignment: bool,
    offset: u16,
    most: Option<u16>,
    /// Dropped after so many chunks; 0 for never.
    takes: u8,
    wrong: i8,
}

impl Chunks {
    pub fn run(self, world: &World) {
        let kernel = world.kernel();
        let (names, contents) = files(&kernel, &[self.size]);
        let path = CString::new(names[0].as_str()).expect("no zero byte");
        world.plan(&kernel, false);
        let settings = Stretch {
            chunk: u32::from(self.chunk) + 1,
            depth: u32::from(self.depth % 8) + 1,
            direct: direct(self.direct),
            way: world.way(),
            offset: self.offset.into(),
            size: self.most.map_or(u64::MAX, u64::from),
        };
        let odd = Odd { kernel: kernel.clone(), direct: self.alignment, wrong: self.wrong };
        let Ok(mut stream) = Stream::new(odd, Source::Path(path), settings) else {
            assert!(!world.flawless() || self.direct % 3 == 1);
            return left_clean(&kernel, &[]);
        };
        let (mut got, mut kept, mut whole) = (Vec::new(), Vec::new(), false);
        for round in 0.. {
            assert!(round < 20_000, "it does not get on");
            match stream.next_chunk() {
                Next::Chunk(chunk) => {
                    assert!(chunk.lead + chunk.len <= chunk.memory.size());
                    // SAFETY: within the chunk's own memory, which is ours now.
                    let byte = |at: usize| unsafe { chunk.memory.base().add(at).read() };
                    got.extend((chunk.lead..chunk.lead + chunk.len).map(byte));
                    kept.push(chunk);
                    kept.truncate(usize::from(self.takes % 5));
                    if self.takes > 0 && round >= usize::from(self.takes) {
                        break;
                    }
                }
                Next::End => {
                    whole = true;
                    break;
                }
                Next::Look => {}
                Next::Error(..) | Next::Failed(_) => {
                    assert!(!world.flawless());
                    break;
                }
            }
        }
        close_pump(stream.pump());
        drop((stream, kept));
        if world.honest() {
            let from = contents[0].get(usize::from(self.offset)..).unwrap_or(&[]);
            let most = self.most.map_or(from.len(), usize::from).min(from.len());
            assert!(got.len() <= most && got == from[..got.len()]);
            assert!(!whole || got.len() == most, "{} of {most}", got.len());
        }
        left_clean(&kernel, &[]);
    }
}
