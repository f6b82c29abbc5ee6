//! The ring core over the simulated kernel, with faults wherever the kernel may have them.
//!
//! After every fault: each request comes back exactly once, with its memory as the result says;
//! nothing runs twice and nothing runs that was taken back; no rule of the kernel was broken; and
//! once the ring is closed no map and no descriptor is left.
#![cfg(not(loom))]

#[path = "faults/bench.rs"]
mod bench;
#[path = "faults/enter.rs"]
mod enter;
#[path = "faults/hostile.rs"]
mod hostile;
#[path = "faults/random.rs"]
mod random;
#[path = "faults/setup.rs"]
mod setup;
#[path = "faults/teardown.rs"]
mod teardown;
