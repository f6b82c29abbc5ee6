//! A queue of requests that any thread fills and any thread empties, and that can be woken from
//! outside: prepare, commit, wait, wake.
//!
//! Requests are carried out by a ring, or where that is refused by threads; which of the two makes
//! no difference to who uses it. `K` is what each request keeps alive.
//!
//! Two locks, always taken in this order. `submit` is held by whoever hands requests over, for as
//! long as the kernel takes them, which is what the kernel's own lock does anyway. `core` guards the
//! books; it is held for moments only, and never while sleeping (I6).
//!
//! The wake-up is an eventfd and nothing else: to ring is to write to it, whoever does; to be woken
//! is to have read it, which resets it. So of many rings before one look exactly one is seen, none
//! is lost and none is seen twice. The ring polls it, so that it ends a wait; `rung` only spares
//! those who need not wait the system call.

mod bell;
mod books;
mod close;
pub mod host;
pub mod op;
mod ring;
mod table;
mod threads;
mod wait;

use std::sync::{PoisonError, TryLockError};
use std::time::Duration;

use crate::bulk::pump::Way;
use crate::ring::error::{Call, RingError};
use crate::ring::fork;
use crate::ring::kernel::Kernel;
use crate::ring::params::SQ_ENTRIES_MAX;
use crate::ring::wait::EnterPlan;
use crate::sys::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sys::sync::{Mutex, MutexGuard};
use crate::sys::syscall;

use books::{start_all, Carrier, Core, Phase};
use host::QueueHost;
use op::{Op, Target};
use ring::RingCarrier;
pub use table::{Done, FileError};
use table::{Files, Table};
use threads::ThreadCarrier;
pub use wait::Look;

/// When the kernel is short of something just now.
const SHORT_NAP: Duration = Duration::from_millis(1);

/// Why a queue could not do what was asked. Results of requests are not errors of the queue.
#[derive(Clone, Debug)]
pub enum QueueError {
    /// The ring, or the state of the queue.
    Ring(RingError),
    /// A file.
    File(FileError),
    /// So many requests have not been handed out.
    Full {
        /// As many as there can be.
        depth: u32,
    },
}

impl From<RingError> for QueueError {
    fn from(error: RingError) -> Self {
        QueueError::Ring(error)
    }
}

impl From<FileError> for QueueError {
    fn from(error: FileError) -> Self {
        QueueError::File(error)
    }
}

/// What a queue is asked to be.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Requests that are prepared, under way, or have ended and not been handed out.
    pub depth: u32,
    /// Files that can be registered at a time.
    pub files: u32,
    /// Which ways are open.
    pub way: Way,
}

/// The eventfd, and whether it is one of the running kernel or of the host's.
#[derive(Clone, Copy)]
struct Bell {
    fd: i32,
    real: bool,
}

/// One step of handing over.
enum Step<H: QueueHost> {
    /// So many requests are in the submission queue, to be submitted like this.
    Staged(H::Kernel, EnterPlan, usize),
    /// Threads have begun so many.
    Began(u32),
    /// There is nothing to hand over.
    Nothing,
}

