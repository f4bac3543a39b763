//! Random operations on a scheduler, against a model of it that is a queue and a number.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use nerite_backend::{BackendError, Code};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

use super::{batches_of_8, send};
use crate::execution::Answer;
use crate::mock::{Execution, Handle, Stage, poll, until};
use crate::statistics::FailureReason;
use crate::version::ModelVersion;

const INSTANCES: usize = 2;
const MAX_ROWS: u32 = 8;

#[derive(Clone, Debug)]
enum Operation {
    Push { rows: u32 },
    Finish { which: Index, ok: bool },
    Cancel { which: Index },
    Close,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let operation = prop_oneof![
        12 => (1..=MAX_ROWS).prop_map(|rows| Operation::Push { rows }),
        8 => (any::<Index>(), any::<bool>()).prop_map(|(which, ok)| Operation::Finish { which, ok }),
        4 => any::<Index>().prop_map(|which| Operation::Cancel { which }),
        1 => Just(Operation::Close),
    ];
    prop::collection::vec(operation, 1..60)
}

/// What is to become of a request whose caller waits; `None` stands for success.
type Outcome = Option<Code>;

/// The scheduler beside what it is expected to do.
struct World<'a> {
    version: Arc<ModelVersion>,
    handle: &'a Handle,
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
    fn new(version: Arc<ModelVersion>, handle: &'a Handle) -> World<'a> {
        World {
            version,
            handle,
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
            Operation::Finish { which, ok } if !self.executing.is_empty() => {
                self.finish(which.index(self.executing.len()), *ok);
            }
            Operation::Cancel { which } if !self.answers.is_empty() => {
                let ids: Vec<usize> = self.answers.keys().copied().collect();
                self.cancel(ids[which.index(ids.len())]);
            }
            Operation::Close => self.close(),
            _ => {}
        }
        self.settle();
    }

    /// Waits until the scheduler has done what follows from the last operation.
    fn settle(&mut self) {
        self.dispatch();
        until(|| self.version.free_instances() == INSTANCES - self.executing.len());
    }

    fn push(&mut self, rows: u32) {
        let id = self.rows.len();
        self.rows.push(rows);
        self.answers.insert(id, send(&self.version, &id.to_string(), rows));
        if self.closed {
            self.outcomes.insert(id, Some(Code::Unavailable));
        } else {
            self.queue.push_back(id);
        }
    }

    fn finish(&mut self, which: usize, ok: bool) {
        let (ids, execution) = self.executing.remove(which);
        let outcome = if ok { None } else { Some(Code::InvalidArgument) };
        for id in ids {
            self.outcomes.entry(id).or_insert(outcome);
        }
        if ok {
            self.executions += 1;
            execution.succeed();
        } else {
            execution.fail(&BackendError::invalid("the test says so"));
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
        if self.executing.len() == INSTANCES {
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
        while !self.executing.is_empty() {
            self.finish(0, true);
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
        assert_eq!(statistics.failures(FailureReason::Backend), count(Some(Code::InvalidArgument)));
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
    let (stage, handle) = Stage::new(batches_of_8(), INSTANCES as u32);
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&operations(), |operations| {
        let mut world = World::new(stage.load(), &handle);
        operations.iter().for_each(|operation| world.apply(operation));
        world.finish_everything();
        world.check();
        Ok(())
    });
    outcome.unwrap();
}
