//! Locks, atomics and threads of the code that many threads run at once.
//!
//! Under `--cfg shuttle` they are shuttle's, so that whoever uses them is run by its schedulers as
//! it is (`tests/rust/shuttle.rs`). There, atomics are sequentially consistent whatever they were
//! asked to be, and no wait times out: a wake-up that is lost is a deadlock, and reported.

#[cfg(not(shuttle))]
pub use std::{
    sync::{atomic, Condvar, Mutex, MutexGuard},
    thread, thread_local,
};

#[cfg(shuttle)]
pub use shuttle::{
    sync::{atomic, Condvar, Mutex, MutexGuard},
    thread, thread_local,
};

#[cfg(not(shuttle))]
pub use crate::sys::syscall::thread_id;

/// A number that tells the calling thread of a model from every other.
#[cfg(shuttle)]
pub fn thread_id() -> usize {
    usize::from(thread::current().id()) + 1
}

/// Rules that a model has the code break: a checker that has never been seen to object proves
/// nothing, so each rule is broken once and the model must notice. Nothing of this exists in a
/// normal build.
#[cfg(shuttle)]
pub mod broken {
    use std::cell::Cell;

    /// The rule that is broken.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Rule {
        /// None: the code as it is.
        None,
        /// A shared ring is taken by whoever wants it, held or not.
        OneHolder,
        /// Whoever leaves the kernel last tells those who wait for that.
        LeaverTells,
        /// It tells them with the lock that they look under.
        LeaverTellsLocked,
        /// One thread at a time closes a ring.
        OneCloser,
        /// One thread is the heir of an owner that has ended.
        OneHeir,
        /// A sleeper says what it waits for before it looks whether a wake-up is on its way.
        TellThenLook,
        /// A queue's bell is polled before its waiters sleep.
        BellIsPolled,
        /// A queue's sleepers are counted before they sleep.
        SleepersAreCounted,
        /// Whoever takes a completion that others wait for has them look.
        OthersArePoked,
        /// A queue is let go of only when nobody sleeps on it.
        SleepersLeaveFirst,
        /// A worker thread that has ended a request tells so.
        WorkerTells,
    }

    // The threads of a model are all run by the thread of its test, so this reaches them and no
    // other test.
    std::thread_local!(static CHOSEN: Cell<Rule> = const { Cell::new(Rule::None) });

    /// Break `rule` in all models that this thread runs from now on.
    pub fn choose(rule: Rule) {
        CHOSEN.with(|chosen| chosen.set(rule));
    }

    /// Is it this rule that is broken?
    pub fn is(rule: Rule) -> bool {
        CHOSEN.with(Cell::get) == rule
    }
}
