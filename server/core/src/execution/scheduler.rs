use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use nerite_backend::{BackendError, Code, Model, Request};

use super::call::TIMEOUT_EXPIRED;
use super::clock::Alarm;
use super::queue::{Arrival, Expiry, Placed, Ticket};
use super::remains::{OnGone, Remains};
use super::sequence::Hold;
use super::stall::{Found, Stall};
use super::state::{Activity, Expired, Refused, State, Step};
use super::ward::Mending;
use super::{Bringer, Dispatch, Executor, Machinery};
use crate::admission::QueueTerms;
use crate::changes::Changes;
use crate::model::{ModelSpec, SequenceBatching};
use crate::rate_limiter::Claim;
use crate::statistics::Statistics;
use crate::sync::{Mutex, MutexGuard};

/// A model version's [`State`] under one short lock. Whoever changes it asks what to do next, and does that when the lock
/// is released.
///
/// A request that finds an instance free calls a thread for it. A batch is made up when its thread begins, not when it is
/// called: a call takes some 25 µs, in which more requests come, and a thread that was called for the first of them takes
/// them all.
pub(crate) struct Scheduler {
    /// There until it is dropped.
    model: Option<Arc<dyn Model>>,
    pub(super) machinery: Arc<Machinery>,
    pub(super) combines: bool,
    brief: bool,
    /// Whether the number of rows does not tell how much there is to compute.
    is_ragged: bool,
    /// What its configuration says of sequences, if its requests are parts of such.
    pub(super) sequences: Option<Arc<SequenceBatching>>,
    pub(super) state: Mutex<State>,
    /// The account of the model's version.
    pub(super) statistics: Arc<Statistics>,
    /// How many instances are stalled. Changed with the state locked, to be read without.
    stalled: AtomicUsize,
    /// How many instances cannot execute and are made anew. Changed with the state locked, to be read without.
    pub(super) mending: AtomicUsize,
    /// Whether no instance can execute. The same.
    pub(super) outage: AtomicBool,
    /// Who is to hear of instances that cannot be counted on, once the version is served.
    changes: OnceLock<Changes>,
    /// The model's name and version, for the log.
    pub(super) name: String,
    pub(super) version: u64,
    on_gone: Option<OnGone>,
}

/// What a look at the state led to besides a batch.
pub(super) struct Look {
    pub(super) step: Step,
    pub(super) expired: Expired,
    /// Grants to be given back.
    unused: Vec<Arc<Claim>>,
}

impl Look {
    /// What is to be done next.
    pub(super) fn at(state: &mut State, expired: Expired, machinery: &Machinery) -> Look {
        let now = machinery.clock.now();
        let mut expired = expired;
        expired.extend(state.expire_sequences(now));
        let step = state.next_step(now);
        Look { step, expired, unused: state.unused_grants(now) }
    }

    /// Nothing is to be done, since somebody else looks later; but what is held for now keeps others waiting.
    pub(super) fn of_nothing(state: &mut State, machinery: &Machinery) -> Look {
        let unused = state.unused_grants(machinery.clock.now());
        Look { step: Step::Nothing, expired: Vec::new(), unused }
    }
}

impl Scheduler {
    /// A scheduler over these instances of the model.
    pub(crate) fn new(
        spec: &ModelSpec,
        model: Arc<dyn Model>,
        executors: Vec<Executor>,
        machinery: Arc<Machinery>,
    ) -> Scheduler {
        Scheduler {
            model: Some(model),
            combines: spec.combines(),
            brief: spec.scheduling.brief,
            is_ragged: !spec.ragged.inputs.is_empty(),
            sequences: spec.sequences.clone(),
            state: Mutex::new(State::new(
                spec,
                executors,
                Hold { ready: machinery.hold, backlog: machinery.backlog_hold },
                machinery.stall,
            )),
            machinery,
            statistics: Arc::default(),
            stalled: AtomicUsize::new(0),
            mending: AtomicUsize::new(0),
            outage: AtomicBool::new(false),
            changes: OnceLock::new(),
            name: spec.name.clone(),
            version: 0,
            on_gone: None,
        }
    }

    /// The same, which calls its model's version by this number in the log, and keeps its account there.
    pub(crate) fn of_version(self, version: u64, statistics: Arc<Statistics>) -> Scheduler {
        // The fields of what can be dropped cannot be moved out of it.
        let mut scheduler = self;
        scheduler.version = version;
        scheduler.statistics = statistics;
        scheduler
    }

    /// The same, which calls that once it is gone, and lets go of its model on a thread of its own: engines may take long
    /// over it, and nobody knows which thread is the last to need it.
    pub(crate) fn when_gone(self, on_gone: Option<OnGone>) -> Scheduler {
        let mut scheduler = self;
        scheduler.on_gone = on_gone;
        scheduler
    }

