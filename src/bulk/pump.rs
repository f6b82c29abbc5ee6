//! Carries out an engine's works, many at a time, in the way that is fastest here.
//!
//! What need not wait is done at once by a plain system call: for cached data nothing is faster. What
//! would wait goes to a ring, which is made when the first such work comes along; where rings are
//! refused, to threads. A job of depth 1 makes plain calls only. [`Counts`] says what was done how.

use crate::bulk::host::Host;
use crate::bulk::pool::Pool;
use crate::bulk::ring_pump::RingPump;
use crate::bulk::work::{Ended, Work};
use crate::ring::error::RingError;
use crate::ring::fork;
use crate::sys::Errno;

/// Which ways are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A ring, and where that is refused threads.
    Auto,
    /// A ring, or the job fails.
    Ring,
    /// Threads: somebody asked not to use io_uring.
    Threads,
}

/// What a pump is asked to be.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Works under way at a time.
    pub depth: u32,
    /// Which ways are open.
    pub way: Way,
    /// All calls come from one thread, which makes a ring faster.
    pub one_thread: bool,
    /// Try at once what may not have to wait. Off for direct I/O, which always waits.
    pub try_now: bool,
}

/// How works were carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// At once, by a system call that did not wait.
    pub at_once: u64,
    /// By a plain system call that may have waited.
    pub plain: u64,
    /// By a ring.
    pub ring: u64,
    /// By threads.
    pub threads: u64,
    /// Calls of io_uring_enter(2).
    pub enters: u64,
}

/// After so many tries in a row that found nothing cached, most are left out for a while: each is a
/// wasted system call.
const MISSES: u32 = 8;
/// So many are left out before the next try; doubled up to [`LEFT_OUT_MOST`] while all fail.
const LEFT_OUT: u32 = 8;
const LEFT_OUT_MOST: u32 = 64;

/// Decides whether it is worth trying at once.
#[derive(Clone, Copy, Debug, Default)]
struct Luck {
    misses: u32,
    /// Works that are not tried before the next one that is.
    out: u32,
    next_out: u32,
}

impl Luck {
    fn worth_trying(&mut self) -> bool {
        if self.out > 0 {
            self.out -= 1;
        }
        self.out == 0
    }

    fn hit(&mut self) {
        *self = Luck::default();
    }

    fn missed(&mut self) {
        self.misses += 1;
        if self.misses >= MISSES {
            self.next_out = (self.next_out * 2).clamp(LEFT_OUT, LEFT_OUT_MOST);
            self.out = self.next_out;
        }
    }
}

enum Carrier<H: Host> {
    /// Nothing had to wait so far.
    Unmade,
    Ring(Box<RingPump<H>>),
    Threads(Pool<H>),
}

/// See the [module](self).
pub struct Pump<H: Host> {
    host: H,
    options: Options,
    carrier: Carrier<H>,
    opens: Luck,
    reads: Luck,
    /// Begun, not yet handed out.
    in_flight: u32,
    counts: Counts,
    /// Why there is no ring.
    refusal: Option<RingError>,
    /// What went wrong with the ring, to be told by the next wait.
    broken: Option<RingError>,
    generation: u32,
    closed: bool,
}

impl<H: Host> Pump<H> {
    /// Nothing is made yet.
    pub fn new(host: H, options: Options) -> Self {
        fork::watch();
        Pump {
            host,
            options,
            carrier: Carrier::Unmade,
            opens: Luck::default(),
            reads: Luck::default(),
            in_flight: 0,
            counts: Counts::default(),
            refusal: None,
            broken: None,
            generation: fork::generation(),
            closed: false,
        }
    }

    /// The system that the files are on.
    pub fn host(&self) -> &H {
        &self.host
    }

    /// Works begun and not yet handed out by [`Pump::wait`].
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// May another work be begun?
    pub fn has_room(&self) -> bool {
        self.in_flight < self.options.depth
    }

    /// How works were carried out.
    pub fn counts(&self) -> Counts {
        let mut counts = self.counts;
        if let Carrier::Ring(ring) = &self.carrier {
            counts.enters += ring.enters;
        }
        counts
    }

    /// Why a ring is not used, if one was wanted and refused.
    pub fn refusal(&self) -> Option<&RingError> {
        self.refusal.as_ref()
    }

    /// The same process as made it? In a forked child nothing of it can be used.
    pub fn same_process(&self) -> bool {
        self.generation == fork::generation()
    }

    /// Begin a work. Some: it is done already, with that result. None: it has ended when
    /// [`Pump::wait`] hands out its token.
    ///
    /// # Safety
    /// What the work points at must be what it says, and stay so until the work has ended or
    /// [`Pump::close`] has returned true (I2).
    #[inline]
    pub unsafe fn start(&mut self, work: Work, token: u64) -> Option<i32> {
        // SAFETY: the caller's promise (I2).
        let done = unsafe { self.attempt(&work) };
        if done.is_none() {
            // SAFETY: the same.
            unsafe { self.begin(work, token) };
        }
        done
    }

    /// The first half of [`Pump::start`]: what it comes to if that needs no waiting.
    ///
    /// # Safety
    /// What the work points at must be what it says.
    #[inline]
    pub unsafe fn attempt(&mut self, work: &Work) -> Option<i32> {
        if !self.same_process() || self.closed {
            return Some(-Errno::ECANCELED.0);
        }
        // SAFETY: the caller's promise (I2).
        unsafe { self.without_waiting(work) }
    }

    /// The second half: have it done. To be called after an attempt that gave None.
    ///
    /// # Safety
    /// As for [`Pump::start`].
    pub unsafe fn begin(&mut self, work: Work, token: u64) {
        self.in_flight += 1;
        if let Err(error) = self.give(work, token) {
            self.broken.get_or_insert(error);
        }
    }

