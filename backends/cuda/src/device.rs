#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int};
use std::ptr::null_mut;
use std::sync::OnceLock;

use nerite_backend::{BackendError, Code};

use crate::api::{Api, Context, cuda_call};
use crate::error::CudaError;

/// A GPU with its primary context, which NVIDIA's other libraries use too.
///
/// All that is made on a device needs its context to be the thread's current one ([`Device::enter`]) and keeps the
/// device alive.
#[derive(Debug)]
pub struct Device {
    api: Api,
    ordinal: u32,
    handle: c_int,
    name: String,
    context: Context,
    /// The first error after which nothing can be done on it any more.
    lost: OnceLock<CudaError>,
}

// SAFETY: a context belongs to no thread: the driver lets any number of threads have it as their current one, and locks
// where they meet.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

impl Device {
    /// `ordinal` is one of the driver's devices.
    pub(crate) fn open(api: Api, ordinal: u32) -> Result<Device, BackendError> {
        let number =
            c_int::try_from(ordinal).map_err(|_| BackendError::internal("a GPU's number is out of range"))?;
        let (mut handle, mut context) = (0, null_mut());
        let mut name: [c_char; 128] = [0; 128];
        // SAFETY: the driver has started; results go to locals, the name into as many bytes as are said, with a NUL at
        // their end.
        let opened = unsafe {
            cuda_call!(api, cuDeviceGet(&mut handle, number))
                .and_then(|()| cuda_call!(api, cuDeviceGetName(name.as_mut_ptr(), 127, handle)))
                .and_then(|()| cuda_call!(api, cuDevicePrimaryCtxRetain(&mut context, handle)))
        };
        opened.map_err(|error| BackendError {
            code: Code::Unavailable,
            message: format!("GPU {ordinal} cannot be used: {error}"),
        })?;
        // SAFETY: the last byte was left 0.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
        Ok(Device { api, ordinal, handle, name, context, lost: OnceLock::new() })
    }

    /// The driver's functions.
    pub(crate) fn api(&self) -> &Api {
        &self.api
    }

    /// Its number.
    pub fn ordinal(&self) -> u32 {
        self.ordinal
    }

    /// `GPU 0 (NVIDIA H200)`.
    pub fn label(&self) -> String {
        format!("GPU {} ({})", self.ordinal, self.name)
    }

    /// Makes its context the thread's current one.
    pub fn enter(&self) -> Result<(), BackendError> {
        self.usable()?;
        // SAFETY: the context is retained as long as `self` lives.
        let entered = unsafe { cuda_call!(self.api, cuCtxSetCurrent(self.context)) };
        entered.map_err(|error| self.failed("its context cannot be entered", error))
    }

    /// Enters it to release something, or to wait for what was begun, whatever state it is in.
    pub fn enter_to_release(&self) {
        // SAFETY: as in `enter`. Where it fails, what is to be released is lost with the device, and nothing goes on.
        let _ = unsafe { cuda_call!(self.api, cuCtxSetCurrent(self.context)) };
    }

    /// Fails once an error has made it useless to this process.
    pub fn usable(&self) -> Result<(), BackendError> {
        match self.lost.get() {
            None => Ok(()),
            Some(error) => Err(self.lost_to(error)),
        }
    }

    /// An error for what a call of the driver was to do, and takes notice of one after which nothing can be done.
    pub fn failed(&self, what: impl std::fmt::Display, error: CudaError) -> BackendError {
        if error.is_sticky() {
            let error = self.lost.get_or_init(|| error);
            return self.lost_to(error);
        }
        let remedy = match error.code {
            CudaError::OUT_OF_MEMORY => ": serve fewer or smaller models on it, or fewer instances",
            _ => "",
        };
        BackendError { message: format!("{}: {what}: {error}{remedy}", self.label()), ..error.into() }
    }

    fn lost_to(&self, error: &CudaError) -> BackendError {
        let message = format!(
            "{} can no longer be used by this process since {error}: restart the server, and if it happens again look \
             into the kernel's log (dmesg) for Xid errors",
            self.label()
        );
        BackendError::new(Code::Unavailable, message)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: retained once by `open`, released once; what was made on the device keeps it alive, and so is gone.
        let released = unsafe { cuda_call!(self.api, cuDevicePrimaryCtxRelease_v2(self.handle)) };
        if let Err(error) = released {
            tracing::debug!("{}: its context was not released: {error}", self.label());
        }
    }
}
