//! io_uring for Python: the ring core, its operations and the PyO3 module.
//!
//! Layers, each knowing only those before it: `sys` (the kernel ABI) <- `ring` (the ring core)
//! <- `ops` (one function per operation), `bulk` (whole jobs), `poll` (readiness of many
//! descriptors) <- `py` (the Python face, feature `python`).

pub mod bulk;
pub mod ops;
pub mod poll;
#[cfg(feature = "python")]
mod py;
pub mod ring;
pub mod sys;
