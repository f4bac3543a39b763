use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use nerite_backend::{BackendError, Cancel, Exchange, Phases, Request, Responder, Response, Sent};

use super::account::{Account, Progress};
use super::wait::LatePlace;
use super::wait::Wait;
use super::{Placed, Ticket};
use crate::response_cache::Lookup;
use crate::statistics::Statistics;
use crate::sync::Mutex;

/// What a request is told that finds its model's queue full.
pub(super) const QUEUE_FULL: &str = "Exceeds maximum queue size";

/// What a request is told that waited for longer than its model's policy allows.
pub(super) const TIMEOUT_EXPIRED: &str = "Request timeout expired";

/// What a request is told that its engine has forgotten.
pub(super) const UNANSWERED: &str = "the model's engine gave up the request unanswered";

/// Where a call is accounted for. It also keeps alive whatever the request needs until its last responder is gone.
pub(crate) trait Ledger: Send + Sync {
    /// The running account.
    fn statistics(&self) -> &Statistics;
    /// The engine has let go of a request's inputs.
    fn released(&self);
    /// Takes a request out of the queue, which will then never be executed; `None` if it does not wait any more.
    fn withdraw(&self, ticket: Ticket) -> Option<Request>;
}

/// A request's exchange with its engine: the engine's end and the caller's, which is an [`Answer`] or
/// [`Responses`](super::Responses).
pub(crate) struct Open<A> {
    pub(crate) responder: Responder,
    pub(crate) answer: A,
}

/// What is known of a request when its exchange is opened.
pub(crate) struct Call {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) rows: u32,
    pub(crate) received: Instant,
    /// The trace that it is part of, if of any.
    pub(crate) trace_id: Option<u128>,
    /// What the response cache did for it, if it was asked.
    pub(crate) lookup: Option<Arc<Lookup>>,
}

/// Opens the exchange of a request that gets one response.
pub(crate) fn open(call: Call) -> Open<Answer> {
    let state = Mutex::new(State { progress: Progress::default(), stage: Stage::Waiting(None) });
    let shared = Arc::new(Shared { account: Account::of(call), state });
    let responder = Responder::new(Arc::new(Engine(Arc::clone(&shared))));
    Open { responder, answer: Answer(Source::Exchange(Awaited { shared, wait: Wait::default() })) }
}

struct Shared {
    account: Account,
    state: Mutex<State>,
}

struct State {
    progress: Progress,
    stage: Stage,
}

/// `Waiting → Answered → Over`, or `Waiting → Over` if the caller went away.
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
        let now = Instant::now();
        let mut state = self.state.lock();
        let State { progress, stage } = &mut *state;
        let Stage::Waiting(waker) = stage else { return Sent::Gone };
        let waker = waker.take();
        if let Some(error) = &response.error {
            progress.failed(error);
        }
        // Counted before the caller can see it: who asks for the statistics next finds this request there.
        self.account.settle(progress.ended(now));
        *stage = Stage::Answered(response);
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
        let mut state = self.state.lock();
        let left = mem::replace(&mut state.stage, Stage::Over);
        let was_waiting = matches!(left, Stage::Waiting(_));
        let entry = if was_waiting { state.progress.given_up(Instant::now()) } else { None };
        drop(state);
        self.account.settle(entry);
        if was_waiting {
            self.account.cancel.cancel();
        }
    }
}

/// The engine's end. It is dropped with the last responder.
struct Engine(Arc<Shared>);

impl Exchange for Engine {
    fn respond(&self, response: Response) -> Sent {
        self.0.answer(response)
    }

    fn cancel(&self) -> &Cancel {
        &self.0.account.cancel
    }

    fn report(&self, phases: &Phases, result: Result<(), &BackendError>) {
        let Shared { account, state } = &*self.0;
        account.settle(state.lock().progress.reported(phases, result));
    }

    fn release(&self) {
        let Shared { account, state } = &*self.0;
        if !account.is_settled() {
            account.settle(state.lock().progress.released());
        }
        account.ledger.released();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.0.answer(Response::error(BackendError::internal(UNANSWERED)));
    }
}

/// The caller's end: a future of the answer. Dropping it before then cancels the request.
pub struct Answer(Source);

#[expect(
    clippy::large_enum_variant,
    reason = "one per request, made in place: a box would be one more allocation"
)]
enum Source {
    /// It was there already.
    Given(Option<Response>),
    Exchange(Awaited),
}

/// An answer that an engine is to give. It keeps the time that the request may wait, so that the caller is answered when
/// that is over, whatever the instances do.
struct Awaited {
    shared: Arc<Shared>,
    wait: Wait,
}

impl Answer {
    /// One that nobody has to be asked for any more.
    pub(crate) fn given(response: Response) -> Answer {
        Answer(Source::Given(Some(response)))
    }

    /// The answer of a request that has that place in the queue, if it waits.
    pub(crate) fn queued_at(self, placed: Option<Placed>) -> Answer {
        self.waiting_as(Wait::at(placed))
    }

    /// The answer of a request whose place in the queue, if it is to wait there, is known later.
    pub(crate) fn queued_late(self, place: Arc<LatePlace>) -> Answer {
        self.waiting_as(Wait::late(place))
    }

    fn waiting_as(mut self, wait: Wait) -> Answer {
        if let Source::Exchange(awaited) = &mut self.0 {
            awaited.wait = wait;
        }
        self
    }

    /// When the request was executed; `None` if it was not, or has not been yet, or its engine has not told yet.
    pub fn phases(&self) -> Option<Phases> {
        match &self.0 {
            Source::Given(_) => None,
            Source::Exchange(awaited) => awaited.shared.state.lock().progress.phases(),
        }
    }

    /// Answers the request with an error if it still waits in the queue. The time for that is over.
    #[cfg(all(test, feature = "shuttle"))]
    pub(crate) fn expire(&mut self) {
        if let Source::Exchange(Awaited { shared, wait }) = &mut self.0 {
            wait.expire(&*shared.account.ledger);
        }
    }
}

impl Future for Answer {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        match &mut self.0 {
            Source::Given(response) => response.take().map_or(Poll::Pending, Poll::Ready),
            Source::Exchange(awaited) => awaited.poll(context),
        }
    }
}

impl Awaited {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Response> {
        let Awaited { shared, wait } = self;
        if let Poll::Ready(response) = shared.poll(context) {
            return Poll::Ready(response);
        }
        match wait.expires(context, &*shared.account.ledger) {
            true => shared.poll(context),
            false => Poll::Pending,
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let Awaited { shared, wait } = self;
        // First out of the queue: what is found there will not be executed. What was answered is not there.
        let waiting = if shared.is_waiting() { wait.withdraw(&*shared.account.ledger) } else { None };
        shared.give_up();
        drop(waiting);
    }
}
