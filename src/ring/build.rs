//! Setting a ring up, from the first system call to the `Ring`.

use std::collections::VecDeque;

use crate::ring::batches::Batches;
use crate::ring::chain::Chains;
use crate::ring::error::{Call, RingError};
use crate::ring::kernel::Kernel;
use crate::ring::mapping::{Maps, OwnMemory};
use crate::ring::params::{self, register_error, Config, Made, CQ_ENTRIES_MAX};
use crate::ring::region::WaitRegion;
use crate::ring::slots::{Slots, Zeroed};
use crate::ring::{probe, ringfd, Phase, Ring};
use crate::sys::abi::io_uring_params;
use crate::sys::consts::*;
use crate::sys::{sync, Errno};

/// A ring entered so often is worth the two system calls that registering its descriptor costs.
const ENTERS_TO_REGISTER: u32 = 16;

/// What was done before the ring is used.
struct Early {
    enabled: bool,
    wait_region: Option<Box<WaitRegion>>,
}

/// What a ring is made of beside its descriptor.
struct Built<P> {
    early: Early,
    slots: Slots<P>,
    maps: Maps,
}

/// The process has no addresses left for a ring.
fn no_room(what: &str) -> RingError {
    RingError::Refused(Box::new(probe::diagnose_room(what)))
}

impl<K: Kernel, P: Zeroed> Ring<K, P> {
    /// Set a ring up.
    pub fn new(kernel: K, config: &Config) -> Result<Self, RingError> {
        let Made { fd, params, mut memory } = params::setup(&kernel, config)?;
        let built = match Self::build(&kernel, fd, config, &params, &mut memory) {
            Ok(built) => built,
            Err(error) => {
                // SAFETY: just opened by setup, not handed out (I10).
                unsafe { ringfd::close(&kernel, fd, params.flags) };
                if let Some(memory) = memory {
                    // SAFETY: the ring it was for was closed, and never used (I8).
                    unsafe { memory.free(&kernel) };
                }
                return Err(error);
            }
        };
        let Built { early, slots, maps } = built;
        let (sq, cq) = maps.queues(&params);
        let index_only = params.flags & IORING_SETUP_REGISTERED_FD_ONLY != 0;
        let polled = params.flags & IORING_SETUP_IOPOLL != 0;
        Ok(Ring {
            kernel,
            fd,
            enter_fd: fd,
            registered_by: if index_only { sync::thread_id() } else { 0 },
            enters_to_register: if config.registers_itself() && !index_only {
                ENTERS_TO_REGISTER
            } else {
                0
            },
            maps: Some(maps),
            sq,
            cq,
            slots: Some(slots),
            phase: Phase::Open,
            chains: Chains::default(),
            batches: Batches::default(),
            shared: config.shared,
            staged_apart: config.shared || polled,
            enabled_by_hand: config.begins_disabled(),
            gone: false,
            shrunk: 0,
            wait_flags: 0,
            disabled: params.flags & IORING_SETUP_R_DISABLED != 0 && !early.enabled,
            wait_region: early.wait_region,
            woken: false,
            refusing: false,
            cancelling: 0,
            strays: 0,
            messages: VecDeque::new(),
            has_buffers: false,
            pools: Vec::new(),
            params,
        })
    }

    /// What a ring is made of beside its descriptor. `memory` is taken once the ring has it.
    fn build(
        kernel: &K,
        fd: i32,
        config: &Config,
        params: &io_uring_params,
        memory: &mut Option<OwnMemory>,
    ) -> Result<Built<P>, RingError> {
        params::try_out(kernel, fd, params.flags)?;
        let early = Self::before_use(kernel, fd, config)?;
        let deferred = params.flags & IORING_SETUP_DEFER_TASKRUN != 0;
        // As many requests as the completion queue holds: only multishot can overflow it.
        // Where it may be resized, so may they.
        let slots = Slots::growable(params.cq_entries, if deferred { CQ_ENTRIES_MAX } else { 0 })
            .ok_or_else(|| no_room("memory for the requests"))?;
        let maps = match memory.take() {
            Some(memory) => memory.into_maps(params).ok_or(RingError::Corrupted(
                "the kernel uses more memory for the queues than it was given",
            )),
            None => Maps::new(kernel, fd, params).map_err(|error| match error {
                RingError::Sys(Call::Map, Errno::ENOMEM) => no_room("mmap of the queues"),
                error => error,
            }),
        };
        Ok(Built { early, slots, maps: maps? })
    }

    /// What must be said before the ring is enabled. A shared ring has no thread to enable it later.
    fn before_use(kernel: &K, fd: i32, config: &Config) -> Result<Early, RingError> {
        let flags = config.flags.unwrap_or(0);
        if config.speaks_first() && flags & IORING_SETUP_REGISTERED_FD_ONLY != 0 {
            return Err(RingError::BadFlags(
                "a REGISTERED_FD_ONLY ring can have neither restrictions nor a wait region",
            ));
        }
        if let Some(restrictions) = &config.restrictions {
            restrictions.apply(kernel, fd)?;
        }
        let wait_region =
            config.wait_region.then(|| WaitRegion::register(kernel, fd)).transpose()?;
        let enabled = config.shared && config.speaks_first() && !config.begins_disabled();
        if enabled {
            let none = core::ptr::null_mut();
            // SAFETY: takes no argument (I9: nobody else knows the ring).
            let done = unsafe { kernel.register(fd, IORING_REGISTER_ENABLE_RINGS, none, 0) };
            done.map_err(register_error)?;
        }
        Ok(Early { enabled, wait_region })
    }
}
