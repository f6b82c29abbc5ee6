//! What of the host bears on io_uring.

use core::fmt;

use crate::sys::syscall;

/// A kernel version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// The numbers at the start of a release: "6.18.44-foo", "5.14.0-427.el9", "6.19-rc1".
    pub fn parse(release: &str) -> Version {
        let mut numbers = release.splitn(3, '.').map(|part| {
            let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..digits].parse().unwrap_or(0)
        });
        let mut next = || numbers.next().unwrap_or(0);
        Version(next(), next(), next())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The version of the running kernel.
///
/// For messages and reports only: distributions back-port, so what the kernel can do must be
/// asked of it.
pub fn kernel_version() -> Version {
    Version::parse(&syscall::uname())
}

/// Whether the running kernel, by its version, came before that one: as good a guess.
pub fn is_before(since: (u8, u8)) -> bool {
    kernel_version() < Version(since.0.into(), since.1.into(), 0)
}

/// What of the host bears on io_uring.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Environment {
    /// The release of the kernel.
    pub kernel: String,
    /// kernel.io_uring_disabled: 0 for all, 1 for the privileged, 2 for nobody; `None` before 6.6.
    pub sysctl: Option<u8>,
    /// kernel.io_uring_group: a group that 1 lets in; -1 is none.
    pub sysctl_group: Option<i64>,
    /// The process is in that group.
    pub in_group: bool,
    /// The process's effective group.
    pub gid: u32,
    /// 0 for none, 2 if a filter decides about system calls; `None` if the kernel does not say.
    pub seccomp_mode: Option<u8>,
    /// SELinux enforces its policy.
    pub selinux: bool,
    /// The process has CAP_SYS_ADMIN, and not just in a user namespace.
    pub admin: bool,
    /// The process has CAP_IPC_LOCK likewise, so that RLIMIT_MEMLOCK does not bind it.
    pub may_lock: bool,
    /// Bytes that may be locked; `None` for no limit.
    pub memlock_soft: Option<u64>,
    /// How far the process may raise that.
    pub memlock_hard: Option<u64>,
    /// Descriptors the process may have; `None` for no limit.
    pub nofile_soft: Option<u64>,
    /// How far the process may raise that.
    pub nofile_hard: Option<u64>,
    /// CPUs' worth of time that the control group allows; `None` for no limit.
    pub cpu_quota: Option<f64>,
    /// CPUs the process may run on.
    pub cpus: u32,
}

const CAP_IPC_LOCK: u32 = 14;
const CAP_SYS_ADMIN: u32 = 21;

/// Read the host's state. Never fails: what cannot be read is left out.
pub fn environment() -> Environment {
    let (memlock_soft, memlock_hard) = syscall::limit_memlock().unwrap_or_default();
    let (nofile_soft, nofile_hard) = syscall::limit_nofile().unwrap_or_default();
    Environment {
        kernel: syscall::uname(),
        memlock_soft,
        memlock_hard,
        nofile_soft,
        nofile_hard,
        cpus: syscall::cpu_count(),
        ..from_files(syscall::read_small_file)
    }
}

/// The part of the state that the kernel tells through files, of which `read` gives the text.
pub fn from_files(read: impl Fn(&str) -> Option<String>) -> Environment {
    let number = |path: &str| read(path)?.trim().parse::<i64>().ok();
    let status = read("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or("")
    };
    // Capabilities of a user namespace count for nothing here: the kernel asks for real ones.
    let initial = read("/proc/self/uid_map").is_none_or(|map| {
        map.split_whitespace().eq(["0", "0", "4294967295"]) || map.trim().is_empty()
    });
    let caps = u64::from_str_radix(field("CapEff").trim(), 16).unwrap_or(0);
    let has = |cap: u32| initial && caps & (1 << cap) != 0;
    // Real, effective, saved, file system.
    let gid = field("Gid").split_whitespace().nth(1).and_then(|gid| gid.parse().ok());
    let sysctl_group = number("/proc/sys/kernel/io_uring_group");
    let in_group = sysctl_group.filter(|&group| group >= 0).is_some_and(|group| {
        let supplementary = field("Groups").split_whitespace().filter_map(|g| g.parse().ok());
        gid.into_iter().chain(supplementary).any(|mine: u32| i64::from(mine) == group)
    });
    Environment {
        sysctl: number("/proc/sys/kernel/io_uring_disabled").and_then(|n| u8::try_from(n).ok()),
        sysctl_group,
        in_group,
        gid: gid.unwrap_or(0),
        seccomp_mode: field("Seccomp").trim().parse().ok(),
        selinux: number("/sys/fs/selinux/enforce") == Some(1),
        admin: has(CAP_SYS_ADMIN),
        may_lock: has(CAP_IPC_LOCK),
        cpu_quota: cpu_quota(&read),
        ..Environment::default()
    }
}

