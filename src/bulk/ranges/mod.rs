//! Many ranges of files at a time: read into memory, or written from it.
//!
//! Ranges come as columns ([`Rows`]); what is done with them one after the other is a [`Piece`]: a
//! part of a long range, or several short ones that lie side by side. What is cached is read at
//! once, the rest past the page cache where the file system can do that ([`Direct`]), through memory
//! of our own where a range is not aligned as that needs it.

pub(in crate::bulk) mod files;
mod land;
mod memory;
mod plan;
mod read;
mod rows;
mod tally;
pub(in crate::bulk) mod warmth;
mod write;

pub use files::{Direct, Source};
pub use read::Reads;
pub use rows::{Row, Rows};
pub use tally::{Report, Settings, Step, Transfer};
pub use write::Writes;
