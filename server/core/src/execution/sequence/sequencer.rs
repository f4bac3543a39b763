use std::sync::Arc;
use std::time::Instant;

use nerite_backend::{BackendError, CorrelationId, Request, Sequence, Tensor};

use super::rules::{Batching, Rules};
use super::sequences::{Arrival, Head, Sequences, Step, Withdrawn};
use super::supply::withhold;
use crate::admission::QueueTerms;
use crate::execution::decide::{Decision, Policy};
use crate::execution::likeness::Likeness;
use crate::execution::queue::{Placed, Ticket};
use crate::execution::state::Refused;
use crate::model::{ModelSpec, SequenceBatching, SequenceStrategy};

/// What the server keeps for a sequence: a tensor for each of the model's states.
pub(in crate::execution) type States = Vec<Tensor>;

/// A request to be executed, with the states of its sequence.
pub(in crate::execution) type SequenceStep = Step<Request, States>;

/// The requests of a model's sequences.
pub(in crate::execution) struct Sequencer {
    model: String,
    batching: Arc<SequenceBatching>,
    sequences: Sequences<Request, States>,
    likeness: Likeness,
    /// Whether requests that make a batch are to be compared.
    compares: bool,
    /// Nothing is executed before so many requests wait of sequences that have a row,
    hold: usize,
    /// and so many of those that have none.
    backlog_hold: usize,
    /// How many sequences that the caller did not name have begun.
    unnamed: u64,
}

/// How much is to wait before anything is executed.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::execution) struct Hold {
    /// Requests of sequences that have a row.
    pub(in crate::execution) ready: usize,
    /// Requests of others.
    pub(in crate::execution) backlog: usize,
}

impl Sequencer {
    /// That of a model, if it has sequences.
    pub(in crate::execution) fn of(spec: &ModelSpec, instances: usize, hold: Hold) -> Option<Sequencer> {
        let batching = spec.sequences.clone()?;
        let most = spec.max_batch_size.max(1) as usize;
        let (strategy, rows) = match batching.strategy {
            SequenceStrategy::Direct { fewest } => {
                let delay = spec.scheduling.max_queue_delay;
                (Batching::Direct { fewest: fewest as usize, delay, most }, most)
            }
            SequenceStrategy::Oldest { candidates } => {
                (Batching::Oldest(Policy::of(spec)), candidates.max(1) as usize)
            }
        };
        let rules = Rules { strategy, rows, max_idle: batching.max_idle, iterative: batching.iterative };
        let likeness = Likeness::of(spec);
        let are_fixed = likeness == Likeness::Given && batching.states.iter().all(|state| state.is_fixed());
        Some(Sequencer {
            model: spec.name.clone(),
            sequences: Sequences::new(rules, instances),
            likeness,
            compares: !are_fixed,
            hold: hold.ready,
            backlog_hold: hold.backlog,
            unnamed: 0,
            batching,
        })
    }

    /// How many requests wait.
    pub(in crate::execution) fn len(&self) -> usize {
        self.sequences.len()
    }

    /// When the oldest of them came.
    pub(in crate::execution) fn oldest(&self) -> Option<Instant> {
        self.sequences.oldest()
    }

    /// Lets a request wait for its turn, or gives it back with what is wrong with it.
    pub(in crate::execution) fn push(
        &mut self,
        mut request: Request,
        terms: &QueueTerms,
        now: Instant,
    ) -> Result<Placed, Refused> {
        if self.batching.iterative && !request.meta().sequence.id.is_given() {
            self.unnamed += 1;
            let id = CorrelationId::Number(self.unnamed);
            request.place_in(Sequence { id, start: true, end: false });
        }
        let Sequence { id, start, end } = request.meta().sequence.clone();
        let arrival = Arrival { id, start, end, timeout: terms.timeout, now };
        match self.sequences.push(arrival, request) {
            Ok(ticket) => Ok(Placed { ticket, times_out: None }),
            Err(request) => {
                let error = self.not_begun(&request.meta().sequence.id);
                Err(Refused::from((request, error)))
            }
        }
    }

    fn not_begun(&self, id: &CorrelationId) -> BackendError {
        let model = &self.model;
        BackendError::invalid(format!(
            "inference request for sequence {id} to model '{model}' must specify the START flag on the first request \
             of the sequence"
        ))
    }

