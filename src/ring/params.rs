//! What a ring is asked to be, and how it is set up: the best flags the kernel knows, fewer
//! entries where memory is short, and a reason where it is refused altogether.

use crate::ring::error::{Call, RingError};
use crate::ring::kernel::Kernel;
use crate::ring::mapping::OwnMemory;
use crate::ring::restrict::Restrictions;
use crate::ring::{probe, ringfd, setup_flags};
use crate::sys::abi::{io_uring_params, io_uring_probe};
use crate::sys::consts::*;
use crate::sys::Errno;

/// The kernel's own limits (IORING_MAX_ENTRIES and twice that for completions).
pub const SQ_ENTRIES_MAX: u32 = 32_768;
/// See [`SQ_ENTRIES_MAX`].
pub const CQ_ENTRIES_MAX: u32 = 65_536;

/// Where memory is short, entries are halved down to this.
const SQ_ENTRIES_SMALL: u32 = 8;

/// The kernel gives back a closed ring's locked memory after 13-16 ms (measured), later when there
/// were many: so long to wait, in steps, before taking its no for an answer.
const MEMLOCK_NAPS_MS: [u64; 4] = [5, 10, 20, 40];

/// What a ring is asked to be.
#[derive(Clone, Debug)]
pub struct Config {
    /// Submission entries; rounded up to a power of two by the kernel.
    pub entries: u32,
    /// Completion entries; twice the submission entries if None.
    pub cq_entries: Option<u32>,
    /// Setup flags instead of the best known ones.
    pub flags: Option<u32>,
    /// Have the kernel poll the submission queue, and sleep after so many idle milliseconds.
    pub sqpoll_idle_ms: Option<u32>,
    /// The processor of the poll thread.
    pub sqpoll_cpu: Option<u32>,
    /// Usable from many threads at once.
    pub shared: bool,
    /// What the ring may do; everything if None.
    pub restrictions: Option<Restrictions>,
    /// Have the arguments of waits in memory shared with the kernel (Linux 6.13).
    pub wait_region: bool,
    /// The ring whose workers and poll thread to share.
    pub attach_fd: Option<i32>,
    /// Put the ring into huge pages.
    pub huge_pages: bool,
}

impl Config {
    /// A ring of `entries`, everything else as it comes.
    pub fn new(entries: u32) -> Self {
        Config {
            entries,
            cq_entries: None,
            flags: None,
            sqpoll_idle_ms: None,
            sqpoll_cpu: None,
            shared: false,
            restrictions: None,
            wait_region: false,
            attach_fd: None,
            huge_pages: false,
        }
    }

    /// Must something be said before the ring is enabled?
    pub fn speaks_first(&self) -> bool {
        self.restrictions.is_some() || self.wait_region
    }

    /// May the ring's descriptor be registered with the thread that owns it? A restricted ring might
    /// not be allowed to undo it, and would stay open with the thread.
    pub fn registers_itself(&self) -> bool {
        !self.shared && self.restrictions.is_none()
    }

    /// Is the kernel to poll the submission queue?
    pub fn sqpoll(&self) -> bool {
        self.sqpoll_idle_ms.is_some()
            || self.sqpoll_cpu.is_some()
            || self.flags.is_some_and(|f| f & IORING_SETUP_SQPOLL != 0)
    }

    /// Refuse what the kernel would only call EINVAL.
    fn check(&self) -> Result<(), RingError> {
        let clamp = self.flags.is_some_and(|f| f & IORING_SETUP_CLAMP != 0);
        check_sizes(self.entries, self.cq_entries, clamp)?;
        setup_flags::check(self)
    }

    /// Was it the caller's wish that the ring begins disabled?
    pub fn begins_disabled(&self) -> bool {
        self.flags.is_some_and(|f| f & IORING_SETUP_R_DISABLED != 0)
    }

    /// Sets of flags to try, best first.
    fn tiers(&self) -> Vec<u32> {
        let disabled = if self.speaks_first() { IORING_SETUP_R_DISABLED } else { 0 };
        self.flag_sets().into_iter().map(|flags| flags | disabled).collect()
    }

    fn flag_sets(&self) -> Vec<u32> {
        if let Some(flags) = self.flags {
            // The thread that enables the ring becomes its single issuer, so that a ring can be
            // made in one thread and used in another.
            let disabled =
                if flags & IORING_SETUP_SINGLE_ISSUER != 0 { IORING_SETUP_R_DISABLED } else { 0 };
            return vec![flags | disabled];
        }
        let all = IORING_SETUP_SUBMIT_ALL;
        if self.shared || self.sqpoll() {
            return vec![all | IORING_SETUP_NO_SQARRAY, all, 0];
        }
        let owned = all | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_R_DISABLED;
        let deferred = owned | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
        let coop = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
        vec![deferred | IORING_SETUP_NO_SQARRAY, deferred, owned | coop, all | coop, all, 0]
    }

