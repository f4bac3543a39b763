//! What steps answer, and what the ensemble answers in the end.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use nerite_backend::{
    BackendError, CancelGuard, Code, CorrelationId, Executions, Phases, Response, Sent, Slot,
};
use smallvec::SmallVec;

use super::{Active, Run, State, Value};
use crate::admission::RequestPrefix;
use crate::ensemble::graph::TensorId;
use crate::ensemble::progress::{Came, Round};
use crate::ensemble::sequence::{override_of, sequence_parameters};
use crate::ensemble::shapes::handed_over;
use crate::ensemble::turn::go_on;
use crate::execution::{Bringer, Recipient};

/// How many steps of one request may be under way before a decoupled one has to wait with its next response.
const MOST_UNDER_WAY: usize = 64;

impl Run {
    /// A response to a step's request, which is under way. `false` if nobody wants it any more.
    pub(super) fn took(self: &Arc<Self>, number: u64, mut response: Response) -> bool {
        let mut state = self.state.lock();
        let Some(place) = state.active.iter().position(|active| active.number == number) else {
            return false;
        };
        let (firing, last) = (state.active[place].firing, response.last);
        let failure = response.error.take().map(|error| self.pipeline.error(error.code, &error.message));
        let outcome = match failure {
            Some(error) => Err(error),
            None => self.consume(&mut state, place, response),
        };
        if last {
            state.active.swap_remove(place);
            state.under_way -= 1;
        }
        let ended = if outcome.is_ok() { self.end_if_done(&mut state) } else { None };
        drop(state);
        drop(ended);
        if let Err(error) = outcome {
            self.fail(error, Bringer::Engine);
        }
        if last {
            self.freed.notify_all();
            self.leave_place(firing.step, Bringer::Engine);
        }
        go_on(Arc::clone(self), Bringer::Engine);
        true
    }

    /// The tensors of a response go on to the steps that need them, or to the caller.
    fn consume(&self, state: &mut State, place: usize, response: Response) -> Result<(), BackendError> {
        let Active { firing, rows, sequence, .. } = &state.active[place];
        let (firing, rows) = (*firing, *rows);
        let many = self.pipeline.many[firing.step];
        if many && response.only_ends() {
            return Ok(());
        }
        let Some(version) = self.version(firing) else { return Ok(()) };
        let own = sequence.as_deref().unwrap_or(&self.request.meta().sequence);
        let changed = override_of(own, &response.parameters)
            .map_err(|message| self.pipeline.error(Code::InvalidArgument, message))?;
        let sequence = changed.map(Arc::new).or_else(|| sequence.clone());
        let (spec, step) = (&version.spec, &self.pipeline.graph.steps[firing.step]);
        let mut outputs = response.outputs;
        let values = step.outputs.iter().map(|(name, tensor)| {
            let output = spec.outputs.iter().find(|output| output.name == *name);
            let given = output.and_then(|output| {
                let place = outputs.iter().position(|&(slot, _)| slot == output.slot)?;
                let (_, given) = outputs.swap_remove(place);
                Some(output.as_configured(given, spec.batching()))
            });
            (*tensor, given.map(|tensor| Value { tensor, rows, sequence: sequence.clone() }))
        });
        let values: SmallVec<[_; 2]> = values.collect();
        let round = if many { state.progress.next_round(firing.step) } else { firing.round };
        self.put(state, round, values);
        Ok(())
    }

    /// Tensors have come that belong together.
    pub(super) fn put(
        &self,
        state: &mut State,
        round: Round,
        values: impl IntoIterator<Item = (TensorId, Option<Value>)>,
    ) {
        let Came { firings, has_output } = state.progress.put(&self.pipeline.graph, round, values);
        self.make_ready(state, &firings);
        if has_output && let Some(outputs) = state.progress.outputs(round) {
            state.outbox.push_back(self.answer(outputs));
        }
    }

    fn answer(&self, outputs: SmallVec<[(Slot, Value); 2]>) -> Response {
        let own = &self.request.meta().sequence;
        let changed = outputs.iter().find_map(|(_, value)| value.sequence.clone());
        let parameters = match changed.as_deref() {
            None if own.id == CorrelationId::default() => Vec::new(),
            changed => sequence_parameters(changed.unwrap_or(own)),
        };
        let outputs = outputs.into_iter().map(|(slot, Value { mut tensor, rows, .. })| {
            if let Some(dims) = self.pipeline.outputs.get(slot) {
                tensor.shape = handed_over(&tensor.shape, rows, dims, self.pipeline.batching);
            }
            (slot, tensor)
        });
        Response { parameters, ..Response::part(outputs.collect()) }
    }

