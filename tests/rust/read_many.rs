//! The engine of `read_many`: whole files or the reason, in the order asked for, within its bound, on
//! the running kernel and on a simulated one whose calls fail.

use std::collections::BTreeMap;
use std::ffi::{c_char, CString};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use proptest::prelude::*;

use uring_rs::bulk::host::Host;
use uring_rs::bulk::pump::Way;
use uring_rs::bulk::read_many::{
    Contents, Done, Failure, Limit, Options, Place, ReadMany, Ticket, SMALL,
};
use uring_rs::ring::kernel::Linux;
use uring_rs::ring::sim::{
    self, Action, Call, Fault, FaultPlan, RequestAction, RequestFault, SimKernel,
};
use uring_rs::sys::os::AT_FDCWD;
use uring_rs::sys::Errno;

const NAP_NS: u64 = 20_000_000;
const WHOLE: Limit = Limit { bytes: 64 << 20, hard: false };

/// A file by name, with memory of the test's.
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

fn named(number: usize, name: &str, room: Option<usize>) -> Named {
    let room = room.map(|len| vec![0; len].into_boxed_slice());
    Named { number, path: CString::new(name).expect("no zero byte"), room }
}

fn options(in_flight: u32, way: Way, in_order: bool, limit: Limit) -> Options {
    Options { in_flight, way, in_order, limit, given: false, dir: AT_FDCWD }
}

type Results = Vec<(usize, Result<Vec<u8>, Failure>)>;

/// Run it to its end: results in the order in which they came, and the most bytes held at once.
fn read_all<H: Host>(host: &H, names: &[String], options: Options) -> (Results, u64) {
    let handed = Arc::new(AtomicU64::new(0));
    let mut engine = ReadMany::new(host.clone(), options, Arc::clone(&handed));
    if options.way == Way::Ring {
        engine.pump().prepare().expect("a ring can be had");
    }
    let mut tickets = names.iter().enumerate().map(|(number, name)| named(number, name, None));
    let mut results = Vec::new();
    let mut rounds = 0;
    loop {
        for _ in 0..engine.wants(8) {
            match tickets.next() {
                Some(ticket) => engine.push(ticket),
                None => engine.finish(),
            }
        }
        engine.supply(|ticket, size| {
            assert!(size > SMALL as u64);
            ticket.room = Some(vec![0; size as usize].into_boxed_slice());
            Ok(())
        });
        engine.run(8, NAP_NS).expect("the ring works");
        while let Some(Done { ticket, result }) = engine.take() {
            let whole = result.map(|contents| match contents {
                Contents::Own(own) => {
                    let bytes = own.clone();
                    engine.recycle(own);
                    bytes
                }
                Contents::Given(len) => ticket.room.expect("it was supplied")[..len].to_vec(),
            });
            let held = whole.as_ref().map_or(0, Vec::len) as u64;
            results.push((ticket.number, whole));
            // Handed out one by one: the bound holds for what is not.
            handed.fetch_add(held, Ordering::Release);
        }
        if engine.is_idle() && results.len() == names.len() {
            break;
        }
        rounds += 1;
        assert!(rounds < 10_000, "it does not get on");
    }
    let (held, peak) = engine.held();
    assert_eq!(held, 0);
    assert!(engine.close(NAP_NS));
    (results, peak)
}

fn simulated(
    seed: u64,
    cold_percent: u8,
    sizes: &[usize],
) -> (SimKernel, Vec<String>, Vec<Vec<u8>>) {
    let kernel = SimKernel::new(sim::Options { cold_percent, ..sim::Options::new(seed) });
    let contents: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(i, n)| vec![i as u8; *n]).collect();
    let names = contents.iter().enumerate().map(|(i, content)| {
        let name = format!("f{i}");
        let fd = kernel.file(&name, content).expect("room");
        kernel.close_file(fd).expect("open");
        name
    });
    let names = names.collect();
    (kernel, names, contents)
}

fn left_clean(kernel: &SimKernel) {
    assert_eq!(kernel.in_flight(), 0);
    assert_eq!(kernel.open_fds(), [] as [i32; 0]);
    assert_eq!(kernel.live_maps(), 0);
    assert_eq!(kernel.violations(), [] as [String; 0]);
}

