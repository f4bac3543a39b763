use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nerite_backend::{BackendError, Code, Model, Request, Responder};
use tokio::sync::Notify;

use crate::admission::{Admitted, QueueTerms};
use crate::changes::Changes;
use crate::ensemble::{Extent, Pipeline};
use crate::execution::{
    Activity, Answer, Asker, Bringer, Call, Ledger, Mending, Open, Placed, Responses, Room, Scheduler, Stall,
    Ticket, open, open_for_many,
};
use crate::model::ModelSpec;
use crate::response_cache::{Asked, VersionCache};
use crate::statistics::{FailureReason, Statistics};

/// A loaded version of a model. A request holds it from its lookup to its last response.
pub struct ModelVersion {
    /// The version's number.
    pub version: u64,
    /// What is served.
    pub spec: ModelSpec,
    /// How long it took to load.
    pub load_duration: Duration,
    statistics: Arc<Statistics>,
    kind: Kind,
    cache: Option<VersionCache>,
    unreleased: AtomicUsize,
    released: Notify,
}

/// How a version answers its requests.
enum Kind {
    /// By instances of its own.
    Model(Arc<Scheduler>),
    /// By other models.
    Ensemble(Arc<Pipeline>),
}

impl ModelVersion {
    /// A version over its scheduler; both account to `statistics`.
    pub(crate) fn new(
        version: u64,
        spec: ModelSpec,
        scheduler: Scheduler,
        statistics: Arc<Statistics>,
        load_duration: Duration,
    ) -> ModelVersion {
        let scheduler = Arc::new(scheduler.of_version(version, Arc::clone(&statistics)));
        ModelVersion::of_kind(version, spec, Kind::Model(scheduler), statistics, load_duration)
    }

    /// A version of an ensemble; both account to `statistics`.
    pub(crate) fn of_ensemble(
        version: u64,
        spec: ModelSpec,
        pipeline: Pipeline,
        statistics: Arc<Statistics>,
        load_duration: Duration,
    ) -> ModelVersion {
        let pipeline = Arc::new(pipeline.with_account(Arc::clone(&statistics)));
        ModelVersion::of_kind(version, spec, Kind::Ensemble(pipeline), statistics, load_duration)
    }

    fn of_kind(
        version: u64,
        spec: ModelSpec,
        kind: Kind,
        statistics: Arc<Statistics>,
        load_duration: Duration,
    ) -> ModelVersion {
        ModelVersion {
            version,
            spec,
            load_duration,
            statistics,
            kind,
            cache: None,
            unreleased: AtomicUsize::new(0),
            released: Notify::new(),
        }
    }

    /// The same, whose answers are kept there.
    pub(crate) fn with_cache(self, cache: Option<VersionCache>) -> ModelVersion {
        ModelVersion { cache, ..self }
    }

    /// Whether its answers are kept for requests that are the same.
    pub fn keeps_answers(&self) -> bool {
        self.cache.is_some()
    }

    /// The running account.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The account, to go on with.
    pub(crate) fn account(&self) -> Arc<Statistics> {
        Arc::clone(&self.statistics)
    }

    /// Its own instances, if it has any.
    fn scheduler(&self) -> Option<&Arc<Scheduler>> {
        match &self.kind {
            Kind::Model(scheduler) => Some(scheduler),
            Kind::Ensemble(_) => None,
        }
    }

    /// What the engine has loaded; an ensemble has none.
    pub(crate) fn engine_model(&self) -> Option<Arc<dyn Model>> {
        self.scheduler().map(|scheduler| Arc::clone(scheduler.engine_model()))
    }

    /// The models that it runs on, if it is an ensemble.
    pub(crate) fn models(&self) -> impl Iterator<Item = &str> {
        let pipeline = match &self.kind {
            Kind::Model(_) => None,
            Kind::Ensemble(pipeline) => Some(pipeline),
        };
        pipeline.into_iter().flat_map(|pipeline| pipeline.models())
    }

    /// Whether the thread that brings a request may execute it.
    pub(crate) fn is_brief(&self) -> bool {
        self.scheduler().is_some_and(|scheduler| scheduler.is_brief())
    }

    /// How many requests wait for their execution.
    pub fn pending(&self) -> usize {
        self.scheduler().map_or(0, |scheduler| scheduler.pending())
    }

    /// Whether its instances can be counted on: some can execute, and none has been executing for longer than it may. So it
    /// is with an ensemble if it is with all of its models. Takes no lock.
    pub fn is_sound(&self) -> bool {
        match &self.kind {
            Kind::Model(scheduler) => scheduler.is_sound(),
            Kind::Ensemble(pipeline) => pipeline.is_sound(),
        }
    }

    /// Whether no instance can execute: all are to be made anew. Takes no lock.
    pub fn is_outage(&self) -> bool {
        self.scheduler().is_some_and(|scheduler| scheduler.is_outage())
    }

    /// The instances that cannot execute and are made anew. Takes no lock where there is none.
    pub fn mendings(&self) -> Vec<Mending> {
        self.scheduler().map(|scheduler| scheduler.mendings()).unwrap_or_default()
    }

    /// What the queue and the instances are at, of which an ensemble has none.
    pub fn activity(&self) -> Activity {
        self.scheduler().map(|scheduler| scheduler.activity()).unwrap_or_default()
    }

    /// Whether any instance has been executing for longer than it may. Takes no lock.
    pub fn is_stalled(&self) -> bool {
        self.scheduler().is_some_and(|scheduler| scheduler.is_stalled())
    }

    /// From now on, it is a change when instances come or cease to be such as can be counted on.
    pub(crate) fn notify_of_soundness(&self, changes: &Changes) {
        if let Some(scheduler) = self.scheduler() {
            scheduler.notify_of_soundness(changes);
        }
    }

