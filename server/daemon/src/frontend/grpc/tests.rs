//! The services by themselves, without a connection.

mod calls;
mod deadline;
mod held;
mod inflight;
mod mending;
mod streams;
