//! Read whole files, many at a time, with bounded memory.
//!
//! Each file is opened, its size asked for, read into memory of that size, and closed. What is cached
//! takes four system calls and no waiting. Small files are read into memory of ours, which
//! is used again; larger ones into memory that the caller gives once the size is known, so that
//! nothing is copied, in pieces of which several are under way.
//!
//! What a file holds is decided when it is opened: that many bytes are read, less if it has become
//! shorter. So a file that grows meanwhile cannot break a bound, and no read is needed that only
//! finds the end. Files that have no size beforehand (those of /proc) are read until their end.

mod file;
mod folder;
mod order;
mod reading;
mod types;
mod window;

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bulk::host::Host;
use crate::bulk::job::Job;
use crate::bulk::pump::{self, Pump};
use crate::bulk::work::Ended;
use crate::ring::error::RingError;
use crate::sys::errno::uninterrupted;
use crate::sys::os::O_NONBLOCK;
use crate::sys::Errno;
use file::{File, Memory, Table};
use folder::Folder;
use order::Order;
pub use types::{Contents, Done, Failure, Options, Place, Tally, Ticket};
pub use window::Limit;
use window::Window;

/// Files up to this size are read into memory of ours and copied from there: for them that is
/// cheaper than memory from the caller, who must be asked in between.
pub const SMALL: usize = 16 << 10;
/// A batch is full when it has so many bytes, however few the files.
const BATCH_BYTES: u64 = 8 << 20;
/// With something to hand out, no wait is longer.
const SHORT_NAP_NS: u64 = 2_000_000;
/// How often a call that was cut short is made again.
const TRIES: u8 = 16;
/// In input order, so many files for each in flight may be done before their turn comes.
const SPREAD: usize = 8;
/// After so many files, one more at a time is tried again where descriptors were short.
const RECOVERY: u64 = 16;
/// How long a dropped job waits for the system.
const PATIENCE_NS: u64 = 1_000_000_000;

/// See the [module](self).
pub struct ReadMany<H: Host, T: Ticket> {
    job: Job<H, Table<T>>,
    options: Options,
    /// Not opened yet.
    incoming: VecDeque<(u64, T)>,
    next_number: u64,
    finished: bool,
    /// Files in the table, and the most there may be.
    active: u32,
    most: u32,
    /// Descriptors open, and whether there are no more to be had until one is closed.
    open: u32,
    short: bool,
    order: Order<T>,
    window: Window,
    /// A file of unknown size: nobody else gets memory until it is done.
    barrier: Option<u32>,
    /// It waits for more.
    growing: bool,
    /// Granted, and without memory from the caller yet.
    lacking: Vec<u32>,
    /// With something left to ask for.
    hungry: VecDeque<u32>,
    blocks: Vec<Vec<u8>>,
    folder: Folder,
    /// The last file was small: so is the next, as a rule.
    small: bool,
    ended: Vec<Ended>,
    tally: Tally,
}

const PIECE_BIT: u64 = 1;

