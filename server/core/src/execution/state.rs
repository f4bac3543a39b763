//! A model version's queue and instances, and what to do about them next. Knows no thread and no lock; the time is an
//! argument.

mod alarms;
mod mending;
mod sequences;
mod step;

use std::sync::Arc;
use std::time::{Duration, Instant};

use nerite_backend::{BackendError, Code, Request};

use alarms::Alarms;

use super::Executor;
use super::call::QUEUE_FULL;
use super::decide::{Candidate, Decision, DispatchReason, Policy, decide};
use super::executor::Vacancy;
use super::likeness::Likeness;
use super::order::ResponseOrder;
use super::pace::{Pace, Place};
use super::queue::{Arrival, Entry, Expiry, Placed, Queue, Ticket};
use super::sequence::{Hold, SequenceStep, Sequencer};
use super::stall::{Found, Stall, Watch};
use super::ward::Ward;
use crate::admission::RequestPrefix;
use crate::model::ModelSpec;
use crate::rate_limiter::Claim;

pub(super) use mending::Rounds;
pub(super) use step::{Call, Step};

/// Requests that wait, instances that do not, and threads on their way from the one to the other.
///
/// An instance is in one place: free; idle, if it needs the rate limiter's grant first; staged with the limiter until it
/// has that; with the thread that executes it; or, if it cannot execute any more, in the ward.
pub(super) struct State {
    policy: Policy,
    likeness: Likeness,
    /// Set if responses are sent in the order of their requests.
    order: Option<Arc<ResponseOrder>>,
    queue: Queue<Request>,
    /// What waits in its place where requests are parts of sequences.
    pub(super) sequencer: Option<Box<Sequencer>>,
    /// Instances that may execute now.
    free: Vec<Executor>,
    /// Instances with nothing to do that need a grant first.
    idle: Vec<Executor>,
    /// Instances that wait for a grant.
    staged: usize,
    /// Threads that were called and have not begun; each will find a free instance.
    called: usize,
    /// Executions on threads of the network.
    inline: usize,
    /// Those of them that take too long, and that nobody counts on any more.
    late: usize,
    /// Instances, wherever they are.
    instances: usize,
    /// Nothing is executed before so many requests wait.
    hold: usize,
    /// When everything is looked at again, if nobody looks before.
    alarms: Alarms,
    /// For how many rows the last decision to wait is waiting; 0 if something has changed since.
    waits_for_rows: u32,
    pub(super) pace: Pace,
    /// Set if executions may take too long.
    watch: Option<Watch>,
    /// Instances that cannot execute any more and are made anew.
    pub(super) ward: Ward<Vacancy>,
    /// Why no more requests are taken.
    pub(super) closed: Option<BackendError>,
}

/// Requests to be executed as a batch, and an instance for them.
pub(super) struct Assignment {
    pub(super) executor: Executor,
    pub(super) work: Work,
    /// Why now, and why not more.
    pub(super) reason: DispatchReason,
    /// When to look whether it is still executed, if nobody looks before.
    pub(super) alarm: Option<Instant>,
}

/// What a batch is made of.
pub(super) enum Work {
    /// Requests, behind one another.
    Requests(Vec<Request>),
    /// A row for each sequence, with nothing in it where there is no request.
    Steps(Vec<Option<SequenceStep>>),
}

/// What a model version's queue and instances are at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// How many requests wait.
    pub pending: usize,
    /// For how long the oldest of them has.
    pub oldest: Duration,
    /// How many instances there are.
    pub instances: usize,
    /// How many of them execute.
    pub busy: usize,
}

/// A request that cannot wait, and why.
pub(super) struct Refused {
    pub(super) request: Box<Request>,
    pub(super) error: BackendError,
}

impl From<(Request, BackendError)> for Refused {
    fn from((request, error): (Request, BackendError)) -> Refused {
        Refused { request: Box::new(request), error }
    }
}

/// Requests that must not be executed any more, and why.
pub(super) type Expired = Vec<(Request, Expiry)>;

impl State {
    /// Of a model with these instances, which executes nothing before `hold` requests have waited at once, and whose
    /// instances stall when they execute for longer than that.
    pub(super) fn new(
        spec: &ModelSpec,
        executors: Vec<Executor>,
        hold: Hold,
        stall: Option<Duration>,
    ) -> State {
        let instances = executors.len();
        let names = executors.iter().map(|executor| executor.name().to_owned());
        let watch = stall.map(|limit| Watch::new(limit, names));
        let seated = executors.into_iter().enumerate().map(|(seat, executor)| executor.at(seat));
        let (idle, free) = seated.partition(|executor| executor.claim().is_some());
        State {
            policy: Policy::of(spec),
            likeness: Likeness::of(spec),
            order: spec.scheduling.preserve_ordering.then(Arc::default),
            queue: Queue::new(&spec.scheduling),
            sequencer: Sequencer::of(spec, instances, hold).map(Box::new),
            free,
            idle,
            staged: 0,
            called: 0,
            inline: 0,
            late: 0,
            instances,
            hold: if spec.scheduling.dynamic_batching { hold.ready } else { 0 },
            alarms: Alarms::default(),
            waits_for_rows: 0,
            // A decoupled model's executions may wait for callers that read slowly.
            pace: if spec.decoupled { Pace::never_inline() } else { Pace::new() },
            watch,
            ward: Ward::new(instances),
            closed: None,
        }
    }

