//! Why a ring could not be made, and what helps.

use core::fmt;

use super::{environment, Environment, Version};
use crate::sys::syscall;
use crate::sys::Errno;

/// The most submission entries a ring can have.
const MAX_ENTRIES: u32 = 32768;

/// What stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// kernel.io_uring_disabled.
    Sysctl,
    /// A filter of system calls, as containers have.
    Seccomp,
    /// SELinux or another security module.
    SecurityModule,
    /// RLIMIT_MEMLOCK.
    Memlock,
    /// The system has no memory to give.
    Memory,
    /// The kernel is older than io_uring.
    OldKernel,
    /// The kernel was built without io_uring, or something that plays a kernel lacks it.
    NotBuilt,
    /// RLIMIT_NOFILE.
    ProcessFiles,
    /// The descriptors of the whole system.
    SystemFiles,
    /// No entries were asked for.
    ZeroEntries,
    /// More entries than a ring can have.
    TooManyEntries,
    /// Flags the kernel does not know or that do not go together.
    Flags,
    /// None of these.
    Unknown,
}

impl Cause {
    /// One lower-case word, for programs: "sysctl", "seccomp", "memlock", "old-kernel", ...
    pub fn slug(self) -> &'static str {
        match self {
            Cause::Sysctl => "sysctl",
            Cause::Seccomp => "seccomp",
            Cause::SecurityModule => "security-module",
            Cause::Memlock => "memlock",
            Cause::Memory => "memory",
            Cause::OldKernel => "old-kernel",
            Cause::NotBuilt => "not-built",
            Cause::ProcessFiles => "process-files",
            Cause::SystemFiles => "system-files",
            Cause::ZeroEntries => "zero-entries",
            Cause::TooManyEntries => "too-many-entries",
            Cause::Flags => "flags",
            Cause::Unknown => "unknown",
        }
    }

    /// The name in Python's `Cause`, which sorts the errors of every call.
    pub fn error_cause(self) -> &'static str {
        match self {
            Cause::Sysctl | Cause::Seccomp | Cause::SecurityModule => "PERMISSION",
            Cause::Memlock | Cause::Memory => "MEMORY",
            Cause::OldKernel | Cause::NotBuilt => "KERNEL_TOO_OLD",
            Cause::ProcessFiles => "PROCESS_QUOTA",
            Cause::SystemFiles => "SYSTEM_QUOTA",
            Cause::ZeroEntries => "ZERO_ENTRIES",
            Cause::TooManyEntries => "TOO_MANY_ENTRIES",
            Cause::Flags => "INVALID",
            Cause::Unknown => "OTHER",
        }
    }
}

/// Why a ring could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What stands in the way.
    pub cause: Cause,
    /// What io_uring_setup(2) said.
    pub errno: Errno,
    /// The cause in a sentence, with the numbers of this host.
    pub reason: String,
    /// What helps.
    pub hint: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.reason, self.hint)
    }
}

impl std::error::Error for Refusal {}

/// Find out why io_uring_setup(2) of `entries` entries failed with `errno`.
pub fn diagnose(errno: Errno, entries: u32) -> Refusal {
    diagnose_in("io_uring_setup", errno, entries, &environment())
}

/// The same of another call, made on a ring that could be set up.
pub fn diagnose_call(call: &str, errno: Errno) -> Refusal {
    diagnose_in(call, errno, 1, &environment())
}

/// The kernel has io_uring, but not what this library cannot do without.
pub fn too_old(what: &str, since: (u8, u8)) -> Refusal {
    let env = environment();
    let (cause, kernel) = (Cause::OldKernel, &env.kernel);
    let reason =
        format!("Linux {kernel} has no {what}, which came with Linux {}.{}", since.0, since.1);
    Refusal { cause, errno: Errno::ENOSYS, reason, hint: hint(cause, &env) }
}

/// What io_uring_register(2) may have meant by ENOMEM: the limit of what this user locks.
pub fn explain_register(errno: Errno) -> Option<String> {
    explain_register_in(errno, &environment())
}

