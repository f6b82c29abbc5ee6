//! Who owns which slot of a ring's table of registered files.
//!
//! The kernel's table knows numbers only: a slot that was emptied is soon another file's, and a
//! request that still names it would reach that one. So each slot has a generation here, and what
//! uses it is counted: a slot is emptied when nothing uses it any more (I10).
//!
//! Two may choose an empty slot: the kernel (within its range), and we, for a file that is to go
//! into a slot named beforehand. Where both could meet, one of them is refused.

use core::ops::Range;

/// What is known of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nobody's: empty, or just being filled by the kernel.
    Free,
    /// It has a file.
    Filled,
    /// It belongs to a handle, whatever is in it.
    Reserved,
}

/// Names one occupant of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle {
    /// The slot.
    pub slot: u32,
    /// Which of its occupants.
    pub generation: u32,
}

/// Why something cannot be done to a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such slot.
    Range,
    /// The table is no longer registered.
    Gone,
    /// The handle was closed, or is being closed.
    Closed,
    /// The slot has another occupant by now.
    Stale,
    /// A request or a prepared entry uses it.
    InUse(u32),
    /// It is another's.
    Taken(u32),
    /// No slot is free.
    Full,
    /// Requests in flight have the kernel choose from the range that the slot is in.
    Choosing(u32),
    /// A slot in the kernel's range is reserved.
    ReservedInRange,
}

/// What is to be done after a handle was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing: it was closed before.
    Nothing,
    /// Nothing yet: the last use empties the slot.
    Later,
    /// Empty the slot.
    Now,
}

#[derive(Clone, Copy)]
struct Slot {
    generation: u32,
    content: Content,
    /// Uses by requests in flight and prepared entries.
    users: u32,
    /// A request that empties or fills it is under way: no new uses.
    changing: bool,
    /// Closed: to be emptied when nothing uses it.
    ended: bool,
}

/// The slots of one table.
pub struct Files {
    slots: Vec<Slot>,
    /// Where the kernel chooses.
    range: Range<u32>,
    /// Requests in flight that have the kernel choose.
    choosing: u32,
    /// Slots within the range that are ours to fill.
    ours_in_range: u32,
    /// Uses of any slot.
    in_use: u32,
    /// Slots to be emptied by whoever can do it next.
    due: Vec<Handle>,
}

impl Files {
    /// A table of `count` empty slots, all of them for the kernel to choose from.
    pub fn new(count: u32) -> Self {
        let empty =
            Slot { generation: 0, content: Content::Free, users: 0, changing: false, ended: false };
        Files {
            slots: vec![empty; count as usize],
            range: 0..count,
            choosing: 0,
            ours_in_range: 0,
            in_use: 0,
            due: Vec::new(),
        }
    }

    /// How many slots there are.
    pub fn count(&self) -> u32 {
        self.slots.len() as u32
    }

    /// Where the kernel chooses.
    pub fn range(&self) -> Range<u32> {
        self.range.clone()
    }

    /// Uses by requests in flight and prepared entries, and requests that have the kernel choose.
    pub fn in_use(&self) -> u32 {
        self.in_use + self.choosing
    }

    /// What is known of a slot.
    pub fn content(&self, slot: u32) -> Option<Content> {
        self.slots.get(slot as usize).map(|slot| slot.content)
    }

    /// The occupant of a slot that is not free.
    pub fn occupant(&self, slot: u32) -> Option<Handle> {
        let found = self.slots.get(slot as usize)?;
        let generation = found.generation;
        (found.content != Content::Free).then_some(Handle { slot, generation })
    }

    /// A file is in a slot now: its new occupant.
    pub fn filled(&mut self, slot: u32) -> Option<Handle> {
        let found = self.slots.get_mut(slot as usize)?;
        if found.content == Content::Reserved {
            return Some(Handle { slot, generation: found.generation });
        }
        found.generation = found.generation.wrapping_add(1);
        found.content = Content::Filled;
        (found.users, found.changing, found.ended) = (0, false, false);
        Some(Handle { slot, generation: found.generation })
    }

