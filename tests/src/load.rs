//! Load: generators of requests that are prepared once and sent over HTTP/2 as bytes, so that they cost the machine
//! little beside the server. All run on one thread.
//!
//! * [`closed`]: so many requests in flight at any time; what a request costs and how many a server can take.
//! * [`open`]: requests come at their times, whatever the answers do; what overload does.

pub mod bodies;
pub mod closed;
pub mod connection;
pub mod open;
pub mod tally;
