//! From what is to be looked at to requests in flight, and to what is ready at once.

use crate::ops::poll;
use crate::poll::ring::PollRing;
use crate::poll::table::{GONE, HOT, MULTI, QUEUED, TRIED, WOKEN};
use crate::poll::{asked, meaning, ring_of, thread, PollSet};
use crate::ring::error::RingError;
use crate::ring::kernel::Readiness;
use crate::ring::slots::{internal_key, Kind};
use crate::ring::wait::Entered;
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;
use crate::sys::os::{pollfd, POLLNVAL};

/// What a try to do without arming that failed costs in tries not made.
const FAILED_TRY: i32 = 16;
/// So often closing tries to end what does not end, before it has to do without.
const TRIES: u32 = 20;

impl<K: Readiness> PollSet<K> {
    /// Look at all that is to be looked at: arm it, or ask poll(2) first.
    pub(super) fn look_at_todo(&mut self) -> Result<(), RingError> {
        if !self.cancels.is_empty() {
            self.stage_cancels()?;
        }
        if self.todo.is_empty() {
            return Ok(());
        }
        let mut todo = core::mem::take(&mut self.todo);
        let mut result = Ok(());
        for fd in todo.drain(..) {
            if result.is_ok() {
                result = self.look_at(fd);
            } else {
                // Whoever takes over will want to know of it.
                self.todo.push(fd);
            }
        }
        // What was queued meanwhile is few.
        todo.append(&mut self.todo);
        self.todo = todo;
        if result.is_err() {
            self.queue_probes();
            return result;
        }
        if self.probes.is_empty() {
            return Ok(());
        }
        self.ask()
    }

    /// The call fails before poll(2) is asked: the next one looks at them again.
    #[cold]
    fn queue_probes(&mut self) {
        for each in core::mem::take(&mut self.probes) {
            self.queue(each.fd);
        }
    }

    #[inline]
    fn look_at(&mut self, fd: i32) -> Result<(), RingError> {
        let round = self.round;
        let Some(entry) = self.table.get_mut(fd) else { return Ok(()) };
        if entry.reported_in == round {
            // Once is enough for one call; it stays queued.
            self.reported.push(fd);
            return Ok(());
        }
        entry.state &= !QUEUED;
        if entry.want == 0 || entry.state & GONE != 0 {
            return Ok(());
        }
        if entry.state & (HOT | WOKEN) == 0 {
            return self.arm(fd);
        }
        self.probes.push(pollfd { fd, events: asked(entry.want), revents: 0 });
        Ok(())
    }

    /// Ask poll(2) about those in `probes`: report, or arm.
    fn ask(&mut self) -> Result<(), RingError> {
        let mut probes = core::mem::take(&mut self.probes);
        // It does not fail; if it did, requests would tell as well.
        let _ = self.kernel.poll(&mut probes, Some(0));
        let mut result = Ok(());
        for each in probes.drain(..) {
            let (fd, said) = (each.fd, each.revents);
            let Some(entry) = self.table.get_mut(fd) else { continue };
            let events = meaning(said as u32, entry.want);
            if said & POLLNVAL != 0 {
                result = result.and(self.gone(fd));
            } else if events != 0 {
                if entry.state & TRIED != 0 {
                    entry.state &= !TRIED;
                    self.promote = (self.promote + 1).min(FAILED_TRY);
                }
                if entry.armed != 0 {
                    // That request tells of changes alone: keep asking while it is ready.
                    entry.state = entry.state & !WOKEN | HOT;
                } else if entry.state & WOKEN != 0 {
                    // It was not ready before: it may well not be next time.
                    entry.state &= !(WOKEN | HOT);
                }
                self.report(fd, events);
            } else {
                if entry.state & TRIED != 0 {
                    self.promote -= FAILED_TRY;
                }
                entry.state &= !(WOKEN | HOT | TRIED);
                if result.is_ok() {
                    result = self.arm(fd);
                } else {
                    self.queue(fd);
                }
            }
        }
        self.probes = probes;
        result
    }

    /// Ask poll(2) about everything, for once without the ring.
    #[cold]
    pub(super) fn ask_about_all(&mut self) {
        let mut all = self.everything();
        if self.kernel.poll(&mut all, Some(0)).is_ok() {
            for (fd, events) in self.found(&all) {
                self.report(fd, events);
            }
        }
    }

    /// `fd` is ready for `events`.
    #[inline]
    pub(super) fn report(&mut self, fd: i32, events: u8) {
        let Some(entry) = self.table.get_mut(fd) else { return };
        if entry.reported_in == self.round {
            return;
        }
        entry.reported_in = self.round;
        self.ready.push((fd, events));
        if entry.state & QUEUED == 0 {
            entry.state |= QUEUED;
            self.reported.push(fd);
        }
    }

