#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::sync::{Arc, Weak};

use libloading::Library;
use nerite_backend::{BackendError, Code};
use parking_lot::Mutex;

use super::api::{Api, cuda_call};
use super::device::Device;
use super::error::CudaError;
use crate::library::why;

const FILE: &str = "libcuda.so.1";
const REMEDY: &str = "a TensorRT model needs an NVIDIA GPU and its driver: install the driver, give a container the GPU \
                      (docker run --gpus all), or serve the model as ONNX with backend: \"onnxruntime\"";

/// The NVIDIA driver, ready for use. Its library stays loaded: the driver has threads of its own, and no way to end
/// them.
#[derive(Debug)]
pub(crate) struct Driver {
    api: Api,
    count: u32,
    /// Those in use, so that all models see of a device what one of them has found.
    devices: Mutex<BTreeMap<u32, Weak<Device>>>,
}

impl Driver {
    /// Loads and starts the driver. Fails where there is none, or no device.
    pub(crate) fn load(named: Option<&Path>) -> Result<Driver, BackendError> {
        let path = named.unwrap_or(Path::new(FILE));
        let shown = path.display();
        // SAFETY: loading the driver runs its initializers, which it has for this purpose.
        let library = unsafe { Library::new(path) }.map_err(|error| {
            let message =
                format!("the NVIDIA driver's library '{shown}' cannot be loaded ({}): {REMEDY}", why(&error));
            BackendError::new(Code::Unavailable, message)
        })?;
        let library = ManuallyDrop::new(library);
        let api = Api::find(&library).map_err(|error| {
            let message = format!(
                "'{shown}' is not the NVIDIA driver's library, or one that is too old ({}): {REMEDY}",
                why(&error)
            );
            BackendError::new(Code::Unsupported, message)
        })?;
        let count = start(&api).map_err(|error| {
            let why = match error.code {
                CudaError::NO_DEVICE => "there is no NVIDIA GPU that this process may use",
                _ => "the NVIDIA driver cannot be started",
            };
            BackendError::new(Code::Unavailable, format!("{why} ({error}): {REMEDY}"))
        })?;
        Ok(Driver { api, count, devices: Mutex::default() })
    }

    /// How many devices there are.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// A device by its number.
    pub(crate) fn device(&self, ordinal: u32) -> Result<Arc<Device>, BackendError> {
        if ordinal >= self.count {
            let has = if self.count == 1 {
                "GPU 0 alone".to_owned()
            } else {
                format!("GPUs 0 to {}", self.count - 1)
            };
            return Err(BackendError::invalid(format!(
                "there is no GPU {ordinal}: this process may use {has}; correct the gpus of the instance group"
            )));
        }
        let mut devices = self.devices.lock();
        if let Some(device) = devices.get(&ordinal).and_then(Weak::upgrade) {
            device.usable()?;
            return Ok(device);
        }
        let device = Arc::new(Device::open(self.api, ordinal)?);
        devices.insert(ordinal, Arc::downgrade(&device));
        Ok(device)
    }
}

/// The number of devices, which is more than 0.
fn start(api: &Api) -> Result<u32, CudaError> {
    let mut count: c_int = 0;
    // SAFETY: this is the first call, and the only one before it has succeeded; the result goes to a local.
    unsafe {
        cuda_call!(api, cuInit(0))?;
        cuda_call!(api, cuDeviceGetCount(&mut count))?;
    }
    match u32::try_from(count) {
        Ok(0) | Err(_) => api.check("cuDeviceGetCount", CudaError::NO_DEVICE).map(|()| 0),
        Ok(count) => Ok(count),
    }
}
