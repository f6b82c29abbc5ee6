//! A ring that carries out the requests of a queue.
//!
//! Whoever hands over holds the queue's submission lock from staging until it is known what the
//! kernel took; what it did not take is taken out of the ring again, so that a request is either
//! prepared or with the kernel, never in between. Waiters enter without anything to submit.

use crate::bulk::queue::host::QueueHost;
use crate::bulk::queue::table::{Files, Table};
use crate::ops;
use crate::ring::error::{Call, RingError};
use crate::ring::kernel::Kernel;
use crate::ring::params::{register_error, Config};
use crate::ring::slots::Zeroed;
use crate::ring::teardown::Naps;
use crate::ring::wait::{EnterPlan, Entered};
use crate::ring::Ring;
use crate::sys::abi::{
    __kernel_timespec, io_uring_files_update, io_uring_sqe, io_uring_sync_cancel_reg,
};
use crate::sys::consts::*;
use crate::sys::os::{iovec, POLLIN};
use crate::sys::Errno;

/// Which request of the queue a slot is; [`BELL`] for the poll of the bell.
#[derive(Clone, Copy)]
struct Link(u32);

// SAFETY: all zeroes is the first request, which no slot is read as before it was written (I1).
unsafe impl Zeroed for Link {}

const BELL: u32 = u32::MAX;

pub(super) struct RingCarrier<H: QueueHost> {
    ring: Ring<H::Kernel, Link>,
    bell: i32,
    /// A poll of the bell is with the kernel.
    armed: bool,
    /// That poll has ended, and nobody has looked at the bell since.
    pub(super) bell_seen: bool,
    /// Files go into the ring's own table.
    pub(super) has_table: bool,
    /// Registered buffers: where each begins and ends, in order, and its number.
    buffers: Vec<(u64, u64, u16)>,
}

impl<H: QueueHost> RingCarrier<H> {
    /// A ring for `depth` requests, and one for the bell.
    pub(super) fn new(host: &H, depth: u32, bell: i32) -> Result<Self, RingError> {
        let mut config = Config::new(depth.next_power_of_two());
        // Any thread hands over, any thread waits: nothing may wait for one of them to come by.
        config.shared = true;
        let mut ring = Ring::new(host.kernel(), &config)?;
        ring.enable()?;
        Ok(RingCarrier {
            ring,
            bell,
            armed: false,
            bell_seen: false,
            has_table: false,
            buffers: Vec::new(),
        })
    }

    /// How many requests it can have, the poll of the bell apart.
    pub(super) fn room(&self) -> u32 {
        self.ring.params().cq_entries - 1
    }

    /// Have a table of so many files. Where that is refused, descriptors do the same.
    pub(super) fn make_table(&mut self, count: u32) {
        let empty = vec![-1i32; count as usize];
        let arg = empty.as_ptr().cast_mut().cast();
        // SAFETY: so many descriptors, read during the call (I2).
        let made = unsafe { self.ring.register(IORING_REGISTER_FILES, arg, count) };
        self.has_table = made.is_ok();
    }

    /// Put a file into the table, or (-1) take one out of it.
    pub(super) fn set_file(&mut self, slot: u32, fd: i32) -> Result<(), RingError> {
        let fds = [fd];
        let mut update = io_uring_files_update { offset: slot, resv: 0, fds: fds.as_ptr() as u64 };
        let arg = core::ptr::from_mut(&mut update).cast();
        // SAFETY: one descriptor, read during the call (I2).
        match unsafe { self.ring.register(IORING_REGISTER_FILES_UPDATE, arg, 1) } {
            Ok(1..) => Ok(()),
            Ok(0) => Err(register_error(Errno::EBADF)),
            Err(error) => Err(error),
        }
    }

    /// Register buffers, which must stay where they are until the ring is closed.
    pub(super) fn set_buffers(&mut self, parts: &[(u64, u64)]) -> Result<(), RingError> {
        let vectors: Vec<iovec> = parts
            .iter()
            .map(|&(addr, len)| iovec { iov_base: addr as *mut _, iov_len: len as usize })
            .collect();
        let arg = vectors.as_ptr().cast_mut().cast();
        // SAFETY: so many vectors, read during the call; the memory stays (I2).
        unsafe { self.ring.register(IORING_REGISTER_BUFFERS, arg, vectors.len() as u32) }?;
        let ends = parts.iter().zip(0u16..).map(|(&(addr, len), index)| (addr, addr + len, index));
        self.buffers = ends.collect();
        self.buffers.sort_unstable();
        Ok(())
    }

    /// How many buffers are registered.
    pub(super) fn buffers(&self) -> usize {
        self.buffers.len()
    }

