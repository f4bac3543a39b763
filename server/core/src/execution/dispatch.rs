use std::sync::Arc;
use std::thread;
use std::time::Instant;

use nerite_backend::{Batch, Condition, TracedBatch};

use super::mend::Mend;
use super::pace::Place;
use super::scheduler::Look;
use super::sequence::take_turns;
use super::state::{Assignment, Expired, State, Work};
use super::{Errand, Executor, Job, Scheduler};
use crate::sync::MutexGuard;

/// A call to a thread: there is something to execute, and an instance to do it.
pub(crate) struct Dispatch(Arc<Scheduler>);

/// An execution that is over.
#[derive(Clone, Copy)]
struct Execution {
    began: Instant,
    ended: Instant,
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
        let Assignment { mut executor, work, reason, alarm } = assignment;
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
        let count = requests.len();
        let began = scheduler.machinery.clock.now();
        let condition = match count {
            0 => Condition::Sound,
            _ => {
                scheduler.statistics.dispatched(reason, place == Place::Inline);
                executor.execute(Batch::new(requests))
            }
        };
        let ended = scheduler.machinery.clock.now();
        // On a busy machine this lets the network bring what it has: a larger batch, and no sleep and wake-up of this
        // thread in between. Where nothing else wants the core it returns at once.
        if place == Place::Pool && scheduler.combines {
            thread::yield_now();
        }
        self.finished(executor, condition, place, Execution { began, ended, requests: count })
    }

    /// A batch has been executed. The next one, if this thread is to take it.
    fn finished(
        &self,
        executor: Executor,
        condition: Condition,
        place: Place,
        execution: Execution,
    ) -> Option<Assignment> {
        let claim = executor.claim().cloned();
        if let Some(claim) = &claim {
            claim.limiter().release(claim);
        }
        let next = self.take_back(executor, condition, place, execution);
        if let Some(claim) = claim {
            claim.limiter().grant();
        }
        next
    }

    /// Gives the instance back after an execution, unless that has left a doubt about it. The next batch, if this thread is
    /// to take it.
    fn take_back(
        &self,
        executor: Executor,
        condition: Condition,
        place: Place,
        execution: Execution,
    ) -> Option<Assignment> {
        let Execution { began, ended, requests } = execution;
        let mut state = self.0.state.lock();
        if requests > 0 {
            state.pace.observe(place, ended.saturating_duration_since(began), requests, ended);
        }
        state.left(place);
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

    /// An instance is not to execute now: it cannot any more, or that is to be found out.
    fn put_aside(&self, executor: Executor, condition: Condition) {
        let Dispatch(scheduler) = self;
        match condition {
            Condition::Sound => {}
            Condition::Doubtful(doubt) => {
                let examination = Mend::examine(scheduler, executor, doubt);
                scheduler.machinery.threads.run(Errand::Mend(examination));
            }
            Condition::Broken(reason) => scheduler.condemn(executor, &reason),
        }
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
