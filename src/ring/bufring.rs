//! Pools of provided buffers: memory from which the kernel chooses at the moment data is there.
//!
//! The memory belongs to the [`Pool`], which every request that may use it and every [`Part`] of a
//! buffer holds: it outlives the ring. A completion that names a buffer moves it, or parts of it,
//! to the caller; when the last part is dropped, the buffer goes back to the kernel, from whatever
//! thread that is (I10).

pub mod book;
mod register;

use core::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ring::error::{Call, RingError};
use crate::ring::fork;
use crate::ring::word::BufferEntries;
use crate::sys::abi::io_uring_buf;
use crate::sys::consts::*;
use crate::sys::syscall;

use book::{Book, Entry, Kind, Place, Span};
pub use register::Busy;

/// What a pool is to be like.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many buffers.
    pub count: u32,
    /// Bytes of each.
    pub size: u32,
    /// How they come and go.
    pub kind: Kind,
    /// The kernel allocates the ring (not the buffers).
    pub kernel_memory: bool,
    /// Which ring of the process it belongs to.
    pub ring_id: u32,
}

/// A mapping of ours.
struct Map {
    base: NonNull<u8>,
    len: usize,
}

/// Memory shared with the kernel: the ring of buffers.
struct Shared {
    map: Map,
    entries: BufferEntries,
}

struct State {
    book: Book,
    /// None once closed, and where buffers are provided by requests.
    shared: Option<Shared>,
    open: bool,
}

/// Buffers of one group of one ring.
pub struct Pool {
    data: Map,
    stride: usize,
    count: u32,
    size: u32,
    kind: Kind,
    group: u16,
    ring_id: u32,
    generation: u32,
    /// Requests, prepared or in flight, that may use it.
    users: AtomicU32,
    state: Mutex<State>,
}

// SAFETY: plain memory, reached through raw pointers only (I5); the words shared with the kernel
// are touched under the lock.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

/// From one buffer to the next: a cache line at least, for the kernel fills one while others are
/// read.
const ALIGN: usize = 64;

impl Pool {
    fn new(plan: &Plan, group: u16, entries: u32) -> Result<Self, RingError> {
        // Those that a request provides lie close together.
        let align = if plan.kind == Kind::Legacy { 1 } else { ALIGN };
        let stride = (plan.size as usize).next_multiple_of(align);
        let len = stride * plan.count as usize;
        let base = syscall::map_anonymous(len).map_err(|e| RingError::Sys(Call::Map, e))?;
        let book = Book::new(plan.kind, plan.count, plan.size, entries);
        Ok(Pool {
            data: Map { base, len },
            stride,
            count: plan.count,
            size: plan.size,
            kind: plan.kind,
            group,
            ring_id: plan.ring_id,
            generation: fork::generation(),
            users: AtomicU32::new(0),
            state: Mutex::new(State { book, shared: None, open: true }),
        })
    }

    // Never held while anything else is done: nothing is called but bookkeeping (I6).
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is it this process's, and not a parent's? A child has the data, but not the ring (I9).
    fn ours(&self) -> bool {
        self.generation == fork::generation()
    }

    /// How many buffers it has.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Bytes of each.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// How its buffers come and go.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The number of the buffer group.
    pub fn group(&self) -> u16 {
        self.group
    }

    /// The ring it belongs to.
    pub fn ring_id(&self) -> u32 {
        self.ring_id
    }

    /// Can requests use it?
    pub fn is_open(&self) -> bool {
        self.ours() && self.state().open
    }

    /// Requests, prepared or in flight, that may use it.
    pub fn users(&self) -> u32 {
        self.users.load(Ordering::Acquire)
    }

    /// How many buffers are in a place, as far as completions have told.
    pub fn buffers_at(&self, place: Place) -> u32 {
        if self.ours() {
            self.state().book.count(place)
        } else {
            0
        }
    }

    /// Our index of the ring.
    fn tail(&self) -> u16 {
        self.state().book.tail()
    }

    /// Where part of a buffer is.
    fn address(&self, span: Span) -> *mut u8 {
        debug_assert!(u32::from(span.id) < self.count && span.start + span.len <= self.size);
        let offset = usize::from(span.id) * self.stride + span.start as usize;
        // SAFETY: within the mapping: the book gives only parts of buffers there are (I5).
        unsafe { self.data.base.as_ptr().add(offset) }
    }

    /// Where buffer `id` begins, for the entry of a request that provides it.
    pub fn address_of(&self, id: u16) -> u64 {
        self.address(Span { id, start: 0, len: 0 }) as u64
    }

    /// Put an entry into the ring and show it to the kernel.
    fn show(&self, shared: &Shared, entry: Entry) {
        let Entry { at, id, len } = entry;
        let addr = self.address_of(id);
        // SAFETY: at most as many buffers are with the kernel as the ring has places, and it takes
        // them in order, so it has passed this one (I11).
        unsafe { shared.entries.write(at, io_uring_buf { addr, len, bid: id, resv: 0 }) };
        shared.entries.publish(at.wrapping_add(1));
    }

    /// The parts of buffers that a completion brought.
    pub fn take(self: &Arc<Self>, flags: u32, res: i32, bundle: bool) -> Vec<Part> {
        let first = (flags >> IORING_CQE_BUFFER_SHIFT) as u16;
        let keeps = flags & IORING_CQE_F_BUF_MORE != 0;
        let got = u32::try_from(res).unwrap_or(0);
        let spans = self.state().book.take(first, got, bundle, keeps);
        spans.into_iter().map(|span| Part::new(self, span)).collect()
    }