fn explain_register_in(errno: Errno, env: &Environment) -> Option<String> {
    let limit = env.memlock_soft.filter(|_| errno == Errno::ENOMEM && !env.may_lock)?;
    Some(format!(
        "RLIMIT_MEMLOCK is {}, for all that the rings and registered buffers of this user lock \
         together; register less, or raise it (ulimit -l, at most {})",
        bytes(limit),
        env.memlock_hard.map_or("unlimited".into(), bytes)
    ))
}

/// Why `what` had no room in this process (ENOMEM), though io_uring_setup(2) made the ring.
pub fn diagnose_room(what: &str) -> Refusal {
    let allowed = syscall::read_small_file("/proc/sys/vm/max_map_count").unwrap_or_default();
    Refusal {
        cause: Cause::Memory,
        errno: Errno::ENOMEM,
        reason: format!(
            "{what} failed with ENOMEM: the process has as many mappings as it may \
             (vm.max_map_count is {}), as much address space (RLIMIT_AS), or the system has no \
             memory",
            allowed.trim()
        ),
        hint: "use fewer entries, close rings or give other memory back, or raise the limit \
               (ulimit -v; as root: sysctl -w vm.max_map_count=...)"
            .into(),
    }
}

/// Bytes that the kernel locks for a ring of `entries` entries and twice as many completions.
pub fn ring_bytes(entries: u32) -> u64 {
    let page = syscall::page_size() as u64;
    let pages = |bytes: u64| bytes.div_ceil(page) * page;
    let sq = u64::from(entries.clamp(1, MAX_ENTRIES)).next_power_of_two();
    // A cache line of indices, 16 bytes a completion (two to an entry), 4 for the index array,
    // 64 an entry.
    pages(64 + sq * (2 * 16 + 4)) + pages(sq * 64)
}

fn diagnose_in(call: &str, errno: Errno, entries: u32, env: &Environment) -> Refusal {
    let filtered = env.seccomp_mode == Some(2);
    let cause = match errno {
        Errno::EPERM if sysctl_forbids(env) => Cause::Sysctl,
        Errno::EACCES if env.selinux => Cause::SecurityModule,
        Errno::EPERM | Errno::EACCES if filtered => Cause::Seccomp,
        Errno::EPERM | Errno::EACCES => Cause::SecurityModule,
        Errno::ENOSYS if Version::parse(&env.kernel) < Version(5, 1, 0) => Cause::OldKernel,
        // Some filters say ENOSYS, so that programs believe in an old kernel.
        Errno::ENOSYS if filtered => Cause::Seccomp,
        Errno::ENOSYS => Cause::NotBuilt,
        Errno::ENOMEM if env.memlock_soft.is_some() && !env.may_lock => Cause::Memlock,
        Errno::ENOMEM => Cause::Memory,
        Errno::EMFILE => Cause::ProcessFiles,
        Errno::ENFILE => Cause::SystemFiles,
        Errno::EINVAL if entries == 0 => Cause::ZeroEntries,
        Errno::EINVAL if entries > MAX_ENTRIES => Cause::TooManyEntries,
        Errno::EINVAL => Cause::Flags,
        // io_uring_setup(2) itself has no other errors: a filter may have any.
        _ if filtered => Cause::Seccomp,
        _ => Cause::Unknown,
    };
    let mut reason =
        format!("{call} failed with {}: {}", errno.name(), reason(cause, errno, entries, env));
    if filtered && matches!(cause, Cause::Sysctl | Cause::SecurityModule) {
        reason.push_str(" (and a seccomp filter is active, which may refuse too)");
    }
    Refusal { cause, errno, reason, hint: hint(cause, env) }
}

/// The kernel's own rule: 2 is nobody, 1 is administrators and one group.
fn sysctl_forbids(env: &Environment) -> bool {
    match env.sysctl {
        None | Some(0) => false,
        Some(1) => !env.admin && !env.in_group,
        Some(_) => true,
    }
}

