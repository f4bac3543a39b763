//! The exchange of a request that the server itself makes, as a step of another.

use std::mem;
use std::sync::Arc;
use std::time::Instant;

use nerite_backend::{BackendError, Cancel, Code, Exchange, Phases, Responder, Response, Sent};

use super::Placed;
use super::account::{Account, Progress};
use super::call::{Call, TIMEOUT_EXPIRED, UNANSWERED};
use super::expiries::{Expiries, ExpiryKey};
use crate::sync::Mutex;

/// Who takes the responses to a request, on the threads that send them.
pub(crate) trait Recipient: Send + Sync {
    /// Takes a response to the request of that number, whether there is room or not.
    fn take(self: Arc<Self>, request: u64, response: Response) -> Sent;
    /// Whether there is room for another response that is not a request's last.
    fn has_room(&self) -> bool;
    /// Waits until there is, or none is needed any more; `false` if that has not come to be by then.
    fn wait_for_room(&self, until: Instant) -> bool;
    /// The engine has told of a request's execution, or will not any more.
    fn reported(&self, phases: Option<&Phases>);
}

/// A request that was made for a [`Recipient`], as its maker holds it.
pub(crate) struct Relay {
    account: Account,
    recipient: Arc<dyn Recipient>,
    number: u64,
    /// Whether it may get any number of responses. One that may not has the first for its last, whatever that says.
    many: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    progress: Progress,
    /// Whether there has been a response other than a failure.
    has_responded: bool,
    /// Whether no more responses are taken.
    is_over: bool,
    /// Whether the recipient has heard of the execution, or that nothing will be told of it.
    is_reported: bool,
    /// The request's place in the queue, once it is known.
    placed: Option<Placed>,
    expiry: Option<(Arc<Expiries>, ExpiryKey)>,
}

impl Relay {
    /// Opens the exchange of a request which its recipient calls by that number. `many`: it may get any number of responses.
    pub(crate) fn open(
        call: Call,
        recipient: Arc<dyn Recipient>,
        number: u64,
        many: bool,
    ) -> (Responder, Arc<Relay>) {
        let account = Account::of(call);
        let relay = Arc::new(Relay { account, recipient, number, many, state: Mutex::default() });
        (Responder::new(Arc::new(Engine(Arc::clone(&relay)))), relay)
    }

    /// The request has been queued there, if it waits. `expiries` has it answered when it has waited for too long.
    pub(crate) fn queued_at(self: &Arc<Self>, placed: Option<Placed>, expiries: &Arc<Expiries>) {
        let Some(placed) = placed else { return };
        let mut state = self.state.lock();
        if state.is_over {
            // It has been answered, or was given up when its place was not known.
            drop(state);
            drop(self.account.ledger.withdraw(placed.ticket));
            return;
        }
        state.placed = Some(placed);
        drop(state);
        let Some(at) = placed.times_out else { return };
        let key = expiries.add(at, self);
        let mut state = self.state.lock();
        match state.is_over {
            true => {
                drop(state);
                expiries.remove(key);
            }
            false => state.expiry = Some((Arc::clone(expiries), key)),
        }
    }

    /// The request is not wanted any more. It is taken out of the queue, or its engine is told.
    pub(crate) fn give_up(&self) {
        let mut state = self.state.lock();
        if mem::replace(&mut state.is_over, true) {
            return;
        }
        let entry = state.progress.given_up(Instant::now());
        let placed = state.placed.take();
        self.leave(state.expiry.take());
        drop(state);
        // First out of the queue: what is found there will not be executed.
        let waiting = placed.and_then(|placed| self.account.ledger.withdraw(placed.ticket));
        self.account.settle(entry);
        self.account.cancel.cancel();
        drop(waiting);
    }

    /// Answers the request with an error if it still waits in the queue.
    pub(super) fn expire(&self) {
        let placed = self.state.lock().placed.take();
        if let Some(request) = placed.and_then(|placed| self.account.ledger.withdraw(placed.ticket)) {
            request.fail(BackendError::new(Code::Unavailable, TIMEOUT_EXPIRED));
        }
    }

    fn leave(&self, expiry: Option<(Arc<Expiries>, ExpiryKey)>) {
        if let Some((expiries, key)) = expiry {
            expiries.remove(key);
        }
    }

    fn respond(&self, mut response: Response, must: bool) -> Sent {
        response.last |= !self.many;
        let last = response.last;
        if self.state.lock().is_over {
            return Sent::Gone;
        }
        let failure = response.error.clone();
        if !last && !must && !self.recipient.has_room() {
            return Sent::Full(Box::new(response));
        }
        let mut state = self.state.lock();
        if state.is_over {
            return Sent::Gone;
        }
        match &failure {
            Some(error) => state.progress.failed(error),
            None if !self.many || response.only_ends() => {}
            None if mem::replace(&mut state.has_responded, true) => {}
            None => self.account.first_responded(),
        }
        if last {
            state.is_over = true;
            self.leave(state.expiry.take());
            // Counted before anybody can see it.
            self.account.settle(state.progress.ended(Instant::now()));
        }
        drop(state);
        Arc::clone(&self.recipient).take(self.number, response)
    }

    fn report(&self, phases: &Phases, result: Result<(), &BackendError>) {
        let mut state = self.state.lock();
        let is_first = !mem::replace(&mut state.is_reported, true);
        self.account.settle(state.progress.reported(phases, result));
        drop(state);
        if is_first {
            self.recipient.reported(Some(phases));
        }
    }

    fn release(&self) {
        let mut state = self.state.lock();
        let is_first = !mem::replace(&mut state.is_reported, true);
        self.account.settle(state.progress.released());
        drop(state);
        if is_first {
            self.recipient.reported(None);
        }
        self.account.ledger.released();
    }
}

/// The engine's end. It is dropped with the last responder.
struct Engine(Arc<Relay>);

impl Exchange for Engine {
    fn respond(&self, response: Response) -> Sent {
        self.0.respond(response, false)
    }

    fn respond_anyway(&self, response: Response) -> Sent {
        self.0.respond(response, true)
    }

    fn has_room(&self) -> bool {
        self.0.recipient.has_room()
    }

    fn wait_for_room(&self, until: Instant) -> bool {
        let is_over = self.0.state.lock().is_over;
        is_over || self.0.recipient.wait_for_room(until)
    }

    fn cancel(&self) -> &Cancel {
        &self.0.account.cancel
    }

    fn report(&self, phases: &Phases, result: Result<(), &BackendError>) {
        self.0.report(phases, result);
    }

    fn release(&self) {
        self.0.release();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.0.respond(Response::error(BackendError::internal(UNANSWERED)), false);
    }
}
