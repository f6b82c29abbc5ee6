//! Threads that carry out the requests of a queue by plain system calls, where rings are refused.
//!
//! They never touch Python. One is started when there is work and no other is idle, up to a bound.
//! What has ended is told through an eventfd, so that a waiter can sleep on it and on the bell at
//! once.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::bulk::queue::host::{real_bell, ring_real_bell, QueueHost};
use crate::bulk::queue::op::Op;
use crate::sys::tree::without_signals;
use crate::sys::{file, syscall, Errno};

/// So many at most: beyond that they only stand in each other's way.
const MOST: u32 = 32;

/// Workers that are kept waiting need little.
const STACK: usize = 64 << 10;

#[derive(Clone, Copy)]
pub(super) struct Task {
    pub(super) index: u32,
    pub(super) fd: i32,
    pub(super) op: Op,
    pub(super) offset: u64,
}

#[derive(Default)]
struct Board {
    todo: VecDeque<Task>,
    done: Vec<(u32, i32)>,
    idle: usize,
    under_way: usize,
    stop: bool,
}

struct Shared {
    board: Mutex<Board>,
    work: Condvar,
    settled: Condvar,
    /// Something has ended, or somebody wants the waiters to look.
    news: i32,
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        // Nothing below panics while it holds the lock; if it did, the board is whole all the same.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: ours, and nobody has it any more (I10).
        unsafe { syscall::close(self.news) };
    }
}

pub(super) struct ThreadCarrier<H: QueueHost> {
    host: H,
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    most: usize,
}

impl<H: QueueHost> ThreadCarrier<H> {
    pub(super) fn new(host: &H, depth: u32) -> Result<Self, Errno> {
        let shared = Shared {
            board: Mutex::default(),
            work: Condvar::new(),
            settled: Condvar::new(),
            news: real_bell()?,
        };
        let most = depth.min(MOST) as usize;
        Ok(ThreadCarrier {
            host: host.clone(),
            shared: Arc::new(shared),
            workers: Vec::new(),
            most,
        })
    }

    /// Begin a request. What it points at must live until it has ended (I2).
    pub(super) fn start(&mut self, task: Task) {
        let short = {
            let mut board = self.shared.board();
            board.todo.push_back(task);
            board.todo.len() > board.idle
        };
        if short && self.workers.len() < self.most {
            let (host, shared) = (self.host.clone(), Arc::clone(&self.shared));
            let builder = thread::Builder::new().name("uring_rs-queue".into()).stack_size(STACK);
            // One thread less is no failure.
            self.workers.extend(without_signals(|| builder.spawn(move || serve(&host, &shared))));
        }
        if self.workers.is_empty() {
            // No thread is to be had: then it is done here, now.
            drop(take_turn(&self.host, &self.shared, self.shared.board()));
        } else {
            self.shared.work.notify_one();
        }
    }

    /// What has ended since this was last asked.
    pub(super) fn take_done(&self) -> Vec<(u32, i32)> {
        core::mem::take(&mut self.shared.board().done)
    }

    /// Take back a request that no thread has begun.
    pub(super) fn take_back(&self, index: u32) -> bool {
        let mut board = self.shared.board();
        let before = board.todo.len();
        board.todo.retain(|task| task.index != index);
        board.todo.len() < before
    }

    /// What a waiter sleeps on.
    pub(super) fn news(&self) -> News {
        News(Arc::clone(&self.shared))
    }

    /// Have the waiters look.
    pub(super) fn poke(&self) {
        let _ = ring_real_bell(self.shared.news);
    }

    /// After a fork the threads are the parent's, and their locks may be held for ever.
    pub(super) fn abandon(&mut self) {
        core::mem::forget(core::mem::take(&mut self.workers));
        core::mem::forget(Arc::clone(&self.shared));
    }
}

impl<H: QueueHost> Drop for ThreadCarrier<H> {
    fn drop(&mut self) {
        if self.workers.is_empty() {
            return;
        }
        let busy = {
            let mut board = self.shared.board();
            board.stop = true;
            board.under_way > 0
        };
        self.shared.work.notify_all();
        for worker in self.workers.drain(..) {
            // One that is inside a system call that does not end is left to itself.
            if !busy {
                let _ = worker.join();
            }
        }
    }
}

/// What a waiter sleeps on, without the queue.
pub(super) struct News(Arc<Shared>);

impl News {
    /// Sleep until something has ended or the bell was rung, at most so long.
    pub(super) fn sleep(&self, bell: i32, nap_ns: u64) {
        // Whatever ends it, the caller looks.
        let _ = file::wait_readable([bell, self.0.news], nap_ns);
        file::eventfd_take(self.0.news);
    }

    /// Wait at most so long until no thread is at work.
    pub(super) fn settle(&self, nap_ns: u64) {
        let until = Instant::now() + Duration::from_nanos(nap_ns);
        let mut board = self.0.board();
        while board.under_way > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.0.settled.wait_timeout(board, left);
            board = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn serve<H: QueueHost>(host: &H, shared: &Shared) {
    let mut board = shared.board();
    loop {
        if !board.todo.is_empty() {
            board = take_turn(host, shared, board);
        } else if board.stop {
            return;
        } else {
            board.idle += 1;
            board = shared.work.wait(board).unwrap_or_else(PoisonError::into_inner);
            board.idle -= 1;
        }
    }
}

/// Do the next request, without the lock.
fn take_turn<'a, H: QueueHost>(
    host: &H,
    shared: &'a Shared,
    mut board: MutexGuard<'a, Board>,
) -> MutexGuard<'a, Board> {
    let Some(Task { index, fd, op, offset }) = board.todo.pop_front() else { return board };
    board.under_way += 1;
    drop(board);
    // SAFETY: the queue keeps what the request points at until it has ended (I2).
    let result = unsafe { host.perform(fd, &op, offset) };
    let mut board = shared.board();
    board.under_way -= 1;
    board.done.push((index, result));
    if board.under_way == 0 {
        shared.settled.notify_all();
    }
    if board.done.len() == 1 {
        // The first since somebody looked: after it, whoever takes one takes all.
        let _ = ring_real_bell(shared.news);
    }
    board
}
