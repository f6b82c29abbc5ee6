//! Whole jobs without Python: many files, many ranges, with as many requests under way as pay.
//!
//! An engine describes its work one [`work::Work`] at a time and does not know how it is carried
//! out: a [`pump::Pump`] tries at once what need not wait, and gives the rest to a ring, or where
//! rings are refused, to threads of its own. All of it is generic over a [`host::Host`], so that the
//! same engines run on the simulated kernel.

mod crew;
pub mod directories;
pub mod host;
pub mod job;
pub mod new_file;
mod pool;
pub mod pump;
pub mod queue;
pub mod ranges;
pub mod read_many;
mod ring_pump;
pub mod save;
pub mod shelf;
#[cfg(feature = "sim")]
mod sim_host;
#[cfg(feature = "sim")]
mod sim_store;
pub mod store;
pub mod stream;
pub mod tree;
pub mod work;
pub mod write_many;
