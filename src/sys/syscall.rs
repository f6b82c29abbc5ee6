//! System calls, one function each. Nothing is retried here and nothing is decided: what the
//! kernel says comes back as it said it.

use core::ffi::{c_long, c_void, CStr};
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use std::io::Read;

use super::abi::io_uring_params;
use super::Errno;

/// What libc's wrappers return, as a result.
#[inline]
pub(super) fn check(result: c_long) -> Result<c_long, Errno> {
    if result == -1 {
        Err(Errno::last())
    } else {
        Ok(result)
    }
}

/// io_uring_setup(2): a new ring's descriptor (close-on-exec), `params` filled in.
#[inline]
pub fn io_uring_setup(entries: u32, params: &mut io_uring_params) -> Result<i32, Errno> {
    let params: *mut io_uring_params = params;
    // SAFETY: `params` is a live, exclusive structure of the size the kernel expects. With
    // IORING_SETUP_NO_MMAP it also names memory that must outlive the ring, which the maps'
    // owner guarantees (I8).
    check(unsafe { libc::syscall(libc::SYS_io_uring_setup, entries, params) }).map(|fd| fd as i32)
}

/// io_uring_enter(2): how many submission entries the kernel took.
///
/// # Safety
/// `arg` and `argsz` must be what `flags` say they are, and live for the call. Every published
/// SQE must point at memory that stays valid until its terminal completion.
#[inline]
pub unsafe fn io_uring_enter(
    fd: i32,
    to_submit: u32,
    min_complete: u32,
    flags: u32,
    arg: *const c_void,
    argsz: usize,
) -> Result<u32, Errno> {
    // SAFETY: the caller's promise: slots keep what the entries point at (I1, I2).
    let result = unsafe {
        libc::syscall(libc::SYS_io_uring_enter, fd, to_submit, min_complete, flags, arg, argsz)
    };
    check(result).map(|taken| taken as u32)
}

/// io_uring_register(2).
///
/// # Safety
/// `arg` and `nr` must be what `opcode` says they are, and live for as long as the kernel uses
/// them: for the call, or until the matching unregister.
#[inline]
pub unsafe fn io_uring_register(
    fd: i32,
    opcode: u32,
    arg: *mut c_void,
    nr: u32,
) -> Result<u32, Errno> {
    // SAFETY: the caller's promise (I1, I2).
    let result = unsafe { libc::syscall(libc::SYS_io_uring_register, fd, opcode, arg, nr) };
    check(result).map(|value| value as u32)
}

/// mmap(2) without a wish for an address.
fn map(len: usize, flags: i32, fd: i32, offset: u64) -> Result<NonNull<u8>, Errno> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory that exists.
    // Its owner is the caller, who unmaps it or leaks it (I8).
    let address = unsafe {
        libc::mmap64(ptr::null_mut(), len, protection, flags, fd, offset as libc::off64_t)
    };
    if address == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    NonNull::new(address.cast()).ok_or(Errno::ENOMEM)
}

/// Map part of a ring, shared and populated, and keep it out of forked children.
///
/// A child that inherited the mapping would share the queues with its parent and could submit
/// its requests; without it, a use that slipped through every check faults instead.
pub fn map_ring(fd: i32, len: usize, offset: u64) -> Result<NonNull<u8>, Errno> {
    let address = map(len, libc::MAP_SHARED | libc::MAP_POPULATE, fd, offset)?;
    keep_from_children(address, len)?;
    Ok(address)
}

/// Keep a mapping just made out of forked children, or unmap it.
fn keep_from_children(address: NonNull<u8>, len: usize) -> Result<(), Errno> {
    // SAFETY: the caller's mapping, of this length (I8).
    let advised = unsafe { libc::madvise(address.as_ptr().cast(), len, libc::MADV_DONTFORK) };
    if advised == -1 {
        let errno = Errno::last();
        // SAFETY: as above, and nothing has seen the mapping yet (I8).
        unsafe { unmap(address, len) };
        return Err(errno);
    }
    Ok(())
}

