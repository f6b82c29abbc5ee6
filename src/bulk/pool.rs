//! Threads of a job's own, that make plain system calls: what is used where rings are refused.

use crate::bulk::crew::{Crew, Deed};
use crate::bulk::host::Host;
use crate::bulk::work::{Ended, Work};
use crate::sys::Errno;

/// So often is a work begun anew that was cut short.
const ATTEMPTS: u32 = 100;

/// Carrying out works.
struct CarryOut<H>(H);

impl<H: Host> Deed for CarryOut<H> {
    type Task = (Work, u64);
    type Ended = (Work, Ended);

    fn perform(&self, (work, token): (Work, u64)) -> (Work, Ended) {
        // SAFETY: whoever began the work keeps what it points at until it has ended (I2).
        let mut result = unsafe { self.0.carry_out(&work) };
        let mut attempts = 1;
        // There are no signals in these threads, but file systems of their own mind.
        while result == -Errno::EINTR.0 && work.repeatable() && attempts < ATTEMPTS {
            // SAFETY: as above.
            result = unsafe { self.0.carry_out(&work) };
            attempts += 1;
        }
        (work, Ended { token, result })
    }
}

pub(super) struct Pool<H: Host>(Crew<CarryOut<H>>);

impl<H: Host> Pool<H> {
    pub(super) fn new(host: H, most: usize) -> Self {
        Pool(Crew::new(CarryOut(host), most, "uring_rs-file"))
    }

    /// Begin a work; what it points at must live until it has ended (I2).
    pub(super) fn start(&mut self, work: Work, token: u64) {
        self.0.start((work, token));
    }

    /// Wait for `min` works to have ended, at most so long, and take all that have.
    pub(super) fn wait(&self, min: usize, nap_ns: u64, ended: &mut Vec<Ended>) {
        ended.extend(self.0.wait(min, nap_ns).into_iter().map(|(_, ended)| ended));
    }

    /// Take back what no thread has begun.
    pub(super) fn take_back(&self) -> Vec<Work> {
        self.0.take_back(|_| true).into_iter().map(|(work, _)| work).collect()
    }

    /// What has ended and nobody asks after.
    pub(super) fn take_done(&self) -> Vec<(Work, Ended)> {
        self.0.take_done()
    }

    /// Wait at most so long until no thread is at work. True when none is.
    pub(super) fn settle(&self, nap_ns: u64) -> bool {
        self.0.shared().settle(nap_ns)
    }

    /// In a forked child: forget everything, touch nothing (I9).
    pub(super) fn abandon(&mut self) {
        self.0.abandon();
    }
}
