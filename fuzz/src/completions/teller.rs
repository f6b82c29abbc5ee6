//! A kernel whose memory is the ring's, and whose word is somebody else's choice.

use core::ffi::c_void;
use core::ptr::NonNull;
use std::alloc::{alloc_zeroed, dealloc, Layout};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use uring_rs::ring::kernel::Kernel;
use uring_rs::sys::abi::{io_uring_cqe, io_uring_params, io_uring_sqe, io_uring_zcrx_ifq_reg};
use uring_rs::sys::consts::*;
use uring_rs::sys::Errno;

pub(super) const SQ_HEAD: u32 = 0;
pub(super) const SQ_TAIL: u32 = 64;
pub(super) const SQ_FLAGS: u32 = 128;
pub(super) const SQ_DROPPED: u32 = 192;
pub(super) const SQ_ARRAY: u32 = 256;
pub(super) const CQ_HEAD: u32 = 320;
pub(super) const CQ_TAIL: u32 = 384;
pub(super) const CQ_OVERFLOW: u32 = 448;
pub(super) const CQ_FLAGS: u32 = 512;
pub(super) const CQES: u32 = 640;

#[derive(Default)]
pub(super) struct State {
    pub(super) params: io_uring_params,
    pub(super) start: u32,
    pub(super) maps: BTreeMap<u64, (usize, usize)>,
    pub(super) open: BTreeSet<i32>,
    /// What the next calls of enter come to.
    pub(super) answers: VecDeque<i8>,
    pub(super) zcrx: Option<[u32; 5]>,
    /// Keys of the entries that were taken, oldest first.
    pub(super) taken: Vec<u64>,
}

/// The kernel: its memory is the ring's, and what it says is somebody else's choice.
#[derive(Clone, Default)]
pub(super) struct Teller(pub(super) Arc<(Mutex<State>, AtomicU64)>);

impl Teller {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0 .0.lock().expect("nobody panics with it")
    }

    pub(super) fn word(state: &State, offset: u32) -> &AtomicU32 {
        let (base, _) = state.maps[&IORING_OFF_SQ_RING];
        // SAFETY: within the mapping, and aligned.
        unsafe { &*((base + offset as usize) as *const AtomicU32) }
    }

    pub(super) fn size_of_cqe(params: &io_uring_params) -> usize {
        size_of::<io_uring_cqe>() << u32::from(params.flags & IORING_SETUP_CQE32 != 0)
    }

    /// Take entries, as far as there are any.
    pub(super) fn take(state: &mut State, most: u32) -> u32 {
        let head = Self::word(state, SQ_HEAD).load(Ordering::Acquire);
        let tail = Self::word(state, SQ_TAIL).load(Ordering::Acquire);
        let count = tail.wrapping_sub(head).min(most);
        let wide = u32::from(state.params.flags & IORING_SETUP_SQE128 != 0);
        let (base, _) = state.maps[&IORING_OFF_SQES];
        for at in 0..count {
            let index = head.wrapping_add(at) & (state.params.sq_entries - 1);
            let entry = base + ((index << wide) as usize) * size_of::<io_uring_sqe>();
            // SAFETY: within the mapping, and published.
            let sqe = unsafe { (entry as *const io_uring_sqe).read() };
            state.taken.push(sqe.user_data);
        }
        Self::word(state, SQ_HEAD).store(head.wrapping_add(count), Ordering::Release);
        count
    }

    /// Room for completions that the ring has not read.
    pub(super) fn room(&self) -> u32 {
        let state = self.state();
        let head = Self::word(&state, CQ_HEAD).load(Ordering::Acquire);
        let tail = Self::word(&state, CQ_TAIL).load(Ordering::Acquire);
        state.params.cq_entries - tail.wrapping_sub(head)
    }

    /// Where the next completion would go, counted from the queue's beginning.
    pub(super) fn place(&self) -> u32 {
        let state = self.state();
        Self::word(&state, CQ_TAIL).load(Ordering::Acquire) & (state.params.cq_entries - 1)
    }

    pub(super) fn post(&self, cqe: io_uring_cqe, rest: [u64; 2], places: u32) {
        let state = self.state();
        let tail = Self::word(&state, CQ_TAIL).load(Ordering::Acquire);
        let index = tail & (state.params.cq_entries - 1);
        let (base, _) = state.maps[&IORING_OFF_SQ_RING];
        let size = Self::size_of_cqe(&state.params);
        let at = base + CQES as usize + index as usize * size;
        // SAFETY: within the mapping; the ring has read what was there before.
        unsafe {
            (at as *mut io_uring_cqe).write(cqe);
            if places == 2 || size == 32 {
                ((at + 16) as *mut [u64; 2]).write(rest);
            }
        }
        Self::word(&state, CQ_TAIL).store(tail.wrapping_add(places), Ordering::Release);
    }
}

