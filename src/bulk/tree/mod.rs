//! Trees of files: copying them, asking for the status of many, walking.
//!
//! Nearly all of it is plain system calls, from the calling thread and a few helpers: the kernel hands
//! what a ring could do of this to workers of its own, which is slower (measured). A ring
//! is used only for the bytes of a large file that the kernel does not copy itself: `overlap`.
//!
//! `copy` one file or a tree · `entry` one name · `place` the name it gets when it is whole ·
//! `data` its bytes · `meta` owner, attributes, mode, times · `node` folders under way · `links`
//! files with several names · `pool` helpers · `job` what they share · `control` looking up for
//! signals · `trouble` what can fail · `stat`, `walk`

mod control;
mod copy;
mod data;
mod entry;
mod job;
mod links;
mod meta;
mod node;
mod overlap;
mod place;
mod pool;
pub mod stat;
mod trouble;
pub mod walk;

pub use control::{Alone, Control, Counts, Host, Stop};
pub use copy::copy;
pub use job::Options;
pub use trouble::Problem;
