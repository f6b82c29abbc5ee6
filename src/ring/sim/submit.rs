//! How the kernel takes submission entries: chains, drains, invalid entries (`io_submit_sqes`).

use super::request::{Args, ReqId, Request, State};
use super::world::{Event, Submitted, Work, World};
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;
use crate::sys::Errno;

const SQE_COMMON: u8 = IOSQE_FIXED_FILE | IOSQE_IO_LINK | IOSQE_IO_HARDLINK | IOSQE_ASYNC;

impl World {
    /// Entries published and not taken.
    pub(super) fn sq_pending(&mut self, ring: usize) -> u32 {
        let r = &self.rings[ring];
        let pending = r.memory.sq_tail().wrapping_sub(r.sq_head);
        if pending > r.sq_entries {
            let (fd, entries) = (r.fd, r.sq_entries);
            self.violation(format!(
                "ring {fd}: submission tail {pending} past the head of {entries}"
            ));
            return entries;
        }
        pending
    }

    /// Take up to `count` entries. Returns how many were taken.
    pub(super) fn submit(&mut self, ring: usize, count: u32) -> u32 {
        let wanted = count.min(self.sq_pending(ring));
        if wanted == 0 {
            return 0;
        }
        self.inline = true;
        let all = self.rings[ring].has(IORING_SETUP_SUBMIT_ALL);
        let mut taken = 0;
        while taken < wanted {
            let head = self.rings[ring].sq_head;
            self.rings[ring].sq_head = head.wrapping_add(1);
            let Some(sqe) = self.rings[ring].memory.sqe(head) else { break };
            taken += 1;
            if !self.submit_one(ring, &sqe) && !all {
                break;
            }
        }
        // A chain left open at the end of the batch ends here, and its head goes to a worker.
        if let Some(head) = self.rings[ring].chain_head.take() {
            self.queue_open_chain(ring, head);
        }
        self.flush(ring);
        let r = &self.rings[ring];
        r.memory.set_sq_head(r.sq_head);
        self.inline = false;
        taken
    }

    /// False if the entry is invalid and not in a chain that goes on.
    fn submit_one(&mut self, ring: usize, sqe: &io_uring_sqe) -> bool {
        let id = self.serial();
        self.submitted.push(Submitted {
            ring: self.rings[ring].fd,
            op: sqe.opcode,
            flags: sqe.flags,
            user_data: sqe.user_data,
        });
        self.check_key(ring, sqe);
        let mut request = new_request(ring, sqe);
        request.action = self.faults.request();
        self.rings[ring].live.insert(id);
        self.requests.insert(id, request);
        match self.init(id, sqe) {
            Ok(()) => {
                self.admit(ring, id);
                true
            }
            Err(errno) => self.admit_invalid(ring, id, errno),
        }
    }

    /// Keys of requests that own memory are unique; cancellations may share one.
    fn check_key(&mut self, ring: usize, sqe: &io_uring_sqe) {
        let (live, key) = (&self.rings[ring].live, sqe.user_data);
        let twice = self.options.strict_keys
            && sqe.opcode != IORING_OP_ASYNC_CANCEL
            && live.iter().any(|id| self.requests[id].user_data == key);
        if twice {
            let fd = self.rings[ring].fd;
            self.violation(format!("ring {fd}: two requests in flight have key {key:#x}"));
        }
    }

    /// `io_init_req`: flags, drain, then what the operation itself checks and copies.
    fn init(&mut self, id: ReqId, sqe: &io_uring_sqe) -> Result<(), Errno> {
        let Some(request) = self.requests.get(&id) else { return Err(Errno::EINVAL) };
        let ring = request.ring;
        if !self.knows_op(sqe.opcode) {
            return Err(Errno::EINVAL);
        }
        if sqe.flags & !SQE_COMMON != 0 {
            if sqe.flags & !self.options.sqe_flags != 0 {
                return Err(Errno::EINVAL);
            }
            if sqe.flags & IOSQE_BUFFER_SELECT != 0 {
                // There are no provided buffers here.
                return Err(Errno::EOPNOTSUPP);
            }
            if sqe.flags & IOSQE_CQE_SKIP_SUCCESS != 0 {
                self.rings[ring].drain_refused = true;
            }
            if sqe.flags & IOSQE_IO_DRAIN != 0 {
                if self.rings[ring].drain_refused {
                    return Err(Errno::EOPNOTSUPP);
                }
                self.init_drain(ring);
            }
        }
        self.hold_back(ring, id);
        let args = self.prepare(ring, id, sqe)?;
        if let Some(request) = self.requests.get_mut(&id) {
            request.args = args;
        }
        Ok(())
    }

