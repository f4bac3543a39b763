use std::sync::Arc;

use nerite_backend::{BackendError, Batch, Batched, Compute, Condition, Instance, InstanceSpec};

use crate::Device;

/// An executor on a device. It can execute as long as its device can be used.
pub struct DeviceInstance<C> {
    batched: Batched<C>,
    device: Arc<Device>,
}

impl<C: Compute> DeviceInstance<C> {
    /// An executor as `spec` wants it.
    pub fn new(compute: C, device: &Arc<Device>, spec: &InstanceSpec) -> DeviceInstance<C> {
        DeviceInstance { batched: Batched::new(compute, spec), device: Arc::clone(device) }
    }
}

impl<C: Compute> Instance for DeviceInstance<C> {
    fn execute(&mut self, batch: Batch) -> Condition {
        let condition = self.batched.execute(batch);
        self.device.usable().map_or_else(Condition::Broken, |()| condition)
    }

    fn ready(&mut self) -> Option<Result<(), BackendError>> {
        Some(self.device.usable())
    }
}
