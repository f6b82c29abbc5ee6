//! `StatxResult`: what `prep_statx` brings.

use pyo3::prelude::*;

use crate::ops::stat::{nanoseconds, seconds};
use crate::sys::abi::statx as Statx;
use crate::sys::consts::*;
use crate::sys::os::makedev;

/// What is known of a file: `os.stat_result`'s attributes, and what statx(2) adds.
///
/// The basic ones are always numbers, as the kernel left them: `st_mask` (StatxMask) says which of
/// them hold something. The rest are None where the kernel or the file system did not tell.
#[pyclass(name = "StatxResult", module = "uring_rs", frozen)]
pub(crate) struct PyStatxResult(Statx);

impl From<Statx> for PyStatxResult {
    fn from(answer: Statx) -> Self {
        PyStatxResult(answer)
    }
}

impl PyStatxResult {
    /// `value`, if the kernel says that it filled it in.
    fn told<T>(&self, mask: u32, value: T) -> Option<T> {
        (self.0.stx_mask & mask != 0).then_some(value)
    }

    fn bytes(&self) -> &[u8] {
        let start = core::ptr::from_ref(&self.0).cast();
        // SAFETY: all bytes of a structure of ours, which has no padding (I1).
        unsafe { core::slice::from_raw_parts(start, size_of::<Statx>()) }
    }
}

#[pymethods]
impl PyStatxResult {
    fn __eq__(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }

    fn __hash__(&self) -> u64 {
        self.0.stx_ino ^ self.0.stx_size.rotate_left(32) ^ self.0.stx_mnt_id
    }

    fn __repr__(&self) -> String {
        format!(
            "<StatxResult st_mode=0o{:o} st_ino={} st_dev={} st_nlink={} st_uid={} \
             st_gid={} st_size={} st_mtime_ns={} st_mask={:#x}>",
            self.0.stx_mode,
            self.0.stx_ino,
            self.st_dev(),
            self.0.stx_nlink,
            self.0.stx_uid,
            self.0.stx_gid,
            self.0.stx_size,
            self.st_mtime_ns(),
            self.0.stx_mask,
        )
    }
}

macro_rules! attributes {
    ($( $(#[doc = $doc:literal])* $name:ident: $type:ty = |$this:ident| $value:expr; )*) => {
        #[pymethods]
        impl PyStatxResult {
            $(
                $(#[doc = $doc])*
                #[getter]
                fn $name(&self) -> $type {
                    let $this = self;
                    $value
                }
            )*
        }
    };
}

attributes! {
    /// StatxMask: which attributes the kernel filled in.
    st_mask: u32 = |this| this.0.stx_mask;
    /// Type and permissions, for the `stat` module.
    st_mode: u16 = |this| this.0.stx_mode;
    /// Inode number.
    st_ino: u64 = |this| this.0.stx_ino;
    /// The device that the file is on.
    st_dev: u64 = |this| makedev(this.0.stx_dev_major, this.0.stx_dev_minor);
    /// Number of hard links.
    st_nlink: u32 = |this| this.0.stx_nlink;
    /// Owner.
    st_uid: u32 = |this| this.0.stx_uid;
    /// Group.
    st_gid: u32 = |this| this.0.stx_gid;
    /// Bytes.
    st_size: u64 = |this| this.0.stx_size;
    /// Preferred size of transfers.
    st_blksize: u32 = |this| this.0.stx_blksize;
    /// Blocks of 512 bytes in use.
    st_blocks: u64 = |this| this.0.stx_blocks;
    /// Of a device file: which device.
    st_rdev: u64 = |this| makedev(this.0.stx_rdev_major, this.0.stx_rdev_minor);
    /// Last access, in seconds.
    st_atime: f64 = |this| seconds(this.0.stx_atime);
    /// Last change of the data, in seconds.
    st_mtime: f64 = |this| seconds(this.0.stx_mtime);
    /// Last change of anything, in seconds.
    st_ctime: f64 = |this| seconds(this.0.stx_ctime);
    /// Last access, in nanoseconds.
    st_atime_ns: i128 = |this| nanoseconds(this.0.stx_atime);
    /// Last change of the data, in nanoseconds.
    st_mtime_ns: i128 = |this| nanoseconds(this.0.stx_mtime);
    /// Last change of anything, in nanoseconds.
    st_ctime_ns: i128 = |this| nanoseconds(this.0.stx_ctime);
    /// Creation, in seconds; None if not known.
    st_birthtime: Option<f64> = |this| this.told(STATX_BTIME, seconds(this.0.stx_btime));
    /// Creation, in nanoseconds; None if not known.
    st_birthtime_ns: Option<i128> = |this| this.told(STATX_BTIME, nanoseconds(this.0.stx_btime));
    /// StatxAttributes that the file has.
    st_attributes: u64 = |this| this.0.stx_attributes;
    /// StatxAttributes that its file system knows of: of the others nothing is said.
    st_attributes_mask: u64 = |this| this.0.stx_attributes_mask;
    /// The mount it is on (Linux 5.8).
    st_mnt_id: Option<u64> =
        |this| this.told(STATX_MNT_ID | STATX_MNT_ID_UNIQUE, this.0.stx_mnt_id);
    /// What memory must be aligned to for O_DIRECT; 0 if the file has none (Linux 6.1).
    st_dio_mem_align: Option<u32> = |this| this.told(STATX_DIOALIGN, this.0.stx_dio_mem_align);
    /// What offsets and lengths must be aligned to for O_DIRECT; 0 if the file has none (6.1).
    st_dio_offset_align: Option<u32> =
        |this| this.told(STATX_DIOALIGN, this.0.stx_dio_offset_align);
    /// The same for reads, where they are less demanding (Linux 6.14).
    st_dio_read_offset_align: Option<u32> =
        |this| this.told(STATX_DIO_READ_ALIGN, this.0.stx_dio_read_offset_align);
    /// The subvolume (Linux 6.10).
    st_subvol: Option<u64> = |this| this.told(STATX_SUBVOL, this.0.stx_subvol);
    /// Smallest write that RWF_ATOMIC takes; 0 if it takes none (Linux 6.11).
    st_atomic_write_unit_min: Option<u32> =
        |this| this.told(STATX_WRITE_ATOMIC, this.0.stx_atomic_write_unit_min);
    /// Largest write that RWF_ATOMIC takes (Linux 6.11).
    st_atomic_write_unit_max: Option<u32> =
        |this| this.told(STATX_WRITE_ATOMIC, this.0.stx_atomic_write_unit_max);
    /// Largest write that RWF_ATOMIC takes without being slow; 0 if there is no difference (6.16).
    st_atomic_write_unit_max_opt: Option<u32> =
        |this| this.told(STATX_WRITE_ATOMIC, this.0.stx_atomic_write_unit_max_opt);
    /// Most buffers of an atomic write (Linux 6.11).
    st_atomic_write_segments_max: Option<u32> =
        |this| this.told(STATX_WRITE_ATOMIC, this.0.stx_atomic_write_segments_max);
}
