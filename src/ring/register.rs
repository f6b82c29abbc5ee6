//! The register operations that set something about a ring, each as a safe function with typed
//! arguments. Their structures live on the stack: the kernel uses them during the call only.

use core::ffi::c_void;

use crate::ring::error::{Call, RingError};
use crate::ring::kernel::Kernel;
use crate::ring::probe;
use crate::ring::slots::Zeroed;
use crate::ring::Ring;
use crate::sys::abi::{io_uring_clock_register, io_uring_napi, io_uring_rsrc_update};
use crate::sys::consts::*;
use crate::sys::register::{self, RegisterInfo};
use crate::sys::Errno;

/// Say what `errno` means for register operation `op`, whose arguments were right: EINVAL then is
/// the answer of a kernel that has no such operation.
pub fn told<K: Kernel>(kernel: &K, op: u32, errno: Errno) -> RingError {
    let known = |info: &RegisterInfo| match probe::query(kernel) {
        Ok(answer) => answer.nr_register_opcodes > op,
        // The version is a guess (distributions carry things back), good enough for a message.
        Err(_) => !probe::is_before(info.since),
    };
    match register::info(op) {
        Some(info) if errno == Errno::EINVAL && !known(info) => {
            RingError::Unsupported { what: info.name, since: info.since }
        }
        _ => super::params::register_error(errno),
    }
}

impl<K: Kernel, P: Zeroed> Ring<K, P> {
    /// io_uring_register(2) with an argument that is used during the call only.
    fn set<T>(&self, op: u32, arg: &mut T, nr: u32) -> Result<u32, RingError> {
        let arg: *mut c_void = core::ptr::from_mut(arg).cast();
        // SAFETY: private, so called below only, with what `op` takes, which is live and exclusive
        // for the call (I2).
        unsafe { self.register(op, arg, nr) }.map_err(|error| self.explain(op, error))
    }

    /// io_uring_register(2) without an argument.
    fn set_bare(&self, op: u32, nr: u32) -> Result<u32, RingError> {
        // SAFETY: private, so called below only, with operations that take no memory (I2).
        unsafe { self.register(op, core::ptr::null_mut(), nr) }
            .map_err(|error| self.explain(op, error))
    }

    #[cold]
    fn explain(&self, op: u32, error: RingError) -> RingError {
        match error {
            RingError::Sys(Call::Register, errno) => told(self.kernel(), op, errno),
            error => error,
        }
    }

    /// Register the credentials of the calling thread. Returns their number.
    pub fn register_personality(&self) -> Result<u16, RingError> {
        // The kernel numbers them from 1 to 65535.
        self.set_bare(IORING_REGISTER_PERSONALITY, 0).map(|id| id as u16)
    }

    /// Drop credentials. Requests that the kernel has taken keep theirs.
    pub fn unregister_personality(&self, id: u16) -> Result<(), RingError> {
        // SAFETY: takes no memory, a number only (I2).
        let done = unsafe {
            self.register(IORING_UNREGISTER_PERSONALITY, core::ptr::null_mut(), id.into())
        };
        done.map(drop)
    }

    /// Bind the worker threads to the CPUs whose bits are set in `mask`, or to none in particular.
    pub fn bind_workers(&self, mask: Option<&mut [u8]>) -> Result<(), RingError> {
        self.have_workers()?;
        let Some(mask) = mask else {
            return self.set_bare(IORING_UNREGISTER_IOWQ_AFF, 0).map(drop);
        };
        let len = mask.len() as u32;
        // SAFETY: a mask of so many bytes, read during the call (I2).
        let done =
            unsafe { self.register(IORING_REGISTER_IOWQ_AFF, mask.as_mut_ptr().cast(), len) };
        done.map(drop)
    }

    /// The workers belong to the thread, which gets them with its first submission, or when it
    /// registers a ring's descriptor. The latter touches no queue, where another thread of a shared
    /// ring may just have shown a chain that must be taken whole.
    fn have_workers(&self) -> Result<(), RingError> {
        if self.is_closed() {
            return Err(RingError::Closed);
        }
        if self.is_sqpoll() || self.registered_by != 0 {
            return Ok(());
        }
        let mut update = io_uring_rsrc_update { offset: u32::MAX, resv: 0, data: self.fd() as u64 };
        // Refused where all places are taken, by restrictions, and before Linux 5.18: then what
        // follows tells of threads without workers.
        if self.set(IORING_REGISTER_RING_FDS, &mut update, 1).is_ok() {
            update.data = 0;
            self.set(IORING_UNREGISTER_RING_FDS, &mut update, 1)?;
        }
        Ok(())
    }

    /// Limit the number of bounded and unbounded workers; 0 leaves a limit as it is. Returns the
    /// limits of before.
    pub fn limit_workers(&self, limits: [u32; 2]) -> Result<[u32; 2], RingError> {
        self.have_workers()?;
        let mut limits = limits;
        self.set(IORING_REGISTER_IOWQ_MAX_WORKERS, &mut limits, 2)?;
        Ok(limits)
    }

    /// Change what is polled while waiting; `napi` holds what was set before afterwards.
    pub fn set_napi(&self, napi: &mut io_uring_napi) -> Result<(), RingError> {
        self.set(IORING_REGISTER_NAPI, napi, 1).map(drop)
    }

    /// Poll no more. Returns what was set before.
    pub fn unset_napi(&self) -> Result<io_uring_napi, RingError> {
        let mut napi = io_uring_napi::default();
        self.set(IORING_UNREGISTER_NAPI, &mut napi, 1)?;
        Ok(napi)
    }

    /// Choose the clock that the kernel's waits on this ring run on.
    pub fn set_clock(&self, clockid: u32) -> Result<(), RingError> {
        let mut clock = io_uring_clock_register { clockid, ..Default::default() };
        self.set(IORING_REGISTER_CLOCK, &mut clock, 0).map(drop)
    }

    /// The ring's index in the table of the thread that owns it, if it is registered there.
    pub fn registered_index(&self) -> Option<u32> {
        (self.registered_by != 0).then_some(self.enter_fd as u32)
    }
}
