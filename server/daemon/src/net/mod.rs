//! The daemon's ports: gRPC over HTTP/2, and small HTTP/1.1 endpoints. Knows nothing of models.
//!
//! ```text
//! Bound::bind ──▶ serve_grpc / serve_http ──▶ Endpoint (the handle: drain, drained, stop)
//!                   accept loop ──▶ one task a connection: [TLS] ──▶ hyper ──▶ the caller's service
//! ```
//!
//! The loop is ours, and not tonic's `Server`, for the sake of frame sizes, of the limits on resets, of a
//! drain that can be awaited and cut, and of deadlines that answer DEADLINE_EXCEEDED ([`Deadline`]).

mod accept;
mod activity;
mod aside;
mod bound;
mod deadline;
mod endpoint;
mod grpc;
mod http1;
mod impatient;
mod lifetime;
mod lingering;
mod peer;
mod tls;
mod x509;

#[cfg(test)]
mod tests;

pub(crate) use self::bound::Bound;
pub(crate) use self::deadline::{CallDeadline, Deadline};
pub(crate) use self::endpoint::{Endpoint, Stopped};
pub(crate) use self::grpc::{GrpcOptions, serve_grpc};
pub(crate) use self::http1::serve_http;
pub(crate) use self::peer::Peer;
