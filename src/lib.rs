//! io_uring for Python: the ring core, its operations and the PyO3 module.
//!
//! Layers, each knowing only those before it: `sys` (the kernel ABI) <- `ring` (the ring core)
//! <- `ops` (one function per operation), `bulk` (whole jobs), `poll` (readiness of many
//! descriptors) <- `py` (the Python face, feature `python`).

#[cfg(not(target_os = "linux"))]
compile_error!(
    "uring_rs runs on Linux only: io_uring is an interface of the Linux kernel, and no other system \
     has it. Make the dependency conditional: uring_rs; sys_platform == 'linux'"
);

#[cfg(target_os = "linux")]
pub mod bulk;
#[cfg(target_os = "linux")]
pub mod ops;
#[cfg(target_os = "linux")]
pub mod poll;
#[cfg(all(target_os = "linux", feature = "python"))]
mod py;
#[cfg(target_os = "linux")]
pub mod ring;
#[cfg(target_os = "linux")]
pub mod sys;
