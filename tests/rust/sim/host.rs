//! The two kernels with the files the scripts need, and the runner that compares them.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use uring_rs::ring::kernel::{Kernel, Linux};
use uring_rs::ring::sim::{Options, SimKernel};
use uring_rs::sys::consts::*;
use uring_rs::sys::Errno;

use crate::mini::Mini;

/// A kernel and its files.
pub trait Host {
    fn kernel(&self) -> &dyn Kernel;
    fn pipe(&self) -> (i32, i32);
    fn pair(&self) -> (i32, i32);
    fn file(&self, contents: &[u8]) -> (i32, String);
    fn listener(&self) -> (i32, u16);
    fn connect(&self, port: u16) -> i32;
    fn write(&self, fd: i32, bytes: &[u8]);
    fn read_now(&self, fd: i32, len: usize) -> Vec<u8>;
    fn close(&self, fd: i32);
}

/// The simulation. Descriptors are closed with the kernel.
pub struct Simulated(pub SimKernel);

impl Host for Simulated {
    fn kernel(&self) -> &dyn Kernel {
        &self.0
    }
    fn pipe(&self) -> (i32, i32) {
        self.0.pipe().expect("pipe")
    }
    fn pair(&self) -> (i32, i32) {
        self.0.socketpair().expect("socketpair")
    }
    fn file(&self, contents: &[u8]) -> (i32, String) {
        let name = format!("/sim/{}", self.0.open_fds().len());
        (self.0.file(&name, contents).expect("file"), name)
    }
    fn listener(&self) -> (i32, u16) {
        (self.0.listener(7000).expect("listener"), 7000)
    }
    fn connect(&self, port: u16) -> i32 {
        let fd = self.0.socket().expect("socket");
        self.0.connect(fd, port).expect("connect");
        fd
    }
    fn write(&self, fd: i32, bytes: &[u8]) {
        self.0.feed(fd, bytes).expect("feed");
    }
    fn read_now(&self, fd: i32, _len: usize) -> Vec<u8> {
        self.0.drain(fd).expect("drain")
    }
    fn close(&self, fd: i32) {
        self.0.close_file(fd).expect("close");
    }
}

/// Linux. What a script does not close is closed at the end.
#[derive(Default)]
pub struct Real {
    open: RefCell<Vec<OwnedFd>>,
    names: RefCell<Vec<String>>,
}

impl Real {
    fn keep(&self, fd: impl Into<OwnedFd>) -> i32 {
        let fd = fd.into();
        let raw = fd.as_raw_fd();
        self.open.borrow_mut().push(fd);
        raw
    }

    fn with_file<T>(&self, fd: i32, f: impl FnOnce(&mut std::fs::File) -> T) -> T {
        // SAFETY: open, and given back before it would be closed (I10).
        let mut file = unsafe { std::fs::File::from_raw_fd(fd) };
        let result = f(&mut file);
        let _ = file.into_raw_fd();
        result
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        for name in self.names.borrow().iter() {
            let _ = std::fs::remove_file(name);
        }
    }
}

impl Host for Real {
    fn kernel(&self) -> &dyn Kernel {
        &Linux
    }
    // The tests may need a newer toolchain than the crate.
    #[allow(clippy::incompatible_msrv)]
    fn pipe(&self) -> (i32, i32) {
        let (reader, writer) = std::io::pipe().expect("pipe");
        (self.keep(reader), self.keep(writer))
    }
    fn pair(&self) -> (i32, i32) {
        let (a, b) = UnixStream::pair().expect("socketpair");
        (self.keep(a), self.keep(b))
    }
    fn file(&self, contents: &[u8]) -> (i32, String) {
        use std::sync::atomic::{AtomicU32, Ordering};
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir();
        let path = dir.join(format!("uring_rs-sim-{}-{serial}", std::process::id()));
        std::fs::write(&path, contents).expect("write");
        let options = std::fs::OpenOptions::new().read(true).write(true).open(&path);
        let name = path.to_str().expect("utf-8").to_string();
        self.names.borrow_mut().push(name.clone());
        (self.keep(options.expect("open")), name)
    }
    fn listener(&self) -> (i32, u16) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("address").port();
        (self.keep(listener), port)
    }
    fn connect(&self, port: u16) -> i32 {
        self.keep(std::net::TcpStream::connect(("127.0.0.1", port)).expect("connect"))
    }
    fn write(&self, fd: i32, bytes: &[u8]) {
        // What is to be read from one end goes in at the other: scripts name the reader.
        let writer = self.peer_of(fd);
        self.with_file(writer, |file| file.write_all(bytes)).expect("write");
    }
    fn read_now(&self, fd: i32, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let n = self.with_file(fd, |file| file.read(&mut bytes)).expect("read");
        bytes.truncate(n);
        bytes
    }
    fn close(&self, fd: i32) {
        self.open.borrow_mut().retain(|open| open.as_raw_fd() != fd);
    }
}

