use std::sync::Arc;

use nerite_backend::{BackendError, Batch, Batched, Condition, Instance, InstanceSpec};
use nerite_cuda::Device;

use crate::compute::TrtCompute;
use crate::engine::Engine;

/// An executor of an engine. It can execute as long as its device can be used.
pub(crate) struct TrtInstance {
    batched: Batched<TrtCompute>,
    device: Arc<Device>,
}

impl TrtInstance {
    /// An executor that uses these of the engine's profiles.
    pub(crate) fn new(
        engine: Arc<Engine>,
        profiles: Vec<usize>,
        spec: &InstanceSpec,
    ) -> Result<TrtInstance, BackendError> {
        let device = Arc::clone(engine.device());
        let compute = TrtCompute::new(engine, profiles)?;
        Ok(TrtInstance { batched: Batched::new(compute, spec), device })
    }
}

impl Instance for TrtInstance {
    fn execute(&mut self, batch: Batch) -> Condition {
        let condition = self.batched.execute(batch);
        self.device.usable().map_or_else(Condition::Broken, |()| condition)
    }

    fn ready(&mut self) -> Option<Result<(), BackendError>> {
        Some(self.device.usable())
    }
}
