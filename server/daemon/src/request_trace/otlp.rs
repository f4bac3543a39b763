//! Traces as OpenTelemetry's protocol has them, sent over gRPC.

mod client;
mod spans;

pub(super) use client::OtlpExporter;
pub(super) use spans::SPANS;
