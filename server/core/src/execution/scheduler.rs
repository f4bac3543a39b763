//! A model version's queue and free instances under one short lock.
//!
//! Whoever changes either asks what to do next and does it when the lock is released. The decisions themselves are those
//! of [`decide`](super::decide), [`Queue`] and [`Pace`], which are pure.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Instant;

use nerite_backend::{BackendError, Batch, Code, Model, Request};

use super::call::TIMEOUT_EXPIRED;
use super::clock::Alarm;
use super::decide::{Candidate, Decision, Policy, decide};
use super::executor::Lost;
use super::order::ResponseOrder;
use super::pace::{Pace, Place};
use super::queue::{Arrival, Entry, Expiry, Placed, Queue, Ticket};
use super::{Executor, Job, Machinery};
use crate::admission::{QueueTerms, RequestPrefix};
use crate::model::{ModelSpec, Scheduling};
use crate::rate_limiter::Claim;
use crate::statistics::Statistics;
use crate::sync::{Mutex, MutexGuard};

/// A model version's queue and free instances.
///
/// A request that finds an instance free calls a thread for it. A batch is made up when its thread begins, not when it is
/// called: a call takes some 25 µs, in which more requests come, and a thread that was called for the first of them takes
/// them all. A thread of the pool that finishes a batch takes the next one itself.
pub struct Scheduler {
    model: Arc<dyn Model>,
    scheduling: Scheduling,
    policy: Policy,
    likeness: Likeness,
    order: Option<Arc<ResponseOrder>>,
    statistics: Arc<Statistics>,
    machinery: Arc<Machinery>,
    state: Mutex<State>,
}

struct State {
    queue: Queue<Request>,
    /// Instances that may execute now.
    free: Vec<Executor>,
    /// Instances with nothing to do that need the rate limiter's leave first.
    idle: Vec<Executor>,
    /// Instances that wait for that leave.
    staged: usize,
    /// Threads that were called and have not begun; each will find a free instance.
    called: usize,
    /// Executions on threads of the network.
    inline: usize,
    /// Instances, whatever they do.
    instances: usize,
    /// Nothing is executed before so many requests wait.
    hold: usize,
    /// The earliest alarm that is set.
    alarm: Option<Instant>,
    /// For how many rows the last decision to wait is waiting; 0 if something has changed since.
    waits_for_rows: u32,
    pace: Pace,
    /// Why no more requests are taken.
    closed: Option<BackendError>,
}

/// Whether requests of a model may differ in a way that keeps them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Likeness {
    /// Every request that was admitted has the same inputs, in the same shapes but for the rows.
    Given,
    /// Requests are to be compared.
    Compared,
}

/// A call to a thread: there is something to execute, and an instance to do it.
pub struct Dispatch(Arc<Scheduler>);

/// What is to be done once the lock is released.
enum Step {
    Nothing,
    /// Call a thread of the pool.
    Call,
    /// Call a thread of the network; `patient` if more requests are likely to be on their way.
    CallInline {
        patient: bool,
    },
    /// Let the rate limiter say when this one may execute.
    Stage(Executor),
    /// Look again at that time.
    SetAlarm(Instant),
}

/// Requests to be executed as a batch, and an instance for them.
struct Assignment {
    executor: Executor,
    requests: Vec<Request>,
}

/// An execution that is over.
#[derive(Clone, Copy)]
struct Execution {
    place: Place,
    began: Instant,
    ended: Instant,
    requests: usize,
}

/// What a look at the queue led to.
struct Work {
    assignment: Option<Assignment>,
    /// Requests that must not be executed any more.
    expired: Vec<(Request, Expiry)>,
    /// Leave that nobody makes use of.
    unused: Vec<Arc<Claim>>,
    step: Step,
}

impl Scheduler {
    /// A scheduler over these instances of the model.
    pub fn new(
        spec: &ModelSpec,
        model: Arc<dyn Model>,
        executors: Vec<Executor>,
        statistics: Arc<Statistics>,
        machinery: Arc<Machinery>,
    ) -> Scheduler {
        let fixed = spec.inputs.iter().all(|input| !input.optional && !input.dims.is_dynamic());
        let instances = executors.len();
        let (idle, free) = executors.into_iter().partition(|executor| executor.claim().is_some());
        let state = State {
            queue: Queue::new(&spec.scheduling.levels),
            free,
            idle,
            staged: 0,
            called: 0,
            inline: 0,
            instances,
            hold: if spec.scheduling.dynamic_batching { machinery.hold } else { 0 },
            alarm: None,
            waits_for_rows: 0,
            pace: Pace::new(),
            closed: None,
        };
        Scheduler {
            model,
            scheduling: spec.scheduling.clone(),
            policy: Policy::of(spec),
            likeness: if fixed { Likeness::Given } else { Likeness::Compared },
            order: spec.scheduling.preserve_ordering.then(Arc::default),
            statistics,
            machinery,
            state: Mutex::new(state),
        }
    }

