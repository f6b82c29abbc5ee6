//! What the running kernel can do, and why it refuses to.

mod environment;
mod refusal;

pub use environment::{environment, from_files, is_before, kernel_version, Environment, Version};
pub use refusal::{
    diagnose, diagnose_call, diagnose_room, explain_register, ring_bytes, too_old, Cause, Refusal,
};

use core::ptr;

use crate::ring::kernel::Kernel;
use crate::sys::abi::{
    io_uring_probe, io_uring_probe_op, io_uring_query_hdr, io_uring_query_opcode,
};
use crate::sys::consts::*;
use crate::sys::opcode::{self, OpInfo};
use crate::sys::Errno;

/// A set of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpSet([u64; 4]);

impl OpSet {
    /// The operations with numbers below `count`.
    pub fn first(count: u32) -> OpSet {
        let mut set = OpSet::default();
        for op in 0..=u8::MAX {
            if u32::from(op) < count {
                set.insert(op);
            }
        }
        set
    }

    /// Add an operation.
    pub fn insert(&mut self, op: u8) {
        self.0[usize::from(op) / 64] |= 1 << (op % 64);
    }

    /// Whether the operation is in the set.
    #[inline]
    pub fn contains(&self, op: u8) -> bool {
        self.0[usize::from(op) / 64] & (1 << (op % 64)) != 0
    }

    /// How many operations there are.
    pub fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The numbers, in order.
    pub fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=u8::MAX).filter(|&op| self.contains(op))
    }

    /// The operations this library knows and the set lacks.
    pub fn missing(&self) -> impl Iterator<Item = &'static OpInfo> + '_ {
        opcode::OPS.iter().filter(|op| !self.contains(op.number))
    }
}

/// Ask the kernel what it can do, without a ring (Linux 6.18; EINVAL or EBADF before).
pub fn query<K: Kernel>(kernel: &K) -> Result<io_uring_query_opcode, Errno> {
    let mut answer = io_uring_query_opcode::default();
    let mut header = io_uring_query_hdr {
        query_data: ptr::from_mut(&mut answer) as u64,
        query_op: IO_URING_QUERY_OPCODES,
        size: size_of::<io_uring_query_opcode>() as u32,
        ..Default::default()
    };
    // SAFETY: the header and the room it names are live and exclusive for the call, which is all
    // the kernel uses them for (I2); the answer is plain numbers (I5).
    unsafe { kernel.register(-1, IORING_REGISTER_QUERY, ptr::from_mut(&mut header).cast(), 0) }?;
    match Errno::from_result(header.result) {
        Some(errno) => Err(errno),
        None => Ok(answer),
    }
}

/// The operations that the kernel supports.
///
/// `fd` is a ring, or -1 if there is none. A ring is asked directly: that knows of operations left
/// out of this kernel's configuration. Without one, or if the ring may not be asked (another
/// thread's, a restricted one), the kernel says how many operations it has.
pub fn probe_ops<K: Kernel>(kernel: &K, fd: i32) -> Result<OpSet, Errno> {
    probe_ops_of(kernel, fd, 0)
}

/// [`probe_ops`] of a ring that `by_index` says may be an index.
pub fn probe_ops_of<K: Kernel>(kernel: &K, fd: i32, by_index: u32) -> Result<OpSet, Errno> {
    let refused = match fd {
        0.. => match probe(kernel, fd, by_index) {
            Ok(ops) => return Ok(ops),
            Err(errno) => Some(errno),
        },
        _ => None,
    };
    match query(kernel) {
        Ok(answer) => Ok(OpSet::first(answer.nr_request_opcodes)),
        // What the ring said tells more than that there is no query.
        Err(errno) => Err(refused.unwrap_or(errno)),
    }
}

/// The most operations one probe can tell of.
const PROBE_OPS: usize = 256;

/// The argument of IORING_REGISTER_PROBE with its array.
#[repr(C)]
struct Probe {
    head: io_uring_probe,
    ops: [io_uring_probe_op; PROBE_OPS],
}

