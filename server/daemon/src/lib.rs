//! The parts of the `nerite` daemon.

#![forbid(unsafe_code)]

pub mod check;
pub mod frontend;
pub mod logging;
pub mod net;
pub mod serve;
pub mod serving;
pub mod settings;
mod wiring;
