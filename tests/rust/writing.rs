//! What is on the disk after a power cut: the order of writes, fsyncs and renames, on a simulated
//! kernel whose calls are recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use uring_rs::bulk::host::Host;
use uring_rs::bulk::new_file::How;
use uring_rs::bulk::pump::{Options, Pump, Way};
use uring_rs::bulk::save::{Direct, Plan, Save};
use uring_rs::bulk::store::Store;
use uring_rs::bulk::work::Work;
use uring_rs::bulk::write_many::{Done, Item, WriteMany};
use uring_rs::ring::sim::{self, FaultPlan, RequestAction, RequestFault, SimKernel};
use uring_rs::sys::direct::Alignment;
use uring_rs::sys::file::{Entry, Status};
use uring_rs::sys::os::AT_FDCWD;
use uring_rs::sys::Errno;

const NAP_NS: u64 = 50_000_000;

/// A step that matters to what a disk holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// A file was made, with this descriptor.
    Made(Vec<u8>, i32),
    Wrote(i32),
    /// A file, or the directory.
    Synced(i32),
    SyncFailed(i32),
    Renamed(Vec<u8>, Vec<u8>),
    Directory(i32),
}

/// A simulated kernel that remembers the order of things.
#[derive(Clone)]
struct Recorder {
    kernel: SimKernel,
    steps: Arc<Mutex<Vec<Step>>>,
    /// The fsync with this number fails.
    fails: Option<usize>,
    /// Fsyncs begun: several threads make them at the same time.
    begun: Arc<AtomicUsize>,
}

impl Recorder {
    fn new(fails: Option<usize>) -> Self {
        let kernel = SimKernel::new(sim::Options::new(1));
        Recorder { kernel, steps: Arc::default(), fails, begun: Arc::default() }
    }

    fn note(&self, step: Step) {
        self.steps.lock().expect("nobody panics with it").push(step);
    }

    fn steps(&self) -> Vec<Step> {
        self.steps.lock().expect("nobody panics with it").clone()
    }

    fn syncs(&self) -> usize {
        let syncs = |step: &&Step| matches!(step, Step::Synced(_) | Step::SyncFailed(_));
        self.steps().iter().filter(syncs).count()
    }
}

impl Host for Recorder {
    type Kernel = SimKernel;

    fn kernel(&self) -> SimKernel {
        self.kernel.clone()
    }

    unsafe fn carry_out(&self, work: &Work) -> i32 {
        if let Work::Fsync { fd, .. } = *work {
            if self.fails == Some(self.begun.fetch_add(1, Ordering::Relaxed)) {
                self.note(Step::SyncFailed(fd));
                return -Errno::EIO.0;
            }
        }
        // SAFETY: the caller's promise (I2).
        let result = unsafe { self.kernel.carry_out(work) };
        match *work {
            Work::Open { path, .. } if result >= 0 => {
                // SAFETY: the caller's promise: a live string (I2).
                let name = unsafe { CStr::from_ptr(path) }.to_bytes().to_vec();
                self.note(Step::Made(name, result));
            }
            Work::Write { fd, .. } if result > 0 => self.note(Step::Wrote(fd)),
            Work::Fsync { fd, .. } if result == 0 => self.note(Step::Synced(fd)),
            _ => {}
        }
        result
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
        self.kernel.status(fd)
    }
}

impl Store for Recorder {
    fn open_directory(&self, dir: i32, path: &CStr, to_sync: bool) -> Result<i32, Errno> {
        let opened = self.kernel.open_directory(dir, path, to_sync);
        opened.inspect(|&fd| self.note(Step::Directory(fd)))
    }

    fn entry(&self, dir: i32, name: &CStr) -> Result<Entry, Errno> {
        self.kernel.entry(dir, name)
    }

    fn rename(&self, dir: i32, from: &CStr, to: &CStr, over: bool) -> Result<(), Errno> {
        self.kernel.rename(dir, from, to, over)?;
        self.note(Step::Renamed(from.to_bytes().to_vec(), to.to_bytes().to_vec()));
        Ok(())
    }

    fn unlink(&self, dir: i32, name: &CStr) -> Result<(), Errno> {
        self.kernel.unlink(dir, name)
    }

    fn dress(&self, fd: i32, like: &Entry) -> Result<(), Errno> {
        self.kernel.dress(fd, like)
    }

    fn set_aside(&self, fd: i32, offset: u64, len: u64) -> Result<(), Errno> {
        self.kernel.set_aside(fd, offset, len)
    }

    fn truncate(&self, fd: i32, len: u64) -> Result<(), Errno> {
        self.kernel.truncate(fd, len)?;
        self.note(Step::Wrote(fd));
        Ok(())
    }

    fn start_writeback(&self, _fd: i32, _offset: u64, _len: u64) {}

    fn direct_needs(&self, fd: i32) -> Option<Alignment> {
        self.kernel.direct_needs(fd)
    }

    fn leave_direct(&self, fd: i32) -> Result<(), Errno> {
        self.kernel.leave_direct(fd)
    }
}