impl Kernel for Teller {
    fn setup(&self, entries: u32, params: &mut io_uring_params) -> Result<i32, Errno> {
        let mut state = self.state();
        let sq = entries.next_power_of_two();
        params.sq_entries = sq;
        if params.flags & IORING_SETUP_CQSIZE == 0 {
            params.cq_entries = 2 * sq;
        }
        params.cq_entries = params.cq_entries.next_power_of_two();
        params.features = u32::MAX >> 14;
        params.sq_off.head = SQ_HEAD;
        params.sq_off.tail = SQ_TAIL;
        params.sq_off.flags = SQ_FLAGS;
        params.sq_off.dropped = SQ_DROPPED;
        params.sq_off.array = SQ_ARRAY;
        params.cq_off.head = CQ_HEAD;
        params.cq_off.tail = CQ_TAIL;
        params.cq_off.overflow = CQ_OVERFLOW;
        params.cq_off.flags = CQ_FLAGS;
        params.cq_off.cqes = CQES;
        state.params = *params;
        state.open.insert(3_000_000);
        Ok(3_000_000)
    }

    unsafe fn enter(
        &self,
        _fd: i32,
        to_submit: u32,
        _min: u32,
        _flags: u32,
        _arg: *const c_void,
        _size: usize,
    ) -> Result<u32, Errno> {
        self.0 .1.fetch_add(10_000, Ordering::Relaxed);
        let mut state = self.state();
        if !state.maps.contains_key(&IORING_OFF_SQ_RING) {
            // A new ring is tried out before anything of it is mapped.
            return Ok(0);
        }
        match state.answers.pop_front() {
            Some(errno @ ..=-1) => Err(Errno(-i32::from(errno))),
            Some(most) => Ok(Self::take(&mut state, to_submit.min(most as u32))),
            None => Ok(Self::take(&mut state, to_submit)),
        }
    }

    unsafe fn register(&self, _: i32, opcode: u32, arg: *mut c_void, _: u32) -> Result<u32, Errno> {
        match opcode {
            IORING_REGISTER_ENABLE_RINGS => Ok(0),
            IORING_REGISTER_SYNC_CANCEL => Err(Errno::ENOENT),
            IORING_REGISTER_ZCRX_IFQ => {
                let Some([entries, head, tail, rqes, id]) = self.state().zcrx else {
                    return Err(Errno::EINVAL);
                };
                // SAFETY: what this operation takes.
                unsafe {
                    let reg = arg.cast::<io_uring_zcrx_ifq_reg>();
                    (*reg).rq_entries = entries;
                    ((*reg).offsets.head, (*reg).offsets.tail) = (head, tail);
                    ((*reg).offsets.rqes, (*reg).zcrx_id) = (rqes, id);
                }
                Ok(0)
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn map(&self, _fd: i32, len: usize, offset: u64) -> Result<NonNull<u8>, Errno> {
        // Of just that length, so that one byte too far is seen.
        let layout = Layout::from_size_align(len, 64).expect("a layout");
        // SAFETY: not empty.
        let base = unsafe { alloc_zeroed(layout) };
        let mut state = self.state();
        state.maps.insert(offset, (base as usize, len));
        if offset == IORING_OFF_SQ_RING {
            for word in [SQ_HEAD, SQ_TAIL, CQ_HEAD, CQ_TAIL] {
                Self::word(&state, word).store(state.start, Ordering::Release);
            }
        }
        NonNull::new(base).ok_or(Errno::ENOMEM)
    }

    unsafe fn unmap(&self, addr: NonNull<u8>, len: usize) {
        let mut state = self.state();
        let known = state.maps.values().any(|map| *map == (addr.as_ptr() as usize, len));
        assert!(known, "unmapped what was not mapped");
        state.maps.retain(|_, map| map.0 != addr.as_ptr() as usize);
        // SAFETY: allocated by `map`, with this length.
        unsafe { dealloc(addr.as_ptr(), Layout::from_size_align(len, 64).expect("a layout")) };
    }

    unsafe fn close(&self, fd: i32) {
        assert!(self.state().open.remove(&fd), "closed what was not open");
    }

    fn now_ns(&self) -> u64 {
        self.0 .1.fetch_add(1_000_000, Ordering::Relaxed)
    }
}
