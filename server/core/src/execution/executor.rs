use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use nerite_backend::{BackendError, Batch, Instance, InstanceSpec, Model};

use crate::rate_limiter::Claim;

/// An instance of a model, and how to make it anew.
pub(crate) struct Executor {
    spec: InstanceSpec,
    instance: Box<dyn Instance>,
    /// What it must be granted before it executes.
    claim: Option<Arc<Claim>>,
    executions: u64,
    /// Its place among those of its model's version.
    seat: usize,
}

impl Executor {
    /// Makes an instance of the model.
    pub(crate) fn new(model: &dyn Model, spec: InstanceSpec) -> Result<Executor, BackendError> {
        let instance = model.instance(&spec)?;
        Ok(Executor { spec, instance, claim: None, executions: 0, seat: 0 })
    }

    /// The same, which executes only when it is its turn.
    pub(crate) fn limited_by(self, claim: Option<Claim>) -> Executor {
        Executor { claim: claim.map(Arc::new), ..self }
    }

    /// What it must be granted before it executes.
    pub(crate) fn claim(&self) -> Option<&Arc<Claim>> {
        self.claim.as_ref()
    }

    /// The same in its place among those of its model's version.
    pub(super) fn at(self, seat: usize) -> Executor {
        Executor { seat, ..self }
    }

    /// Its place among those of its model's version.
    pub(super) fn seat(&self) -> usize {
        self.seat
    }

    /// How many times it has executed.
    pub(crate) fn executions(&self) -> u64 {
        self.executions
    }

    /// The instance's name.
    pub(crate) fn name(&self) -> &str {
        &self.spec.name
    }

    /// Executes a batch that no caller sent, before the executor serves: it does not count as an execution, and a panic
    /// goes through.
    pub(crate) fn rehearse(&mut self, batch: Batch) {
        self.instance.execute(batch);
    }

    /// Executes a batch. An engine that panics has its batch answered with errors, as the requests are dropped, and its
    /// instance replaced; `Err` if no new one can be made.
    pub(super) fn execute(mut self, batch: Batch, model: &dyn Model) -> Result<Executor, Lost> {
        self.executions += 1;
        // The instance, which the panic may have left in any state, is not used again.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.instance.execute(batch)));
        if outcome.is_ok() {
            return Ok(self);
        }
        tracing::error!("instance '{}' panicked and is replaced", self.spec.name);
        let Executor { spec, instance, claim, executions, seat } = self;
        let replaced = catch_unwind(AssertUnwindSafe(|| {
            drop(instance);
            Executor::new(model, spec)
        }));
        let replaced = replaced.unwrap_or_else(|_| {
            Err(BackendError::internal("the model's engine panicked again when it was replaced"))
        });
        match replaced {
            Ok(executor) => Ok(Executor { claim, executions, seat, ..executor }),
            Err(error) => Err(Lost { error, claim }),
        }
    }
}

/// An instance is gone for good.
pub(super) struct Lost {
    /// Why no other could be made.
    pub(super) error: BackendError,
    /// What it was granted, to be given back.
    pub(super) claim: Option<Arc<Claim>>,
}
