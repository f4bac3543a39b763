//! The parts of the `nerite` daemon.

#![forbid(unsafe_code)]

mod access_log;
pub mod check;
mod control;
mod frontend;
mod gpus;
pub mod health;
mod host;
mod inflight;
pub mod logging;
mod memory;
mod net;
mod readiness;
mod reclaim;
mod repositories;
mod request_trace;
pub mod serve;
mod serving;
pub mod settings;
mod shortened;
mod wiring;
