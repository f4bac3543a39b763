//! The parts of the `nerite` daemon.

#![forbid(unsafe_code)]

pub mod logging;
pub mod settings;
