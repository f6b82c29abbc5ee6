//! A ring in as few lines as it can be done, over any `Kernel`.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use uring_rs::ring::kernel::Kernel;
use uring_rs::sys::abi::{
    __kernel_timespec, io_uring_cqe, io_uring_getevents_arg, io_uring_params, io_uring_sqe,
};
use uring_rs::sys::consts::*;
use uring_rs::sys::Errno;

pub struct Mini<'k> {
    pub kernel: &'k dyn Kernel,
    pub fd: i32,
    pub params: io_uring_params,
    rings: (NonNull<u8>, usize),
    cq: (NonNull<u8>, usize),
    sqes: (NonNull<u8>, usize),
    separate: bool,
    tail: u32,
}

impl<'k> Mini<'k> {
    pub fn new(kernel: &'k dyn Kernel, entries: u32, flags: u32) -> Result<Self, Errno> {
        Mini::with(kernel, entries, io_uring_params { flags, ..Default::default() })
    }

    pub fn with(
        kernel: &'k dyn Kernel,
        entries: u32,
        mut params: io_uring_params,
    ) -> Result<Self, Errno> {
        let fd = kernel.setup(entries, &mut params)?;
        let p = &params;
        let array = if p.sq_off.array == 0 { 0 } else { p.sq_off.array + p.sq_entries * 4 };
        let cq_len = (p.cq_off.cqes + p.cq_entries * 16) as usize;
        let separate = p.features & IORING_FEAT_SINGLE_MMAP == 0;
        let len = if separate { array as usize } else { cq_len.max(array as usize) };
        let sqes_len = p.sq_entries as usize * 64;
        let rings = (kernel.map(fd, len, IORING_OFF_SQ_RING)?, len);
        let cq =
            if separate { (kernel.map(fd, cq_len, IORING_OFF_CQ_RING)?, cq_len) } else { rings };
        let sqes = (kernel.map(fd, sqes_len, IORING_OFF_SQES)?, sqes_len);
        let mut ring = Mini { kernel, fd, params, rings, cq, sqes, separate, tail: 0 };
        ring.tail = ring.sq_word(ring.params.sq_off.tail).load(Ordering::Relaxed);
        if ring.params.sq_off.array != 0 {
            for i in 0..ring.params.sq_entries {
                ring.sq_word(ring.params.sq_off.array + i * 4).store(i, Ordering::Relaxed);
            }
        }
        Ok(ring)
    }

    pub fn sq_word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: an offset the kernel gave, in a mapping that lives as long as the ring (I8).
        unsafe { self.rings.0.add(offset as usize).cast().as_ref() }
    }

    pub fn cq_word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: as above (I8).
        unsafe { self.cq.0.add(offset as usize).cast().as_ref() }
    }

    pub fn sq_flags(&self) -> u32 {
        self.sq_word(self.params.sq_off.flags).load(Ordering::SeqCst)
    }

    pub fn pending(&self) -> u32 {
        self.tail.wrapping_sub(self.sq_word(self.params.sq_off.head).load(Ordering::Acquire))
    }

    pub fn ready(&self) -> u32 {
        let head = self.cq_word(self.params.cq_off.head).load(Ordering::Relaxed);
        self.cq_word(self.params.cq_off.tail).load(Ordering::Acquire).wrapping_sub(head)
    }

    pub fn push(&mut self, sqe: io_uring_sqe) {
        assert!(self.pending() < self.params.sq_entries, "the script is too long for its ring");
        let index = (self.tail & (self.params.sq_entries - 1)) as usize;
        // SAFETY: within the mapped entries, and the kernel's head has passed it (I11).
        unsafe { self.sqes.0.cast::<io_uring_sqe>().add(index).write(sqe) };
        self.tail = self.tail.wrapping_add(1);
        self.sq_word(self.params.sq_off.tail).store(self.tail, Ordering::Release);
    }

    /// Enter without a time limit of its own; see [`Mini::wait`].
    pub fn enter(&self, to_submit: u32, min: u32, flags: u32) -> Result<u32, Errno> {
        // SAFETY: no argument; the scripts keep their buffers alive (I2).
        unsafe { self.kernel.enter(self.fd, to_submit, min, flags, std::ptr::null(), 0) }
    }

    /// Submit everything, without asking for completions.
    pub fn submit(&self) -> Result<u32, Errno> {
        self.enter(self.pending(), 0, 0)
    }

    /// Submit everything and wait for `min` completions, at most `ms` milliseconds.
    pub fn wait(&self, min: u32, ms: u64) -> Result<u32, Errno> {
        self.wait_least(min, ms, 0)
    }

    /// As `wait`; after `min_us` microseconds one completion is enough.
    pub fn wait_least(&self, min: u32, ms: u64, min_us: u32) -> Result<u32, Errno> {
        let ts = __kernel_timespec {
            tv_sec: (ms / 1000) as i64,
            tv_nsec: (ms % 1000 * 1_000_000) as i64,
        };
        let arg = io_uring_getevents_arg {
            min_wait_usec: min_us,
            ts: &raw const ts as usize as u64,
            ..Default::default()
        };
        let flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
        // SAFETY: `arg` and `ts` live here; the scripts keep their buffers alive (I2).
        unsafe {
            self.kernel.enter(
                self.fd,
                self.pending(),
                min,
                flags,
                (&raw const arg).cast(),
                size_of::<io_uring_getevents_arg>(),
            )
        }
    }

    /// Take one completion.
    pub fn pop(&self) -> Option<io_uring_cqe> {
        if self.ready() == 0 {
            return None;
        }
        let head = self.cq_word(self.params.cq_off.head);
        let at = head.load(Ordering::Relaxed);
        let index = (at & (self.params.cq_entries - 1)) as usize;
        let place = self.params.cq_off.cqes as usize + index * 16;
        // SAFETY: within the mapping, between head and tail (I4).
        let cqe = unsafe { self.cq.0.add(place).cast::<io_uring_cqe>().read() };
        head.store(at.wrapping_add(1), Ordering::Release);
        Some(cqe)
    }

    /// Take everything that is there.
    pub fn reap(&self) -> Vec<io_uring_cqe> {
        std::iter::from_fn(|| self.pop()).collect()
    }

    /// Submit, and take completions until there are `count`, or none comes for two seconds.
    pub fn finish(&self, count: usize) -> Vec<io_uring_cqe> {
        let mut all = self.reap();
        while all.len() < count {
            let more = (count - all.len()) as u32;
            match self.wait(more.min(self.params.cq_entries), 2_000) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => {
                    all.extend(self.reap());
                    eprintln!("finish: {errno:?} after {} of {count}", all.len());
                    break;
                }
            }
            all.extend(self.reap());
        }
        all
    }
}