    /// Reserve a slot, empty by now, to be filled later: this one, or any.
    pub fn reserve(&mut self, slot: Option<u32>) -> Result<Handle, Refusal> {
        let slot = match slot {
            Some(slot) => slot,
            None => self.first_free()?,
        };
        let content = self.content(slot).ok_or(Refusal::Range)?;
        if content != Content::Free {
            return Err(Refusal::Taken(slot));
        }
        let within = self.range.contains(&slot);
        if within && self.choosing > 0 {
            return Err(Refusal::Choosing(slot));
        }
        self.ours_in_range += u32::from(within);
        let found = &mut self.slots[slot as usize];
        found.generation = found.generation.wrapping_add(1);
        found.content = Content::Reserved;
        (found.users, found.changing, found.ended) = (0, false, false);
        Ok(Handle { slot, generation: found.generation })
    }

    /// A free slot, outside of the kernel's range if possible.
    fn first_free(&self) -> Result<u32, Refusal> {
        let free = |slot: &u32| self.slots[*slot as usize].content == Content::Free;
        let outside = |slot: &u32| !self.range.contains(slot);
        let all = 0..self.count();
        let found = all.clone().find(|slot| outside(slot) && free(slot));
        match found.or_else(|| all.clone().find(free)) {
            Some(slot) => Ok(slot),
            None => Err(Refusal::Full),
        }
    }

