//! Staging where it takes more than a push: entries of 128 bytes, shared rings, rings that poll for
//! completions. And how the waits of a ring are counted.

use crate::ring::chain::Entry;
use crate::ring::error::RingError;
use crate::ring::kernel::Kernel;
use crate::ring::slots::Zeroed;
use crate::ring::sq::SecondHalf;
use crate::ring::{Phase, Ring};
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;
use crate::sys::opcode;

impl<K: Kernel, P: Zeroed> Ring<K, P> {
    /// [`Ring::stage`] for an entry of 128 bytes, whose second half is `half`.
    #[cold]
    pub fn stage_wide(
        &mut self,
        index: u32,
        sqe: io_uring_sqe,
        half: &SecondHalf,
    ) -> Result<u64, RingError> {
        if self.phase() != Phase::Open {
            return Err(RingError::Closed);
        }
        if !self.sq.wide() {
            return Err(RingError::NotWide);
        }
        self.stage_apart(index, Entry { sqe, half: Some(Box::new(*half)) })
    }

    /// [`Ring::stage`] where that takes more than a push: the ring is shared, or polls for
    /// completions, or the entry has a second half.
    #[inline(never)]
    pub(super) fn stage_apart(&mut self, index: u32, mut entry: Entry) -> Result<u64, RingError> {
        if self.params.flags & IORING_SETUP_IOPOLL != 0 {
            if let Some(op) = opcode::info(entry.sqe.opcode).filter(|op| !op.can_be_polled()) {
                return Err(RingError::NotPolled(op.name));
            }
        }
        let Some(slots) = self.slots.as_mut() else { return Err(RingError::Closed) };
        let key = slots.key(index);
        let (op, flags) = (entry.sqe.opcode, entry.sqe.flags);
        entry.sqe.flags &= !IOSQE_CQE_SKIP_SUCCESS;
        entry.sqe.user_data = key;
        if self.shared {
            self.chains.stage(&mut self.sq, entry)?;
        } else {
            let mark = self.sq.mark();
            entry.push(&mut self.sq).map_err(|_| RingError::SqFull)?;
            self.chains.follow(mark, flags);
        }
        slots.activate(index, op, flags);
        Ok(key)
    }

    /// The waits of this ring count as waits for I/O, or not (Linux 6.15).
    pub fn set_iowait(&mut self, counts: bool) -> Result<(), RingError> {
        if !counts && self.params.features & IORING_FEAT_NO_IOWAIT == 0 {
            let what = "waits that do not count as I/O (FEAT_NO_IOWAIT)";
            return Err(RingError::Unsupported { what, since: (6, 15) });
        }
        self.wait_flags = if counts { 0 } else { IORING_ENTER_NO_IOWAIT };
        Ok(())
    }

    /// See [`Ring::set_iowait`].
    pub fn iowait(&self) -> bool {
        self.wait_flags == 0
    }
}
