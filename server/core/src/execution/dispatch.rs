use std::sync::Arc;
use std::thread;
use std::time::Instant;

use nerite_backend::{BackendError, Batch, Condition, TracedBatch};

use super::executor::{Bereaved, Vacancy};
use super::mend::Mend;
use super::pace::Place;
use super::scheduler::Look;
use super::sequence::take_turns;
use super::state::{Assignment, Expired, State, Work};
use super::{Errand, Executor, Job, Scheduler};
use crate::rate_limiter::Claim;
use crate::sync::MutexGuard;

/// A call to a thread: there is something to execute, and an instance to do it.
pub(crate) struct Dispatch(Arc<Scheduler>);

/// An execution under way: what of it is not its engine's.
struct Execution {
    dispatch: Dispatch,
    place: Place,
    began: Instant,
    requests: usize,
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
            let look = Look::of_nothing(&mut state, &self.0.machinery);
            return self.0.follow(state, look);
        }
        drop(state);
        let machinery = Arc::clone(&self.0.machinery);
        machinery.threads.run(Errand::Dispatch(self));
    }

    fn work_through(self, place: Place) {
        let mut state = self.0.state.lock();
        let (mut assignment, expired) = state.begin(place, self.0.machinery.clock.now());
        self.look_and_follow(state, expired);
        let mut dispatch = self;
        while let Some(assigned) = assignment {
            (dispatch, assignment) = dispatch.execute(assigned, place);
        }
    }

    /// Executes a batch on this thread; the next one, if this thread is to take it.
    fn execute(self, assignment: Assignment, place: Place) -> (Dispatch, Option<Assignment>) {
        let Dispatch(scheduler) = &self;
        let Assignment { executor, work, reason, alarm } = assignment;
        if let Some(at) = alarm {
            scheduler.set_alarm(at);
        }
        let requests = match work {
            Work::Requests(mut requests) => {
                // The last look: who gave up by now is not executed.
                requests.retain(|request| !request.cancel().is_cancelled());
                requests
            }
            Work::Steps(steps) => take_turns(scheduler, steps),
        };
        TracedBatch::note(&requests);
        let began = scheduler.machinery.clock.now();
        let execution = Execution { place, began, requests: requests.len(), dispatch: self };
        if requests.is_empty() {
            return execution.finished(executor, Condition::Sound);
        }
        execution.dispatch.0.statistics.dispatched(reason, place == Place::Inline);
        let (executor, condition, execution) = executor.execute(Batch::new(requests), execution);
        execution.finished(executor, condition)
    }

    /// An instance is not to execute now: it cannot any more, or that is to be found out.
    fn put_aside(&self, executor: Executor, condition: Condition) {
        let Dispatch(scheduler) = self;
        match condition {
            Condition::Sound => {}
            Condition::Doubtful(doubt) => {
                let examination = Mend::examine(scheduler, executor, doubt);
                scheduler.machinery.threads.run(Errand::Mend(examination));
            }
            Condition::Broken(reason) => scheduler.condemn(executor.vacate(), &reason),
        }
    }

    /// Takes the instance back after an execution that ended then, unless that has left a doubt about it. The next batch, if
    /// this thread is to take it.
    fn take_back(
        &self,
        mut state: MutexGuard<'_, State>,
        executor: Executor,
        condition: Condition,
        place: Place,
        ended: Instant,
    ) -> Option<Assignment> {
        if condition != Condition::Sound {
            let next = self.go_on(state, place);
            self.put_aside(executor, condition);
            return next;
        }
        let recovered = self.0.ended(&mut state, executor.seat());
        state.rejoin(executor);
        let next = self.go_on(state, place);
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

impl Execution {
    /// The batch has been executed. The next one, if this thread is to take it.
    fn finished(self, executor: Executor, condition: Condition) -> (Dispatch, Option<Assignment>) {
        let Execution { dispatch, place, began, requests } = self;
        let scheduler = &dispatch.0;
        let ended = scheduler.machinery.clock.now();
        // On a busy machine this lets the network bring what it has: a larger batch, and no sleep and wake-up of this
        // thread in between. Where nothing else wants the core it returns at once.
        if place == Place::Pool && scheduler.combines {
            thread::yield_now();
        }
        let claim = executor.claim().cloned();
        let next = giving_back(claim.as_deref(), || {
            let mut state = scheduler.state.lock();
            if requests > 0 {
                state.pace.observe(place, ended.saturating_duration_since(began), requests, ended);
            }
            state.left(place);
            dispatch.take_back(state, executor, condition, place, ended)
        });
        (dispatch, next)
    }
}

/// Gives back what an instance was granted; others may have it once it is seen to what becomes of the instance.
fn giving_back<R>(claim: Option<&Claim>, see_to_it: impl FnOnce() -> R) -> R {
    let Some(claim) = claim else { return see_to_it() };
    claim.limiter().release(claim);
    let seen_to = see_to_it();
    claim.limiter().grant();
    seen_to
}

impl Bereaved for Execution {
    /// The engine has answered the requests, or drops them. Other instances go on without this thread.
    fn bereft(self, vacancy: Vacancy, reason: &BackendError) {
        let Execution { dispatch, place, .. } = self;
        let machinery = Arc::clone(&dispatch.0.machinery);
        let claim = vacancy.claim().cloned();
        giving_back(claim.as_deref(), || {
            let mut state = dispatch.0.state.lock();
            state.left(place);
            dispatch.look_and_follow(state, Vec::new());
            dispatch.0.condemn(vacancy, reason);
        });
        drop(dispatch);
        machinery.lose_this_thread(place, reason);
    }
}

impl Job for Dispatch {
    fn run(self) {
        self.work_through(Place::Pool);
    }
}
