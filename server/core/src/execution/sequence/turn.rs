use std::sync::Arc;
use std::time::Instant;

use nerite_backend::{
    BackendError, Cancel, Code, Exchange, Phases, Request, Responder, Response, Sent, Slot, Tensor,
};

use super::sequencer::{SequenceStep, States};
use super::supply::{Blank, initial_states, supply};
use crate::execution::Scheduler;
use crate::execution::queue::Ticket;
use crate::model::{SequenceBatching, StateSpec};
use crate::sync::Mutex;

/// A request's turn in its sequence: its exchange while an engine has it. It keeps the sequence's states, takes those
/// that the engine makes of them, and gives them back when the engine lets go of the request.
struct Turn {
    scheduler: Arc<Scheduler>,
    batching: Arc<SequenceBatching>,
    ticket: Ticket,
    /// `None` once they were given back.
    states: Mutex<Option<States>>,
    caller: Responder,
}

/// The requests for an engine, as rows of a batch: with the controls and states that callers do not give.
pub(in crate::execution) fn take_turns(
    scheduler: &Arc<Scheduler>,
    steps: Vec<Option<SequenceStep>>,
) -> Vec<Request> {
    let Some(batching) = &scheduler.sequences else { return Vec::new() };
    let rows: Vec<Option<Request>> =
        steps.into_iter().map(|step| Some(take_turn(scheduler, batching, step?))).collect();
    let blank = rows.iter().flatten().next().map(|example| Blank::like(example, batching));
    rows.into_iter().filter_map(|row| row.or_else(|| Some(blank.as_ref()?.request()))).collect()
}

fn take_turn(scheduler: &Arc<Scheduler>, batching: &Arc<SequenceBatching>, step: SequenceStep) -> Request {
    let SequenceStep { ticket, item: mut request, memory, .. } = step;
    let states = memory.unwrap_or_else(|| initial_states(batching));
    supply(batching, &mut request, &states);
    request.answered_through(|caller| {
        Responder::new(Arc::new(Turn {
            scheduler: Arc::clone(scheduler),
            batching: Arc::clone(batching),
            ticket,
            states: Mutex::new(Some(states)),
            caller,
        }))
    })
}

impl Exchange for Turn {
    fn respond(&self, response: Response) -> Sent {
        self.caller.exchange().respond(self.kept(response))
    }

    fn respond_anyway(&self, response: Response) -> Sent {
        self.caller.exchange().respond_anyway(self.kept(response))
    }

    fn has_room(&self) -> bool {
        self.caller.exchange().has_room()
    }

    fn wait_for_room(&self, until: Instant) -> bool {
        self.caller.exchange().wait_for_room(until)
    }

    fn cancel(&self) -> &Cancel {
        self.caller.exchange().cancel()
    }

    fn report(&self, phases: &Phases, result: Result<(), &BackendError>) {
        self.caller.exchange().report(phases, result);
    }

    fn update_state(&self, output: Slot, state: Tensor) -> bool {
        let is_state = self.batching.states.iter().any(|state| state.output == output);
        is_state && self.keep(output, &state).is_ok()
    }

    fn execute_again(&self, request: Request) -> Option<Request> {
        if !self.batching.iterative {
            return Some(request);
        }
        let caller = self.caller.clone();
        let request = request.answered_through(|_| caller);
        let states = self.states.lock().take();
        if let Some(states) = states {
            self.scheduler.execute_again(self.ticket, states, request);
        }
        None
    }

    fn release(&self) {
        let states = self.states.lock().take();
        if let Some(states) = states {
            self.scheduler.released(self.ticket, states);
        }
        self.caller.exchange().release();
    }
}

impl Turn {
    /// Keeps the states in a response. The response, or an error if one of them does not fit.
    fn kept(&self, response: Response) -> Response {
        let kept = match response.error {
            None => response.outputs.iter().try_for_each(|(output, tensor)| self.keep(*output, tensor)),
            Some(_) => Ok(()),
        };
        kept.map_or_else(Response::error, |()| response)
    }

    /// Keeps a state for the sequence's next request, if that output is one. In a batch, one that does not fit would
    /// shift those of other sequences.
    fn keep(&self, output: Slot, tensor: &Tensor) -> Result<(), BackendError> {
        let Some(place) = self.batching.states.iter().position(|state| state.output == output) else {
            return Ok(());
        };
        let state = &self.batching.states[place];
        if !state.fits(tensor) {
            return Err(self.scheduler.misfit(state, tensor));
        }
        if let Some(kept) = self.states.lock().as_mut().and_then(|states| states.get_mut(place)) {
            *kept = tensor.clone();
        }
        Ok(())
    }
}

impl Scheduler {
    fn misfit(&self, state: &StateSpec, given: &Tensor) -> BackendError {
        let (name, configured) = (&self.name, &state.shape);
        BackendError::internal(format!(
            "model '{name}' gave a state of type {} and shape {}, which the configuration says has type {} and shape \
             {configured}; correct the state's dims, or the model",
            given.dtype, given.shape, state.initial.dtype
        ))
    }

    /// An engine has let go of a request, whose sequence has these states now.
    fn released(self: &Arc<Self>, ticket: Ticket, states: States) {
        let mut state = self.state.lock();
        let now = self.machinery.clock.now();
        if let Some(sequencer) = &mut state.sequencer {
            sequencer.released(ticket, states, now);
        }
        self.look_on(state);
    }

    /// An engine wants a request of an iterative sequence to be executed once more.
    fn execute_again(self: &Arc<Self>, ticket: Ticket, states: States, request: Request) {
        let mut state = self.state.lock();
        let now = self.machinery.clock.now();
        let reason = match request.cancel().is_cancelled() {
            true => Some(BackendError::new(Code::Cancelled, "the caller went away")),
            false => state.closed.clone(),
        };
        let refused = match (reason, &mut state.sequencer) {
            (Some(reason), sequencer) => {
                if let Some(sequencer) = sequencer {
                    sequencer.released(ticket, states, now);
                }
                Some((request, reason))
            }
            (None, Some(sequencer)) => {
                let refused = sequencer.again(ticket, states, request, now);
                refused.map(|request| (request, self.sequence_lost()))
            }
            (None, None) => Some((request, BackendError::internal("the model has no sequences"))),
        };
        self.look_on(state);
        if let Some((request, error)) = refused {
            request.fail(error);
        }
    }
}
