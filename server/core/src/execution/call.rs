use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use nerite_backend::{BackendError, Cancel, Code, Exchange, Phases, Responder, Response, Sent};
use parking_lot::Mutex;

use crate::statistics::{FailureReason, Journey, Statistics};

/// Where a call is accounted for. It also keeps alive whatever the request needs until its last responder is gone.
pub(crate) trait Ledger: Send + Sync {
    /// The running account.
    fn statistics(&self) -> &Statistics;
    /// The engine has let go of a request's inputs.
    fn released(&self);
}

/// A request's exchange with its engine: the engine's end and the caller's.
pub(crate) struct Open {
    pub(crate) responder: Responder,
    pub(crate) answer: Answer,
}

/// Opens the exchange of a request of so many rows that arrived at `received`.
pub(crate) fn open(ledger: Arc<dyn Ledger>, rows: u32, received: Instant) -> Open {
    let state = Mutex::new(State { phases: None, stage: Stage::Waiting(None) });
    let shared = Arc::new(Shared { cancel: Cancel::default(), rows, received, ledger, state });
    Open { responder: Responder::new(Arc::new(Call(Arc::clone(&shared)))), answer: Answer(shared) }
}

struct Shared {
    cancel: Cancel,
    rows: u32,
    received: Instant,
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

    fn account(&self, response: &Response, phases: Option<Phases>) {
        let total = self.received.elapsed();
        let statistics = self.ledger.statistics();
        match (&response.error, phases) {
            (Some(error), phases) => statistics.failed(failure_reason(error, phases.is_some()), total),
            (None, phases) => {
                let phases = phases.unwrap_or_else(|| never_reported(Instant::now()));
                let queued = phases.start.saturating_duration_since(self.received);
                statistics.succeeded(&Journey { total, queued, phases, rows: self.rows });
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

/// The caller's end: a future of the answer. Dropping it before then cancels the request.
pub struct Answer(Arc<Shared>);

impl Future for Answer {
    type Output = Response;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        let mut state = self.0.state.lock();
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
}

impl Drop for Answer {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        match mem::replace(&mut state.stage, Stage::Over) {
            Stage::Waiting(_) => {
                self.0.ledger.statistics().failed(FailureReason::Canceled, self.0.received.elapsed());
                drop(state);
                self.0.cancel.cancel();
            }
            // An answer that nobody took is dropped here, outside the lock.
            unclaimed => {
                drop(state);
                drop(unclaimed);
            }
        }
    }
}
