//! `send_msg()`: a completion posted into another ring, without having one.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::py::kernel::AnyKernel;
use crate::py::ring::PyRing;
use crate::py::{convert, errors};
use crate::ring::error::RingError;
use crate::ring::kernel::{Kernel, Linux};
use crate::ring::register::told;
use crate::ring::slots::{is_reserved, FIRST_FOREIGN_KIND};
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;
use crate::sys::Errno;

/// Flags that say how long a completion is: a reader would step over what comes after it.
const LAYOUT: u32 = IORING_CQE_F_32 | IORING_CQE_F_SKIP;

/// Post a completion into a ring, from any thread and without a ring of one's own.
///
/// The ring may be of another process or program, whose file this one was given. A `uring_rs.Ring`
/// counts what it did not ask for in `stray_completions` and ignores it otherwise; its own threads
/// are woken with `Ring.wake()`.
///
/// Args:
///     ring: a Ring, or the descriptor of one.
///     res: the completion's result, a signed 32-bit number.
///     user_data: the completion's user_data, an unsigned 64-bit number. Its low byte must be 16
///         or more: the others name requests of rings of this library, and nobody may answer in
///         the kernel's place.
///     cqe_flags: the completion's flags.
///
/// Raises:
///     ValueError: user_data or cqe_flags that could be mistaken for something else.
///     UringError: EBADFD for a ring that nobody has used yet and for what is no ring, EOVERFLOW
///         where its queue is full.
///
/// Kernel: 6.13.
/// Source: io_uring_register_sync_msg(3).
#[pyfunction]
#[pyo3(signature = (ring, res, user_data, *, cqe_flags = 0))]
pub(crate) fn send_msg(
    py: Python<'_>,
    ring: &Bound<'_, PyAny>,
    res: i32,
    user_data: u64,
    cqe_flags: u32,
) -> PyResult<()> {
    if is_reserved(user_data) {
        return Err(PyValueError::new_err(format!(
            "the low byte of user_data must be {FIRST_FOREIGN_KIND} or more, so that it is no \
             request's: {user_data:#x}"
        )));
    }
    if cqe_flags & LAYOUT != 0 {
        return Err(PyValueError::new_err("F_32 and SKIP are for the kernel to set"));
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
