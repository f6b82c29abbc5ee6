//! Reads and writes with protection information beside the data.

use super::*;
use crate::ops::integrity::{self, Protection};
use crate::py::keep::Access::{self, Destination, Source};
use crate::py::keep::{Keep, ATTRIBUTES};
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;

/// Every check there is.
const CHECKS: u16 = IO_INTEGRITY_CHK_GUARD | IO_INTEGRITY_CHK_REFTAG | IO_INTEGRITY_CHK_APPTAG;

/// What goes with the information itself.
struct Marks {
    checks: u16,
    app_tag: u16,
    seed: u64,
}

/// Data and its protection information, in the same direction.
#[allow(clippy::too_many_arguments)]
fn protected(
    keep: &mut Keep,
    access: Access,
    file: Any<'_, '_>,
    buf: Any<'_, '_>,
    pi: Any<'_, '_>,
    offset: i64,
    nbytes: Option<i64>,
    marks: Marks,
    options: RwOptions,
) -> PyResult<io_uring_sqe> {
    let Marks { checks, app_tag, seed } = marks;
    let checks = convert::known_flags("checks", checks, CHECKS)?;
    let offset = convert::offset(offset)?;
    let fd = convert::file(keep, file)?;
    let data = keep.export(buf, access)?;
    let len = convert::length(data, nbytes)?;
    let information = keep.export_more(pi, access)?;
    let protection = Protection {
        addr: information.addr,
        len: convert::length(information, None)?,
        checks,
        app_tag,
        seed,
    };
    let (sqe, args) = match access {
        Destination => integrity::read_pi(fd, data.addr, len, offset, options, protection),
        Source => integrity::write_pi(fd, data.addr, len, offset, options, protection),
    };
    keep.keep_args(args);
    keep.ring_id |= ATTRIBUTES;
    Ok(sqe)
}

builders! {
    /// Read from a block device into a buffer, and the protection information (T10 PI) that is
    /// stored with the data into another.
    ///
    /// Args:
    ///     file: a block device that keeps such information, open with O_DIRECT.
    ///     buf: writable C-contiguous buffer, up to 4 GiB - 1 bytes. Never copied.
    ///     pi: another one for the protection information: as many tuples as there are intervals
    ///         of data, in the device's format.
    ///     offset: where on the device.
    ///     nbytes: read at most so many (default: as many as `buf` has).
    ///     checks: PiFlags: what the device and the kernel are to check.
    ///     app_tag: the application tag to check for, with PiFlags.APPTAG.
    ///     seed: what the reference tags begin with, with PiFlags.REFTAG.
    ///     rw_flags: RWF_* flags of os.preadv.
    ///     ioprio: I/O priority, ioprio_set(2).
    ///
    /// Raises:
    ///     UnsupportedOperation: this kernel would read without checking: Features.RW_ATTR is not
    ///         there.
    ///
    /// Kernel: 6.14.
    /// Memory: `buf` and `pi` are locked until the completion.
    /// Result: bytes read; -EINVAL if the file has no protection information.
    /// Source: io_uring_enter(2).
    fn prep_read_pi / read_pi(file: Any<'_, '_>, buf: Any<'_, '_>, pi: Any<'_, '_>, offset: i64,
        nbytes: Option<i64>, checks: u16, app_tag: u16, seed: u64, rw_flags: u32, ioprio: u16)
        [file, buf, pi, offset,]
        [nbytes = None, checks = 7, app_tag = 0, seed = 0, rw_flags = 0, ioprio = 0,]
        = |keep| protected(keep, Destination, file, buf, pi, offset, nbytes,
            Marks { checks, app_tag, seed }, rw(rw_flags, ioprio));

    /// Write a buffer to a block device, with the protection information (T10 PI) for it from
    /// another.
    ///
    /// Args: as for prep_read_pi; `buf` and `pi` are any bytes-like objects.
    ///
    /// Raises:
    ///     UnsupportedOperation: this kernel would write without the information:
    ///         Features.RW_ATTR is not there.
    ///
    /// Kernel: 6.14.
    /// Memory: `buf` and `pi` are locked until the completion; what is changed before then may be
    ///     written.
    /// Result: bytes written; -EINVAL if the file has no protection information.
    /// Source: io_uring_enter(2).
    fn prep_write_pi / write_pi(file: Any<'_, '_>, buf: Any<'_, '_>, pi: Any<'_, '_>, offset: i64,
        nbytes: Option<i64>, checks: u16, app_tag: u16, seed: u64, rw_flags: u32, ioprio: u16)
        [file, buf, pi, offset,]
        [nbytes = None, checks = 7, app_tag = 0, seed = 0, rw_flags = 0, ioprio = 0,]
        = |keep| protected(keep, Source, file, buf, pi, offset, nbytes,
            Marks { checks, app_tag, seed }, rw(rw_flags, ioprio));
}