/// See the [module](self).
pub struct Queue<H: QueueHost, K> {
    host: H,
    depth: u32,
    submit: Mutex<()>,
    core: Mutex<Core<H, K>>,
    bell: Mutex<Option<Bell>>,
    /// Set after each ring: a hint that the bell is worth reading.
    rung: AtomicBool,
    /// Threads that sleep, or are about to.
    sleepers: AtomicU32,
    on_ring: bool,
    buffers: usize,
    table_used: bool,
    refusal: Option<RingError>,
    generation: u32,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one; if it did, the books are whole all the same.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<H: QueueHost, K> Queue<H, K> {
    /// A queue. `buffers` are addresses and lengths of memory that stays until it is closed; where
    /// the kernel does not want to register it, it is memory like any other.
    pub fn new(host: H, options: Options, buffers: &[(u64, u64)]) -> Result<Self, QueueError> {
        // With threads there may be no ring to do so.
        fork::watch();
        let wanted = options.depth.clamp(1, SQ_ENTRIES_MAX);
        let mut refusal = None;
        let mut made = None;
        if options.way != Way::Threads {
            match Self::with_ring(&host, wanted) {
                Ok(found) => made = Some(found),
                Err(error) if options.way == Way::Ring => return Err(error.into()),
                // Whatever the reason: threads can do it.
                Err(error) => refusal = Some(error),
            }
        }
        let (carrier, bell) = match made {
            Some((mut ring, bell)) => {
                ring.make_table(options.files);
                // Locked memory may be short, and nothing depends on it.
                if !buffers.is_empty() {
                    let _ = ring.set_buffers(buffers);
                }
                (Carrier::Ring(ring), bell)
            }
            None => Self::with_threads(&host, wanted)?,
        };
        let (depth, registered, table_used) = match &carrier {
            Carrier::Ring(ring) => (wanted.min(ring.room()), ring.buffers(), ring.has_table),
            Carrier::Threads(_) => (wanted, 0, false),
        };
        Ok(Queue {
            host,
            depth,
            submit: Mutex::new(()),
            on_ring: matches!(carrier, Carrier::Ring(_)),
            core: Mutex::new(Core {
                phase: Phase::Open,
                table: Table::new(depth),
                files: Files::new(options.files),
                carrier: Some(carrier),
            }),
            bell: Mutex::new(Some(bell)),
            rung: AtomicBool::new(false),
            sleepers: AtomicU32::new(0),
            buffers: registered,
            table_used,
            refusal,
            generation: fork::generation(),
        })
    }

    fn with_ring(host: &H, depth: u32) -> Result<(Box<RingCarrier<H>>, Bell), RingError> {
        let fd = host.bell().map_err(|errno| RingError::Sys(Call::EventFd, errno))?;
        match RingCarrier::new(host, depth, fd) {
            Ok(ring) => Ok((Box::new(ring), Bell { fd, real: false })),
            Err(error) => {
                // SAFETY: just made, and nobody has it (I10).
                unsafe { host.drop_fd(fd) };
                Err(error)
            }
        }
    }

    fn with_threads(host: &H, depth: u32) -> Result<(Carrier<H>, Bell), QueueError> {
        let failed = |call| move |errno| QueueError::Ring(RingError::Sys(call, errno));
        let threads = ThreadCarrier::new(host, depth).map_err(failed(Call::Thread))?;
        let fd = bell::new().map_err(failed(Call::EventFd))?;
        Ok((Carrier::Threads(threads), Bell { fd, real: true }))
    }

    /// The same process as made it? In a forked child nothing of it can be used.
    pub fn same_process(&self) -> bool {
        self.generation == fork::generation()
    }

    fn check_process(&self) -> Result<(), QueueError> {
        if self.same_process() {
            Ok(())
        } else {
            Err(RingError::Forked.into())
        }
    }

    /// The books, for a moment; they must be open.
    fn open(&self) -> Result<MutexGuard<'_, Core<H, K>>, QueueError> {
        self.check_process()?;
        let core = lock(&self.core);
        match core.phase {
            Phase::Open => Ok(core),
            _ => Err(RingError::Closed.into()),
        }
    }

    /// As many requests as there can be.
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// Is it a ring that carries requests out?
    pub fn on_ring(&self) -> bool {
        self.on_ring
    }

    /// Buffers that the kernel has registered.
    pub fn buffers(&self) -> usize {
        self.buffers
    }

    /// Are files registered in the ring's own table?
    pub fn uses_table(&self) -> bool {
        self.table_used
    }

    /// Why there is no ring, if one was wanted and refused.
    pub fn refusal(&self) -> Option<&RingError> {
        self.refusal.as_ref()
    }

    /// Requests that are prepared, handed over, and ready to be handed out.
    pub fn counts(&self) -> Result<[u32; 3], QueueError> {
        self.check_process()?;
        let table = &lock(&self.core).table;
        let waiting = table.again.len() as u32;
        Ok([table.prepared.len() as u32, table.out + waiting, table.ready() as u32])
    }

    /// Closed, or being closed?
    pub fn is_closed(&self) -> Result<bool, QueueError> {
        self.check_process()?;
        Ok(lock(&self.core).phase != Phase::Open)
    }

