//! The services by themselves, without a connection.

mod calls;
mod held;
mod inflight;
