//! Load: generators of requests that are prepared once and sent over HTTP/2 as bytes, so that they cost the machine
//! little beside the server. All run on one thread.
//!
//! * [`closed`]: so many requests in flight at any time; what a request costs and how many a server can take.
//! * [`open`]: requests come at their times, whatever the answers do; what overload does.
//! * [`storm`]: clients with little patience, that go away and break off; what a server keeps of them.

pub mod bodies;
pub mod closed;
pub mod connection;
mod cut;
pub mod open;
pub mod storm;
pub mod tally;