    /// The eventfd that wakes; writing to it is [`Queue::wake`] from wherever it comes.
    pub fn bell_fd(&self) -> Result<i32, QueueError> {
        self.check_process()?;
        lock(&self.bell).map(|bell| bell.fd).ok_or(RingError::Closed.into())
    }

    /// Nanoseconds of the clock that waits run on.
    pub fn now_ns(&self) -> u64 {
        if self.on_ring {
            self.host.kernel().now_ns()
        } else {
            syscall::monotonic_ns()
        }
    }

    /// Register a file by its descriptor, which may be closed afterwards.
    pub fn register(&self, fd: i32) -> Result<(), QueueError> {
        let mut core = self.open()?;
        let slot = core.files.place(fd)?;
        let target = match &mut core.carrier {
            Some(Carrier::Ring(ring)) if ring.has_table => {
                ring.set_file(slot, fd)?;
                Target::Fixed(slot)
            }
            _ => {
                let own = self.host.duplicate(fd);
                Target::Fd(own.map_err(|errno| RingError::Sys(Call::Register, errno))?)
            }
        };
        core.files.put(slot, fd, target);
        Ok(())
    }

    /// Let go of a file that no request is on.
    pub fn deregister(&self, fd: i32) -> Result<(), QueueError> {
        let mut core = self.open()?;
        let (slot, target) = core.files.idle(fd)?;
        if let (Target::Fixed(slot), Some(Carrier::Ring(ring))) = (target, &mut core.carrier) {
            ring.set_file(slot, -1)?;
        }
        core.files.remove(slot);
        drop(core);
        if let Target::Fd(own) = target {
            // SAFETY: the queue's own descriptor, which nothing uses (I10).
            unsafe { self.host.drop_fd(own) };
        }
        Ok(())
    }

    /// Prepare a request, which may transfer `most` bytes, on a registered file. Its handle, never
    /// 0; `keep` comes back with what is wrong.
    ///
    /// # Safety
    /// What `op` points at must be what it says and be kept alive by `keep` (I2).
    pub unsafe fn prepare(
        &self,
        fd: i32,
        mut op: Op,
        offset: u64,
        most: u64,
        keep: K,
    ) -> Result<u64, (QueueError, K)> {
        let mut core = match self.open() {
            Ok(core) => core,
            Err(error) => return Err((error, keep)),
        };
        let core = &mut *core;
        let slot = match core.files.find(fd) {
            Ok(slot) => slot,
            Err(error) => return Err((error.into(), keep)),
        };
        if let (Some(Carrier::Ring(ring)), true) = (&core.carrier, self.buffers > 0) {
            match &mut op {
                Op::Read { addr, len, fixed } => {
                    *fixed = ring.buffer_of(*addr as u64, (*len).into());
                }
                Op::Write { addr, len, fixed } => {
                    *fixed = ring.buffer_of(*addr as u64, (*len).into());
                }
                _ => {}
            }
        }
        match core.table.prepare(op, offset, slot, most, keep) {
            Ok(handle) => {
                core.files.enter(slot);
                Ok(handle)
            }
            Err(keep) => Err((QueueError::Full { depth: self.depth }, keep)),
        }
    }

    /// Bytes that the next commit may have to copy.
    pub fn prepared_bytes(&self) -> u64 {
        if self.same_process() {
            lock(&self.core).table.bytes
        } else {
            0
        }
    }

    /// Hand over all that is prepared. Returns how many requests were taken; the rest stays
    /// prepared. An error means that none was.
    pub fn commit(&self) -> Result<u32, QueueError> {
        self.check_process()?;
        let _turn = lock(&self.submit);
        self.hand_over(true)
    }

    /// The same if nobody else is at it; None otherwise.
    pub fn try_commit(&self) -> Option<Result<u32, QueueError>> {
        if let Err(error) = self.check_process() {
            return Some(Err(error));
        }
        let _turn = match self.submit.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(self.hand_over(true))
    }

