//! The space that files and memory take: allocating, cutting, advice.

use crate::ops::entry;
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;

/// fallocate(2).
pub fn fallocate(fd: i32, mode: u32, offset: u64, len: u64) -> io_uring_sqe {
    io_uring_sqe { off: offset, addr: len, len: mode, ..entry(IORING_OP_FALLOCATE, fd) }
}

/// ftruncate(2).
pub fn ftruncate(fd: i32, len: u64) -> io_uring_sqe {
    io_uring_sqe { off: len, ..entry(IORING_OP_FTRUNCATE, fd) }
}

/// A length as kernels before 6.10 know it, in `len`, and beyond 32 bits in the wide field.
fn short_or_wide(len: u64) -> (u32, u64) {
    match u32::try_from(len) {
        Ok(short) => (short, 0),
        Err(_) => (0, len),
    }
}

/// posix_fadvise(2). No length: to the end of the file.
pub fn fadvise(fd: i32, offset: u64, len: u64, advice: u32) -> io_uring_sqe {
    let (short, wide) = short_or_wide(len);
    io_uring_sqe {
        off: offset,
        len: short,
        addr: wide,
        op_flags: advice,
        ..entry(IORING_OP_FADVISE, fd)
    }
}

/// madvise(2).
pub fn madvise(addr: u64, len: u64, advice: u32) -> io_uring_sqe {
    let (short, wide) = short_or_wide(len);
    io_uring_sqe { addr, len: short, off: wide, op_flags: advice, ..entry(IORING_OP_MADVISE, -1) }
}

/// What an advice does to the memory it is given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The contents stay what they are, for everybody.
    Hint,
    /// The contents may be lost, here or in a forked child.
    Loss,
    /// Touching the memory may become a fault, here or in a forked child.
    Fault,
}

/// What `advice` does; None if it is not known.
pub fn effect(advice: u32) -> Option<Effect> {
    Some(match advice {
        MADV_NORMAL | MADV_RANDOM | MADV_SEQUENTIAL | MADV_WILLNEED | MADV_DOFORK
        | MADV_MERGEABLE | MADV_UNMERGEABLE | MADV_HUGEPAGE | MADV_NOHUGEPAGE | MADV_DONTDUMP
        | MADV_DODUMP | MADV_KEEPONFORK | MADV_COLD | MADV_PAGEOUT | MADV_POPULATE_READ
        | MADV_POPULATE_WRITE | MADV_COLLAPSE => Effect::Hint,
        MADV_DONTNEED | MADV_DONTNEED_LOCKED | MADV_FREE | MADV_REMOVE | MADV_WIPEONFORK => {
            Effect::Loss
        }
        MADV_DONTFORK | MADV_HWPOISON | MADV_SOFT_OFFLINE | MADV_GUARD_INSTALL
        | MADV_GUARD_REMOVE => Effect::Fault,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_go_where_the_kernel_looks() {
        assert_eq!(short_or_wide(0), (0, 0));
        assert_eq!(short_or_wide(u32::MAX.into()), (u32::MAX, 0));
        assert_eq!(short_or_wide(1 << 32), (0, 1 << 32));
    }

    #[test]
    fn what_loses_contents_is_no_hint() {
        for advice in [MADV_DONTNEED, MADV_FREE, MADV_REMOVE, MADV_WIPEONFORK] {
            assert_eq!(effect(advice), Some(Effect::Loss));
        }
        assert_eq!(effect(MADV_WILLNEED), Some(Effect::Hint));
        assert_eq!(effect(MADV_GUARD_INSTALL), Some(Effect::Fault));
        assert_eq!(effect(5), None);
        assert_eq!(effect(26), None);
    }
}
