//! Executions before the first: what an engine does only once, for instance to choose its kernels or to take its memory,
//! is done before a caller has to wait for it.

mod data;
mod rehearsal;
mod sample;
mod serving_counts;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use nerite_backend::{BackendError, Cancel, Code, Model};

use super::guard::guarded;
use crate::execution::Executor;
use crate::model::{LoadError, ModelSpec, WarmUp};
use rehearsal::rehearse;
use sample::Sample;

pub(super) use serving_counts::ServingCounts;

/// The samples of a model version, ready to be executed.
pub(super) struct WarmUps<'a> {
    name: &'a str,
    samples: Vec<Sample>,
    model: &'a Arc<dyn Model>,
    cancel: &'a Cancel,
}

impl<'a> WarmUps<'a> {
    /// Makes the samples' data, and checks them as if clients had sent them.
    pub(super) fn prepare(
        spec: &'a ModelSpec,
        warm_ups: &[WarmUp],
        model: &'a Arc<dyn Model>,
        cancel: &'a Cancel,
    ) -> Result<WarmUps<'a>, LoadError> {
        let samples = sample::prepare(spec, warm_ups)?;
        Ok(WarmUps { name: &spec.name, samples, model, cancel })
    }

    /// Executes every sample as often as it says, and fails with the first that fails. The load's cancellation ends it.
    pub(super) fn run(&self, executor: &mut Executor) -> Result<(), LoadError> {
        for sample in &self.samples {
            for _ in 0..sample.count {
                self.execute(sample, executor).map_err(|error| {
                    let (model, name, instance) = (self.name, &sample.name, executor.name());
                    let what = format!("model '{model}', warm-up sample '{name}' on instance '{instance}'");
                    let remedy = match error.code {
                        Code::Cancelled => "",
                        _ => "; correct the sample in model_warmup, or the model",
                    };
                    LoadError::new(error.code, format!("{what}: {}{remedy}", error.message))
                })?;
            }
        }
        Ok(())
    }

    fn execute(&self, sample: &Sample, executor: &mut Executor) -> Result<(), LoadError> {
        if self.cancel.is_cancelled() {
            return Err(BackendError::load_cancelled().into());
        }
        let outcome = guarded("the engine", || Ok(rehearse(executor, sample, self.model, self.cancel)?));
        // An engine that stops early may say anything.
        match self.cancel.is_cancelled() {
            true => outcome.map_err(|_| BackendError::load_cancelled().into()),
            false => outcome,
        }
    }
}