#[test]
fn real_files_by_every_way() {
    let folder = std::env::temp_dir().join(format!("uring_rs-read-many-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let sizes = [0, 1, 4096, SMALL - 1, SMALL, SMALL + 1, 100_000, (1 << 20) + 1, 5 << 20];
    let mut names = Vec::new();
    let mut wanted = Vec::new();
    for (number, size) in sizes.into_iter().enumerate() {
        let path = folder.join(number.to_string());
        let content: Vec<u8> = (0..size).map(|b| (b * 7 + number) as u8).collect();
        std::fs::write(&path, &content).expect("a file");
        names.push(path.into_os_string().into_string().expect("a name"));
        wanted.push(Ok(content));
    }
    for (name, errno) in [("/nonexistent/x", Errno::ENOENT), ("/", Errno::EISDIR)] {
        names.push(name.into());
        wanted.push(Err(Failure::Sys(errno)));
    }
    names.push("/dev/zero".into());
    wanted.push(Err(Failure::NotRegular));
    for way in [Way::Auto, Way::Threads] {
        for in_order in [false, true] {
            for in_flight in [1, 3, 64] {
                let options = options(in_flight, way, in_order, WHOLE);
                let (mut results, _) = read_all(&Linux, &names, options);
                if !in_order {
                    results.sort_by_key(|(number, _)| *number);
                }
                let results: Vec<_> = results.into_iter().map(|(_, result)| result).collect();
                assert_eq!(results, wanted);
            }
        }
    }
    std::fs::remove_dir_all(folder).expect("ours");
}

#[test]
fn a_file_that_has_no_size_is_read_to_its_end() {
    let names = ["/proc/self/maps".to_string(), "/proc/version".to_string()];
    let (results, _) = read_all(&Linux, &names, options(4, Way::Auto, true, WHOLE));
    let version = std::fs::read("/proc/version").expect("there is one");
    assert_eq!(results[1].1.as_ref(), Ok(&version));
    assert!(results[0].1.as_ref().is_ok_and(|maps| maps.ends_with(b"\n")));
    let small = Limit { bytes: version.len() as u64 - 1, hard: true };
    let (results, peak) = read_all(&Linux, &names[1..], options(4, Way::Auto, true, small));
    assert_eq!(results[0].1, Err(Failure::TooBig));
    assert!(peak <= small.bytes);
    let just = Limit { bytes: version.len() as u64, hard: true };
    let (results, _) = read_all(&Linux, &names[1..], options(4, Way::Auto, true, just));
    assert_eq!(results[0].1, Ok(version));
}

#[test]
fn where_nothing_holds_a_descriptor_that_there_is_none_is_an_error() {
    let (kernel, names, _) = simulated(1, 0, &[10, 10, 10]);
    let none = |nth| Fault { call: Call::Plain, nth, action: Action::Err(Errno::EMFILE) };
    kernel.plan(&FaultPlan { calls: (0..100).map(none).collect(), requests: vec![] });
    let (results, _) = read_all(&kernel, &names, options(8, Way::Auto, true, WHOLE));
    assert_eq!(results.len(), 3);
    assert!(results.iter().all(|(_, result)| *result == Err(Failure::Sys(Errno::EMFILE))));
    left_clean(&kernel);
}

#[test]
fn descriptors_held_by_files_that_wait_for_others_are_given_up() {
    // Room for the ring and three files; in input order, and with memory for one at a time.
    for way in [Way::Ring, Way::Threads] {
        let max_fds = if way == Way::Ring { 4 } else { 3 };
        let options_of_kernel = sim::Options { cold_percent: 100, max_fds, ..sim::Options::new(5) };
        let kernel = SimKernel::new(options_of_kernel);
        let names: Vec<String> = (0..20).map(|i| format!("f{i}")).collect();
        for name in &names {
            let fd = kernel.file(name, &[7; 1000]).expect("room");
            kernel.close_file(fd).expect("open");
        }
        let limit = Limit { bytes: 1000, hard: true };
        let (results, peak) = read_all(&kernel, &names, options(8, way, true, limit));
        assert!(results.iter().all(|(_, result)| *result == Ok(vec![7; 1000])));
        assert_eq!(
            results.iter().map(|(n, _)| *n).collect::<Vec<_>>(),
            (0..20).collect::<Vec<_>>()
        );
        assert!(peak <= 1000);
        left_clean(&kernel);
    }
}

#[test]
fn dropped_in_the_middle_it_leaves_nothing_behind() {
    for way in [Way::Auto, Way::Threads] {
        for seed in 0..20 {
            let (kernel, names, _) = simulated(seed, 100, &[10, 50_000, 3 << 20, 0, 5000]);
            let handed = Arc::new(AtomicU64::new(0));
            let options = options(4, way, seed % 2 == 0, WHOLE);
            let mut engine = ReadMany::new(kernel.clone(), options, handed);
            for (number, name) in names.iter().enumerate() {
                engine.push(named(number, name, None));
            }
            for _ in 0..seed % 4 {
                engine.supply(|ticket, size| {
                    ticket.room = Some(vec![0; size as usize].into_boxed_slice());
                    Ok(())
                });
                engine.run(1, 0).expect("the ring works");
            }
            drop(engine);
            left_clean(&kernel);
        }
    }
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    let size = prop_oneof![
        3 => 0usize..300,
        1 => Just(SMALL - 1),
        1 => Just(SMALL),
        1 => Just(SMALL + 1),
        1 => Just((1 << 20) + 7),
    ];
    prop::collection::vec(size, 0..20)
}

fn requests() -> impl Strategy<Value = Vec<RequestFault>> {
    let result = prop_oneof![
        (1..5000i32),
        Just(-Errno::EINTR.0),
        Just(-Errno::EAGAIN.0),
        Just(-Errno::EIO.0),
    ];
    let fault = (0u64..40, result)
        .prop_map(|(nth, n)| RequestFault { nth, action: RequestAction::Result(n) });
    prop::collection::vec(fault, 0..6)
}

fn calls() -> impl Strategy<Value = Vec<Fault>> {
    let action = prop_oneof![
        Just(Action::Err(Errno::EINTR)),
        Just(Action::Err(Errno::EAGAIN)),
        (1..300u32).prop_map(Action::ShortSubmit),
    ];
    let call = prop_oneof![Just(Call::Plain), Just(Call::Enter)];
    let fault =
        (call, 0u64..40, action).prop_map(|(call, nth, action)| Fault { call, nth, action });
    prop::collection::vec(fault, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn every_file_is_whole_or_says_why_not(
        sizes in sizes(),
        requests in requests(),
        calls in calls(),
        cold in prop_oneof![Just(0u8), Just(50), Just(100)],
        in_flight in prop_oneof![Just(1u32), Just(2), Just(8)],
        in_order: bool,
        bound in prop_oneof![Just(None), (1u64..100_000).prop_map(Some)],
        threads: bool,
        seed in 0u64..1000,
    ) {
        let way = if threads { Way::Threads } else { Way::Auto };
        let (kernel, names, contents) = simulated(seed, cold, &sizes);
        let errors = requests.iter().map(|fault| (fault.nth, fault.action));
        let errors: BTreeMap<_, _> = errors.collect();
        let eio = RequestAction::Result(-Errno::EIO.0);
        let mut most = errors.values().filter(|action| **action == eio).count();
        kernel.plan(&FaultPlan { calls, requests });
        let limit = bound.map_or(WHOLE, |bytes| Limit { bytes, hard: true });
        let (results, peak) = read_all(&kernel, &names, options(in_flight, way, in_order, limit));
        let mut numbers: Vec<usize> = results.iter().map(|(number, _)| *number).collect();
        if !in_order {
            numbers.sort_unstable();
        }
        prop_assert_eq!(numbers, (0..names.len()).collect::<Vec<_>>());
        for (number, result) in &results {
            match result {
                Ok(bytes) => prop_assert_eq!(bytes, &contents[*number]),
                Err(Failure::TooBig) => prop_assert!(contents[*number].len() as u64 > limit.bytes),
                Err(Failure::Sys(Errno::EIO)) => {
                    prop_assert!(most > 0);
                    most -= 1;
                }
                Err(failure) => prop_assert!(false, "{:?}", failure),
            }
        }
        if limit.hard {
            prop_assert!(peak <= limit.bytes);
        }
        left_clean(&kernel);
    }
}