/// Private memory: zeroed, page aligned, at an address of its own that never moves.
pub fn map_anonymous(len: usize) -> Result<NonNull<u8>, Errno> {
    map(len, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
}

/// Private memory for a ring: zeroed, aligned to its pages, and kept out of forked children, who
/// would otherwise share it copy-on-write with a kernel that writes to the parent's.
pub fn map_for_ring(len: usize, huge: bool) -> Result<NonNull<u8>, Errno> {
    let huge = if huge { libc::MAP_HUGETLB | libc::MAP_HUGE_2MB } else { 0 };
    let address = map(len, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | huge, -1, 0)?;
    keep_from_children(address, len)?;
    Ok(address)
}

/// Addresses for `len` bytes with nothing behind them, to be made usable by [`make_usable`].
pub fn map_reserved(len: usize) -> Result<NonNull<u8>, Errno> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: as in `map` (I8).
    let address = unsafe { libc::mmap64(ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
    if address == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    let address = NonNull::new(address.cast()).ok_or(Errno::ENOMEM)?;
    #[cfg(sanitized)]
    crate::sys::sanitize::holds_pointers(address, len);
    Ok(address)
}

/// Undo [`map_reserved`].
///
/// # Safety
/// `address` and `len` must be those of one such call; nothing may touch the memory afterwards.
pub unsafe fn unmap_reserved(address: NonNull<u8>, len: usize) {
    #[cfg(sanitized)]
    crate::sys::sanitize::holds_no_pointers(address, len);
    // SAFETY: the caller's contract (I8).
    unsafe { unmap(address, len) }
}

/// Put zeroed memory behind the first `len` bytes of addresses reserved before, as far as there
/// is none yet.
///
/// # Safety
/// `address` must come from [`map_reserved`], of at least `len` bytes.
pub unsafe fn make_usable(address: NonNull<u8>, len: usize) -> Result<(), Errno> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: pages of a private mapping of ours; those in use keep what is in them (I1).
    check(unsafe { libc::mprotect(address.as_ptr().cast(), len, protection) }.into()).map(drop)
}

/// The same, and not there in forked children: for what the kernel and this process share.
pub fn map_unforked(len: usize) -> Result<NonNull<u8>, Errno> {
    let address = map_anonymous(len)?;
    keep_from_children(address, len)?;
    Ok(address)
}

/// munmap(2).
///
/// # Safety
/// `address` and `len` must be those of one mapping of this module, not unmapped before, and
/// neither this process nor the kernel may use the memory afterwards.
pub unsafe fn unmap(address: NonNull<u8>, len: usize) {
    // SAFETY: the caller's promise (I8).
    let result = unsafe { libc::munmap(address.as_ptr().cast(), len) };
    debug_assert_eq!(result, 0, "munmap: {}", Errno::last());
}

/// close(2). An error is not reported: the descriptor is gone all the same on Linux.
///
/// # Safety
/// The caller must own `fd`, and nobody may use it afterwards.
pub unsafe fn close(fd: i32) {
    // SAFETY: the caller's promise (I10).
    unsafe { libc::close(fd) };
}

/// Nanoseconds of CLOCK_MONOTONIC, the clock that waits run on.
#[inline]
pub fn monotonic_ns() -> u64 {
    let mut now = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the kernel writes one timespec at a live address (I5).
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, now.as_mut_ptr()) };
    assert_eq!(result, 0, "CLOCK_MONOTONIC cannot be read");
    // SAFETY: the call succeeded, so every field was written (I5).
    let now = unsafe { now.assume_init() };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// eventfd2(2) with the given `EFD_*` flags, counting from 0.
pub fn eventfd(flags: i32) -> Result<i32, Errno> {
    // SAFETY: no memory is passed; the new descriptor belongs to the caller (I10).
    check(unsafe { libc::eventfd(0, flags) }.into()).map(|fd| fd as i32)
}

