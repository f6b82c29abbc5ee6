//! In which order files get memory, and in which they are handed out.
//!
//! Memory is given strictly in one order: that of the input where results come in input order, else
//! that in which the files were opened. So whoever has memory never waits for somebody who has none,
//! and nobody waits for ever.

use std::collections::VecDeque;

use super::Done;

enum Spot<T> {
    /// Begun, and without memory.
    Begun,
    /// Open, and waits for memory.
    Parked(u32),
    /// It has what it needs.
    Granted,
    Done(Done<T>),
}

pub(super) struct Order<T> {
    in_order: bool,
    /// Completion order: those that wait for memory.
    parked: VecDeque<u32>,
    /// Input order: one spot for each file from the next to be handed out on.
    spots: VecDeque<Spot<T>>,
    /// The number of the first spot.
    head: u64,
    /// So many of the first spots wait for no memory.
    granted: usize,
    ready: VecDeque<Done<T>>,
    ready_bytes: u64,
}

impl<T> Order<T> {
    pub(super) fn new(in_order: bool) -> Self {
        Order {
            in_order,
            parked: VecDeque::new(),
            spots: VecDeque::new(),
            head: 0,
            granted: 0,
            ready: VecDeque::new(),
            ready_bytes: 0,
        }
    }

    fn spot(&mut self, number: u64) -> Option<&mut Spot<T>> {
        self.spots.get_mut(number.checked_sub(self.head)? as usize)
    }

    /// How far the files that were begun reach beyond the next to be handed out.
    pub(super) fn spread(&self) -> usize {
        self.spots.len()
    }

    /// File `number` is begun, perhaps once more.
    pub(super) fn begin(&mut self, number: u64) {
        if self.in_order && number - self.head == self.spots.len() as u64 {
            self.spots.push_back(Spot::Begun);
        }
    }

    /// File `number`, at `index`, waits for memory.
    pub(super) fn park(&mut self, number: u64, index: u32) {
        if !self.in_order {
            self.parked.push_back(index);
        } else if let Some(spot) = self.spot(number) {
            *spot = Spot::Parked(index);
        }
    }

    /// The next to get memory, if it waits for that.
    pub(super) fn next_to_grant(&mut self) -> Option<u32> {
        if !self.in_order {
            return self.parked.front().copied();
        }
        loop {
            match self.spots.get(self.granted)? {
                Spot::Granted | Spot::Done(_) => self.granted += 1,
                Spot::Parked(index) => return Some(*index),
                Spot::Begun => return None,
            }
        }
    }

    /// [`Order::next_to_grant`] has got it, or needs none any more.
    pub(super) fn granted(&mut self) {
        if !self.in_order {
            self.parked.pop_front();
        } else if let Some(spot) = self.spots.get_mut(self.granted) {
            *spot = Spot::Granted;
        }
    }

    /// Is it the turn of file `number` to get memory?
    pub(super) fn is_next(&mut self, number: u64) -> bool {
        if !self.in_order {
            return self.parked.is_empty();
        }
        self.next_to_grant().is_none() && number - self.head == self.granted as u64
    }

    /// Take back the last that waits for memory, to be begun anew.
    pub(super) fn unpark(&mut self) -> Option<u32> {
        if !self.in_order {
            return self.parked.pop_back();
        }
        let last = self.spots.iter_mut().rev().find(|spot| matches!(spot, Spot::Parked(_)))?;
        match core::mem::replace(last, Spot::Begun) {
            Spot::Parked(index) => Some(index),
            _ => None,
        }
    }

    /// File `number` is done.
    pub(super) fn done(&mut self, number: u64, done: Done<T>) {
        if !self.in_order {
            return self.make_ready(done);
        }
        if let Some(spot) = self.spot(number) {
            *spot = Spot::Done(done);
        }
        while matches!(self.spots.front(), Some(Spot::Done(_))) {
            if let Some(Spot::Done(done)) = self.spots.pop_front() {
                self.make_ready(done);
            }
            self.head += 1;
            self.granted = self.granted.saturating_sub(1);
        }
    }

    fn make_ready(&mut self, done: Done<T>) {
        self.ready_bytes += done.bytes();
        self.ready.push_back(done);
    }

    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    pub(super) fn ready_bytes(&self) -> u64 {
        self.ready_bytes
    }

    pub(super) fn take(&mut self) -> Option<Done<T>> {
        let done = self.ready.pop_front()?;
        self.ready_bytes -= done.bytes();
        Some(done)
    }
}
