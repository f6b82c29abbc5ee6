//! `send_msg()`: a completion posted into another ring, without having one.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::py::kernel::AnyKernel;
use crate::py::ring::PyRing;
use crate::py::{convert, errors};
use crate::ring::error::RingError;
use crate::ring::kernel::{Kernel, Linux};
use crate::ring::register::told;
use crate::ring::slots::{is_reserved, message_key, FIRST_FOREIGN_KIND};
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;
use crate::sys::ending::arm_thread;
use crate::sys::Errno;

/// Flags that say how long a completion is: a reader would step over what comes after it.
const LAYOUT: u32 = IORING_CQE_F_32 | IORING_CQE_F_SKIP;

/// Flags about memory, which a message does not come with.
const MEMORY: u32 = IORING_CQE_F_BUFFER | IORING_CQE_F_NOTIF | IORING_CQE_F_BUF_MORE;

/// The `user_data` of the completion, such that it can be taken for no request's.
fn user_data(data: u64, raw: bool) -> PyResult<u64> {
    if !raw {
        return match data >> 56 {
            0 => Ok(message_key(data)),
            _ => Err(PyValueError::new_err("data must be 0 to 2**56 - 1, or raw=True given")),
        };
    }
    if is_reserved(data) {
        return Err(PyValueError::new_err(format!(
            "the low byte of raw data must be {FIRST_FOREIGN_KIND} or more, so that it can be no \
             request's of a ring of this library: {data:#x}"
        )));
    }
    Ok(data)
}

/// Post a message into a ring, from any thread and without a ring of one's own: a completion that
/// no request of that ring stands for. The ring may be one of another process or program, whose
/// file this one was given.
///
/// Args:
///     ring: a Ring, or the descriptor of one.
///     res: the completion's result, a signed 32-bit number.
///     data: a number of 56 bits, which a Ring is told as prep_msg_ring's.
///     cqe_flags: the completion's flags.
///     raw: for rings of other programs: `data` is the completion's whole user_data, 64 bits of
///         which the lowest 8 are 16 or more. The rest is kept for rings of this library, where
///         nobody may answer a request in the kernel's place; they count raw messages in
///         `stray_completions`, and ignore them.
///
/// Raises:
///     ValueError: data or cqe_flags that could be mistaken for something else.
///     UringError: EBADFD for a ring that nobody has used yet and for what is no ring, EOVERFLOW
///         where its queue is full.
///
/// Kernel: 6.13.
/// Source: io_uring_register_sync_msg(3).
#[pyfunction]
#[pyo3(signature = (ring, res, data = 0, *, cqe_flags = 0, raw = false))]
pub(crate) fn send_msg(
    py: Python<'_>,
    ring: &Bound<'_, PyAny>,
    res: i32,
    data: u64,
    cqe_flags: u32,
    raw: bool,
) -> PyResult<()> {
    arm_thread();
    let user_data = user_data(data, raw)?;
    let unfit = if raw { LAYOUT } else { LAYOUT | MEMORY };
    if cqe_flags & unfit != 0 {
        return Err(PyValueError::new_err(format!(
            "the flags {:#x} are for the kernel to set",
            cqe_flags & unfit
        )));
    }
    let sqe = io_uring_sqe {
        opcode: IORING_OP_MSG_RING,
        len: res as u32,
        off: user_data,
        addr: IORING_MSG_DATA,
        op_flags: if cqe_flags != 0 { IORING_MSG_RING_FLAGS_PASS } else { 0 },
        file_index: cqe_flags,
        ..Default::default()
    };
    let sent = match ring.cast::<PyRing>() {
        Ok(ring) => {
            let ring = ring.get();
            if !ring.cell.same_process() {
                return Err(errors::ring_error(py, &RingError::Forked));
            }
            // The ring cannot be closed meanwhile, and its number become another file's.
            ring.wake.with_fd(|fd| post(&ring.kernel, io_uring_sqe { fd, ..sqe }))
        }
        Err(_) => {
            let fd = convert::file_number(ring)?;
            post(&AnyKernel::Linux(Linux), io_uring_sqe { fd, ..sqe })
        }
    };
    sent.map_err(|error| errors::ring_error(py, &error))
}

fn post(kernel: &AnyKernel, mut sqe: io_uring_sqe) -> Result<(), RingError> {
    let arg = core::ptr::from_mut(&mut sqe).cast();
    // SAFETY: one entry, read during the call (I2). It makes the target ring's kernel post a
    // completion with a key that no request of ours can have (I3).
    let sent = unsafe { kernel.register(-1, IORING_REGISTER_SEND_MSG_RING, arg, 1) };
    sent.map(drop).map_err(|errno| match errno {
        // As `told` has it, before there was such an operation.
        Errno::EINVAL => told(kernel, IORING_REGISTER_SEND_MSG_RING, errno),
        errno => crate::ring::params::register_error(errno),
    })
}
