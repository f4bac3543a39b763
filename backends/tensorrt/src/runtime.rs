#![allow(unsafe_code)]

use std::ffi::c_void;
use std::sync::Arc;

use nerite_backend::{BackendError, Code};
use nerite_cuda::Device;

use crate::library::Library;
use crate::logger;
use crate::vtable::{Owned, call};

/// An `IRuntime`, which makes engines of plans. It is made, and goes, with an engine.
pub(crate) struct Runtime {
    runtime: Owned,
    pub(crate) library: Arc<Library>,
    pub(crate) device: Arc<Device>,
}

// SAFETY: a runtime belongs to no thread, but for the device that must be current.
unsafe impl Send for Runtime {}
// SAFETY: through a shared reference nothing is done but to give engines their methods' slots.
unsafe impl Sync for Runtime {}

impl Runtime {
    /// A runtime for the current device.
    pub(crate) fn new(library: &Arc<Library>, device: &Arc<Device>) -> Result<Runtime, BackendError> {
        let (made, errors) = logger::errors_of(|| library.create_runtime());
        // SAFETY: it comes from `createInferRuntime_INTERNAL`, which gives such an object, or where it fails null or a
        // small number.
        let runtime = unsafe { Owned::from_raw(made) }.ok_or_else(|| {
            let message = format!(
                "{} cannot be started on {} ({}): check that it fits the NVIDIA driver",
                library.version(),
                device.label(),
                told(&errors)
            );
            BackendError::new(Code::Unavailable, message)
        })?;
        Ok(Runtime { runtime, library: Arc::clone(library), device: Arc::clone(device) })
    }

    /// Lets engines bring code of their own for the host.
    pub(crate) fn allow_host_code(&mut self) {
        let slot = self.library.methods().runtime.allow_host_code;
        // SAFETY: the slot is that of `setEngineHostCodeAllowed`.
        unsafe { call!(self.runtime, slot, fn(bool) -> (), true) }
    }

    /// Makes an engine of a plan, on the current device; the error is TensorRT's own.
    pub(crate) fn deserialize(&mut self, plan: &[u8]) -> Result<Owned, String> {
        let slot = self.library.methods().runtime.deserialize;
        let (made, errors) = logger::errors_of(|| {
            // SAFETY: the slot is that of `deserializeCudaEngine`, which reads the plan and keeps nothing of it.
            unsafe {
                call!(
                    self.runtime,
                    slot,
                    fn(*const c_void, usize) -> *mut c_void,
                    plan.as_ptr().cast(),
                    plan.len()
                )
            }
        });
        // SAFETY: it gives an engine that is its caller's, or null.
        unsafe { Owned::from_raw(made) }.ok_or_else(|| told(&errors).to_owned())
    }
}

/// What TensorRT said, or that it said nothing.
pub(crate) fn told(errors: &str) -> &str {
    if errors.is_empty() { "it does not say why" } else { errors }
}