    /// Takes a request out that waits, and those that cannot be executed without it.
    pub(in crate::execution) fn withdraw(
        &mut self,
        ticket: Ticket,
        now: Instant,
    ) -> Option<Withdrawn<Request>> {
        self.sequences.withdraw(ticket, now)
    }

    /// An engine has let go of a request, whose sequence has these states now.
    pub(in crate::execution) fn released(&mut self, ticket: Ticket, states: States, now: Instant) {
        self.sequences.released(ticket, states, now);
    }

    /// An engine wants a request to be executed once more: the request, if its sequence is over.
    pub(in crate::execution) fn again(
        &mut self,
        ticket: Ticket,
        states: States,
        mut request: Request,
        now: Instant,
    ) -> Option<Request> {
        let id = request.meta().sequence.id.clone();
        request.place_in(Sequence { id, start: false, end: false });
        withhold(&self.batching, &mut request);
        self.sequences.again(ticket, states, request, now).err()
    }

    /// Ends the sequences whose time is over: requests of those that waited for too long.
    pub(in crate::execution) fn expire(&mut self, now: Instant) -> Vec<Request> {
        self.sequences.expire(now)
    }

    /// When to do so next.
    pub(in crate::execution) fn next_due(&self) -> Option<Instant> {
        self.sequences.next_due()
    }

    /// The instance in that seat cannot execute any more: the requests of its sequences, which end.
    pub(in crate::execution) fn lose(&mut self, seat: usize) -> Vec<Request> {
        self.sequences.lose(seat)
    }

    /// There is an instance in that seat again.
    pub(in crate::execution) fn restore(&mut self, seat: usize, now: Instant) {
        self.sequences.restore(seat, now);
    }

    /// From now on no sequence is kept for a request that has not come yet.
    pub(in crate::execution) fn retire(&mut self, now: Instant) {
        self.sequences.retire(now);
    }

    /// Ends all sequences: their requests.
    pub(in crate::execution) fn end_all(&mut self) -> Vec<Request> {
        self.sequences.end_all()
    }

    /// Whether nothing is executed yet; once enough have waited, that is over for good.
    pub(in crate::execution) fn is_held(&mut self) -> bool {
        if self.hold == 0 && self.backlog_hold == 0 {
            return false;
        }
        let backlogged = self.sequences.backlogged();
        if backlogged >= self.backlog_hold && self.sequences.len() - backlogged >= self.hold {
            (self.hold, self.backlog_hold) = (0, 0);
            return false;
        }
        true
    }

    /// What the instance in that seat is to do if it has nothing else to do.
    pub(in crate::execution) fn decide(&self, seat: usize, now: Instant) -> Decision {
        self.sequences.decide(seat, |first, other| self.may_share(&first, &other), now)
    }

    /// Whether the instance in that seat is to execute now.
    pub(in crate::execution) fn is_due(&self, seat: usize, now: Instant) -> bool {
        let is_held = self.hold > 0 || self.backlog_hold > 0;
        !is_held && matches!(self.decide(seat, now), Decision::Dispatch { .. })
    }

    /// The rows of the batch that was decided upon.
    pub(in crate::execution) fn take(&mut self, seat: usize, requests: usize) -> Vec<Option<SequenceStep>> {
        let Sequencer { sequences, likeness, compares, batching, .. } = self;
        sequences
            .take(seat, requests, |first, other| !*compares || are_like(batching, likeness, &first, &other))
    }

    fn may_share(&self, first: &Head<'_, Request, States>, other: &Head<'_, Request, States>) -> bool {
        !self.compares || are_like(&self.batching, &self.likeness, first, other)
    }
}

/// Whether two requests can be rows of one batch: their inputs have the same shapes, and so do their sequences' states.
fn are_like(
    batching: &SequenceBatching,
    likeness: &Likeness,
    first: &Head<'_, Request, States>,
    other: &Head<'_, Request, States>,
) -> bool {
    let shape = |head: &Head<'_, Request, States>, place: usize| {
        let kept = head.memory.and_then(|states| states.get(place));
        kept.unwrap_or(&batching.states[place].initial).shape.clone()
    };
    let are_states_like = (0..batching.states.len()).all(|place| shape(first, place) == shape(other, place));
    are_states_like && likeness.holds(first.item, other.item)
}
