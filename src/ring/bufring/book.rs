//! Who has which buffer of a pool: pure bookkeeping, no memory and no system call.
//!
//! The kernel names one buffer per completion. Where it filled several, they are those that follow
//! in the order they were handed over, so that order is kept here, apart from the memory that is
//! shared with the kernel: nothing is read back from there.

/// Where a buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nobody has it: to be filled by the caller, or to be provided again.
    Free,
    /// The kernel may choose it, or has chosen it for a request that goes on.
    Kernel,
    /// The caller has it, in a completion or in a view.
    Taken,
}

/// How a pool's buffers come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Given back to the kernel as soon as nobody uses them.
    Receiving,
    /// The same, with the kernel filling one buffer bit by bit (IOU_PBUF_RING_INC).
    Incremental,
    /// Filled by the caller, and free again once sent.
    Sending,
    /// Handed over by requests (PROVIDE_BUFFERS), not through a ring.
    Legacy,
}

#[derive(Clone, Copy, Debug)]
struct Buffer {
    place: Place,
    /// Bytes the kernel was given.
    len: u32,
    /// Bytes of them used up, where that happens bit by bit.
    used: u32,
    /// Views of parts of it that are with the caller.
    parts: u32,
    /// The place in the ring it was last put to.
    at: u16,
}

/// Part of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Which buffer.
    pub id: u16,
    /// From which byte on.
    pub start: u32,
    /// How many bytes.
    pub len: u32,
}

/// An entry to write into the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where: free-running, to be masked.
    pub at: u16,
    /// Which buffer.
    pub id: u16,
    /// How many bytes of it.
    pub len: u32,
}

/// The books of one pool.
#[derive(Debug)]
pub struct Book {
    kind: Kind,
    size: u32,
    buffers: Vec<Buffer>,
    /// The buffer at each place of the ring.
    order: Vec<u16>,
    tail: u16,
    counts: [u32; 3],
    /// Of those with the kernel, how many it says it let go of without saying which.
    removed: u32,
    /// Where to look for a free one first.
    hint: usize,
}

impl Book {
    /// `count` buffers of `size` bytes, all free, and a ring of `entries` places (a power of two).
    pub fn new(kind: Kind, count: u32, size: u32, entries: u32) -> Self {
        let buffer = Buffer { place: Place::Free, len: size, used: 0, parts: 0, at: 0 };
        Book {
            kind,
            size,
            buffers: vec![buffer; count as usize],
            order: vec![0; entries as usize],
            tail: 0,
            counts: [count, 0, 0],
            removed: 0,
            hint: 0,
        }
    }

    /// How many buffers are in a place.
    pub fn count(&self, place: Place) -> u32 {
        self.counts[place as usize]
    }

    /// Our index of the ring.
    pub fn tail(&self) -> u16 {
        self.tail
    }

    fn put(&mut self, id: u16, place: Place) {
        let buffer = &mut self.buffers[usize::from(id)];
        self.counts[buffer.place as usize] -= 1;
        self.counts[place as usize] += 1;
        buffer.place = place;
    }

    /// Hand buffer `id` with its first `len` bytes to the kernel, at the end of the ring.
    pub fn publish(&mut self, id: u16, len: u32) -> Entry {
        let at = self.tail;
        self.put(id, Place::Kernel);
        let buffer = &mut self.buffers[usize::from(id)];
        (buffer.len, buffer.used, buffer.at) = (len, 0, at);
        let place = usize::from(at) & (self.order.len() - 1);
        self.order[place] = id;
        self.tail = at.wrapping_add(1);
        Entry { at, id, len }
    }

