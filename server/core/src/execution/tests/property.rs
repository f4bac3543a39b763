//! Random operations on a scheduler, against a model of it that is a queue and a few numbers.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use nerite_backend::{BackendError, Code};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

use super::{batches_of_8, send};
use crate::execution::{Answer, Machinery, MachineryOptions, Mending, Pool};
use crate::mock::{Execution, Fault, Handle, ManualClock, Stage, plan, poll, until};
use crate::statistics::FailureReason;
use crate::version::ModelVersion;

const INSTANCES: usize = 2;
const MAX_ROWS: u32 = 8;

#[derive(Clone, Debug)]
enum Operation {
    Push {
        rows: u32,
    },
    Finish {
        which: Index,
        how: Finish,
    },
    Cancel {
        which: Index,
    },
    /// An instance breaks over its batch.
    Break {
        which: Index,
        panics: bool,
    },
    /// From now on, instances can be made anew or not.
    Engine {
        mends: bool,
    },
    /// So much time passes that whatever waits for its time is due.
    Pass,
    Close,
}

#[derive(Clone, Copy, Debug)]
enum Finish {
    Succeed,
    Fail,
    /// It fails so that the instance is asked whether it can execute, which it says it can.
    FailDoubtfully,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let finish =
        prop_oneof![2 => Just(Finish::Succeed), 1 => Just(Finish::Fail), 1 => Just(Finish::FailDoubtfully)];
    let operation = prop_oneof![
        12 => (1..=MAX_ROWS).prop_map(|rows| Operation::Push { rows }),
        8 => (any::<Index>(), finish).prop_map(|(which, how)| Operation::Finish { which, how }),
        4 => any::<Index>().prop_map(|which| Operation::Cancel { which }),
        3 => (any::<Index>(), any::<bool>()).prop_map(|(which, panics)| Operation::Break { which, panics }),
        2 => any::<bool>().prop_map(|mends| Operation::Engine { mends }),
        2 => Just(Operation::Pass),
        1 => Just(Operation::Close),
    ];
    prop::collection::vec(operation, 1..60)
}

/// What is to become of a request whose caller waits; `None` stands for success.
type Outcome = Option<Code>;

/// Longer than any pause between attempts to make an instance anew, and than requests wait for one where there is none.
const LONG: Duration = Duration::from_secs(10);

/// The scheduler beside what it is expected to do.
struct World<'a> {
    version: Arc<ModelVersion>,
    handle: &'a Handle,
    clock: &'a ManualClock,
    /// Whether instances can be made anew.
    mends: bool,
    /// Instances that cannot execute.
    broken: BTreeSet<String>,
    /// Those of which the next attempt has to wait for its time.
    tried: BTreeSet<String>,
    /// Whether there has been no instance for so long that requests are refused.
    refuses: bool,
    answers: BTreeMap<usize, Answer>,
    executing: Vec<(Vec<usize>, Execution)>,
    queue: VecDeque<usize>,
    rows: Vec<u32>,
    closed: bool,
    cancelled: BTreeSet<usize>,
    outcomes: BTreeMap<usize, Outcome>,
    executions: u64,
}

