//! Constants of the operations on files and paths that are not io_uring's own.

super::constants! { TABLE:
    RENAME_NOREPLACE: u32 = 1 << 0, "Fail rather than replace the new name.";
    RENAME_EXCHANGE: u32 = 1 << 1, "Exchange the two names.";
    RENAME_WHITEOUT: u32 = 1 << 2, "Leave a whiteout, for overlay file systems.";

    AT_SYMLINK_NOFOLLOW: u32 = 0x100, "The link itself, not what it names.";
    AT_REMOVEDIR: u32 = 0x200, "rmdir(2) rather than unlink(2).";
    AT_SYMLINK_FOLLOW: u32 = 0x400, "What the link names, not the link itself.";
    AT_NO_AUTOMOUNT: u32 = 0x800, "Do not mount what is mounted when used.";
    AT_EMPTY_PATH: u32 = 0x1000, "An empty path means the directory descriptor itself.";
    AT_STATX_SYNC_TYPE: u32 = 0x6000, "The flags that say how fresh the answer must be.";
    AT_STATX_FORCE_SYNC: u32 = 0x2000, "Ask the server.";
    AT_STATX_DONT_SYNC: u32 = 0x4000, "Only what is cached.";

    STATX_TYPE: u32 = 0x1, "The type in `stx_mode`.";
    STATX_MODE: u32 = 0x2, "The permissions in `stx_mode`.";
    STATX_NLINK: u32 = 0x4, "`stx_nlink`.";
    STATX_UID: u32 = 0x8, "`stx_uid`.";
    STATX_GID: u32 = 0x10, "`stx_gid`.";
    STATX_ATIME: u32 = 0x20, "`stx_atime`.";
    STATX_MTIME: u32 = 0x40, "`stx_mtime`.";
    STATX_CTIME: u32 = 0x80, "`stx_ctime`.";
    STATX_INO: u32 = 0x100, "`stx_ino`.";
    STATX_SIZE: u32 = 0x200, "`stx_size`.";
    STATX_BLOCKS: u32 = 0x400, "`stx_blocks`.";
    STATX_BASIC_STATS: u32 = 0x7ff, "All that stat(2) tells.";
    STATX_BTIME: u32 = 0x800, "`stx_btime`.";
    STATX_MNT_ID: u32 = 0x1000, "`stx_mnt_id` (5.8).";
    STATX_DIOALIGN: u32 = 0x2000, "`stx_dio_mem_align`, `stx_dio_offset_align` (6.1).";
    STATX_MNT_ID_UNIQUE: u32 = 0x4000, "`stx_mnt_id`, never used again (6.8).";
    STATX_SUBVOL: u32 = 0x8000, "`stx_subvol` (6.10).";
    STATX_WRITE_ATOMIC: u32 = 0x1_0000, "`stx_atomic_write_*` (6.11).";
    STATX_DIO_READ_ALIGN: u32 = 0x2_0000, "`stx_dio_read_offset_align` (6.14).";
    STATX__RESERVED: u32 = 0x8000_0000, "Refused by the kernel.";

    FALLOC_FL_KEEP_SIZE: u32 = 0x01, "The file's size stays.";
    FALLOC_FL_PUNCH_HOLE: u32 = 0x02, "Free the range; with `FALLOC_FL_KEEP_SIZE`.";
    FALLOC_FL_NO_HIDE_STALE: u32 = 0x04, "Reserved.";
    FALLOC_FL_COLLAPSE_RANGE: u32 = 0x08, "Take the range out of the file.";
    FALLOC_FL_ZERO_RANGE: u32 = 0x10, "Make the range zeroes.";
    FALLOC_FL_INSERT_RANGE: u32 = 0x20, "Push what follows back by the range.";
    FALLOC_FL_UNSHARE_RANGE: u32 = 0x40, "Give shared blocks copies of their own.";
    FALLOC_FL_WRITE_ZEROES: u32 = 0x80, "Write zeroes (6.17).";

    IO_INTEGRITY_CHK_GUARD: u16 = 1 << 0, "Check the guard tags (6.14).";
    IO_INTEGRITY_CHK_REFTAG: u16 = 1 << 1, "Check the reference tags (6.14).";
    IO_INTEGRITY_CHK_APPTAG: u16 = 1 << 2, "Check the application tag (6.14).";

    XATTR_CREATE: u32 = 0x1, "Fail where the attribute is.";
    XATTR_REPLACE: u32 = 0x2, "Fail where the attribute is not.";
    XATTR_SIZE_MAX: u32 = 65_536, "The longest value.";

    MADV_NORMAL: u32 = 0, "No hint.";
    MADV_RANDOM: u32 = 1, "Do not read ahead.";
    MADV_SEQUENTIAL: u32 = 2, "Read far ahead.";
    MADV_WILLNEED: u32 = 3, "Read it now.";
    MADV_DONTNEED: u32 = 4, "Drop the pages: private memory becomes zeroes.";
    MADV_FREE: u32 = 8, "Drop the pages when memory is short.";
    MADV_REMOVE: u32 = 9, "Punch a hole into the file behind it.";
    MADV_DONTFORK: u32 = 10, "A forked child does not have it.";
    MADV_DOFORK: u32 = 11, "A forked child has it.";
    MADV_MERGEABLE: u32 = 12, "Equal pages may be shared.";
    MADV_UNMERGEABLE: u32 = 13, "They may not.";
    MADV_HUGEPAGE: u32 = 14, "Use huge pages.";
    MADV_NOHUGEPAGE: u32 = 15, "Use none.";
    MADV_DONTDUMP: u32 = 16, "Not in a core dump.";
    MADV_DODUMP: u32 = 17, "In a core dump.";
    MADV_WIPEONFORK: u32 = 18, "A forked child sees zeroes (4.14).";
    MADV_KEEPONFORK: u32 = 19, "A forked child sees what it held (4.14).";
    MADV_COLD: u32 = 20, "Not needed soon (5.4).";
    MADV_PAGEOUT: u32 = 21, "Swap it out (5.4).";
    MADV_POPULATE_READ: u32 = 22, "Fault it in for reading (5.14).";
    MADV_POPULATE_WRITE: u32 = 23, "Fault it in for writing (5.14).";
    MADV_DONTNEED_LOCKED: u32 = 24, "`MADV_DONTNEED`, of locked memory too (5.18).";
    MADV_COLLAPSE: u32 = 25, "Make huge pages of it now (6.1).";
    MADV_HWPOISON: u32 = 100, "Treat the page as broken.";
    MADV_SOFT_OFFLINE: u32 = 101, "Take the page out of use.";
    MADV_GUARD_INSTALL: u32 = 102, "Touching it is a fault (6.13).";
    MADV_GUARD_REMOVE: u32 = 103, "It no longer is (6.13).";
}