/// Add one to an eventfd: the way one thread wakes another.
///
/// EAGAIN says that the counter is full, so that a reader is woken anyway.
pub fn eventfd_signal(fd: i32) -> Result<(), Errno> {
    let one = 1_u64;
    loop {
        // SAFETY: eight bytes are read from a live word (I5).
        match check(unsafe { libc::write(fd, ptr::from_ref(&one).cast(), 8) } as c_long) {
            Err(Errno::EINTR) => {}
            done => return done.map(|_| ()),
        }
    }
}

/// Have `handler` called in every forked child, before fork(2) returns there.
///
/// The handler runs in a process with one thread and possibly held locks: it may only do what a
/// signal handler may.
pub fn at_fork_child(handler: extern "C" fn()) -> Result<(), Errno> {
    // The type differs only in that calling it is a promise of the C library's.
    let handler: unsafe extern "C" fn() = handler;
    // SAFETY: a function lives as long as the program, and this module is never unloaded (I9).
    match unsafe { libc::pthread_atfork(None, None, Some(handler)) } {
        0 => Ok(()),
        errno => Err(Errno(errno)),
    }
}

/// A number that tells the calling thread from every other thread alive; a later thread may get
/// the number of one that ended.
///
/// It is the thread pointer, read from its register: this is asked at every use of a ring, and
/// gettid(2) would cost a system call.
#[inline(always)]
pub fn thread_id() -> usize {
    #[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
    {
        let pointer: usize;
        // SAFETY: the ABI keeps the thread control block's own address in its first word (I9).
        unsafe {
            core::arch::asm!(
                "mov {}, fs:0", out(reg) pointer,
                options(nostack, preserves_flags, pure, readonly)
            );
        }
        pointer
    }
    #[cfg(target_arch = "aarch64")]
    {
        let pointer: usize;
        // SAFETY: reading the thread pointer's register has no effect (I9).
        unsafe {
            core::arch::asm!(
                "mrs {}, tpidr_el0", out(reg) pointer,
                options(nostack, preserves_flags, pure, nomem)
            );
        }
        pointer
    }
    #[cfg(not(any(
        all(target_arch = "x86_64", target_pointer_width = "64"),
        target_arch = "aarch64"
    )))]
    {
        // SAFETY: no argument, no failure (I9).
        unsafe { libc::pthread_self() as usize }
    }
}

/// Most of a file of /proc or /sys that is ever read.
const SMALL_FILE: u64 = 256 * 1024;

