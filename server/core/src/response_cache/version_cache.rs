use std::sync::Arc;
use std::time::Instant;

use nerite_backend::Responder;

use super::cache::{Lease, ResponseCache};
use super::flights::{Route, Until};
use super::key::{KeyRef, has_key, sort};
use super::lookup::Lookup;
use super::waiting::Waiting;
use crate::admission::{Admitted, QueueTerms};
use crate::execution::{Answer, Call, LatePlace, Open, ResponseOrder, open};
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
            return answer.queued_at(version.queue(admitted, self.in_order(responder)));
        }
        let began = Instant::now();
        sort(&mut admitted.meta.parameters);
        let key = KeyRef::of(self.owner, &admitted);
        let hash = self.cache.hash(&key);
        let found = self.cache.find(hash, &key, began);
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
        let (key, lookup) = (Arc::new(key.shared()), Arc::new(Lookup::new(began.elapsed())));
        let call = Call { lookup: Some(Arc::clone(&lookup)), ..version.call(&admitted, received) };
        let Open { responder, answer } = open(call);
        let (level, until) = patience(&version.spec, &admitted.terms, began);
        // The time that it may wait begins now, whatever it waits for.
        let terms = QueueTerms { since: Some(began), ..admitted.terms };
        let place = Arc::new(LatePlace::default());
        let waiting = Waiting {
            cache: Arc::clone(&self.cache),
            version: Arc::clone(version),
            request: version.request(admitted, self.in_order(responder)),
            terms,
            until,
            key,
            route: Route { hash, level },
            lookup,
            place: Arc::clone(&place),
            given_up: None,
        };
        match found {
            Some(entry) => waiting.answer(entry.answered()),
            None => waiting.enter(),
        }
        answer.queued_late(place)
    }

    /// The responder, behind those of all requests that came earlier if their order matters.
    fn in_order(&self, responder: Responder) -> Responder {
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
