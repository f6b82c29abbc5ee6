//! What the simulated kernel is asked to be: its seed, its age, its limits, its temper.

use crate::sys::consts::*;

/// Start of the simulated descriptors: far above real ones, so that a descriptor that strays into
/// a real system call is refused there instead of hitting somebody's file.
pub const FD_BASE: i32 = 1_000_000;

/// How a [`SimKernel`](super::SimKernel) behaves. Every value is plain; start from
/// [`Options::new`] or [`Options::linux`] and change what the test is about.
#[derive(Clone, Debug)]
pub struct Options {
    /// Two kernels with equal options, given equal calls, do exactly the same.
    pub seed: u64,
    /// The IORING_FEAT_* word reported by setup. Without SINGLE_MMAP the completion queue has a
    /// mapping of its own.
    pub features: u32,
    /// IORING_SETUP_* flags that are known; others are EINVAL.
    pub setup_flags: u32,
    /// IORING_ENTER_* flags that are known; others are EINVAL.
    pub enter_flags: u32,
    /// IOSQE_* flags that are known; others are EINVAL.
    pub sqe_flags: u8,
    /// Bit n: operation n is known (as far as the simulation implements it).
    pub ops: u64,
    /// Bit n: register operation n is known (as far as the simulation implements it).
    pub register_ops: u64,
    /// Where head and tail of new submission queues start. The default is a few entries before
    /// the indices wrap.
    pub sq_start: u32,
    /// The same for completion queues.
    pub cq_start: u32,
    /// Lay the shared words out as kernels did that kept each index in a cache line of its own.
    pub roomy_layout: bool,
    /// How many bytes a pipe holds.
    pub pipe_capacity: usize,
    /// How many bytes a socket's receive queue holds.
    pub socket_capacity: usize,
    /// Overwrite the destination buffers of requests in flight, until their last completion.
    pub scribble: bool,
    /// So many of 100 reads of regular files miss the page cache and complete later.
    pub cold_percent: u8,
    /// Virtual nanoseconds that each system call takes.
    pub call_ns: u64,
    /// Work handed to a worker or to the disk takes up to this many virtual nanoseconds, so that
    /// such requests complete out of order.
    pub worker_ns: u64,
    /// A wait that nothing can ever end returns EINTR; after so many in a row with no change in
    /// between it returns EDEADLK, so that code which retries EINTR does not hang a test.
    pub stuck_limit: u32,
    /// How many real milliseconds a wait that nothing simulated can end waits for another thread
    /// to do something. For tests of wake-ups and of shared rings.
    pub patience_ms: u64,
    /// Record a violation when two requests in flight carry the same user_data (cancellations,
    /// which own no memory, apart).
    pub strict_keys: bool,
    /// RLIMIT_MEMLOCK: rings that need more than this together are refused with ENOMEM.
    pub locked_memory: Option<u64>,
    /// RLIMIT_NOFILE: how many descriptors there can be.
    pub max_fds: u32,
}

/// Feature bits with the version they came in.
const FEATURES: [((u8, u8), u32); 18] = [
    ((5, 4), IORING_FEAT_SINGLE_MMAP),
    ((5, 5), IORING_FEAT_NODROP),
    ((5, 5), IORING_FEAT_SUBMIT_STABLE),
    ((5, 6), IORING_FEAT_RW_CUR_POS),
    ((5, 6), IORING_FEAT_CUR_PERSONALITY),
    ((5, 7), IORING_FEAT_FAST_POLL),
    ((5, 9), IORING_FEAT_POLL_32BITS),
    ((5, 11), IORING_FEAT_SQPOLL_NONFIXED),
    ((5, 11), IORING_FEAT_EXT_ARG),
    ((5, 12), IORING_FEAT_NATIVE_WORKERS),
    ((5, 13), IORING_FEAT_RSRC_TAGS),
    ((5, 17), IORING_FEAT_CQE_SKIP),
    ((5, 17), IORING_FEAT_LINKED_FILE),
    ((6, 3), IORING_FEAT_REG_REG_RING),
    ((6, 10), IORING_FEAT_RECVSEND_BUNDLE),
    ((6, 12), IORING_FEAT_MIN_TIMEOUT),
    ((6, 14), IORING_FEAT_RW_ATTR),
    ((6, 15), IORING_FEAT_NO_IOWAIT),
];