    /// A completion names buffer `first` and says that `got` bytes are in it, or in it and those
    /// that follow (`bundle`). `keeps`: the kernel goes on with the rest of the buffer.
    ///
    /// Empty if the kernel does not have that buffer: it is not believed.
    pub fn take(&mut self, first: u16, got: u32, bundle: bool, keeps: bool) -> Vec<Span> {
        let (mut spans, mut left, mut id) = (Vec::new(), got, first);
        while self.place(id) == Some(Place::Kernel) {
            let buffer = &mut self.buffers[usize::from(id)];
            let len = left.min(buffer.len - buffer.used);
            spans.push(Span { id, start: buffer.used, len });
            buffer.parts += 1;
            left -= len;
            let done = if self.kind != Kind::Incremental {
                true
            } else {
                buffer.used += len;
                // Of a bundle the flag tells nothing about the buffers before the last.
                if bundle {
                    buffer.used == buffer.len
                } else {
                    !keeps
                }
            };
            let next = buffer.at.wrapping_add(1);
            if done {
                self.put(id, Place::Taken);
            }
            if !bundle || left == 0 || self.kind == Kind::Legacy || next == self.tail {
                break;
            }
            id = self.order[usize::from(next) & (self.order.len() - 1)];
        }
        self.settle();
        spans
    }

    fn place(&self, id: u16) -> Option<Place> {
        self.buffers.get(usize::from(id)).map(|buffer| buffer.place)
    }

    /// The caller is done with a part of buffer `id`. True if the buffer is to be published again;
    /// if it is otherwise done with, it is free now.
    pub fn give_back(&mut self, id: u16) -> bool {
        let kind = self.kind;
        let Some(buffer) = self.buffers.get_mut(usize::from(id)) else { return false };
        buffer.parts = buffer.parts.saturating_sub(1);
        if buffer.parts > 0 || buffer.place != Place::Taken {
            return false;
        }
        if matches!(kind, Kind::Receiving | Kind::Incremental) {
            return true;
        }
        self.put(id, Place::Free);
        false
    }

    /// The pool is closed: what would be published is merely free.
    pub fn set_free(&mut self, id: u16) {
        self.put(id, Place::Free);
    }

    /// Take a free buffer, to fill it.
    pub fn take_free(&mut self) -> Option<Span> {
        if self.count(Place::Free) == 0 {
            return None;
        }
        // They become free in about the order they were taken.
        let free = |at: &usize| self.buffers[*at].place == Place::Free;
        let (count, hint) = (self.buffers.len(), self.hint);
        let at = (hint..count).find(free).or_else(|| (0..hint.min(count)).find(free))?;
        self.hint = at + 1;
        let id = at as u16;
        self.put(id, Place::Taken);
        self.buffers[usize::from(id)].parts = 1;
        Some(Span { id, start: 0, len: self.size })
    }

    /// The caller has filled buffer `id`, which it took: it goes to the kernel.
    pub fn queue(&mut self, id: u16, len: u32) -> Entry {
        self.buffers[usize::from(id)].parts = 0;
        self.publish(id, len)
    }

    /// Buffers `first` and `count - 1` more are about to be provided by a request. False, with
    /// nothing done, if one of them is not free.
    pub fn claim(&mut self, first: u16, count: u16) -> bool {
        let ids = usize::from(first)..usize::from(first) + usize::from(count);
        let free = |buffer: &Buffer| buffer.place == Place::Free;
        if !self.buffers.get(ids.clone()).is_some_and(|buffers| buffers.iter().all(free)) {
            return false;
        }
        for id in ids {
            self.put(id as u16, Place::Kernel);
            self.buffers[id].len = self.size;
        }
        true
    }

    /// That request failed, or never was.
    pub fn unclaim(&mut self, first: u16, count: u16) {
        for id in first..first + count {
            self.put(id, Place::Free);
        }
        self.settle();
    }

    /// The kernel has let go of `count` buffers that requests had provided. It does not say which,
    /// so none is free before all of those that it may still have are accounted for.
    pub fn remove(&mut self, count: u32) {
        self.removed += count;
        self.settle();
    }

