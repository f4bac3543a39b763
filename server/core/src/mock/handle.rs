use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use nerite_backend::{
    BackendError, Batch, Cancel, Condition, Executions, InstanceSpec, Phases, Request, Response,
};

use super::Fault;
use super::engine::Shared;

/// Longer than anything here takes on the slowest machine; reached only where a test fails.
const LIMIT: Duration = Duration::from_secs(20);

/// The test's end of a [`MockEngine`](super::MockEngine).
pub(crate) struct Handle {
    arrived: Receiver<Execution>,
    shared: Arc<Shared>,
}

impl Handle {
    pub(super) fn new(arrived: Receiver<Execution>, shared: Arc<Shared>) -> Handle {
        Handle { arrived, shared }
    }

    /// The next batch that the server executes.
    #[track_caller]
    pub(crate) fn next(&self) -> Execution {
        self.arrived.recv_timeout(LIMIT).expect("the server executes another batch")
    }

    /// Whether a batch has arrived that the test has not seen.
    pub(crate) fn has_next(&self) -> bool {
        // What is taken here is let go, unanswered, so that a wrong test fails and does not hang.
        !matches!(self.arrived.try_recv(), Err(TryRecvError::Empty))
    }

    /// How many batches were executed so far.
    pub(crate) fn executions(&self) -> usize {
        self.shared.executions.load(SeqCst)
    }

    /// How many were executed at once, at most.
    pub(crate) fn most_at_once(&self) -> usize {
        self.shared.most_running.load(SeqCst)
    }

    /// How many instances were made so far.
    pub(crate) fn instances(&self) -> usize {
        self.shared.instances.load(SeqCst)
    }

    /// How many instances there are now.
    pub(crate) fn instances_alive(&self) -> usize {
        self.shared.instances_alive.load(SeqCst)
    }

    /// Makes the engine say that its executions are brief.
    pub(crate) fn be_brief(&self) {
        self.shared.is_brief.store(true, SeqCst);
    }

    /// Makes it go wrong that the engine lets go of the next instance.
    pub(crate) fn fail_drop(&self, fault: Fault) {
        *self.shared.drop_fault.lock() = Some(fault);
    }

    /// Makes every later load of that version go wrong.
    pub(crate) fn fail_load(&self, model: &str, version: u64, fault: Fault) {
        self.shared.load_faults.lock().insert((model.to_owned(), version), fault);
    }

    /// Makes loads of that version go well again.
    pub(crate) fn mend_load(&self, model: &str, version: u64) {
        self.shared.load_faults.lock().remove(&(model.to_owned(), version));
    }

    /// Does something in the middle of the next load of that version, when its files have been read.
    pub(crate) fn during_load(&self, model: &str, version: u64, act: impl FnOnce() + Send + 'static) {
        self.shared.meanwhile.lock().insert((model.to_owned(), version), Box::new(act));
    }

    /// How many loads the engine was asked for so far.
    pub(crate) fn loads(&self) -> usize {
        self.shared.loads.load(SeqCst)
    }

    /// Whether the last load of that version was cancelled.
    pub(crate) fn was_cancelled(&self, model: &str, version: u64) -> bool {
        self.shared.cancels.lock().get(&(model.to_owned(), version)).is_some_and(Cancel::is_cancelled)
    }

    /// Makes the next load of that version wait until what this gives is dropped.
    pub(crate) fn hold_load(&self, model: &str, version: u64) -> Sender<()> {
        let (held, let_go) = channel();
        self.shared.load_gates.lock().insert((model.to_owned(), version), let_go);
        held
    }

    /// Makes instances go well again.
    pub(crate) fn mend_instances(&self) {
        *self.shared.instance_fault.lock() = None;
    }

    /// The name of the thread that the last instance was made on.
    pub(crate) fn made_on(&self) -> String {
        self.shared.made_on.lock().clone()
    }

    /// How many instances could not be made so far.
    pub(crate) fn failed_instances(&self) -> usize {
        self.shared.failed_instances.load(SeqCst)
    }

    /// Makes the next instance wait to be made until what this gives is dropped.
    pub(crate) fn hold_instance(&self) -> Sender<()> {
        let (held, let_go) = channel();
        *self.shared.instance_gate.lock() = Some(let_go);
        held
    }

