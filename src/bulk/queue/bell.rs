//! Eventfds of the running kernel. In shuttle's models what stands in for them (`modelled`), as the
//! kernel does not know of a model's threads.

#[cfg(shuttle)]
pub(super) use modelled::{close, new, ring, take, wait};
#[cfg(not(shuttle))]
pub(super) use real::{close, new, ring, take, wait};

#[cfg(not(shuttle))]
mod real {
    pub use crate::sys::file::{eventfd_take as take, wait_readable as wait};
    use crate::sys::os::{EFD_CLOEXEC, EFD_NONBLOCK};
    pub use crate::sys::syscall::close;
    use crate::sys::{syscall, Errno};

    /// A new one.
    pub fn new() -> Result<i32, Errno> {
        syscall::eventfd(EFD_CLOEXEC | EFD_NONBLOCK)
    }

    /// Add one to it.
    pub fn ring(bell: i32) -> Result<(), Errno> {
        match syscall::eventfd_signal(bell) {
            // Its counter is full: whoever waits for it is woken by what is there.
            Err(Errno::EAGAIN) => Ok(()),
            done => done,
        }
    }
}

#[cfg(shuttle)]
mod modelled {
    use std::collections::BTreeMap;
    use std::sync::PoisonError;

    use crate::sys::sync::{Condvar, Mutex, MutexGuard};
    use crate::sys::Errno;

    shuttle::lazy_static! {
        /// What each has counted, by its number. Numbers are not used again.
        static ref BELLS: Mutex<(i32, BTreeMap<i32, u64>)> = Mutex::new((2_000_000, BTreeMap::new()));
        static ref RUNG: Condvar = Condvar::new();
    }

    fn bells() -> MutexGuard<'static, (i32, BTreeMap<i32, u64>)> {
        // Whoever finds a bell gone panics holding it, and others go on to their ends.
        BELLS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(bell: i32, what: impl FnOnce(&mut u64) -> T) -> T {
        let mut all = bells();
        what(all.1.get_mut(&bell).expect("a bell that is open"))
    }

    pub fn new() -> Result<i32, Errno> {
        let mut all = bells();
        all.0 += 1;
        let bell = all.0;
        all.1.insert(bell, 0);
        Ok(bell)
    }

    pub fn ring(bell: i32) -> Result<(), Errno> {
        with(bell, |count| *count += 1);
        RUNG.notify_all();
        Ok(())
    }

    pub fn take(bell: i32) -> bool {
        with(bell, |count| std::mem::take(count) > 0)
    }

    /// No time passes in a model: `_nap_ns` is for ever.
    pub fn wait(fds: [i32; 2], _nap_ns: u64) -> Result<(), Errno> {
        let mut all = bells();
        loop {
            let count = |bell| *all.1.get(bell).expect("a bell that is open");
            if fds.iter().map(count).sum::<u64>() > 0 {
                return Ok(());
            }
            all = RUNG.wait(all).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// # Safety
    /// None is needed.
    pub unsafe fn close(bell: i32) {
        bells().1.remove(&bell);
        // The kernel tells nobody; here, whoever still waits for it is to be seen.
        RUNG.notify_all();
    }
}
