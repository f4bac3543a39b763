use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use nerite_backend::{BackendError, Batch, Code, Model, Request};
use parking_lot::Mutex;

use super::decide::{Candidate, Decision, Policy, decide};
use super::{Executor, Job, Pool};
use crate::model::ModelSpec;
use crate::statistics::Statistics;

/// A model version's queue and free instances.
///
/// Whoever changes either, by bringing a request or by finishing a batch, decides what happens next. A thread that
/// finishes a batch takes the next one itself; one that brings a request hands batch and instance to the pool.
pub struct Scheduler {
    model: Arc<dyn Model>,
    policy: Policy,
    likeness: Likeness,
    statistics: Arc<Statistics>,
    pool: Arc<Pool<Dispatch>>,
    state: Mutex<State>,
}

struct State {
    queue: VecDeque<Request>,
    free: Vec<Executor>,
    /// Instances, free or busy.
    instances: usize,
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

/// A batch on its way to an instance.
pub struct Dispatch {
    scheduler: Arc<Scheduler>,
    executor: Executor,
    batch: Batch,
}

/// What a look at the queue led to: requests that nobody waits for any more, to be dropped outside the lock, and
/// perhaps a batch for a free instance.
#[derive(Default)]
struct Next {
    dead: Vec<Request>,
    work: Option<(Executor, Batch)>,
}

impl Scheduler {
    /// A scheduler over these instances of the model.
    pub fn new(
        spec: &ModelSpec,
        model: Arc<dyn Model>,
        executors: Vec<Executor>,
        statistics: Arc<Statistics>,
        pool: Arc<Pool<Dispatch>>,
    ) -> Scheduler {
        let policy =
            Policy { max_rows: spec.max_batch_size, combine: spec.dynamic_batching && spec.batching() };
        let fixed = spec.inputs.iter().all(|input| !input.optional && !input.dims.is_dynamic());
        let likeness = if fixed { Likeness::Given } else { Likeness::Compared };
        let instances = executors.len();
        let state = Mutex::new(State { queue: VecDeque::new(), free: executors, instances, closed: None });
        Scheduler { model, policy, likeness, statistics, pool, state }
    }

    /// Takes a request; it is answered whatever happens.
    pub fn push(self: &Arc<Self>, request: Request) {
        let mut state = self.state.lock();
        if let Some(reason) = state.closed.clone() {
            drop(state);
            request.fail(reason);
            return;
        }
        self.statistics.pending_changed(1);
        state.queue.push_back(request);
        let next = self.next(&mut state);
        drop(state);
        if let Some((executor, batch)) = next.work {
            self.pool.run(Dispatch { scheduler: Arc::clone(self), executor, batch });
        }
    }

    /// Takes no more requests and answers those that wait with `reason`; those being executed go on.
    pub fn close(&self, reason: &BackendError) {
        let mut state = self.state.lock();
        state.closed = Some(reason.clone());
        let waiting = mem::take(&mut state.queue);
        drop(state);
        self.statistics.pending_changed(-(waiting.len() as i64));
        waiting.into_iter().for_each(|request| request.fail(reason.clone()));
    }

    /// How many instances have nothing to do.
    #[cfg(test)]
    pub(crate) fn free_instances(&self) -> usize {
        self.state.lock().free.len()
    }

    fn finished(&self, executed: Result<Executor, BackendError>) -> Option<(Executor, Batch)> {
        let mut state = self.state.lock();
        match executed {
            Ok(executor) => state.free.push(executor),
            Err(error) => {
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
        let next = self.next(&mut state);
        drop(state);
        next.work
    }

    fn next(&self, state: &mut State) -> Next {
        let mut next = Next::default();
        while next.work.is_none() {
            while state.queue.front().is_some_and(|first| first.cancel().is_cancelled()) {
                next.dead.extend(state.queue.pop_front());
                self.statistics.pending_changed(-1);
            }
            let Decision::Dispatch(count) =
                decide(self.candidates(&state.queue), state.free.len(), &self.policy)
            else {
                break;
            };
            self.statistics.pending_changed(-(count as i64));
            let (dead, batch) =
                state.queue.drain(..count).partition::<Vec<_>, _>(|r| r.cancel().is_cancelled());
            next.dead.extend(dead);
            // A request may be cancelled at any moment, and so may all of a batch: then look again.
            if !batch.is_empty() {
                next.work = state.free.pop().map(|executor| (executor, Batch::new(batch)));
            }
        }
        next
    }

    fn candidates<'a>(&self, queue: &'a VecDeque<Request>) -> impl Iterator<Item = Candidate> + 'a {
        let likeness = self.likeness;
        let first = queue.front();
        queue.iter().map(move |request| {
            // One that nobody waits for takes no room and keeps nobody apart: it is dropped on the way.
            let dead = request.cancel().is_cancelled();
            let alike = || likeness == Likeness::Given || first.is_some_and(|first| alike(first, request));
            Candidate { rows: if dead { 0 } else { request.rows() }, like_first: dead || alike() }
        })
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

impl Job for Dispatch {
    fn run(self) {
        let Dispatch { scheduler, executor, batch } = self;
        let mut work = Some((executor, batch));
        while let Some((executor, batch)) = work {
            work = scheduler.finished(executor.execute(batch, &*scheduler.model));
        }
    }
}
