//! Pools and the kernel: registering, asking, letting go.

use std::sync::Arc;

use super::book::{Kind, Place};
use super::{Map, Plan, Pool, Shared};
use crate::ring::error::{Call, RingError};
use crate::ring::kernel::Kernel;
use crate::ring::slots::Zeroed;
use crate::ring::word::BufferEntries;
use crate::ring::Ring;
use crate::sys::abi::{io_uring_buf, io_uring_buf_reg, io_uring_buf_status};
use crate::sys::consts::*;
use crate::sys::{syscall, Errno};

/// Why a pool stays open.
#[derive(Debug)]
pub enum Busy {
    /// Requests use it.
    Users(u32),
    /// The kernel has buffers of it, and they can only be removed by a request.
    Buffers(u32),
    /// The kernel refused.
    Refused(RingError),
}

impl<K: Kernel, P: Zeroed> Ring<K, P> {
    /// Make a pool for this ring. Buffers to receive into are with the kernel at once.
    pub fn add_pool(&mut self, plan: &Plan) -> Result<Arc<Pool>, RingError> {
        if plan.kernel_memory && self.is_index_only() {
            return Err(RingError::BadFlags(
                "a REGISTERED_FD_ONLY ring has no descriptor to map the kernel's memory by",
            ));
        }
        let taken = |group: &u16| self.pools.iter().any(|pool| pool.group == *group);
        let Some(group) = (0..u16::MAX).find(|group| !taken(group)) else {
            return Err(RingError::BadFlags("a ring has at most 65535 buffer groups"));
        };
        let entries = if plan.kind == Kind::Legacy { 1 } else { plan.count.next_power_of_two() };
        let pool = Pool::new(plan, group, entries)?;
        if plan.kind != Kind::Legacy {
            let shared = self.register_pool(plan, group, entries)?;
            let mut state = pool.state();
            if plan.kind != Kind::Sending {
                for id in 0..plan.count {
                    let entry = state.book.publish(id as u16, plan.size);
                    pool.show(&shared, entry);
                }
            }
            state.shared = Some(shared);
            drop(state);
        }
        let pool = Arc::new(pool);
        self.pools.push(Arc::clone(&pool));
        Ok(pool)
    }

    fn register_pool(&self, plan: &Plan, group: u16, entries: u32) -> Result<Shared, RingError> {
        let len = core::mem::size_of::<io_uring_buf>() * entries as usize;
        let len = len.next_multiple_of(syscall::page_size());
        let map_failed = |errno| RingError::Sys(Call::Map, errno);
        let mut flags = if plan.kind == Kind::Incremental { IOU_PBUF_RING_INC } else { 0 };
        let mut own = None;
        if plan.kernel_memory {
            flags |= IOU_PBUF_RING_MMAP;
        } else {
            own = Some(syscall::map_unforked(len).map_err(map_failed)?);
        }
        let mut reg = io_uring_buf_reg {
            ring_addr: own.map_or(0, |base| base.as_ptr() as u64),
            ring_entries: entries,
            bgid: group,
            flags,
            ..Default::default()
        };
        let arg = core::ptr::from_mut(&mut reg).cast();
        // SAFETY: read during the call; memory of ours that it names stays mapped until the
        // buffers are unregistered or the ring is closed (I8).
        let registered = unsafe { self.register(IORING_REGISTER_PBUF_RING, arg, 1) };
        let base = match (registered, own) {
            (Ok(_), Some(base)) => Ok(base),
            (Ok(_), None) => {
                let offset = IORING_OFF_PBUF_RING | u64::from(group) << IORING_OFF_PBUF_SHIFT;
                self.kernel.map(self.fd, len, offset).map_err(|errno| {
                    let _ = self.unregister_pool(group);
                    map_failed(errno)
                })
            }
            (Err(error), own) => {
                if let Some(base) = own {
                    // SAFETY: mapped above, and refused by the kernel (I8).
                    unsafe { syscall::unmap(base, len) };
                }
                Err(match error {
                    RingError::Sys(_, Errno::EINVAL) => unsupported(flags),
                    error => error,
                })
            }
        }?;
        // SAFETY: page-aligned memory of `entries` entries, used until it is unmapped (I8).
        let entries = unsafe { BufferEntries::new(base.cast(), (entries - 1) as u16) };
        Ok(Shared { map: Map { base, len }, entries })
    }

    fn unregister_pool(&self, group: u16) -> Result<u32, RingError> {
        let mut reg = io_uring_buf_reg { bgid: group, ..Default::default() };
        let arg = core::ptr::from_mut(&mut reg).cast();
        // SAFETY: read during the call (I2).
        unsafe { self.register(IORING_UNREGISTER_PBUF_RING, arg, 1) }
    }

    /// Close a pool that no request uses; parts of its buffers stay what they are.
    pub fn remove_pool(&mut self, pool: &Arc<Pool>) -> Result<(), Busy> {
        let Some(at) = self.pools.iter().position(|known| Arc::ptr_eq(known, pool)) else {
            return Ok(());
        };
        match pool.users() {
            0 => {}
            users => return Err(Busy::Users(users)),
        }
        if pool.kind == Kind::Legacy {
            match pool.buffers_at(Place::Kernel) {
                0 => {}
                count => return Err(Busy::Buffers(count)),
            }
        } else {
            self.unregister_pool(pool.group).map_err(Busy::Refused)?;
        }
        pool.shut();
        self.pools.swap_remove(at);
        Ok(())
    }

    /// How many buffers the kernel has to choose from, by its own account.
    pub fn pool_status(&self, pool: &Pool) -> Result<u32, RingError> {
        if pool.kind == Kind::Legacy || !pool.is_open() {
            return Ok(pool.buffers_at(Place::Kernel));
        }
        let mut status =
            io_uring_buf_status { buf_group: u32::from(pool.group), ..Default::default() };
        let arg = core::ptr::from_mut(&mut status).cast();
        // SAFETY: one structure, written during the call (I2).
        unsafe { self.register(IORING_REGISTER_PBUF_STATUS, arg, 1) }?;
        Ok(u32::from(pool.tail().wrapping_sub(status.head as u16)))
    }

    /// The ring is gone, and with it what the kernel had of the pools.
    pub(in crate::ring) fn shut_pools(&mut self) {
        for pool in self.pools.drain(..) {
            pool.shut();
        }
    }
}

/// What the kernel must be to know a ring of buffers with these flags.
fn unsupported(flags: u16) -> RingError {
    let (what, since) = if flags & IOU_PBUF_RING_INC != 0 {
        ("incremental buffer rings", (6, 12))
    } else if flags & IOU_PBUF_RING_MMAP != 0 {
        ("buffer rings in kernel memory", (6, 4))
    } else {
        ("buffer rings", (5, 19))
    };
    RingError::Unsupported { what, since }
}