    /// What the engine has loaded.
    pub(crate) fn engine_model(&self) -> &Arc<dyn Model> {
        self.model.as_ref().expect("it is there until the scheduler is dropped")
    }

    /// Whether an execution takes so little, whatever it is given, that its caller need not be able to give up meanwhile.
    pub(crate) fn is_brief(&self) -> bool {
        self.brief || (!self.is_ragged && self.engine_model().is_brief())
    }

    /// Whether its instances can be counted on: some can execute, and all come back.
    pub(crate) fn is_sound(&self) -> bool {
        !self.is_stalled() && !self.is_outage()
    }

    /// Whether no instance can execute. Takes no lock.
    pub(crate) fn is_outage(&self) -> bool {
        self.outage.load(Ordering::Relaxed)
    }

    /// The instances that cannot execute and are made anew. Takes no lock where there is none.
    pub(crate) fn mendings(&self) -> Vec<Mending> {
        match self.mending.load(Ordering::Relaxed) {
            0 => Vec::new(),
            _ => self.state.lock().ward.mendings().cloned().collect(),
        }
    }

    /// How many requests wait.
    pub(crate) fn pending(&self) -> usize {
        self.state.lock().pending()
    }

    /// What the queue and the instances are at.
    pub(crate) fn activity(&self) -> Activity {
        self.state.lock().activity(self.machinery.clock.now())
    }

    /// Takes a request; it is answered whatever happens. `None` if that has been done already. A brief model may execute it
    /// before this returns, on a thread of the network's.
    pub(crate) fn push(
        self: &Arc<Self>,
        request: Request,
        terms: &QueueTerms,
        bringer: Bringer,
    ) -> Option<Placed> {
        let here = bringer == Bringer::Caller && self.is_brief();
        let mut state = self.state.lock();
        let now = self.machinery.clock.now();
        let arrival = Arrival { rows: request.rows(), now, terms: *terms };
        if let Some(reason) = state.closed.clone() {
            drop(state);
            request.fail(reason);
            return None;
        }
        if let Some(reason) = state.ward.refusal(now).map(str::to_owned) {
            drop(state);
            request.fail(self.refusal(&reason));
            return None;
        }
        match state.push(arrival, request) {
            Ok(placed) => {
                let step = state.next_step(now);
                drop(state);
                // The caller's own task cannot see meanwhile that the caller gives up.
                self.perform(if here { step.here() } else { step });
                Some(placed)
            }
            Err(Refused { request, error }) => {
                drop(state);
                request.fail(error);
                None
            }
        }
    }

    /// Gives a request back that waits, which will then never be executed; `None` if it does not wait any more.
    pub(crate) fn withdraw(self: &Arc<Self>, ticket: Ticket) -> Option<Request> {
        let mut state = self.state.lock();
        let Some(sequencer) = &mut state.sequencer else { return state.withdraw(ticket) };
        let withdrawn = sequencer.withdraw(ticket, self.machinery.clock.now())?;
        self.look_on(state);
        withdrawn.followers.into_iter().for_each(|request| request.fail(broken_off()));
        Some(withdrawn.item)
    }

    /// Takes no more requests and answers those that wait with `reason`; those being executed go on.
    pub(crate) fn close(self: &Arc<Self>, reason: &BackendError) {
        let mut state = self.state.lock();
        let waiting = state.close(reason.clone());
        let rounds = self.rounds(&mut state, self.machinery.clock.now());
        drop(state);
        waiting.into_iter().for_each(|request| request.fail(reason.clone()));
        self.carry_out(rounds);
    }

    /// Nobody finds this version any more: what waits is executed, and no sequence is kept for requests that cannot come.
    pub(crate) fn retire(self: &Arc<Self>) {
        let mut state = self.state.lock();
        let now = self.machinery.clock.now();
        if let Some(sequencer) = &mut state.sequencer {
            sequencer.retire(now);
            self.look_on(state);
        }
    }

    /// An instance of this model may execute, by grant of the rate limiter.
    pub(crate) fn granted(self: &Arc<Self>, executor: Executor) {
        let mut state = self.state.lock();
        state.granted(executor);
        self.look_on(state);
    }

    /// An execution on a thread of the network takes too long.
    pub(super) fn overdue(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.overdue();
        self.look_on(state);
    }

    /// One that took too long is over after all.
    pub(super) fn no_longer_overdue(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.no_longer_overdue();
        self.look_on(state);
    }