    /// A drain in the middle of a chain drains the whole chain, and what follows it.
    fn init_drain(&mut self, ring: usize) {
        self.rings[ring].drain_active = true;
        if let Some(head) = self.rings[ring].chain_head {
            if let Some(request) = self.requests.get_mut(&head) {
                request.drain = true;
                request.force_async = true;
            }
            self.rings[ring].drain_next = true;
        }
    }

    fn hold_back(&mut self, ring: usize, id: ReqId) {
        let r = &mut self.rings[ring];
        let Some(request) = self.requests.get_mut(&id) else { return };
        if r.drain_active {
            request.force_async = true;
        }
        if r.drain_next && r.chain_head.is_none() {
            r.drain_next = false;
            r.drain_active = true;
            request.drain = true;
            request.force_async = true;
        }
    }

    /// `io_submit_sqe`: put the request into its chain, or start it.
    fn admit(&mut self, ring: usize, id: ReqId) {
        let Some(request) = self.requests.get(&id) else { return };
        let linked = request.linked();
        match self.rings[ring].chain_head {
            Some(head) => {
                self.append(ring, id);
                if !linked {
                    self.rings[ring].chain_head = None;
                    self.queue_chain(head);
                }
            }
            None if linked => {
                self.rings[ring].chain_head = Some(id);
                self.rings[ring].chain_last = Some(id);
            }
            None => self.queue_chain(id),
        }
    }

    fn append(&mut self, ring: usize, id: ReqId) {
        let last = self.rings[ring].chain_last.replace(id);
        if let Some(request) = last.and_then(|last| self.requests.get_mut(&last)) {
            request.link = Some(id);
        }
    }

    /// An invalid entry fails its whole chain, but only once the chain is complete.
    fn admit_invalid(&mut self, ring: usize, id: ReqId, errno: Errno) -> bool {
        let Some(request) = self.requests.get_mut(&id) else { return false };
        request.fail();
        request.res = -errno.0;
        request.args = Args::Refused;
        let linked = request.linked();
        let head = self.rings[ring].chain_head;
        if let Some(head) = head.and_then(|head| self.requests.get_mut(&head)) {
            if !head.failed {
                head.fail();
                head.res = super::complete::ECANCELED;
            }
        }
        self.admit(ring, id);
        linked
    }

