//! Fork: a child shares the ring's file with its parent and could submit into it, reading the
//! parent's requests with its own memory. So every use compares the process generation (I9), the
//! child closes the ring descriptors it inherited, and the maps are not inherited at all.

use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering};
use std::sync::Once;

use crate::sys::syscall;

static GENERATION: AtomicU32 = AtomicU32::new(0);
static INSTALL: Once = Once::new();
static TABLE: Block = Block::new();

const BLOCK: usize = 256;
const EMPTY: i32 = -1;

/// Descriptors of the open rings. Lock-free, because the fork handler runs in a child where any
/// lock may be held by a thread that does not exist there.
struct Block {
    fds: [AtomicI32; BLOCK],
    next: AtomicPtr<Block>,
}

impl Block {
    const fn new() -> Self {
        Block {
            fds: [const { AtomicI32::new(EMPTY) }; BLOCK],
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }

    fn next(&self) -> Option<&'static Block> {
        // SAFETY: blocks are leaked, never freed (I9).
        unsafe { self.next.load(Ordering::Acquire).as_ref() }
    }
}

/// The generation of this process: goes up in every forked child.
#[inline(always)]
pub fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    let mut block = Some(&TABLE);
    while let Some(b) = block {
        for fd in &b.fds {
            let fd = fd.swap(EMPTY, Ordering::Relaxed);
            if fd != EMPTY {
                // SAFETY: a ring descriptor inherited from the parent; no object of this process
                // uses it, since all of them now compare generations (I9).
                unsafe { syscall::close(fd) };
            }
        }
        block = b.next();
    }
}

/// From now on forks are counted.
pub fn watch() {
    INSTALL.call_once(|| {
        // pthread_atfork fails only for want of memory; forks are then noticed by nobody, as in
        // any program without such a handler.
        let _ = syscall::at_fork_child(in_child);
    });
}

/// Remember an open ring's descriptor, so that a forked child does not keep the ring alive.
pub fn remember(fd: i32) {
    watch();
    let mut block = &TABLE;
    loop {
        for place in &block.fds {
            if place.load(Ordering::Relaxed) == EMPTY
                && place.compare_exchange(EMPTY, fd, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            {
                return;
            }
        }
        block = block.next().unwrap_or_else(|| grow(block));
    }
}

fn grow(block: &'static Block) -> &'static Block {
    let fresh = Box::into_raw(Box::new(Block::new()));
    match block.next.compare_exchange(ptr::null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire) {
        // SAFETY: just made from a box and now leaked for good (I9).
        Ok(_) => unsafe { &*fresh },
        Err(other) => {
            // SAFETY: `fresh` was shared with nobody; `other` is a leaked block (I9).
            unsafe {
                drop(Box::from_raw(fresh));
                &*other
            }
        }
    }
}

/// Forget a ring's descriptor: it is about to be closed.
pub fn forget(fd: i32) {
    let mut block = Some(&TABLE);
    while let Some(b) = block {
        for place in &b.fds {
            if place.load(Ordering::Relaxed) == fd
                && place.compare_exchange(fd, EMPTY, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            {
                return;
            }
        }
        block = b.next();
    }
}