/// What a power cut after these steps may leave: the worst a file system may do. A name that was
/// not fsynced may be there or not; contents that were not fsynced are lost.
#[derive(Default)]
struct Disk {
    fds: BTreeMap<i32, Vec<u8>>,
    /// Temporary names whose file has contents that were not fsynced.
    dirty: BTreeSet<Vec<u8>>,
    /// Final names, with whether the file behind each is whole on the disk.
    whole: BTreeMap<Vec<u8>, bool>,
    names_lost: BTreeSet<Vec<u8>>,
    directories: BTreeSet<i32>,
}

impl Disk {
    fn after(steps: &[Step]) -> Self {
        let mut disk = Disk::default();
        for step in steps {
            match step.clone() {
                Step::Made(name, fd) => {
                    disk.directories.remove(&fd);
                    disk.dirty.insert(name.clone());
                    disk.fds.insert(fd, name);
                }
                Step::Wrote(fd) => {
                    disk.dirty.insert(disk.fds[&fd].clone());
                }
                Step::Directory(fd) => {
                    disk.directories.insert(fd);
                }
                Step::Synced(fd) if disk.directories.contains(&fd) => disk.names_lost.clear(),
                Step::Synced(fd) => {
                    disk.dirty.remove(&disk.fds[&fd]);
                }
                Step::SyncFailed(_) => {}
                Step::Renamed(from, to) => {
                    disk.whole.insert(to.clone(), !disk.dirty.contains(&from));
                    disk.names_lost.insert(to);
                }
            }
        }
        disk
    }
}

fn options(depth: u32) -> Options {
    // Threads: so that every fsync is a call that is recorded.
    Options { depth, way: Way::Threads, one_thread: true, try_now: false }
}

const HOW: How = How { mode: 0o666, over: true, flags: 0 };

fn write_files(host: &Recorder, depth: u32, sync: bool) -> Vec<Done> {
    let contents: Vec<Vec<u8>> = (0..9).map(|i| vec![i as u8; i * 100]).collect();
    let pump = Pump::new(host.clone(), options(depth));
    let mut engine = WriteMany::new(pump, contents, AT_FDCWD, HOW, sync);
    for token in 0..9 {
        // The last two have one name.
        let path = CString::new(format!("f{}", token.min(7))).expect("no zero byte");
        let data = &engine.memory()[token];
        let (addr, len) = (data.as_ptr(), data.len() as u64);
        // SAFETY: the contents are the engine's own (I2).
        unsafe { engine.push(Item { path, addr, len, token: token as u64 }) };
    }
    let mut done = Vec::new();
    while engine.pending() > 0 {
        engine.run(0, NAP_NS, &mut done).expect("threads work");
    }
    assert_eq!(engine.sync_directories(), []);
    assert!(engine.give_up(NAP_NS));
    done
}

#[test]
fn a_power_cut_at_any_step_leaves_whole_files() {
    for depth in [1, 3, 16] {
        let host = Recorder::new(None);
        assert!(write_files(&host, depth, true).iter().all(|done| done.result.is_ok()));
        let steps = host.steps();
        for cut in 0..=steps.len() {
            let disk = Disk::after(&steps[..cut]);
            assert!(disk.whole.values().all(|whole| *whole), "{:?}", &steps[..cut]);
        }
        let disk = Disk::after(&steps);
        assert_eq!(disk.whole.len(), 8);
        assert_eq!(disk.names_lost, BTreeSet::new());
        assert_eq!(host.kernel.contents("f7"), Some(vec![8; 800]));
        assert_eq!(host.kernel.names().len(), 8);
        assert_eq!(host.kernel.open_fds(), [] as [i32; 0]);
    }
}

#[test]
fn without_fsync_none_is_made() {
    let host = Recorder::new(None);
    assert!(write_files(&host, 16, false).iter().all(|done| done.result.is_ok()));
    assert_eq!(host.syncs(), 0);
    assert_eq!(host.kernel.names().len(), 8);
}

#[test]
fn a_file_whose_fsync_failed_never_gets_its_name() {
    for fails in 0..9 {
        let host = Recorder::new(Some(fails));
        let done = write_files(&host, 4, true);
        let failed: Vec<_> = done.iter().filter(|done| done.result.is_err()).collect();
        assert_eq!(failed.len(), 1);
        assert_eq!(failed[0].result, Err(Errno::EIO));
        // Never asked for a second time: the pages are clean now, and it would succeed.
        assert_eq!(host.syncs(), 10);
        let disk = Disk::after(&host.steps());
        assert!(disk.whole.values().all(|whole| *whole));
        assert!(host.kernel.names().iter().all(|name| name.len() == 2));
        assert_eq!(host.kernel.open_fds(), [] as [i32; 0]);
    }
}

