//! Many whole files: each written beside its place, fsynced if so wanted, and renamed.
//!
//! Naming and small writes are plain calls, one after the other: nothing in them waits for the
//! device, and a ring would hand each to a worker. What waits is fsync; as many as possible are
//! under way at a time, since the device's flushes merge. Large writes go with them, where there is
//! more than one file to write.

use std::collections::VecDeque;
use std::ffi::CString;
use std::time::{Duration, Instant};

use crate::bulk::directories::Directories;
use crate::bulk::job::{Job, PATIENCE_NS};
use crate::bulk::new_file::{How, Names, NewFile};
use crate::bulk::pump::Pump;
use crate::bulk::store::Store;
use crate::bulk::work::{Ended, Work};
use crate::ring::error::RingError;
use crate::sys::Errno;

/// From this size on, a write is worth a worker.
const LARGE: u64 = 1 << 20;
/// At most so much is written by one call: nobody can interrupt it.
const PIECE: u64 = 4 << 20;
/// A write that moves nothing is tried so often.
const TRIES: u8 = 8;
/// After so long whoever called is asked for signals.
const TURN: Duration = Duration::from_millis(50);

/// A file to be written.
pub struct Item {
    /// Where to.
    pub path: CString,
    /// Its contents.
    pub addr: *const u8,
    /// Bytes.
    pub len: u64,
    /// What [`WriteMany::run`] calls it.
    pub token: u64,
}

// SAFETY: the caller holds the contents until the item is done, in whatever thread (I2).
unsafe impl Send for Item {}

/// An item that is done: its bytes are under their name, or it failed and nothing of it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// The item's.
    pub token: u64,
    /// Bytes written.
    pub result: Result<u64, Errno>,
}

struct Slot {
    item: Item,
    file: NewFile,
    written: u64,
    tries: u8,
    /// All is written, the fsync under way.
    syncing: bool,
}

/// Whether there is more to do than to wait.
enum Begun {
    Yes,
    /// Something has to end first: descriptors, or the same name.
    Later,
}

/// See the [module](self). `M` is the memory of the items.
pub struct WriteMany<H: Store, M> {
    job: Job<H, M>,
    host: H,
    dirs: Directories<H>,
    names: Names,
    how: How,
    sync: bool,
    queue: VecDeque<Item>,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    done: Vec<Done>,
    fsyncs: u64,
    /// Given up, with something under way on them.
    orphans: Vec<NewFile>,
}

impl<H: Store, M> WriteMany<H, M> {
    /// Relative paths start from the directory `base`. With `sync`, a file is fsynced before it
    /// gets its name, and its directory before [`WriteMany::close`] is through.
    pub fn new(pump: Pump<H>, memory: M, base: i32, how: How, sync: bool) -> Self {
        let host = pump.host().clone();
        WriteMany {
            dirs: Directories::new(host.clone(), base, sync),
            host,
            job: Job::new(pump, memory),
            names: Names::new(),
            how,
            sync,
            queue: VecDeque::new(),
            slots: Vec::new(),
            free: Vec::new(),
            done: Vec::new(),
            fsyncs: 0,
            orphans: Vec::new(),
        }
    }

    /// The pump, for its counts.
    pub fn pump(&mut self) -> &mut Pump<H> {
        self.job.parts().0
    }

    /// The memory of the items.
    pub fn memory(&mut self) -> &mut M {
        self.job.memory()
    }

    /// fsyncs made of files and of directories.
    pub fn fsyncs(&self) -> (u64, u64) {
        (self.fsyncs, self.dirs.synced)
    }

    /// Items that are not done.
    pub fn pending(&self) -> usize {
        self.queue.len() + self.slots.len() - self.free.len()
    }

    /// One more item, to be written by [`WriteMany::run`].
    ///
    /// # Safety
    /// `len` bytes at `addr` must be readable until the item is done, or for ever (I2): they are
    /// held by the memory of this job.
    pub unsafe fn push(&mut self, item: Item) {
        self.queue.push_back(item);
    }

    /// Begin what can be, and wait until no more than `left` items are pending or a while has
    /// passed. What is done is added to `done`.
    pub fn run(&mut self, left: usize, nap_ns: u64, done: &mut Vec<Done>) -> Result<(), RingError> {
        if !self.pump().same_process() {
            return Err(RingError::Forked);
        }
        // Whoever made the items may have moved directories since.
        self.dirs.forget_names();
        let until = Instant::now() + TURN;
        let mut ended = Vec::new();
        let mut worked = Ok(());
        loop {
            self.begin_all(until);
            if self.pump().in_flight() > 0 {
                let (min, nap) = if self.pending() > left { (1, nap_ns) } else { (0, 0) };
                worked = self.pump().wait(min, nap, &mut ended);
            }
            for Ended { token, result } in core::mem::take(&mut ended) {
                self.advance(token as usize, result);
            }
            if self.pending() <= left || worked.is_err() || Instant::now() >= until {
                break;
            }
        }
        done.append(&mut self.done);
        worked
    }

    /// Begin what there is room for.
    fn begin_all(&mut self, until: Instant) {
        while self.pump().has_room() {
            let Some(item) = self.queue.pop_front() else { return };
            if matches!(self.begin(item), Begun::Later) || Instant::now() > until {
                return;
            }
        }
    }