    /// With the submission lock: hand over what was cut short, and what is prepared if so wanted.
    fn hand_over(&self, fresh: bool) -> Result<u32, QueueError> {
        let mut taken = 0;
        loop {
            let (kernel, plan, staged) = match self.stage(fresh) {
                Ok(Step::Staged(kernel, plan, staged)) => (kernel, plan, staged),
                Ok(Step::Began(count)) => return Ok(count),
                Ok(Step::Nothing) => return Ok(taken),
                // What was taken before is not to be forgotten.
                Err(_) if taken > 0 => return Ok(taken),
                Err(error) => return Err(error),
            };
            let entered = ring::hand_over(&kernel, &plan);
            let back = self.settle();
            taken += staged as u32 - back.unwrap_or(0).min(staged as u32);
            match entered {
                Err(error) if taken == 0 => return Err(error.into()),
                Err(_) => return Ok(taken),
                Ok(()) if back.is_some() => return Ok(taken),
                Ok(()) => {}
            }
        }
    }

    fn stage(&self, fresh: bool) -> Result<Step<H>, QueueError> {
        let mut core = self.open()?;
        let core = &mut *core;
        let before = core.table.prepared.len();
        match &mut core.carrier {
            Some(Carrier::Threads(threads)) => {
                let count = start_all(threads, &mut core.table, &core.files, fresh);
                Ok(Step::Began(count))
            }
            Some(Carrier::Ring(ring)) => {
                let Some(plan) = ring.stage_all(&mut core.table, &core.files, fresh)? else {
                    return Ok(Step::Nothing);
                };
                let staged = before - core.table.prepared.len();
                Ok(Step::Staged(ring.kernel(), plan, staged))
            }
            None => Err(RingError::Closed.into()),
        }
    }

    /// With the submission lock, after an enter.
    fn settle(&self) -> Option<u32> {
        let mut core = lock(&self.core);
        let core = &mut *core;
        match &mut core.carrier {
            Some(Carrier::Ring(ring)) => ring.settle(&mut core.table),
            _ => None,
        }
    }

    /// Have those who sleep look at the queue, without waking anybody who waits.
    pub fn poke(&self) {
        if !self.same_process() {
            return;
        }
        let _turn = lock(&self.submit);
        let staged = {
            let mut core = lock(&self.core);
            match &mut core.carrier {
                Some(Carrier::Ring(ring)) => {
                    ring.stage_poke().ok().flatten().map(|plan| (ring.kernel(), plan))
                }
                Some(Carrier::Threads(threads)) => {
                    threads.poke();
                    None
                }
                None => None,
            }
        };
        if let Some((kernel, plan)) = staged {
            // Where it fails, the waiters look up by themselves after a while.
            let _ = ring::hand_over(&kernel, &plan);
            self.settle();
        }
    }

    /// Stop a request: what was not handed over ends at once, and the system is asked to stop the
    /// rest. Either way it is handed out, with what came of it. False: it has ended, or is about to.
    pub fn cancel(&self, handle: u64) -> Result<bool, QueueError> {
        self.check_process()?;
        let turn = lock(&self.submit);
        let (stopped, poke) = {
            let mut core = self.open()?;
            let Some(index) = core.table.find(handle) else { return Ok(false) };
            let stopped = core.stop(index)?;
            (stopped, self.sleepers.load(Ordering::Acquire) > 0)
        };
        drop(turn);
        if poke {
            self.poke();
        }
        Ok(stopped)
    }

    /// Stop every request there is, as [`Queue::cancel`] does one. How many had not ended.
    pub fn cancel_all(&self) -> Result<u32, QueueError> {
        self.check_process()?;
        let turn = lock(&self.submit);
        let (count, poke) = {
            let mut core = self.open()?;
            (core.stop_all()?, self.sleepers.load(Ordering::Acquire) > 0)
        };
        drop(turn);
        if poke {
            self.poke();
        }
        Ok(count)
    }

    /// Look at what all requests keep alive, if nobody has the books open just now.
    pub fn try_keeps(&self, mut each: impl FnMut(&mut K)) {
        if !self.same_process() {
            return;
        }
        if let Ok(mut core) = self.core.try_lock() {
            core.table.keeps().for_each(&mut each);
        }
    }
}

fn closed() -> QueueError {
    RingError::Closed.into()
}