    /// Takes a request; it is answered whatever happens. `None` if that has been done already.
    pub(crate) fn push(self: &Arc<Self>, request: Request, terms: &QueueTerms) -> Option<Placed> {
        let now = self.machinery.clock.now();
        let arrival = Arrival {
            level: self.scheduling.level(terms.priority),
            rows: request.rows(),
            now,
            timeout: terms.timeout,
            deadline: terms.deadline,
        };
        let mut state = self.state.lock();
        if let Some(reason) = state.closed.clone() {
            drop(state);
            request.fail(reason);
            return None;
        }
        match state.queue.push(arrival, request) {
            Ok(placed) => {
                self.statistics.pending_changed(1);
                let step = self.next_step(&mut state, now);
                drop(state);
                self.take(step);
                Some(placed)
            }
            Err(request) => {
                drop(state);
                let prefix = RequestPrefix(&request.meta().id);
                let full = format!("{prefix}Exceeds maximum queue size");
                request.fail(BackendError::new(Code::Unavailable, full));
                None
            }
        }
    }

    /// Gives a request back that waits, which will then never be executed; `None` if it does not wait any more.
    pub(crate) fn withdraw(&self, ticket: Ticket) -> Option<Request> {
        let mut state = self.state.lock();
        let request = state.queue.remove(ticket)?;
        state.waits_for_rows = 0;
        drop(state);
        self.statistics.pending_changed(-1);
        Some(request)
    }

    /// Takes no more requests and answers those that wait with `reason`; those being executed go on.
    pub fn close(&self, reason: &BackendError) {
        let mut state = self.state.lock();
        state.closed = Some(reason.clone());
        let waiting = state.queue.len();
        let waiting = state.queue.take(waiting);
        drop(state);
        self.statistics.pending_changed(-(waiting.len() as i64));
        waiting.into_iter().for_each(|request| request.fail(reason.clone()));
    }

    /// An instance of this model may execute, by leave of the rate limiter.
    pub(crate) fn granted(self: &Arc<Self>, executor: Executor) {
        let mut state = self.state.lock();
        state.staged -= 1;
        state.free.push(executor);
        self.look_on(state);
    }

    /// An execution on a thread of the network takes too long.
    pub(super) fn overdue(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.pace.disappoint();
        self.look_on(state);
    }

    /// How many instances have nothing to do.
    #[cfg(test)]
    pub(crate) fn free_instances(&self) -> usize {
        let state = self.state.lock();
        state.free.len() + state.idle.len()
    }

    /// Does what is to be done now, without a batch for this thread.
    fn look_on(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let now = self.machinery.clock.now();
        let step = self.next_step(&mut state, now);
        let unused = self.unused_leave(&mut state);
        self.finish(state, Work { assignment: None, expired: Vec::new(), unused, step });
    }

    /// A called thread begins: the batch for it, unless there is none by now.
    fn begin(self: &Arc<Self>, place: Place) -> Option<Assignment> {
        let mut state = self.state.lock();
        state.called -= 1;
        let mut work = self.work(&mut state, true);
        state.inline += usize::from(place == Place::Inline && work.assignment.is_some());
        let assignment = work.assignment.take();
        self.finish(state, work);
        assignment
    }

    /// A batch has been executed. The next one, if this thread is to take it.
    fn executed(
        self: &Arc<Self>,
        executed: Result<Executor, Lost>,
        execution: Execution,
    ) -> Option<Assignment> {
        let claim = match &executed {
            Ok(executor) => executor.claim().cloned(),
            Err(lost) => lost.claim.clone(),
        };
        if let Some(claim) = &claim {
            claim.limiter().release(claim);
        }
        let next = self.take_back(executed, execution);
        if let Some(claim) = claim {
            claim.limiter().grant();
        }
        next
    }

