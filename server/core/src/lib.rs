//! Models, queues, scheduling and lifecycle. Knows no network protocol, no configuration format and no engine.
//!
//! The way of a request: [`Registry::lookup`], [`admission::admit`], [`ModelVersion::infer`], and its answer. The way of
//! a model: [`repository::scan`], [`lifecycle::Loader`], [`lifecycle::Manager`], the registry.

#![forbid(unsafe_code)]

pub mod admission;
mod changes;
pub mod ensemble;
pub mod execution;
pub mod lifecycle;
#[cfg(test)]
mod mock;
pub mod model;
pub mod rate_limiter;
pub mod registry;
pub mod repository;
mod reshape;
pub mod response_cache;
pub mod statistics;
mod sync;
mod version;

pub use registry::Registry;
pub use version::ModelVersion;