fn reason(cause: Cause, errno: Errno, entries: u32, env: &Environment) -> String {
    match cause {
        Cause::Sysctl => {
            let group = match env.sysctl_group {
                Some(group) if group >= 0 => format!(" and only group {group} is let in"),
                _ => String::new(),
            };
            match env.sysctl {
                Some(1) => format!(
                    "kernel.io_uring_disabled is 1, the process has no CAP_SYS_ADMIN{group}"
                ),
                level => {
                    let level = level.unwrap_or(2);
                    format!("kernel.io_uring_disabled is {level}, for everybody")
                }
            }
        }
        Cause::Seccomp => {
            "a seccomp filter refuses the call, as the default profiles of containers do".into()
        }
        Cause::SecurityModule if env.selinux => "SELinux enforces a policy that refuses it".into(),
        Cause::SecurityModule => {
            "neither kernel.io_uring_disabled nor a seccomp filter refuses it, so a security \
             module or the sandbox around this process does"
                .into()
        }
        Cause::Memlock => format!(
            "RLIMIT_MEMLOCK is {}, a ring of {entries} entries locks {}, and all rings of this \
             user count together",
            bytes(env.memlock_soft.unwrap_or(0)),
            bytes(ring_bytes(entries)),
        ),
        Cause::Memory => "the kernel has no memory for it".into(),
        Cause::OldKernel => format!("Linux {} is older than io_uring", env.kernel),
        Cause::NotBuilt => format!(
            "this Linux {} has no io_uring: left out of its configuration, or not a real Linux \
             (gVisor, an emulator)",
            env.kernel
        ),
        Cause::ProcessFiles => match env.nofile_soft {
            Some(limit) => {
                format!("the process has all {limit} descriptors that RLIMIT_NOFILE allows")
            }
            None => "the process has all the descriptors it may have".into(),
        },
        Cause::SystemFiles => "the system has no descriptor left (fs.file-max)".into(),
        Cause::ZeroEntries => "a ring needs at least one entry".into(),
        Cause::TooManyEntries => {
            format!("{entries} entries are more than the {MAX_ENTRIES} that a ring can have")
        }
        Cause::Flags => format!("Linux {} does not take these setup flags or sizes", env.kernel),
        Cause::Unknown => errno.message().into(),
    }
}

fn hint(cause: Cause, env: &Environment) -> String {
    match cause {
        Cause::Sysctl if env.sysctl == Some(1) => format!(
            "as root: sysctl -w kernel.io_uring_disabled=0, or let this process's group in: \
             sysctl -w kernel.io_uring_group={}",
            env.gid
        ),
        Cause::Sysctl => "as root: sysctl -w kernel.io_uring_disabled=0 (2 is the default of \
             RHEL 10 and its rebuilds)"
            .into(),
        Cause::Seccomp => "use a profile that also allows io_uring_setup, io_uring_enter and \
             io_uring_register (Docker, Podman: --security-opt seccomp=FILE; Kubernetes: \
             seccompProfile of type Localhost); Docker Desktop from 4.42 and AWS Fargate cannot be \
             told to allow them"
            .into(),
        Cause::SecurityModule if env.selinux => "look for io_uring denials with ausearch -m avc, \
             and allow them in the policy"
            .into(),
        Cause::SecurityModule => "ask whoever runs this host which policy refuses io_uring".into(),
        Cause::Memlock => format!(
            "raise the limit (ulimit -l, at most {}; systemd: LimitMEMLOCK=; Docker: --ulimit \
             memlock=-1), grant CAP_IPC_LOCK, use fewer entries, or close other rings",
            env.memlock_hard.map_or("unlimited".into(), bytes)
        ),
        Cause::Memory => {
            "use fewer entries, or free memory (also that of the control group)".into()
        }
        Cause::OldKernel => "Linux 5.11 or newer is needed".into(),
        Cause::NotBuilt => "a Linux 5.11 or newer built with CONFIG_IO_URING is needed".into(),
        Cause::ProcessFiles => format!(
            "close files or rings, or raise the limit (ulimit -n, at most {})",
            env.nofile_hard.map_or("unlimited".into(), |limit| limit.to_string())
        ),
        Cause::SystemFiles => "close files, or as root raise it: sysctl -w fs.file-max=...".into(),
        Cause::ZeroEntries => "ask for at least one entry".into(),
        Cause::TooManyEntries => format!("ask for at most {MAX_ENTRIES}, or set CLAMP"),
        Cause::Flags => "leave out the flags this kernel does not know".into(),
        Cause::Unknown => "io_uring does not work here".into(),
    }
}

