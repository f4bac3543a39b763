mod answers;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nerite_backend::{BackendError, CancelGuard, Meta, Request, Responder, Response, Sequence, Tensor};
use smallvec::SmallVec;

use super::Pipeline;
use super::pipeline::Versions;
use super::progress::{Firing, Progress};
use super::shapes::handed_over;
use super::turn::go_on;
use crate::admission::{Admitted, QueueTerms, StepInput, StepRequest, admit_step};
use crate::execution::{Asker, Bringer, Call, Recipient, Relay};
use crate::response_cache::Asked;
use crate::sync::{Condvar, Mutex};
use crate::version::ModelVersion;

/// A request on its way through an ensemble. It holds the versions that it goes through until the last step has let go of
/// what it was given.
pub(super) struct Run {
    pipeline: Arc<Pipeline>,
    versions: Versions,
    request: Request,
    responder: Responder,
    terms: QueueTerms,
    began: Instant,
    /// Steps that wait in line for a place.
    in_line: AtomicUsize,
    state: Mutex<State>,
    /// Steps have ended: there may be room.
    freed: Condvar,
}

struct State {
    progress: Progress<Value>,
    /// Steps that can run.
    ready: VecDeque<Ready>,
    /// Steps that run.
    active: SmallVec<[Active; 2]>,
    /// Steps that can run or run.
    under_way: usize,
    /// Numbers the steps' requests.
    next: u64,
    /// Responses to be sent, and whether a thread is at that.
    outbox: VecDeque<Response>,
    is_sending: bool,
    /// Whether nothing more is to be done.
    is_over: bool,
    /// What the steps' executions have taken, and how many are yet to tell.
    took: [Duration; 3],
    untold: usize,
    /// Set if the ensemble's execution is to be accounted for, which it has not been.
    owes_report: bool,
    watch: Option<CancelGuard>,
}

/// A tensor on its way.
#[derive(Clone)]
struct Value {
    tensor: Tensor,
    /// The rows of the batch that it is of; 0 if of none.
    rows: u32,
    /// The sequence that the step was part of which gave it, if another than the request's.
    sequence: Option<Arc<Sequence>>,
}

struct Ready {
    firing: Firing,
    /// Whether it has its place in line already.
    has_place: bool,
}

struct Active {
    number: u64,
    firing: Firing,
    rows: u32,
    sequence: Option<Arc<Sequence>>,
    relay: Arc<Relay>,
}

impl Run {
    /// Begins with a request.
    pub(super) fn start(
        pipeline: &Arc<Pipeline>,
        mut request: Request,
        terms: QueueTerms,
        versions: Versions,
        bringer: Bringer,
    ) {
        let rows = if pipeline.batching { request.rows() } else { 0 };
        // The time that a step may wait begins when it comes to its queue.
        let terms = QueueTerms { since: None, ..terms };
        let inputs = request.take_inputs().into_iter().enumerate();
        let values =
            inputs.map(|(slot, tensor)| (slot, tensor.map(|tensor| Value { tensor, rows, sequence: None })));
        let values: SmallVec<[_; 4]> = values.collect();
        let state = State::new(Progress::new(&pipeline.graph, request.wanted()));
        let run = Arc::new(Run {
            pipeline: Arc::clone(pipeline),
            versions,
            responder: request.responder(),
            request,
            terms,
            began: Instant::now(),
            in_line: AtomicUsize::new(0),
            state: Mutex::new(state),
            freed: Condvar::default(),
        });
        let weak = Arc::downgrade(&run);
        let watch = run.request.cancel().on_cancel(move || {
            if let Some(run) = weak.upgrade() {
                run.give_up();
            }
        });
        let mut state = run.state.lock();
        let mut ended = None;
        if !state.is_over {
            state.watch = Some(watch);
            run.put(&mut state, 0, values);
            ended = run.end_if_done(&mut state);
        }
        drop(state);
        drop(ended);
        go_on(run, bringer);
    }

    /// Does what can be done, until nothing can.
    pub(super) fn work(self: &Arc<Self>, bringer: Bringer) {
        while let Some(Ready { firing, has_place }) = self.next_ready() {
            if has_place || self.takes_place(firing) {
                self.fire(firing, bringer);
            }
        }
        self.send_out();
    }

    fn next_ready(&self) -> Option<Ready> {
        self.state.lock().ready.pop_front()
    }

    /// Steps can run. Those that this thread may execute by itself come last, so that the others begin before.
    fn make_ready(&self, state: &mut State, firings: &[Firing]) {
        for &firing in firings {
            state.under_way += 1;
            let ready = Ready { firing, has_place: false };
            match self.version(firing).is_some_and(|version| version.is_brief()) {
                true => state.ready.push_back(ready),
                false => state.ready.push_front(ready),
            }
        }
    }

    fn version(&self, firing: Firing) -> Option<&Arc<ModelVersion>> {
        self.versions.get(self.pipeline.graph.steps.get(firing.step)?.model)?.as_ref()
    }