    fn begin(&mut self, item: Item) -> Begun {
        let Self { host, dirs, names, how, .. } = self;
        match NewFile::create(host, dirs, names, item.path.as_bytes(), *how) {
            Ok(file) if self.is_being_written(&file) => {
                // The one that comes later must be there in the end.
                file.abandon(&self.host, &mut self.dirs);
                self.queue.push_front(item);
                Begun::Later
            }
            Ok(file) => {
                let slot = Slot { item, file, written: 0, tries: 0, syncing: false };
                let index = self.free.pop().unwrap_or_else(|| {
                    self.slots.push(None);
                    self.slots.len() - 1
                });
                self.slots[index] = Some(slot);
                self.go_on(index);
                Begun::Yes
            }
            // Others will be closed soon.
            Err(Errno::EMFILE | Errno::ENFILE) if self.slots.len() > self.free.len() => {
                self.queue.push_front(item);
                Begun::Later
            }
            Err(errno) => {
                self.done.push(Done { token: item.token, result: Err(errno) });
                Begun::Yes
            }
        }
    }

    fn is_being_written(&self, file: &NewFile) -> bool {
        self.slots.iter().flatten().any(|slot| slot.file.place() == file.place())
    }

    /// The next works of a file, up to one that has to be waited for.
    fn go_on(&mut self, index: usize) {
        let alone = self.queue.is_empty() && self.pump().in_flight() == 0;
        loop {
            let Some(slot) = &self.slots[index] else { return };
            let Some(work) = self.next_work(slot) else { return self.finish(index) };
            let large = slot.item.len - slot.written >= LARGE && !alone;
            let pump = self.job.parts().0;
            // SAFETY: the item's memory is the job's, and held until it is done (I2).
            let result = match work {
                // SAFETY: as above (I2).
                Work::Write { .. } if !large => Some(unsafe { pump.carry_out(&work) }),
                // SAFETY: as above (I2).
                _ => unsafe { pump.start(work, index as u64) },
            };
            match result {
                Some(result) if self.note(index, result) => {}
                _ => return,
            }
        }
    }

    fn next_work(&self, slot: &Slot) -> Option<Work> {
        let (fd, left) = (slot.file.fd(), slot.item.len - slot.written);
        if left > 0 {
            let addr = slot.item.addr.wrapping_add(slot.written as usize);
            return Some(Work::Write {
                fd,
                addr,
                len: left.min(PIECE) as u32,
                offset: slot.written,
            });
        }
        (self.sync && !slot.syncing).then_some(Work::Fsync { fd, data_only: false })
    }

    /// A work that was waited for has ended.
    fn advance(&mut self, index: usize, result: i32) {
        if self.note(index, result) {
            self.go_on(index);
        }
    }

    /// Take a result down. False: the file has failed.
    fn note(&mut self, index: usize, result: i32) -> bool {
        let Some(slot) = self.slots.get_mut(index).and_then(Option::as_mut) else { return false };
        let writing = slot.written < slot.item.len;
        let again = [Errno::EINTR, Errno::EAGAIN].iter().any(|errno| result == -errno.0);
        if writing && result > 0 {
            // A kernel that claims more than it was given is not believed.
            slot.written = slot.item.len.min(slot.written + result as u64);
            slot.tries = 0;
        } else if !writing && result >= 0 {
            slot.syncing = true;
            self.fsyncs += 1;
        } else if (again || result == 0) && slot.tries < TRIES {
            slot.tries += 1;
        } else {
            // fsync's errors above all: the pages are clean now, and the next fsync would succeed.
            self.fail(index, Errno(if result < 0 { -result } else { Errno::EIO.0 }));
            return false;
        }
        true
    }

    fn take(&mut self, index: usize) -> Option<Slot> {
        let slot = self.slots[index].take()?;
        self.free.push(index);
        Some(slot)
    }

    fn fail(&mut self, index: usize, errno: Errno) {
        let Some(slot) = self.take(index) else { return };
        slot.file.abandon(&self.host, &mut self.dirs);
        self.done.push(Done { token: slot.item.token, result: Err(errno) });
    }

    fn finish(&mut self, index: usize) {
        let Some(slot) = self.take(index) else { return };
        let finished = slot.file.finish(&self.host, &mut self.dirs);
        let result = finished.map(|()| slot.item.len);
        self.done.push(Done { token: slot.item.token, result });
    }

    /// Nothing is pending: fsync the directories. Those that cannot be are returned.
    pub fn sync_directories(&mut self) -> Vec<(CString, Errno)> {
        self.dirs.let_go_of_idle();
        self.dirs.take_failed()
    }

    /// Give up what is not done: nothing stays of it but what was under its name before. True when
    /// the system has let go of all memory; false: call it again.
    pub fn give_up(&mut self, nap_ns: u64) -> bool {
        self.queue.clear();
        let ours = self.pump().same_process();
        let settled = self.pump().close(nap_ns);
        // The names go at once, whatever the device is at; descriptors when nothing uses them.
        for index in 0..self.slots.len() {
            let Some(slot) = self.take(index) else { continue };
            if ours {
                slot.file.disown(&self.host, &self.dirs);
            }
            self.orphans.push(slot.file);
        }
        if settled || !ours {
            for file in self.orphans.drain(..) {
                file.forget(&self.host, &mut self.dirs);
            }
        }
        settled
    }
}

impl<H: Store, M> Drop for WriteMany<H, M> {
    fn drop(&mut self) {
        if self.pending() > 0 || !self.orphans.is_empty() {
            self.give_up(PATIENCE_NS);
        }
    }
}