    /// Whether any instance has been executing for longer than it may. Takes no lock.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed) > 0
    }

    /// The instances that have been executing for longer than they may. Takes no lock where there is none.
    pub(crate) fn stalls(&self) -> Vec<Stall> {
        match self.is_stalled() {
            true => self.state.lock().stalls().collect(),
            false => Vec::new(),
        }
    }

    /// From now on, it is a change when instances come or cease to be such as can be counted on.
    pub(crate) fn notify_of_soundness(&self, changes: &Changes) {
        self.changes.get_or_init(|| changes.clone());
    }

    pub(super) fn notify(&self) {
        if let Some(changes) = self.changes.get() {
            changes.notify();
        }
    }

    /// An execution is over. The stall that ends with it, if it was one, which is to be reported without the lock.
    pub(super) fn ended(&self, state: &mut State, seat: usize) -> Option<Stall> {
        let stall = state.ended(seat)?;
        self.stalled.fetch_sub(1, Ordering::Relaxed);
        Some(stall)
    }

    /// Says in the log, and to who listens, that an instance is not stalled any more.
    pub(super) fn report_end(&self, stall: &Stall, now: Instant) {
        self.notify();
        let Scheduler { name, version, .. } = self;
        let (instance, took) = (&stall.instance, now.saturating_duration_since(stall.since).as_secs_f64());
        tracing::info!(
            "model '{name}' version {version}: instance '{instance}', which was stalled, ended after {took:.1} s"
        );
    }

    fn report(&self, stall: &Stall, now: Instant) {
        self.notify();
        let Scheduler { name, version, .. } = self;
        let (instance, takes) = (&stall.instance, now.saturating_duration_since(stall.since).as_secs_f64());
        tracing::error!(
            "model '{name}' version {version}: instance '{instance}' is stalled: \
             it has been executing for {takes:.1} s"
        );
    }

    /// How many instances have nothing to do.
    #[cfg(test)]
    pub(crate) fn free_instances(&self) -> usize {
        self.state.lock().free_instances()
    }

    /// How many threads were called and have not begun.
    #[cfg(test)]
    pub(crate) fn called(&self) -> usize {
        self.state.lock().called()
    }

    /// Does what is to be done now, without a batch for this thread.
    pub(super) fn look_on(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let look = Look::at(&mut state, Vec::new(), &self.machinery);
        self.follow(state, look);
    }

    /// Releases the lock and does what follows from a look.
    pub(super) fn follow(self: &Arc<Self>, state: MutexGuard<'_, State>, look: Look) {
        drop(state);
        self.perform(look.step);
        for (request, why) in look.expired {
            request.fail(expiry_error(why));
        }
        for claim in look.unused {
            claim.limiter().release(&claim);
            claim.limiter().grant();
        }
    }

    fn perform(self: &Arc<Self>, step: Step) {
        match step {
            Step::Nothing => {}
            Step::Call(call) => self.machinery.call(Dispatch::new(self), call),
            Step::Stage(executor) => {
                if let Some(claim) = executor.claim().cloned() {
                    claim.limiter().stage(self, &claim, executor);
                }
                // The grant may be long in coming, and not every instance can do what is due.
                if self.sequences.is_some() {
                    self.look_on(self.state.lock());
                }
            }
            Step::SetAlarm(at) => self.set_alarm(at),
        }
    }

    /// Has everything looked at again at that time.
    pub(super) fn set_alarm(self: &Arc<Self>, at: Instant) {
        let weak: Weak<Scheduler> = Arc::downgrade(self);
        self.machinery.clock.ring_at(at, weak);
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        if let Some(on_gone) = self.on_gone.take() {
            let mut state = self.state.lock();
            let (executors, vacancies) = (state.take_instances(), state.take_vacancies());
            drop(state);
            let model = self.model.take();
            Remains { executors, vacancies, model, on_gone }.let_go();
        }
    }
}

impl Alarm for Scheduler {
    fn ring(self: Arc<Self>) {
        let mut state = self.state.lock();
        let now = self.machinery.clock.now();
        state.rung(now);
        let Found { stalls, alarm } = state.look(now);
        self.stalled.fetch_add(stalls.len(), Ordering::Relaxed);
        let rounds = self.rounds(&mut state, now);
        self.look_on(state);
        self.carry_out(rounds);
        stalls.iter().for_each(|stall| self.report(stall, now));
        if let Some(at) = alarm {
            self.set_alarm(at);
        }
    }
}

/// What those are told that came after a request which was given up before it was executed.
fn broken_off() -> BackendError {
    BackendError::new(
        Code::Cancelled,
        "an earlier request of the sequence was cancelled before it was executed; begin the sequence again",
    )
}

fn expiry_error(why: Expiry) -> BackendError {
    match why {
        Expiry::Timeout => BackendError::new(Code::Unavailable, TIMEOUT_EXPIRED),
        Expiry::Sequence => {
            BackendError::new(Code::Unavailable, "timeout of the corresponding sequence has been expired")
        }
        Expiry::Deadline => {
            BackendError::new(Code::Cancelled, "the caller's deadline passed while it waited")
        }
    }
}
