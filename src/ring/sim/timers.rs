//! Timeouts, link timeouts, polls, and cancelling all of them.

use super::files::FileId;
use super::issue::Outcome;
use super::request::{Args, Match, ReqId, Span, State};
use super::world::{Event, Work, World};
use crate::sys::consts::*;
use crate::sys::Errno;

/// The simulated wall clock, ahead of the monotonic one by this.
const REALTIME_AHEAD_NS: u64 = 1_700_000_000_000_000_000;

const ETIME: i32 = -Errno::ETIME.0;

/// What a cancellation found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Cancelled,
    TooLate,
    Nothing,
}

impl Found {
    fn res(self) -> i32 {
        match self {
            Found::Cancelled => 0,
            Found::TooLate => -Errno::EALREADY.0,
            Found::Nothing => -Errno::ENOENT.0,
        }
    }
}

impl World {
    /// Virtual nanoseconds until a timeout expires.
    pub(super) fn span_from_now(&self, span: Span) -> u64 {
        if span.flags & IORING_TIMEOUT_ABS == 0 {
            return span.ns;
        }
        let ahead = if span.flags & IORING_TIMEOUT_REALTIME != 0 { REALTIME_AHEAD_NS } else { 0 };
        span.ns.saturating_sub(self.now.saturating_add(ahead))
    }

    /// Completions of a ring so far, without those of timeouts.
    fn timeout_seq(&self, ring: usize) -> u32 {
        let r = &self.rings[ring];
        r.cq_tail.wrapping_sub(r.cq_timeouts)
    }

    pub(super) fn start_timeout(&mut self, id: ReqId, span: Span, count: u32) -> Outcome {
        let after = self.span_from_now(span);
        let event = self.schedule(after, Event::Expire(id));
        let Some(request) = self.requests.get_mut(&id) else { return Outcome::Armed };
        let ring = request.ring;
        request.state = State::Ticking;
        request.event = Some(event);
        if count > 0 {
            let seq = self.timeout_seq(ring);
            self.rings[ring].last_timeout_flush = seq;
            if let Some(request) = self.requests.get_mut(&id) {
                request.target_seq = seq.wrapping_add(count);
            }
        }
        Outcome::Armed
    }

    /// End timeouts whose number of completions is reached (`io_flush_timeouts`).
    pub(super) fn flush_counting_timeouts(&mut self, ring: usize) {
        let seq = self.timeout_seq(ring);
        let last = self.rings[ring].last_timeout_flush;
        let got = seq.wrapping_sub(last);
        let counting = |id: &ReqId| {
            let request = self.requests.get(id)?;
            match request.args {
                Args::Timeout { count, .. } if count > 0 && request.state == State::Ticking => {
                    Some((request.target_seq.wrapping_sub(last), *id))
                }
                _ => None,
            }
        };
        let mut reached: Vec<(u32, ReqId)> =
            self.rings[ring].live.iter().filter_map(counting).filter(|(n, _)| *n <= got).collect();
        reached.sort_unstable();
        for (_, id) in reached {
            self.stop_timer(id);
            self.rings[ring].cq_timeouts = self.rings[ring].cq_timeouts.wrapping_add(1);
            self.queue_end(id, 0);
        }
        self.rings[ring].last_timeout_flush = seq;
    }

    fn stop_timer(&mut self, id: ReqId) {
        let event = self.requests.get_mut(&id).and_then(|r| r.event.take());
        if let Some(event) = event {
            self.events.remove(&event);
        }
    }