    /// The registered buffer that holds all of this memory.
    pub(super) fn buffer_of(&self, addr: u64, len: u64) -> Option<u16> {
        let after = self.buffers.partition_point(|&(start, _, _)| start <= addr);
        let &(_, end, index) = self.buffers.get(after.checked_sub(1)?)?;
        (len > 0 && addr + len <= end).then_some(index)
    }

    fn stage(&mut self, link: u32, sqe: io_uring_sqe) -> Result<u64, RingError> {
        let (index, _) = self.ring.reserve()?;
        // SAFETY: a slot that is reserved is the caller's, and does not move (I1).
        unsafe { self.ring.payload(index).write(Link(link)) };
        self.ring.stage(index, sqe).inspect_err(|_| self.ring.free(index))
    }

    /// Put what is to go into the submission queue, as much as fits. None when nothing is.
    pub(super) fn stage_all<K>(
        &mut self,
        table: &mut Table<K>,
        files: &Files,
        fresh: bool,
    ) -> Result<Option<EnterPlan>, RingError> {
        let mut staged = false;
        while self.ring.sq().space() > 0 {
            let Some(index) = table.next_to_go(fresh) else { break };
            let Some(entry) = table.entry(index) else { continue };
            let sqe = entry.op.entry(files.target(entry.file), entry.offset);
            match self.stage(index, sqe) {
                Ok(key) => {
                    table.gone(index, key);
                    staged = true;
                }
                Err(error) => {
                    table.came_back(index);
                    if !staged {
                        return Err(error);
                    }
                    break;
                }
            }
        }
        self.ring.plan_submit(0)
    }

    /// Have the bell polled, if it is not. None when nothing is to be done.
    pub(super) fn stage_bell(&mut self) -> Result<Option<EnterPlan>, RingError> {
        if self.armed {
            return Ok(None);
        }
        self.stage(BELL, ops::poll::add(self.bell, POLLIN as u32, 0))?;
        self.armed = true;
        self.ring.plan_submit(0)
    }

    /// After an enter: take back what the kernel did not take. None when it took all, else how many
    /// came back that were to go for the first time. Nobody may be inside a submitting enter (I11).
    pub(super) fn settle<K>(&mut self, table: &mut Table<K>) -> Option<u32> {
        if self.ring.pending() == 0 {
            return None;
        }
        self.ring.sq().unpublish();
        let mut back = Vec::new();
        self.ring.discard(|slot| back.push(slot));
        let mut fresh = 0;
        for slot in back {
            // SAFETY: taken back from the queue, and so ours until it is freed (I1).
            let Link(link) = unsafe { self.ring.payload(slot).read() };
            self.ring.free(slot);
            if link == BELL {
                self.armed = false;
            } else {
                fresh += u32::from(table.came_back(link));
            }
        }
        Some(fresh)
    }

    /// Completions that nobody asked for, to get those who wait out of the kernel.
    pub(super) fn stage_poke(&mut self) -> Result<Option<EnterPlan>, RingError> {
        self.ring.plan_poke(1)
    }

    /// Take all completions there are.
    pub(super) fn reap<K>(&mut self, table: &mut Table<K>, files: &mut Files, open: bool) {
        loop {
            let mut any = false;
            while let Some(event) = self.ring.next_event() {
                any = true;
                if !event.terminal {
                    continue;
                }
                // SAFETY: the slot of an event that was just taken is ours until freed (I1).
                let Link(link) = unsafe { self.ring.payload(event.index).read() };
                self.ring.free(event.index);
                if link == BELL {
                    self.armed = false;
                    self.bell_seen |= event.res >= 0;
                } else if table.ended(link, event.res, open) {
                    let file = table.entry(link).map(|entry| entry.file);
                    file.into_iter().for_each(|file| files.leave(file));
                }
            }
            self.ring.reaped();
            // What did not fit into the queue, the kernel keeps until it is asked.
            let Some(plan) = self.ring.plan_flush() else { return };
            let kernel = self.ring.kernel().clone();
            if plan.run(&kernel, None, 0).is_err() || (!any && self.ring.cq().ready() == 0) {
                return;
            }
        }
    }

    /// Plan to sleep until there is a completion; None when there is one already.
    pub(super) fn plan_sleep(&mut self) -> Option<EnterPlan> {
        if self.ring.cq().ready() > 0 || self.ring.is_closed() {
            return None;
        }
        self.ring.plan_wait(1)
    }

