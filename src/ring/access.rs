//! Whose turn it is: one thread's ring (owned) or everybody's (shared), and nobody's after a fork.
//!
//! An owned ring belongs to the first thread that uses it, and costs a thread-id comparison per
//! call. A shared ring has a lock. Neither is ever held while calling Python or sleeping in the
//! kernel (I6); an owned ring's holder may enter the kernel, which touches no other thread's state.
//!
//! An owned ring may still be taken apart in another thread, when nobody has a reference to it any
//! more, while something of its own thread (a file of its table, say) looks at it for a moment. A
//! GIL keeps the two apart; without one the lock does ([`Owned::LOCKED`]).

use std::cell::{RefCell, UnsafeCell};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, PoisonError, TryLockError, Weak};
use std::time::Duration;

use crate::ring::error::RingError;
use crate::ring::fork;
use crate::sys::ending::arm_thread;
use crate::sys::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
#[cfg(shuttle)]
use crate::sys::sync::broken::{self, Rule};
use crate::sys::sync::{thread_id, thread_local, Condvar, Mutex, MutexGuard};

const NOBODY: usize = 0;
/// The owner has ended. No thread has this word.
const ENDED: usize = usize::MAX;

/// What is guarded: a ring, with whatever belongs to it.
pub trait Owned {
    /// An owned ring is locked, too: there is no GIL to keep its end apart from its last uses.
    const LOCKED: bool = false;

    /// The calling thread becomes the owner.
    fn enable(&mut self) -> Result<(), RingError>;

    /// The calling thread is the heir of the owner, which has ended.
    fn inherited(&mut self);
}

/// What a thread is asked to do for a ring when it ends.
trait Orphan {
    fn owner_ends(&self);
}

/// The rings that a thread owns. A thread's word is given to a new thread as soon as it has ended,
/// and the new one must not be taken for the old: its table of ring descriptors is another one.
struct Estate(RefCell<Vec<Weak<dyn Orphan>>>);

impl Drop for Estate {
    fn drop(&mut self) {
        self.0.take().iter().filter_map(Weak::upgrade).for_each(|ring| ring.owner_ends());
    }
}

thread_local! {
    static ESTATE: Estate = const { Estate(RefCell::new(Vec::new())) };
}

/// A ring and the rule of who may touch it.
pub struct RingCell<T: Owned> {
    ring: UnsafeCell<T>,
    shared: bool,
    /// The thread an owned ring belongs to.
    owner: AtomicUsize,
    /// The thread that closes the ring.
    closer: AtomicUsize,
    generation: u32,
    /// Somebody holds the ring; makes a forgotten release or a re-entry visible.
    busy: AtomicBool,
    /// How many of its users may take it without the interpreter (bulk runs): while there are any,
    /// nobody else may look.
    away: AtomicU32,
    lock: Mutex<()>,
    /// Threads between a plan and the end of its run, who rely on the descriptor staying open.
    entering: AtomicU32,
    /// Threads that wait for those to leave, and the lock that they look under: not the ring's, whose
    /// holder may be at it for longer than somebody who leaves the kernel may wait.
    waiting: AtomicU32,
    leaving: Mutex<()>,
    left: Condvar,
    me: Weak<Self>,
}

// SAFETY: the ring is reached only through `hold`, which lets in one thread at a time (I9).
unsafe impl<T: Owned> Sync for RingCell<T> {}
// SAFETY: what payloads point at is owned by slots, and moves with the ring (I1).
unsafe impl<T: Owned> Send for RingCell<T> {}

/// The right to touch a ring, until dropped.
pub struct Hold<'a, T: Owned> {
    cell: &'a RingCell<T>,
    _lock: Option<MutexGuard<'a, ()>>,
}