    /// Start a request or the head of a chain (`io_queue_sqe`, `io_queue_sqe_fallback`).
    fn queue_chain(&mut self, id: ReqId) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let ring = request.ring;
        if request.failed {
            request.hard_link = false;
            request.soft_link = true;
            let res = request.res;
            self.end(id, res, 0);
        } else if !request.force_async {
            self.issue(id);
        } else if self.rings[ring].drain_active {
            self.defer(ring, id);
        } else {
            self.punt(id);
        }
    }

    /// A chain that the batch left open does not begin at once (`io_submit_state_end`).
    fn queue_open_chain(&mut self, ring: usize, head: ReqId) {
        let Some(request) = self.requests.get_mut(&head) else { return };
        if request.failed || request.force_async || self.rings[ring].drain_active {
            request.force_async = true;
            return self.queue_chain(head);
        }
        request.blocking = true;
        self.punt(head);
    }

    /// Start a request from task work: the next of a chain, or one a drain held back.
    pub(super) fn start(&mut self, id: ReqId) {
        match self.requests.get(&id) {
            Some(request) if request.force_async => self.punt(id),
            Some(_) => self.issue(id),
            None => {}
        }
    }

    /// Hold a chain back until what was taken before it has ended (`io_drain_req`).
    fn defer(&mut self, ring: usize, id: ReqId) {
        let drains = self.requests.get(&id).is_some_and(|r| r.flag(IOSQE_IO_DRAIN) || r.drain);
        self.rings[ring].deferred.push_back(id);
        self.start_deferred(ring);
        if !drains && self.rings[ring].deferred.is_empty() {
            self.rings[ring].drain_active = false;
        }
    }

    fn chain_len(&self, head: ReqId) -> usize {
        let next = |id: &ReqId| self.requests.get(id).and_then(|r| r.link);
        core::iter::successors(Some(head), next).count()
    }

    /// Start what no longer has to wait (`io_queue_deferred`): the first once nothing but deferred
    /// requests is left, and those behind it up to the next that drains.
    pub(super) fn start_deferred(&mut self, ring: usize) {
        let (mut drain_seen, mut first) = (false, true);
        while let Some(&id) = self.rings[ring].deferred.front() {
            drain_seen |= self.requests.get(&id).is_some_and(|r| r.flag(IOSQE_IO_DRAIN) || r.drain);
            let held: usize = self.rings[ring].deferred.iter().map(|id| self.chain_len(*id)).sum();
            if (drain_seen || first) && self.rings[ring].live.len() != held {
                return;
            }
            self.rings[ring].deferred.pop_front();
            self.queue_work(ring, Work::Start(id));
            first = false;
        }
    }

    /// Hand a request to a worker thread, which gets to it some time later.
    pub(super) fn punt(&mut self, id: ReqId) {
        self.arm_link_timeout(id);
        let after = 1 + self.rng.below(self.options.worker_ns);
        let event = self.schedule(after, Event::Work(id));
        if let Some(request) = self.requests.get_mut(&id) {
            request.state = State::Worker;
            request.event = Some(event);
        }
        self.begin_scribble(id);
    }

    /// One round of a submission queue's polling thread. True if it took entries.
    pub(super) fn sq_thread_step(&mut self, ring: usize) -> bool {
        let r = &self.rings[ring];
        let Some(thread) = r.sq_thread.as_ref().filter(|t| !t.asleep) else { return false };
        if r.closed || r.disabled {
            return false;
        }
        let (fd, tail) = (r.fd, r.memory.sq_tail());
        let idle_at = thread.worked_at + thread.idle_ns;
        if (tail.wrapping_sub(thread.tail_seen) as i32) < 0 {
            self.violation(format!("ring {fd}: published entries taken back from the poll thread"));
        }
        let pending = self.sq_pending(ring);
        if pending > 0 {
            self.submit(ring, pending);
        } else if self.now >= idle_at {
            self.rings[ring].memory.set_sq_flag(IORING_SQ_NEED_WAKEUP, true);
        }
        // Look at the tail once more after NEED_WAKEUP was set, or entries published in between
        // would wait for ever.
        let sleeps = pending == 0 && self.now >= idle_at && self.sq_pending(ring) == 0;
        let now = self.now;
        let r = &mut self.rings[ring];
        if let Some(thread) = &mut r.sq_thread {
            thread.tail_seen = tail;
            thread.asleep = sleeps;
            if pending > 0 {
                thread.worked_at = now;
            }
        }
        if !sleeps {
            r.memory.set_sq_flag(IORING_SQ_NEED_WAKEUP, false);
        }
        pending > 0
    }
}

fn new_request(ring: usize, sqe: &io_uring_sqe) -> Request {
    let flag = |bit: u8| sqe.flags & bit != 0;
    Request {
        ring,
        op: sqe.opcode,
        flags: sqe.flags,
        fd: sqe.fd,
        user_data: sqe.user_data,
        args: Args::Refused,
        file: None,
        state: State::Waiting,
        res: 0,
        cqe_flags: 0,
        link: None,
        watches: None,
        timeout_follows: false,
        timeout: None,
        failed: false,
        hard_link: flag(IOSQE_IO_HARDLINK),
        soft_link: flag(IOSQE_IO_LINK),
        force_async: flag(IOSQE_ASYNC),
        drain: flag(IOSQE_IO_DRAIN),
        blocking: false,
        silent: flag(IOSQE_CQE_SKIP_SUCCESS),
        silent_links: false,
        woken: 0,
        cancelled: false,
        cancel_round: 0,
        target_seq: 0,
        event: None,
        action: None,
        scribble: Vec::new(),
    }
}
