//! Requests that are parts of sequences: which of them may be executed, with what their sequence keeps.

mod seat;
mod sequences;

pub(super) use sequences::{Arrival, Batching, Head, Rules, Sequences, Step, Withdrawn};
