//! Makes instances anew that cannot execute any more, on threads that may be kept for long.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use nerite_backend::{BackendError, Code};

use super::executor::{Bereaved, Vacancy};
use super::pace::Place;
use super::state::{Rounds, State};
use super::{Errand, Executor, Job, Scheduler};

/// An errand for the sake of one instance. It keeps its model's version for as long as the engine takes, as an execution
/// does; between attempts nothing does.
pub(crate) struct Mend {
    scheduler: Arc<Scheduler>,
    task: Task,
}

enum Task {
    /// An execution has left that doubt about it.
    Examine(Executor, BackendError),
    /// It is to be made anew.
    Fill(Vacancy),
}

impl Mend {
    /// Finds out whether an instance can execute of which an execution has left that doubt.
    pub(super) fn examine(scheduler: &Arc<Scheduler>, executor: Executor, doubt: BackendError) -> Mend {
        Mend { scheduler: Arc::clone(scheduler), task: Task::Examine(executor, doubt) }
    }
}

impl Job for Mend {
    fn run(self) {
        let Mend { scheduler, task } = self;
        match task {
            Task::Examine(executor, doubt) => Examination(scheduler).run(executor, doubt),
            Task::Fill(vacancy) => Filling(scheduler).run(vacancy),
        }
    }
}

/// An engine is asked whether an instance can execute.
struct Examination(Arc<Scheduler>);

impl Examination {
    fn run(self, executor: Executor, doubt: BackendError) {
        let machinery = Arc::clone(&self.0.machinery);
        let (executor, reason, Examination(scheduler)) =
            executor.examine(doubt, || machinery.clock.now(), self);
        match reason {
            Some(reason) => scheduler.condemn(executor.vacate(), &reason),
            None => scheduler.cleared(executor),
        }
    }
}

impl Bereaved for Examination {
    fn bereft(self, vacancy: Vacancy, reason: &BackendError) {
        let Examination(scheduler) = self;
        scheduler.condemn(vacancy, reason);
        scheduler.machinery.lose_this_thread(Place::Pool, reason);
    }
}

/// An engine is to make another instance.
struct Filling(Arc<Scheduler>);

impl Filling {
    fn run(self, vacancy: Vacancy) {
        if self.0.state.lock().closed.is_some() {
            return drop(vacancy.let_go(Parting(self.0)));
        }
        let model = Arc::clone(self.0.engine_model());
        let machinery = Arc::clone(&self.0.machinery);
        let (filled, Filling(scheduler)) = vacancy.fill(&*model, || machinery.clock.now(), self);
        match filled {
            Ok(executor) => scheduler.mended(executor),
            Err((vacancy, error)) => scheduler.not_mended(vacancy, &error),
        }
    }
}

impl Bereaved for Filling {
    fn bereft(self, vacancy: Vacancy, reason: &BackendError) {
        let Filling(scheduler) = self;
        let mut vacancy = vacancy;
        vacancy.attempted(scheduler.machinery.clock.now());
        scheduler.not_mended(vacancy, reason);
        scheduler.machinery.lose_this_thread(Place::Pool, reason);
    }
}

/// An engine is to let go of an instance, and no other is made.
struct Parting(Arc<Scheduler>);

impl Bereaved for Parting {
    fn bereft(self, vacancy: Vacancy, reason: &BackendError) {
        let Parting(scheduler) = self;
        let (Scheduler { name, version, .. }, instance) = (&*scheduler, vacancy.name());
        tracing::error!(
            "model '{name}' version {version}: an engine has kept the thread that was to let go of instance '{instance}': \
             {reason}"
        );
        let machinery = Arc::clone(&scheduler.machinery);
        drop(scheduler);
        machinery.lose_this_thread(Place::Pool, reason);
    }
}

