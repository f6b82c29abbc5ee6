//! How requests end: completions, overflow, what happens to the rest of a chain.

use super::faults::RequestAction;
use super::files::Object;
use super::request::{Args, ReqId, State};
use super::world::{Completed, Event, Work, World};
use crate::sys::abi::io_uring_cqe;
use crate::sys::consts::*;
use crate::sys::Errno;

pub(super) const ECANCELED: i32 = -Errno::ECANCELED.0;

impl World {
    /// Post one completion, or put it aside while the queue is full.
    pub(super) fn post(&mut self, ring: usize, user_data: u64, res: i32, flags: u32) {
        let cqe = io_uring_cqe { user_data, res, flags };
        let posted = self.fill(ring, cqe);
        self.record(ring, cqe, !posted);
        let r = &mut self.rings[ring];
        if posted {
            return;
        }
        if self.options.features & IORING_FEAT_NODROP == 0 {
            r.memory.count_dropped_cqe();
            return;
        }
        r.overflowed = true;
        r.overflow.push_back(cqe);
        r.memory.set_sq_flag(IORING_SQ_CQ_OVERFLOW, true);
    }

    /// Post one completion of a multishot request, if there is room for it.
    pub(super) fn post_more(&mut self, ring: usize, user_data: u64, res: i32, flags: u32) -> bool {
        // Those that ended before must not be overtaken.
        self.flush(ring);
        let cqe = io_uring_cqe { user_data, res, flags };
        let posted = self.fill(ring, cqe);
        if posted {
            self.record(ring, cqe, false);
            self.notify(ring);
        }
        posted
    }

    fn record(&mut self, ring: usize, cqe: io_uring_cqe, overflowed: bool) {
        self.stuck_in_a_row = 0;
        self.completed.push(Completed {
            ring: self.rings[ring].fd,
            user_data: cqe.user_data,
            res: cqe.res,
            flags: cqe.flags,
            overflowed,
        });
    }

    /// While completions wait outside, later ones must not overtake them: they wait too.
    fn fill(&mut self, ring: usize, cqe: io_uring_cqe) -> bool {
        !self.rings[ring].overflowed && self.fill_place(ring, cqe)
    }

    fn fill_place(&mut self, ring: usize, cqe: io_uring_cqe) -> bool {
        if self.cq_ready(ring) >= self.rings[ring].cq_entries {
            return false;
        }
        let r = &mut self.rings[ring];
        r.memory.post(r.cq_tail, cqe);
        r.cq_tail = r.cq_tail.wrapping_add(1);
        r.signal = true;
        true
    }

    /// Completions the user has not taken.
    pub(super) fn cq_ready(&mut self, ring: usize) -> u32 {
        let r = &self.rings[ring];
        let ready = r.cq_tail.wrapping_sub(r.memory.cq_head());
        if ready > r.cq_entries {
            let (fd, entries) = (r.fd, r.cq_entries);
            self.violation(format!(
                "ring {fd}: completion head {ready} behind the tail of {entries}"
            ));
            return entries;
        }
        ready
    }

    /// Bring back completions that waited outside, as many as fit.
    pub(super) fn flush_overflow(&mut self, ring: usize) {
        if !self.rings[ring].overflowed {
            return;
        }
        while let Some(cqe) = self.rings[ring].overflow.front().copied() {
            if !self.fill_place(ring, cqe) {
                break;
            }
            self.rings[ring].overflow.pop_front();
        }
        self.notify(ring);
        let r = &mut self.rings[ring];
        if r.overflow.is_empty() {
            r.overflowed = false;
            r.memory.set_sq_flag(IORING_SQ_CQ_OVERFLOW, false);
        }
    }

    /// Signal the ring's eventfd for what was posted.
    fn notify(&mut self, ring: usize) {
        let r = &mut self.rings[ring];
        let signal = core::mem::take(&mut r.signal);
        let Some((file, async_only)) = r.eventfd else { return };
        if !signal || r.memory.eventfd_disabled() || (async_only && self.inline) {
            return;
        }
        if let Some(Object::Event(event)) = self.files.object(file) {
            self.files.signal(event, 1);
        }
    }

