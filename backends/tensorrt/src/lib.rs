//! Models for TensorRT, on NVIDIA GPUs.
//!
//! Nothing of NVIDIA's is needed to build this: the driver (`libcuda.so.1`) and TensorRT (10, 11, their lean runtimes,
//! or TensorRT for RTX) are loaded with the first model. A model version has one engine for each device that it is on,
//! shared by its instances; an instance has a context for each optimisation profile that it has met, a stream, and
//! memory that it uses again and again.
//!
//! A file's way: `config`, `plan` → `library`, `nerite_cuda` → `model` → `runtime` → `engine` → `declaration`; a
//! request's: `compute` → `profile` → `rooms`, `context`. TensorRT is called through tables of slots (`vtable`), and
//! calls two objects of ours (`logger`, `allocator`, both with `interface`). Everything `unsafe` is in these, `vtable`, `library`,
//! `runtime`, `engine` and `context`.

mod allocator;
mod backend;
mod completion;
mod compute;
mod config;
mod context;
mod declaration;
mod dtype;
mod engine;
mod interface;
mod library;
mod logger;
mod model;
mod options;
mod plan;
mod profile;
mod rooms;
mod runtime;
mod version;
mod vtable;

pub use backend::TensorRt;
pub use options::Options;
