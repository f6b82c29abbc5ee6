//! The files of a tree, in batches: helpers copy them while the calling thread walks on.

use core::ffi::CStr;
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, Scope};

use super::control::Worker;
use super::entry::{copy_entry, Item};
use super::job::Job;
use super::node::{release, Fds, Node};
use super::place::Place;
use super::trouble::Trouble;
use crate::sys::tree::without_signals;

/// Names in one batch: enough that handing it over costs nothing beside them.
const BATCH: usize = 32;
/// A job smaller than this is done before a thread has begun.
const ALONE: usize = 64;

/// Some names of one folder.
pub struct Batch {
    node: Arc<Node>,
    fds: Arc<Fds>,
    names: Vec<u8>,
    starts: Vec<(u32, u8)>,
}

impl Batch {
    /// An empty one.
    pub fn new(node: &Arc<Node>, fds: &Arc<Fds>) -> Self {
        let (names, starts) = (Vec::new(), Vec::with_capacity(BATCH));
        Batch { node: Arc::clone(node), fds: Arc::clone(fds), names, starts }
    }

    /// One more name; true when it is full.
    pub fn push(&mut self, name: &CStr, kind: u8) -> bool {
        self.starts.push((self.names.len() as u32, kind));
        self.names.extend_from_slice(name.to_bytes_with_nul());
        self.starts.len() >= BATCH
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    fn run(self, job: &Job<'_>, worker: &mut Worker<'_>) -> Result<(), Trouble> {
        let Batch { node, fds, names, starts } = self;
        for (start, kind) in starts {
            worker.check()?;
            let Ok(name) = CStr::from_bytes_until_nul(&names[start as usize..]) else { continue };
            let path = || node.path(Some(name.to_bytes()));
            let item = Item {
                from: Place { dir: fds.src.as_fd(), name },
                to: Place { dir: fds.dst.as_fd(), name },
                kind,
                follow: false,
                top: false,
                fresh: node.fresh,
                inherited: node.inherited,
                path: Some(&path),
            };
            match copy_entry(job, worker, &item) {
                Ok(()) => {}
                Err(Trouble::Fault(fault)) => job.report(fault, &path()),
                Err(Trouble::Stopped) => return Err(Trouble::Stopped),
            }
        }
        drop(fds);
        release(job, node);
        Ok(())
    }
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Batch>,
    running: usize,
    closed: bool,
}

/// The batches that wait, and those who take them.
pub struct Pool<'j> {
    job: &'j Job<'j>,
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// The calling thread's view of it.
pub struct Giver<'s, 'e: 's> {
    pool: &'s Pool<'s>,
    scope: &'s Scope<'s, 'e>,
    given: usize,
    helpers: usize,
}

impl<'j> Pool<'j> {
    /// Nobody works and nothing waits.
    pub fn new(job: &'j Job<'j>) -> Self {
        Pool { job, queue: Mutex::default(), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No more will come, and what waits is not done either.
    fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        let left = std::mem::take(&mut queue.waiting);
        drop(queue);
        drop(left); // closes descriptors, without the lock
        self.changed.notify_all();
    }

    fn help(&self) {
        let mut worker = Worker::helper(self.job.control);
        loop {
            let mut queue = self.lock();
            let batch = loop {
                match queue.waiting.pop_front() {
                    Some(batch) => break batch,
                    None if queue.closed => return,
                    None => {
                        queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                    }
                }
            };
            queue.running += 1;
            drop(queue);
            // Stopped: the rest of the batch is dropped, and soon what else waits.
            let _ = batch.run(self.job, &mut worker);
            self.lock().running -= 1;
            self.changed.notify_all();
        }
    }
}

impl<'s, 'e> Giver<'s, 'e> {
    /// For the thread that began the scope.
    pub fn new(pool: &'s Pool<'s>, scope: &'s Scope<'s, 'e>) -> Self {
        Giver { pool, scope, given: 0, helpers: 0 }
    }

    /// Have a batch done: by a helper, or here where there are none, or none is free.
    pub fn give(&mut self, worker: &mut Worker<'_>, batch: Batch) -> Result<(), Trouble> {
        self.given += batch.starts.len();
        let threads = self.pool.job.options.threads;
        if threads > 1 && self.given > ALONE {
            self.hire(threads - 1);
        }
        if self.helpers > 0 {
            let mut queue = self.pool.lock();
            if queue.waiting.len() < 2 * self.helpers {
                queue.waiting.push_back(batch);
                drop(queue);
                self.pool.changed.notify_one();
                return Ok(());
            }
        }
        batch.run(self.pool.job, worker)
    }

    fn hire(&mut self, wanted: usize) {
        while self.helpers < wanted {
            let pool = self.pool;
            let begin = || {
                let name = Builder::new().name("uring-rs-copy".into());
                name.spawn_scoped(self.scope, move || pool.help())
            };
            if without_signals(begin).is_err() {
                return; // no more threads to be had: with those there are, or alone
            }
            self.helpers += 1;
        }
    }

    /// Do what waits, then wait for what is being done.
    pub fn finish(&mut self, worker: &mut Worker<'_>) -> Result<(), Trouble> {
        loop {
            let mut queue = self.pool.lock();
            if let Some(batch) = queue.waiting.pop_front() {
                drop(queue);
                batch.run(self.pool.job, worker)?;
            } else if queue.running == 0 {
                return Ok(());
            } else {
                worker.nap(&self.pool.changed, queue)?;
            }
        }
    }
}

impl Drop for Giver<'_, '_> {
    fn drop(&mut self) {
        // The scope waits for the helpers, however it is left.
        self.pool.close();
    }
}
