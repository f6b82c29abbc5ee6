//! What a ring may do, said before it is enabled and never changed after.

use crate::ring::error::{Call, RingError};
use crate::ring::kernel::Kernel;
use crate::ring::register::told;
use crate::ring::{params, probe};
use crate::sys::abi::io_uring_restriction;
use crate::sys::consts::*;
use crate::sys::opcode::OPS;
use crate::sys::register::REGISTER_OPS;
use crate::sys::Errno;

/// What is allowed; `None` is everything that the kernel has.
#[derive(Clone, Debug, Default)]
pub struct Restrictions {
    /// Register operations. SYNC_CANCEL is always allowed: closing needs it (I12).
    pub register_ops: Option<Vec<u8>>,
    /// Operations.
    pub sqe_ops: Option<Vec<u8>>,
    /// Flags that a request may have.
    pub sqe_flags_allowed: Option<u8>,
    /// Flags that every request must have.
    pub sqe_flags_required: u8,
}

impl Restrictions {
    /// Tell the kernel, while the ring `fd` is disabled.
    pub fn apply<K: Kernel>(&self, kernel: &K, fd: i32) -> Result<(), RingError> {
        // A kernel refuses all when it does not know one: where everything is to be allowed, that
        // is as much as it knows.
        let mut register_ops = REGISTER_OPS.len() as u8;
        loop {
            let mut rules = self.rules(kernel, fd, register_ops)?;
            let arg = rules.as_mut_ptr().cast();
            let count = rules.len() as u32;
            // SAFETY: so many rules, read during the call (I2).
            match unsafe { kernel.register(fd, IORING_REGISTER_RESTRICTIONS, arg, count) } {
                Ok(_) => return Ok(()),
                Err(Errno::EINVAL)
                    if self.register_ops.is_none()
                        && u32::from(register_ops) > IORING_REGISTER_RESTRICTIONS =>
                {
                    register_ops -= 1;
                }
                Err(errno) => return Err(told(kernel, IORING_REGISTER_RESTRICTIONS, errno)),
            }
        }
    }

    fn rules<K: Kernel>(
        &self,
        kernel: &K,
        fd: i32,
        register_ops: u8,
    ) -> Result<Vec<io_uring_restriction>, RingError> {
        let mut rules = Vec::new();
        let mut rule = |opcode, register_op| {
            rules.push(io_uring_restriction { opcode, register_op, ..Default::default() });
        };
        match &self.register_ops {
            None => (0..register_ops).for_each(|op| rule(IORING_RESTRICTION_REGISTER_OP, op)),
            Some(ops) => {
                let mut ops = ops.clone();
                ops.push(IORING_REGISTER_SYNC_CANCEL as u8);
                ops.sort_unstable();
                ops.dedup();
                ops.iter().for_each(|op| rule(IORING_RESTRICTION_REGISTER_OP, *op));
            }
        }
        match &self.sqe_ops {
            None => {
                let known = probe::probe_ops(kernel, fd).map_err(params::register_error)?;
                let ours = known.iter().filter(|op| usize::from(*op) < OPS.len());
                ours.for_each(|op| rule(IORING_RESTRICTION_SQE_OP, op));
            }
            Some(ops) => {
                let mut ops = ops.clone();
                ops.sort_unstable();
                ops.dedup();
                ops.iter().for_each(|op| rule(IORING_RESTRICTION_SQE_OP, *op));
            }
        }
        // BUFFER_SELECT is the highest but one: all there are, known or not.
        rule(IORING_RESTRICTION_SQE_FLAGS_ALLOWED, self.sqe_flags_allowed.unwrap_or(u8::MAX));
        rule(IORING_RESTRICTION_SQE_FLAGS_REQUIRED, self.sqe_flags_required);
        Ok(rules)
    }
}

/// What the kernel says to something that the ring's restrictions do not allow.
pub fn is_restricted(error: &RingError) -> bool {
    matches!(error, RingError::Sys(Call::Register, Errno::EACCES))
}
