//! Models for ONNX Runtime, on the CPU.
//!
//! The library is loaded with the first model, so that a daemon without ONNX models neither needs it nor pays for it.
//! The process has one environment with one thread pool, which every session uses unless its model asks for threads of
//! its own, or is too small for more than the caller's. A model version has one session, shared by all of its instances.
//!
//! A file's way: `model_file` → `parameters` → `threads` → `session_options` → `weights` (`room`) → `session`; a request's: `compute` → `value` → `run`
//! → `output`. Everything `unsafe` is in `environment`, `exit`, `logging`, `memory`, `output`, `run`, `run_options`, `session`,
//! `session_options`, `status`, `telemetry` and `value`.

mod backend;
mod compute;
mod environment;
mod exit;
mod external;
mod library;
mod logging;
mod memory;
mod model_file;
mod options;
mod output;
mod parameters;
mod protobuf;
mod reason;
mod room;
mod run;
mod run_options;
mod session;
mod session_options;
mod small;
mod status;
mod telemetry;
mod threads;
mod types;
mod value;
mod weights;

pub use backend::OnnxRuntime;
pub use exit::exit_without_destructors;
pub use memory::{HeapUse, give_back_memory, heap_use};
pub use options::Options;
pub use telemetry::opt_out_of_telemetry;