    /// How many requests wait.
    pub(super) fn pending(&self) -> usize {
        self.queue.len() + self.sequencer.as_ref().map_or(0, |sequencer| sequencer.len())
    }

    /// What the queue and the instances are at.
    pub(super) fn activity(&self, now: Instant) -> Activity {
        let oldest = match &self.sequencer {
            Some(sequencer) => sequencer.oldest(),
            None => self.queue.oldest(),
        };
        let oldest = oldest.map(|oldest| now.saturating_duration_since(oldest));
        let resting = self.free.len() + self.idle.len() + self.staged;
        Activity {
            pending: self.pending(),
            oldest: oldest.unwrap_or_default(),
            instances: self.instances,
            busy: self.instances.saturating_sub(resting + self.ward.len()),
        }
    }

    /// How many instances have nothing to do.
    #[cfg(test)]
    pub(super) fn free_instances(&self) -> usize {
        self.free.len() + self.idle.len()
    }

    /// How many threads were called and have not begun.
    #[cfg(test)]
    pub(super) fn called(&self) -> usize {
        self.called
    }

    /// Lets a request wait, or gives it back with the reason: the queue is full, or its sequence has not begun.
    pub(super) fn push(&mut self, arrival: Arrival, request: Request) -> Result<Placed, Refused> {
        if let Some(sequencer) = &mut self.sequencer {
            return sequencer.push(request, &arrival.terms, arrival.now);
        }
        // Those that a called thread is about to take do not wait.
        let taken_soon = self.called.saturating_mul(self.policy.most_requests());
        self.queue.push(arrival, taken_soon, request).map_err(|request| {
            let full = format!("{}{QUEUE_FULL}", RequestPrefix(&request.meta().id));
            Refused::from((request, BackendError::new(Code::Unavailable, full)))
        })
    }

    /// Takes a request out that waits; `None` if it does not wait any more.
    pub(super) fn withdraw(&mut self, ticket: Ticket) -> Option<Request> {
        self.waits_for_rows = 0;
        self.queue.remove(ticket)
    }

    /// Takes no more requests, for that reason, and gives back those that wait.
    pub(super) fn close(&mut self, reason: BackendError) -> Vec<Request> {
        self.closed = Some(reason);
        self.take_all()
    }

    fn take_all(&mut self) -> Vec<Request> {
        match &mut self.sequencer {
            Some(sequencer) => sequencer.end_all(),
            None => self.queue.take(self.queue.len()),
        }
    }

    /// The instances that have nothing to do, for good.
    pub(super) fn take_instances(&mut self) -> Vec<Executor> {
        self.free.drain(..).chain(self.idle.drain(..)).collect()
    }

    /// An instance was granted what it needs.
    pub(super) fn granted(&mut self, executor: Executor) {
        self.staged -= 1;
        self.free.push(executor);
    }

    /// A called thread begins: the batch for it, unless there is none by now.
    pub(super) fn begin(&mut self, place: Place, now: Instant) -> (Option<Assignment>, Expired) {
        self.called -= 1;
        self.assign(place, now)
    }

    /// A called thread of the network may not begin. Whether one that executes there will look again when it has done
    /// so; otherwise another thread has to be called in its place.
    pub(super) fn refuse(&mut self) -> bool {
        let another_looks = self.inline > self.late;
        self.called -= usize::from(another_looks);
        another_looks
    }

    /// An instance executes no more. The stall that ends with that, if it was one.
    pub(super) fn ended(&mut self, seat: usize) -> Option<Stall> {
        self.watch.as_mut()?.end(seat)
    }

    /// An execution is over, whatever becomes of its instance.
    pub(super) fn left(&mut self, place: Place) {
        self.inline -= usize::from(place == Place::Inline);
    }

    /// An instance is there to execute, again or anew.
    pub(super) fn rejoin(&mut self, executor: Executor) {
        match executor.claim() {
            Some(_) => self.idle.push(executor),
            None => self.free.push(executor),
        }
    }

    /// The batch to be executed now, if any, and the instance for it; and requests that expired.
    pub(super) fn assign(&mut self, place: Place, now: Instant) -> (Option<Assignment>, Expired) {
        if self.sequencer.is_some() {
            return (self.assign_steps(place, now), Vec::new());
        }
        if self.is_held() {
            return (None, Vec::new());
        }
        self.waits_for_rows = 0;
        let expired = self.queue.expire(now, self.policy.most_requests() + 1);
        let decision = decide(self.candidates(), self.free.len(), &self.policy, now);
        let Decision::Dispatch { requests: count, reason } = decision else { return (None, expired) };
        let Some(executor) = self.free.pop() else { return (None, expired) };
        let mut requests = self.queue.take(count);
        if let Some(order) = &self.order {
            requests = requests.into_iter().map(|request| in_order(request, order)).collect();
        }
        (Some(self.assigned(executor, Work::Requests(requests), reason, place, now)), expired)
    }

