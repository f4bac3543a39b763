use std::sync::Arc;

use nerite_backend::{BackendError, Batch, Batched, Condition, Instance, InstanceSpec};
use nerite_cuda::Device;

use crate::gpu_compute::GpuCompute;

/// An executor of a session on a GPU. It can execute as long as its device can be used.
pub(crate) struct GpuInstance {
    batched: Batched<GpuCompute>,
    device: Arc<Device>,
}

impl GpuInstance {
    /// An executor as `spec` wants it.
    pub(crate) fn new(compute: GpuCompute, device: Arc<Device>, spec: &InstanceSpec) -> GpuInstance {
        GpuInstance { batched: Batched::new(compute, spec), device }
    }
}

impl Instance for GpuInstance {
    fn execute(&mut self, batch: Batch) -> Condition {
        let condition = self.batched.execute(batch);
        self.device.usable().map_or_else(Condition::Broken, |()| condition)
    }

    fn ready(&mut self) -> Option<Result<(), BackendError>> {
        Some(self.device.usable())
    }
}
