//! Threads that carry out the requests of a queue by plain system calls, where rings are refused.
//!
//! What has ended is told through an eventfd, so that a waiter can sleep on it and on the bell at
//! once.

use std::sync::Arc;

use crate::bulk::crew::{Crew, Deed, Shared};
use crate::bulk::queue::bell;
use crate::bulk::queue::host::QueueHost;
use crate::bulk::queue::op::Op;
use crate::sys::Errno;

/// So many at most: beyond that they only stand in each other's way.
const MOST: u32 = 32;

#[derive(Clone, Copy)]
pub(super) struct Task {
    pub(super) index: u32,
    pub(super) fd: i32,
    pub(super) op: Op,
    pub(super) offset: u64,
}

/// Carrying out requests.
struct Perform<H> {
    host: H,
    /// Something has ended, or somebody wants the waiters to look.
    news: i32,
}

impl<H: QueueHost> Deed for Perform<H> {
    type Task = Task;
    type Ended = (u32, i32);

    fn perform(&self, Task { index, fd, op, offset }: Task) -> (u32, i32) {
        // SAFETY: the queue keeps what the request points at until it has ended (I2).
        (index, unsafe { self.host.perform(fd, &op, offset) })
    }

    fn tell(&self, first: bool) {
        // The first since somebody looked: after it, whoever takes one takes all.
        if first {
            let _ = bell::ring(self.news);
        }
    }
}

impl<H> Drop for Perform<H> {
    fn drop(&mut self) {
        // SAFETY: ours, and nobody has it any more (I10).
        unsafe { bell::close(self.news) };
    }
}

pub(super) struct ThreadCarrier<H: QueueHost>(Crew<Perform<H>>);

impl<H: QueueHost> ThreadCarrier<H> {
    pub(super) fn new(host: &H, depth: u32) -> Result<Self, Errno> {
        let deed = Perform { host: host.clone(), news: bell::new()? };
        Ok(ThreadCarrier(Crew::new(deed, depth.min(MOST) as usize, "uring_rs-queue")))
    }

    /// Begin a request. What it points at must live until it has ended (I2).
    pub(super) fn start(&mut self, task: Task) {
        self.0.start(task);
    }

    /// What has ended since this was last asked.
    pub(super) fn take_done(&self) -> Vec<(u32, i32)> {
        self.0.take_done()
    }

    /// Take back a request that no thread has begun.
    pub(super) fn take_back(&self, index: u32) -> bool {
        !self.0.take_back(|task| task.index == index).is_empty()
    }

    /// What a waiter sleeps on.
    pub(super) fn news(&self) -> News<H> {
        News(Arc::clone(self.0.shared()))
    }

    /// Have the waiters look.
    pub(super) fn poke(&self) {
        let _ = bell::ring(self.0.shared().deed.news);
    }

    /// After a fork the threads are the parent's, and their locks may be held for ever.
    pub(super) fn abandon(&mut self) {
        self.0.abandon();
    }
}

/// What a waiter sleeps on, without the queue.
pub(super) struct News<H: QueueHost>(Arc<Shared<Perform<H>>>);

impl<H: QueueHost> News<H> {
    /// Sleep until something has ended or the bell was rung, at most so long.
    pub(super) fn sleep(&self, bell: i32, nap_ns: u64) {
        let news = self.0.deed.news;
        // Whatever ends it, the caller looks.
        let _ = bell::wait([bell, news], nap_ns);
        bell::take(news);
    }

    /// Wait at most so long until no thread is at work.
    pub(super) fn settle(&self, nap_ns: u64) {
        self.0.settle(nap_ns);
    }
}
