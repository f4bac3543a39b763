#![allow(unsafe_code)]

use std::error::Error;
use std::mem::ManuallyDrop;
use std::path::Path;

use libloading::Library;

use crate::api::Api;
use crate::device::Device;
use crate::error::{LoadError, NvmlError};

const FILE: &str = "libnvidia-ml.so.1";

/// NVML, ready for use. It stays loaded and started until the process ends: a thread may still be in it.
#[derive(Clone, Copy, Debug)]
pub struct Nvml {
    api: Api,
}

impl Nvml {
    /// Loads and starts it: the library that is named, or the system's.
    pub fn load(named: Option<&Path>) -> Result<Nvml, LoadError> {
        let path = named.unwrap_or(Path::new(FILE));
        // SAFETY: loading it runs its initializers, which it has for this purpose.
        let library = unsafe { Library::new(path) }
            .map_err(|error| LoadError::Library { path: path.to_owned(), why: why(&error) })?;
        let library = ManuallyDrop::new(library);
        let api = Api::find(&library)
            .map_err(|error| LoadError::Foreign { path: path.to_owned(), why: why(&error) })?;
        // SAFETY: it may be called at any time, and as often as one likes.
        api.check("nvmlInit_v2", unsafe { (api.init)() })?;
        Ok(Nvml { api })
    }

    /// How many GPUs it knows. Not all of them need be open to this process.
    pub fn count(&self) -> Result<u32, NvmlError> {
        let mut count = 0;
        // SAFETY: NVML has started; the result goes to a local.
        self.api.check("nvmlDeviceGetCount_v2", unsafe { (self.api.count)(&mut count) })?;
        Ok(count)
    }

    /// A GPU, by its number in the order of the bus.
    pub fn device(&self, index: u32) -> Result<Device, NvmlError> {
        Device::open(self.api, index)
    }
}

/// The words of the system's loader.
fn why(error: &libloading::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}