    fn assigned(
        &mut self,
        executor: Executor,
        work: Work,
        reason: DispatchReason,
        place: Place,
        now: Instant,
    ) -> Assignment {
        self.inline += usize::from(place == Place::Inline);
        let alarm = self.watch.as_mut().and_then(|watch| watch.begin(executor.seat(), now));
        Assignment { executor, work, reason, alarm }
    }

    /// Whether one more thread is to be called, or an instance is to be staged, or an alarm set.
    pub(super) fn next_step(&mut self, now: Instant) -> Step {
        if self.sequencer.is_some() {
            return self.next_step_of_sequences(now);
        }
        let batches = self.policy.batches(self.queue.len(), self.queue.rows());
        if self.called >= batches || self.is_held() {
            return Step::Nothing;
        }
        if !self.policy.is_greedy() {
            // Who was called looks again.
            if self.called > 0 || self.may_wait(now) {
                return Step::Nothing;
            }
            match decide(self.candidates(), 1, &self.policy, now) {
                Decision::Dispatch { .. } => self.waits_for_rows = 0,
                Decision::Wait { until, rows } => {
                    self.waits_for_rows = rows;
                    return self.set_alarm(until);
                }
                Decision::Idle => return Step::Nothing,
            }
        }
        if self.free.len() > self.called {
            return self.call(now);
        }
        // One that is staged may have to wait for long, and keeps no free one from being called.
        match self.idle.pop_if(|_| self.called + self.staged < batches) {
            Some(executor) => {
                self.staged += 1;
                Step::Stage(executor)
            }
            None => Step::Nothing,
        }
    }

    fn call(&mut self, now: Instant) -> Step {
        self.called += 1;
        Step::Call(match self.pace.is_fast() {
            true => Call::Network { patient: self.policy.combines() && self.pace.is_busy(now) },
            false => Call::Pool,
        })
    }

    /// Takes back the grants of instances that no called thread will use: what is held keeps others waiting.
    pub(super) fn unused_grants(&mut self, now: Instant) -> Vec<Arc<Claim>> {
        let State { free, idle, sequencer, called, .. } = self;
        // Where only one of them can do what is due, it is not for the others to be used first.
        let is_due = |executor: &Executor| {
            sequencer.as_ref().is_some_and(|sequencer| sequencer.is_due(executor.seat(), now))
        };
        let mut unused = Vec::new();
        while free.len() > *called
            && let Some(place) = free.iter().rposition(|free| free.claim().is_some() && !is_due(free))
        {
            let executor = free.remove(place);
            unused.extend(executor.claim().cloned());
            idle.push(executor);
        }
        unused
    }

    /// An execution on a thread of the network takes too long.
    pub(super) fn overdue(&mut self) {
        self.late += 1;
        self.pace.disappoint();
    }

    /// One that took too long is over after all.
    pub(super) fn no_longer_overdue(&mut self) {
        self.late -= 1;
    }

    /// An alarm has rung: the one that is set, or one that was set before an earlier one.
    pub(super) fn rung(&mut self, now: Instant) {
        self.alarms.rung(now);
        self.waits_for_rows = 0;
    }

    /// Looks after executions that take too long, if it is time to.
    pub(super) fn look(&mut self, now: Instant) -> Found {
        self.watch.as_mut().map(|watch| watch.look(now)).unwrap_or_default()
    }

    /// The instances that are stalled.
    pub(super) fn stalls(&self) -> impl Iterator<Item = Stall> {
        self.watch.iter().flat_map(Watch::stalls)
    }

    /// Whether nothing is executed yet; once enough have waited, that is over for good.
    fn is_held(&mut self) -> bool {
        if self.queue.len() >= self.hold {
            self.hold = 0;
        }
        self.hold > 0
    }

    /// Whether the last decision to wait holds, since nothing has come that could change it.
    fn may_wait(&self, now: Instant) -> bool {
        self.likeness == Likeness::Given
            && self.queue.rows() < u64::from(self.waits_for_rows)
            && self.alarms.next().is_some_and(|alarm| now < alarm)
    }

    fn set_alarm(&mut self, at: Instant) -> Step {
        if self.alarms.add(at) { Step::SetAlarm(at) } else { Step::Nothing }
    }

    fn candidates(&self) -> impl Iterator<Item = Candidate> {
        let likeness = &self.likeness;
        let first = self.queue.iter().next().map(|entry| &entry.item);
        self.queue.iter().map(move |Entry { rows, enqueued, item, .. }| Candidate {
            rows: *rows,
            enqueued: *enqueued,
            like_first: first.is_some_and(|first| likeness.holds(first, item)),
        })
    }
}

fn in_order(request: Request, order: &Arc<ResponseOrder>) -> Request {
    request.answered_through(|responder| order.enter(responder))
}