    /// Takes an instance back after an execution. The next batch, if this thread is to take it.
    fn take_back(
        self: &Arc<Self>,
        executed: Result<Executor, Lost>,
        execution: Execution,
    ) -> Option<Assignment> {
        let Execution { place, began, ended, requests } = execution;
        let mut state = self.state.lock();
        state.inline -= usize::from(place == Place::Inline);
        if requests > 0 {
            state.pace.observe(place, ended.saturating_duration_since(began), requests, ended);
        }
        match executed {
            Ok(executor) if executor.claim().is_some() => state.idle.push(executor),
            Ok(executor) => state.free.push(executor),
            Err(Lost { error, .. }) => {
                state.instances -= 1;
                if state.instances == 0 {
                    drop(state);
                    let message = format!("no instance of the model is left: {error}");
                    tracing::error!("{message}");
                    self.close(&BackendError::new(Code::Unavailable, message));
                    return None;
                }
            }
        }
        // A model that may go to the network's threads is sent there.
        let stays = place == Place::Pool && !(state.pace.is_fast() && self.machinery.inline.is_some());
        let mut work = self.work(&mut state, stays);
        let assignment = work.assignment.take();
        self.finish(state, work);
        assignment
    }

    /// A look at the queue, with a batch for this thread if it `takes` one.
    fn work(&self, state: &mut State, takes: bool) -> Work {
        let now = self.machinery.clock.now();
        let mut expired = Vec::new();
        let assignment = if takes { self.assign(state, now, &mut expired) } else { None };
        let step = self.next_step(state, now);
        Work { assignment, expired, unused: self.unused_leave(state), step }
    }

    /// Releases the lock and does what follows from a look.
    fn finish(self: &Arc<Self>, state: MutexGuard<'_, State>, work: Work) {
        drop(state);
        self.take(work.step);
        for (request, why) in work.expired {
            request.fail(expiry_error(why));
        }
        for claim in work.unused {
            claim.limiter().release(&claim);
            claim.limiter().grant();
        }
    }

    /// The batch to be executed now, if any, and the instance for it.
    fn assign(
        &self,
        state: &mut State,
        now: Instant,
        expired: &mut Vec<(Request, Expiry)>,
    ) -> Option<Assignment> {
        if state.is_held() {
            return None;
        }
        state.queue.age(now, self.policy.most_requests() + 1, expired);
        self.statistics.pending_changed(-(expired.len() as i64));
        state.waits_for_rows = 0;
        let Decision::Dispatch(count) =
            decide(self.candidates(&state.queue), state.free.len(), &self.policy, now)
        else {
            return None;
        };
        let executor = state.free.pop()?;
        let mut requests = state.queue.take(count);
        self.statistics.pending_changed(-(requests.len() as i64));
        if let Some(order) = &self.order {
            let in_order = |request: Request| request.answered_through(|responder| order.enter(responder));
            requests = requests.into_iter().map(in_order).collect();
        }
        Some(Assignment { executor, requests })
    }

    /// Whether one more thread is to be called, or an instance is to be staged, or an alarm set.
    fn next_step(&self, state: &mut State, now: Instant) -> Step {
        let batches = self.policy.batches(state.queue.len(), state.queue.rows());
        let coming = state.called + state.staged;
        if coming >= batches || state.is_held() {
            return Step::Nothing;
        }
        if !self.policy.is_greedy() {
            // Whoever is coming looks again.
            if coming > 0 || state.queue.rows() < u64::from(state.waits_for_rows) && self.may_wait(state, now)
            {
                return Step::Nothing;
            }
            match decide(self.candidates(&state.queue), 1, &self.policy, now) {
                Decision::Dispatch(_) => state.waits_for_rows = 0,
                Decision::Wait { until, rows } => {
                    state.waits_for_rows = rows;
                    return state.set_alarm(until);
                }
                Decision::Idle => return Step::Nothing,
            }
        }
        if state.free.len() > state.called {
            state.called += 1;
            return match &self.machinery.inline {
                Some(_) if state.pace.is_fast() => Step::CallInline { patient: state.pace.is_busy(now) },
                _ => Step::Call,
            };
        }
        match state.idle.pop() {
            Some(executor) => {
                state.staged += 1;
                Step::Stage(executor)
            }
            None => Step::Nothing,
        }
    }

    /// Whether a decision to wait holds, since nothing has come that could change it.
    fn may_wait(&self, state: &State, now: Instant) -> bool {
        self.likeness == Likeness::Given && state.alarm.is_some_and(|alarm| now < alarm)
    }

    /// Takes leave back that no called thread will make use of: what is held keeps others waiting.
    fn unused_leave(&self, state: &mut State) -> Vec<Arc<Claim>> {
        let mut unused = Vec::new();
        while state.free.len() > state.called
            && let Some(executor) = state.free.pop_if(|executor| executor.claim().is_some())
        {
            unused.extend(executor.claim().cloned());
            state.idle.push(executor);
        }
        unused
    }

