//! Files: read, write, their vectored and fixed forms, and syncing.

use crate::ops::args::Args;
use crate::ops::entry;
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;
use crate::sys::os::iovec;

/// How a read or write is to be done, beside where.
#[derive(Clone, Copy, Debug, Default)]
pub struct RwOptions {
    /// RWF_* flags of preadv2(2).
    pub rw_flags: u32,
    /// I/O priority as in ioprio_set(2).
    pub ioprio: u16,
}

#[inline(always)]
fn rw(opcode: u8, fd: i32, addr: u64, len: u32, offset: u64, options: RwOptions) -> io_uring_sqe {
    io_uring_sqe {
        off: offset,
        addr,
        len,
        op_flags: options.rw_flags,
        ioprio: options.ioprio,
        ..entry(opcode, fd)
    }
}

/// An operation that does nothing.
#[inline(always)]
pub fn nop() -> io_uring_sqe {
    entry(IORING_OP_NOP, -1)
}

/// What a NOP is to pretend, beside nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NopOptions {
    /// IORING_NOP_* flags.
    pub flags: u32,
    /// The result, with IORING_NOP_INJECT_RESULT.
    pub result: i32,
    /// The file to look up, with IORING_NOP_FILE.
    pub fd: i32,
    /// The registered buffer to look up, with IORING_NOP_FIXED_BUFFER.
    pub buf_index: u16,
    /// The other half of a completion of 32 bytes, with IORING_NOP_CQE32.
    pub extra: [u64; 2],
}

/// An operation that does nothing, in the ways that the kernel's own tests need.
pub fn nop_with(options: NopOptions) -> io_uring_sqe {
    io_uring_sqe {
        op_flags: options.flags,
        len: options.result as u32,
        buf_index: options.buf_index,
        off: options.extra[0],
        addr: options.extra[1],
        ..entry(IORING_OP_NOP, options.fd)
    }
}

/// Read into one buffer.
#[inline(always)]
pub fn read(fd: i32, addr: u64, len: u32, offset: u64, options: RwOptions) -> io_uring_sqe {
    rw(IORING_OP_READ, fd, addr, len, offset, options)
}

/// Write from one buffer.
#[inline(always)]
pub fn write(fd: i32, addr: u64, len: u32, offset: u64, options: RwOptions) -> io_uring_sqe {
    rw(IORING_OP_WRITE, fd, addr, len, offset, options)
}

/// Read into a part of registered buffer `index`.
#[inline(always)]
pub fn read_fixed(
    fd: i32,
    addr: u64,
    len: u32,
    offset: u64,
    index: u16,
    options: RwOptions,
) -> io_uring_sqe {
    io_uring_sqe { buf_index: index, ..rw(IORING_OP_READ_FIXED, fd, addr, len, offset, options) }
}

/// Write from a part of registered buffer `index`.
#[inline(always)]
pub fn write_fixed(
    fd: i32,
    addr: u64,
    len: u32,
    offset: u64,
    index: u16,
    options: RwOptions,
) -> io_uring_sqe {
    io_uring_sqe { buf_index: index, ..rw(IORING_OP_WRITE_FIXED, fd, addr, len, offset, options) }
}

/// Read into several buffers.
pub fn readv(
    fd: i32,
    buffers: Vec<iovec>,
    offset: u64,
    options: RwOptions,
) -> (io_uring_sqe, Args) {
    vectored(IORING_OP_READV, fd, buffers, offset, options)
}

/// Write from several buffers.
pub fn writev(
    fd: i32,
    buffers: Vec<iovec>,
    offset: u64,
    options: RwOptions,
) -> (io_uring_sqe, Args) {
    vectored(IORING_OP_WRITEV, fd, buffers, offset, options)
}

/// Read into parts of registered buffer `index`.
pub fn readv_fixed(
    fd: i32,
    parts: Vec<iovec>,
    offset: u64,
    index: u16,
    options: RwOptions,
) -> (io_uring_sqe, Args) {
    let (sqe, args) = vectored(IORING_OP_READV_FIXED, fd, parts, offset, options);
    (io_uring_sqe { buf_index: index, ..sqe }, args)
}

/// Write from parts of registered buffer `index`.
pub fn writev_fixed(
    fd: i32,
    parts: Vec<iovec>,
    offset: u64,
    index: u16,
    options: RwOptions,
) -> (io_uring_sqe, Args) {
    let (sqe, args) = vectored(IORING_OP_WRITEV_FIXED, fd, parts, offset, options);
    (io_uring_sqe { buf_index: index, ..sqe }, args)
}

/// Read into several buffers; whoever asks keeps the list of them.
pub fn readv_at(
    fd: i32,
    parts: *const iovec,
    count: u32,
    offset: u64,
    options: RwOptions,
) -> io_uring_sqe {
    rw(IORING_OP_READV, fd, parts as u64, count, offset, options)
}

/// Write from several buffers; whoever asks keeps the list of them.
pub fn writev_at(
    fd: i32,
    parts: *const iovec,
    count: u32,
    offset: u64,
    options: RwOptions,
) -> io_uring_sqe {
    rw(IORING_OP_WRITEV, fd, parts as u64, count, offset, options)
}

fn vectored(
    opcode: u8,
    fd: i32,
    buffers: Vec<iovec>,
    offset: u64,
    options: RwOptions,
) -> (io_uring_sqe, Args) {
    let sqe = rw(opcode, fd, buffers.as_ptr() as u64, buffers.len() as u32, offset, options);
    (sqe, Args::Iovecs(buffers))
}

/// Bring a file's data (and metadata, unless `datasync`) to the disk.
pub fn fsync(fd: i32, datasync: bool, offset: u64, len: u32) -> io_uring_sqe {
    io_uring_sqe {
        off: offset,
        len,
        op_flags: if datasync { IORING_FSYNC_DATASYNC } else { 0 },
        ..entry(IORING_OP_FSYNC, fd)
    }
}

/// sync_file_range(2).
pub fn sync_file_range(fd: i32, offset: u64, len: u32, flags: u32) -> io_uring_sqe {
    io_uring_sqe { off: offset, len, op_flags: flags, ..entry(IORING_OP_SYNC_FILE_RANGE, fd) }
}