    fn give_back(&self, id: u16) {
        if !self.ours() {
            return;
        }
        let mut state = self.state();
        if !state.book.give_back(id) {
            return;
        }
        if state.shared.is_none() {
            state.book.set_free(id);
            return;
        }
        let entry = state.book.publish(id, self.size);
        if let Some(shared) = &state.shared {
            self.show(shared, entry);
        }
    }

    /// A free buffer, to be filled.
    pub fn take_free(self: &Arc<Self>) -> Option<Part> {
        let span = self.state().book.take_free()?;
        Some(Part::new(self, span))
    }

    /// The kernel may have the first `len` bytes of a part that was taken to be filled. False if it
    /// was given back already, or the pool is closed.
    pub fn queue(&self, part: &Part, len: u32) -> bool {
        debug_assert!(self.kind == Kind::Sending);
        let mut state = self.state();
        if state.shared.is_none() || part.returned.swap(true, Ordering::AcqRel) {
            return false;
        }
        let entry = state.book.queue(part.span.id, len.min(self.size));
        if let Some(shared) = &state.shared {
            self.show(shared, entry);
        }
        true
    }

    /// Close it: the kernel chooses from it no more, or never will again because the ring is gone.
    fn shut(&self) {
        let mut state = self.state();
        state.open = false;
        let Some(shared) = state.shared.take() else { return };
        if self.ours() {
            // SAFETY: mapped for this pool; the view of it is gone, and the kernel's own hold on
            // the pages does not need our mapping (I8). In a child it is not mapped at all (I9).
            unsafe { syscall::unmap(shared.map.base, shared.map.len) };
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shut();
        // SAFETY: mapped in `new`; no part, request or ring refers to it any more (I2).
        unsafe { syscall::unmap(self.data.base, self.data.len) };
    }
}

/// Part of a buffer that is the caller's until dropped. It goes back once, whoever drops it.
pub struct Part {
    pool: Arc<Pool>,
    span: Span,
    returned: AtomicBool,
}

impl Part {
    fn new(pool: &Arc<Pool>, span: Span) -> Self {
        Part { pool: Arc::clone(pool), span, returned: AtomicBool::new(false) }
    }

    /// The pool it is of.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Which buffer it is of.
    pub fn id(&self) -> u16 {
        self.span.id
    }

    /// Where it is. Valid as long as the part, given back or not.
    pub fn address(&self) -> *mut u8 {
        self.pool.address(self.span)
    }

    /// Bytes it has.
    pub fn len(&self) -> usize {
        self.span.len as usize
    }

    /// Has it none?
    pub fn is_empty(&self) -> bool {
        self.span.len == 0
    }

    /// Only `len` bytes from byte `start` on are of interest.
    pub fn narrow(&mut self, start: usize, len: usize) {
        let start = start.min(self.len());
        let len = len.min(self.len() - start);
        self.span =
            Span { id: self.span.id, start: self.span.start + start as u32, len: len as u32 };
    }

    /// Was it given back?
    pub fn returned(&self) -> bool {
        self.returned.load(Ordering::Acquire)
    }

    /// Give it back. Its memory may change from now on.
    pub fn give_back(&self) {
        if !self.returned.swap(true, Ordering::AcqRel) {
            self.pool.give_back(self.span.id);
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// How a request deals with a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Each completion has at most one buffer.
    One,
    /// A completion may have several.
    Bundle,
    /// Each buffer begins with a header, and room for a name and control data.
    Message {
        /// Bytes of room for the name.
        name: u32,
        /// Bytes of room for control data.
        control: u32,
    },
    /// It hands buffers to the kernel.
    Provide {
        /// From this one on.
        first: u16,
        /// So many.
        count: u16,
    },
    /// It takes some back.
    Remove,
}

/// A request's hold on a pool: while it lasts, the pool is not closed but by the ring's end.
pub struct Use {
    pool: Arc<Pool>,
    how: How,
    /// The buffers to provide are claimed by this one.
    armed: bool,
}

impl Use {
    /// A new hold; None if the pool is closed.
    pub fn new(pool: &Arc<Pool>, how: How) -> Option<Self> {
        pool.users.fetch_add(1, Ordering::AcqRel);
        let hold = Use { pool: Arc::clone(pool), how, armed: false };
        pool.is_open().then_some(hold)
    }

    /// The pool.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// How it is used.
    pub fn how(&self) -> How {
        self.how
    }

    /// The request is about to be staged. False if buffers to provide are not free.
    pub fn arm(&mut self) -> bool {
        if let How::Provide { first, count } = self.how {
            self.armed = self.pool.state().book.claim(first, count);
            return self.armed;
        }
        true
    }

    /// The request has ended.
    pub fn ended(&mut self, res: i32) {
        match self.how {
            How::Provide { .. } if res >= 0 => self.armed = false,
            How::Remove if res > 0 => self.pool.state().book.remove(res as u32),
            _ => {}
        }
    }
}

impl Clone for Use {
    /// The same for another request, not armed yet.
    fn clone(&self) -> Self {
        self.pool.users.fetch_add(1, Ordering::AcqRel);
        Use { pool: Arc::clone(&self.pool), how: self.how, armed: false }
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        if let (true, How::Provide { first, count }) = (self.armed, self.how) {
            if self.pool.ours() {
                self.pool.state().book.unclaim(first, count);
            }
        }
        self.pool.users.fetch_sub(1, Ordering::AcqRel);
    }
}
