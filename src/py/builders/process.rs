//! Child processes, and the pipes to talk to them.

use pyo3::exceptions::PyValueError;

use super::*;
use crate::ops::{direct as ops_direct, pipe, waitid};
use crate::py::direct;
use crate::py::keep::Keep;
use crate::sys::abi::io_uring_sqe;
use crate::sys::os::{
    __WALL, __WCLONE, __WNOTHREAD, O_CLOEXEC, O_DIRECT, O_EXCL, O_NONBLOCK, P_ALL, P_PGID, P_PID,
    P_PIDFD, WCONTINUED, WEXITED, WNOHANG, WNOWAIT, WSTOPPED,
};

builders! {
    /// Wait until a child process exits, stops or goes on.
    ///
    /// Args:
    ///     idtype: os.P_PID, P_PGID, P_ALL or P_PIDFD: what `id` is.
    ///     id: process, process group, or (P_PIDFD) a pidfd or an object with fileno().
    ///     options: os.WEXITED, WSTOPPED, WCONTINUED (at least one), WNOHANG, WNOWAIT.
    ///
    /// `Completion.value` is what os.waitid gives: an os.waitid_result with si_pid, si_uid,
    /// si_signo, si_status and si_code; None when WNOHANG found nothing.
    ///
    /// Raises:
    ///     ValueError: an unknown idtype or option, none of the three, or a negative id.
    ///
    /// Kernel: 6.7.
    /// Memory: none of yours.
    /// Result: 0; -ECHILD when there is no such child.
    /// Source: io_uring_prep_waitid(3), waitid(2).
    fn prep_waitid / waitid(idtype: i64, id: Any<'_, '_>, options: i64)
        [idtype, id, options,] []
        = |keep| wait_for_child(keep, idtype, id, options);

    /// Make a pipe.
    ///
    /// Args:
    ///     pipe_flags: os.O_CLOEXEC (the default), O_NONBLOCK, O_DIRECT (packets); O_EXCL makes a
    ///         notification pipe.
    ///     direct: make direct descriptors: True to have the kernel choose their slots, or two
    ///         reserved DirectFiles in neighbouring slots for them to go into.
    ///
    /// `Completion.value` is (end to read from, end to write to), which are yours to close once
    /// you have looked at it. Nobody looks: both are closed with the completion. With `direct` they
    /// are DirectFiles.
    ///
    /// Raises:
    ///     ValueError: other flags; slots that are no neighbours.
    ///
    /// Kernel: 6.16.
    /// Memory: none of yours.
    /// Result: 0.
    /// Source: io_uring_prep_pipe(3), io_uring_prep_pipe_direct(3), pipe(2).
    fn prep_pipe / pipe(pipe_flags: i64, direct: Option<Any<'_, '_>>)
        [pipe_flags = 0o2000000,] [direct = None,]
        = |keep| make_pipe(keep, pipe_flags, direct);
}

/// A combination of `known` bits.
fn bits(name: &str, value: i64, known: i32) -> PyResult<u32> {
    match u32::try_from(value) {
        Ok(bits) if bits & !(known as u32) == 0 => Ok(bits),
        _ => Err(PyValueError::new_err(format!("{name} has unknown bits: {value:#x}"))),
    }
}

fn wait_for_child(
    keep: &mut Keep,
    idtype: i64,
    id: Any<'_, '_>,
    options: i64,
) -> PyResult<io_uring_sqe> {
    const WHAT: i32 = WEXITED | WSTOPPED | WCONTINUED;
    const KNOWN: i32 = WHAT | WNOHANG | WNOWAIT | __WALL | __WCLONE | __WNOTHREAD;
    let options = bits("options", options, KNOWN)?;
    if options & WHAT as u32 == 0 {
        return Err(PyValueError::new_err("options need WEXITED, WSTOPPED or WCONTINUED"));
    }
    let known = [P_ALL, P_PID, P_PGID, P_PIDFD].into_iter().find(|&k| i64::from(k) == idtype);
    let Some(idtype) = known else {
        return Err(PyValueError::new_err("idtype must be os.P_PID, P_PGID, P_ALL or P_PIDFD"));
    };
    let id = match idtype {
        P_PIDFD => convert::file(keep, id)?,
        _ => id.extract::<i32>()?,
    };
    if id < 0 {
        return Err(PyValueError::new_err("id must not be negative"));
    }
    let (sqe, args) = waitid::waitid(idtype, id, options);
    keep.keep_args(args);
    Ok(sqe)
}

fn make_pipe(keep: &mut Keep, flags: i64, direct: Option<Any<'_, '_>>) -> PyResult<io_uring_sqe> {
    let flags = bits("pipe_flags", flags, O_CLOEXEC | O_NONBLOCK | O_DIRECT | O_EXCL)?;
    let (sqe, args) = match direct::target_of_two(keep, direct)? {
        0 => pipe::pipe(flags),
        index => ops_direct::pipe(flags & !(O_CLOEXEC as u32), index),
    };
    keep.keep_args(args);
    Ok(sqe)
}
