//! Real sockets on the loopback interface. Nothing here takes a pause for a proof: what must happen is awaited,
//! within a limit.

mod bound;
mod deadline;
mod drain;
mod grpc;
mod http1;
mod limits;
mod storm;
mod support;
mod tls;