    /// The instances that have been executing for longer than they may. Takes no lock where there is none.
    pub fn stalls(&self) -> Vec<Stall> {
        self.scheduler().map(|scheduler| scheduler.stalls()).unwrap_or_default()
    }

    /// How many threads were called for it and have not begun.
    #[cfg(test)]
    pub(crate) fn called(&self) -> usize {
        self.scheduler().map_or(0, |scheduler| scheduler.called())
    }

    /// How many instances have nothing to do.
    #[cfg(test)]
    pub(crate) fn free_instances(&self) -> usize {
        self.scheduler().map_or(0, |scheduler| scheduler.free_instances())
    }

    /// Queues a request for execution, unless its answer is kept or is being computed for another. Dropping the answer
    /// cancels it. A decoupled model's first response is taken for its answer; see [`ModelVersion::infer_many`].
    pub fn infer(self: &Arc<Self>, admitted: Admitted, received: Instant) -> Answer {
        if let Some(cache) = &self.cache {
            return cache.infer(self, admitted, received);
        }
        let Open { responder, answer } = open(self.call(&admitted, received));
        answer.queued_at(self.queue(admitted, responder, Bringer::Caller))
    }

    /// Queues a request for execution that may get many responses, which take their place in `room` until they are read.
    /// Dropping the responses cancels it.
    pub fn infer_many(
        self: &Arc<Self>,
        admitted: Admitted,
        received: Instant,
        room: &Arc<Room>,
    ) -> Responses {
        let call = self.call(&admitted, received);
        let Open { responder, answer } = open_for_many(call, Arc::clone(room));
        answer.queued_at(self.queue(admitted, responder, Bringer::Caller))
    }

    /// What the exchange of a request needs to know of it.
    pub(crate) fn call(self: &Arc<Self>, admitted: &Admitted, received: Instant) -> Call {
        let trace_id = admitted.meta.trace.as_ref().map(|mark| mark.context().trace_id);
        Call {
            ledger: Arc::clone(self) as Arc<dyn Ledger>,
            rows: admitted.rows,
            received,
            trace_id,
            lookup: None,
        }
    }

    pub(crate) fn queue(&self, admitted: Admitted, responder: Responder, bringer: Bringer) -> Option<Placed> {
        let terms = admitted.terms;
        self.push(self.request(admitted, responder), &terms, bringer)
    }

    /// Looks for the answer to a request of an ensemble's step, if answers are kept for such.
    pub(crate) fn ask(&self, admitted: &mut Admitted) -> Option<Asked> {
        self.cache.as_ref()?.ask(admitted)
    }

    /// Queues the request of an ensemble's step, unless its answer is kept or is being computed for another.
    pub(crate) fn queue_step(
        self: &Arc<Self>,
        admitted: Admitted,
        responder: Responder,
        asked: Option<Asked>,
        asker: Asker,
        bringer: Bringer,
    ) {
        let responder = match (&self.cache, asked) {
            (Some(cache), Some(asked)) => {
                return cache.enter(self, admitted, responder, asked, asker, bringer);
            }
            (Some(cache), None) => cache.in_order(responder),
            (None, _) => responder,
        };
        asker.tell(self.queue(admitted, responder, bringer), &**self);
    }

    /// A request that it has taken, to be pushed or answered.
    pub(crate) fn request(&self, admitted: Admitted, responder: Responder) -> Request {
        let Admitted { inputs, wanted, rows, meta, .. } = admitted;
        self.unreleased.fetch_add(1, Ordering::Relaxed);
        Request::new(inputs, wanted, rows, meta, responder)
    }

    /// Queues a request that it has taken.
    pub(crate) fn push(&self, request: Request, terms: &QueueTerms, bringer: Bringer) -> Option<Placed> {
        match &self.kind {
            Kind::Model(scheduler) => scheduler.push(request, terms, bringer),
            Kind::Ensemble(pipeline) => {
                pipeline.push(request, terms, bringer);
                None
            }
        }
    }

    /// How far a request goes into models.
    pub(crate) fn extent(&self) -> Extent {
        match &self.kind {
            Kind::Model(_) => Extent::MODEL,
            Kind::Ensemble(pipeline) => pipeline.extent(),
        }
    }

    /// Accounts for a request that was refused before it was queued.
    pub fn refused(&self, received: Instant) {
        self.statistics.failed(FailureReason::Other, received.elapsed());
    }

    /// Answers what waits with an error and takes nothing more; what is being executed goes on.
    pub fn close(&self) {
        let stopping = "Server is stopping, scheduler for model has stopped accepting new inference requests";
        let reason = BackendError::new(Code::Unavailable, stopping);
        match &self.kind {
            Kind::Model(scheduler) => scheduler.close(&reason),
            Kind::Ensemble(pipeline) => pipeline.close(&reason),
        }
    }

    /// Nobody finds it any more: what it has taken is executed.
    pub(crate) fn retire(&self) {
        if let Kind::Model(scheduler) = &self.kind {
            scheduler.retire();
        }
    }

    /// Returns when every request that was taken was released; it goes on taking others.
    pub async fn settled(&self) {
        loop {
            let released = self.released.notified();
            if self.unreleased.load(Ordering::Acquire) == 0 {
                return;
            }
            released.await;
        }
    }
}

impl Ledger for ModelVersion {
    fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    fn withdraw(&self, ticket: Ticket) -> Option<Request> {
        self.scheduler()?.withdraw(ticket)
    }

    fn released(&self) {
        if self.unreleased.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.released.notify_waiters();
        }
    }
}
