//! The pump: works carried out at once, by a ring or by threads, with the same results and nothing
//! lost, on the running kernel and on a simulated one whose calls fail.

use std::ffi::CString;
use std::io::Write as _;

use uring_rs::bulk::host::Host;
use uring_rs::bulk::job::Job;
use uring_rs::bulk::pump::{Counts, Options, Pump, Way};
use uring_rs::bulk::work::{Ended, Work};
use uring_rs::ring::kernel::Linux;
use uring_rs::ring::sim::{
    self, Action, Call, Fault, FaultPlan, RequestAction, RequestFault, SimKernel,
};
use uring_rs::sys::os::{AT_FDCWD, O_RDONLY, O_RDWR};
use uring_rs::sys::Errno;

const NAP_NS: u64 = 20_000_000;

fn options(depth: u32, way: Way, try_now: bool) -> Options {
    Options { depth, way, one_thread: false, try_now }
}

struct Memory {
    paths: Vec<CString>,
    buffers: Vec<Vec<u8>>,
}

/// Open every file, read all of it in small pieces, close it: what each came to.
fn read_all<H: Host>(
    host: &H,
    paths: &[CString],
    piece: u32,
    options: Options,
) -> (Vec<Result<Vec<u8>, i32>>, Counts) {
    let buffers = paths.iter().map(|_| vec![0; piece as usize]).collect();
    let memory = Memory { paths: paths.to_vec(), buffers };
    let mut job = Job::new(Pump::new(host.clone(), options), memory);
    let mut fds = vec![-1; paths.len()];
    let mut found: Vec<Result<Vec<u8>, i32>> = paths.iter().map(|_| Ok(Vec::new())).collect();
    let mut next = 0;
    let mut ended: Vec<Ended> = Vec::new();
    let mut left = paths.len();
    while left > 0 {
        while next < paths.len() && job.has_room() {
            let (pump, memory) = job.parts();
            let path = memory.paths[next].as_ptr();
            let work = Work::Open { dir: AT_FDCWD, path, flags: O_RDONLY, mode: 0 };
            // SAFETY: the job keeps the path (I2).
            let done = unsafe { pump.start(work, next as u64) };
            ended.extend(done.map(|result| Ended { token: next as u64, result }));
            next += 1;
        }
        if ended.is_empty() {
            job.wait(1, NAP_NS, &mut ended).expect("the ring works");
        }
        for Ended { token, result } in std::mem::take(&mut ended) {
            let file = token as usize;
            let (pump, memory) = job.parts();
            let opening = fds[file] < 0;
            if opening && result >= 0 {
                fds[file] = result;
            } else if result > 0 {
                let got = &memory.buffers[file][..result as usize];
                found[file].as_mut().expect("not failed").extend(got);
            }
            if result < 0 || (result == 0 && !opening) {
                if result < 0 {
                    found[file] = Err(-result);
                }
                if fds[file] >= 0 {
                    // SAFETY: opened above, and nothing is under way on it (I10).
                    unsafe { host.drop_fd(fds[file]) };
                }
                left -= 1;
                continue;
            }
            let offset = found[file].as_ref().expect("not failed").len() as u64;
            let addr = memory.buffers[file].as_mut_ptr();
            let work = Work::Read { fd: fds[file], addr, len: piece, offset };
            // SAFETY: the job keeps the buffer (I2).
            let done = unsafe { pump.start(work, token) };
            ended.extend(done.map(|result| Ended { token, result }));
        }
    }
    assert_eq!(job.in_flight(), 0);
    assert!(job.close(NAP_NS));
    let counts = job.counts();
    (found, counts)
}

fn folder_of_files(count: usize) -> (std::path::PathBuf, Vec<CString>, Vec<Vec<u8>>) {
    let unique = format!("uring_rs-bulk-{}-{count}", std::process::id());
    let folder = std::env::temp_dir().join(unique);
    std::fs::create_dir_all(&folder).expect("a folder");
    let contents: Vec<Vec<u8>> =
        (0..count).map(|i| (0..i * 37).map(|b| (b * 7 + i) as u8).collect()).collect();
    let paths = contents.iter().enumerate().map(|(i, content)| {
        let path = folder.join(format!("{i}"));
        std::fs::File::create(&path).and_then(|mut f| f.write_all(content)).expect("a file");
        CString::new(path.into_os_string().into_encoded_bytes()).expect("no zero byte")
    });
    let paths = paths.collect();
    (folder, paths, contents)
}