    fn of(&mut self, handle: Handle) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(handle.slot as usize)?;
        (slot.generation == handle.generation && slot.content != Content::Free).then_some(slot)
    }

    /// May new requests use it?
    pub fn check(&self, handle: Handle) -> Result<(), Refusal> {
        match self.slots.get(handle.slot as usize) {
            None => Err(Refusal::Range),
            Some(slot) if slot.generation != handle.generation => Err(Refusal::Stale),
            Some(slot) if slot.content == Content::Free => Err(Refusal::Closed),
            Some(slot) if slot.changing || slot.ended => Err(Refusal::Closed),
            Some(_) => Ok(()),
        }
    }

    /// One more use. Matched by [`Files::leave`].
    pub fn enter(&mut self, handle: Handle) -> Result<(), Refusal> {
        self.check(handle)?;
        self.slots[handle.slot as usize].users += 1;
        self.in_use += 1;
        Ok(())
    }

    /// A use is over. True if the slot is to be emptied now.
    #[must_use]
    pub fn leave(&mut self, handle: Handle) -> bool {
        self.in_use = self.in_use.saturating_sub(1);
        let Some(slot) = self.of(handle) else { return false };
        slot.users = slot.users.saturating_sub(1);
        slot.users == 0 && slot.ended && !slot.changing
    }

    /// The handle is closed, or dropped by its owner.
    pub fn end(&mut self, handle: Handle) -> End {
        match self.of(handle) {
            None => End::Nothing,
            Some(slot) if slot.ended => End::Nothing,
            Some(slot) => {
                slot.ended = true;
                if slot.users > 0 || slot.changing {
                    End::Later
                } else {
                    End::Now
                }
            }
        }
    }

    /// The slot was emptied in the kernel. Does nothing if it has been filled again since.
    pub fn cleared(&mut self, handle: Handle) {
        let Some(slot) = self.of(handle) else { return };
        let reserved = slot.content == Content::Reserved;
        slot.content = Content::Free;
        slot.generation = slot.generation.wrapping_add(1);
        (slot.users, slot.changing, slot.ended) = (0, false, false);
        if reserved && self.range.contains(&handle.slot) {
            self.ours_in_range -= 1;
        }
    }

    /// A request that will empty the slot is prepared; a use of its own was entered before. It must
    /// be the only one: another might start when the slot has the next file. A reserved slot stays
    /// its handle's, so it needs none of this.
    pub fn begin_close(&mut self, handle: Handle) -> Result<(), Refusal> {
        let Some(slot) = self.of(handle) else { return Err(Refusal::Stale) };
        if slot.content == Content::Filled {
            if slot.users > 1 {
                return Err(Refusal::InUse(handle.slot));
            }
            slot.changing = true;
        }
        Ok(())
    }

    /// That request has ended, or never was.
    pub fn end_close(&mut self, handle: Handle, done: bool) {
        let Some(slot) = self.of(handle) else { return };
        if slot.content == Content::Reserved {
            return;
        }
        slot.changing = false;
        if done {
            self.cleared(handle);
        }
    }

    /// A request that has the kernel choose a slot is prepared.
    pub fn begin_choosing(&mut self) -> Result<(), Refusal> {
        if self.ours_in_range > 0 {
            return Err(Refusal::ReservedInRange);
        }
        self.choosing += 1;
        Ok(())
    }

    /// Such a request has ended, or never was.
    pub fn end_choosing(&mut self) {
        self.choosing = self.choosing.saturating_sub(1);
    }

    /// Have the kernel choose from another range; call when the kernel has been told.
    pub fn set_range(&mut self, range: Range<u32>) {
        self.ours_in_range = self.reserved_within(&range);
        self.range = range;
    }

    /// May the kernel choose from this range from now on?
    pub fn check_range(&self, range: &Range<u32>) -> Result<(), Refusal> {
        if range.start > range.end || range.end > self.count() {
            return Err(Refusal::Range);
        }
        if self.choosing > 0 && self.reserved_within(range) > 0 {
            return Err(Refusal::ReservedInRange);
        }
        Ok(())
    }

    fn reserved_within(&self, range: &Range<u32>) -> u32 {
        let ours = |slot: &u32| {
            let slot = &self.slots[*slot as usize];
            slot.content == Content::Reserved || slot.changing && slot.content == Content::Free
        };
        range.clone().filter(ours).count() as u32
    }

    /// Files are to be put into, or taken out of, these slots. Until [`Files::end_update`] nothing
    /// else is done to them; what goes on in a reserved one is its owner's affair.
    pub fn begin_update(&mut self, slots: Range<u32>) -> Result<(), Refusal> {
        if slots.start > slots.end || slots.end > self.count() {
            return Err(Refusal::Range);
        }
        for slot in slots.clone() {
            let found = &self.slots[slot as usize];
            if found.content == Content::Reserved {
                continue;
            }
            if found.users > 0 || found.changing {
                return Err(Refusal::InUse(slot));
            }
            let free = found.content == Content::Free;
            if free && self.choosing > 0 && self.range.contains(&slot) {
                return Err(Refusal::Choosing(slot));
            }
        }
        for slot in slots {
            if self.is_reserved(slot) {
                self.slots[slot as usize].users += 1;
                self.in_use += 1;
                continue;
            }
            self.slots[slot as usize].changing = true;
            if self.free_within(slot) {
                self.ours_in_range += 1;
            }
        }
        Ok(())
    }

    fn free_within(&self, slot: u32) -> bool {
        self.slots[slot as usize].content == Content::Free && self.range.contains(&slot)
    }

    /// The update is over: of `slots`, those before `done` have changed, to what `new` says of each:
    /// a file, none, or as it was.
    pub fn end_update(
        &mut self,
        slots: Range<u32>,
        done: u32,
        new: impl Fn(u32) -> Update,
    ) -> Vec<Option<Handle>> {
        let mut handles = Vec::new();
        for slot in slots.clone() {
            if let Some(handle) = self.occupant(slot).filter(|_| self.is_reserved(slot)) {
                if self.leave(handle) {
                    self.due.push(handle);
                }
                handles.push(Some(handle));
                continue;
            }
            if self.free_within(slot) {
                self.ours_in_range -= 1;
            }
            let found = &mut self.slots[slot as usize];
            found.changing = false;
            let at = slot - slots.start;
            let update = if at < done { new(at) } else { Update::Skip };
            handles.push(match update {
                Update::Fill => self.filled(slot),
                Update::Skip => {
                    // Closed meanwhile.
                    if found.ended && found.users == 0 {
                        self.due.extend(self.occupant(slot));
                    }
                    None
                }
                Update::Empty => {
                    if let Some(handle) = self.occupant(slot) {
                        self.cleared(handle);
                    }
                    None
                }
            });
        }
        handles
    }

    /// Have somebody else empty the slot.
    pub fn put_off(&mut self, handle: Handle) {
        self.due.push(handle);
    }

    /// Slots to be emptied.
    pub fn take_due(&mut self) -> Vec<Handle> {
        core::mem::take(&mut self.due)
    }

    fn is_reserved(&self, slot: u32) -> bool {
        self.content(slot) == Some(Content::Reserved)
    }
}

