use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::thread;

use nerite_backend::{BackendError, Batch, Code, Model, Request};
use parking_lot::{Mutex, MutexGuard};

use super::decide::{Candidate, Decision, Policy, decide};
use super::{Executor, Job, Pool};
use crate::model::ModelSpec;
use crate::statistics::Statistics;

/// A model version's queue and free instances.
///
/// A thread that finishes a batch takes the next one itself; one that brings a request calls a thread of the pool if an
/// instance is free. A batch is made up when its thread begins, not when it is called: a call takes some 25 µs, in which
/// more requests come, and a thread that was called for the first of them takes them all.
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
    /// The sum of the queue's rows.
    rows: u64,
    free: Vec<Executor>,
    /// Threads that were called and have not begun; each will find a free instance.
    called: usize,
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

/// A call to a thread of the pool: there is something to execute, and an instance to do it.
pub struct Dispatch(Arc<Scheduler>);

/// What a look at the queue led to: requests that nobody waits for any more, to be dropped outside the lock, perhaps a
/// batch for a free instance, and whether another thread is to be called for the rest.
#[derive(Default)]
struct Next {
    dead: Vec<Request>,
    work: Option<(Executor, Batch)>,
    call: bool,
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
        let state =
            State { queue: VecDeque::new(), rows: 0, free: executors, called: 0, instances, closed: None };
        let state = Mutex::new(state);
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
        state.rows += u64::from(request.rows());
        state.queue.push_back(request);
        let call = self.needs_call(&mut state);
        drop(state);
        if call {
            self.pool.run(Dispatch(Arc::clone(self)));
        }
    }

    /// Takes no more requests and answers those that wait with `reason`; those being executed go on.
    pub fn close(&self, reason: &BackendError) {
        let mut state = self.state.lock();
        state.closed = Some(reason.clone());
        let waiting = mem::take(&mut state.queue);
        state.rows = 0;
        drop(state);
        self.statistics.pending_changed(-(waiting.len() as i64));
        waiting.into_iter().for_each(|request| request.fail(reason.clone()));
    }

    /// How many instances have nothing to do.
    #[cfg(test)]
    pub(crate) fn free_instances(&self) -> usize {
        self.state.lock().free.len()
    }

    /// A called thread begins: the batch for it, unless another thread was faster.
    fn begin(self: &Arc<Self>) -> Option<(Executor, Batch)> {
        let mut state = self.state.lock();
        state.called -= 1;
        self.proceed(state)
    }

    fn finished(self: &Arc<Self>, executed: Result<Executor, BackendError>) -> Option<(Executor, Batch)> {
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
        self.proceed(state)
    }

    fn proceed(self: &Arc<Self>, mut state: MutexGuard<'_, State>) -> Option<(Executor, Batch)> {
        let next = self.next(&mut state);
        drop(state);
        if next.call {
            self.pool.run(Dispatch(Arc::clone(self)));
        }
        next.work
    }

    /// Whether one more thread is to be called: the queue has work for more than those that were, and an instance is
    /// free for it. The caller then calls it.
    fn needs_call(&self, state: &mut State) -> bool {
        let batches = self.policy.batches(state.queue.len(), state.rows);
        let call = state.called < batches.min(state.free.len());
        state.called += usize::from(call);
        call
    }

    fn next(&self, state: &mut State) -> Next {
        let mut next = Next::default();
        while next.work.is_none() {
            while let Some(dead) = state.queue.pop_front_if(|first| first.cancel().is_cancelled()) {
                state.rows -= u64::from(dead.rows());
                next.dead.push(dead);
                self.statistics.pending_changed(-1);
            }
            let Decision::Dispatch(count) =
                decide(self.candidates(&state.queue), state.free.len(), &self.policy)
            else {
                break;
            };
            self.statistics.pending_changed(-(count as i64));
            let mut batch = Vec::with_capacity(count);
            for request in state.queue.drain(..count) {
                state.rows -= u64::from(request.rows());
                let to = if request.cancel().is_cancelled() { &mut next.dead } else { &mut batch };
                to.push(request);
            }
            // A request may be cancelled at any moment, and so may all of a batch: then look again.
            if !batch.is_empty() {
                next.work = state.free.pop().map(|executor| (executor, Batch::new(batch)));
            }
        }
        next.call = self.needs_call(state);
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
        let Dispatch(scheduler) = self;
        let mut work = scheduler.begin();
        while let Some((executor, batch)) = work {
            let executed = executor.execute(batch, &*scheduler.model);
            // On a busy machine this lets the network bring what it has: a larger batch, and no sleep and wake-up of
            // this thread in between. Where nothing else wants the core it returns at once.
            if scheduler.policy.combine {
                thread::yield_now();
            }
            work = scheduler.finished(executed);
        }
    }
}