    /// Make now what carries out works that have to wait: an error if a ring is insisted on and
    /// refused.
    pub fn prepare(&mut self) -> Result<(), RingError> {
        if matches!(self.carrier, Carrier::Unmade) {
            self.carrier = self.make_carrier()?;
        }
        Ok(())
    }

    /// Make the ring now, if nothing else will do: else a job that never has to wait would not
    /// notice that rings are refused.
    pub fn insist(&mut self) -> Result<(), RingError> {
        if self.options.way == Way::Ring && matches!(self.carrier, Carrier::Unmade) {
            self.carrier = self.make_carrier()?;
        }
        Ok(())
    }

    /// Do it now if that needs no waiting, whatever the options say.
    ///
    /// # Safety
    /// As for [`Host::try_now`].
    #[inline]
    pub unsafe fn try_now(&mut self, work: &Work) -> Option<i32> {
        // SAFETY: the caller's promise (I2).
        let done = unsafe { self.host.try_now(work) };
        self.counts.at_once += u64::from(done.is_some());
        done
    }

    /// Do it now by a plain system call, however long that takes.
    ///
    /// # Safety
    /// As for [`Host::carry_out`].
    #[inline]
    pub unsafe fn carry_out(&mut self, work: &Work) -> i32 {
        self.counts.plain += 1;
        // SAFETY: the caller's promise (I2).
        unsafe { self.host.carry_out(work) }
    }

    /// # Safety
    /// As for [`Host::carry_out`].
    unsafe fn without_waiting(&mut self, work: &Work) -> Option<i32> {
        if self.options.depth <= 1 && self.options.way != Way::Ring {
            // SAFETY: the caller's promise (I2).
            return Some(unsafe { self.carry_out(work) });
        }
        let luck = match work {
            Work::Open { .. } => &mut self.opens,
            Work::Read { .. } => &mut self.reads,
            _ => return None,
        };
        if !self.options.try_now || !luck.worth_trying() {
            return None;
        }
        // SAFETY: the caller's promise (I2).
        let done = unsafe { self.host.try_now(work) };
        match done {
            Some(_) => {
                luck.hit();
                self.counts.at_once += 1;
            }
            None => luck.missed(),
        }
        done
    }

    fn give(&mut self, work: Work, token: u64) -> Result<(), RingError> {
        self.prepare()?;
        match &mut self.carrier {
            Carrier::Ring(ring) => {
                self.counts.ring += 1;
                ring.start(work, token)
            }
            Carrier::Threads(pool) => {
                self.counts.threads += 1;
                pool.start(work, token);
                Ok(())
            }
            Carrier::Unmade => Ok(()),
        }
    }

    fn make_carrier(&mut self) -> Result<Carrier<H>, RingError> {
        let Options { depth, way, one_thread, .. } = self.options;
        if way != Way::Threads {
            match RingPump::new(self.host.clone(), depth, one_thread) {
                Ok(ring) => return Ok(Carrier::Ring(Box::new(ring))),
                Err(error) if way == Way::Ring => return Err(error),
                // Whatever the reason: threads can do it.
                Err(error) => self.refusal = Some(error),
            }
        }
        Ok(Carrier::Threads(Pool::new(self.host.clone(), depth as usize)))
    }

    /// Wait for `min` works to have ended (or for all there are), at most so long, and take all
    /// that have. It may come back early with fewer: a signal, the time.
    pub fn wait(&mut self, min: u32, nap_ns: u64, ended: &mut Vec<Ended>) -> Result<(), RingError> {
        if !self.same_process() {
            return Err(RingError::Forked);
        }
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        let before = ended.len();
        let min = min.min(self.in_flight);
        let waited = match &mut self.carrier {
            Carrier::Unmade => Ok(()),
            Carrier::Ring(ring) => ring.wait(min, nap_ns, ended),
            Carrier::Threads(pool) => {
                pool.wait(min as usize, nap_ns, ended);
                Ok(())
            }
        };
        self.in_flight -= (ended.len() - before) as u32;
        waited
    }

    /// End everything: take back what was not begun, cancel what can be cancelled, and wait at most
    /// so long for the rest. True when the system has let go of all memory; false: call it again,
    /// or leak what the works point at (I2, I12). Results that were not taken are dropped, with
    /// their descriptors closed (I10).
    pub fn close(&mut self, nap_ns: u64) -> bool {
        self.closed = true;
        if !self.same_process() {
            self.abandon();
            return false;
        }
        let settled = match &mut self.carrier {
            Carrier::Unmade => true,
            Carrier::Ring(ring) => ring.close(nap_ns),
            Carrier::Threads(pool) => Self::close_pool(&self.host, pool, nap_ns),
        };
        if settled {
            self.counts = self.counts();
            self.carrier = Carrier::Unmade;
            self.in_flight = 0;
        }
        settled
    }

    fn close_pool(host: &H, pool: &Pool<H>, nap_ns: u64) -> bool {
        for work in pool.take_back() {
            Self::let_go(host, &work, None);
        }
        let settled = pool.settle(nap_ns);
        for (work, ended) in pool.take_done() {
            Self::let_go(host, &work, Some(ended.result));
        }
        settled
    }

    fn let_go(host: &H, work: &Work, result: Option<i32>) {
        if let Some(fd) = work.left_open(result) {
            // SAFETY: nobody asks after it any more (I10).
            unsafe { host.drop_fd(fd) };
        }
    }

    /// In a forked child: forget everything, touch nothing (I9).
    fn abandon(&mut self) {
        match &mut self.carrier {
            Carrier::Ring(ring) => ring.abandon(),
            Carrier::Threads(pool) => pool.abandon(),
            Carrier::Unmade => {}
        }
        self.carrier = Carrier::Unmade;
    }
}