impl<T: Owned + 'static> RingCell<T> {
    /// A new ring, not yet anybody's.
    pub fn new(ring: T, shared: bool) -> Self {
        RingCell {
            ring: UnsafeCell::new(ring),
            shared,
            owner: AtomicUsize::new(NOBODY),
            closer: AtomicUsize::new(NOBODY),
            generation: fork::generation(),
            busy: AtomicBool::new(false),
            away: AtomicU32::new(0),
            lock: Mutex::new(()),
            entering: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            leaving: Mutex::new(()),
            left: Condvar::new(),
            me: Weak::new(),
        }
    }

    /// A new ring that learns of the end of its owner's thread.
    pub fn in_arc(ring: T, shared: bool) -> Arc<Self> {
        Arc::new_cyclic(|me| RingCell { me: me.clone(), ..Self::new(ring, shared) })
    }

    /// May many threads use it?
    pub fn shared(&self) -> bool {
        self.shared
    }

    /// Was the ring made by this very process, not by a parent?
    #[inline(always)]
    pub fn same_process(&self) -> bool {
        self.generation == fork::generation()
    }

    /// The thread-id word of an owned ring's thread; 0 if it has none yet.
    pub fn owner(&self) -> usize {
        self.owner.load(Ordering::Relaxed)
    }

    /// Is the calling thread one that may use the ring (or could become its owner)?
    pub fn mine(&self) -> bool {
        let owner = self.owner();
        self.shared || owner == NOBODY || owner == thread_id()
    }

    /// Is it an owned ring that no thread has used yet, or was able to?
    pub fn is_unused(&self) -> bool {
        !self.shared && self.owner() == NOBODY
    }

    /// Has the thread that an owned ring belongs to ended? The kernel will let nobody enter it again.
    pub fn orphaned(&self) -> bool {
        self.owner() == ENDED
    }

    /// Take over an owned ring whose thread has ended, to close it. False when it has not.
    pub fn inherit(&self) -> bool {
        let me = thread_id();
        #[cfg(shuttle)]
        if broken::is(Rule::OneHeir) && self.orphaned() {
            self.owner.store(me, Ordering::Relaxed);
            self.begin(None).inherited();
            self.bequeath();
            return true;
        }
        let heir = self.owner.compare_exchange(ENDED, me, Ordering::Acquire, Ordering::Relaxed);
        if heir.is_ok() {
            self.begin(self.lock_owned()).inherited();
            self.bequeath();
        }
        heir.is_ok()
    }

    /// Have the calling thread, the owner, tell when it ends.
    fn bequeath(&self) {
        let me: Weak<dyn Orphan> = self.me.clone();
        // A thread that is past its end already has nothing left to tell with.
        let _ = ESTATE.try_with(|estate| {
            let mut rings = estate.0.borrow_mut();
            if rings.len() == rings.capacity() {
                rings.retain(|ring| ring.strong_count() > 0);
            }
            rings.push(me);
        });
    }

    /// Become the one thread that closes the ring. Some(true) until [`RingCell::end_close`];
    /// Some(false) if the caller is that thread already; None while another thread is.
    pub fn begin_close(&self) -> Option<bool> {
        let me = thread_id();
        #[cfg(shuttle)]
        if broken::is(Rule::OneCloser) && self.closer.load(Ordering::Relaxed) == NOBODY {
            self.closer.store(me, Ordering::Relaxed);
            return Some(true);
        }
        match self.closer.compare_exchange(NOBODY, me, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Some(true),
            Err(other) => (other == me).then_some(false),
        }
    }

    /// Closing is over, or was given up for now.
    pub fn end_close(&self) {
        self.closer.store(NOBODY, Ordering::Release);
    }

    /// Take the ring. None when a shared ring is held by another thread: then detach from the
    /// interpreter before calling [`RingCell::wait_turn`] (I6).
    #[inline(always)]
    pub fn hold(&self) -> Result<Option<Hold<'_, T>>, RingError> {
        if !self.same_process() {
            return Err(RingError::Forked);
        }
        if !self.shared {
            if self.owner.load(Ordering::Relaxed) != thread_id() {
                self.claim()?;
            }
            return Ok(Some(self.begin(self.lock_owned())));
        }
        arm_thread();
        match self.lock.try_lock() {
            #[cfg(shuttle)]
            Err(_) if broken::is(Rule::OneHolder) => Ok(Some(self.begin(None))),
            Ok(lock) => Ok(Some(self.begin(Some(lock)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Poisoned(e)) => Ok(Some(self.begin(Some(e.into_inner())))),
        }
    }

    /// Wait for whoever holds the ring, then try [`RingCell::hold`] again.
    pub fn wait_turn(&self) {
        drop(locked(&self.lock));
    }

    /// Take the ring from a thread that is not its owner, to let go of it: for an owned ring
    /// nobody can use any more, because no reference to it is left.
    ///
    /// # Safety
    /// No other thread may use the ring, now or later, but for moments under the lock if there is
    /// one. Not for a ring of another process, whose lock may be held for ever.
    pub unsafe fn hold_last(&self) -> Hold<'_, T> {
        self.begin(self.lock_owned())
    }

    /// The same for a forked child, which has one thread and must not look at the lock.
    ///
    /// # Safety
    /// Only in a child that the ring was forked into.
    pub unsafe fn hold_inherited(&self) -> Hold<'_, T> {
        self.busy.store(false, Ordering::Relaxed);
        self.begin(None)
    }

    /// The lock that holders of an owned ring take where there is no GIL. Waiting for it takes no
    /// time, since whoever has it calls nothing (I6).
    #[inline(always)]
    fn lock_owned(&self) -> Option<MutexGuard<'_, ()>> {
        T::LOCKED.then(|| locked(&self.lock))
    }

    #[inline(always)]
    fn begin<'a>(&'a self, lock: Option<MutexGuard<'a, ()>>) -> Hold<'a, T> {
        debug_assert!(!self.busy.load(Ordering::Relaxed), "a ring was entered twice (I6)");
        self.busy.store(true, Ordering::Relaxed);
        Hold { cell: self, _lock: lock }
    }

    #[cold]
    fn claim(&self) -> Result<(), RingError> {
        arm_thread();
        let me = thread_id();
        if self.owner.compare_exchange(NOBODY, me, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return Err(RingError::WrongThread);
        }
        let enabled = self.begin(self.lock_owned()).enable();
        match enabled {
            Ok(()) => self.bequeath(),
            Err(_) => self.owner.store(NOBODY, Ordering::Release),
        }
        enabled
    }

    /// From now on the calling thread may take the ring without the interpreter. Call attached, so
    /// that whoever relies on [`RingCell::peek`] sees it in time; matched by [`RingCell::back`].
    pub fn go_away(&self) {
        self.away.fetch_add(1, Ordering::AcqRel);
    }

    /// The calling thread has the interpreter again.
    pub fn back(&self) {
        self.away.fetch_sub(1, Ordering::AcqRel);
    }

    /// Announce that the calling thread is about to enter the kernel with a plan. Call while
    /// holding the ring; matched by [`RingCell::left`].
    #[inline(always)]
    pub fn entering(&self) {
        if self.shared || T::LOCKED {
            self.entering.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The call announced by [`RingCell::entering`] is over.
    #[inline(always)]
    pub fn left(&self) {
        // Each side tells and then looks, in one order for all: one of them sees the other.
        let last = (self.shared || T::LOCKED) && self.entering.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && self.waiting.load(Ordering::SeqCst) > 0 {
            self.tell_left();
        }
    }

    #[cold]
    fn tell_left(&self) {
        #[cfg(shuttle)]
        if broken::is(Rule::LeaverTells) {
            return;
        }
        // Whoever waits looks under the lock: nothing happens between its look and its sleep.
        #[cfg(shuttle)]
        let _lock = (!broken::is(Rule::LeaverTellsLocked)).then(|| locked(&self.leaving));
        #[cfg(not(shuttle))]
        let _lock = locked(&self.leaving);
        self.left.notify_all();
    }

    /// Is some thread in the kernel with this ring?
    pub fn occupied(&self) -> bool {
        self.entering.load(Ordering::Acquire) > 0
    }

    /// Wait a moment for the threads that are in the kernel with this ring. True when none is.
    pub fn wait_until_left(&self, moment: Duration) -> bool {
        if self.occupied() && !moment.is_zero() {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            let lock = locked(&self.leaving);
            if self.entering.load(Ordering::SeqCst) > 0 {
                drop(self.left.wait_timeout(lock, moment));
            }
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        !self.occupied()
    }

    /// The ring without taking it, to reach memory of a slot that is the caller's.
    ///
    /// # Safety
    /// The caller may only use what no other thread changes: a payload of a slot that is reserved
    /// or finished by the caller, and the addresses leading there, which never change.
    #[inline(always)]
    pub unsafe fn assume_held(&self) -> &T {
        // SAFETY: the caller's contract (I1, I9).
        unsafe { &*self.ring.get() }
    }

    /// Look at the ring while nobody holds it; None when somebody does.
    ///
    /// # Safety
    /// The caller must know that no thread takes the ring meanwhile: every taker needs the
    /// interpreter lock that the caller has, or is stopped (a collector's traversal).
    pub unsafe fn peek(&self) -> Option<&T> {
        // SAFETY: not held, and nobody can take it meanwhile by the caller's contract (I9).
        (!self.is_taken()).then(|| unsafe { &*self.ring.get() })
    }

    /// Does somebody hold the ring, or may take it without the interpreter?
    pub fn is_taken(&self) -> bool {
        self.busy.load(Ordering::Relaxed) || self.away.load(Ordering::Acquire) > 0
    }
}

fn locked(lock: &Mutex<()>) -> MutexGuard<'_, ()> {
    // What it guards has no state of its own.
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Owned> Orphan for RingCell<T> {
    fn owner_ends(&self) {
        let me = thread_id();
        let _ = self.owner.compare_exchange(me, ENDED, Ordering::AcqRel, Ordering::Relaxed);
    }
}

impl<T: Owned> Deref for Hold<'_, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: a `Hold` exists once at a time: thread check or lock (I9).
        unsafe { &*self.cell.ring.get() }
    }
}

impl<T: Owned> DerefMut for Hold<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref` (I9).
        unsafe { &mut *self.cell.ring.get() }
    }
}

impl<T: Owned> Drop for Hold<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.cell.busy.store(false, Ordering::Relaxed);
    }
}