impl Scheduler {
    /// An instance cannot execute any more: it is made anew. To be called without the lock.
    pub(super) fn condemn(self: &Arc<Self>, vacancy: Vacancy, reason: &BackendError) {
        let Scheduler { name, version, .. } = &**self;
        let instance = vacancy.name();
        tracing::error!(
            "model '{name}' version {version}: instance '{instance}' cannot execute any more and is made anew: {reason}"
        );
        let now = self.machinery.clock.now();
        let mut state = self.state.lock();
        let recovered = self.ended(&mut state, vacancy.seat());
        let lost = state.vacated(vacancy, reason, now);
        let rounds = self.rounds(&mut state, now);
        drop(state);
        lost.into_iter().for_each(|request| request.fail(self.sequence_lost()));
        self.carry_out(rounds);
        if let Some(stall) = recovered {
            self.report_end(&stall, now);
        }
    }

    /// There is no doubt any more about an instance.
    fn cleared(self: &Arc<Self>, executor: Executor) {
        let now = self.machinery.clock.now();
        let mut state = self.state.lock();
        let recovered = self.ended(&mut state, executor.seat());
        state.rejoin(executor);
        self.look_on(state);
        if let Some(stall) = recovered {
            self.report_end(&stall, now);
        }
    }

    fn mended(self: &Arc<Self>, executor: Executor) {
        let (instance, seat) = (executor.name().to_owned(), executor.seat());
        self.statistics.restarted();
        let now = self.machinery.clock.now();
        let mut state = self.state.lock();
        let since = state.ward.discharge(seat).unwrap_or(now);
        state.mended(executor, now);
        let rounds = self.rounds(&mut state, now);
        self.look_on(state);
        self.carry_out(rounds);
        let Scheduler { name, version, .. } = &**self;
        let took = now.saturating_duration_since(since).as_secs_f64();
        tracing::info!(
            "model '{name}' version {version}: instance '{instance}' was made anew and serves again, after {took:.1} s"
        );
    }

    fn not_mended(self: &Arc<Self>, vacancy: Vacancy, error: &BackendError) {
        let now = self.machinery.clock.now();
        let next = vacancy.next_attempt(now);
        let Scheduler { name, version, .. } = &**self;
        let (instance, pause) = (vacancy.name(), next.saturating_duration_since(now).as_secs_f64());
        tracing::error!(
            "model '{name}' version {version}: instance '{instance}' could not be made anew, which is tried again in \
             {pause:.1} s: {error}"
        );
        let mut state = self.state.lock();
        state.ward.failed(vacancy.seat(), vacancy, error.message.clone(), next);
        let rounds = self.rounds(&mut state, now);
        drop(state);
        self.carry_out(rounds);
    }

    /// Looks after the instances that cannot execute. What follows is to be done without the lock.
    pub(super) fn rounds(&self, state: &mut State, now: Instant) -> Rounds {
        self.mending.store(state.ward.len(), Ordering::Relaxed);
        let is_outage = state.ward.is_outage();
        let has_changed = self.outage.swap(is_outage, Ordering::Relaxed) != is_outage;
        Rounds { has_changed, ..state.rounds(now) }
    }

    /// Does what follows from a look after the instances that cannot execute.
    pub(super) fn carry_out(self: &Arc<Self>, rounds: Rounds) {
        let Rounds { due, alarm, refused, reason, has_changed } = rounds;
        for vacancy in due {
            let mend = Mend { scheduler: Arc::clone(self), task: Task::Fill(vacancy) };
            self.machinery.threads.run(Errand::Mend(mend));
        }
        if let Some(at) = alarm {
            self.set_alarm(at);
        }
        if !refused.is_empty() {
            let error = self.refusal(&reason);
            refused.into_iter().for_each(|request| request.fail(error.clone()));
        }
        if has_changed {
            self.notify();
        }
    }

    /// What requests are told whose sequence an instance had that was made anew.
    pub(super) fn sequence_lost(&self) -> BackendError {
        let Scheduler { name, version, .. } = self;
        let message = format!(
            "the instance of model '{name}' version {version} that executed the sequence had to be made anew, and what \
             it knew of the sequence is lost; begin the sequence again"
        );
        BackendError::new(Code::Unavailable, message)
    }

    /// What requests are told where no instance can execute, for that reason.
    pub(super) fn refusal(&self, reason: &str) -> BackendError {
        let Scheduler { name, version, .. } = self;
        let message = format!(
            "no instance of model '{name}' version {version} can execute until one has been made anew; try again later. \
             The last one failed: {reason}"
        );
        BackendError::new(Code::Unavailable, message)
    }
}
