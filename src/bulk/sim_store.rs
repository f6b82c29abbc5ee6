//! New files on the simulated kernel, which has one directory and no owners.

use core::ffi::CStr;

use crate::bulk::store::Store;
use crate::ring::sim::{Plain, SimKernel};
use crate::sys::direct::Alignment;
use crate::sys::file::Entry;
use crate::sys::os::O_DIRECTORY;
use crate::sys::Errno;

fn call(kernel: &SimKernel, call: Plain<'_>) -> Result<i32, Errno> {
    // SAFETY: none of the calls made here touches memory (I2).
    match unsafe { kernel.plain_call(call, false) } {
        Some(result @ 0..) => Ok(result),
        Some(errno) => Err(Errno(-errno)),
        None => Err(Errno::EAGAIN),
    }
}

impl Store for SimKernel {
    fn open_directory(&self, dir: i32, path: &CStr, _to_sync: bool) -> Result<i32, Errno> {
        call(self, Plain::Open { dir, path: path.to_bytes(), flags: O_DIRECTORY })
    }

    fn entry(&self, _dir: i32, name: &CStr) -> Result<Entry, Errno> {
        call(self, Plain::Look { name: name.to_bytes() })?;
        Ok(Entry { mode: 0o100_644, uid: 0, gid: 0 })
    }

    fn rename(&self, _dir: i32, from: &CStr, to: &CStr, over: bool) -> Result<(), Errno> {
        let (from, to) = (from.to_bytes(), to.to_bytes());
        call(self, Plain::Rename { from, to, over }).map(|_| ())
    }

    fn unlink(&self, _dir: i32, name: &CStr) -> Result<(), Errno> {
        call(self, Plain::Unlink { name: name.to_bytes() }).map(|_| ())
    }

    fn dress(&self, _fd: i32, _like: &Entry) -> Result<(), Errno> {
        self.may_fail("fchmod")
    }

    fn set_aside(&self, fd: i32, offset: u64, len: u64) -> Result<(), Errno> {
        call(self, Plain::Allocate { fd, size: offset + len }).map(|_| ())
    }

    fn truncate(&self, fd: i32, len: u64) -> Result<(), Errno> {
        call(self, Plain::Truncate { fd, size: len }).map(|_| ())
    }

    fn start_writeback(&self, _fd: i32, _offset: u64, _len: u64) {}

    fn direct_needs(&self, _fd: i32) -> Option<Alignment> {
        Some(Alignment { memory: 512, offset: 512 })
    }

    fn leave_direct(&self, _fd: i32) -> Result<(), Errno> {
        self.may_fail("fcntl")
    }
}
