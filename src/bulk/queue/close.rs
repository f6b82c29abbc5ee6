//! Closing: refuse, stop, drain, and only then let go (I12).

use std::sync::PoisonError;

use crate::bulk::queue::books::{Carrier, Core, Phase};
use crate::bulk::queue::host::QueueHost;
use crate::bulk::queue::table::{Files, Table};
use crate::bulk::queue::wait::Bed;
use crate::bulk::queue::{bell, lock, Bell, Queue, SHORT_NAP};
use crate::ring::teardown::Naps;
use crate::sys::sync::atomic::Ordering;
#[cfg(shuttle)]
use crate::sys::sync::broken::{self, Rule};
use crate::sys::sync::thread;
use crate::sys::syscall;

/// So often are sleepers called before closing goes on: those of a full machine take a while.
const POKES: u32 = 1_000;

impl<H: QueueHost, K> Queue<H, K> {
    /// Refuse new work and stop what there is. To be followed by [`Queue::close_step`].
    pub fn begin_close(&self) {
        if !self.same_process() {
            return;
        }
        let _turn = lock(&self.submit);
        let mut core = lock(&self.core);
        if core.phase != Phase::Open {
            return;
        }
        // What cannot be stopped now is asked again at each step.
        let _ = core.stop_all();
        core.phase = Phase::Closing;
        if let Some(Carrier::Ring(ring)) = &mut core.carrier {
            ring.begin_close();
        }
    }

    /// Wait at most so long for what is still under way. True when nothing is and the queue is
    /// closed (I12).
    pub fn close_step(&self, nap_ns: u64, naps: &mut Naps) -> bool {
        if !self.same_process() {
            return true;
        }
        self.send_sleepers_away();
        let _turn = lock(&self.submit);
        let bed = {
            let mut core = lock(&self.core);
            core.reap();
            if core.phase == Phase::Closed || self.finish(&mut core) {
                return true;
            }
            match &mut core.carrier {
                Some(Carrier::Ring(ring)) => match ring.plan_drain(naps) {
                    Ok(Some((plan, nap))) => Some((Bed::<H>::Ring(ring.kernel(), plan, 0), nap)),
                    Ok(None) => None,
                    Err(_) => {
                        drop(core);
                        thread::sleep(SHORT_NAP);
                        return false;
                    }
                },
                Some(Carrier::Threads(threads)) => Some((Bed::Threads(threads.news()), nap_ns)),
                None => None,
            }
        };
        match bed {
            Some((Bed::Ring(kernel, plan, _), nap)) => {
                let nap = nap.min(nap_ns);
                if plan.run(&kernel, Some(nap), 0).is_err() {
                    thread::sleep(SHORT_NAP);
                }
            }
            Some((Bed::Threads(news), nap)) => news.settle(nap.min(nap_ns)),
            _ => thread::sleep(SHORT_NAP),
        }
        let mut core = lock(&self.core);
        core.reap();
        self.finish(&mut core)
    }

    fn send_sleepers_away(&self) {
        for _ in 0..POKES {
            #[cfg(shuttle)]
            if broken::is(Rule::SleepersLeaveFirst) {
                return;
            }
            if self.sleepers.load(Ordering::Acquire) == 0 {
                return;
            }
            self.poke();
            thread::sleep(SHORT_NAP);
        }
    }

    /// Let go of everything, if nothing is under way.
    fn finish(&self, core: &mut Core<H, K>) -> bool {
        let asleep = self.sleepers.load(Ordering::Acquire) > 0;
        #[cfg(shuttle)]
        let asleep = asleep && !broken::is(Rule::SleepersLeaveFirst);
        if core.table.out > 0 || asleep {
            return false;
        }
        if let Some(Carrier::Ring(ring)) = &mut core.carrier {
            if !ring.finish_close() {
                return false;
            }
        }
        self.let_go(core);
        true
    }

    fn let_go(&self, core: &mut Core<H, K>) {
        core.phase = Phase::Closed;
        core.carrier = None;
        for fd in core.files.take_fds() {
            // SAFETY: the queue's own descriptors, which nothing uses (I10).
            unsafe { self.host.drop_fd(fd) };
        }
        match lock(&self.bell).take() {
            // SAFETY: the queue's own, gone from where others find it (I10).
            Some(Bell { fd, real: true }) => unsafe { bell::close(fd) },
            // SAFETY: as above.
            Some(Bell { fd, real: false }) => unsafe { self.host.drop_fd(fd) },
            None => {}
        }
    }

    /// What is under way will not end in time: keep its memory for ever (I2).
    pub fn give_up(&self) {
        if !self.same_process() {
            return;
        }
        let mut core = lock(&self.core);
        if core.phase != Phase::Closed {
            core.table.leak_out();
            // A ring with requests in flight leaks what they use when it is dropped.
            self.let_go(&mut core);
        }
    }
}

impl<H: QueueHost, K> Drop for Queue<H, K> {
    fn drop(&mut self) {
        if self.same_process() {
            self.begin_close();
            let (mut naps, began) = (Naps::default(), syscall::monotonic_ns());
            while !self.close_step(PATIENCE_NS / 10, &mut naps) {
                if syscall::monotonic_ns() - began > PATIENCE_NS {
                    return self.give_up();
                }
            }
            return;
        }
        // The parent's: touch nothing (I9). Nobody else is here, so no lock is needed.
        let core = self.core.get_mut().unwrap_or_else(PoisonError::into_inner);
        match core.carrier.take() {
            Some(Carrier::Ring(mut ring)) => {
                ring.abandon();
                core::mem::forget(ring);
            }
            Some(Carrier::Threads(mut threads)) => {
                threads.abandon();
                core::mem::forget(threads);
            }
            None => {}
        }
        let files = core::mem::replace(&mut core.files, Files::new(0));
        core::mem::forget(files);
        core::mem::forget(core::mem::replace(&mut core.table, Table::new(0)));
    }
}

/// How long a queue that is dropped waits for the system to let go of its memory. Whoever can wait
/// longer (and be interrupted) closes it before.
const PATIENCE_NS: u64 = 100_000_000;
