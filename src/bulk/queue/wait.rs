//! Waiting: what has ended is handed out, and who lacks something sleeps.

use crate::sys::sync::atomic::Ordering;
#[cfg(shuttle)]
use crate::sys::sync::broken::{self, Rule};
use crate::sys::sync::thread;

use crate::bulk::queue::books::{Carrier, Phase};
use crate::bulk::queue::host::QueueHost;
use crate::bulk::queue::table::Done;
use crate::bulk::queue::threads::News;
use crate::bulk::queue::{bell, closed, lock, ring, Bell, Queue, QueueError, SHORT_NAP};
use crate::ring::error::{Call, RingError};
use crate::ring::wait::EnterPlan;
use crate::sys::Errno;

/// What a look at the queue found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// There was enough, and it was handed out.
    pub enough: bool,
    /// The queue was woken, and what there was has been handed out.
    pub woken: bool,
    /// Other waiters sleep over what was left: call [`Queue::poke`].
    pub poke: bool,
}

/// How a waiter sleeps, decided while the books were open.
pub(super) enum Bed<H: QueueHost> {
    Ring(H::Kernel, EnterPlan, u32),
    Threads(News<H>),
    /// There is something to see.
    None,
}

impl<H: QueueHost, K> Queue<H, K> {
    /// Hand out what has ended, up to `max`, if that is `min` at least, or the queue was woken, or
    /// there is no point in waiting any longer. Of a closed queue, what is left of it.
    pub fn collect(
        &self,
        min: usize,
        max: usize,
        last: bool,
        into: &mut Vec<Done<K>>,
    ) -> Result<Look, QueueError> {
        self.check_process()?;
        let mut core = lock(&self.core);
        let before = core.table.ready();
        let seen = core.reap();
        let open = core.phase == Phase::Open;
        let ready = core.table.ready();
        if !open {
            core.table.hand_out(max, into);
            let enough = !into.is_empty();
            return if enough { Ok(Look { enough, ..Look::default() }) } else { Err(closed()) };
        }
        let worth = self.rung.swap(false, Ordering::AcqRel) | seen;
        let woken = worth && self.take_bell();
        let enough = last || ready >= min;
        if woken || enough {
            core.table.hand_out(max, into);
        }
        let left = core.table.ready() > 0 && ready > before;
        let poke = left && self.sleepers.load(Ordering::Acquire) > 0;
        #[cfg(shuttle)]
        let poke = poke && !broken::is(Rule::OthersArePoked);
        Ok(Look { enough, woken, poke })
    }

    /// What was handed out could not be used: it is the next to be handed out.
    pub fn give_back(&self, done: Vec<Done<K>>) {
        if self.same_process() {
            lock(&self.core).table.give_back(done);
        }
    }

    fn take_bell(&self) -> bool {
        match *lock(&self.bell) {
            Some(Bell { fd, real: true }) => bell::take(fd),
            Some(Bell { fd, real: false }) => self.host.take_bell(fd),
            None => false,
        }
    }

    /// Wake whoever waits, or the next who does. As often as it is called before that, it is seen
    /// once.
    pub fn wake(&self) -> Result<(), QueueError> {
        self.check_process()?;
        // Held, so that the number cannot become another file's meanwhile.
        let held = lock(&self.bell);
        let rung = match *held {
            Some(Bell { fd, real: true }) => bell::ring(fd),
            Some(Bell { fd, real: false }) => self.host.ring_bell(fd),
            None => return Err(closed()),
        };
        self.rung.store(true, Ordering::Release);
        rung.map_err(|errno| RingError::Sys(Call::Enter, errno).into())
    }

    /// Sleep until something may have ended or the queue is woken; at most so long, if that is
    /// given. `min` is what the caller waits for in all, `lacking` what it lacks of that.
    pub fn sleep(&self, min: usize, nap_ns: Option<u64>) -> Result<(), QueueError> {
        self.check_process()?;
        match self.get_ready() {
            Ok(()) => {}
            Err(QueueError::Ring(error)) if error.passes() => {
                thread::sleep(SHORT_NAP);
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let bed = self.make_bed(min);
        let slept = match &bed {
            Bed::None => return Ok(()),
            Bed::Ring(kernel, plan, min_wait_us) => {
                plan.run(kernel, nap_ns, *min_wait_us).map(drop)
            }
            Bed::Threads(news) => {
                let bell = lock(&self.bell).map_or(-1, |bell| bell.fd);
                news.sleep(bell, nap_ns.unwrap_or(u64::MAX));
                Ok(())
            }
        };
        self.counts_sleeper(-1);
        match slept {
            Err(error) if !error.passes() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Before sleeping: the bell must be polled, and what was cut short be under way again.
    fn get_ready(&self) -> Result<(), QueueError> {
        let due = {
            let core = lock(&self.core);
            let bell = matches!(&core.carrier, Some(Carrier::Ring(ring)) if !ring.is_armed());
            #[cfg(shuttle)]
            let bell = bell && !broken::is(Rule::BellIsPolled);
            core.phase == Phase::Open && (bell || !core.table.again.is_empty())
        };
        if !due {
            return Ok(());
        }
        let _turn = lock(&self.submit);
        let staged = {
            let mut core = self.open()?;
            match &mut core.carrier {
                Some(Carrier::Ring(ring)) => ring.stage_bell()?.map(|plan| (ring.kernel(), plan)),
                _ => None,
            }
        };
        if let Some((kernel, plan)) = staged {
            let entered = ring::hand_over(&kernel, &plan);
            let back = self.settle();
            entered?;
            if back.is_some() {
                return Err(RingError::Sys(Call::Enter, Errno::EAGAIN).into());
            }
        }
        self.hand_over(false).map(drop)
    }

    fn make_bed(&self, min: usize) -> Bed<H> {
        let mut core = lock(&self.core);
        let core = &mut *core;
        let ready = core.table.ready();
        let seen = self.rung.load(Ordering::Acquire) || ready >= min;
        if core.phase != Phase::Open || seen {
            return Bed::None;
        }
        let bed = match &mut core.carrier {
            Some(Carrier::Ring(ring)) => {
                let alone = self.sleepers.load(Ordering::Acquire) == 0;
                let lacking = (min - ready).min(core.table.out as usize) as u32;
                match ring.plan_sleep() {
                    Some(plan) => {
                        let (plan, min_wait_us) = ring.patient(plan, lacking, alone);
                        Bed::Ring(ring.kernel(), plan, min_wait_us)
                    }
                    None => Bed::None,
                }
            }
            Some(Carrier::Threads(threads)) => Bed::Threads(threads.news()),
            None => Bed::None,
        };
        if !matches!(bed, Bed::None) {
            self.counts_sleeper(1);
        }
        bed
    }

    fn counts_sleeper(&self, by: i32) {
        #[cfg(shuttle)]
        if broken::is(Rule::SleepersAreCounted) {
            return;
        }
        self.sleepers.fetch_add(by as u32, Ordering::AcqRel);
    }
}
