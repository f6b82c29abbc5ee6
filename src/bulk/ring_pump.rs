//! A ring that carries out works.

use core::mem::MaybeUninit;
use std::time::Duration;

use crate::bulk::host::Host;
use crate::bulk::work::{Ended, Work};
use crate::ring::error::RingError;
use crate::ring::kernel::Kernel as _;
use crate::ring::params::Config;
use crate::ring::slots::Zeroed;
use crate::ring::teardown::{Naps, FAILURES};
use crate::ring::wait::Entered;
use crate::ring::{Event, Ring};
use crate::sys::Errno;

/// So often may the kernel be short of something, one enter after the other, before that is an
/// error: about a second.
const SHORTAGES: u32 = 200;
const SHORTAGE_NAP: Duration = Duration::from_millis(5);

/// So many are submitted together while more are being prepared: so that the disk begins with them,
/// instead of being idle until the last is prepared.
const TOGETHER: u32 = 16;

/// So often is a request begun anew that was cut short.
const ATTEMPTS: u8 = 8;

/// What a slot holds: the work, to begin it anew.
#[derive(Clone, Copy)]
struct Request {
    work: MaybeUninit<Work>,
    token: u64,
    attempts: u8,
}

// SAFETY: all zeroes are a request without a work, which is never read (I1).
unsafe impl Zeroed for Request {}

pub(super) struct RingPump<H: Host> {
    host: H,
    ring: Ring<H::Kernel, Request>,
    shortages: u32,
    /// Staged since the kernel was entered last.
    staged: u32,
    /// What could not be given to the ring ends here.
    aside: Vec<Ended>,
    pub(super) enters: u64,
}

impl<H: Host> RingPump<H> {
    /// A ring for `depth` works at a time. One that only one thread ever uses is faster.
    pub(super) fn new(host: H, depth: u32, one_thread: bool) -> Result<Self, RingError> {
        let mut config = Config::new(depth.next_power_of_two());
        config.shared = !one_thread;
        let mut ring = Ring::new(host.kernel(), &config)?;
        ring.enable()?;
        Ok(RingPump { host, ring, shortages: 0, staged: 0, aside: Vec::new(), enters: 0 })
    }

    /// Begin a work; what it points at must live until it has ended (I2).
    pub(super) fn start(&mut self, work: Work, token: u64) -> Result<(), RingError> {
        self.stage(Request { work: MaybeUninit::new(work), token, attempts: 0 }, work)
    }

