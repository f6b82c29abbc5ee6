//! The simulated kernel against the real one.
//!
//! Every script of `sim/scripts` and every random script of `sim/random.rs` runs through the raw
//! `Kernel` trait on both, and what they note must be the same: that is what makes the simulation
//! worth testing with. `sim/alone.rs` has what only a simulation can do: faults, misbehaviour,
//! scribbling, leak checks, old kernels.

#[path = "sim/alone.rs"]
mod alone;
#[path = "sim/host.rs"]
mod host;
#[path = "sim/mini.rs"]
mod mini;
#[path = "sim/random.rs"]
mod random;
#[path = "sim/scripts_chains.rs"]
mod scripts_chains;
#[path = "sim/scripts_files.rs"]
mod scripts_files;
#[path = "sim/scripts_ring.rs"]
mod scripts_ring;
#[path = "sim/scripts_waits.rs"]
mod scripts_waits;
