//! Engines that run whole jobs without Python.

pub mod tree;
