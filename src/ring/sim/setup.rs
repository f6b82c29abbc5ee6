//! io_uring_setup(2), mmap(2), munmap(2), close(2).

use std::collections::{BTreeSet, VecDeque};
use std::ptr::NonNull;

use super::faults::{Action, Call};
use super::files::Object;
use super::memory::RingMemory;
use super::world::{Map, Ring, SqThread, World};
use crate::sys::abi::io_uring_params;
use crate::sys::consts::*;
use crate::sys::sync::thread;
use crate::sys::Errno;

const SQ_ENTRIES_MAX: u32 = 32_768;
const CQ_ENTRIES_MAX: u32 = 2 * SQ_ENTRIES_MAX;

/// What only real memory management could do.
const NOT_SIMULATED: u32 = IORING_SETUP_NO_MMAP
    | IORING_SETUP_REGISTERED_FD_ONLY
    | IORING_SETUP_CQE_MIXED
    | IORING_SETUP_IOPOLL
    | IORING_SETUP_HYBRID_IOPOLL;

/// Which flags exclude and need each other (`io_uring_sanitise_params`).
fn check_flags(flags: u32, known: u32) -> Result<(), Errno> {
    let has = |bits: u32| flags & bits != 0;
    let taskrun = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_DEFER_TASKRUN;
    let bad = flags & !(known & !NOT_SIMULATED) != 0
        || (has(IORING_SETUP_SQPOLL) && has(taskrun | IORING_SETUP_TASKRUN_FLAG))
        || (has(IORING_SETUP_TASKRUN_FLAG) && !has(taskrun))
        || (has(IORING_SETUP_DEFER_TASKRUN) && !has(IORING_SETUP_SINGLE_ISSUER))
        || (has(IORING_SETUP_SQ_AFF) && !has(IORING_SETUP_SQPOLL));
    if bad {
        Err(Errno::EINVAL)
    } else {
        Ok(())
    }
}

/// Round the sizes as the kernel does (`io_uring_fill_params`).
fn sizes(entries: u32, params: &io_uring_params) -> Result<(u32, u32), Errno> {
    let clamp = params.flags & IORING_SETUP_CLAMP != 0;
    let round = |n: u32, max: u32| match n {
        0 => Err(Errno::EINVAL),
        n if n > max && !clamp => Err(Errno::EINVAL),
        n => Ok(n.min(max).next_power_of_two()),
    };
    let sq = round(entries, SQ_ENTRIES_MAX)?;
    if params.flags & IORING_SETUP_CQSIZE == 0 {
        return Ok((sq, 2 * sq));
    }
    match round(params.cq_entries, CQ_ENTRIES_MAX)? {
        cq if cq < sq => Err(Errno::EINVAL),
        cq => Ok((sq, cq)),
    }
}

impl World {
    pub(super) fn setup(
        &mut self,
        entries: u32,
        params: &mut io_uring_params,
    ) -> Result<i32, Errno> {
        if let Some(Action::Err(errno)) = self.faults.call(Call::Setup, "io_uring_setup") {
            return Err(errno);
        }
        if params.resv != [0; 3] {
            return Err(Errno::EINVAL);
        }
        check_flags(params.flags, self.options.setup_flags)?;
        let (sq_entries, cq_entries) = sizes(entries, params)?;
        if params.flags & IORING_SETUP_ATTACH_WQ != 0 {
            self.ring_of_fd(params.wq_fd as i32).map_err(|_| Errno::EINVAL)?;
        }
        let memory = RingMemory::new(&self.options, params.flags, sq_entries, cq_entries);
        self.charge(memory.len() as u64)?;
        let fd = self.files.install(Object::Ring(self.rings.len()), false, false)?;
        params.sq_entries = sq_entries;
        params.cq_entries = cq_entries;
        params.features = self.options.features;
        params.sq_off = memory.sq_off;
        params.cq_off = memory.cq_off;
        let ring = self.new_ring(fd, params, memory);
        self.rings.push(ring);
        Ok(fd)
    }

    /// Rings count against RLIMIT_MEMLOCK.
    fn charge(&self, len: u64) -> Result<(), Errno> {
        let open = self.rings.iter().filter(|ring| !ring.closed);
        let used: u64 = open.map(|ring| ring.memory.len() as u64).sum();
        match self.options.locked_memory {
            Some(limit) if used + len > limit => Err(Errno::ENOMEM),
            _ => Ok(()),
        }
    }

    fn new_ring(&self, fd: i32, params: &io_uring_params, memory: RingMemory) -> Ring {
        let flags = params.flags;
        let disabled = flags & IORING_SETUP_R_DISABLED != 0;
        let single = flags & IORING_SETUP_SINGLE_ISSUER != 0;
        let idle_ms = match params.sq_thread_idle {
            0 => 1_000,
            ms => ms,
        };
        Ring {
            fd,
            flags,
            sq_entries: params.sq_entries,
            cq_entries: params.cq_entries,
            memory,
            closed: false,
            disabled,
            issuer: (single && !disabled).then(|| thread::current().id()),
            sq_head: self.options.sq_start,
            cq_tail: self.options.cq_start,
            overflow: VecDeque::new(),
            overflowed: false,
            lost: false,
            work: VecDeque::new(),
            ended: Vec::new(),
            chain_head: None,
            chain_last: None,
            deferred: VecDeque::new(),
            drain_active: false,
            drain_next: false,
            drain_refused: false,
            live: BTreeSet::new(),
            cq_timeouts: 0,
            last_timeout_flush: 0,
            eventfd: None,
            signal: false,
            table: Vec::new(),
            buffers: Vec::new(),
            sq_thread: (flags & IORING_SETUP_SQPOLL != 0).then(|| SqThread {
                asleep: false,
                idle_ns: u64::from(idle_ms) * 1_000_000,
                worked_at: self.now,
                tail_seen: self.options.sq_start,
            }),
        }
    }

    pub(super) fn map(&mut self, fd: i32, len: usize, offset: u64) -> Result<NonNull<u8>, Errno> {
        if let Some(Action::Err(errno)) = self.faults.call(Call::Map, "mmap") {
            return Err(errno);
        }
        let ring = match self.ring_of_fd(fd) {
            Err(Errno::EOPNOTSUPP) => return Err(Errno::ENODEV),
            ring => ring?,
        };
        let region = self.rings[ring].memory.region(offset).ok_or(Errno::EINVAL)?;
        if len == 0 || len > region.len() {
            return Err(Errno::EINVAL);
        }
        let base = region.base();
        self.maps.push(Map { addr: base.as_ptr() as usize, len, ring });
        Ok(base)
    }

    pub(super) fn unmap(&mut self, addr: NonNull<u8>, len: usize) {
        self.faults.call(Call::Unmap, "munmap");
        let addr = addr.as_ptr() as usize;
        let Some(at) = self.maps.iter().position(|map| map.addr == addr && map.len == len) else {
            let known = self.maps.iter().find(|map| map.addr == addr).map(|map| map.len);
            return self.violation(match known {
                Some(right) => format!("munmap of {len} bytes of a mapping of {right}"),
                None => format!("munmap of {len} bytes that are not mapped"),
            });
        };
        let ring = self.maps.remove(at).ring;
        self.must_be_idle(ring, "unmapped");
        self.retire_if_done(ring);
    }

    pub(super) fn close_fd(&mut self, fd: i32) {
        self.faults.call(Call::Close, "close");
        if self.files.close(fd).is_err() {
            self.violation(format!("close of {fd}, which is not open"));
        }
        self.settle_call();
    }
}
