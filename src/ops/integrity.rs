//! Reads and writes with protection information beside the data.

use crate::ops::args::Args;
use crate::ops::file::{read, write, RwOptions};
use crate::sys::abi::{io_uring_attr_pi, io_uring_sqe};
use crate::sys::consts::*;

/// The protection information of a read or write: where it is, and what is checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Protection {
    /// Where it is.
    pub addr: u64,
    /// Bytes of it.
    pub len: u32,
    /// IO_INTEGRITY_CHK_* flags.
    pub checks: u16,
    /// The application tag.
    pub app_tag: u16,
    /// What the reference tags begin with.
    pub seed: u64,
}

/// Read into one buffer, and the protection information into another.
pub fn read_pi(
    fd: i32,
    addr: u64,
    len: u32,
    offset: u64,
    options: RwOptions,
    protection: Protection,
) -> (io_uring_sqe, Args) {
    with(read(fd, addr, len, offset, options), protection)
}

/// Write from one buffer, with the protection information from another.
pub fn write_pi(
    fd: i32,
    addr: u64,
    len: u32,
    offset: u64,
    options: RwOptions,
    protection: Protection,
) -> (io_uring_sqe, Args) {
    with(write(fd, addr, len, offset, options), protection)
}

/// The entry leads to a description of the information (`attr_ptr`, `attr_type_mask`).
fn with(sqe: io_uring_sqe, protection: Protection) -> (io_uring_sqe, Args) {
    let Protection { addr, len, checks, app_tag, seed } = protection;
    let attribute = Box::new(io_uring_attr_pi { flags: checks, app_tag, len, addr, seed, rsvd: 0 });
    let addr3 = &raw const *attribute as u64;
    (io_uring_sqe { addr3, pad2: IORING_RW_ATTR_FLAG_PI, ..sqe }, Args::Protection(attribute))
}
