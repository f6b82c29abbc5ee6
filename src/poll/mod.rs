//! Readiness of many descriptors, level-triggered, by poll requests on a ring.
//!
//! Each registered descriptor has one one-shot poll request in flight while nothing is known of it.
//! The request's end tells which descriptor to look at; what is *reported* is what is true at that
//! moment: a request that was armed by the same call of `select` has just looked, and of any other
//! poll(2) is asked, since its news may be old (the data was read in the meantime) and tell only
//! part (wake-ups name some events, not all). A reported descriptor is armed anew by the next call.
//! One found ready again and again is not armed at all, but asked about with poll(2), all of them
//! in one system call: that is cheaper than a request that ends while it is submitted.
//!
//! Keys carry a generation that goes up with each request, so that the late end of a request is
//! never taken for news of whatever has its descriptor by then. A request keeps no memory of ours:
//! none of SAFETY.md's slots is needed (I3), and a ring can be closed with polls in flight. What
//! it does keep is the *file*, which is why removing a descriptor cancels at once.
//!
//! The ring belongs to the thread that selects. It is made anew, and everything armed anew, in a
//! forked child, in another thread, when completions were lost, and when there are many more
//! descriptors than completions it has room for.

mod arm;
mod reap;
mod ring;
mod table;
mod thread;

use crate::ring::error::RingError;
use crate::ring::fork;
use crate::ring::kernel::Readiness;
use crate::ring::params::Config;
use crate::ring::wait::{EnterPlan, Entered};
use crate::sys::errno::uninterrupted;
use crate::sys::os::{pollfd, POLLERR, POLLHUP, POLLIN, POLLOUT};
use crate::sys::Errno;

use ring::PollRing;
use table::{Table, FD_MAX, GONE, HOT, QUEUED};

/// Wait until it can be read, as `selectors.EVENT_READ`.
pub const READ: u8 = 1;
/// Wait until it can be written, as `selectors.EVENT_WRITE`.
pub const WRITE: u8 = 2;

/// What poll(2) is to be asked for `want`.
#[inline(always)]
fn asked(want: u8) -> i16 {
    (if want & READ != 0 { POLLIN } else { 0 }) | (if want & WRITE != 0 { POLLOUT } else { 0 })
}

/// What the poll events `mask` mean to somebody who wants `want`: an error or a hang-up is both,
/// as an attempt would tell.
#[inline(always)]
fn meaning(mask: u32, want: u8) -> u8 {
    let mask = mask & (POLLIN | POLLOUT | POLLERR | POLLHUP) as u32;
    let read = if mask & !(POLLOUT as u32) != 0 { READ } else { 0 };
    let write = if mask & !(POLLIN as u32) != 0 { WRITE } else { 0 };
    (read | write) & want
}

/// Who is to do the work of a call of `select`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// The caller, with the ring, while [`PollSet::is_turn`].
    Ours(u32),
    /// Another thread is in the kernel with the ring: only [`PollSet::everything`] is left.
    Beside,
}

/// What a call of `select` has to do next.
#[derive(Clone, Copy, Debug)]
pub enum Next {
    /// Nothing: [`PollSet::take_ready`] has it.
    Done,
    /// Run this, without holding the set, and tell [`PollSet::resume`].
    Wait(EnterPlan),
    /// The kernel is short of something: sleep a moment and ask again.
    Nap,
}

/// Descriptors, and what is waited for on each.
pub struct PollSet<K: Readiness> {
    kernel: K,
    config: Config,
    ring: Option<PollRing<K>>,
    table: Table,
    registered: u32,
    /// To be looked at before the next wait.
    todo: Vec<i32>,
    /// Reported: to be looked at by the next call.
    reported: Vec<i32>,
    /// Requests of descriptors that are registered no more.
    cancels: Vec<u64>,
    /// What this call has found.
    ready: Vec<(i32, u8)>,
    probes: Vec<pollfd>,
    /// Numbers the calls of `select`.
    round: u32,
    process: u32,
    owner: u64,
    /// The owner is in the kernel, without holding the set.
    waiting: bool,
    /// It has been woken already.
    wake_sent: bool,
    closed: bool,
    /// The kernel was short of something in this call.
    short: bool,
    /// A descriptor that poll requests do not work on.
    unfit: Option<(i32, Errno)>,
    /// Above or at zero while asking before arming pays for descriptors that ended a wait.
    promote: i32,
    /// A larger ring was refused.
    growth_refused: bool,
    enters: u64,
    rings_made: u32,
}

