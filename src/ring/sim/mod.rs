//! A simulated kernel: io_uring over ordinary memory and virtual time, with a fault plan.
//!
//! It takes the same entries and posts the same completions as Linux 6.18 would, as far as Linux
//! promises anything, and where Linux leaves the order open it chooses by its seed. It keeps a
//! record of everything, notices misuse ([`SimKernel::violations`]), and is as hostile as the
//! contract allows: indices start just before they wrap, destination buffers are overwritten
//! until the terminal completion, arguments are read at the last moment the kernel may read them
//! and never later, descriptors are reused at once. The very scripts that test it run on the real
//! kernel too (`tests/rust/sim.rs`).
//!
//! The kernel's side touches the shared words through `ring::word` like the user's (I4).

mod complete;
mod connections;
mod control;
mod enter;
mod faults;
mod files;
mod issue;
mod memory;
mod options;
mod plain;
mod prepare;
mod readiness;
mod register;
mod request;
mod rng;
mod setup;
mod sockets;
mod submit;
mod timers;
mod transfer;
mod world;

use core::ffi::c_void;
use core::ptr::NonNull;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

pub use control::Stats;
pub use faults::{Action, Call, Fault, FaultPlan, Made, RequestAction, RequestFault};
pub use options::{Options, FD_BASE};
pub use plain::Plain;
pub use world::{Completed, Submitted};

use crate::ring::kernel::Kernel;
use crate::sys::abi::io_uring_params;
use crate::sys::sync::{Condvar, Mutex, MutexGuard};
use crate::sys::Errno;
use enter::{Enter, Entered};
use world::World;

/// A simulated kernel. Clones are handles to the same one.
#[derive(Clone)]
pub struct SimKernel {
    world: Arc<Mutex<World>>,
    changed: Arc<Condvar>,
}

impl SimKernel {
    /// A kernel with nothing in it.
    pub fn new(options: Options) -> Self {
        SimKernel {
            world: Arc::new(Mutex::new(World::new(options))),
            changed: Arc::new(Condvar::new()),
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // A test that panicked while it held the lock has failed already.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Do something to the world, and let those know who wait for it in another thread.
    fn act<T>(&self, what: impl FnOnce(&mut World) -> T) -> T {
        let result = what(&mut self.world());
        self.changed.notify_all();
        result
    }

    fn enter_and_wait(&self, call: Enter) -> Result<u32, Errno> {
        let mut world = self.world();
        let mut entered = world.enter(call);
        self.changed.notify_all();
        let patience = match cfg!(shuttle) {
            // In a model no time passes: a wait that nothing ends is a deadlock, and is to be seen.
            true => Duration::MAX,
            false => Duration::from_millis(world.options.patience_ms),
        };
        let began = Instant::now();
        let mut taken = 0;
        loop {
            match entered {
                Entered::Done(result) if taken == 0 => return result,
                Entered::Done(_) => return Ok(taken),
                Entered::Stuck(n) => taken = taken.max(n),
            }
            let left = patience.saturating_sub(began.elapsed());
            if left.is_zero() {
                return world.stuck(taken);
            }
            let waited = self.changed.wait_timeout(world, left);
            world = waited.unwrap_or_else(PoisonError::into_inner).0;
            entered = world.wait_on(call);
        }
    }
}

impl Kernel for SimKernel {
    fn setup(&self, entries: u32, params: &mut io_uring_params) -> Result<i32, Errno> {
        self.act(|world| world.setup(entries, params))
    }

    unsafe fn enter(
        &self,
        fd: i32,
        to_submit: u32,
        min_complete: u32,
        flags: u32,
        arg: *const c_void,
        argsz: usize,
    ) -> Result<u32, Errno> {
        self.enter_and_wait(Enter { fd, to_submit, min_complete, flags, arg, argsz })
    }

    unsafe fn register(
        &self,
        fd: i32,
        opcode: u32,
        arg: *mut c_void,
        nr: u32,
    ) -> Result<u32, Errno> {
        self.act(|world| world.register(fd, opcode, arg, nr))
    }

    fn map(&self, fd: i32, len: usize, offset: u64) -> Result<NonNull<u8>, Errno> {
        self.act(|world| world.map(fd, len, offset))
    }

    unsafe fn unmap(&self, addr: NonNull<u8>, len: usize) {
        self.act(|world| world.unmap(addr, len));
    }

    unsafe fn close(&self, fd: i32) {
        self.act(|world| world.close_fd(fd));
    }

    fn now_ns(&self) -> u64 {
        self.world().now
    }
}
