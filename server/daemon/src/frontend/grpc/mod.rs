//! gRPC: `inference.GRPCInferenceService`, `grpc.health.v1.Health` and server reflection.

mod classification;
mod compression;
mod contents;
mod health;
mod incoming;
mod infer;
mod inputs;
mod log_settings;
mod metadata;
mod metered;
mod observed;
mod outgoing;
mod outputs;
mod parameters;
mod reflection;
mod repository;
mod router;
mod service;
mod statistics;
mod status;
mod stream;
mod trace_setting;
mod until_exit;
mod version;
mod whole;

#[cfg(test)]
mod tests;

pub(crate) use router::Services;