impl<K: Readiness> PollSet<K> {
    /// No descriptors yet, and a ring of `entries` submission entries.
    pub fn new(kernel: K, entries: u32) -> Result<Self, RingError> {
        let config = Config::new(entries);
        let ring = PollRing::new(&kernel, &config)?;
        Ok(PollSet {
            kernel,
            config,
            ring: Some(ring),
            table: Table::default(),
            registered: 0,
            todo: Vec::new(),
            reported: Vec::new(),
            cancels: Vec::new(),
            ready: Vec::new(),
            probes: Vec::new(),
            round: 1,
            process: fork::generation(),
            owner: thread::NOBODY,
            waiting: false,
            wake_sent: false,
            closed: false,
            short: false,
            unfit: None,
            promote: 0,
            growth_refused: false,
            enters: 0,
            rings_made: 1,
        })
    }

    /// How often the kernel was entered, how many rings there have been, and how many requests the
    /// present one's completion queue has room for.
    pub fn counts(&self) -> (u64, u32, u32) {
        (self.enters, self.rings_made, self.ring.as_ref().map_or(0, PollRing::cq_entries))
    }

    /// Was [`PollSet::close`] called?
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Watch `fd` for `want`. EBADF and EPERM as epoll_ctl(2) would say.
    pub fn add(&mut self, fd: i32, want: u8) -> Result<(), Errno> {
        self.check_process();
        if fd >= FD_MAX {
            return Err(Errno::EMFILE);
        }
        let file = uninterrupted(|| self.kernel.waitable(fd))?;
        let entry = self.table.entry(fd, file);
        if entry.want == 0 {
            self.registered += 1;
        }
        entry.want = want;
        // Most of what somebody wants to write to is ready to be written.
        let hot = if want & WRITE != 0 { HOT } else { 0 };
        entry.state = entry.state & QUEUED | hot;
        self.queue(fd);
        self.wake();
        Ok(())
    }

    /// Watch `fd`, which is watched, for something else. EBADF if it is not open any more, ENOENT if
    /// its number is another file's.
    pub fn change(&mut self, fd: i32, want: u8) -> Result<(), Errno> {
        self.check_process();
        if uninterrupted(|| self.kernel.identity(fd))?
            != self.table.file(fd).ok_or(Errno::ENOENT)?
        {
            return Err(Errno::ENOENT);
        }
        let entry = self.table.get_mut(fd).ok_or(Errno::ENOENT)?;
        entry.want = want;
        entry.state &= !GONE;
        if want & WRITE != 0 {
            entry.state |= HOT;
        }
        self.queue(fd);
        self.wake();
        Ok(())
    }

    /// Watch `fd` no more. Its file is let go of before this returns, unless the ring is another
    /// thread's: then that thread lets go of it, at once if it waits, else when it next selects.
    pub fn remove(&mut self, fd: i32) -> Result<(), RingError> {
        self.check_process();
        let Some(entry) = self.table.get_mut(fd).filter(|entry| entry.want != 0) else {
            return Ok(());
        };
        let (armed, key) = (entry.armed != 0, entry.key(fd));
        entry.want = 0;
        entry.armed = 0;
        entry.state &= QUEUED;
        self.registered -= 1;
        if armed {
            self.cancels.push(key);
            return self.cancel_now();
        }
        Ok(())
    }

    /// A call of `select` begins.
    pub fn begin(&mut self) -> Result<Begin, RingError> {
        if self.closed {
            return Err(RingError::Closed);
        }
        self.check_process();
        if self.waiting {
            return Ok(Begin::Beside);
        }
        self.claim_ring()?;
        self.round = self.round.wrapping_add(1);
        self.short = false;
        self.ready.clear();
        if self.todo.is_empty() {
            core::mem::swap(&mut self.todo, &mut self.reported);
        } else {
            self.todo.append(&mut self.reported);
        }
        Ok(Begin::Ours(self.round))
    }

    /// Is it still the turn of the call that began with this number?
    pub fn is_turn(&self, turn: u32) -> bool {
        turn == self.round
            && !self.waiting
            && !self.closed
            && self.owner == thread::me()
            && self.process == fork::generation()
    }

