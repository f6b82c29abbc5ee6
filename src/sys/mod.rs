//! The kernel ABI, without logic: structures, constants, tables, system calls.
//!
//! Everything carries the name it has in `linux/io_uring.h`, so that the kernel's manual pages and
//! sources can be read beside it. This is the only module that names `libc`.

pub mod abi;
pub mod consts;
pub mod direct;
pub mod ending;
pub mod errno;
pub mod file;
pub mod opcode;
pub mod os;
pub mod readiness;
pub mod register;
#[cfg(sanitized)]
pub mod sanitize;
pub mod sync;
pub mod syscall;
pub mod tree;

pub use errno::Errno;