impl Real {
    /// Pipes and pairs are kept two by two: reader (or first), then writer (or second).
    fn peer_of(&self, fd: i32) -> i32 {
        let open = self.open.borrow();
        let at = open.iter().position(|open| open.as_raw_fd() == fd).expect("open");
        open[at + 1].as_raw_fd()
    }
}

/// What a script noted, line by line.
#[derive(Default, Debug, PartialEq, Eq)]
pub struct Notes(pub Vec<String>);

impl Notes {
    pub fn note(&mut self, line: impl Into<String>) {
        self.0.push(line.into());
    }

    /// Completions in the order in which they came.
    pub fn cqes(&mut self, what: &str, cqes: &[uring_rs::sys::abi::io_uring_cqe]) {
        for cqe in cqes {
            self.note(format!("{what}: {} -> {} flags {:#x}", cqe.user_data, cqe.res, cqe.flags));
        }
    }

    /// Completions whose order nobody promises.
    pub fn unordered(&mut self, what: &str, cqes: &[uring_rs::sys::abi::io_uring_cqe]) {
        let mut cqes = cqes.to_vec();
        cqes.sort_by_key(|cqe| (cqe.user_data, cqe.res));
        self.cqes(what, &cqes);
    }

    pub fn ret(&mut self, what: &str, ret: Result<u32, Errno>) {
        self.note(match ret {
            Ok(n) => format!("{what} = {n}"),
            Err(errno) => format!("{what} = {}", errno.name()),
        });
    }
}

pub const DEFERRED: u32 =
    IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;

/// The kinds of ring every script is run on.
pub const FLAVOURS: [u32; 4] = [
    IORING_SETUP_SUBMIT_ALL,
    0,
    DEFERRED | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_NO_SQARRAY,
    IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN,
];

/// Can the real kernel be compared with? Says what is missing if not.
pub fn real_kernel(flags: u32) -> bool {
    match Mini::new(&Linux, 8, flags) {
        Ok(_) => true,
        Err(errno) => {
            eprintln!("SKIPPED on the real kernel: io_uring_setup({flags:#x}): {errno:?}");
            false
        }
    }
}

pub type Script = fn(&mut Mini, &dyn Host, &mut Notes);

/// Run a script on one kernel.
pub fn run(host: &dyn Host, flags: u32, script: Script) -> Notes {
    let mut notes = Notes::default();
    let mut ring = Mini::new(host.kernel(), 32, flags).expect("setup");
    script(&mut ring, host, &mut notes);
    notes
}

/// Run a script on the simulation with some seeds and on Linux: all must note the same.
pub fn compare(script: Script) {
    for flags in FLAVOURS {
        let real = real_kernel(flags).then(|| run(&Real::default(), flags, script));
        for seed in 0..5 {
            let sim = SimKernel::new(Options::new(seed));
            let noted = run(&Simulated(sim.clone()), flags, script);
            assert!(!noted.0.is_empty(), "a script that notes nothing proves nothing");
            if let Some(real) = &real {
                assert_eq!(
                    noted.0, real.0,
                    "simulated (left, seed {seed}) and real (right), flags {flags:#x}"
                );
            }
            assert_eq!(sim.violations(), Vec::<String>::new());
            assert_eq!(sim.stats().stuck, 0, "a wait without an end");
            assert_eq!((sim.live_maps(), sim.in_flight()), (0, 0), "seed {seed}");
        }
    }
}
