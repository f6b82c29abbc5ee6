//! Threads of a job's own, that make plain system calls: what is used where rings are refused.
//!
//! They never touch Python. One is started when there is work and no other is idle, up to the job's
//! depth, and all end with the job.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::bulk::host::Host;
use crate::bulk::work::{Ended, Work};
use crate::sys::tree::without_signals;
use crate::sys::Errno;

/// So often is a work begun anew that was cut short.
const ATTEMPTS: u32 = 100;

/// Workers that are kept waiting need little.
const STACK: usize = 64 << 10;

#[derive(Default)]
struct Board {
    todo: VecDeque<(Work, u64)>,
    done: Vec<(Work, Ended)>,
    idle: usize,
    /// Works taken and not yet done.
    under_way: usize,
    stop: bool,
}

#[derive(Default)]
struct Shared {
    board: Mutex<Board>,
    work: Condvar,
    news: Condvar,
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        // Nothing below panics while it holds the lock; if it did, the board is whole all the same.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Pool<H: Host> {
    host: H,
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    most: usize,
}

impl<H: Host> Pool<H> {
    pub(super) fn new(host: H, most: usize) -> Self {
        Pool { host, shared: Arc::default(), workers: Vec::new(), most: most.max(1) }
    }

    /// Begin a work; what it points at must live until it has ended (I2).
    pub(super) fn start(&mut self, work: Work, token: u64) {
        let short = {
            let mut board = self.shared.board();
            board.todo.push_back((work, token));
            board.todo.len() > board.idle
        };
        if short && self.workers.len() < self.most {
            self.hire();
        }
        if self.workers.is_empty() {
            // No thread is to be had: then it is done here, now.
            drop(take_turn(&self.host, &self.shared, self.shared.board()));
        } else {
            self.shared.work.notify_one();
        }
    }

    fn hire(&mut self) {
        let (host, shared) = (self.host.clone(), Arc::clone(&self.shared));
        let builder = thread::Builder::new().name("uring_rs-file".into()).stack_size(STACK);
        // Signals are the interpreter's affair, and are to end the waits of its threads, not ours.
        let begun = without_signals(|| builder.spawn(move || serve(&host, &shared)));
        // One thread less is no failure.
        self.workers.extend(begun);
    }

    /// Wait for `min` works to have ended, at most so long, and take all that have.
    pub(super) fn wait(&self, min: usize, nap_ns: u64, ended: &mut Vec<Ended>) {
        let until = Instant::now() + Duration::from_nanos(nap_ns);
        let mut board = self.shared.board();
        while board.done.len() < min {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.shared.news.wait_timeout(board, left);
            board = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        ended.extend(board.done.drain(..).map(|(_, ended)| ended));
    }

    /// Take back what no thread has begun.
    pub(super) fn take_back(&self) -> Vec<Work> {
        self.shared.board().todo.drain(..).map(|(work, _)| work).collect()
    }

    /// What has ended and nobody asks after.
    pub(super) fn take_done(&self) -> Vec<(Work, Ended)> {
        core::mem::take(&mut self.shared.board().done)
    }

    /// Wait at most so long until no thread is at work. True when none is.
    pub(super) fn settle(&self, nap_ns: u64) -> bool {
        let until = Instant::now() + Duration::from_nanos(nap_ns);
        let mut board = self.shared.board();
        while board.under_way > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.news.wait_timeout(board, left);
            board = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// After a fork the threads are the parent's, and their locks may be held for ever.
    pub(super) fn abandon(&mut self) {
        core::mem::forget(core::mem::take(&mut self.workers));
        core::mem::forget(Arc::clone(&self.shared));
        self.shared = Arc::default();
    }
}

impl<H: Host> Drop for Pool<H> {
    fn drop(&mut self) {
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

fn serve<H: Host>(host: &H, shared: &Shared) {
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

/// Do the next work, without the lock.
fn take_turn<'a, H: Host>(
    host: &H,
    shared: &'a Shared,
    mut board: MutexGuard<'a, Board>,
) -> MutexGuard<'a, Board> {
    let Some((work, token)) = board.todo.pop_front() else { return board };
    board.under_way += 1;
    drop(board);
    // SAFETY: whoever began the work keeps what it points at until it has ended (I2).
    let mut result = unsafe { host.carry_out(&work) };
    let mut attempts = 1;
    // There are no signals in these threads, but file systems of their own mind.
    while result == -Errno::EINTR.0 && work.repeatable() && attempts < ATTEMPTS {
        // SAFETY: as above.
        result = unsafe { host.carry_out(&work) };
        attempts += 1;
    }
    let mut board = shared.board();
    board.under_way -= 1;
    board.done.push((work, Ended { token, result }));
    shared.news.notify_one();
    board
}