fn probe<K: Kernel>(kernel: &K, fd: i32, by_index: u32) -> Result<OpSet, Errno> {
    let opcode = IORING_REGISTER_PROBE | by_index;
    let mut probe =
        Probe { head: io_uring_probe::default(), ops: [io_uring_probe_op::default(); PROBE_OPS] };
    let arg = ptr::from_mut(&mut probe).cast();
    // SAFETY: the structure has room for as many operations as `nr` says, is zeroed as the kernel
    // demands, and is live and exclusive for the call (I2).
    unsafe { kernel.register(fd, opcode, arg, PROBE_OPS as u32) }?;
    let mut set = OpSet::default();
    for entry in &probe.ops[..usize::from(probe.head.ops_len)] {
        if entry.flags & IO_URING_OP_SUPPORTED != 0 {
            set.insert(entry.op);
        }
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ffi::c_void;
    use core::ptr::NonNull;

    use crate::ring::kernel::Linux;
    use crate::sys::abi::io_uring_params;

    /// A kernel that answers register calls as told.
    struct Fake {
        /// Operations that the query tells of, or what it fails with.
        query: Result<u32, Errno>,
        /// Operations that the probe tells of, or what it fails with.
        probe: Result<Vec<u8>, Errno>,
    }

    impl Kernel for Fake {
        fn setup(&self, _: u32, _: &mut io_uring_params) -> Result<i32, Errno> {
            Err(Errno::ENOSYS)
        }

        unsafe fn enter(
            &self,
            _: i32,
            _: u32,
            _: u32,
            _: u32,
            _: *const c_void,
            _: usize,
        ) -> Result<u32, Errno> {
            Err(Errno::ENOSYS)
        }

        unsafe fn register(
            &self,
            fd: i32,
            op: u32,
            arg: *mut c_void,
            nr: u32,
        ) -> Result<u32, Errno> {
            if op == IORING_REGISTER_QUERY {
                assert_eq!((fd, nr), (-1, 0));
                let count = self.query?;
                // SAFETY: the code under test passes a header that names its answer (I2).
                unsafe {
                    let header = &mut *arg.cast::<io_uring_query_hdr>();
                    assert_eq!(header.size, 48);
                    let answer = &mut *(header.query_data as *mut io_uring_query_opcode);
                    answer.nr_request_opcodes = count;
                    header.result = if count == 0 { -Errno::EOPNOTSUPP.0 } else { 0 };
                }
                return Ok(0);
            }
            assert_eq!((op, nr), (IORING_REGISTER_PROBE, 256));
            let ops = self.probe.as_ref().map_err(|errno| *errno)?;
            // SAFETY: the code under test passes this structure (I2).
            let probe = unsafe { &mut *arg.cast::<Probe>() };
            probe.head.ops_len = ops.len() as u8 + 1;
            for (entry, &op) in probe.ops.iter_mut().zip(ops) {
                (entry.op, entry.flags) = (op, IO_URING_OP_SUPPORTED);
            }
            // One more that is known but left out of the configuration.
            probe.ops[ops.len()].op = 200;
            Ok(0)
        }

        fn map(&self, _: i32, _: usize, _: u64) -> Result<NonNull<u8>, Errno> {
            Err(Errno::ENOSYS)
        }

        unsafe fn unmap(&self, _: NonNull<u8>, _: usize) {}

        unsafe fn close(&self, _: i32) {}

        fn now_ns(&self) -> u64 {
            0
        }
    }

    #[test]
    fn sets_hold_what_was_put_in() {
        let mut set = OpSet::first(63);
        assert_eq!((set.len(), set.contains(62), set.contains(63)), (63, true, false));
        set.insert(255);
        assert_eq!(set.iter().last(), Some(255));
        assert_eq!(OpSet::first(1000).len(), 256);
        assert!(OpSet::first(0).is_empty());
        let missing: Vec<_> = OpSet::first(61).missing().map(|op| op.name).collect();
        assert_eq!(missing, ["WRITEV_FIXED", "PIPE"]);
    }

    #[test]
    fn a_ring_is_asked_first() {
        let kernel = Fake { query: Ok(63), probe: Ok(vec![0, 22, 62]) };
        assert!(probe_ops(&kernel, 5).unwrap().iter().eq([0, 22, 62]));
        assert_eq!(probe_ops(&kernel, -1).unwrap().len(), 63);
    }

    #[test]
    fn the_query_steps_in_where_the_ring_may_not_be_asked() {
        let kernel = Fake { query: Ok(60), probe: Err(Errno::EEXIST) };
        assert_eq!(probe_ops(&kernel, 5).unwrap().len(), 60);
    }

    #[test]
    fn errors_are_told() {
        let kernel = Fake { query: Err(Errno::EINVAL), probe: Err(Errno::EACCES) };
        assert_eq!(probe_ops(&kernel, 5), Err(Errno::EACCES));
        assert_eq!(probe_ops(&kernel, -1), Err(Errno::EINVAL));
        let kernel = Fake { query: Ok(0), probe: Err(Errno::EACCES) };
        assert_eq!(probe_ops(&kernel, -1), Err(Errno::EOPNOTSUPP));
    }

    #[test]
    fn the_running_kernel_answers_or_says_why_not() {
        let mut params = io_uring_params::default();
        let fd = match Linux.setup(8, &mut params) {
            Ok(fd) => fd,
            Err(errno) => {
                let refusal = diagnose(errno, 8);
                assert!(!refusal.reason.is_empty() && !refusal.hint.is_empty());
                println!("skipped, io_uring is refused here: {refusal}");
                return;
            }
        };
        let probed = probe(&Linux, fd, 0).unwrap();
        assert!(probed.contains(IORING_OP_NOP) && probed.contains(IORING_OP_READ));
        match query(&Linux) {
            Ok(answer) => {
                assert!(answer.nr_request_opcodes >= 63 && answer.nr_register_opcodes >= 36);
                assert_eq!(
                    answer.feature_flags & u64::from(params.features),
                    u64::from(params.features)
                );
                let all = OpSet::first(answer.nr_request_opcodes);
                assert!(probed.iter().all(|op| all.contains(op)));
            }
            Err(errno) => assert!(kernel_version() < Version(6, 18, 0), "query: {errno}"),
        }
        // SAFETY: the descriptor was made above and is used by nothing else (I10).
        unsafe { Linux.close(fd) };
    }
}
