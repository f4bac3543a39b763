//! Requests that go through several models.
//!
//! ```text
//!             push                        ready steps                     a response, on the engine's thread
//! request ──────────▶ Run ── Progress ──▶ admit_step ──▶ the step's model ──────────────┐
//!                      ▲      (pure)                                                    │
//!                      └────────────── Relay (execution/relay.rs) ◀─────────────────────┘
//! ```
//!
//! A [`Graph`] is built and checked when the ensemble is loaded. No thread and no task belongs to a request: whoever brings
//! what a step has answered looks which others are ready, and pushes them.

mod fit;
mod graph;
mod limit;
mod pipeline;
mod progress;
mod run;
mod sequence;
mod shapes;
#[cfg(test)]
mod tests;
mod turn;

pub use graph::Graph;
pub(crate) use pipeline::{Extent, Pipeline, check_fit};
