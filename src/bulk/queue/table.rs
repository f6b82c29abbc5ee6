//! The requests of a queue and the files they are on: who is where, and what each keeps alive.

use std::collections::{HashMap, VecDeque};

use crate::bulk::queue::op::{Op, Target};
use crate::sys::Errno;

/// So often is a request begun anew that the system cut short.
const ATTEMPTS: u8 = 8;

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody's place.
    Free,
    /// Prepared, and to be handed over by the next commit.
    Prepared,
    /// Committed and cut short: to be handed over again, whether anybody commits or not.
    Again,
    /// Handed over: what it points at is the system's (I2).
    Out,
    /// Ended, and to be handed out by the next wait.
    Done,
}

pub(super) struct Entry<K> {
    generation: u32,
    pub(super) state: State,
    pub(super) op: Op,
    pub(super) offset: u64,
    pub(super) file: u32,
    /// What its carrier calls it.
    pub(super) key: u64,
    /// The most that it can transfer.
    most: u64,
    /// Somebody asked for its cancellation.
    pub(super) asked: bool,
    attempts: u8,
    result: i32,
    keep: Option<K>,
}

/// A request that has ended.
#[derive(Debug)]
pub struct Done<K> {
    /// What [`super::Queue::prepare`] returned for it.
    pub handle: u64,
    /// As completions have it: negative is an errno.
    pub result: i32,
    /// What it kept alive, which is the caller's again.
    pub keep: K,
}

/// All requests of a queue.
pub(super) struct Table<K> {
    entries: Vec<Entry<K>>,
    free: Vec<u32>,
    depth: u32,
    pub(super) prepared: VecDeque<u32>,
    pub(super) again: VecDeque<u32>,
    done: VecDeque<u32>,
    /// Handed out before, and given back.
    returned: VecDeque<Done<K>>,
    /// With the system.
    pub(super) out: u32,
    /// Bytes that what is prepared may copy while it is handed over.
    pub(super) bytes: u64,
}

impl<K> Table<K> {
    pub(super) fn new(depth: u32) -> Self {
        Table {
            entries: Vec::new(),
            free: Vec::new(),
            depth,
            prepared: VecDeque::new(),
            again: VecDeque::new(),
            done: VecDeque::new(),
            returned: VecDeque::new(),
            out: 0,
            bytes: 0,
        }
    }

    /// Requests that can be handed out.
    pub(super) fn ready(&self) -> usize {
        self.done.len() + self.returned.len()
    }

    /// Places that are taken: a request has its place until it is handed out.
    pub(super) fn taken(&self) -> u32 {
        (self.entries.len() - self.free.len()) as u32
    }

    pub(super) fn entry(&mut self, index: u32) -> Option<&mut Entry<K>> {
        self.entries.get_mut(index as usize)
    }

    fn handle(&self, index: u32) -> u64 {
        let generation = self.entries.get(index as usize).map_or(0, |entry| entry.generation);
        u64::from(generation) << 32 | u64::from(index)
    }

    /// The place of a request that has not been handed out.
    pub(super) fn find(&self, handle: u64) -> Option<u32> {
        let index = handle as u32;
        let entry = self.entries.get(index as usize)?;
        (entry.state != State::Free && self.handle(index) == handle).then_some(index)
    }

    /// Take a place; None when there is none.
    pub(super) fn prepare(
        &mut self,
        op: Op,
        offset: u64,
        file: u32,
        most: u64,
        keep: K,
    ) -> Result<u64, K> {
        if self.taken() >= self.depth {
            return Err(keep);
        }
        let fresh = Entry {
            generation: 1,
            state: State::Prepared,
            op,
            offset,
            file,
            key: 0,
            most,
            asked: false,
            attempts: 0,
            result: 0,
            keep: Some(keep),
        };
        let index = match self.free.pop() {
            Some(index) => {
                let place = &mut self.entries[index as usize];
                // A handle is never given twice in 2^32 uses of a place, and 0 never at all.
                let generation = place.generation.wrapping_add(1).max(1);
                *place = Entry { generation, ..fresh };
                index
            }
            None => {
                self.entries.push(fresh);
                self.entries.len() as u32 - 1
            }
        };
        self.bytes += most;
        self.prepared.push_back(index);
        Ok(self.handle(index))
    }