    /// Look at what there is to look at, and find out what is ready, as far as that is possible
    /// without sleeping.
    pub fn prepare(&mut self, may_wait: bool) -> Result<Next, RingError> {
        // Completions may come as fast as they are taken: a call ends all the same.
        let mut budget = self.registered.saturating_add(16);
        loop {
            self.look_at_todo()?;
            if let Some((fd, errno)) = self.unfit {
                return Err(RingError::Unfit(fd, errno));
            }
            let stay = !self.ready.is_empty() || !may_wait;
            let Some(ring) = self.ring.as_mut() else { return Err(RingError::Closed) };
            if !self.short && budget > 0 && (ring.has_news() || stay && ring.pending() > 0) {
                budget = self.enter_for_all(budget)?;
                continue;
            }
            if self.short {
                self.ask_about_all();
            }
            if !self.ready.is_empty() || !may_wait {
                return Ok(Next::Done);
            }
            if self.short {
                self.short = false;
                return Ok(Next::Nap);
            }
            let Some(plan) = ring_of(&mut self.ring)?.plan_wait()? else { continue };
            self.waiting = true;
            self.enters += 1;
            return Ok(Next::Wait(plan));
        }
    }

    /// What came of the wait that [`PollSet::prepare`] planned.
    pub fn resume(&mut self, outcome: Result<Entered, RingError>) -> Result<(), RingError> {
        self.waiting = false;
        self.wake_sent = false;
        if self.closed {
            self.close();
            return Err(RingError::Closed);
        }
        let nothing = !self.reap(false);
        match outcome {
            Ok(Entered::Busy) => self.short |= nothing,
            Ok(_) => {}
            Err(error) if error.passes() => self.short = true,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// What the call has found: descriptors, and which of READ and WRITE. Give the vector back with
    /// [`PollSet::give_back`].
    pub fn take_ready(&mut self) -> Vec<(i32, u8)> {
        core::mem::take(&mut self.ready)
    }

    /// Spare the next call an allocation.
    pub fn give_back(&mut self, mut ready: Vec<(i32, u8)>) {
        // Another thread's call may be under way by now.
        ready.clear();
        if self.ready.is_empty() && self.ready.capacity() < ready.capacity() {
            self.ready = ready;
        }
    }

    /// All that is watched, to be asked about with poll(2).
    pub fn everything(&mut self) -> Vec<pollfd> {
        self.check_process();
        let all = self.table.registered().filter(|(_, entry)| entry.state & GONE == 0);
        all.map(|(fd, entry)| pollfd { fd, events: asked(entry.want), revents: 0 }).collect()
    }

    /// What poll(2) said of [`PollSet::everything`].
    pub fn found(&mut self, fds: &[pollfd]) -> Vec<(i32, u8)> {
        let mut ready = Vec::new();
        for each in fds.iter().filter(|each| each.revents != 0) {
            let want = self.table.get_mut(each.fd).map_or(0, |entry| entry.want);
            let events = meaning(each.revents as u32, want);
            if events != 0 {
                ready.push((each.fd, events));
            }
        }
        ready
    }

    /// Let go of everything. A thread that waits is woken, and finds the set closed.
    pub fn close(&mut self) {
        self.check_process();
        self.closed = true;
        if self.waiting {
            return self.wake();
        }
        self.retire_ring();
        self.table = Table::default();
        self.registered = 0;
    }

    /// How long a wait may last without looking up. Before Linux 6.13 nobody can wake it from
    /// outside; and a signal may come just before it begins, which then does not end it.
    pub fn longest_wait_ns(&self) -> u64 {
        match &self.ring {
            Some(ring) if ring.can_be_woken() => 1_000_000_000,
            _ => 50_000_000,
        }
    }

    /// In a forked child the ring is the parent's: touch nothing of it, and begin anew.
    fn check_process(&mut self) {
        if self.process != fork::generation() {
            self.process = fork::generation();
            if let Some(ring) = self.ring.take() {
                ring.abandon();
            }
            self.owner = thread::NOBODY;
            self.waiting = false;
            self.wake_sent = false;
            self.disarm_all();
        }
    }

    /// Look at `fd` before the next wait.
    #[inline]
    fn queue(&mut self, fd: i32) {
        if let Some(entry) = self.table.get_mut(fd) {
            if entry.state & QUEUED == 0 {
                entry.state |= QUEUED;
                self.todo.push(fd);
            }
        }
    }
}

impl<K: Readiness> Drop for PollSet<K> {
    fn drop(&mut self) {
        self.waiting = false;
        self.close();
    }
}

/// The ring, where there must be one.
fn ring_of<K: Readiness>(ring: &mut Option<PollRing<K>>) -> Result<&mut PollRing<K>, RingError> {
    ring.as_mut().ok_or(RingError::Closed)
}
