//! The inputs that models with sequences have and callers do not give.

use std::sync::Arc;

use bytes::Bytes;
use nerite_backend::{
    BackendError, Cancel, Exchange, Inputs, Meta, Phases, Request, Responder, Response, Sent, Sequence, Slot,
    Slots, Tensor,
};

use super::sequencer::States;
use crate::model::{Control, SequenceBatching, Signal, Values, id_element};

/// What a sequence's first request has for states.
pub(crate) fn initial_states(batching: &SequenceBatching) -> States {
    batching.states.iter().map(|state| state.initial.clone()).collect()
}

/// Gives a request the controls of its place in its sequence, and these states, and asks for the next ones.
pub(crate) fn supply(batching: &SequenceBatching, request: &mut Request, states: &States) {
    for (state, kept) in batching.states.iter().zip(states) {
        request.supply(state.input, kept.clone());
        request.want(state.output);
    }
    let sequence = request.meta().sequence.clone();
    for control in &batching.controls {
        request.supply(control.slot, control.tensor(Some(&sequence)));
    }
}

/// Takes that back: a request that waits is to be compared with others by what its caller gives.
pub(super) fn withhold(batching: &SequenceBatching, request: &mut Request) {
    let states = batching.states.iter().map(|state| state.input);
    let controls = batching.controls.iter().map(|control| control.slot);
    states.chain(controls).for_each(|input| request.withhold(input));
}

/// Rows without a request: zeros in the shapes of one that is in the same batch, and controls that say so.
pub(super) struct Blank {
    inputs: Inputs,
    wanted: Slots,
}

impl Blank {
    /// Beside that request.
    pub(super) fn like(example: &Request, batching: &SequenceBatching) -> Blank {
        let mut inputs: Inputs = example.inputs().iter().map(|input| input.as_ref().map(zeros)).collect();
        for control in &batching.controls {
            if let Some(input) = inputs.get_mut(control.slot) {
                *input = Some(control.tensor(None));
            }
        }
        Blank { inputs, wanted: example.wanted().clone() }
    }

    /// Such a row.
    pub(super) fn request(&self) -> Request {
        let responder = Responder::new(Arc::new(Nobody::default()));
        Request::new(self.inputs.clone(), self.wanted.clone(), 1, Meta::default(), responder)
    }
}

fn zeros(like: &Tensor) -> Tensor {
    let size = match like.dtype.size() {
        Some(_) => like.data.len(),
        // An empty string is its length.
        None => like.shape.elements().unwrap_or(0) * 4,
    };
    Tensor::new(like.dtype, like.shape.clone(), Bytes::from(vec![0; size]))
}

impl Control {
    /// What it says of a request in that place of a sequence, or of a row without a request.
    fn tensor(&self, sequence: Option<&Sequence>) -> Tensor {
        let says = |values: &Values, yes: fn(&Sequence) -> bool| values.of(sequence.is_some_and(yes));
        let element = match &self.signal {
            Signal::Start(values) => says(values, |sequence| sequence.start),
            Signal::End(values) => says(values, |sequence| sequence.end),
            Signal::Ready(values) => says(values, |_| true),
            Signal::CorrelationId => {
                let id = sequence.and_then(|sequence| id_element(&sequence.id, self.dtype));
                id.unwrap_or_else(|| vec![0; self.dtype.size().unwrap_or(4)].into())
            }
        };
        Tensor::new(self.dtype, self.shape.clone(), element)
    }
}

/// The exchange of a row for which there is no request.
#[derive(Default)]
struct Nobody(Cancel);

impl Exchange for Nobody {
    fn respond(&self, _: Response) -> Sent {
        Sent::Taken
    }

    fn cancel(&self) -> &Cancel {
        &self.0
    }

    fn report(&self, _: &Phases, _: Result<(), &BackendError>) {}

    /// An engine need not know that there is no request; what it makes of the row is forgotten.
    fn update_state(&self, _: Slot, _: Tensor) -> bool {
        true
    }

    fn release(&self) {}
}