impl<'a> World<'a> {
    fn new(version: Arc<ModelVersion>, handle: &'a Handle, clock: &'a ManualClock) -> World<'a> {
        World {
            version,
            handle,
            clock,
            mends: true,
            broken: BTreeSet::new(),
            tried: BTreeSet::new(),
            refuses: false,
            answers: BTreeMap::new(),
            executing: Vec::new(),
            queue: VecDeque::new(),
            rows: Vec::new(),
            closed: false,
            cancelled: BTreeSet::new(),
            outcomes: BTreeMap::new(),
            executions: 0,
        }
    }

    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Push { rows } => self.push(*rows),
            Operation::Finish { which, how } if !self.executing.is_empty() => {
                self.finish(which.index(self.executing.len()), *how);
            }
            Operation::Cancel { which } if !self.answers.is_empty() => {
                let ids: Vec<usize> = self.answers.keys().copied().collect();
                self.cancel(ids[which.index(ids.len())]);
            }
            Operation::Break { which, panics } if !self.executing.is_empty() => {
                self.break_down(which.index(self.executing.len()), *panics);
            }
            Operation::Engine { mends } => self.engine(*mends),
            Operation::Pass => self.pass(),
            Operation::Close => self.close(),
            _ => {}
        }
        self.settle();
    }

    /// Waits until the scheduler has done what follows from the last operation.
    fn settle(&mut self) {
        self.await_attempts();
        self.dispatch();
        until(|| self.version.free_instances() == INSTANCES - self.executing.len() - self.broken.len());
        assert_eq!(self.version.is_sound(), self.broken.len() < INSTANCES);
    }

    /// Waits until no instance is just being made anew.
    fn await_attempts(&self) {
        until(|| {
            let mendings = self.version.mendings();
            let is_waiting = |mending: &Mending| mending.next.is_some() || self.closed;
            mendings.len() == self.broken.len() && mendings.iter().all(is_waiting)
        });
    }

    fn push(&mut self, rows: u32) {
        let id = self.rows.len();
        self.rows.push(rows);
        self.answers.insert(id, send(&self.version, &id.to_string(), rows));
        if self.closed || self.refuses {
            self.outcomes.insert(id, Some(Code::Unavailable));
        } else {
            self.queue.push_back(id);
        }
    }

    fn finish(&mut self, which: usize, how: Finish) {
        let (ids, execution) = self.executing.remove(which);
        let outcome = if matches!(how, Finish::Succeed) { None } else { Some(Code::InvalidArgument) };
        for id in ids {
            self.outcomes.entry(id).or_insert(outcome);
        }
        let error = BackendError::invalid("the test says so");
        match how {
            Finish::FailDoubtfully => return execution.fail_doubtfully(&error),
            _ => self.tried.remove(&execution.instance),
        };
        match outcome {
            None => {
                self.executions += 1;
                execution.succeed();
            }
            Some(_) => execution.fail(&error),
        }
    }

    fn break_down(&mut self, which: usize, panics: bool) {
        let (ids, execution) = self.executing.remove(which);
        for id in ids {
            self.outcomes.entry(id).or_insert(Some(Code::Internal));
        }
        // The first attempt to make another is made at once, and none where no requests are taken any more.
        let is_tried_at_once = !self.tried.contains(&execution.instance) && !self.closed;
        if !is_tried_at_once || !self.mends {
            self.broken.insert(execution.instance.clone());
        }
        self.tried.insert(execution.instance.clone());
        match panics {
            true => execution.panic(),
            false => execution.break_down(&BackendError::internal("the test says so")),
        }
    }

    fn engine(&mut self, mends: bool) {
        self.mends = mends;
        match mends {
            true => self.handle.mend_instances(),
            false => self.handle.fail_instances(Fault::Error(BackendError::internal("it cannot be made"))),
        }
    }

    fn pass(&mut self) {
        if self.broken.len() == INSTANCES && !self.closed {
            self.refuses = true;
            for id in self.queue.drain(..) {
                self.outcomes.entry(id).or_insert(Some(Code::Unavailable));
            }
        }
        self.clock.advance(LONG);
        if self.closed {
            return;
        }
        self.tried = self.broken.clone();
        if self.mends && !self.broken.is_empty() {
            self.refuses = false;
            self.broken.clear();
        }
    }

    /// Drops an answer, which cancels the request if it has none yet.
    fn cancel(&mut self, id: usize) {
        self.answers.remove(&id);
        if let Entry::Vacant(outcome) = self.outcomes.entry(id) {
            outcome.insert(Some(Code::Cancelled));
            self.cancelled.insert(id);
        }
    }

    fn close(&mut self) {
        self.version.close();
        let pending = pin!(self.version.settled()).poll(&mut Context::from_waker(Waker::noop())).is_pending();
        assert!(self.executing.is_empty() || pending, "a version has drained only when nothing is executed");
        self.closed = true;
        for id in self.queue.drain(..) {
            self.outcomes.entry(id).or_insert(Some(Code::Unavailable));
        }
    }

    /// Expects the batch that is to be executed now, if any.
    fn dispatch(&mut self) {
        if self.executing.len() + self.broken.len() == INSTANCES {
            return;
        }
        let mut batch = Vec::new();
        let mut rows = 0;
        while let Some(&id) = self.queue.front() {
            let dead = self.cancelled.contains(&id);
            if !dead && rows + self.rows[id] > MAX_ROWS {
                break;
            }
            self.queue.pop_front();
            if !dead {
                rows += self.rows[id];
                batch.push(id);
            }
        }
        if !batch.is_empty() {
            let execution = self.handle.next();
            let expected: Vec<String> = batch.iter().map(ToString::to_string).collect();
            assert_eq!(execution.ids(), expected);
            self.executing.push((batch, execution));
        }
    }

    fn finish_everything(&mut self) {
        if !self.closed {
            self.engine(true);
            self.pass();
            self.settle();
        }
        while !self.executing.is_empty() {
            self.finish(0, Finish::Succeed);
            self.settle();
        }
        self.close();
        assert!(!self.handle.has_next(), "nothing else was executed");
    }

    fn check(mut self) {
        for (id, answer) in &mut self.answers {
            let response = poll(answer).expect("every request is answered");
            assert_eq!(response.error.map(|error| error.code), self.outcomes[id], "request {id}");
        }
        let count = |outcome: Outcome| self.outcomes.values().filter(|&&o| o == outcome).count() as u64;
        let statistics = self.version.statistics();
        assert_eq!(self.version.pending(), 0);
        assert_eq!(statistics.success.count(), count(None));
        assert_eq!(statistics.failures(FailureReason::Canceled), count(Some(Code::Cancelled)));
        assert_eq!(statistics.failures(FailureReason::Rejected), count(Some(Code::Unavailable)));
        let failed = count(Some(Code::InvalidArgument)) + count(Some(Code::Internal));
        assert_eq!(statistics.failures(FailureReason::Backend), failed);
        assert_eq!(statistics.success.count() + statistics.failure.count(), self.rows.len() as u64);
        let rows = self
            .outcomes
            .iter()
            .filter(|(_, outcome)| outcome.is_none())
            .map(|(&id, _)| u64::from(self.rows[id]));
        assert_eq!(statistics.inferences(), rows.sum::<u64>());
        assert_eq!(statistics.executions(), self.executions);
        assert_eq!(statistics.batches().values().map(|batch| batch.executions).sum::<u64>(), self.executions);
        self.version.close();
        let drained = pin!(self.version.settled()).poll(&mut Context::from_waker(Waker::noop())).is_ready();
        assert!(drained, "every request was released");
    }
}

#[test]
fn whatever_the_order_of_operations_every_request_is_executed_as_it_should_and_counted_once() {
    let clock = ManualClock::new();
    let machinery =
        Machinery::with(Arc::new(Pool::new()), Arc::clone(&clock) as _, MachineryOptions::default());
    let (stage, handle) = Stage::with(batches_of_8(), plan(INSTANCES as u32), Arc::new(machinery));
    handle.say_ready(Ok(()));
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&operations(), |operations| {
        handle.mend_instances();
        let mut world = World::new(stage.load(), &handle, &clock);
        operations.iter().for_each(|operation| world.apply(operation));
        world.finish_everything();
        world.check();
        Ok(())
    });
    outcome.unwrap();
}
