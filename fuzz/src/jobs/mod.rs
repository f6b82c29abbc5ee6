//! Whole jobs: the engines of `bulk` on a simulated kernel whose calls and requests fail, come
//! short, come late, or come with results that cannot be. Whatever happens, each item ends once, what
//! is said to be whole is whole where the kernel does not lie, and nothing is left behind.

mod queue;
mod reading;
mod writing;

use arbitrary::Arbitrary;

use uring_rs::bulk::host::Host;
use uring_rs::bulk::pump::{Pump, Way};
use uring_rs::ring::sim::{
    self, Action, Call, Fault as CallFault, FaultPlan, RequestAction, RequestFault, SimKernel,
};
use uring_rs::sys::Errno;

const NAP_NS: u64 = 20_000_000;

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Fault {
    Enter(u8, u8),
    Taken(u8, u8),
    Woken(u8, bool),
    Register(u8, u8),
    Setup(u8),
    Map(u8),
    Plain(u8, u8),
    PlainShort(u8, u16),
    Ends(u8, u8),
    Short(u8, u16),
    Late(u8, u32),
    Twice(u8),
    MoreAfterEnd(u8),
    Stranger(u8, u64),
    Lie(u8, i32),
}

/// How the kernel is.
#[derive(Arbitrary, Clone, Debug)]
struct World {
    seed: u16,
    cold: u8,
    version: u8,
    fds: u8,
    way: u8,
    depth: u8,
    faults: Vec<Fault>,
}

const ENTER: [Errno; 4] = [Errno::EAGAIN, Errno::EBUSY, Errno::ENOMEM, Errno::EINTR];
const LASTING: [Errno; 3] = [Errno::EBADF, Errno::EINVAL, Errno::EIO];
const REFUSALS: [Errno; 4] = [Errno::EPERM, Errno::ENOSYS, Errno::EMFILE, Errno::EINVAL];
const PLAIN: [Errno; 6] =
    [Errno::EINTR, Errno::EAGAIN, Errno::EIO, Errno::EMFILE, Errno::ENOSPC, Errno::EINVAL];

fn pick<T: Copy>(from: &[T], which: u8) -> T {
    from[usize::from(which) % from.len()]
}

impl World {
    fn kernel(&self) -> SimKernel {
        let options = match self.version % 4 {
            0 => sim::Options::linux(5, 11, self.seed.into()),
            1 => sim::Options::linux(6, 1, self.seed.into()),
            _ => sim::Options::new(self.seed.into()),
        };
        SimKernel::new(sim::Options {
            cold_percent: self.cold % 101,
            max_fds: if self.fds < 16 { 30 + u32::from(self.fds) } else { 20_000 },
            worker_ns: 50_000,
            ..options
        })
    }

    /// What is to go wrong, counted from now. `opens`: the ring opens files, too.
    fn plan(&self, kernel: &SimKernel, opens: bool) {
        let mut plan = FaultPlan::default();
        for fault in self.faults.iter().take(12) {
            match *fault {
                Fault::Enter(nth, which) if which >= 250 => {
                    plan.calls.push(call(Call::Enter, nth, Action::Err(pick(&LASTING, which))));
                }
                Fault::Enter(nth, which) => {
                    plan.calls.push(call(Call::Enter, nth, Action::Err(pick(&ENTER, which))));
                }
                Fault::Taken(nth, most) => {
                    plan.calls.push(call(Call::Enter, nth, Action::ShortSubmit((most % 4).into())));
                }
                Fault::Woken(nth, early) => {
                    let action = if early { Action::WakeEarly } else { Action::Interrupt };
                    plan.calls.push(call(Call::Enter, nth, action));
                }
                Fault::Register(nth, which) => {
                    plan.calls.push(call(
                        Call::Register,
                        nth % 8,
                        Action::Err(pick(&ENTER, which)),
                    ));
                }
                Fault::Setup(which) => {
                    // All of them, or the next would do.
                    let refused = Action::Err(pick(&REFUSALS, which));
                    plan.calls.extend((0..8).map(|nth| call(Call::Setup, nth, refused)));
                }
                Fault::Map(nth) => {
                    plan.calls.push(call(Call::Map, nth % 4, Action::Err(Errno::EPERM)));
                }
                Fault::Plain(nth, which) => {
                    plan.calls.push(call(Call::Plain, nth, Action::Err(pick(&PLAIN, which))));
                }
                Fault::PlainShort(nth, most) => {
                    plan.calls.push(call(Call::Plain, nth, Action::ShortSubmit(most.into())));
                }
                Fault::Ends(nth, which) => {
                    let result = -pick(&PLAIN, which).0;
                    plan.requests.push(request(nth, RequestAction::Result(result)));
                }
                // Of what transfers nothing it would be the result: a descriptor, of an opening.
                Fault::Short(nth, most) if !opens => {
                    plan.requests.push(request(nth, RequestAction::Result(most.into())));
                }
                Fault::Short(..) => {}
                Fault::Late(nth, ns) => {
                    let late = RequestAction::Late((ns % 5_000_000).into());
                    plan.requests.push(request(nth, late));
                }
                Fault::Twice(nth) => plan.requests.push(request(nth, RequestAction::Twice)),
                Fault::MoreAfterEnd(nth) => {
                    plan.requests.push(request(nth, RequestAction::MoreAfterEnd));
                }
                Fault::Stranger(nth, key) => {
                    let key = (key | 1 << 63) & !0xff;
                    plan.requests.push(request(nth, RequestAction::Stranger(key)));
                }
                Fault::Lie(nth, result) => {
                    plan.requests.push(request(nth, RequestAction::Lie(result)));
                }
            }
        }
        kernel.plan(&plan);
    }

