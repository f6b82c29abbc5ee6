//! What direct I/O asks of a file, and the calls around it.

use core::ffi::{c_long, c_void};
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

use super::abi::statx;
use super::Errno;

/// In `stx_mask`: what direct I/O needs (Linux 6.1).
const STATX_DIOALIGN: u32 = 0x2000;

fn check(result: c_long) -> Result<c_long, Errno> {
    if result == -1 {
        Err(Errno::last())
    } else {
        Ok(result)
    }
}

/// What direct I/O needs, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alignment {
    /// Of addresses in memory.
    pub memory: u32,
    /// Of offsets and lengths.
    pub offset: u32,
}

/// What suits every disk there is, where the kernel does not say (before Linux 6.1, or a file system
/// that does not know).
const CAUTIOUS: Alignment = Alignment { memory: 4096, offset: 4096 };

/// What direct I/O on a file needs; None where the file system has none.
pub fn direct_alignment(fd: i32) -> Option<Alignment> {
    let mut found = statx::default();
    // SAFETY: an empty string and a structure of the kernel's layout, both live (I5).
    let done = unsafe {
        let (path, flags) = (c"".as_ptr(), libc::AT_EMPTY_PATH);
        libc::syscall(libc::SYS_statx, fd, path, flags, STATX_DIOALIGN, ptr::from_mut(&mut found))
    };
    if done != 0 || found.stx_mask & STATX_DIOALIGN == 0 {
        return Some(CAUTIOUS);
    }
    let (memory, offset) = (found.stx_dio_mem_align, found.stx_dio_offset_align);
    let sound = memory.is_power_of_two() && offset.is_power_of_two();
    sound.then_some(Alignment { memory, offset })
}

/// The file systems that are in memory, by their magic number (`linux/magic.h`): tmpfs, ramfs,
/// hugetlbfs, proc and sysfs. Reading from them never waits for a device.
const IN_MEMORY: [u64; 5] = [0x0102_1994, 0x8584_58f6, 0x9584_58f6, 0x9fa0, 0x6265_6572];

/// Is the file on a file system without a device?
pub fn in_memory(fd: i32) -> bool {
    let mut found = MaybeUninit::<libc::statfs64>::zeroed();
    // SAFETY: the kernel writes one structure at a live address (I5).
    let done = unsafe { libc::fstatfs64(fd, found.as_mut_ptr()) };
    // SAFETY: all zeroes, or written by the kernel: plain numbers either way (I5).
    let kind: u64 = unsafe { found.assume_init() }.f_type as _;
    done == 0 && IN_MEMORY.contains(&(kind & 0xffff_ffff))
}

/// Open the file behind a descriptor once more, with flags of its own. ENOENT without /proc.
pub fn reopen(fd: i32, flags: i32) -> Result<i32, Errno> {
    let path = format!("/proc/self/fd/{fd}\0");
    // SAFETY: a live string that ends with a zero byte (I5).
    let opened = unsafe { libc::open(path.as_ptr().cast(), flags | libc::O_CLOEXEC) };
    check(opened.into()).map(|fd| fd as i32)
}

/// The flags that a descriptor was opened with (F_GETFL).
pub fn status_flags(fd: i32) -> Result<i32, Errno> {
    // SAFETY: no memory is passed (I10).
    check(unsafe { libc::fcntl(fd, libc::F_GETFL) }.into()).map(|flags| flags as i32)
}

/// posix_fadvise(2) for the whole file: it is read here and there, reading ahead is of no use.
pub fn advise_random(fd: i32) {
    // SAFETY: no memory is passed (I10). It is advice: whether it was taken does not matter.
    unsafe { libc::posix_fadvise64(fd, 0, 0, libc::POSIX_FADV_RANDOM) };
}

/// madvise(2): huge pages, if there are any to spare.
///
/// # Safety
/// `len` bytes at `address` must be a private mapping of ours.
pub unsafe fn advise_huge(address: NonNull<u8>, len: usize) {
    let address: *mut c_void = address.as_ptr().cast();
    // SAFETY: the caller's promise; the contents stay as they are (I1).
    unsafe { libc::madvise(address, len, libc::MADV_HUGEPAGE) };
}

/// poll(2): is there something to read, or nothing more to come, within that time?
pub fn poll_in(fd: i32, patience_ns: u64) -> Result<bool, Errno> {
    let mut asked = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let patience = libc::timespec {
        tv_sec: (patience_ns / 1_000_000_000) as _,
        tv_nsec: (patience_ns % 1_000_000_000) as _,
    };
    // SAFETY: one structure and one time, both live for the call (I5).
    let found = unsafe { libc::ppoll(ptr::from_mut(&mut asked), 1, &patience, ptr::null()) };
    check(found.into()).map(|found| found > 0)
}