#[test]
fn every_way_gives_the_same() {
    let (folder, mut paths, contents) = folder_of_files(60);
    paths.push(CString::new("/nonexistent/uring_rs").expect("no zero byte"));
    for (depth, way, try_now) in [
        (1, Way::Auto, true),
        (16, Way::Auto, true),
        (16, Way::Auto, false),
        (16, Way::Threads, true),
        (16, Way::Threads, false),
    ] {
        let (found, counts) = read_all(&Linux, &paths, 512, options(depth, way, try_now));
        for (got, wanted) in found.iter().zip(&contents) {
            assert_eq!(got.as_ref(), Ok(wanted));
        }
        assert_eq!(found[60], Err(Errno::ENOENT.0));
        match (depth, way, try_now) {
            (1, ..) => assert!(counts.plain > 60 && counts.ring + counts.threads == 0),
            (_, Way::Threads, false) => assert!(counts.threads > 60 && counts.ring == 0),
            (_, Way::Auto, false) => assert!(counts.ring + counts.threads > 60),
            // What was just written is cached, on every file system that can tell.
            _ => assert!(counts.at_once > 0, "{counts:?}"),
        }
    }
    std::fs::remove_dir_all(folder).expect("ours");
}

fn simulated(seed: u64, cold_percent: u8) -> (SimKernel, Vec<CString>, Vec<Vec<u8>>) {
    let kernel = SimKernel::new(sim::Options { cold_percent, ..sim::Options::new(seed) });
    let contents: Vec<Vec<u8>> = (0..12).map(|i| vec![i as u8; i * 50]).collect();
    let paths = contents.iter().enumerate().map(|(i, content)| {
        let fd = kernel.file(&format!("f{i}"), content).expect("room");
        kernel.close_file(fd).expect("open");
        CString::new(format!("f{i}")).expect("no zero byte")
    });
    let paths = paths.collect();
    (kernel, paths, contents)
}

fn left_clean(kernel: &SimKernel) {
    assert_eq!(kernel.in_flight(), 0);
    assert_eq!(kernel.open_fds(), [] as [i32; 0]);
    assert_eq!(kernel.live_maps(), 0);
    assert_eq!(kernel.violations(), [] as [String; 0]);
}

#[test]
fn shortages_and_signals_cost_nothing() {
    for nth in 0..12 {
        for action in [
            Action::Err(Errno::EAGAIN),
            Action::Err(Errno::ENOMEM),
            Action::Err(Errno::EBUSY),
            Action::Err(Errno::EINTR),
            Action::ShortSubmit(0),
            Action::ShortSubmit(1),
            Action::Interrupt,
            Action::WakeEarly,
        ] {
            let (kernel, paths, contents) = simulated(nth, 50);
            let calls = vec![Fault { call: Call::Enter, nth, action }];
            kernel.plan(&FaultPlan { calls, requests: vec![] });
            let (found, _) = read_all(&kernel, &paths, 64, options(4, Way::Auto, nth % 2 == 0));
            let whole: Vec<_> = contents.into_iter().map(Ok).collect();
            assert_eq!(found, whole, "{action:?} at {nth}");
            left_clean(&kernel);
        }
    }
}

#[test]
fn requests_that_were_cut_short_are_begun_anew() {
    for nth in 0..20 {
        for result in [-Errno::EINTR.0, -Errno::EAGAIN.0, -Errno::ECANCELED.0, 1, 7] {
            let (kernel, paths, contents) = simulated(nth, 100);
            let action = RequestAction::Result(result);
            // Of an opening it would be the descriptor.
            let nth = if result > 0 { nth + 12 } else { nth };
            let requests = vec![RequestFault { nth, action }];
            kernel.plan(&FaultPlan { calls: vec![], requests });
            let (found, _) = read_all(&kernel, &paths, 64, options(12, Way::Auto, false));
            let whole: Vec<_> = contents.into_iter().map(Ok).collect();
            assert_eq!(found, whole, "{result} at {nth}");
            left_clean(&kernel);
        }
    }
}

