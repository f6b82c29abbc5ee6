//! Who runs a job: the calling thread, which looks up from its work now and then, and helpers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, MutexGuard, PoisonError};
use std::time::Duration;

use super::trouble::Trouble;
use crate::sys::syscall::{limit_nofile, monotonic_ns};

/// How long the calling thread works before it looks up: half of what a Ctrl-C may take.
const LOOK_NS: u64 = 25_000_000;
/// How long it waits in one go.
const NAP: Duration = Duration::from_millis(20);

/// The job is to stop: cleaned up, then told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stop;

/// What the calling thread does when it looks up from its work: signals, progress.
pub trait Host {
    /// Called without any lock held, about every 25 ms.
    fn look(&mut self, control: &Control) -> Result<(), Stop>;
}

/// Nobody interrupts, nobody is told.
pub struct Alone;

impl Host for Alone {
    fn look(&mut self, _control: &Control) -> Result<(), Stop> {
        Ok(())
    }
}

macro_rules! counts {
    ($( $name:ident $text:literal )*) => {
        /// What has been done so far.
        #[derive(Default, Debug)]
        pub struct Counts {
            $( #[doc = $text] pub $name: AtomicU64, )*
        }

        impl Counts {
            /// Names and numbers, in a fixed order.
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$( (stringify!($name), self.$name.load(Relaxed)), )*]
            }
        }
    };
}

counts! {
    files "Regular files copied."
    directories "Folders made, or there already."
    symlinks "Symbolic links."
    hard_links "Names that became links to a file copied before."
    specials "Named pipes, sockets, devices."
    by_reflink "Bytes shared with the original."
    by_copy_file_range "Bytes copied within the kernel."
    by_read_write "Bytes read and written."
    in_holes "Bytes of holes, which stayed holes."
}

/// Add to a count.
#[inline]
pub fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Relaxed);
}

impl Counts {
    /// Bytes of files, however they were copied.
    pub fn bytes(&self) -> u64 {
        let ways = [&self.by_reflink, &self.by_copy_file_range, &self.by_read_write];
        ways.iter().map(|way| way.load(Relaxed)).sum::<u64>() + self.in_holes.load(Relaxed)
    }

    /// Everything that has a name.
    pub fn names(&self) -> u64 {
        let kinds = [&self.files, &self.directories, &self.symlinks, &self.hard_links];
        kinds.iter().map(|kind| kind.load(Relaxed)).sum::<u64>() + self.specials.load(Relaxed)
    }
}

/// How many folders of the chain under way may be open at once, of two descriptors each.
pub fn window() -> usize {
    let soft = limit_nofile().ok().and_then(|limits| limits.0).unwrap_or(1024);
    (soft as usize / 10).clamp(3, 64)
}

/// What all threads of a job share.
#[derive(Default)]
pub struct Control {
    stop: AtomicBool,
    /// What has been done.
    pub counts: Counts,
    /// Rings are not to be used.
    pub no_ring: AtomicBool,
    /// How many bytes there are in all, where that is known beforehand; or 0.
    pub total: AtomicU64,
}

impl Control {
    /// Have every thread stop at its next look.
    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
    }

    /// Whether the job is to stop.
    pub fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }
}

/// One thread at work. Only the calling thread has a host.
pub struct Worker<'a> {
    /// What it shares with the others.
    pub control: &'a Control,
    host: Option<&'a mut dyn Host>,
    looked: u64,
    room: Vec<u8>,
}

impl<'a> Worker<'a> {
    /// The calling thread.
    pub fn caller(control: &'a Control, host: &'a mut dyn Host) -> Self {
        Worker { control, host: Some(host), looked: monotonic_ns(), room: Vec::new() }
    }

    /// A thread of our own.
    pub fn helper(control: &'a Control) -> Self {
        Worker { control, host: None, looked: 0, room: Vec::new() }
    }

    /// Between two pieces of work: whether to go on.
    #[inline]
    pub fn check(&mut self) -> Result<(), Trouble> {
        if self.host.is_some() && monotonic_ns().wrapping_sub(self.looked) >= LOOK_NS {
            return self.look();
        }
        self.going()
    }

    /// The same, after a call that a signal may have interrupted.
    pub fn look(&mut self) -> Result<(), Trouble> {
        if let Some(host) = &mut self.host {
            if host.look(self.control).is_err() {
                self.control.stop();
            }
            self.looked = monotonic_ns();
        }
        self.going()
    }

    fn going(&self) -> Result<(), Trouble> {
        if self.control.stopped() {
            Err(Trouble::Stopped)
        } else {
            Ok(())
        }
    }

    /// Wait for another thread, but not for long: the lock is let go of, also for the look (I6).
    pub fn nap<'m, T>(
        &mut self,
        condition: &Condvar,
        guard: MutexGuard<'m, T>,
    ) -> Result<(), Trouble> {
        drop(condition.wait_timeout(guard, NAP).unwrap_or_else(PoisonError::into_inner));
        self.check()
    }

    /// A buffer of this size, kept for the next time. Given back with [`Worker::give`].
    pub fn take(&mut self, size: usize) -> Vec<u8> {
        let mut room = std::mem::take(&mut self.room);
        if room.len() < size {
            room.resize(size, 0);
        }
        room
    }

    /// Give the buffer back.
    pub fn give(&mut self, room: Vec<u8>) {
        self.room = room;
    }
}
