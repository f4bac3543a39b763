use std::panic::{AssertUnwindSafe, catch_unwind};

use nerite_backend::{BackendError, Batch, Instance, InstanceSpec, Model};

/// An instance of a model, and how to make it anew.
pub struct Executor {
    spec: InstanceSpec,
    instance: Box<dyn Instance>,
}

impl Executor {
    /// Makes an instance of the model.
    pub fn new(model: &dyn Model, spec: InstanceSpec) -> Result<Executor, BackendError> {
        let instance = model.instance(&spec)?;
        Ok(Executor { spec, instance })
    }

    /// Executes a batch. An engine that panics has its batch answered with errors, as the requests are dropped, and its
    /// instance replaced; `Err` if no new one can be made.
    pub(super) fn execute(mut self, batch: Batch, model: &dyn Model) -> Result<Executor, BackendError> {
        // The instance, which the panic may have left in any state, is not used again.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.instance.execute(batch)));
        if outcome.is_ok() {
            return Ok(self);
        }
        tracing::error!("instance '{}' panicked and is replaced", self.spec.name);
        let Executor { spec, instance } = self;
        let replaced = catch_unwind(AssertUnwindSafe(|| {
            drop(instance);
            Executor::new(model, spec)
        }));
        replaced.unwrap_or_else(|_| {
            Err(BackendError::internal("the model's engine panicked again when it was replaced"))
        })
    }
}
