//! Models for ONNX Runtime, on the CPU and on NVIDIA GPUs.
//!
//! The library is loaded with the first model, so that a daemon without ONNX models neither needs it nor pays for it.
//! The process has one environment with one thread pool, which every session uses unless its model asks for threads of
//! its own, or is too small for more than the caller's. A model version has one session at each place that has
//! instances of it, the CPU or a GPU, shared by these.
//!
//! A file's way: `model_file` → `parameters` → `source` → `threads`, `session_options` → `weights` (`room`) → `session`
//! → `model`; on a GPU with `accelerators` → `gpus` (`missing`) → `providers` before the weights. A request's:
//! `compute` → `value` → `run` → `output`; on a GPU `gpu_compute` → `value` → `binding` → `output`.
//! Everything `unsafe` is in `binding`, `environment`, `exit`, `gpu_compute`, `logging`, `memory`, `output`,
//! `providers`, `run`, `run_options`, `session`, `session_options`, `status`, `telemetry` and `value`.

mod accelerators;
mod backend;
mod binding;
mod compute;
mod environment;
mod exit;
mod external;
mod gpu_compute;
mod gpus;
mod library;
mod logging;
mod memory;
mod missing;
mod model;
mod model_file;
mod options;
mod output;
mod parameters;
mod place;
mod protobuf;
mod providers;
mod reason;
mod room;
mod run;
mod run_options;
mod session;
mod session_options;
mod small;
mod source;
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