    fn params(&self, tier: u32, entries: u32) -> io_uring_params {
        let mut p = io_uring_params { flags: tier, ..Default::default() };
        if let Some(fd) = self.attach_fd {
            p.flags |= IORING_SETUP_ATTACH_WQ;
            p.wq_fd = fd as u32;
        }
        if self.huge_pages {
            p.flags |= IORING_SETUP_NO_MMAP;
        }
        if self.sqpoll() {
            p.flags |= IORING_SETUP_SQPOLL;
            p.sq_thread_idle = self.sqpoll_idle_ms.unwrap_or(0);
        }
        if let Some(cpu) = self.sqpoll_cpu {
            p.flags |= IORING_SETUP_SQ_AFF;
            p.sq_thread_cpu = cpu;
        }
        if let Some(cq) = self.cq_entries {
            p.flags |= IORING_SETUP_CQSIZE;
            // Halved along with the submission entries where memory is short.
            p.cq_entries = (cq / (self.entries / entries).max(1)).max(entries);
        }
        p
    }
}

/// A ring just set up.
pub struct Made {
    /// Its descriptor; an index in the thread's table with REGISTERED_FD_ONLY.
    pub fd: i32,
    /// What the kernel made of the request.
    pub params: io_uring_params,
    /// The memory it is in, if that is ours (NO_MMAP).
    pub memory: Option<OwnMemory>,
}

/// Set a ring up.
pub fn setup<K: Kernel>(kernel: &K, config: &Config) -> Result<Made, RingError> {
    config.check()?;
    let mut entries = config.entries;
    let mut last = Errno::EINVAL;
    let mut naps = MEMLOCK_NAPS_MS.iter();
    'smaller: loop {
        for tier in config.tiers() {
            match attempt(kernel, config, tier, entries)? {
                Ok(made) => return check_features(kernel, made),
                // A flag this kernel does not know: the next, older set.
                Err(Errno::EINVAL) => last = Errno::EINVAL,
                // Locked memory is limited per user, and given back only some milliseconds after
                // a ring was closed: wait a little, then try smaller rings.
                Err(Errno::ENOMEM) => {
                    if let Some(&nap) = naps.next() {
                        std::thread::sleep(std::time::Duration::from_millis(nap));
                    } else if entries > SQ_ENTRIES_SMALL {
                        entries = (entries / 2).max(SQ_ENTRIES_SMALL);
                    } else {
                        return Err(refused(config, Errno::ENOMEM));
                    }
                    continue 'smaller;
                }
                Err(errno) => return Err(refused(config, errno)),
            }
        }
        return Err(refused(config, last));
    }
}

/// One call of io_uring_setup(2), with memory of our own where that is asked for.
fn attempt<K: Kernel>(
    kernel: &K,
    config: &Config,
    tier: u32,
    entries: u32,
) -> Result<Result<Made, Errno>, RingError> {
    let mut params = config.params(tier, entries);
    let memory = if params.flags & IORING_SETUP_NO_MMAP != 0 {
        let sizes = Sizes::of(entries, &params);
        Some(OwnMemory::new(kernel, &mut params, sizes, config.huge_pages)?)
    } else {
        None
    };
    match kernel.setup(entries, &mut params) {
        Ok(fd) => Ok(Ok(Made { fd, params, memory })),
        Err(errno) => {
            if let Some(memory) = memory {
                // SAFETY: no ring came to be that could use it (I8).
                unsafe { memory.free(kernel) };
            }
            Ok(Err(errno))
        }
    }
}

/// How many entries the queues get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Submission entries.
    pub sq: u32,
    /// Completion entries.
    pub cq: u32,
}

impl Sizes {
    /// What the kernel makes of `entries` and what `p` says.
    fn of(entries: u32, p: &io_uring_params) -> Self {
        let sq = entries.min(SQ_ENTRIES_MAX).next_power_of_two();
        let cq = if p.flags & IORING_SETUP_CQSIZE != 0 { p.cq_entries } else { 2 * sq };
        Sizes { sq, cq: cq.min(CQ_ENTRIES_MAX).next_power_of_two() }
    }

    /// As [`Sizes::of`], for a ring that is resized, after the checks that the kernel would only
    /// answer with EINVAL.
    pub fn checked(entries: u32, cq_entries: Option<u32>) -> Result<Self, RingError> {
        check_sizes(entries, cq_entries, false)?;
        let sq = entries.next_power_of_two();
        Ok(Sizes { sq, cq: cq_entries.map_or(2 * sq, u32::next_power_of_two) })
    }
}