    /// Does no completion claim what was not done?
    fn honest(&self) -> bool {
        !self.faults.iter().take(12).any(|fault| matches!(fault, Fault::Lie(..)))
    }

    /// Does every call do what it says, or fail in a way that passes?
    fn flawless(&self) -> bool {
        self.faults.is_empty() && self.fds >= 16
    }

    /// May a name or a space stay that was to go?
    fn plain_calls_fail(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault, Fault::Plain(..))) || self.fds < 16
    }

    fn way(&self) -> Way {
        match self.way {
            0..=3 => Way::Threads,
            4..=63 => Way::Ring,
            _ => Way::Auto,
        }
    }

    fn depth(&self) -> u32 {
        u32::from(self.depth % 16) + 1
    }
}

fn call(call: Call, nth: u8, action: Action) -> CallFault {
    CallFault { call, nth: nth.into(), action }
}

fn request(nth: u8, action: RequestAction) -> RequestFault {
    RequestFault { nth: (nth % 64).into(), action }
}

/// It lets go of everything, however often that takes.
fn closes(mut once: impl FnMut() -> bool) {
    assert!((0..100).any(|_| once()), "it never lets go");
}

fn close_pump<H: Host>(pump: &mut Pump<H>) {
    closes(|| pump.close(NAP_NS));
}

/// Nothing is left that the kernel has ended.
fn settled(kernel: &SimKernel) {
    assert_eq!((kernel.in_flight(), kernel.live_maps()), (0, 0));
}

/// Nothing is left but what was there.
fn left_clean(kernel: &SimKernel, ours: &[i32]) {
    assert_eq!(kernel.in_flight(), 0);
    assert_eq!(kernel.open_fds(), ours);
    assert_eq!(kernel.live_maps(), 0);
    assert_eq!(kernel.violations(), [] as [String; 0]);
}

#[derive(Arbitrary, Debug)]
enum Job {
    ReadMany(reading::Files),
    ReadRanges(reading::Ranges),
    Stream(reading::Chunks),
    WriteMany(writing::Files),
    WriteRanges(writing::Ranges),
    Save(writing::One),
    Queue(queue::Script),
}

#[derive(Arbitrary, Debug)]
struct Input {
    job: Job,
    world: World,
}

pub fn run(data: &[u8]) {
    let Some(Input { job, world }) = super::parse(data) else { return };
    match job {
        Job::ReadMany(files) => files.run(&world),
        Job::ReadRanges(ranges) => ranges.run(&world),
        Job::Stream(chunks) => chunks.run(&world),
        Job::WriteMany(files) => files.run(&world),
        Job::WriteRanges(ranges) => ranges.run(&world),
        Job::Save(one) => one.run(&world),
        Job::Queue(script) => script.run(&world),
    }
}
