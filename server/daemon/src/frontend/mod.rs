//! What clients talk to. Protocols are known here and nowhere else.

pub mod grpc;
pub mod http;
pub mod metrics;