    /// The descriptor was closed. epoll would say no more of it, and let go of the file.
    #[cold]
    pub(super) fn gone(&mut self, fd: i32) -> Result<(), RingError> {
        let Some(entry) = self.table.get_mut(fd) else { return Ok(()) };
        entry.state = entry.state & QUEUED | GONE;
        if entry.armed != 0 {
            entry.armed = 0;
            self.cancels.push(entry.key(fd));
            self.stage_cancels()?;
        }
        Ok(())
    }

    /// Stage a request that ends when `fd` is ready, unless there is one.
    fn arm(&mut self, fd: i32) -> Result<(), RingError> {
        let round = self.round;
        let Some(entry) = self.table.get_mut(fd) else { return Ok(()) };
        let old = entry.key(fd);
        let (want, armed) = (entry.want, entry.armed);
        if armed & want == want {
            // It may end for something that nobody wants any more, once.
            return Ok(());
        }
        entry.generation = entry.generation.wrapping_add(1);
        entry.armed = want;
        entry.armed_in = round;
        let key = entry.key(fd);
        let flags = if entry.state & MULTI != 0 { IORING_POLL_ADD_MULTI } else { 0 };
        let mut ready = Ok(());
        if armed != 0 {
            self.cancels.push(old);
            ready = self.stage_cancels();
        }
        let events = u32::from(asked(want) as u16);
        let sqe = io_uring_sqe { user_data: key, ..poll::add(fd, events, flags) };
        let staged = ready.and_then(|()| self.stage(sqe));
        if !matches!(staged, Ok(true)) {
            if let Some(entry) = self.table.get_mut(fd) {
                entry.armed = 0;
            }
            self.queue(fd);
        }
        staged.map(drop)
    }

    /// Stage the end of requests that nobody wants any more.
    fn stage_cancels(&mut self) -> Result<(), RingError> {
        while let Some(key) = self.cancels.pop() {
            let silent = ring_of(&mut self.ring)?.can_be_silent();
            let flags = if silent { IOSQE_CQE_SKIP_SUCCESS } else { 0 };
            let user_data = internal_key(Kind::Filler);
            let staged = self.stage(io_uring_sqe { flags, user_data, ..poll::remove(key) });
            if !matches!(staged, Ok(true)) {
                self.cancels.push(key);
                return staged.map(drop);
            }
        }
        Ok(())
    }

    /// End requests now, so that their files are let go of.
    pub(super) fn cancel_now(&mut self) -> Result<(), RingError> {
        if self.waiting {
            self.wake();
            return Ok(());
        }
        if self.owner != thread::me() || self.ring.is_none() {
            return Ok(());
        }
        // No call of `select` is under way that could trust what comes in.
        self.round = self.round.wrapping_add(1);
        self.short = false;
        self.stage_cancels()?;
        self.enter()
    }

    /// End all requests, and see the end of each. Not by one cancellation of everything, whose time
    /// goes up with the square of their number.
    pub(super) fn end_all(&mut self) {
        for (fd, entry) in self.table.registered() {
            if entry.armed != 0 {
                entry.armed = 0;
                self.cancels.push(entry.key(fd));
            }
        }
        let mut tries = TRIES;
        loop {
            let before = self.ring.as_ref().map_or(0, PollRing::in_flight);
            if before == 0 || tries == 0 {
                return;
            }
            self.short = false;
            // An error may be of this once only.
            let _ = self.stage_cancels().and_then(|()| self.enter());
            if self.ring.as_ref().map_or(0, PollRing::in_flight) == before {
                tries -= 1;
            }
        }
    }

    /// Stage an entry, entering the kernel if there is no room. False if there still is none.
    #[inline]
    fn stage(&mut self, sqe: io_uring_sqe) -> Result<bool, RingError> {
        if ring_of(&mut self.ring)?.push(sqe) {
            return Ok(true);
        }
        self.enter()?;
        let room = ring_of(&mut self.ring)?.push(sqe);
        self.short |= !room;
        Ok(room)
    }

    /// Enter the kernel until it holds nothing back and has taken everything. Returns what is left
    /// of `budget`.
    pub(super) fn enter_for_all(&mut self, mut budget: u32) -> Result<u32, RingError> {
        loop {
            self.enter()?;
            budget -= 1;
            let ring = ring_of(&mut self.ring)?;
            if budget == 0 || self.short || !(ring.holds_back() || ring.pending() > 0) {
                return Ok(budget);
            }
        }
    }

    /// Submit what is staged, without waiting, and take what has come.
    fn enter(&mut self) -> Result<(), RingError> {
        let plan = ring_of(&mut self.ring)?.plan_now()?;
        self.enters += 1;
        let outcome = plan.run(&self.kernel, None, 0);
        let nothing = !self.reap(true);
        match outcome {
            Ok(Entered::Busy) => self.short |= nothing,
            Ok(_) => {}
            Err(error) if error.passes() => self.short = true,
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
