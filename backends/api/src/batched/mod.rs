//! Batches for engines that know nothing of them.

mod gather;
mod scatter;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use crate::{
    BackendError, Batch, Compute, Condition, Executions, Instance, InstanceSpec, Outputs, Phases, Ragged,
    Request, Response, Run, Slots,
};
use gather::Gather;

/// An [`Instance`] over a [`Compute`] that keeps no state between runs.
///
/// A batch that fails as a whole is run again request by request, once, so that only the guilty one fails. With
/// batching, an output whose first extent is not the number of rows, nor its parts those of a
/// [`BatchOutput`](crate::BatchOutput), is an error: it could not be shared out.
pub struct Batched<C> {
    compute: C,
    batching: bool,
    ragged: Arc<Ragged>,
    executions: Arc<dyn Executions>,
    gather: Gather,
}

/// What a successful run leaves.
struct Done {
    outputs: Outputs,
    phases: Phases,
}

impl<C: Compute> Batched<C> {
    /// An instance as `spec` wants it.
    pub fn new(compute: C, spec: &InstanceSpec) -> Batched<C> {
        let InstanceSpec { batching, ragged, executions, .. } = spec.clone();
        Batched { compute, batching, ragged, executions, gather: Gather::default() }
    }

    fn execute_together(&mut self, requests: Vec<Request>) {
        let start = Instant::now();
        let scattered = self.run(start, &requests).and_then(|done| {
            let shares = scatter::share_out(&done.outputs, &requests, &self.ragged)?;
            Ok((shares, self.completed(&requests, done.phases)))
        });
        match scattered {
            Ok((shares, phases)) => {
                for (request, outputs) in requests.into_iter().zip(shares) {
                    answer(request, &phases, outputs);
                }
            }
            Err(_) => {
                self.executions.rerun(requests.len());
                for request in requests {
                    if !request.cancel().is_cancelled() {
                        self.execute_alone(request);
                    }
                }
            }
        }
    }

    fn execute_alone(&mut self, request: Request) {
        let start = Instant::now();
        let requests = std::slice::from_ref(&request);
        let outcome = self.run(start, requests).and_then(|mut done| {
            if self.batching {
                scatter::give_all(&mut done.outputs, &request, &self.ragged)?;
            }
            Ok((done.outputs, self.completed(requests, done.phases)))
        });
        match outcome {
            Ok((outputs, phases)) => answer(request, &phases, outputs),
            Err(error) => {
                let end = Instant::now();
                request.report(&Phases { start, input_end: end, infer_end: end, end }, Err(&error));
                request.fail(error);
            }
        }
    }

    fn run(&mut self, start: Instant, requests: &[Request]) -> Result<Done, BackendError> {
        let mut inputs = self.gather.gather(requests, &self.ragged.inputs)?;
        self.ragged.add_batch_inputs(&mut inputs, requests)?;
        let input_end = Instant::now();
        let wanted = wanted_by_any(requests);
        let cancel = match requests {
            [request] => Some(request.cancel()),
            _ => None,
        };
        let outputs = self.compute.compute(&inputs, &wanted, &Run { cancel })?;
        let infer_end = Instant::now();
        Ok(Done { outputs, phases: Phases { start, input_end, infer_end, end: infer_end } })
    }

    fn completed(&self, requests: &[Request], phases: Phases) -> Phases {
        let phases = Phases { end: Instant::now(), ..phases };
        self.executions.executed(requests.iter().map(Request::rows).sum(), &phases);
        phases
    }
}

impl<C: Compute> Instance for Batched<C> {
    /// A computation that fails has failed on its inputs: these engines have nothing that could break.
    fn execute(&mut self, batch: Batch) -> Condition {
        let mut requests = batch.into_requests();
        if requests.len() > 1 {
            self.execute_together(requests);
        } else if let Some(request) = requests.pop() {
            self.execute_alone(request);
        }
        Condition::Sound
    }
}

fn wanted_by_any(requests: &[Request]) -> Slots {
    let mut wanted = Slots::default();
    requests.iter().for_each(|request| wanted.extend(request.wanted()));
    wanted
}

fn answer(request: Request, phases: &Phases, outputs: Outputs) {
    request.report(phases, Ok(()));
    let wanted = outputs.into_iter().enumerate().filter(|(slot, _)| request.wants(*slot));
    let outputs = wanted.filter_map(|(slot, tensor)| Some((slot, tensor?))).collect();
    request.responder().send(Response::complete(outputs));
}
