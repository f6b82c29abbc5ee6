//! The books of a queue: its requests, its files, and what carries them out.

use crate::bulk::queue::host::QueueHost;
use crate::bulk::queue::op::Target;
use crate::bulk::queue::ring::RingCarrier;
use crate::bulk::queue::table::{Files, State, Table};
use crate::bulk::queue::threads::{Task, ThreadCarrier};
use crate::bulk::queue::QueueError;
use crate::sys::Errno;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    Closing,
    Closed,
}

pub(super) enum Carrier<H: QueueHost> {
    Ring(Box<RingCarrier<H>>),
    Threads(ThreadCarrier<H>),
}

pub(super) struct Core<H: QueueHost, K> {
    pub(super) phase: Phase,
    pub(super) table: Table<K>,
    pub(super) files: Files,
    /// None once the queue is closed.
    pub(super) carrier: Option<Carrier<H>>,
}

/// Have threads do all that is to be done.
pub(super) fn start_all<H: QueueHost, K>(
    threads: &mut ThreadCarrier<H>,
    table: &mut Table<K>,
    files: &Files,
    fresh: bool,
) -> u32 {
    let mut taken = 0;
    while let Some(index) = table.next_to_go(fresh) {
        let Some(entry) = table.entry(index) else { continue };
        let Target::Fd(fd) = files.target(entry.file) else { continue };
        taken += u32::from(entry.state == State::Prepared);
        let task = Task { index, fd, op: entry.op, offset: entry.offset };
        table.gone(index, 0);
        threads.start(task);
    }
    taken
}

impl<H: QueueHost, K> Core<H, K> {
    /// Take in what has ended. True if the bell is worth reading.
    pub(super) fn reap(&mut self) -> bool {
        let open = self.phase == Phase::Open;
        match &mut self.carrier {
            Some(Carrier::Ring(ring)) => {
                ring.reap(&mut self.table, &mut self.files, open);
                core::mem::take(&mut ring.bell_seen)
            }
            Some(Carrier::Threads(threads)) => {
                for (index, result) in threads.take_done() {
                    self.end(index, result, open);
                }
                true
            }
            None => false,
        }
    }

    fn end(&mut self, index: u32, result: i32, open: bool) {
        if self.table.ended(index, result, open) {
            self.leave(index);
        }
    }

    fn leave(&mut self, index: u32) {
        if let Some(file) = self.table.entry(index).map(|entry| entry.file) {
            self.files.leave(file);
        }
    }

    /// With the submission lock: stop one request.
    pub(super) fn stop(&mut self, index: u32) -> Result<bool, QueueError> {
        let Some(entry) = self.table.entry(index) else { return Ok(false) };
        entry.asked = true;
        let key = entry.key;
        match entry.state {
            State::Prepared | State::Again => {
                self.table.take_back(index);
                self.leave(index);
                Ok(true)
            }
            State::Out => match &mut self.carrier {
                Some(Carrier::Ring(ring)) => Ok(ring.cancel(key)?),
                Some(Carrier::Threads(threads)) => {
                    let back = threads.take_back(index);
                    if back {
                        self.end(index, -Errno::ECANCELED.0, false);
                    }
                    Ok(back)
                }
                None => Ok(false),
            },
            State::Free | State::Done => Ok(false),
        }
    }

    /// With the submission lock: stop every request.
    pub(super) fn stop_all(&mut self) -> Result<u32, QueueError> {
        let all = self.table.all(|state| !matches!(state, State::Free | State::Done));
        let mut out = false;
        for &index in &all {
            let state = self.table.entry(index).map(|entry| (entry.state, entry.asked = true).0);
            let on_ring = matches!(self.carrier, Some(Carrier::Ring(_)));
            if state == Some(State::Out) && on_ring {
                out = true;
            } else {
                self.stop(index)?;
            }
        }
        if let (Some(Carrier::Ring(ring)), true) = (&mut self.carrier, out) {
            ring.cancel_all()?;
        }
        Ok(all.len() as u32)
    }
}