    fn stage(&mut self, request: Request, work: Work) -> Result<(), RingError> {
        let index = match self.ring.reserve() {
            Ok((index, _)) => index,
            Err(RingError::InFlightFull { .. }) => {
                self.by_hand(&work, request.token);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        // SAFETY: a slot that is reserved is the caller's, and does not move (I1).
        unsafe { self.ring.payload(index).write(request) };
        let mut staged = self.ring.stage(index, work.entry());
        if matches!(staged, Err(RingError::SqFull)) {
            staged = match self.enter(0, 0) {
                Ok(()) => self.ring.stage(index, work.entry()),
                Err(error) => Err(error),
            };
        }
        match staged {
            Ok(_) => {
                self.staged += 1;
                if self.staged >= TOGETHER {
                    return self.enter(0, 0);
                }
                Ok(())
            }
            Err(RingError::SqFull) => {
                // The kernel takes nothing just now.
                self.ring.free(index);
                self.by_hand(&work, request.token);
                Ok(())
            }
            Err(error) => {
                self.ring.free(index);
                Err(error)
            }
        }
    }

    /// Do it by a plain call.
    fn by_hand(&mut self, work: &Work, token: u64) {
        // SAFETY: whoever began the work keeps what it points at until it has ended (I2).
        let result = unsafe { self.host.carry_out(work) };
        self.aside.push(Ended { token, result });
    }

    /// Submit, wait for `min` works to have ended, at most so long, and take all that have.
    pub(super) fn wait(
        &mut self,
        min: u32,
        nap_ns: u64,
        ended: &mut Vec<Ended>,
    ) -> Result<(), RingError> {
        let before = ended.len();
        self.reap(ended)?;
        let lacking = min.saturating_sub((ended.len() - before) as u32);
        self.enter(lacking, nap_ns)?;
        self.reap(ended)
    }

    fn enter(&mut self, min: u32, nap_ns: u64) -> Result<(), RingError> {
        let min = min.min(self.ring.live());
        self.staged = 0;
        let Some(plan) = self.ring.plan_submit(min)? else { return Ok(()) };
        self.enters += 1;
        let kernel = self.ring.kernel().clone();
        match plan.run(&kernel, Some(nap_ns), 0) {
            Ok(Entered::Took(0)) if plan.to_submit > 0 && min == 0 => self.shortage(None),
            Ok(_) => {
                self.shortages = 0;
                Ok(())
            }
            Err(error) if error.passes() => self.shortage(Some(error)),
            Err(error) => Err(error),
        }
    }

    /// The kernel is short of something: what is under way must end first.
    fn shortage(&mut self, error: Option<RingError>) -> Result<(), RingError> {
        self.shortages += 1;
        if self.shortages > SHORTAGES {
            return Err(error.unwrap_or(RingError::SqFull));
        }
        if self.shortages > 1 {
            std::thread::sleep(SHORTAGE_NAP);
        }
        Ok(())
    }

    fn reap(&mut self, ended: &mut Vec<Ended>) -> Result<(), RingError> {
        let mut again = Vec::new();
        while let Some(event) = self.ring.next_event() {
            if event.terminal {
                self.end(&event, ended, &mut again);
            }
        }
        self.ring.reaped();
        for request in again {
            // SAFETY: every request that is staged has a work (I1).
            let work = unsafe { request.work.assume_init() };
            if request.attempts < ATTEMPTS {
                self.stage(Request { attempts: request.attempts + 1, ..request }, work)?;
            } else {
                self.by_hand(&work, request.token);
            }
        }
        ended.append(&mut self.aside);
        Ok(())
    }

    /// A request has ended: so has its work, unless it was only cut short (a signal, a shortage, or
    /// the end of the thread that submitted it).
    fn end(&mut self, event: &Event, ended: &mut Vec<Ended>, again: &mut Vec<Request>) {
        // SAFETY: the slot of an event that was just taken is ours until it is freed (I1).
        let request = unsafe { self.ring.payload(event.index).read() };
        self.ring.free(event.index);
        // SAFETY: every request that is staged has a work (I1).
        let work = unsafe { request.work.assume_init() };
        let cut = [Errno::EINTR, Errno::EAGAIN, Errno::ECANCELED];
        if work.repeatable() && cut.iter().any(|errno| event.res == -errno.0) {
            again.push(request);
        } else {
            ended.push(Ended { token: request.token, result: work.told(event.res) });
        }
    }

    /// Cancel what can be cancelled, and wait at most so long for the rest. True when nothing is
    /// left. What was opened meanwhile is closed, and what was to be closed is (I10).
    pub(super) fn close(&mut self, nap_ns: u64) -> bool {
        let mut back = Vec::new();
        self.ring.begin_close(|index| back.push(index));
        for index in back {
            // SAFETY: taken back from the queue, and so ours until it is freed (I1).
            let request = unsafe { self.ring.payload(index).read() };
            self.ring.free(index);
            self.let_go(&request, None);
        }
        let deadline = self.ring.kernel().now_ns().saturating_add(nap_ns);
        let (mut naps, mut failures) = (Naps::default(), 0);
        loop {
            self.drop_ended();
            let now = self.ring.kernel().now_ns();
            if self.ring.live() == 0 || now >= deadline {
                break;
            }
            let nap = (deadline - now).min(naps.next(self.ring.live()));
            match self.drain_some(nap) {
                Ok(()) => {}
                // The kernel is short of something just now.
                Err(error) if error.passes() => {}
                Err(_) if failures < FAILURES => failures += 1,
                Err(_) => break,
            }
        }
        self.ring.finish_close()
    }

    fn drain_some(&mut self, nap_ns: u64) -> Result<(), RingError> {
        self.ring.cancel_in_flight()?;
        if let Some(plan) = self.ring.plan_drain() {
            let kernel = self.ring.kernel().clone();
            plan.run(&kernel, Some(nap_ns), 0)?;
        }
        Ok(())
    }

    fn drop_ended(&mut self) {
        while let Some(event) = self.ring.next_event() {
            if event.terminal {
                // SAFETY: as in `end` (I1).
                let request = unsafe { self.ring.payload(event.index).read() };
                self.ring.free(event.index);
                self.let_go(&request, Some(event.res));
            }
        }
        self.ring.reaped();
    }

    /// Close the descriptor that a request brought, or that it was to close and did not.
    fn let_go(&self, request: &Request, res: Option<i32>) {
        // SAFETY: every request that is staged has a work (I1).
        let work = unsafe { request.work.assume_init() };
        if let Some(fd) = work.left_open(res) {
            // SAFETY: nobody asks after it any more (I10).
            unsafe { self.host.drop_fd(fd) };
        }
    }

    pub(super) fn abandon(&mut self) {
        self.ring.abandon();
    }
}
