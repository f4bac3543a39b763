use std::sync::Arc;
use std::thread;
use std::time::Instant;

use nerite_backend::{BackendError, Batch, Code, TracedBatch};

use super::executor::Lost;
use super::pace::Place;
use super::scheduler::Look;
use super::state::{Assignment, Expired, State};
use super::{Executor, Job, Scheduler};
use crate::sync::MutexGuard;

/// A call to a thread: there is something to execute, and an instance to do it.
pub(crate) struct Dispatch(Arc<Scheduler>);

/// An execution that is over.
#[derive(Clone, Copy)]
struct Execution {
    began: Instant,
    ended: Instant,
    requests: usize,
    seat: usize,
}

impl Dispatch {
    /// A call on behalf of that model version.
    pub(super) fn new(scheduler: &Arc<Scheduler>) -> Dispatch {
        Dispatch(Arc::clone(scheduler))
    }

    /// Whose queue it is about.
    pub(super) fn scheduler(&self) -> &Arc<Scheduler> {
        &self.0
    }

    /// Executes what there is on this thread, which is one of the network's.
    pub(super) fn execute_inline(self) {
        self.work_through(Place::Inline);
    }

    /// No thread of the network may execute it now: a thread of the pool takes it, unless one of the network's is
    /// executing this model and will look again.
    pub(super) fn refused(self) {
        let mut state = self.0.state.lock();
        if state.refuse() {
            let look = Look::of_nothing(&mut state);
            return self.0.follow(state, look);
        }
        drop(state);
        let machinery = Arc::clone(&self.0.machinery);
        machinery.threads.run(self);
    }

    fn work_through(&self, place: Place) {
        let mut state = self.0.state.lock();
        let (mut assignment, expired) = state.begin(place, self.0.machinery.clock.now());
        self.look_and_follow(state, expired);
        while let Some(assigned) = assignment {
            assignment = self.execute(assigned, place);
        }
    }

    /// Executes a batch on this thread; the next one, if this thread is to take it.
    fn execute(&self, assignment: Assignment, place: Place) -> Option<Assignment> {
        let Dispatch(scheduler) = self;
        let Assignment { executor, mut requests, reason, alarm } = assignment;
        if let Some(at) = alarm {
            scheduler.set_alarm(at);
        }
        // The last look: who gave up by now is not executed.
        requests.retain(|request| !request.cancel().is_cancelled());
        TracedBatch::note(&requests);
        let (count, seat) = (requests.len(), executor.seat());
        let began = scheduler.machinery.clock.now();
        let executed = match count {
            0 => Ok(executor),
            _ => {
                scheduler.statistics.dispatched(reason, place == Place::Inline);
                executor.execute(Batch::new(requests), &**scheduler.engine_model())
            }
        };
        let ended = scheduler.machinery.clock.now();
        // On a busy machine this lets the network bring what it has: a larger batch, and no sleep and wake-up of this
        // thread in between. Where nothing else wants the core it returns at once.
        if place == Place::Pool && scheduler.combines {
            thread::yield_now();
        }
        self.finished(executed, place, Execution { began, ended, requests: count, seat })
    }

    /// A batch has been executed. The next one, if this thread is to take it.
    fn finished(
        &self,
        executed: Result<Executor, Lost>,
        place: Place,
        execution: Execution,
    ) -> Option<Assignment> {
        let claim = match &executed {
            Ok(executor) => executor.claim().cloned(),
            Err(lost) => lost.claim.clone(),
        };
        if let Some(claim) = &claim {
            claim.limiter().release(claim);
        }
        let next = self.take_back(executed, place, execution);
        if let Some(claim) = claim {
            claim.limiter().grant();
        }
        next
    }

    /// Gives the instance back after an execution. The next batch, if this thread is to take it.
    fn take_back(
        &self,
        executed: Result<Executor, Lost>,
        place: Place,
        execution: Execution,
    ) -> Option<Assignment> {
        let Execution { began, ended, requests, seat } = execution;
        let mut state = self.0.state.lock();
        if requests > 0 {
            state.pace.observe(place, ended.saturating_duration_since(began), requests, ended);
        }
        let recovered = self.0.ended(&mut state, seat);
        let next = match executed {
            Ok(executor) => {
                state.take_back(executor, place);
                self.go_on(state, place)
            }
            Err(_) if state.lose(place) => self.go_on(state, place),
            Err(Lost { error, .. }) => {
                drop(state);
                let message = format!("no instance of the model is left: {error}");
                tracing::error!("{message}");
                self.0.lose(&BackendError::new(Code::Unavailable, message));
                None
            }
        };
        if let Some(stall) = recovered {
            self.0.report_end(&stall, ended);
        }
        next
    }

    /// The next batch, if this thread is to take it.
    fn go_on(&self, mut state: MutexGuard<'_, State>, place: Place) -> Option<Assignment> {
        let (next, expired) = match self.goes_on(&state, place) {
            true => state.assign(place, self.0.machinery.clock.now()),
            false => (None, Vec::new()),
        };
        self.look_and_follow(state, expired);
        next
    }

    /// Whether this thread takes the next batch too.
    fn goes_on(&self, state: &State, place: Place) -> bool {
        let may_be_inline = state.pace.is_fast() && self.0.machinery.inline.is_some();
        match place {
            // A model that may go to the network's threads is sent there.
            Place::Pool => !may_be_inline,
            // What has been answered here is sent by a task that only this thread may poll, until it begins another.
            Place::Inline => false,
        }
    }

    fn look_and_follow(&self, mut state: MutexGuard<'_, State>, expired: Expired) {
        let look = Look::at(&mut state, expired, &self.0.machinery);
        self.0.follow(state, look);
    }
}

impl Job for Dispatch {
    fn run(self) {
        self.work_through(Place::Pool);
    }
}