    /// The next request to be handed over. Those that were cut short come first.
    pub(super) fn next_to_go(&mut self, fresh: bool) -> Option<u32> {
        if let Some(index) = self.again.pop_front() {
            return Some(index);
        }
        if !fresh {
            return None;
        }
        let index = self.prepared.pop_front();
        if self.prepared.is_empty() {
            self.bytes = 0;
        }
        index
    }

    /// It was handed over, under this name.
    pub(super) fn gone(&mut self, index: u32, key: u64) {
        if let Some(entry) = self.entries.get_mut(index as usize) {
            entry.state = State::Out;
            entry.key = key;
            self.out += 1;
        }
    }

    /// It was not taken after all: it is the next to go. True if it had not gone before.
    pub(super) fn came_back(&mut self, index: u32) -> bool {
        let Some(entry) = self.entries.get_mut(index as usize) else { return false };
        if entry.state == State::Out {
            self.out -= 1;
        }
        let fresh = entry.attempts == 0;
        if fresh {
            entry.state = State::Prepared;
            self.prepared.push_front(index);
        } else {
            entry.state = State::Again;
            self.again.push_front(index);
        }
        fresh
    }

    /// The system is done with it. What a signal or the end of the thread that submitted it cut
    /// short is to be begun anew, as nobody asked for that. True if it has ended.
    pub(super) fn ended(&mut self, index: u32, result: i32, open: bool) -> bool {
        let Some(entry) = self.entries.get_mut(index as usize) else { return false };
        if entry.state != State::Out {
            return false;
        }
        self.out -= 1;
        let cut = result == -Errno::ECANCELED.0 || result == -Errno::EINTR.0;
        if open && cut && !entry.asked && entry.attempts < ATTEMPTS {
            entry.attempts += 1;
            entry.state = State::Again;
            self.again.push_back(index);
            return false;
        }
        // An impossible answer is not believed.
        let lie = (result > 0 && result as u64 > entry.most) || result < -4095;
        entry.result = if lie { -Errno::EIO.0 } else { result };
        entry.state = State::Done;
        self.done.push_back(index);
        true
    }

    /// It ends without having been handed over.
    pub(super) fn take_back(&mut self, index: u32) {
        let Some(entry) = self.entries.get_mut(index as usize) else { return };
        match entry.state {
            State::Prepared => self.prepared.retain(|&each| each != index),
            State::Again => self.again.retain(|&each| each != index),
            _ => return,
        }
        entry.result = -Errno::ECANCELED.0;
        entry.state = State::Done;
        self.done.push_back(index);
    }

    /// Every request that is in one of these states.
    pub(super) fn all(&self, wanted: impl Fn(State) -> bool) -> Vec<u32> {
        let those = self.entries.iter().enumerate().filter(|(_, entry)| wanted(entry.state));
        those.map(|(index, _)| index as u32).collect()
    }

    /// Hand out up to `most` requests that have ended, in the order in which they did.
    pub(super) fn hand_out(&mut self, most: usize, into: &mut Vec<Done<K>>) {
        while into.len() < most {
            if let Some(done) = self.returned.pop_front() {
                into.push(done);
                continue;
            }
            let Some(index) = self.done.pop_front() else { return };
            let handle = self.handle(index);
            let Some(entry) = self.entries.get_mut(index as usize) else { continue };
            entry.state = State::Free;
            self.free.push(index);
            if let Some(keep) = entry.keep.take() {
                into.push(Done { handle, result: entry.result, keep });
            }
        }
    }