/// A number of bytes as people say it.
fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} bytes"),
        1024..1_048_576 => format!("{} KiB", count.div_ceil(1024)),
        _ => format!("{:.1} MiB", count as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Environment {
        Environment {
            kernel: "6.18.44".into(),
            sysctl: Some(0),
            sysctl_group: Some(-1),
            seccomp_mode: Some(0),
            gid: 1000,
            memlock_soft: Some(65536),
            memlock_hard: Some(8 << 20),
            nofile_soft: Some(1024),
            nofile_hard: None,
            cpus: 2,
            ..Environment::default()
        }
    }

    /// The diagnosis must have this cause and say these words.
    fn expect(errno: Errno, env: &Environment, cause: Cause, reason: &str, hint: &str) {
        let refusal = diagnose_in("io_uring_setup", errno, 1024, env);
        assert_eq!((refusal.cause, refusal.errno), (cause, errno), "{refusal}");
        assert!(refusal.reason.contains(reason), "no {reason:?} in {:?}", refusal.reason);
        assert!(refusal.reason.contains(errno.name()), "{}", refusal.reason);
        assert!(refusal.hint.contains(hint), "no {hint:?} in {:?}", refusal.hint);
    }

    #[test]
    fn the_sysctl_is_told_from_the_filter() {
        let off = Environment { sysctl: Some(2), ..host() };
        expect(Errno::EPERM, &off, Cause::Sysctl, "io_uring_disabled is 2", "disabled=0");
        let root = Environment { admin: true, ..off.clone() };
        expect(Errno::EPERM, &root, Cause::Sysctl, "is 2, for everybody", "RHEL 10");
        let both = Environment { seccomp_mode: Some(2), ..off };
        expect(Errno::EPERM, &both, Cause::Sysctl, "seccomp filter is active", "disabled=0");
        let filter = Environment { seccomp_mode: Some(2), ..host() };
        expect(Errno::EPERM, &filter, Cause::Seccomp, "seccomp", "--security-opt");
        let old = Environment { sysctl: None, ..filter };
        expect(Errno::EPERM, &old, Cause::Seccomp, "seccomp", "io_uring_enter");
    }

    #[test]
    fn the_sysctl_lets_some_in() {
        let one = Environment { sysctl: Some(1), ..host() };
        expect(Errno::EPERM, &one, Cause::Sysctl, "no CAP_SYS_ADMIN", "io_uring_group=1000");
        let group = Environment { sysctl_group: Some(27), ..one.clone() };
        expect(Errno::EPERM, &group, Cause::Sysctl, "only group 27", "io_uring_group=1000");
        // Who is let in was refused by something else.
        for admitted in
            [Environment { in_group: true, ..group }, Environment { admin: true, ..one.clone() }]
        {
            expect(Errno::EPERM, &admitted, Cause::SecurityModule, "security module", "policy");
            let filtered = Environment { seccomp_mode: Some(2), ..admitted };
            expect(Errno::EPERM, &filtered, Cause::Seccomp, "seccomp", "profile");
        }
    }

    #[test]
    fn registering_past_the_limit_names_it() {
        let said = explain_register_in(Errno::ENOMEM, &host()).unwrap();
        assert!(said.contains("RLIMIT_MEMLOCK is 64 KiB") && said.contains("8.0 MiB"), "{said}");
        // Nothing else, and nobody whom the limit does not bind, is told of it.
        assert_eq!(explain_register_in(Errno::EFAULT, &host()), None);
        let free = Environment { may_lock: true, ..host() };
        assert_eq!(explain_register_in(Errno::ENOMEM, &free), None);
        let unlimited = Environment { memlock_soft: None, ..host() };
        assert_eq!(explain_register_in(Errno::ENOMEM, &unlimited), None);
    }

    #[test]
    fn security_modules_are_named() {
        let selinux = Environment { selinux: true, seccomp_mode: Some(2), ..host() };
        expect(Errno::EACCES, &selinux, Cause::SecurityModule, "SELinux", "ausearch");
        expect(Errno::EACCES, &host(), Cause::SecurityModule, "security module", "policy");
    }

    #[test]
    fn a_filter_may_say_anything() {
        let filter = Environment { seccomp_mode: Some(2), may_lock: true, ..host() };
        for errno in [Errno::EPERM, Errno::EACCES, Errno::ENOSYS, Errno::EOPNOTSUPP, Errno::EIO] {
            expect(errno, &filter, Cause::Seccomp, "seccomp", "io_uring_register");
        }
    }

    #[test]
    fn kernels_without_io_uring_are_named() {
        let old = Environment { kernel: "4.18.0-553.el8".into(), sysctl: None, ..host() };
        expect(Errno::ENOSYS, &old, Cause::OldKernel, "4.18.0-553.el8", "5.11");
        expect(Errno::ENOSYS, &host(), Cause::NotBuilt, "gVisor", "CONFIG_IO_URING");
    }

    #[test]
    fn locked_memory_is_told_from_lack_of_memory() {
        expect(Errno::ENOMEM, &host(), Cause::Memlock, "RLIMIT_MEMLOCK is 64 KiB", "8.0 MiB");
        let exempt = Environment { may_lock: true, ..host() };
        expect(Errno::ENOMEM, &exempt, Cause::Memory, "no memory", "fewer");
        let unlimited = Environment { memlock_soft: None, ..host() };
        expect(Errno::ENOMEM, &unlimited, Cause::Memory, "no memory", "fewer");
    }

    #[test]
    fn quotas_are_told_apart() {
        expect(Errno::EMFILE, &host(), Cause::ProcessFiles, "1024", "at most unlimited");
        let unlimited = Environment { nofile_soft: None, ..host() };
        expect(Errno::EMFILE, &unlimited, Cause::ProcessFiles, "may have", "ulimit -n");
        expect(Errno::ENFILE, &host(), Cause::SystemFiles, "fs.file-max", "fs.file-max");
    }

    #[test]
    fn invalid_requests_are_told_apart() {
        assert_eq!(
            diagnose_in("io_uring_setup", Errno::EINVAL, 0, &host()).cause,
            Cause::ZeroEntries
        );
        let many = diagnose_in("io_uring_setup", Errno::EINVAL, 32769, &host());
        assert_eq!(many.cause, Cause::TooManyEntries);
        assert!(many.reason.contains("32769") && many.hint.contains("32768"), "{many}");
        expect(Errno::EINVAL, &host(), Cause::Flags, "6.18.44", "flags");
    }

    #[test]
    fn any_errno_has_a_diagnosis() {
        for number in 0..200 {
            for env in [host(), Environment::default()] {
                let refusal = diagnose_in("io_uring_setup", Errno(number), 8, &env);
                assert!(!refusal.hint.is_empty() && refusal.reason.len() > 30, "{refusal}");
            }
        }
        expect(Errno::EOPNOTSUPP, &host(), Cause::Unknown, "Operation not supported", "here");
    }

    #[test]
    fn causes_have_names_of_their_own() {
        use Cause::*;
        let all = [
            Sysctl,
            Seccomp,
            SecurityModule,
            Memlock,
            Memory,
            OldKernel,
            NotBuilt,
            ProcessFiles,
            SystemFiles,
            ZeroEntries,
            TooManyEntries,
            Flags,
            Unknown,
        ];
        for (index, cause) in all.iter().enumerate() {
            assert!(all[index + 1..].iter().all(|other| other.slug() != cause.slug()));
            assert!(cause.error_cause().chars().all(|c| c.is_ascii_uppercase() || c == '_'));
        }
    }

    /// As measured: with 64 KiB a ring of 512 entries is the largest, and two of 256 fit.
    #[test]
    fn rings_lock_what_was_measured() {
        if syscall::page_size() != 4096 {
            println!("skipped: measured with pages of 4 KiB");
            return;
        }
        assert!(ring_bytes(512) <= 65536 && ring_bytes(1024) > 65536);
        assert_eq!(ring_bytes(256), 28 * 1024);
        assert_eq!(ring_bytes(200), ring_bytes(256));
        assert_eq!(ring_bytes(u32::MAX), ring_bytes(MAX_ENTRIES));
    }

    #[test]
    fn numbers_of_bytes_are_readable() {
        assert_eq!((bytes(12), bytes(65536)), ("12 bytes".into(), "64 KiB".into()));
        assert_eq!(bytes(8 << 20), "8.0 MiB");
    }
}
