use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use nerite_backend::{BackendError, Cancel, Code, Exchange, Phases, Request, Responder, Response, Sent};
use tokio::time::{Sleep, sleep_until};

use super::{Placed, Ticket};
use crate::statistics::{FailureReason, Journey, Statistics};
use crate::sync::Mutex;

/// What a request is told that finds its model's queue full.
pub(super) const QUEUE_FULL: &str = "Exceeds maximum queue size";

/// What a request is told that waited for longer than its model's policy allows.
pub(super) const TIMEOUT_EXPIRED: &str = "Request timeout expired";

/// Where a call is accounted for. It also keeps alive whatever the request needs until its last responder is gone.
pub(crate) trait Ledger: Send + Sync {
    /// The running account.
    fn statistics(&self) -> &Statistics;
    /// The engine has let go of a request's inputs.
    fn released(&self);
    /// Takes a request out of the queue, which will then never be executed; `None` if it does not wait any more.
    fn withdraw(&self, ticket: Ticket) -> Option<Request>;
}

/// A request's exchange with its engine: the engine's end and the caller's.
pub(crate) struct Open {
    pub(crate) responder: Responder,
    pub(crate) answer: Answer,
}

/// Opens the exchange of a request of so many rows that arrived at `received` and is part of that trace, if of any.
pub(crate) fn open(ledger: Arc<dyn Ledger>, rows: u32, received: Instant, trace_id: Option<u128>) -> Open {
    let state = Mutex::new(State { phases: None, stage: Stage::Waiting(None) });
    let shared = Arc::new(Shared { cancel: Cancel::default(), rows, received, trace_id, ledger, state });
    let responder = Responder::new(Arc::new(Call(Arc::clone(&shared))));
    Open { responder, answer: Answer { shared, placed: None, timer: None } }
}

struct Shared {
    cancel: Cancel,
    rows: u32,
    received: Instant,
    trace_id: Option<u128>,
    ledger: Arc<dyn Ledger>,
    state: Mutex<State>,
}

struct State {
    phases: Option<Phases>,
    stage: Stage,
}

/// `Waiting → Answered → Over`, or `Waiting → Over` if the caller went away. Whoever leaves `Waiting` accounts for the
/// request: it is counted once.
#[expect(
    clippy::large_enum_variant,
    reason = "one per request, made in place: a box would be one more allocation"
)]
enum Stage {
    Waiting(Option<Waker>),
    Answered(Response),
    Over,
}

impl Shared {
    fn answer(&self, response: Response) -> Sent {
        let mut state = self.state.lock();
        let Stage::Waiting(waker) = &mut state.stage else { return Sent::Gone };
        let waker = waker.take();
        // Counted before the caller can see it: who asks for the statistics next finds this request there.
        self.account(&response, state.phases);
        state.stage = Stage::Answered(response);
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Sent::Taken
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Response> {
        let mut state = self.state.lock();
        match &mut state.stage {
            Stage::Waiting(Some(waker)) if waker.will_wake(context.waker()) => Poll::Pending,
            Stage::Waiting(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            Stage::Answered(_) | Stage::Over => match mem::replace(&mut state.stage, Stage::Over) {
                Stage::Answered(response) => Poll::Ready(response),
                _ => Poll::Pending,
            },
        }
    }

    fn is_waiting(&self) -> bool {
        matches!(self.state.lock().stage, Stage::Waiting(_))
    }

    /// The caller goes away: without an answer, or leaving one that it does not take.
    fn give_up(&self) {
        // What is left is dropped at the end, outside the lock.
        let left = mem::replace(&mut self.state.lock().stage, Stage::Over);
        if matches!(left, Stage::Waiting(_)) {
            self.ledger.statistics().failed(FailureReason::Canceled, self.received.elapsed());
            self.cancel.cancel();
        }
    }

    fn account(&self, response: &Response, phases: Option<Phases>) {
        let total = self.received.elapsed();
        let statistics = self.ledger.statistics();
        match (&response.error, phases) {
            (Some(error), phases) => statistics.failed(failure_reason(error, phases.is_some()), total),
            (None, phases) => {
                let phases = phases.unwrap_or_else(|| never_reported(Instant::now()));
                let queued = phases.start.saturating_duration_since(self.received);
                statistics.succeeded(&Journey {
                    total,
                    queued,
                    phases,
                    rows: self.rows,
                    trace_id: self.trace_id,
                });
            }
        }
    }
}

fn failure_reason(error: &BackendError, executed: bool) -> FailureReason {
    match error.code {
        Code::Cancelled => FailureReason::Canceled,
        Code::Unavailable if !executed => FailureReason::Rejected,
        _ => FailureReason::Backend,
    }
}

/// The phases of an engine that keeps them to itself: all the time counts as waiting.
fn never_reported(now: Instant) -> Phases {
    Phases { start: now, input_end: now, infer_end: now, end: now }
}

/// The engine's end. It is dropped with the last responder.
struct Call(Arc<Shared>);

impl Exchange for Call {
    fn respond(&self, response: Response) -> Sent {
        self.0.answer(response)
    }

    fn cancel(&self) -> &Cancel {
        &self.0.cancel
    }

    fn report(&self, phases: &Phases, _result: Result<(), &BackendError>) {
        self.0.state.lock().phases = Some(*phases);
    }

    fn release(&self) {
        self.0.ledger.released();
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.answer(Response::error(BackendError::internal(
            "the model's engine gave up the request unanswered",
        )));
    }
}

/// The caller's end: a future of the answer. Dropping it before then cancels the request. It keeps the time that the
/// request may wait, so that the caller is answered when that is over, whatever the instances do.
pub struct Answer {
    shared: Arc<Shared>,
    /// The request's place in the queue.
    placed: Option<Placed>,
    /// Set once the answer is waited for, if the request may not wait for ever.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Answer {
    /// The answer of a request that has that place in the queue, if it waits.
    pub(crate) fn queued_at(self, placed: Option<Placed>) -> Answer {
        // The fields of what can be dropped cannot be moved out of it.
        let mut answer = self;
        answer.placed = placed;
        answer
    }

    /// When the request was executed; `None` if it was not, or has not been yet.
    pub fn phases(&self) -> Option<Phases> {
        self.shared.state.lock().phases
    }

    /// Answers the request with an error if it still waits in the queue. The time for that is over.
    pub(crate) fn expire(&mut self) {
        if let Some(placed) = self.placed.take()
            && let Some(request) = self.shared.ledger.withdraw(placed.ticket)
        {
            request.fail(BackendError::new(Code::Unavailable, TIMEOUT_EXPIRED));
        }
    }

    /// Whether the time that the request may wait is over; the waker is called when it is.
    fn has_timed_out(&mut self, context: &mut Context<'_>) -> bool {
        let Some(at) = self.placed.and_then(|placed| placed.times_out) else { return false };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at.into())));
        timer.as_mut().poll(context).is_ready()
    }
}

impl Future for Answer {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        if let Poll::Ready(response) = self.shared.poll(context) {
            return Poll::Ready(response);
        }
        if !self.has_timed_out(context) {
            return Poll::Pending;
        }
        self.expire();
        self.shared.poll(context)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // First out of the queue: what is found there will not be executed. What was answered is not there.
        let placed = self.placed.take().filter(|_| self.shared.is_waiting());
        let waiting = placed.and_then(|placed| self.shared.ledger.withdraw(placed.ticket));
        self.shared.give_up();
        drop(waiting);
    }
}