fn save_file(host: &Recorder, direct: Direct) -> Result<(), Errno> {
    let memory: Vec<Vec<u8>> = (0..5).map(|i| vec![i as u8; 3000 * i]).collect();
    let pump = Pump::new(host.clone(), options(3));
    let size = Some(30_000);
    let plan = Plan { direct, sync: true, chunk: 4096, depth: 3, size, how: HOW };
    let mut engine = Save::new(pump, memory, AT_FDCWD, &CString::from(c"saved"), plan)?;
    for token in 0..5 {
        let data = &engine.memory()[token];
        let (addr, len) = (data.as_ptr(), data.len() as u64);
        // SAFETY: the memory is the engine's own (I2).
        unsafe { engine.push(addr, len, token as u64) };
    }
    let mut done = Vec::new();
    while engine.is_busy() {
        engine.run(NAP_NS, &mut done).expect("threads work")?;
    }
    while engine.finish(NAP_NS).expect("threads work")?.is_none() {}
    assert_eq!(engine.sync_directory(), []);
    Ok(())
}

#[test]
fn a_saved_file_survives_a_power_cut() {
    for direct in [Direct::Must, Direct::May, Direct::No] {
        let host = Recorder::new(None);
        assert_eq!(save_file(&host, direct), Ok(()));
        let steps = host.steps();
        for cut in 0..=steps.len() {
            let disk = Disk::after(&steps[..cut]);
            assert!(disk.whole.values().all(|whole| *whole), "{:?}", &steps[..cut]);
        }
        let disk = Disk::after(&steps);
        assert_eq!((disk.whole.len(), disk.names_lost.len()), (1, 0));
        let wanted: Vec<u8> = (0..5).flat_map(|i| vec![i as u8; 3000 * i]).collect();
        assert_eq!(host.kernel.contents("saved"), Some(wanted));
        assert_eq!(host.kernel.open_fds(), [] as [i32; 0]);
    }
}

#[test]
fn a_saved_file_whose_fsync_failed_is_not_there() {
    let host = Recorder::new(Some(0));
    assert_eq!(save_file(&host, Direct::May), Err(Errno::EIO));
    assert_eq!(host.kernel.names(), [] as [Vec<u8>; 0]);
    assert_eq!(host.kernel.open_fds(), [] as [i32; 0]);
}

/// The device takes its time when a job is given up: the names go at once, and the descriptors when
/// nothing is under way on them any more, not never.
#[test]
fn descriptors_of_what_is_given_up_are_closed_later() {
    const HOUR: u64 = 3_600_000_000_000;
    let late = |nth| RequestFault { nth, action: RequestAction::Late(HOUR) };
    let plan = FaultPlan { calls: Vec::new(), requests: (0..3).map(late).collect() };
    let options = Options { depth: 3, way: Way::Ring, one_thread: true, try_now: false };
    let kernel = SimKernel::new(sim::Options::new(1));
    kernel.plan(&plan);
    let contents = vec![vec![7; 100]; 3];
    let pump = Pump::new(kernel.clone(), options);
    let mut engine = WriteMany::new(pump, contents, AT_FDCWD, HOW, true);
    for token in 0..3 {
        let path = CString::new(format!("f{token}")).expect("no zero byte");
        let data = &engine.memory()[token];
        let (addr, len) = (data.as_ptr(), data.len() as u64);
        // SAFETY: the contents are the engine's own (I2).
        unsafe { engine.push(Item { path, addr, len, token: token as u64 }) };
    }
    engine.run(3, 1_000, &mut Vec::new()).expect("the ring works");
    assert!(!engine.give_up(1_000_000), "an hour in a millisecond");
    assert_eq!(kernel.names(), [] as [Vec<u8>; 0]);
    kernel.advance(HOUR);
    assert!(engine.give_up(1_000_000));
    drop(engine);
    assert_eq!(kernel.open_fds(), [] as [i32; 0]);
    assert_eq!(kernel.live_maps(), 0);

    let kernel = SimKernel::new(sim::Options::new(1));
    let pump = Pump::new(kernel.clone(), options);
    let direct = Direct::Must;
    let how = Plan { direct, sync: true, chunk: 4096, depth: 3, size: None, how: HOW };
    let memory = vec![1u8; 8192];
    let made = Save::new(pump, memory, AT_FDCWD, &CString::from(c"saved"), how);
    let mut engine = made.expect("there is room");
    kernel.plan(&plan);
    let (addr, len) = (engine.memory().as_ptr(), engine.memory().len() as u64);
    // SAFETY: the memory is the engine's own (I2).
    unsafe { engine.push(addr, len, 0) };
    assert_eq!(engine.run(1_000, &mut Vec::new()).expect("the ring works"), Ok(()));
    // What was begun may still wait for more to be sent with it: with the end of the data it is sent.
    assert_eq!(engine.finish(1_000).expect("the ring works"), Ok(None));
    assert!(kernel.in_flight() > 0);
    assert!(!engine.give_up(1_000_000), "an hour in a millisecond");
    assert_eq!(kernel.names(), [] as [Vec<u8>; 0]);
    kernel.advance(HOUR);
    assert!(engine.give_up(1_000_000));
    drop(engine);
    assert_eq!(kernel.open_fds(), [] as [i32; 0]);
}