    /// The timer of a timeout has run out; the rest is task work.
    pub(super) fn expire(&mut self, id: ReqId) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.event = None;
        request.state = State::Waiting;
        let ring = request.ring;
        if !request.is_link_timeout() {
            self.rings[ring].cq_timeouts = self.rings[ring].cq_timeouts.wrapping_add(1);
        }
        self.queue_work(ring, Work::Expired(id));
    }

    pub(super) fn expired(&mut self, id: ReqId) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let (ring, user_data) = (request.ring, request.user_data);
        match &mut request.args {
            Args::LinkTimeout { etime_success, .. } => {
                let succeeds = *etime_success;
                let watched = request.watches.take();
                let found = watched.map_or(Found::Cancelled, |watched| {
                    if let Some(watched) = self.requests.get_mut(&watched) {
                        watched.timeout = None;
                    }
                    self.cancel_one(watched)
                });
                let res = if found == Found::Cancelled { ETIME } else { found.res() };
                self.expired_with(id, res, succeeds);
            }
            Args::Timeout { span, multishot, repeats, etime_success, .. } => {
                let (span, succeeds) = (*span, *etime_success);
                let again = *multishot && *repeats != 1;
                *repeats = repeats.saturating_sub(1);
                if again && self.post_more(ring, user_data, ETIME, IORING_CQE_F_MORE) {
                    self.start_timeout(id, span, 0);
                } else {
                    self.expired_with(id, ETIME, succeeds);
                }
            }
            _ => {}
        }
    }

    fn expired_with(&mut self, id: ReqId, res: i32, succeeds: bool) {
        if let Some(request) = self.requests.get_mut(&id).filter(|_| !succeeds) {
            request.fail();
        }
        self.end(id, res, 0);
    }

    fn ring_of(&self, id: ReqId) -> usize {
        self.requests.get(&id).map_or(0, |r| r.ring)
    }

    fn find_timer(&self, ring: usize, user_data: u64, linked: bool) -> Option<ReqId> {
        let fits = |id: &&ReqId| {
            self.requests.get(id).is_some_and(|r| {
                r.state == State::Ticking
                    && r.is_link_timeout() == linked
                    && r.user_data == user_data
            })
        };
        self.rings[ring].live.iter().find(fits).copied()
    }

    pub(super) fn timeout_remove(&mut self, id: ReqId, target: u64) -> Outcome {
        match self.find_timer(self.ring_of(id), target, false) {
            Some(timer) => {
                self.cancel_one(timer);
                Outcome::Done(0, false)
            }
            None => Outcome::failed(Errno::ENOENT),
        }
    }

    pub(super) fn timeout_update(
        &mut self,
        id: ReqId,
        target: u64,
        span: Span,
        linked: bool,
    ) -> Outcome {
        let Some(timer) = self.find_timer(self.ring_of(id), target, linked) else {
            return Outcome::failed(Errno::ENOENT);
        };
        self.stop_timer(timer);
        let after = self.span_from_now(span);
        let event = self.schedule(after, Event::Expire(timer));
        self.hold_event(timer, event);
        Outcome::Done(0, false)
    }

    pub(super) fn poll_add(&mut self, id: ReqId, file: FileId, multishot: bool) -> Outcome {
        let Some(request) = self.requests.get_mut(&id) else { return Outcome::Armed };
        let events = request.poll_events();
        let mask = self.files.poll(file) & events;
        if mask != 0 && !multishot {
            return Outcome::Done(mask as i32, false);
        }
        request.state = State::Parked(events);
        if mask != 0 {
            self.wake(id, mask);
        }
        Outcome::Armed
    }

    /// POLL_REMOVE: end a poll, or change it.
    pub(super) fn poll_remove(
        &mut self,
        id: ReqId,
        target: u64,
        events: Option<u32>,
        user_data: Option<u64>,
    ) -> Outcome {
        let ring = self.ring_of(id);
        let fits = |id: &&ReqId| {
            self.requests.get(id).is_some_and(|r| {
                matches!((&r.args, r.state), (Args::PollAdd { .. }, State::Parked(_)))
                    && r.user_data == target
            })
        };
        let Some(poll) = self.rings[ring].live.iter().find(fits).copied() else {
            return Outcome::failed(Errno::ENOENT);
        };
        let Some(request) = self.requests.get_mut(&poll) else { return Outcome::Armed };
        if request.woken != 0 || request.cancelled {
            // Its completion is on its way.
            return Outcome::failed(Errno::EALREADY);
        }
        if events.is_none() && user_data.is_none() {
            request.fail();
            self.queue_end(poll, super::complete::ECANCELED);
            return Outcome::Done(0, false);
        }
        if let Some(new) = user_data {
            request.user_data = new;
        }
        // The kind of poll, one-shot or multishot, stays as it was.
        if let (Args::PollAdd { events: old, .. }, Some(new)) = (&mut request.args, events) {
            *old = new;
        }
        self.rearm_poll(poll);
        Outcome::Done(0, false)
    }

    /// An updated poll is armed anew, and may be ready at once.
    fn rearm_poll(&mut self, poll: ReqId) {
        let Some(request) = self.requests.get(&poll) else { return };
        let (Args::PollAdd { multishot, .. }, Some(file)) = (&request.args, request.file) else {
            return;
        };
        match self.poll_add(poll, file, *multishot) {
            Outcome::Done(mask, _) => self.queue_end(poll, mask),
            _ => self.arm_link_timeout(poll),
        }
    }

    /// Try to cancel one request, which will then end by itself.
    fn cancel_one(&mut self, id: ReqId) -> Found {
        let half = self.rng.chance(50);
        let Some(request) = self.requests.get_mut(&id) else { return Found::Nothing };
        match request.state {
            State::Parked(_) => {
                let queued = request.woken != 0 || request.cancelled;
                request.cancelled = true;
                let ring = request.ring;
                if !queued {
                    self.queue_work(ring, Work::Ready(id));
                }
                Found::Cancelled
            }
            // A signal wakes the worker out of its call.
            State::Blocked(_) => {
                request.fail();
                self.stop_timer(id);
                self.queue_end(id, -Errno::EINTR.0);
                Found::TooLate
            }
            State::Ticking if request.is_link_timeout() => Found::Nothing,
            // A worker either has not begun yet, or cannot be stopped any more.
            State::Worker if half => Found::TooLate,
            State::Ticking | State::Worker => {
                request.fail();
                self.stop_timer(id);
                self.queue_end(id, super::complete::ECANCELED);
                Found::Cancelled
            }
            State::Waiting | State::Disk | State::Ended => Found::Nothing,
        }
    }

    /// The next request that a cancellation means and has not looked at: workers first, then
    /// polls, then timeouts, as the kernel does. Which of several is not promised.
    fn find_match(&mut self, ring: usize, wanted: &Match) -> Option<ReqId> {
        let rank = |id: &ReqId| {
            let request = self.requests.get(id)?;
            let rank = match request.state {
                State::Worker | State::Blocked(_) => 0,
                State::Parked(_) => 1,
                State::Ticking if !request.is_link_timeout() => 2,
                _ => return None,
            };
            let any = wanted.flags & IORING_ASYNC_CANCEL_ANY != 0;
            let by_fd = wanted.flags & IORING_ASYNC_CANCEL_FD != 0;
            let by_op = wanted.flags & IORING_ASYNC_CANCEL_OP != 0;
            let by_data = wanted.flags & IORING_ASYNC_CANCEL_USERDATA != 0 || (!by_fd && !by_op);
            let fits = request.cancel_round != self.cancel_round
                && (any
                    || ((!by_fd || (rank < 2 && request.file == wanted.file))
                        && (!by_op || request.op == wanted.op)
                        && (!by_data || request.user_data == wanted.user_data)));
            fits.then_some((rank, *id))
        };
        let found: Vec<(u8, ReqId)> = self.rings[ring].live.iter().filter_map(rank).collect();
        let first = found.iter().map(|(rank, _)| *rank).min()?;
        let equal: Vec<ReqId> =
            found.iter().filter(|(rank, _)| *rank == first).map(|(_, id)| *id).collect();
        let pick = self.rng.below(equal.len() as u64) as usize;
        equal.get(pick).copied()
    }

    /// Cancel what `wanted` says. Returns the result of the cancellation.
    pub(super) fn cancel(&mut self, ring: usize, wanted: Match) -> i32 {
        self.cancel_round += 1;
        let all = wanted.flags & (IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY) != 0;
        let mut count = 0;
        while let Some(id) = self.find_match(ring, &wanted) {
            if let Some(request) = self.requests.get_mut(&id) {
                request.cancel_round = self.cancel_round;
            }
            let found = self.cancel_one(id);
            if !all {
                return found.res();
            }
            count += 1;
        }
        if all {
            count
        } else {
            Found::Nothing.res()
        }
    }

    pub(super) fn async_cancel(&mut self, id: ReqId, mut wanted: Match, fd: i32) -> Outcome {
        if wanted.flags & IORING_ASYNC_CANCEL_FD != 0 {
            let fixed = wanted.flags & IORING_ASYNC_CANCEL_FD_FIXED != 0;
            match self.files.lookup(fd).filter(|_| !fixed) {
                Some(file) => wanted.file = Some(file),
                None => return Outcome::failed(Errno::EBADF),
            }
        }
        let res = self.cancel(self.ring_of(id), wanted);
        Outcome::Done(res, res < 0)
    }
}
