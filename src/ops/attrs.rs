//! Extended attributes.

use std::ffi::CString;

use crate::ops::args::Args;
use crate::ops::entry;
use crate::sys::abi::io_uring_sqe;
use crate::sys::consts::*;

/// Which file an attribute belongs to. With a path, links are followed: the kernel's own way.
pub enum Of {
    /// An open file.
    File(i32),
    /// The file of this path.
    Path(CString),
}

/// Where a value is, or is to go.
pub enum Value {
    /// Memory of the caller's: address and length.
    There(u64, u32),
    /// Room of ours for so many bytes.
    Room(u32),
}

/// What an operation on an attribute points at.
pub struct XattrArgs {
    name: CString,
    path: Option<CString>,
    room: Vec<u8>,
}

impl XattrArgs {
    /// Does the kernel write the value into memory of ours?
    pub fn has_room(&self) -> bool {
        !self.room.is_empty()
    }

    /// The value that a request which came to `res` left here; None where it left none.
    pub fn value(&self, res: i32) -> Option<&[u8]> {
        let len = usize::try_from(res).ok()?;
        // Never more than there was room for, whatever the kernel says.
        self.has_room().then(|| &self.room[..len.min(self.room.len())])
    }
}

fn xattr(
    opcodes: [u8; 2],
    of: Of,
    name: CString,
    value: Value,
    flags: u32,
) -> (io_uring_sqe, Args) {
    let [on_file, on_path] = opcodes;
    let (opcode, fd, path) = match of {
        Of::File(fd) => (on_file, fd, None),
        Of::Path(path) => (on_path, -1, Some(path)),
    };
    let mut args = Box::new(XattrArgs { name, path, room: Vec::new() });
    let (addr, len) = match value {
        Value::There(addr, len) => (addr, len),
        Value::Room(len) => {
            args.room = vec![0; len as usize];
            (if len == 0 { 0 } else { args.room.as_mut_ptr() as u64 }, len)
        }
    };
    let sqe = io_uring_sqe {
        addr: args.name.as_ptr() as u64,
        off: addr,
        len,
        op_flags: flags,
        addr3: args.path.as_ref().map_or(0, |path| path.as_ptr() as u64),
        ..entry(opcode, fd)
    };
    (sqe, Args::Xattr(args))
}

/// getxattr(2), fgetxattr(2). Without any room: how long the value is.
pub fn get(of: Of, name: CString, value: Value) -> (io_uring_sqe, Args) {
    xattr([IORING_OP_FGETXATTR, IORING_OP_GETXATTR], of, name, value, 0)
}

/// setxattr(2), fsetxattr(2).
pub fn set(of: Of, name: CString, value: Value, flags: u32) -> (io_uring_sqe, Args) {
    xattr([IORING_OP_FSETXATTR, IORING_OP_SETXATTR], of, name, value, flags)
}