    fn settle(&mut self) {
        if self.removed == 0 || self.removed < self.count(Place::Kernel) {
            return;
        }
        self.removed = 0;
        for id in 0..self.buffers.len() {
            if self.buffers[id].place == Place::Kernel {
                self.put(id as u16, Place::Free);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(kind: Kind, count: u32, size: u32) -> Book {
        let mut book = Book::new(kind, count, size, count.next_power_of_two());
        for id in 0..count as u16 {
            book.publish(id, size);
        }
        book
    }

    fn counts(book: &Book) -> [u32; 3] {
        [Place::Free, Place::Kernel, Place::Taken].map(|place| book.count(place))
    }

    #[test]
    fn a_bundle_takes_what_follows_in_order() {
        let mut book = published(Kind::Receiving, 4, 10);
        assert_eq!(book.take(1, 5, false, false), [Span { id: 1, start: 0, len: 5 }]);
        assert!(book.give_back(1));
        book.publish(1, 10);
        // The order is now 0, 2, 3, 1 as far as the kernel has not passed it.
        let spans = book.take(2, 25, true, false);
        let found: Vec<_> = spans.iter().map(|span| (span.id, span.len)).collect();
        assert_eq!(found, [(2, 10), (3, 10), (1, 5)]);
        assert_eq!(counts(&book), [0, 1, 3]);
        // More than there is room for is not believed.
        assert_eq!(book.take(0, 99, true, false), [Span { id: 0, start: 0, len: 10 }]);
        assert_eq!(book.take(0, 1, false, false), []);
        assert_eq!(book.take(4, 1, false, false), []);
    }

    #[test]
    fn the_index_wraps() {
        let mut book = published(Kind::Receiving, 2, 10);
        for _ in 0..70_000 {
            let id = book.order[usize::from(book.tail.wrapping_sub(2)) & 1];
            assert_eq!(book.take(id, 3, true, false).len(), 1);
            assert!(book.give_back(id));
            book.publish(id, 10);
        }
        assert_eq!(counts(&book), [0, 2, 0]);
    }

    #[test]
    fn a_buffer_used_bit_by_bit_goes_back_with_its_last_part() {
        let mut book = published(Kind::Incremental, 2, 10);
        assert_eq!(book.take(0, 4, false, true), [Span { id: 0, start: 0, len: 4 }]);
        assert_eq!(book.take(0, 6, false, false), [Span { id: 0, start: 4, len: 6 }]);
        assert_eq!(counts(&book), [0, 1, 1]);
        assert!(!book.give_back(0));
        assert!(book.give_back(0));
        book.publish(0, 10);
        let spans = book.take(1, 13, true, true);
        assert_eq!(spans[1], Span { id: 0, start: 0, len: 3 });
        assert_eq!(counts(&book), [0, 1, 1]);
    }

    #[test]
    fn what_is_removed_is_free_once_all_is_accounted_for() {
        let mut book = Book::new(Kind::Legacy, 4, 10, 1);
        assert!(book.claim(0, 3));
        assert!(!book.claim(2, 2) && !book.claim(3, 2));
        book.remove(2);
        assert_eq!(counts(&book), [1, 3, 0]);
        assert_eq!(book.take(2, 10, false, false).len(), 1);
        assert_eq!(counts(&book), [3, 0, 1]);
        assert!(!book.give_back(2));
        assert_eq!(counts(&book), [4, 0, 0]);
        assert!(book.claim(0, 4));
        book.unclaim(0, 4);
        assert_eq!(counts(&book), [4, 0, 0]);
    }

    #[test]
    fn buffers_to_send_are_filled_first() {
        let mut book = Book::new(Kind::Sending, 2, 10, 2);
        let span = book.take_free().unwrap();
        assert_eq!(book.queue(span.id, 7), Entry { at: 0, id: 0, len: 7 });
        let span = book.take_free().unwrap();
        assert_eq!(span, Span { id: 1, start: 0, len: 10 });
        assert!(book.take_free().is_none());
        assert!(!book.give_back(1));
        let span = book.take_free().unwrap();
        book.queue(span.id, 2);
        let lengths: Vec<_> = book.take(0, 9, true, false).iter().map(|s| s.len).collect();
        assert_eq!(lengths, [7, 2]);
    }
}
