//! Which setup flags go together: told in words, before the kernel would only say EINVAL.

use crate::ring::error::RingError;
use crate::ring::params::Config;
use crate::sys::consts::*;

/// Later than the header this is written from: entries of 64 and of 128 bytes (Linux 6.19).
const SETUP_SQE_MIXED: u32 = 1 << 19;
/// Entries are taken from the queue's beginning each time (Linux 7.0).
const SETUP_SQ_REWIND: u32 = 1 << 20;

/// All flags of Linux 6.18.
const KNOWN: u32 = (1 << 19) - 1;

/// Flags that make no sense without another: which, which others, and what to say.
const NEEDS: [(u32, u32, &str); 7] = [
    (
        IORING_SETUP_DEFER_TASKRUN,
        IORING_SETUP_SINGLE_ISSUER,
        "DEFER_TASKRUN needs SINGLE_ISSUER: the one thread that submits also runs what is deferred",
    ),
    (
        IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_DEFER_TASKRUN,
        "TASKRUN_FLAG needs COOP_TASKRUN or DEFER_TASKRUN: otherwise no work waits to be shown",
    ),
    (IORING_SETUP_HYBRID_IOPOLL, IORING_SETUP_IOPOLL, "HYBRID_IOPOLL needs IOPOLL"),
    (
        IORING_SETUP_SQ_AFF,
        IORING_SETUP_SQPOLL,
        "SQ_AFF (sqpoll_cpu) needs SQPOLL: it is the poll thread's processor",
    ),
    (
        IORING_SETUP_REGISTERED_FD_ONLY,
        IORING_SETUP_NO_MMAP,
        "REGISTERED_FD_ONLY needs NO_MMAP: without a descriptor there is nothing to map",
    ),
    // Both come with a value, which is an argument of its own.
    (IORING_SETUP_ATTACH_WQ, 0, "ATTACH_WQ needs the ring to attach to: use attach_to"),
    (IORING_SETUP_CQSIZE, 0, "CQSIZE needs the size: use cq_entries"),
];

/// Flags that exclude each other.
const EXCLUDES: [(u32, u32, &str); 3] = [
    (
        IORING_SETUP_SQPOLL,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_DEFER_TASKRUN,
        "SQPOLL excludes COOP_TASKRUN, DEFER_TASKRUN and TASKRUN_FLAG: the poll thread does that \
         work",
    ),
    (
        IORING_SETUP_CQE32,
        IORING_SETUP_CQE_MIXED,
        "CQE32 excludes CQE_MIXED: either all completions have 32 bytes or some",
    ),
    (
        SETUP_SQE_MIXED,
        IORING_SETUP_SQE128,
        "SQE128 excludes SQE_MIXED: either all entries have 128 bytes or some",
    ),
];

/// Refuse what the kernel would not accept, and what this library cannot handle.
pub fn check(config: &Config) -> Result<(), RingError> {
    let refuse = |why: &'static str| Err(RingError::BadFlags(why));
    let flags = effective(config);
    if flags & SETUP_SQ_REWIND != 0 {
        return refuse("SQ_REWIND is not supported: entries could not be staged while others wait");
    }
    // What an unknown flag does to the queues nobody can know.
    if flags & !(KNOWN | SETUP_SQE_MIXED) != 0 {
        return Err(RingError::UnknownFlags(flags & !(KNOWN | SETUP_SQE_MIXED)));
    }
    let given = [
        (IORING_SETUP_ATTACH_WQ, config.attach_fd.is_some()),
        (IORING_SETUP_CQSIZE, config.cq_entries.is_some()),
    ];
    let lacks = |(flag, others, _): &&(u32, u32, &str)| {
        let there = given.iter().any(|(valued, value)| valued == flag && *value);
        flags & flag != 0 && flags & others == 0 && !there
    };
    if let Some((_, _, why)) = NEEDS.iter().find(lacks) {
        return refuse(why);
    }
    if let Some((_, _, why)) = EXCLUDES.iter().find(|(a, b, _)| flags & a != 0 && flags & b != 0) {
        return refuse(why);
    }
    if flags & IORING_SETUP_SQ_AFF != 0 && config.sqpoll_cpu.is_none() {
        return refuse("SQ_AFF needs the processor: use sqpoll_cpu");
    }
    if config.shared && flags & IORING_SETUP_SINGLE_ISSUER != 0 {
        return refuse("a shared ring cannot be SINGLE_ISSUER");
    }
    if config.shared && flags & IORING_SETUP_REGISTERED_FD_ONLY != 0 {
        return refuse("a shared ring cannot be REGISTERED_FD_ONLY: only its maker can reach it");
    }
    if flags & IORING_SETUP_CQE_MIXED != 0 && config.entries == 1 && config.cq_entries == Some(1) {
        return refuse("CQE_MIXED needs at least 2 cq_entries: a big completion takes two places");
    }
    Ok(())
}

/// The caller's flags, with those that other arguments stand for.
fn effective(config: &Config) -> u32 {
    let implied = [
        (config.sqpoll(), IORING_SETUP_SQPOLL),
        (config.sqpoll_cpu.is_some(), IORING_SETUP_SQ_AFF),
        (config.cq_entries.is_some(), IORING_SETUP_CQSIZE),
        (config.attach_fd.is_some(), IORING_SETUP_ATTACH_WQ),
        (config.huge_pages, IORING_SETUP_NO_MMAP),
    ];
    let implied = implied.iter().filter(|(is, _)| *is).fold(0, |all, (_, flag)| all | flag);
    config.flags.unwrap_or(0) | implied
}