/// The tightest limit of CPU time among the process's control group and those above it.
fn cpu_quota(read: &impl Fn(&str) -> Option<String>) -> Option<f64> {
    let groups = read("/proc/self/cgroup")?;
    let mut tightest: Option<f64> = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { continue };
        let unified = controllers.is_empty();
        if !unified && !controllers.split(',').any(|controller| controller == "cpu") {
            continue;
        }
        let mut group = group.trim_end_matches('/');
        loop {
            let quota = if unified {
                quota_v2(read, &format!("/sys/fs/cgroup{group}"))
            } else {
                quota_v1(read, &format!("/sys/fs/cgroup/{controllers}{group}"))
            };
            tightest = match (tightest, quota) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            match group.rsplit_once('/') {
                Some((above, _)) => group = above,
                None => break,
            }
        }
    }
    tightest
}

/// "50000 100000" is half a CPU; "max 100000" is no limit.
fn quota_v2(read: &impl Fn(&str) -> Option<String>, folder: &str) -> Option<f64> {
    let text = read(&format!("{folder}/cpu.max"))?;
    let mut words = text.split_whitespace().map(str::parse::<f64>);
    ratio(words.next()?.ok()?, words.next()?.ok()?)
}

/// A quota of -1 is no limit.
fn quota_v1(read: &impl Fn(&str) -> Option<String>, folder: &str) -> Option<f64> {
    let number = |name: &str| read(&format!("{folder}/{name}"))?.trim().parse::<f64>().ok();
    ratio(number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
}

fn ratio(quota: f64, period: f64) -> Option<f64> {
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tpython\nGid:\t1000\t1001\t1000\t1000\nGroups:\t4 27 1000\n\
        CapEff:\t0000000000204000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";

    fn from(files: &[(&str, &str)]) -> Environment {
        from_files(|path| {
            files.iter().find(|(name, _)| *name == path).map(|(_, text)| text.to_string())
        })
    }

    #[test]
    fn versions_are_read_and_compared() {
        assert_eq!(Version::parse("6.18.44-fc-v657"), Version(6, 18, 44));
        assert_eq!(Version::parse("5.14.0-427.13.1.el9_4.x86_64"), Version(5, 14, 0));
        assert_eq!(Version::parse("6.19-rc1"), Version(6, 19, 0));
        assert_eq!(Version::parse("4.4.0"), Version(4, 4, 0));
        assert_eq!(Version::parse(""), Version::default());
        assert!(Version(6, 6, 0) < Version(6, 18, 0));
        assert_eq!(kernel_version().to_string().matches('.').count(), 2);
    }

    #[test]
    fn nothing_readable_is_no_error() {
        let environment = from(&[]);
        assert_eq!(environment, Environment::default());
    }

    #[test]
    fn the_process_is_described() {
        let environment = from(&[
            ("/proc/self/status", STATUS),
            ("/proc/self/uid_map", "         0          0 4294967295\n"),
            ("/proc/sys/kernel/io_uring_disabled", "1\n"),
            ("/proc/sys/kernel/io_uring_group", "27\n"),
            ("/sys/fs/selinux/enforce", "1"),
        ]);
        assert_eq!((environment.sysctl, environment.sysctl_group), (Some(1), Some(27)));
        assert!(environment.in_group && environment.admin && environment.may_lock);
        assert_eq!((environment.seccomp_mode, environment.gid), (Some(2), 1001));
        assert!(environment.selinux);
    }

    #[test]
    fn capabilities_of_a_user_namespace_do_not_count() {
        let environment = from(&[
            ("/proc/self/status", STATUS),
            ("/proc/self/uid_map", "         0       1000          1\n"),
            ("/proc/sys/kernel/io_uring_group", "-1\n"),
        ]);
        assert!(!environment.admin && !environment.may_lock && !environment.in_group);
    }

    #[test]
    fn the_effective_group_counts() {
        let group = ("/proc/sys/kernel/io_uring_group", "1001\n");
        assert!(from(&[("/proc/self/status", STATUS), group]).in_group);
        let other = ("/proc/sys/kernel/io_uring_group", "1002\n");
        assert!(!from(&[("/proc/self/status", STATUS), other]).in_group);
    }

    #[test]
    fn the_tightest_quota_counts() {
        let unified = from(&[
            ("/proc/self/cgroup", "0::/user.slice/app.scope\n"),
            ("/sys/fs/cgroup/user.slice/app.scope/cpu.max", "max 100000\n"),
            ("/sys/fs/cgroup/user.slice/cpu.max", "50000 100000\n"),
            ("/sys/fs/cgroup/cpu.max", "200000 100000\n"),
        ]);
        assert_eq!(unified.cpu_quota, Some(0.5));
        let legacy = from(&[
            ("/proc/self/cgroup", "4:memory:/\n1:cpu,cpuacct:/box\n0::/\n"),
            ("/sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", "150000\n"),
            ("/sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us", "100000\n"),
            ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"),
            ("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(legacy.cpu_quota, Some(1.5));
    }

    #[test]
    fn this_host_is_described() {
        let environment = environment();
        assert!(!environment.kernel.is_empty() && environment.cpus >= 1);
        assert!(environment.seccomp_mode.is_some());
    }
}
