//! What many threads do at once, run by shuttle's schedulers: the real code with its locks, atomics
//! and threads switched (`sys::sync`), over the simulated kernel. Run them with
//! `RUSTFLAGS="--cfg shuttle" cargo test --no-default-features --features sim --release
//! --test shuttle`, more schedules with `SHUTTLE_RUNS=100000`, others
//! with `SHUTTLE_SEED=7`.
//!
//! Every model is run under random schedules and under PCT (few changes of thread, at chosen
//! places). In a model no wait times out: a wake-up that is lost is a deadlock, which shuttle
//! reports. The tests named `..._is_caught` break one rule, in the code (`sys::sync::broken`) or
//! in the model, and pass only if the model objects: they show that it can.
#![cfg(shuttle)]

#[path = "shuttle/bench.rs"]
mod bench;
#[path = "shuttle/owned.rs"]
mod owned;
#[path = "shuttle/queue.rs"]
mod queue;
#[path = "shuttle/shared.rs"]
mod shared;
