//! What `IORING_OP_STATX` fills in (`linux/stat.h`).

use super::abi_structs;

abi_structs! { STAT_LAYOUTS:
    /// A time of a file.
    struct statx_timestamp (16) {
        0 tv_sec: i64, "Seconds; before 1970 negative.";
        8 tv_nsec: u32, "Nanoseconds, always counted upwards.";
        12 __reserved: i32, "Zero.";
    }

    /// What is known of a file. `stx_mask` says which fields hold something.
    struct statx (256) {
        0 stx_mask: u32, "`STATX_*`: what there is.";
        4 stx_blksize: u32, "Preferred size of transfers.";
        8 stx_attributes: u64, "`STATX_ATTR_*`.";
        16 stx_nlink: u32, "Hard links.";
        20 stx_uid: u32, "Owner.";
        24 stx_gid: u32, "Group.";
        28 stx_mode: u16, "Type and permissions.";
        30 __pad0: u16, "Zero.";
        32 stx_ino: u64, "Inode number.";
        40 stx_size: u64, "Bytes.";
        48 stx_blocks: u64, "Blocks of 512 bytes in use.";
        56 stx_attributes_mask: u64, "Which `stx_attributes` the file system knows.";
        64 stx_atime: statx_timestamp, "Last access.";
        80 stx_btime: statx_timestamp, "Creation.";
        96 stx_ctime: statx_timestamp, "Last change of anything.";
        112 stx_mtime: statx_timestamp, "Last change of the data.";
        128 stx_rdev_major: u32, "Of a device file: its number.";
        132 stx_rdev_minor: u32, "The same, second half.";
        136 stx_dev_major: u32, "The device that the file is on.";
        140 stx_dev_minor: u32, "The same, second half.";
        144 stx_mnt_id: u64, "The mount (5.8).";
        152 stx_dio_mem_align: u32, "Direct I/O: alignment of memory (6.1).";
        156 stx_dio_offset_align: u32, "Direct I/O: alignment of offsets (6.1).";
        160 stx_subvol: u64, "The subvolume (6.10).";
        168 stx_atomic_write_unit_min: u32, "Smallest atomic write (6.11).";
        172 stx_atomic_write_unit_max: u32, "Largest atomic write (6.11).";
        176 stx_atomic_write_segments_max: u32, "Most vectors of an atomic write (6.11).";
        180 stx_dio_read_offset_align: u32, "Direct I/O: alignment of offsets of reads (6.14).";
        184 stx_atomic_write_unit_max_opt: u32, "Largest atomic write that is fast (6.16).";
        188 __pad1: u32, "Zero.";
        192 __pad2: [u64; 8], "Zero.";
    }
}
