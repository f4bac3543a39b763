//! Plugins: shared libraries that speak Triton's backend C API, as engines of this server.
//!
//! ```text
//! search ─▶ elf, stand_in ─▶ library ─▶ backend ─▶ model ─▶ instance      the server calls the plugin (boundary)
//!                                                              │
//!                       c_api (over handles) ◀─────────────────┘          the plugin calls the server
//! ```

// The C API is unsafe on both its sides; each block says why it holds.
#![allow(unsafe_code)]

mod answering;
mod backend;
mod boundary;
mod c_api;
mod declaration;
mod elf;
mod exports;
mod guard;
mod handle;
mod held;
mod instance;
mod library;
mod metrics;
mod misuse;
mod model;
mod plugins;
mod pointer;
mod search;
mod stand_in;
mod uncaught;

pub use c_api::server::server::set_host;
pub use metrics::metrics;
pub use plugins::{Options, Plugins, Setting};

/// The target of the events that are lines of plugins.
pub const LOG_TARGET: &str = "nerite_plugin";