    /// The request has ended with `res`. Its completion is posted with those of its batch.
    pub(super) fn end(&mut self, id: ReqId, res: i32, cqe_flags: u32) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        if let Some(event) = request.event.take() {
            self.events.remove(&event);
        }
        // A cancellation is carried out by whoever submits it, before the call returns: never late.
        let at_once = matches!(request.args, Args::Cancel { .. });
        if let (Some(RequestAction::Late(after)), false) = (request.action, at_once) {
            request.action = None;
            request.state = State::Disk;
            request.res = res;
            request.cqe_flags = cqe_flags;
            let event = self.schedule(after, Event::Release(id));
            self.hold_event(id, event);
            return;
        }
        request.end_scribble();
        request.state = State::Ended;
        request.res = res;
        request.cqe_flags = cqe_flags;
        let ring = request.ring;
        self.rings[ring].ended.push(id);
    }

    pub(super) fn hold_event(&mut self, id: ReqId, event: (u64, u64)) {
        if let Some(request) = self.requests.get_mut(&id) {
            request.event = Some(event);
        }
    }

    /// The request has failed with `errno`.
    pub(super) fn end_failed(&mut self, id: ReqId, errno: Errno) {
        if let Some(request) = self.requests.get_mut(&id) {
            request.fail();
        }
        self.end(id, -errno.0, 0);
    }

    /// A completion that was late on purpose.
    pub(super) fn release_held(&mut self, id: ReqId) {
        if let Some(request) = self.requests.get_mut(&id) {
            request.event = None;
            let ring = request.ring;
            self.queue_work(ring, Work::End(id));
        }
    }

    /// Post the completions of all ended requests, in the order in which they ended, then free
    /// them, which starts or fails what hangs on them.
    pub(super) fn flush(&mut self, ring: usize) {
        while !self.rings[ring].ended.is_empty() {
            let ended = core::mem::take(&mut self.rings[ring].ended);
            for id in &ended {
                self.post_end(*id);
            }
            self.notify(ring);
            for id in ended {
                self.free(id);
            }
            self.flush_counting_timeouts(ring);
            if self.rings[ring].drain_active {
                self.start_deferred(ring);
            }
        }
        self.notify(ring);
    }

    fn post_end(&mut self, id: ReqId) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        if request.silent {
            return;
        }
        let (ring, user_data, res, flags) =
            (request.ring, request.user_data, request.res, request.cqe_flags);
        match request.action.take() {
            Some(RequestAction::Lie(other)) => self.post(ring, user_data, other, flags),
            Some(RequestAction::Flags(more)) => self.post(ring, user_data, res, flags | more),
            Some(RequestAction::Twice) => {
                self.post(ring, user_data, res, flags);
                self.post(ring, user_data, res, flags);
            }
            Some(RequestAction::MoreAfterEnd) => {
                self.post(ring, user_data, res, flags);
                self.post(ring, user_data, res, flags | IORING_CQE_F_MORE);
            }
            Some(RequestAction::Stranger(nobody)) => {
                self.post(ring, nobody, 0, 0);
                self.post(ring, user_data, res, flags);
            }
            Some(RequestAction::Lost) => {
                self.rings[ring].memory.count_dropped_cqe();
                self.rings[ring].lost = true;
            }
            _ => self.post(ring, user_data, res, flags),
        }
    }

    fn free(&mut self, id: ReqId) {
        self.end_links(id);
        let Some(request) = self.requests.remove(&id) else { return };
        if let Some(file) = request.file {
            self.files.release(file);
        }
        self.rings[request.ring].live.remove(&id);
        self.retire_if_done(request.ring);
    }

    /// What a request's end means for the rest of its chain.
    fn end_links(&mut self, id: ReqId) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let (ring, failed) = (request.ring, request.failed);
        let breaks = failed && !request.hard_link;
        let silent = request.silent_links;
        if core::mem::take(&mut request.timeout_follows) {
            // The link timeout never began to tick.
            if let Some(timeout) = request.link {
                self.unlink_next(id);
                self.queue_end(timeout, ECANCELED);
            }
        } else if let Some(timeout) = request.timeout.take() {
            self.disarm(timeout);
        }
        let Some(request) = self.requests.get_mut(&id) else { return };
        let mut next = request.link.take();
        if !breaks {
            if let Some(next) = next {
                self.queue_work(ring, Work::Start(next));
            }
            return;
        }
        while let Some(link) = next {
            let Some(request) = self.requests.get_mut(&link) else { return };
            next = request.link.take();
            request.silent = silent;
            let res = if request.failed { request.res } else { ECANCELED };
            self.queue_end(link, res);
        }
    }

    /// Take the request after `id` out of the chain.
    pub(super) fn unlink_next(&mut self, id: ReqId) {
        let next = self.requests.get(&id).and_then(|r| r.link);
        let after = next.and_then(|next| self.requests.get_mut(&next)).and_then(|r| r.link.take());
        if let Some(request) = self.requests.get_mut(&id) {
            request.link = after;
        }
    }

    /// The watched request ended first: its ticking link timeout ends -ECANCELED.
    fn disarm(&mut self, timeout: ReqId) {
        let Some(request) = self.requests.get_mut(&timeout) else { return };
        request.watches = None;
        if request.state != State::Ticking {
            // It has expired already and will say so itself.
            return;
        }
        if let Some(event) = request.event.take() {
            self.events.remove(&event);
        }
        self.queue_end(timeout, ECANCELED);
    }

    /// Do what the submitting task has to do for a ring, until nothing is left.
    pub(super) fn run_work(&mut self, ring: usize) {
        self.run_some_work(ring, usize::MAX, usize::MAX);
    }

    /// Do at most `max` pieces of such work, and more rounds only while there were fewer than
    /// `min`: a task that enters a DEFER_TASKRUN ring without waiting does not get to the end of
    /// a chain, nor through a long list, in one call (`__io_run_local_work`).
    pub(super) fn run_some_work(&mut self, ring: usize, mut min: usize, max: usize) {
        let inline = core::mem::replace(&mut self.inline, false);
        self.rings[ring].memory.set_sq_flag(IORING_SQ_TASKRUN, false);
        loop {
            let pending = self.rings[ring].work.len();
            let now = pending.min(max);
            for work in self.rings[ring].work.drain(..now).collect::<Vec<_>>() {
                self.run_one(ring, work);
            }
            let cut_short = now < pending;
            let again = !self.rings[ring].work.is_empty() && now < min;
            if cut_short || !again {
                self.flush(ring);
            }
            if self.rings[ring].work.is_empty() {
                break;
            }
            if now >= min {
                let show = self.rings[ring].has(IORING_SETUP_TASKRUN_FLAG);
                self.rings[ring].memory.set_sq_flag(IORING_SQ_TASKRUN, show);
                break;
            }
            min -= now;
        }
        self.inline = inline;
    }

    fn run_one(&mut self, ring: usize, work: Work) {
        match work {
            Work::Start(id) => self.start(id),
            Work::Ready(id) => self.ready(id),
            Work::End(id) => {
                let Some(request) = self.requests.get(&id) else { return };
                let (res, flags) = (request.res, request.cqe_flags);
                self.end(id, res, flags);
            }
            Work::Expired(id) => self.expired(id),
            Work::Message(user_data, res, flags) => {
                self.flush(ring);
                self.post(ring, user_data, res, flags);
                self.notify(ring);
            }
        }
    }

    /// A request of a closed ring meets its end, whatever it waits for.
    pub(super) fn reap(&mut self, id: ReqId) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let ring = request.ring;
        // One of those late writes that close(2) does not prevent.
        request.scribble_again(7);
        match request.state {
            State::Worker | State::Disk | State::Ended => return,
            State::Waiting => request.args = Args::Refused,
            State::Parked(_) | State::Blocked(_) | State::Ticking => {}
        }
        request.fail();
        self.end(id, ECANCELED, 0);
        self.flush(ring);
    }
}