    /// Whether a step may run now, as far as the limit on requests in flight goes; if not, it waits in line.
    fn takes_place(self: &Arc<Self>, firing: Firing) -> bool {
        let Some(limit) = self.pipeline.limits.get(firing.step) else { return true };
        let has_place = limit.take(self, firing);
        if !has_place && self.state.lock().is_over {
            // Its end has not seen what came into the line after it.
            limit.forget(self);
        }
        has_place
    }

    /// A step's request has ended: its place goes to the next in line.
    fn leave_place(&self, step: usize, bringer: Bringer) {
        let Some(limit) = self.pipeline.limits.get(step) else { return };
        while let Some((run, firing)) = limit.give_back() {
            run.stands_in_line(false);
            let mut state = run.state.lock();
            if state.is_over {
                continue;
            }
            state.ready.push_front(Ready { firing, has_place: true });
            drop(state);
            run.freed.notify_all();
            return go_on(run, bringer);
        }
    }

    /// Hands a step's request to its model.
    fn fire(self: &Arc<Self>, firing: Firing, bringer: Bringer) {
        let mut state = self.state.lock();
        let version = self.version(firing).filter(|_| !state.is_over);
        let Some(version) = version else {
            drop(state);
            return self.leave_place(firing.step, bringer);
        };
        let inputs = state.progress.take(&self.pipeline.graph, firing);
        drop(state);
        let received = Instant::now();
        version.statistics().received();
        let sequence = inputs.iter().flatten().find_map(|value| value.sequence.clone());
        match self.admit(firing, version, inputs, sequence.as_deref()) {
            Ok(admitted) => self.push(firing, version, admitted, sequence, received, bringer),
            Err(error) => {
                version.refused(received);
                self.fail(error, bringer);
                self.leave_place(firing.step, bringer);
            }
        }
    }

    fn admit(
        &self,
        firing: Firing,
        version: &ModelVersion,
        inputs: SmallVec<[Option<Value>; 2]>,
        sequence: Option<&Sequence>,
    ) -> Result<Admitted, BackendError> {
        let (spec, step) = (&version.spec, &self.pipeline.graph.steps[firing.step]);
        let given = step.inputs.iter().zip(inputs).filter_map(|((name, _), value)| {
            let Value { mut tensor, rows, .. } = value?;
            if let Some(input) = spec.inputs.iter().find(|input| input.name == *name) {
                tensor.shape = handed_over(&tensor.shape, rows, &input.dims, spec.batching());
            }
            Some(StepInput { name, tensor })
        });
        let Meta { id, sequence: own, priority, timeout, parameters, .. } = self.request.meta();
        let meta = Meta {
            id: id.clone(),
            sequence: sequence.unwrap_or(own).clone(),
            priority: *priority,
            timeout: *timeout,
            parameters: parameters.clone(),
            trace: None,
        };
        let request =
            StepRequest { inputs: given.collect(), outputs: &step.outputs, meta, terms: self.terms };
        admit_step(spec, request).map_err(|refusal| self.pipeline.error(refusal.code(), &refusal.to_string()))
    }

    fn push(
        self: &Arc<Self>,
        firing: Firing,
        version: &Arc<ModelVersion>,
        mut admitted: Admitted,
        sequence: Option<Arc<Sequence>>,
        received: Instant,
        bringer: Bringer,
    ) {
        let many = self.pipeline.many[firing.step] && version.spec.decoupled;
        let rows = if version.spec.batching() { admitted.rows } else { 0 };
        let asked = version.ask(&mut admitted);
        let lookup = asked.as_ref().map(Asked::lookup);
        let call = Call { lookup, ..version.call(&admitted, received) };
        let mut state = self.state.lock();
        let number = state.next;
        state.next += 1;
        let recipient = Arc::clone(self) as Arc<dyn Recipient>;
        let (responder, relay) = Relay::open(call, recipient, number, many);
        if state.is_over {
            drop(state);
            relay.give_up();
            return self.leave_place(firing.step, bringer);
        }
        state.untold += 1;
        state.active.push(Active { number, firing, rows, sequence, relay: Arc::clone(&relay) });
        drop(state);
        let asker = Asker::Step(relay, Arc::clone(&self.pipeline.expiries));
        version.queue_step(admitted, responder, asked, asker, bringer);
    }

    /// A step has to wait in line for its place, or need not any more.
    pub(super) fn stands_in_line(&self, stands: bool) {
        match stands {
            true => self.in_line.fetch_add(1, Ordering::AcqRel),
            false => self.in_line.fetch_sub(1, Ordering::AcqRel),
        };
    }
}

impl State {
    fn new(progress: Progress<Value>) -> State {
        State {
            progress,
            ready: VecDeque::new(),
            active: SmallVec::new(),
            under_way: 0,
            next: 0,
            outbox: VecDeque::new(),
            is_sending: false,
            is_over: false,
            took: [Duration::ZERO; 3],
            untold: 0,
            owes_report: false,
            watch: None,
        }
    }
}
