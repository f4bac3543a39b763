#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::c_int;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::sync::{Arc, Weak};

use libloading::Library;
use nerite_backend::{BackendError, Code};
use parking_lot::Mutex;

use crate::api::{Api, cuda_call};
use crate::device::Device;
use crate::error::CudaError;

const FILE: &str = "libcuda.so.1";

/// The NVIDIA driver, ready for use. Its library stays loaded: the driver has threads of its own, and no way to end
/// them.
#[derive(Debug)]
pub struct Driver {
    api: Api,
    count: u32,
    /// Those in use, so that all models see of a device what one of them has found.
    devices: Mutex<BTreeMap<u32, Weak<Device>>>,
}

impl Driver {
    /// Loads and starts the driver: the library of that path, or the one that the system's loader finds. Fails where
    /// there is none, or no device; what to do about that is for the caller to say.
    pub fn load(named: Option<&Path>) -> Result<Driver, BackendError> {
        let path = named.unwrap_or(Path::new(FILE));
        let shown = path.display();
        // SAFETY: loading the driver runs its initializers, which it has for this purpose.
        let library = unsafe { Library::new(path) }.map_err(|error| {
            let message = format!("the NVIDIA driver's library '{shown}' cannot be loaded ({})", why(&error));
            BackendError::new(Code::Unavailable, message)
        })?;
        let library = ManuallyDrop::new(library);
        let api = Api::find(&library).map_err(|error| {
            let message = format!(
                "'{shown}' is not the NVIDIA driver's library, or one that is too old ({})",
                why(&error)
            );
            BackendError::new(Code::Unsupported, message)
        })?;
        let count = start(&api).map_err(|error| {
            let why = match error.code {
                CudaError::NO_DEVICE => "there is no NVIDIA GPU that this process may use",
                _ => "the NVIDIA driver cannot be started",
            };
            BackendError::new(Code::Unavailable, format!("{why} ({error})"))
        })?;
        Ok(Driver { api, count, devices: Mutex::default() })
    }

    /// How many devices there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// A device by its number.
    pub fn device(&self, ordinal: u32) -> Result<Arc<Device>, BackendError> {
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

/// How many GPUs this process may use; 0 without the NVIDIA driver, which is loaded and started to ask it.
pub fn device_count(driver: Option<&Path>) -> u32 {
    Driver::load(driver).map_or(0, |driver| driver.count())
}

/// What the system's loader says of a library that it did not load, which is one level down.
pub fn why(error: &libloading::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
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
