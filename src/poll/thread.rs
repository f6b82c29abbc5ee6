//! Which thread this is. Unlike `sys::syscall::thread_id`, a word that no later thread gets: the
//! kernel lets only the very thread enter that enabled a ring.

use std::sync::atomic::{AtomicU64, Ordering};

static NEXT: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static ME: u64 = NEXT.fetch_add(1, Ordering::Relaxed);
}

/// No thread's.
pub(super) const NOBODY: u64 = 0;

/// The calling thread's number; one of its own at each call where the thread is past its end.
#[inline]
pub(super) fn me() -> u64 {
    ME.try_with(|me| *me).unwrap_or_else(|_| NEXT.fetch_add(1, Ordering::Relaxed))
}