impl Drop for Mini<'_> {
    fn drop(&mut self) {
        let maps = [Some(self.rings), self.separate.then_some(self.cq), Some(self.sqes)];
        for (addr, len) in maps.into_iter().flatten() {
            // SAFETY: mapped in `with`, unmapped once (I8).
            unsafe { self.kernel.unmap(addr, len) };
        }
        // SAFETY: our own descriptor (I10).
        unsafe { self.kernel.close(self.fd) };
    }
}

/// An entry with nothing but an operation and a name.
pub fn sqe(opcode: u8, user_data: u64) -> io_uring_sqe {
    io_uring_sqe { opcode, user_data, fd: -1, ..Default::default() }
}

pub fn nop(user_data: u64) -> io_uring_sqe {
    sqe(IORING_OP_NOP, user_data)
}

/// A NOP that ends with `res`.
pub fn nop_res(user_data: u64, res: i32) -> io_uring_sqe {
    io_uring_sqe { op_flags: IORING_NOP_INJECT_RESULT, len: res as u32, ..nop(user_data) }
}

/// READ, WRITE, SEND or RECV at the current position.
fn transfer(opcode: u8, user_data: u64, fd: i32, buf: *const u8, len: usize) -> io_uring_sqe {
    let rw = matches!(opcode, IORING_OP_READ | IORING_OP_WRITE);
    io_uring_sqe {
        fd,
        addr: buf as usize as u64,
        len: len as u32,
        off: if rw { u64::MAX } else { 0 },
        ..sqe(opcode, user_data)
    }
}

pub fn read(user_data: u64, fd: i32, buf: &mut [u8]) -> io_uring_sqe {
    transfer(IORING_OP_READ, user_data, fd, buf.as_mut_ptr(), buf.len())
}

pub fn recv(user_data: u64, fd: i32, buf: &mut [u8]) -> io_uring_sqe {
    transfer(IORING_OP_RECV, user_data, fd, buf.as_mut_ptr(), buf.len())
}

pub fn write(user_data: u64, fd: i32, buf: &[u8]) -> io_uring_sqe {
    transfer(IORING_OP_WRITE, user_data, fd, buf.as_ptr(), buf.len())
}

pub fn send(user_data: u64, fd: i32, buf: &[u8]) -> io_uring_sqe {
    transfer(IORING_OP_SEND, user_data, fd, buf.as_ptr(), buf.len())
}

/// TIMEOUT; the timespec must live until it was submitted.
pub fn timeout(user_data: u64, ts: &__kernel_timespec, count: u64, flags: u32) -> io_uring_sqe {
    io_uring_sqe {
        addr: std::ptr::from_ref(ts) as usize as u64,
        len: 1,
        off: count,
        op_flags: flags,
        ..sqe(IORING_OP_TIMEOUT, user_data)
    }
}

pub fn ms(ms: i64) -> __kernel_timespec {
    __kernel_timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 }
}

pub fn cancel(user_data: u64, target: u64, flags: u32) -> io_uring_sqe {
    io_uring_sqe { addr: target, op_flags: flags, ..sqe(IORING_OP_ASYNC_CANCEL, user_data) }
}

pub fn poll(user_data: u64, fd: i32, events: u32, multishot: bool) -> io_uring_sqe {
    io_uring_sqe {
        fd,
        op_flags: events,
        len: u32::from(multishot),
        ..sqe(IORING_OP_POLL_ADD, user_data)
    }
}

/// The same entry with these IOSQE_* flags.
pub fn with(flags: u8, sqe: io_uring_sqe) -> io_uring_sqe {
    io_uring_sqe { flags: sqe.flags | flags, ..sqe }
}