/// What becomes of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// It has a file.
    Fill,
    /// It has none.
    Empty,
    /// It stays as it was.
    Skip,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_go_stale() {
        let mut files = Files::new(2);
        let first = files.filled(1).unwrap();
        assert_eq!(files.enter(first), Ok(()));
        assert_eq!((files.end(first), files.end(first)), (End::Later, End::Nothing));
        assert_eq!(files.enter(first), Err(Refusal::Closed));
        assert!(files.leave(first));
        files.cleared(first);
        assert_eq!(files.check(first), Err(Refusal::Stale));
        let second = files.filled(1).unwrap();
        assert_ne!(first, second);
        files.cleared(first);
        assert_eq!(files.check(second), Ok(()));
        assert_eq!(files.end(second), End::Now);
        assert_eq!(files.in_use(), 0);
    }

    #[test]
    fn a_close_that_fails_leaves_it_open() {
        let mut files = Files::new(1);
        let handle = files.filled(0).unwrap();
        files.enter(handle).unwrap();
        assert_eq!(files.begin_close(handle), Ok(()));
        assert_eq!(files.enter(handle), Err(Refusal::Closed));
        files.end_close(handle, false);
        assert!(!files.leave(handle));
        assert_eq!(files.check(handle), Ok(()));
        files.enter(handle).unwrap();
        files.enter(handle).unwrap();
        assert_eq!(files.begin_close(handle), Err(Refusal::InUse(0)));
        assert!(!files.leave(handle));
        assert_eq!(files.begin_close(handle), Ok(()));
        // The owner goes first: then the request's failure leaves it to be emptied.
        assert_eq!(files.end(handle), End::Later);
        files.end_close(handle, false);
        assert!(files.leave(handle));
    }

    #[test]
    fn the_kernel_and_we_do_not_choose_the_same() {
        let mut files = Files::new(4);
        files.begin_choosing().unwrap();
        assert_eq!(files.reserve(None), Err(Refusal::Choosing(0)));
        assert_eq!(files.begin_update(1..2), Err(Refusal::Choosing(1)));
        files.set_range(2..4);
        let handle = files.reserve(None).unwrap();
        assert_eq!(handle.slot, 0);
        assert_eq!(files.begin_update(1..2), Ok(()));
        assert_eq!(files.check_range(&(0..4)), Err(Refusal::ReservedInRange));
        let made = files.end_update(1..2, 1, |_| Update::Fill);
        assert_eq!(made.len(), 1);
        files.end_choosing();
        assert_eq!(files.reserve(Some(1)), Err(Refusal::Taken(1)));
        assert_eq!(files.check_range(&(0..4)), Ok(()));
        files.set_range(0..4);
        assert_eq!(files.begin_choosing(), Err(Refusal::ReservedInRange));
        assert_eq!(files.end(handle), End::Now);
        files.cleared(handle);
        assert_eq!(files.begin_choosing(), Ok(()));
    }

    #[test]
    fn an_update_changes_what_the_kernel_did() {
        let mut files = Files::new(3);
        let old = files.filled(0).unwrap();
        let kept = files.filled(2).unwrap();
        files.begin_update(0..3).unwrap();
        assert_eq!(files.begin_choosing(), Err(Refusal::ReservedInRange));
        assert_eq!(files.check(old), Err(Refusal::Closed));
        let made = files.end_update(0..3, 2, |_| Update::Fill);
        assert_eq!(made.iter().flatten().count(), 2);
        assert_eq!((files.check(old), files.check(kept)), (Err(Refusal::Stale), Ok(())));
        files.begin_update(0..1).unwrap();
        files.end_update(0..1, 1, |_| Update::Empty);
        assert_eq!(files.content(0), Some(Content::Free));
        assert_eq!(files.begin_choosing(), Ok(()));
    }
}