fn check_sizes(entries: u32, cq_entries: Option<u32>, clamp: bool) -> Result<(), RingError> {
    if entries == 0 || cq_entries == Some(0) {
        return Err(RingError::ZeroEntries);
    }
    if entries > SQ_ENTRIES_MAX && !clamp {
        return Err(RingError::TooManyEntries { asked: entries, max: SQ_ENTRIES_MAX });
    }
    let Some(cq) = cq_entries else { return Ok(()) };
    if cq > CQ_ENTRIES_MAX && !clamp {
        return Err(RingError::TooManyEntries { asked: cq, max: CQ_ENTRIES_MAX });
    }
    if cq.next_power_of_two() < entries.min(SQ_ENTRIES_MAX).next_power_of_two() {
        return Err(RingError::BadFlags(
            "cq_entries must be at least as many as the submission entries",
        ));
    }
    Ok(())
}

fn refused(config: &Config, errno: Errno) -> RingError {
    // With flags of the caller's own choice, it is they that this kernel does not accept.
    if errno == Errno::EINVAL && (config.flags.is_some() || config.sqpoll()) {
        return RingError::Sys(Call::Setup, errno);
    }
    RingError::Refused(Box::new(probe::diagnose(errno, config.entries)))
}

/// Below Linux 5.11 completions can be lost and waits have no timeouts: refuse rather than guess.
fn check_features<K: Kernel>(kernel: &K, made: Made) -> Result<Made, RingError> {
    let params = &made.params;
    let missing = if params.features & IORING_FEAT_NODROP == 0 {
        Some(("completions that are never dropped (FEAT_NODROP)", (5, 5)))
    } else if params.features & IORING_FEAT_EXT_ARG == 0 {
        Some(("waits with a timeout (FEAT_EXT_ARG)", (5, 11)))
    } else {
        None
    };
    match missing {
        None => Ok(made),
        Some((what, since)) => {
            // SAFETY: just opened by setup and not handed out (I10). Its memory, if it is ours,
            // stays: closing is not the end of the kernel's use of it.
            unsafe { ringfd::close(kernel, made.fd, params.flags) };
            Err(RingError::Refused(Box::new(probe::too_old(what, since))))
        }
    }
}

/// A filter may let rings be set up and refuse the calls that use them: better said now than when
/// something depends on it.
pub fn try_out<K: Kernel>(kernel: &K, fd: i32, flags: u32) -> Result<(), RingError> {
    if flags & IORING_SETUP_REGISTERED_FD_ONLY != 0 {
        return Ok(());
    }
    let refused = |call, tried| match tried {
        Err(errno @ (Errno::EPERM | Errno::ENOSYS | Errno::EACCES | Errno::EOPNOTSUPP)) => {
            Err(RingError::Refused(Box::new(probe::diagnose_call(call, errno))))
        }
        // A ring that is not enabled yet says so, and whatever else there is comes up later.
        _ => Ok(()),
    };
    // SAFETY: nothing is submitted and nothing waited for.
    let entered = unsafe { kernel.enter(fd, 0, 0, 0, core::ptr::null(), 0) };
    refused("io_uring_enter", entered)?;
    if flags & IORING_SETUP_R_DISABLED == 0 {
        // It may never be needed.
        return Ok(());
    }
    let mut none = io_uring_probe::default();
    let arg = core::ptr::from_mut(&mut none).cast();
    // SAFETY: the head of a probe for no operations, written during the call (I2).
    refused("io_uring_register", unsafe { kernel.register(fd, IORING_REGISTER_PROBE, arg, 0) })
}

/// Turn a failed system call into the error that says what it means.
pub fn enter_error(errno: Errno) -> RingError {
    match errno {
        // Of a ring that could be set up the kernel says neither: a filter does.
        Errno::EPERM | Errno::ENOSYS => {
            RingError::Refused(Box::new(probe::diagnose_call("io_uring_enter", errno)))
        }
        Errno::EEXIST => RingError::WrongThread,
        Errno::EBADFD => RingError::Disabled,
        errno => RingError::Sys(Call::Enter, errno),
    }
}

/// The first io_uring_register(2) of a ring has failed, which the kernel takes without conditions: a
/// filter or a security module stands in the way.
pub fn first_register_error(error: RingError) -> RingError {
    match error {
        RingError::Sys(
            Call::Register,
            errno @ (Errno::EPERM | Errno::ENOSYS | Errno::EACCES | Errno::EOPNOTSUPP),
        ) => RingError::Refused(Box::new(probe::diagnose_call("io_uring_register", errno))),
        error => error,
    }
}

/// As [`enter_error`], for io_uring_register(2).
pub fn register_error(errno: Errno) -> RingError {
    match errno {
        Errno::EEXIST => RingError::WrongThread,
        errno => RingError::Sys(Call::Register, errno),
    }
}