    fn take(self: &Arc<Self>, step: Step) {
        match step {
            Step::Nothing => {}
            Step::Call => self.machinery.threads.run(Dispatch(Arc::clone(self))),
            Step::CallInline { patient } => match &self.machinery.inline {
                Some(inline) => inline.run(Dispatch(Arc::clone(self)), patient),
                None => self.machinery.threads.run(Dispatch(Arc::clone(self))),
            },
            Step::Stage(executor) => {
                if let Some(claim) = executor.claim().cloned() {
                    claim.limiter().stage(self, &claim, executor);
                }
            }
            Step::SetAlarm(at) => {
                let weak: Weak<Scheduler> = Arc::downgrade(self);
                self.machinery.clock.ring_at(at, weak);
            }
        }
    }

    /// Executes a batch on this thread; the next one, if this thread is to take it.
    fn execute(self: &Arc<Self>, assignment: Assignment, place: Place) -> Option<Assignment> {
        let Assignment { executor, mut requests } = assignment;
        // The last look: who gave up by now is not executed.
        requests.retain(|request| !request.cancel().is_cancelled());
        let count = requests.len();
        let began = self.machinery.clock.now();
        let executed = match count {
            0 => Ok(executor),
            _ => executor.execute(Batch::new(requests), &*self.model),
        };
        let ended = self.machinery.clock.now();
        // On a busy machine this lets the network bring what it has: a larger batch, and no sleep and wake-up of this
        // thread in between. Where nothing else wants the core it returns at once.
        if place == Place::Pool && self.policy.combines() {
            thread::yield_now();
        }
        self.executed(executed, Execution { place, began, ended, requests: count })
    }

    fn candidates<'a>(&self, queue: &'a Queue<Request>) -> impl Iterator<Item = Candidate> + use<'a> {
        let likeness = self.likeness;
        let first = queue.iter().next().map(|entry| &entry.item);
        queue.iter().map(move |Entry { rows, enqueued, item, .. }| Candidate {
            rows: *rows,
            enqueued: *enqueued,
            like_first: likeness == Likeness::Given || first.is_some_and(|first| alike(first, item)),
        })
    }
}

impl State {
    /// Whether nothing is executed yet; once enough have waited, that is over for good.
    fn is_held(&mut self) -> bool {
        if self.queue.len() >= self.hold {
            self.hold = 0;
        }
        self.hold > 0
    }

    fn set_alarm(&mut self, at: Instant) -> Step {
        if self.alarm.is_some_and(|set| set <= at) {
            return Step::Nothing;
        }
        self.alarm = Some(at);
        Step::SetAlarm(at)
    }
}

impl Alarm for Scheduler {
    fn ring(self: Arc<Self>) {
        let mut state = self.state.lock();
        state.alarm = None;
        self.look_on(state);
    }
}

fn expiry_error(why: Expiry) -> BackendError {
    match why {
        Expiry::Timeout => BackendError::new(Code::Unavailable, TIMEOUT_EXPIRED),
        Expiry::Deadline => {
            BackendError::new(Code::Cancelled, "the caller's deadline passed while it waited")
        }
    }
}

/// Whether two requests give the same inputs in shapes that agree in all but the rows.
fn alike(first: &Request, other: &Request) -> bool {
    let pairs = first.inputs().iter().zip(other.inputs());
    pairs.into_iter().all(|pair| match pair {
        (Some(a), Some(b)) => a.shape.get(1..) == b.shape.get(1..),
        (None, None) => true,
        _ => false,
    })
}

impl Dispatch {
    /// Whose queue it is about.
    pub(super) fn scheduler(&self) -> &Arc<Scheduler> {
        &self.0
    }

    /// Executes what there is on this thread, which is one of the network's.
    pub(super) fn execute_inline(self) {
        if let Some(assignment) = self.0.begin(Place::Inline) {
            // The next one is another task's: the network goes first.
            self.0.execute(assignment, Place::Inline);
        }
    }

    /// No thread of the network may execute it now. One that is executing this model will look again when it has done
    /// so; otherwise a thread of the pool takes it.
    pub(super) fn refused(self) {
        let mut state = self.0.state.lock();
        if state.inline > 0 {
            state.called -= 1;
            return;
        }
        drop(state);
        let threads = Arc::clone(&self.0.machinery.threads);
        threads.run(self);
    }
}

impl Job for Dispatch {
    fn run(self) {
        let Dispatch(scheduler) = self;
        let mut assignment = scheduler.begin(Place::Pool);
        while let Some(assigned) = assignment {
            assignment = scheduler.execute(assigned, Place::Pool);
        }
    }
}
