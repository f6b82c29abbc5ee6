//! Threads that make plain system calls: what is used where rings are refused.
//!
//! They never touch Python. One is started when there is work and no other is idle, up to a bound,
//! and all end with the crew.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

#[cfg(shuttle)]
use crate::sys::sync::broken::{self, Rule};
use crate::sys::sync::thread::{self, JoinHandle};
use crate::sys::sync::{Condvar, Mutex, MutexGuard};
use crate::sys::tree::without_signals;

/// Workers that are kept waiting need little.
const STACK: usize = 64 << 10;

/// What a crew does.
pub(super) trait Deed: Send + Sync + 'static {
    /// One piece of work.
    type Task: Send;
    /// What came of it.
    type Ended: Send;

    /// Do it, however long that takes. What the task points at lives until it has ended (I2).
    fn perform(&self, task: Self::Task) -> Self::Ended;

    /// Something has ended: the `first` since somebody took what had. Those who sleep in
    /// [`Crew::wait`] are told of it anyway.
    fn tell(&self, first: bool) {
        let _ = first;
    }
}

struct Board<D: Deed> {
    todo: VecDeque<D::Task>,
    done: Vec<D::Ended>,
    idle: usize,
    /// Tasks taken and not yet done.
    under_way: usize,
    stop: bool,
}

pub(super) struct Shared<D: Deed> {
    pub(super) deed: D,
    board: Mutex<Board<D>>,
    work: Condvar,
    news: Condvar,
}

pub(super) struct Crew<D: Deed> {
    shared: Arc<Shared<D>>,
    workers: Vec<JoinHandle<()>>,
    most: usize,
    name: &'static str,
}

impl<D: Deed> Shared<D> {
    fn board(&self) -> MutexGuard<'_, Board<D>> {
        // Nothing below panics while it holds the lock; if it did, the board is whole all the same.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wait at most so long until `enough`. False when the time was up first.
    fn wait_until(
        &self,
        nap_ns: u64,
        enough: impl Fn(&Board<D>) -> bool,
    ) -> (bool, MutexGuard<'_, Board<D>>) {
        let until = Instant::now() + Duration::from_nanos(nap_ns);
        let mut board = self.board();
        while !enough(&board) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return (false, board);
            }
            let waited = self.news.wait_timeout(board, left);
            board = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        (true, board)
    }

    /// Wait at most so long until no thread is at work. True when none is.
    pub(super) fn settle(&self, nap_ns: u64) -> bool {
        self.wait_until(nap_ns, |board| board.under_way == 0).0
    }

    fn serve(&self) {
        let mut board = self.board();
        loop {
            if !board.todo.is_empty() {
                board = self.take_turn(board);
            } else if board.stop {
                return;
            } else {
                board.idle += 1;
                board = self.work.wait(board).unwrap_or_else(PoisonError::into_inner);
                board.idle -= 1;
            }
        }
    }

    /// Do the next task, without the lock.
    fn take_turn<'a>(&'a self, mut board: MutexGuard<'a, Board<D>>) -> MutexGuard<'a, Board<D>> {
        let Some(task) = board.todo.pop_front() else { return board };
        board.under_way += 1;
        drop(board);
        let ended = self.deed.perform(task);
        let mut board = self.board();
        board.under_way -= 1;
        board.done.push(ended);
        #[cfg(shuttle)]
        if broken::is(Rule::WorkerTells) {
            return board;
        }
        self.news.notify_all();
        self.deed.tell(board.done.len() == 1);
        board
    }
}

impl<D: Deed> Crew<D> {
    /// Nobody yet; `most` at most.
    pub(super) fn new(deed: D, most: usize, name: &'static str) -> Self {
        let board =
            Board { todo: VecDeque::new(), done: Vec::new(), idle: 0, under_way: 0, stop: false };
        let (work, news) = (Condvar::new(), Condvar::new());
        let shared = Shared { deed, board: Mutex::new(board), work, news };
        Crew { shared: Arc::new(shared), workers: Vec::new(), most: most.max(1), name }
    }

    /// What is left when the crew is gone, and who may wait without it.
    pub(super) fn shared(&self) -> &Arc<Shared<D>> {
        &self.shared
    }

    /// Begin a task; what it points at must live until it has ended (I2).
    pub(super) fn start(&mut self, task: D::Task) {
        let short = {
            let mut board = self.shared.board();
            board.todo.push_back(task);
            board.todo.len() > board.idle
        };
        if short && self.workers.len() < self.most {
            let shared = Arc::clone(&self.shared);
            let builder = thread::Builder::new().name(self.name.into()).stack_size(STACK);
            // Signals are the interpreter's affair, and are to end the waits of its threads, not
            // ours. One thread less is no failure.
            self.workers.extend(without_signals(|| builder.spawn(move || shared.serve())));
        }
        if self.workers.is_empty() {
            // No thread is to be had: then it is done here, now.
            drop(self.shared.take_turn(self.shared.board()));
        } else {
            self.shared.work.notify_one();
        }
    }

    /// Wait for `min` tasks to have ended, at most so long, and take all that have.
    pub(super) fn wait(&self, min: usize, nap_ns: u64) -> Vec<D::Ended> {
        let (_, mut board) = self.shared.wait_until(nap_ns, |board| board.done.len() >= min);
        core::mem::take(&mut board.done)
    }

    /// Take back what no thread has begun, if `which` says so.
    pub(super) fn take_back(&self, which: impl Fn(&D::Task) -> bool) -> Vec<D::Task> {
        let mut board = self.shared.board();
        let todo = core::mem::take(&mut board.todo);
        let (back, rest): (Vec<_>, Vec<_>) = todo.into_iter().partition(which);
        board.todo = rest.into();
        back
    }

    /// What has ended and was not taken.
    pub(super) fn take_done(&self) -> Vec<D::Ended> {
        core::mem::take(&mut self.shared.board().done)
    }

    /// After a fork the threads are the parent's, and their locks may be held for ever.
    pub(super) fn abandon(&mut self) {
        core::mem::forget(core::mem::take(&mut self.workers));
        core::mem::forget(Arc::clone(&self.shared));
    }
}

impl<D: Deed> Drop for Crew<D> {
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