    /// Whether an instance that was to wait does.
    pub(crate) fn holds_instance(&self) -> bool {
        self.shared.instance_gate.lock().is_none()
    }

    /// What every instance says when it is asked whether it can execute; until this is called, none can tell.
    pub(crate) fn say_ready(&self, answer: Result<(), Fault>) {
        *self.shared.ready.lock() = Some(answer);
    }

    /// Makes every later instance go wrong.
    pub(crate) fn fail_instances(&self, fault: Fault) {
        *self.shared.instance_fault.lock() = Some(fault);
    }
}

/// A batch that an instance is busy with. Dropping it frees the instance and releases the requests unanswered.
pub(crate) struct Execution {
    pub(crate) instance: String,
    /// The name of the thread that the instance executes on.
    pub(crate) thread: String,
    requests: Vec<Request>,
    executions: Arc<dyn Executions>,
    /// What `execute` is to say of the instance.
    condition: Condition,
    end: Sender<End>,
}

/// What `execute` is told to do.
pub(super) enum End {
    Return(Condition),
    /// Panic while it has the batch.
    Panic(Vec<Request>),
    /// Keep the thread.
    Loss(BackendError),
}

impl Execution {
    pub(super) fn new(spec: &InstanceSpec, batch: Batch, end: Sender<End>) -> Execution {
        let executions = Arc::clone(&spec.executions);
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        let (instance, requests) = (spec.name.clone(), batch.into_requests());
        Execution { instance, thread, requests, executions, condition: Condition::Sound, end }
    }

    /// The ids of the requests, in the order of the batch.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.requests.iter().map(|request| request.meta().id.clone()).collect()
    }

    /// The requests, to be looked at.
    pub(crate) fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// Answers every request with its own inputs, releases it, and then returns from `execute`.
    pub(crate) fn succeed(mut self) {
        self.account();
        self.requests.drain(..).for_each(|request| answer(&request));
    }

    /// Answers every request with an error, releases it, and then returns from `execute`.
    pub(crate) fn fail(mut self, error: &BackendError) {
        for request in self.requests.drain(..) {
            request.report(&phases(), Err(error));
            request.fail(error.clone());
        }
    }

    /// The same, and `execute` says that it may be the instance's fault.
    pub(crate) fn fail_doubtfully(mut self, error: &BackendError) {
        self.condition = Condition::Doubtful(error.clone());
        self.fail(error);
    }

    /// The same, and `execute` says that the instance cannot execute any more.
    pub(crate) fn break_down(mut self, error: &BackendError) {
        self.condition = Condition::Broken(error.clone());
        self.fail(error);
    }

    /// Answers every request with an error, and never returns from `execute`.
    pub(crate) fn lose_thread(mut self, reason: &BackendError) {
        let end = self.end.clone();
        let requests = std::mem::take(&mut self.requests);
        requests.into_iter().for_each(|request| request.fail(reason.clone()));
        end.send(End::Loss(reason.clone())).expect("the instance waits");
    }

    /// Returns from `execute` while the requests live on.
    pub(crate) fn leave(mut self) -> Vec<Request> {
        self.account();
        std::mem::take(&mut self.requests)
    }

    /// Panics in `execute`, which still has the requests.
    pub(crate) fn panic(mut self) {
        let requests = std::mem::take(&mut self.requests);
        self.end.send(End::Panic(requests)).expect("the instance waits");
    }

    fn account(&self) {
        self.executions.executed(self.requests.iter().map(Request::rows).sum(), &phases());
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        self.requests.clear();
        // It may have been told to panic, or be gone, already.
        drop(self.end.send(End::Return(self.condition.clone())));
    }
}

/// Answers a request with its own inputs, and does not release it.
pub(crate) fn answer(request: &Request) {
    request.report(&phases(), Ok(()));
    let given = request.inputs().iter().enumerate();
    let outputs = given.filter_map(|(slot, tensor)| Some((slot, tensor.clone()?))).collect();
    request.responder().send(Response::complete(outputs));
}

/// An execution in no time.
pub(crate) fn phases() -> Phases {
    let now = Instant::now();
    Phases { start: now, input_end: now, infer_end: now, end: now }
}
