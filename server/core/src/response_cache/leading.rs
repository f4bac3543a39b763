use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::Relaxed};
use std::time::Instant;

use nerite_backend::{BackendError, Cancel, Code, Exchange, Phases, Responder, Response, Sent};

use super::cache::ResponseCache;
use super::entry::Answered;
use super::flights::Route;
use super::key::Key;
use super::lookup::Lookup;
use super::waiting::Waiting;

/// The exchange of a request that is executed, and for whose answer others may wait.
pub(super) struct Leading {
    cache: Arc<ResponseCache>,
    route: Route,
    number: u64,
    key: Arc<Key>,
    lookup: Arc<Lookup>,
    responder: Responder,
    is_executed: AtomicBool,
    is_over: AtomicBool,
}

/// What becomes of those that waited for a request that failed.
enum Others {
    /// It was not executed, or not to the end, for reasons of its own: one of them takes its place.
    PassOn,
    /// It would not go better for them one after the other than all at once: each is executed by itself.
    Disperse,
}

impl Leading {
    pub(super) fn new(
        cache: Arc<ResponseCache>,
        route: Route,
        number: u64,
        key: Arc<Key>,
        lookup: Arc<Lookup>,
        responder: Responder,
    ) -> Leading {
        let (is_executed, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
        Leading { cache, route, number, key, lookup, responder, is_executed, is_over }
    }

    fn answered(&self, response: Response) -> Sent {
        let began = Instant::now();
        let entry = self.cache.keep(self.route.hash, &self.key, &response);
        let waiting = self.cache.land(self.route, self.number);
        // Before the caller has its answer, and so finds all of it in the account.
        self.lookup.add(began.elapsed());
        if waiting.is_empty() {
            return self.responder.send(response);
        }
        let answered = entry.map_or_else(|| Answered::of(&response), |entry| entry.answered());
        let sent = self.responder.send(response);
        waiting.into_iter().for_each(|one| one.answer(answered.clone()));
        sent
    }

    fn failed(&self, others: Others) {
        match others {
            Others::PassOn => self.cache.pass_on(self.route, self.number),
            Others::Disperse => self.cache.land(self.route, self.number).into_iter().for_each(Waiting::go),
        }
    }

    fn others(&self, error: &BackendError) -> Others {
        match error.code {
            _ if self.cancel().is_cancelled() => Others::PassOn,
            Code::Cancelled => Others::PassOn,
            Code::Unavailable if !self.is_executed.load(Relaxed) => Others::PassOn,
            _ => Others::Disperse,
        }
    }
}

impl Exchange for Leading {
    fn respond(&self, response: Response) -> Sent {
        if self.is_over.swap(true, AcqRel) {
            return self.responder.send(response);
        }
        let Some(error) = &response.error else { return self.answered(response) };
        let others = self.others(error);
        let sent = self.responder.send(response);
        self.failed(others);
        sent
    }

    fn cancel(&self) -> &Cancel {
        self.responder.exchange().cancel()
    }

    fn report(&self, phases: &Phases, result: Result<(), &BackendError>) {
        self.is_executed.store(true, Relaxed);
        self.responder.exchange().report(phases, result);
    }

    fn release(&self) {
        self.responder.exchange().release();
    }
}

impl Drop for Leading {
    fn drop(&mut self) {
        if !*self.is_over.get_mut() {
            self.failed(Others::PassOn);
        }
    }
}