    /// Ends the request if no step is under way. What is to be let go of without the lock.
    pub(super) fn end_if_done(&self, state: &mut State) -> Option<CancelGuard> {
        if state.is_over || state.under_way > 0 {
            return None;
        }
        state.is_over = true;
        match state.outbox.back_mut() {
            Some(response) => response.last = true,
            None if self.pipeline.is_decoupled() => state.outbox.push_back(Response::end()),
            None => state.outbox.push_back(Response::error(self.deadlock())),
        }
        state.owes_report = true;
        if state.untold == 0 {
            self.report(state);
        }
        state.watch.take()
    }

    fn deadlock(&self) -> BackendError {
        let id = RequestPrefix(&self.request.meta().id);
        let what =
            "unexpected deadlock, at least one output is not set while no more ensemble steps can be made";
        self.pipeline.error(Code::InvalidArgument, &format!("{id}{what}"))
    }

    /// Accounts for the execution: its phases took what those of all steps took together.
    fn report(&self, state: &mut State) {
        state.owes_report = false;
        let [input, infer, output] = state.took;
        let start = self.began;
        let input_end = start + input;
        let infer_end = input_end + infer;
        let phases = Phases { start, input_end, infer_end, end: infer_end + output };
        self.pipeline.statistics.executed(self.request.rows(), &phases);
        self.request.report(&phases, Ok(()));
    }

    /// Sends what is to be sent, in order; one thread does.
    pub(super) fn send_out(&self) {
        let mut state = self.state.lock();
        if state.is_sending {
            return;
        }
        state.is_sending = true;
        while let Some(response) = state.outbox.pop_front() {
            drop(state);
            // Where there was no room, the step that brought it would have been told so.
            self.responder.exchange().respond_anyway(response);
            state = self.state.lock();
        }
        state.is_sending = false;
    }

    /// Ends the request with an error, and what is under way of it.
    pub(super) fn fail(self: &Arc<Self>, error: BackendError, bringer: Bringer) {
        let mut state = self.state.lock();
        if state.is_over {
            return;
        }
        state.is_over = true;
        state.outbox.push_back(Response::error(error));
        let active = mem::take(&mut state.active);
        let ready = mem::take(&mut state.ready);
        let left = (state.progress.clear(), state.watch.take());
        drop(state);
        drop(left);
        self.send_out();
        active.iter().for_each(|active| active.relay.give_up());
        let with_place = ready.iter().filter(|ready| ready.has_place).map(|ready| ready.firing);
        let places = active.iter().map(|active| active.firing).chain(with_place);
        places.for_each(|firing| self.leave_place(firing.step, bringer));
        self.pipeline.limits.iter().for_each(|limit| limit.forget(self));
        self.freed.notify_all();
    }

    /// The caller goes away, who has been accounted for.
    pub(super) fn give_up(self: &Arc<Self>) {
        self.fail(BackendError::new(Code::Cancelled, ""), Bringer::Engine);
    }

    /// Whether a decoupled step may bring more: not while a step waits in line, or many are under way.
    fn has_room_itself(&self, state: &State) -> bool {
        self.in_line.load(Ordering::Acquire) == 0 && state.under_way < MOST_UNDER_WAY
    }
}

impl Recipient for Run {
    fn take(self: Arc<Self>, request: u64, response: Response) -> Sent {
        if self.took(request, response) { Sent::Taken } else { Sent::Gone }
    }

    fn has_room(&self) -> bool {
        let has_room_itself = self.has_room_itself(&self.state.lock());
        has_room_itself && self.responder.exchange().has_room()
    }

    fn wait_for_room(&self, until: Instant) -> bool {
        if !self.responder.exchange().wait_for_room(until) {
            return false;
        }
        let mut state = self.state.lock();
        while !state.is_over && !self.has_room_itself(&state) {
            if until <= Instant::now() {
                return false;
            }
            state = self.freed.wait_until(state, until);
        }
        true
    }

    fn reported(&self, phases: Option<&Phases>) {
        let mut state = self.state.lock();
        state.untold -= 1;
        if let Some(phases) = phases {
            let took = [
                phases.input_end.saturating_duration_since(phases.start),
                phases.infer_end.saturating_duration_since(phases.input_end),
                phases.end.saturating_duration_since(phases.infer_end),
            ];
            state.took.iter_mut().zip(took).for_each(|(sum, took)| *sum += took);
        }
        if state.owes_report && state.untold == 0 {
            self.report(&mut state);
        }
    }
}
