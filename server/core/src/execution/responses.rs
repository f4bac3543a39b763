//! The exchange of a request that gets many responses.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use nerite_backend::{BackendError, Cancel, Exchange, Phases, Responder, Response, Sent};

use super::account::{Account, Progress};
use super::call::{Call, Open, UNANSWERED};
use super::wait::Wait;
use super::{Placed, Room};
use crate::sync::Mutex;

/// Opens the exchange of a request of a decoupled model, whose unread responses take their place in `room`.
pub(crate) fn open_for_many(call: Call, room: Arc<Room>) -> Open<Responses> {
    let shared = Arc::new(Shared {
        account: Account::of(call),
        room,
        is_over: AtomicBool::new(false),
        state: Mutex::default(),
    });
    let responder = Responder::new(Arc::new(Engine(Arc::clone(&shared))));
    Open { responder, answer: Responses { shared, wait: Wait::default() } }
}

struct Shared {
    account: Account,
    room: Arc<Room>,
    /// Whether no more responses are taken; to be seen without the lock.
    is_over: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    progress: Progress,
    stage: Stage,
    /// Whether there has been a response other than a failure.
    has_responded: bool,
    unread: VecDeque<Response>,
    waker: Option<Waker>,
}

/// `Open → Complete → Over`, or `Open → Over` if the caller went away.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Open,
    /// The last response has been sent.
    Complete,
    /// Nobody reads any more.
    Over,
}

impl Shared {
    fn send(&self, response: Response, must: bool) -> Sent {
        let (last, weight) = (response.last, response.weight());
        let mut state = self.state.lock();
        if state.stage != Stage::Open {
            return Sent::Gone;
        }
        if last || must {
            // Who sends it may be unable to wait. There is one last response of a request, and it must not be lost.
            self.room.take_anyway(weight);
        } else if !self.room.take(weight) {
            return Sent::Full(Box::new(response));
        }
        match &response.error {
            Some(error) => state.progress.failed(error),
            None if response.only_ends() => {}
            None if mem::replace(&mut state.has_responded, true) => {}
            None => self.account.first_responded(),
        }
        if last {
            state.stage = Stage::Complete;
            // Counted before the caller can see it.
            self.account.settle(state.progress.ended(Instant::now()));
        }
        state.unread.push_back(response);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        if last {
            self.end();
        }
        Sent::Taken
    }

    /// Nothing more is taken: who waits for room need not.
    fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.room.look();
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Response>> {
        let mut state = self.state.lock();
        if let Some(response) = state.unread.pop_front() {
            drop(state);
            self.room.give_back(1, response.weight());
            return Poll::Ready(Some(response));
        }
        if state.stage != Stage::Open {
            return Poll::Ready(None);
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            state.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// The caller goes away, and leaves what it has not read.
    fn give_up(&self) {
        let mut state = self.state.lock();
        let was_open = mem::replace(&mut state.stage, Stage::Over) == Stage::Open;
        let entry = if was_open { state.progress.given_up(Instant::now()) } else { None };
        let unread = mem::take(&mut state.unread);
        drop(state);
        self.account.settle(entry);
        self.room.give_back(unread.len(), unread.iter().map(Response::weight).sum());
        if was_open {
            self.end();
            self.account.cancel.cancel();
        }
    }
}

/// The engine's end. It is dropped with the last responder.
struct Engine(Arc<Shared>);

impl Exchange for Engine {
    fn respond(&self, response: Response) -> Sent {
        self.0.send(response, false)
    }

    fn respond_anyway(&self, response: Response) -> Sent {
        self.0.send(response, true)
    }

    fn has_room(&self) -> bool {
        self.0.room.has_room()
    }

    fn wait_for_room(&self, until: Instant) -> bool {
        self.0.room.wait(until, || self.0.is_over.load(Ordering::Acquire))
    }

    fn cancel(&self) -> &Cancel {
        &self.0.account.cancel
    }

    fn report(&self, phases: &Phases, result: Result<(), &BackendError>) {
        let Shared { account, state, .. } = &*self.0;
        account.settle(state.lock().progress.reported(phases, result));
    }

    fn release(&self) {
        let Shared { account, state, .. } = &*self.0;
        account.settle(state.lock().progress.released());
        account.ledger.released();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.0.send(Response::error(BackendError::internal(UNANSWERED)), false);
    }
}

/// The caller's end: the responses as they come. Dropping it before the last one cancels the request. It keeps the time
/// that the request may wait, as [`Answer`](super::Answer) does.
pub struct Responses {
    shared: Arc<Shared>,
    wait: Wait,
}

impl Responses {
    /// Those of a request that has that place in the queue, if it waits.
    pub(crate) fn queued_at(self, placed: Option<Placed>) -> Responses {
        // The fields of what can be dropped cannot be moved out of it.
        let mut responses = self;
        responses.wait = Wait::at(placed);
        responses
    }

    /// The next response; `None` after the last.
    pub async fn next(&mut self) -> Option<Response> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The next response, if it is there; `None` after the last. The waker is called when there is one.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Response>> {
        let Responses { shared, wait } = self;
        if let Poll::Ready(response) = shared.poll(context) {
            return Poll::Ready(response);
        }
        match wait.expires(context, &*shared.account.ledger) {
            true => shared.poll(context),
            false => Poll::Pending,
        }
    }

    /// When the request was executed; `None` if it was not, or has not been yet, or its engine has not told yet.
    pub fn phases(&self) -> Option<Phases> {
        self.shared.state.lock().progress.phases()
    }
}

impl Drop for Responses {
    fn drop(&mut self) {
        let Responses { shared, wait } = self;
        // First out of the queue: what is found there will not be executed.
        let waiting = wait.withdraw(&*shared.account.ledger);
        shared.give_up();
        drop(waiting);
    }
}
