//! The parts of the `nerite` daemon.

#![forbid(unsafe_code)]

pub mod check;
pub mod frontend;
pub mod inflight;
pub mod logging;
mod memory;
pub mod net;
pub mod serve;
pub mod serving;
pub mod settings;
mod wiring;