impl<H: Host, T: Ticket> ReadMany<H, T> {
    /// Nothing is begun yet. Whoever takes results adds the bytes of those that he has handed out to
    /// `handed`.
    pub fn new(host: H, options: Options, handed: Arc<AtomicU64>) -> Self {
        let most = options.in_flight.max(1);
        let pump =
            pump::Options { depth: most, way: options.way, one_thread: false, try_now: true };
        ReadMany {
            job: Job::new(Pump::new(host, pump), Table::new()),
            options,
            incoming: VecDeque::new(),
            next_number: 0,
            finished: false,
            active: 0,
            most,
            open: 0,
            short: false,
            order: Order::new(options.in_order),
            window: Window::new(options.limit, handed),
            barrier: None,
            growing: false,
            lacking: Vec::new(),
            hungry: VecDeque::new(),
            blocks: Vec::new(),
            folder: Folder::default(),
            small: true,
            ended: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// How the works are carried out.
    pub fn pump(&mut self) -> &mut Pump<H> {
        &mut self.job
    }

    /// What was done so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Bytes held now, and the most there ever were.
    pub fn held(&self) -> (u64, u64) {
        (self.window.held(), self.window.peak())
    }

    /// How many more paths it can use for a batch of `batch`.
    pub fn wants(&self, batch: usize) -> usize {
        match self.finished {
            true => 0,
            false => batch.saturating_sub(self.incoming.len()),
        }
    }

    /// One more file.
    pub fn push(&mut self, ticket: T) {
        self.incoming.push_back((self.next_number, ticket));
        self.next_number += 1;
    }

    /// No more are to come.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// Nothing is under way and nothing is left to be begun or taken.
    pub fn is_idle(&self) -> bool {
        self.active == 0 && self.incoming.is_empty() && self.order.ready() == 0
    }

    /// Give memory to the files whose size is known by now: `give` puts so many bytes into the
    /// ticket, or says why not.
    pub fn supply(&mut self, mut give: impl FnMut(&mut T, u64) -> Result<(), Failure>) {
        for index in core::mem::take(&mut self.lacking) {
            let Some(file) = self.job.memory().get(index) else { continue };
            let given = give(&mut file.ticket, file.want);
            match (given, file.ticket.place()) {
                (Ok(()), Some(place)) if place.len as u64 >= file.want => {
                    file.memory = Memory::Given(place);
                }
                (Err(failure), _) => file.failed = Some(failure),
                _ => file.failed = Some(Failure::NoRoom),
            }
            self.hungry.push_back(index);
        }
    }

    /// The next result.
    pub fn take(&mut self) -> Option<Done<T>> {
        self.order.take()
    }

    /// Give memory back that came with a result, to be used again.
    pub fn recycle(&mut self, mut block: Vec<u8>) {
        block.clear();
        if block.capacity() == SMALL && self.blocks.len() < 2 * self.most as usize {
            self.blocks.push(block);
        }
    }

    /// Go on until `batch` results are there, or as far as it goes without the caller: who then takes
    /// results, supplies memory, pushes paths, and calls again. It comes back after `nap_ns` in any
    /// case.
    pub fn run(&mut self, batch: usize, nap_ns: u64) -> Result<(), RingError> {
        let ran = self.run_on(batch, nap_ns);
        // What the caller does meanwhile may change what its path means.
        self.folder.leave(self.job.host());
        ran
    }

    fn run_on(&mut self, batch: usize, nap_ns: u64) -> Result<(), RingError> {
        let mut began = None;
        loop {
            self.go_on(batch);
            if self.needs_caller(batch) {
                return Ok(());
            }
            if self.job.in_flight() == 0 {
                if self.order.ready() > 0 || !self.unstick() {
                    return Ok(());
                }
                continue;
            }
            let ready = self.order.ready();
            let nap = if ready > 0 { nap_ns.min(SHORT_NAP_NS) } else { nap_ns };
            let began = *began.get_or_insert_with(Instant::now);
            self.wait(batch.saturating_sub(ready), nap)?;
            if began.elapsed() >= Duration::from_nanos(nap) {
                return Ok(());
            }
        }
    }

    fn needs_caller(&self, batch: usize) -> bool {
        let starved = self.incoming.is_empty() && !self.finished && self.active < self.most;
        self.order.ready() >= batch
            || self.order.ready_bytes() >= BATCH_BYTES
            || !self.lacking.is_empty()
            || starved
    }

    /// Begin what can be begun.
    fn go_on(&mut self, batch: usize) {
        if self.growing {
            self.grow();
        }
        while self.job.has_room() {
            let Some(index) = self.hungry.pop_front() else { break };
            self.ask(index);
        }
        self.grant();
        while self.order.ready() < batch && self.order.ready_bytes() < BATCH_BYTES {
            let spread = SPREAD * self.most as usize;
            let may =
                self.active < self.most && !self.short && self.order.spread() < spread.max(64);
            if !may || !self.job.has_room() || !self.hungry.is_empty() {
                break;
            }
            let Some((number, ticket)) = self.incoming.pop_front() else { break };
            self.order.begin(number);
            let nameless = ticket.path().is_null();
            let index = self.job.memory().insert(File::new(ticket, number));
            self.active += 1;
            match nameless {
                true => self.fail(index, errno(Errno::EINVAL)),
                false => self.start_opening(index),
            }
        }
    }

    /// Wait for some works to end, and see to them.
    fn wait(&mut self, lacking: usize, nap_ns: u64) -> Result<(), RingError> {
        let some = (self.most / 4).clamp(1, lacking.clamp(1, 1 << 16) as u32);
        let mut ended = core::mem::take(&mut self.ended);
        let waited = self.job.wait(some, nap_ns, &mut ended);
        for Ended { token, result } in ended.drain(..) {
            let index = (token >> 1) as u32;
            if token & PIECE_BIT == 0 {
                self.opened(index, result);
            } else {
                self.piece_ended(index, result);
            }
        }
        self.ended = ended;
        waited
    }

    fn start_opening(&mut self, index: u32) {
        let dir = self.options.dir;
        let (pump, table) = self.job.parts();
        let Some(file) = table.get(index) else { return };
        let work = file.opening(dir);
        if let Some(fd) = self.folder.open(pump, &work) {
            return self.opened(index, fd);
        }
        file.under_way = 1;
        // SAFETY: the job keeps the ticket, and with it the path (I2).
        let done = unsafe { pump.start(work, u64::from(index) << 1) };
        if let Some(result) = done {
            self.opened(index, result);
        }
    }

    fn opened(&mut self, index: u32, result: i32) {
        let Some(file) = self.job.memory().get(index) else { return };
        file.under_way = 0;
        if result >= 0 {
            file.fd = result;
            self.open += 1;
            if self.small && !self.options.given && self.read_at_once(index) {
                return;
            }
            return self.size_up(index);
        }
        let errno = Errno(-result);
        if [Errno::EAGAIN, Errno::EINTR].contains(&errno) && file.tries < TRIES {
            file.tries += 1;
            if errno == Errno::EAGAIN {
                // Somebody has a lease on it, so it is a regular file: wait for him.
                file.flags &= !O_NONBLOCK;
            }
            return self.start_opening(index);
        }
        if [Errno::EMFILE, Errno::ENFILE].contains(&errno) {
            self.folder.give_up(self.job.host());
        }
        // With others open, or about to be, it is only a matter of time.
        let others = self.open > 0 || self.active > 1;
        if [Errno::EMFILE, Errno::ENFILE].contains(&errno) && others {
            self.short = true;
            self.most = self.most.min(self.open.max(1));
            return self.begin_anew(index);
        }
        self.fail(index, Failure::Sys(errno));
    }

    /// Put a file back among those that were not opened yet.
    fn begin_anew(&mut self, index: u32) {
        let Some(file) = self.job.memory().remove(index) else { return };
        self.active -= 1;
        let place = self.incoming.partition_point(|(number, _)| *number < file.number);
        self.incoming.insert(place, (file.number, file.ticket));
        self.drop_fd(file.fd);
    }

    fn drop_fd(&mut self, fd: i32) {
        if fd >= 0 {
            // SAFETY: nothing is under way on it any more, and nobody else knows it (I10).
            unsafe { self.job.host().drop_fd(fd) };
            self.open -= 1;
            self.short = false;
        }
    }

    /// Nothing is under way and nothing can be begun: descriptors are short, and those there are belong
    /// to files that wait for others. False if that is not why.
    fn unstick(&mut self) -> bool {
        if self.growing || !core::mem::take(&mut self.short) {
            return false;
        }
        if let Some(index) = self.order.unpark() {
            self.begin_anew(index);
        }
        true
    }

    /// It is open: what is it, and how large?
    fn size_up(&mut self, index: u32) {
        let given = self.options.given;
        let (pump, table) = self.job.parts();
        let Some(file) = table.get(index) else { return };
        let status = match uninterrupted(|| pump.host().status(file.fd)) {
            Ok(status) if status.is_directory() => return self.fail(index, errno(Errno::EISDIR)),
            Ok(status) if !status.is_regular() => return self.fail(index, Failure::NotRegular),
            Ok(status) => status,
            Err(e) => return self.fail(index, errno(e)),
        };
        file.unsized_ = status.size == 0;
        file.want = status.size;
        self.small = status.size < SMALL as u64;
        if given {
            match file.ticket.place() {
                Some(place) if place.len as u64 >= status.size => {
                    if file.unsized_ {
                        file.want = place.len as u64;
                    }
                    file.memory = Memory::Given(place);
                }
                _ => return self.fail(index, Failure::NoRoom),
            }
            return self.ask(index);
        }
        let number = file.number;
        self.order.park(number, index);
        self.grant();
    }

    /// Give memory to those whose turn it is.
    fn grant(&mut self) {
        while self.barrier.is_none() {
            let Some(index) = self.order.next_to_grant() else { return };
            let Some(file) = self.job.memory().get(index) else { return };
            let limit = self.window.limit();
            if file.unsized_ {
                file.want = (SMALL as u64).min(if limit.hard { limit.bytes } else { u64::MAX });
            }
            let want = file.want;
            if !self.window.possible(want) {
                self.order.granted();
                self.fail(index, Failure::TooBig);
                continue;
            }
            if !self.window.reserve(want, 0) {
                return;
            }
            file.reserved = want;
            if file.unsized_ {
                self.barrier = Some(index);
            }
            self.order.granted();
            if want > SMALL as u64 {
                self.lacking.push(index);
            } else {
                let mut block = self.blocks.pop().unwrap_or_default();
                if block.try_reserve_exact(SMALL).is_err() {
                    file.failed = Some(Failure::NoMemory);
                }
                file.memory = Memory::Own(block);
                self.ask(index);
            }
        }
    }

    fn succeed(&mut self, index: u32) {
        let Some(file) = self.job.memory().remove(index) else { return };
        let len = file.end.min(file.want);
        let contents = match file.memory {
            Memory::Own(mut own) => {
                // SAFETY: so much was read into it, and nothing is under way (I2).
                unsafe { own.set_len(len as usize) };
                Contents::Own(own)
            }
            _ => Contents::Given(len as usize),
        };
        self.tally.files += 1;
        self.tally.bytes += len;
        self.window.release(file.reserved.saturating_sub(len));
        self.end(index, file.fd, file.number, Done { ticket: file.ticket, result: Ok(contents) });
    }

    fn fail(&mut self, index: u32, failure: Failure) {
        let Some(file) = self.job.memory().remove(index) else { return };
        self.tally.failed += 1;
        self.window.release(file.reserved);
        if let Memory::Own(block) = file.memory {
            self.recycle(block);
        }
        self.end(index, file.fd, file.number, Done { ticket: file.ticket, result: Err(failure) });
    }

    fn end(&mut self, index: u32, fd: i32, number: u64, done: Done<T>) {
        self.active -= 1;
        let all = self.tally.files + self.tally.failed;
        if self.most < self.options.in_flight && all % RECOVERY == 0 {
            // Descriptors were short once: perhaps they are not any more.
            self.most += 1;
        }
        if self.barrier == Some(index) {
            self.barrier = None;
            self.growing = false;
        }
        self.drop_fd(fd);
        self.order.done(number, done);
    }

    /// End everything, and wait at most so long for it. True when the system has let go of all memory
    /// and every descriptor is closed; false: call it again, or leak (I2, I12).
    pub fn close(&mut self, nap_ns: u64) -> bool {
        self.finished = true;
        let settled = self.job.close(nap_ns);
        // In a forked child the descriptors are its own, and nothing of it is under way.
        if settled || !self.job.same_process() {
            let (pump, table) = self.job.parts();
            for file in table.all() {
                if file.fd >= 0 {
                    // SAFETY: nothing is under way on it any more, and nobody else knows it (I10).
                    unsafe { pump.host().drop_fd(file.fd) };
                    file.fd = -1;
                }
            }
        }
        settled
    }
}

fn errno(errno: Errno) -> Failure {
    Failure::Sys(errno)
}

impl<H: Host, T: Ticket> Drop for ReadMany<H, T> {
    fn drop(&mut self) {
        self.close(PATIENCE_NS);
    }
}