    /// Ask the kernel to stop one request. False: it has ended, or is about to.
    pub(super) fn cancel(&mut self, key: u64) -> Result<bool, RingError> {
        let mut cancel = io_uring_sync_cancel_reg {
            addr: key,
            fd: -1,
            // Zero time: what cannot be stopped is not waited for.
            timeout: __kernel_timespec { tv_sec: 0, tv_nsec: 0 },
            ..Default::default()
        };
        let arg = core::ptr::from_mut(&mut cancel).cast();
        // SAFETY: `cancel` is what SYNC_CANCEL takes, used during the call only (I12).
        match unsafe { self.ring.register(IORING_REGISTER_SYNC_CANCEL, arg, 1) } {
            Ok(_) => Ok(true),
            // It runs in a worker, which was told to stop if it can.
            Err(RingError::Sys(Call::Register, Errno::ETIME | Errno::EALREADY)) => Ok(true),
            Err(RingError::Sys(Call::Register, Errno::ENOENT)) => Ok(false),
            // Linux before 6.0 knows no synchronous cancellation: the next enter sends one.
            Err(RingError::Sys(Call::Register, Errno::EINVAL)) => self.cancel_by_entry(key),
            Err(error) => Err(error),
        }
    }

    fn cancel_by_entry(&mut self, key: u64) -> Result<bool, RingError> {
        let sqe = ops::cancel::by_key(key);
        self.ring.push_internal(sqe)?;
        let Some(plan) = self.ring.plan_submit(0)? else { return Ok(true) };
        let kernel = self.ring.kernel().clone();
        let entered = plan.run(&kernel, None, 0);
        if self.ring.pending() > 0 {
            // Not taken, and the next hand-over would take it back unseen.
            self.ring.sq().unpublish();
            self.ring.discard(|_| {});
            entered?;
            return Err(RingError::Sys(Call::Enter, Errno::EAGAIN));
        }
        entered.map(|_| true)
    }

    /// Ask the kernel to stop everything.
    pub(super) fn cancel_all(&mut self) -> Result<(), RingError> {
        self.ring.cancel_in_flight()
    }

    /// Refuse new requests.
    pub(super) fn begin_close(&mut self) {
        // Nothing is staged: what the kernel did not take was taken back each time.
        self.ring.begin_close(|_| {});
    }

    /// One step of closing: cancel, and plan to wait for what is left. None when nothing is.
    pub(super) fn plan_drain(
        &mut self,
        naps: &mut Naps,
    ) -> Result<Option<(EnterPlan, u64)>, RingError> {
        if self.ring.live() == 0 {
            return Ok(None);
        }
        self.ring.cancel_in_flight()?;
        let nap = naps.next(self.ring.live());
        Ok(self.ring.plan_drain().map(|plan| (plan, nap)))
    }

    /// Unmap and close; false while something is in flight.
    pub(super) fn finish_close(&mut self) -> bool {
        if self.ring.live() == 0 && core::mem::take(&mut self.has_table) {
            // The kernel lets go of a closed ring's files some time later only.
            // SAFETY: takes no memory (I2).
            let _ =
                unsafe { self.ring.register(IORING_UNREGISTER_FILES, core::ptr::null_mut(), 0) };
        }
        self.ring.finish_close()
    }

    /// In a forked child: forget everything, touch nothing (I9).
    pub(super) fn abandon(&mut self) {
        self.ring.abandon();
    }

    pub(super) fn kernel(&self) -> H::Kernel {
        self.ring.kernel().clone()
    }

    /// Is the bell polled?
    pub(super) fn is_armed(&self) -> bool {
        self.armed
    }

    /// Let a waiter that lacks several completions sleep for all of them at first, and only after a
    /// moment be woken by each: to be woken is more work than to complete. A wake-up, which is but
    /// one, may come that moment late.
    pub(super) fn patient(&self, plan: EnterPlan, lacking: u32, alone: bool) -> (EnterPlan, u32) {
        let able = self.ring.params().features & IORING_FEAT_MIN_TIMEOUT != 0;
        if lacking > 1 && alone && able {
            (EnterPlan { min_complete: lacking, ..plan }, PATIENCE_US)
        } else {
            (plan, 0)
        }
    }
}

/// Carry a plan out, as often as it takes to get past signals, which a submission does not wait for.
pub(super) fn hand_over<K: Kernel>(kernel: &K, plan: &EnterPlan) -> Result<(), RingError> {
    for _ in 0..SIGNALS {
        match plan.run(kernel, None, 0)? {
            Entered::Interrupted => {}
            Entered::Busy => return Err(RingError::Sys(Call::Enter, Errno::EBUSY)),
            Entered::Took(_) | Entered::TimedOut => return Ok(()),
        }
    }
    Err(RingError::Sys(Call::Enter, Errno::EINTR))
}

/// How late a wake-up may come to who waits for many completions.
const PATIENCE_US: u32 = 50;

/// So often may a signal come before a submission is given up for now.
const SIGNALS: u32 = 16;
