//! What the end-to-end tests and the benchmarks share: the real binary, real clients, models made on the spot.
//!
//! * `tests/*.rs` drive the daemon with tonic's client, as a user's Rust program would. They need the binary
//!   (`cargo build --release -p nerite`; another one is named by `NERITE_BINARY`) and ONNX Runtime's library
//!   (`scripts/fetch-onnxruntime`), and say so where one is missing.
//! * `tests/documents.rs` holds ARCHITECTURE.md and SEMANTICS.md against the tree.
//! * `python/` drives it with Triton's own client; `scripts/test` runs both.
//! * `src/bin/` has the tools of `scripts/bench`: [`bare`]'s servers, [`load`]'s generators, and a
//!   stopwatch over [`probe`].

#![forbid(unsafe_code)]

pub mod bare;
pub mod daemon;
pub mod load;
pub mod metrics;
pub mod models;
#[path = "../../backends/onnxruntime/tests/support/onnx.rs"]
mod onnx;
pub mod otlp;
pub mod probe;
pub mod requests;