/// The text of a small file, such as those of /proc; `None` if it cannot be read.
pub fn read_small_file(path: &str) -> Option<String> {
    let file = std::fs::File::open(path).ok()?;
    let mut bytes = Vec::new();
    file.take(SMALL_FILE).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The release of the running kernel, as "6.18.44".
pub fn uname() -> String {
    let mut name = MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: the kernel fills one structure at a live address; zeroes are valid for it, so it is
    // initialised whatever the call did (I5).
    let name = unsafe {
        libc::uname(name.as_mut_ptr());
        name.assume_init()
    };
    // SAFETY: the kernel ends every field with a zero byte, and `name` outlives the borrow (I5).
    unsafe { CStr::from_ptr(name.release.as_ptr()) }.to_string_lossy().into_owned()
}

/// Soft and hard limit of a resource; `None` for no limit.
pub type Limits = (Option<u64>, Option<u64>);

/// How many bytes the process may lock (RLIMIT_MEMLOCK).
pub fn limit_memlock() -> Result<Limits, Errno> {
    limits(libc::RLIMIT_MEMLOCK as _)
}

/// How many descriptors the process may have (RLIMIT_NOFILE).
pub fn limit_nofile() -> Result<Limits, Errno> {
    limits(libc::RLIMIT_NOFILE as _)
}

fn limits(resource: i32) -> Result<Limits, Errno> {
    let mut limit = MaybeUninit::<libc::rlimit64>::uninit();
    // SAFETY: the kernel writes one structure at a live address (I5).
    let result = unsafe { libc::getrlimit64(resource as _, limit.as_mut_ptr()) };
    check(result.into())?;
    // SAFETY: the call succeeded, so both fields were written (I5).
    let limit = unsafe { limit.assume_init() };
    let bounded = |value: u64| (value != libc::RLIM64_INFINITY).then_some(value);
    Ok((bounded(limit.rlim_cur), bounded(limit.rlim_max)))
}

/// Number of CPUs the process may run on, or 1 if the kernel does not say.
pub fn cpu_count() -> u32 {
    let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: the kernel writes at most the given size at a live address; a set of zeroes is
    // valid, so it is initialised whatever the call did (I5).
    let count = unsafe {
        let size = size_of::<libc::cpu_set_t>();
        libc::sched_getaffinity(0, size, set.as_mut_ptr());
        libc::CPU_COUNT(&set.assume_init())
    };
    count.max(1) as u32
}

/// One more than the highest number a CPU can have here.
pub fn cpu_numbers() -> usize {
    // As "0-63", or "0-3,8-11".
    let possible = read_small_file("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = possible.trim().rsplit([',', '-']).next().and_then(|number| number.parse().ok());
    // As many as any kernel can be built for.
    last.map_or(8192, |last: usize| last.saturating_add(1).min(8192))
}

/// Bytes of a page of memory.
pub fn page_size() -> usize {
    // SAFETY: no memory is passed (I5).
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_memory_is_zeroed_aligned_and_writable() {
        let len = 3 * page_size();
        let memory = map_anonymous(len).unwrap();
        assert_eq!(memory.as_ptr() as usize % page_size(), 0);
        // SAFETY: the mapping has `len` bytes and is used by nothing else (I8).
        unsafe {
            let bytes = core::slice::from_raw_parts_mut(memory.as_ptr(), len);
            assert!(bytes.iter().all(|&byte| byte == 0));
            bytes.fill(0xa5);
            unmap(memory, len);
        }
    }

    #[test]
    fn bad_mappings_are_errors() {
        assert_eq!(map_anonymous(0), Err(Errno::EINVAL));
        assert_eq!(map_ring(-1, 4096, 0), Err(Errno::EBADF));
    }

    #[test]
    fn threads_have_different_numbers() {
        let here = thread_id();
        assert_eq!(here, thread_id());
        let there = std::thread::spawn(thread_id).join().unwrap();
        assert_ne!(here, there);
    }

    #[test]
    fn the_clock_goes_forward() {
        let first = monotonic_ns();
        assert!(first > 0 && monotonic_ns() >= first);
    }

    #[test]
    fn eventfd_counts() {
        let fd = eventfd(libc::EFD_CLOEXEC | libc::EFD_NONBLOCK).unwrap();
        eventfd_signal(fd).unwrap();
        eventfd_signal(fd).unwrap();
        let mut count = 0_u64;
        // SAFETY: eight bytes are written to a live word; the descriptor is ours (I5, I10).
        let read = unsafe { libc::read(fd, ptr::from_mut(&mut count).cast(), 8) };
        assert_eq!((read, count), (8, 2));
        // SAFETY: as above (I10).
        unsafe { close(fd) };
        assert_eq!(eventfd_signal(-1), Err(Errno::EBADF));
    }

    #[test]
    fn the_system_describes_itself() {
        assert!(uname().starts_with(|first: char| first.is_ascii_digit()));
        assert!(read_small_file("/proc/self/status").unwrap().contains("Seccomp:"));
        assert_eq!(read_small_file("/proc/self/no such file"), None);
        let (soft, hard) = limit_nofile().unwrap();
        assert!(soft.unwrap_or(u64::MAX) <= hard.unwrap_or(u64::MAX));
        assert!(cpu_count() >= 1 && page_size().is_power_of_two());
        assert!((cpu_count() as usize..=8192).contains(&cpu_numbers()));
    }

    #[test]
    fn refused_calls_give_the_errno() {
        let mut params = io_uring_params::default();
        assert!(io_uring_setup(0, &mut params).is_err());
        // SAFETY: no argument is passed (I2).
        let entered = unsafe { io_uring_enter(-1, 0, 0, 0, ptr::null(), 0) };
        assert!(entered.is_err());
        // SAFETY: as above (I2).
        assert!(unsafe { io_uring_register(-1, 1, ptr::null_mut(), 0) }.is_err());
    }
}