#[test]
fn an_error_is_of_its_file_alone() {
    for nth in 12..30 {
        let (kernel, paths, contents) = simulated(nth, 100);
        let action = RequestAction::Result(-Errno::EIO.0);
        kernel.plan(&FaultPlan { calls: vec![], requests: vec![RequestFault { nth, action }] });
        let (found, _) = read_all(&kernel, &paths, 64, options(12, Way::Auto, false));
        let failed = found.iter().filter(|each| **each == Err(Errno::EIO.0)).count();
        let whole = found.iter().zip(&contents).filter(|(got, wanted)| got.as_ref() == Ok(wanted));
        assert_eq!((failed, whole.count()), (1, 11));
        left_clean(&kernel);
    }
}

#[test]
fn where_rings_are_refused_threads_do_it() {
    let refusals = [Errno::EPERM, Errno::ENOSYS, Errno::EACCES, Errno::EOPNOTSUPP, Errno::EMFILE];
    for errno in refusals {
        let (kernel, paths, contents) = simulated(1, 100);
        let refuse = |nth| Fault { call: Call::Setup, nth, action: Action::Err(errno) };
        kernel.plan(&FaultPlan { calls: (0..30).map(refuse).collect(), requests: vec![] });
        let (found, counts) = read_all(&kernel, &paths, 64, options(4, Way::Auto, true));
        assert_eq!(found, contents.into_iter().map(Ok).collect::<Vec<_>>());
        assert!(counts.threads > 0 && counts.ring == 0, "{counts:?}");
        left_clean(&kernel);
    }
}

#[test]
fn dropped_in_the_middle_it_leaves_nothing_behind() {
    for way in [Way::Auto, Way::Threads] {
        for seed in 0..20 {
            let (kernel, paths, _) = simulated(seed, 100);
            let fd = kernel.file("big", &[1; 4096]).expect("room");
            let memory = Memory { paths, buffers: vec![vec![0; 4096]; 8] };
            let pump = Pump::new(kernel.clone(), options(16, way, false));
            let mut job = Job::new(pump, memory);
            let (pump, memory) = job.parts();
            for token in 0..8 {
                let path = memory.paths[token].as_ptr();
                let open = Work::Open { dir: AT_FDCWD, path, flags: O_RDWR, mode: 0 };
                let addr = memory.buffers[token].as_mut_ptr();
                let read = Work::Read { fd, addr, len: 4096, offset: 0 };
                // SAFETY: the job keeps paths and buffers (I2).
                unsafe {
                    assert_eq!(pump.start(open, 0), None);
                    assert_eq!(pump.start(read, 1), None);
                }
            }
            if seed % 2 == 0 {
                job.wait(0, 0, &mut Vec::new()).expect("the ring works");
                // What was handed out is the engine's to close.
            }
            drop(job);
            let opened = kernel.open_fds().len();
            assert!(opened <= 9, "{opened}");
            assert_eq!(kernel.in_flight(), 0);
            assert_eq!(kernel.live_maps(), 0);
        }
    }
}

#[test]
fn what_nobody_took_is_closed() {
    for way in [Way::Auto, Way::Threads] {
        let (kernel, paths, _) = simulated(3, 100);
        let pump = Pump::new(kernel.clone(), options(16, way, false));
        let mut job = Job::new(pump, Memory { paths, buffers: Vec::new() });
        let (pump, memory) = job.parts();
        for token in 0..8 {
            let path = memory.paths[token].as_ptr();
            let open = Work::Open { dir: AT_FDCWD, path, flags: O_RDONLY, mode: 0 };
            // SAFETY: the job keeps the paths (I2).
            assert_eq!(unsafe { pump.start(open, 0) }, None);
        }
        drop(job);
        left_clean(&kernel);
    }
}