/// How many setup flags, from bit 0 on, each version knew.
const SETUP_BITS: [((u8, u8), u32); 12] = [
    ((5, 1), 3),
    ((5, 5), 4),
    ((5, 6), 6),
    ((5, 10), 7),
    ((5, 18), 8),
    ((5, 19), 12),
    ((6, 0), 13),
    ((6, 1), 14),
    ((6, 5), 16),
    ((6, 6), 17),
    ((6, 13), 18),
    ((6, 18), 19),
];

/// The same for enter flags.
const ENTER_BITS: [((u8, u8), u32); 7] = [
    ((5, 1), 2),
    ((5, 10), 3),
    ((5, 11), 4),
    ((5, 18), 5),
    ((6, 12), 6),
    ((6, 13), 7),
    ((6, 15), 8),
];

/// The same for flags of submission entries.
const SQE_BITS: [((u8, u8), u32); 7] =
    [((5, 1), 1), ((5, 2), 2), ((5, 3), 3), ((5, 5), 4), ((5, 6), 5), ((5, 7), 6), ((5, 17), 7)];

/// How many operations each version knew, where it changed.
const OPS: [((u8, u8), u32); 20] = [
    ((5, 1), 8),
    ((5, 2), 9),
    ((5, 3), 11),
    ((5, 4), 12),
    ((5, 5), 17),
    ((5, 6), 30),
    ((5, 7), 33),
    ((5, 8), 34),
    ((5, 11), 37),
    ((5, 15), 40),
    ((5, 18), 41),
    ((5, 19), 47),
    ((6, 0), 48),
    ((6, 1), 49),
    ((6, 7), 54),
    ((6, 8), 55),
    ((6, 9), 56),
    ((6, 11), 58),
    ((6, 15), 62),
    ((6, 16), 63),
];

/// The same for register operations.
const REGISTER_OPS: [((u8, u8), u32); 11] = [
    ((5, 1), 4),
    ((5, 2), 6),
    ((5, 5), 7),
    ((5, 6), 11),
    ((5, 10), 13),
    ((5, 13), 17),
    ((5, 18), 22),
    ((5, 19), 24),
    ((6, 0), 26),
    ((6, 13), 32),
    ((6, 18), 36),
];

fn low_bits(table: &[((u8, u8), u32)], version: (u8, u8)) -> u64 {
    let known = table.iter().filter(|(since, _)| *since <= version).map(|(_, n)| *n).max();
    match known.unwrap_or(0) {
        64.. => u64::MAX,
        n => (1 << n) - 1,
    }
}

impl Options {
    /// Linux 6.18, everything it knows.
    pub fn new(seed: u64) -> Self {
        Options::linux(6, 18, seed)
    }

    /// The flags, features, operations and memory layout of an older kernel (from 5.1 on).
    pub fn linux(major: u8, minor: u8, seed: u64) -> Self {
        let version = (major, minor);
        let known = FEATURES.iter().filter(|(since, _)| *since <= version);
        Options {
            seed,
            features: known.fold(0, |word, (_, bit)| word | bit),
            setup_flags: low_bits(&SETUP_BITS, version) as u32,
            enter_flags: low_bits(&ENTER_BITS, version) as u32,
            sqe_flags: low_bits(&SQE_BITS, version) as u8,
            ops: low_bits(&OPS, version),
            register_ops: low_bits(&REGISTER_OPS, version),
            sq_start: u32::MAX - 5,
            cq_start: u32::MAX - 5,
            roomy_layout: version < (6, 18),
            pipe_capacity: 65_536,
            socket_capacity: 65_536,
            scribble: true,
            cold_percent: 0,
            call_ns: 1_000,
            worker_ns: 50_000,
            stuck_limit: 1_000,
            patience_ms: 0,
            strict_keys: false,
            locked_memory: None,
            max_fds: 20_000,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Options::new(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_kernels_know_less() {
        let new = Options::new(1);
        assert_eq!((new.features, new.setup_flags), (0x3ffff, 0x7ffff));
        assert_eq!((new.enter_flags, new.sqe_flags), (0xff, 0x7f));
        assert_eq!((new.ops, new.register_ops), ((1 << 63) - 1, (1 << 36) - 1));
        let old = Options::linux(5, 10, 1);
        assert_eq!(old.features & IORING_FEAT_EXT_ARG, 0);
        assert_ne!(old.features & IORING_FEAT_FAST_POLL, 0);
        assert_eq!(old.setup_flags, 0x7f);
        assert_eq!(old.ops >> IORING_OP_TEE, 1);
        assert_eq!(Options::linux(5, 1, 1).features, 0);
    }
}
