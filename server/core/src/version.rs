use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nerite_backend::{BackendError, Code, Model, Request, Responder};
use tokio::sync::Notify;

use crate::admission::Admitted;
use crate::changes::Changes;
use crate::execution::{
    Activity, Answer, Call, Ledger, Mending, Open, Placed, Responses, Room, Scheduler, Stall, Ticket, open,
    open_for_many,
};
use crate::model::ModelSpec;
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
    scheduler: Arc<Scheduler>,
    unreleased: AtomicUsize,
    released: Notify,
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
        ModelVersion {
            version,
            spec,
            load_duration,
            statistics,
            scheduler,
            unreleased: AtomicUsize::new(0),
            released: Notify::new(),
        }
    }

    /// The running account.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The account, to go on with.
    pub(crate) fn account(&self) -> Arc<Statistics> {
        Arc::clone(&self.statistics)
    }

    /// What the engine has loaded.
    pub(crate) fn engine_model(&self) -> Arc<dyn Model> {
        Arc::clone(self.scheduler.engine_model())
    }

    /// How many requests wait for their execution.
    pub fn pending(&self) -> usize {
        self.scheduler.pending()
    }

    /// Whether its instances can be counted on: some can execute, and none has been executing for longer than it may. Takes
    /// no lock.
    pub fn is_sound(&self) -> bool {
        self.scheduler.is_sound()
    }

    /// Whether no instance can execute: all are to be made anew. Takes no lock.
    pub fn is_outage(&self) -> bool {
        self.scheduler.is_outage()
    }

    /// The instances that cannot execute and are made anew. Takes no lock where there is none.
    pub fn mendings(&self) -> Vec<Mending> {
        self.scheduler.mendings()
    }

    /// What the queue and the instances are at.
    pub fn activity(&self) -> Activity {
        self.scheduler.activity()
    }

    /// Whether any instance has been executing for longer than it may. Takes no lock.
    pub fn is_stalled(&self) -> bool {
        self.scheduler.is_stalled()
    }

    /// From now on, it is a change when instances come or cease to be such as can be counted on.
    pub(crate) fn notify_of_soundness(&self, changes: &Changes) {
        self.scheduler.notify_of_soundness(changes);
    }

    /// The instances that have been executing for longer than they may. Takes no lock where there is none.
    pub fn stalls(&self) -> Vec<Stall> {
        self.scheduler.stalls()
    }

    /// How many threads were called for it and have not begun.
    #[cfg(test)]
    pub(crate) fn called(&self) -> usize {
        self.scheduler.called()
    }

    /// How many instances have nothing to do.
    #[cfg(test)]
    pub(crate) fn free_instances(&self) -> usize {
        self.scheduler.free_instances()
    }

    /// Queues a request for execution. Dropping the answer cancels it. A decoupled model's first response is taken for its
    /// answer; see [`ModelVersion::infer_many`].
    pub fn infer(self: &Arc<Self>, admitted: Admitted, received: Instant) -> Answer {
        let Open { responder, answer } = open(self.call(&admitted, received));
        answer.queued_at(self.queue(admitted, responder))
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
        answer.queued_at(self.queue(admitted, responder))
    }

    fn call(self: &Arc<Self>, admitted: &Admitted, received: Instant) -> Call {
        let trace_id = admitted.meta.trace.as_ref().map(|mark| mark.context().trace_id);
        Call { ledger: Arc::clone(self) as Arc<dyn Ledger>, rows: admitted.rows, received, trace_id }
    }

    fn queue(&self, admitted: Admitted, responder: Responder) -> Option<Placed> {
        let Admitted { inputs, wanted, rows, meta, terms } = admitted;
        self.unreleased.fetch_add(1, Ordering::Relaxed);
        self.scheduler.push(Request::new(inputs, wanted, rows, meta, responder), &terms)
    }

    /// Accounts for a request that was refused before it was queued.
    pub fn refused(&self, received: Instant) {
        self.statistics.failed(FailureReason::Other, received.elapsed());
    }

    /// Answers what waits with an error and takes nothing more; what is being executed goes on.
    pub fn close(&self) {
        let stopping = "Server is stopping, scheduler for model has stopped accepting new inference requests";
        self.scheduler.close(&BackendError::new(Code::Unavailable, stopping));
    }

    /// Nobody finds it any more: what it has taken is executed.
    pub(crate) fn retire(&self) {
        self.scheduler.retire();
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
        self.scheduler.withdraw(ticket)
    }

    fn released(&self) {
        if self.unreleased.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.released.notify_waiters();
        }
    }
}
