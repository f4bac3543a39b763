//! Requests that are parts of sequences: which of them may be executed, with what their sequence keeps.

mod rules;
mod seat;
mod sequencer;
mod sequences;
mod supply;
mod turn;

pub(super) use sequencer::{Hold, SequenceStep, Sequencer};
pub(crate) use supply::{initial_states, supply};
pub(super) use turn::take_turns;
