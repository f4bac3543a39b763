use std::sync::Arc;
use std::time::Instant;

use nerite_backend::Responder;

use super::cache::{Lease, ResponseCache};
use super::entry::Entry;
use super::flights::{Route, Until};
use super::key::{Key, KeyRef, has_key, sort};
use super::lookup::Lookup;
use super::waiting::Waiting;
use crate::admission::{Admitted, QueueTerms};
use crate::execution::{Answer, Asker, Bringer, Call, LatePlace, Open, ResponseOrder, open};
use crate::model::{ModelSpec, level};
use crate::statistics::Hit;
use crate::version::ModelVersion;

/// What a loaded version has in the cache: its own keys, and the order of its answers, where that matters.
pub(crate) struct VersionCache {
    cache: Arc<ResponseCache>,
    owner: u64,
    /// Where answers are given in the order of their requests, those that are there at once wait too.
    order: Option<Arc<ResponseOrder>>,
}

/// A request that was looked up.
pub(crate) struct Asked {
    key: Arc<Key>,
    hash: u64,
    lookup: Arc<Lookup>,
    began: Instant,
    found: Option<Arc<Entry>>,
}

impl Asked {
    /// What was done for it, for its account.
    pub(crate) fn lookup(&self) -> Arc<Lookup> {
        Arc::clone(&self.lookup)
    }
}

impl VersionCache {
    /// Of a version of that model, which holds the lease until it is gone.
    pub(crate) fn new(lease: &Lease, spec: &ModelSpec) -> VersionCache {
        let order = spec.scheduling.preserve_ordering.then(Arc::default);
        VersionCache { cache: Arc::clone(&lease.cache), owner: lease.owner, order }
    }

    /// Answers a request of that version, to which it belongs: at once if its answer is kept.
    pub(crate) fn infer(
        &self,
        version: &Arc<ModelVersion>,
        mut admitted: Admitted,
        received: Instant,
    ) -> Answer {
        if !has_key(&admitted) {
            let Open { responder, answer } = open(version.call(&admitted, received));
            return answer.queued_at(version.queue(admitted, self.in_order(responder), Bringer::Caller));
        }
        let began = Instant::now();
        let (hash, found) = self.find(&mut admitted, began);
        if let (Some(entry), None) = (&found, &self.order) {
            let ended = Instant::now();
            let hit = Hit {
                total: ended.saturating_duration_since(received),
                queued: began.saturating_duration_since(received),
                took: ended.saturating_duration_since(began),
                trace_id: admitted.meta.trace.as_ref().map(|mark| mark.context().trace_id),
            };
            version.statistics().hit(&hit, ended);
            return Answer::given(entry.answered().response());
        }
        let asked = self.asked(&admitted, hash, found, began);
        let call = Call { lookup: Some(asked.lookup()), ..version.call(&admitted, received) };
        let Open { responder, answer } = open(call);
        let place = Arc::new(LatePlace::default());
        let asker = Asker::Caller(Arc::clone(&place));
        self.enter(version, admitted, responder, asked, asker, Bringer::Caller);
        answer.queued_late(place)
    }

    /// Looks a request up; nothing if it has no key.
    pub(crate) fn ask(&self, admitted: &mut Admitted) -> Option<Asked> {
        if !has_key(admitted) {
            return None;
        }
        let began = Instant::now();
        let (hash, found) = self.find(admitted, began);
        Some(self.asked(admitted, hash, found, began))
    }

    /// The hash of a request, and what is kept for it.
    fn find(&self, admitted: &mut Admitted, now: Instant) -> (u64, Option<Arc<Entry>>) {
        sort(&mut admitted.meta.parameters);
        let key = KeyRef::of(self.owner, admitted);
        let hash = self.cache.hash(&key);
        (hash, self.cache.find(hash, &key, now))
    }

    /// A request that was found to have that hash, from `began` on.
    fn asked(&self, admitted: &Admitted, hash: u64, found: Option<Arc<Entry>>, began: Instant) -> Asked {
        let key = Arc::new(KeyRef::of(self.owner, admitted).shared());
        Asked { key, hash, lookup: Arc::new(Lookup::new(began.elapsed())), began, found }
    }

    /// Sees to it that a request is answered that was looked up.
    pub(crate) fn enter(
        &self,
        version: &Arc<ModelVersion>,
        admitted: Admitted,
        responder: Responder,
        asked: Asked,
        asker: Asker,
        bringer: Bringer,
    ) {
        let Asked { key, hash, lookup, began, found } = asked;
        let (level, until) = patience(&version.spec, &admitted.terms, began);
        // The time that it may wait begins now, whatever it waits for.
        let terms = QueueTerms { since: Some(began), ..admitted.terms };
        let waiting = Waiting {
            cache: Arc::clone(&self.cache),
            version: Arc::clone(version),
            request: version.request(admitted, self.in_order(responder)),
            terms,
            until,
            key,
            route: Route { hash, level },
            lookup,
            asker,
            bringer,
            given_up: None,
        };
        match found {
            Some(entry) => waiting.answer(entry.answered()),
            None => waiting.enter(),
        }
    }

    /// The responder, behind those of all requests that came earlier if their order matters.
    pub(crate) fn in_order(&self, responder: Responder) -> Responder {
        match &self.order {
            Some(order) => order.enter(responder),
            None => responder,
        }
    }
}

/// The place of the priority level of a request that comes now, and until when it may wait.
fn patience(spec: &ModelSpec, terms: &QueueTerms, now: Instant) -> (usize, Until) {
    let scheduling = &spec.scheduling;
    let level = level(terms.priority, scheduling.default_priority, scheduling.levels.len());
    let timeout = scheduling.levels[level].timeout(terms.timeout);
    (level, timeout.and_then(|timeout| now.checked_add(timeout)).map_or(Until::ForEver, Until::At))
}
