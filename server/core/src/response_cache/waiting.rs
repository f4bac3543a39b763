use std::sync::Arc;

use nerite_backend::{CancelGuard, Request, Responder};

use super::cache::{Look, ResponseCache};
use super::entry::Answered;
use super::flights::{Route, Until};
use super::key::Key;
use super::leading::Leading;
use super::lookup::Lookup;
use crate::admission::QueueTerms;
use crate::execution::{Asker, Bringer};
use crate::version::ModelVersion;

/// A request whose answer is not kept, with all that it needs to be answered, whoever comes to do it.
pub(super) struct Waiting {
    pub(super) cache: Arc<ResponseCache>,
    pub(super) version: Arc<ModelVersion>,
    pub(super) request: Request,
    pub(super) terms: QueueTerms,
    pub(super) until: Until,
    pub(super) key: Arc<Key>,
    pub(super) route: Route,
    pub(super) lookup: Arc<Lookup>,
    /// Who learns of its place in the queue.
    pub(super) asker: Asker,
    /// Who has it executed.
    pub(super) bringer: Bringer,
    /// Takes it out of its flight when its caller goes away.
    pub(super) given_up: Option<CancelGuard>,
}

impl Waiting {
    /// Sees to it that the request is answered: waits for one that is the same, or has it executed.
    pub(super) fn enter(self) {
        let mut waiting = self;
        loop {
            match waiting.cache.look(waiting.route, &waiting.key, waiting.until) {
                Look::Kept(entry) => return waiting.answer(entry.answered()),
                Look::Leads(number) => return waiting.lead(number),
                Look::Alone => return waiting.go(),
                Look::UnderWay(number) => match waiting.join(number) {
                    Ok(()) => return,
                    Err(back) => waiting = *back,
                },
            }
        }
    }

    fn join(mut self, number: u64) -> Result<(), Box<Waiting>> {
        let (cache, name) = (Arc::clone(&self.cache), self.cache.name());
        let (watching, route, until) = (Arc::clone(&cache), self.route, self.until);
        let leave = move || watching.leave(route, number, (until, name));
        self.given_up = Some(self.request.cancel().on_cancel(leave));
        self.bringer = Bringer::Engine;
        cache.join(number, name, self)
    }

    /// Answers it with what another was answered.
    pub(super) fn answer(self, answered: Answered) {
        let Waiting { request, lookup, .. } = self;
        let responder = request.responder();
        lookup.hit();
        // Released first, it is accounted for before its caller can see the answer.
        drop(request);
        responder.send(answered.response());
    }

    /// Has it executed, and the flight of that number depend on it.
    pub(super) fn lead(self, number: u64) {
        let Waiting { cache, version, request, terms, key, route, lookup, asker, bringer, .. } = self;
        let request = request.answered_through(move |responder| {
            Responder::new(Arc::new(Leading::new(cache, route, number, key, lookup, responder)))
        });
        asker.tell(version.push(request, &terms, bringer), &*version);
    }

    /// Has it executed.
    pub(super) fn go(self) {
        let Waiting { version, request, terms, asker, bringer, .. } = self;
        asker.tell(version.push(request, &terms, bringer), &*version);
    }
}