    /// Take back what was handed out, to be handed out again before anything else.
    pub(super) fn give_back(&mut self, done: Vec<Done<K>>) {
        for each in done.into_iter().rev() {
            self.returned.push_front(each);
        }
    }

    /// What all requests keep alive, those with the system included.
    pub(super) fn keeps(&mut self) -> impl Iterator<Item = &mut K> {
        let held = self.entries.iter_mut().filter_map(|entry| entry.keep.as_mut());
        held.chain(self.returned.iter_mut().map(|done| &mut done.keep))
    }

    /// The system will not let go of these in time: what they keep stays for ever (I2).
    pub(super) fn leak_out(&mut self) {
        for entry in &mut self.entries {
            if entry.state == State::Out {
                core::mem::forget(entry.keep.take());
                entry.state = State::Free;
            }
        }
        self.out = 0;
    }
}

struct File {
    /// The descriptor it was registered by.
    number: i32,
    target: Target,
    /// Requests that are prepared or with the system.
    users: u32,
}

/// The files of a queue, by the descriptors they were registered by.
pub(super) struct Files {
    slots: Vec<Option<File>>,
    by_number: HashMap<i32, u32>,
}

/// Why a file cannot be had, or let go of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileError {
    /// It is not registered.
    Unknown,
    /// It is registered already.
    Twice,
    /// So many requests are on it.
    InUse(u32),
    /// As many are registered as there is room for.
    Full(u32),
}

impl Files {
    pub(super) fn new(count: u32) -> Self {
        Files { slots: (0..count).map(|_| None).collect(), by_number: HashMap::new() }
    }

    /// Where a file that is to be registered goes.
    pub(super) fn place(&self, number: i32) -> Result<u32, FileError> {
        if self.by_number.contains_key(&number) {
            return Err(FileError::Twice);
        }
        let free = self.slots.iter().position(Option::is_none);
        free.map(|slot| slot as u32).ok_or(FileError::Full(self.slots.len() as u32))
    }

    pub(super) fn put(&mut self, slot: u32, number: i32, target: Target) {
        self.slots[slot as usize] = Some(File { number, target, users: 0 });
        self.by_number.insert(number, slot);
    }

    pub(super) fn find(&self, number: i32) -> Result<u32, FileError> {
        self.by_number.get(&number).copied().ok_or(FileError::Unknown)
    }

    /// The file of that number, if nothing uses it.
    pub(super) fn idle(&self, number: i32) -> Result<(u32, Target), FileError> {
        let slot = self.find(number)?;
        match self.slots.get(slot as usize).and_then(Option::as_ref) {
            Some(file) if file.users > 0 => Err(FileError::InUse(file.users)),
            Some(file) => Ok((slot, file.target)),
            None => Err(FileError::Unknown),
        }
    }

    pub(super) fn remove(&mut self, slot: u32) {
        if let Some(file) = self.slots[slot as usize].take() {
            self.by_number.remove(&file.number);
        }
    }

    pub(super) fn enter(&mut self, slot: u32) {
        if let Some(Some(file)) = self.slots.get_mut(slot as usize) {
            file.users += 1;
        }
    }

    pub(super) fn leave(&mut self, slot: u32) {
        if let Some(Some(file)) = self.slots.get_mut(slot as usize) {
            file.users = file.users.saturating_sub(1);
        }
    }

    pub(super) fn target(&self, slot: u32) -> Target {
        let file = self.slots.get(slot as usize).and_then(Option::as_ref);
        file.map_or(Target::Fd(-1), |file| file.target)
    }

    /// Every descriptor of the queue's own, given up.
    pub(super) fn take_fds(&mut self) -> Vec<i32> {
        self.by_number.clear();
        let files = self.slots.iter_mut().filter_map(Option::take);
        files
            .filter_map(|file| match file.target {
                Target::Fd(fd) => Some(fd),
                Target::Fixed(_) => None,
            })
            .collect()
    }
}
