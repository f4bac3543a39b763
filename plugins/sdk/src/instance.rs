//! What executes a model.

#![allow(unsafe_code)]

use std::ptr::{self, NonNull};

use nerite_plugin_abi as abi;

pub use nerite_plugin_abi::InstanceGroupKind;

use crate::batch::Batch;
use crate::error::{Result, check};
use crate::sys;
use crate::text::text;

/// What executes a model, one batch at a time.
///
/// It is dropped when the model is unloaded, or when another was made in its place. Threads that it started have to end
/// before its drop returns, since the library may be gone after it; [`Threads`](crate::Threads) sees to that.
pub trait Instance: Send + 'static {
    /// Executes a batch: answers each of its requests, by a response or an error, or makes a sender of it.
    ///
    /// An error that is returned answers all requests that are not answered yet, and so does a panic. An instance that
    /// panicked says so when it is asked whether it is ready; Nerite makes a new one then. Triton goes on with it.
    fn execute(&mut self, batch: &mut Batch) -> Result<()>;

    /// Whether it can execute; asked when an execution has left a doubt about it. Triton asks when it likes. An error
    /// says that it cannot, and why.
    fn ready(&mut self) -> Result<()> {
        Ok(())
    }
}

/// What the server knows of an instance that is being made.
pub struct InstanceContext<'a> {
    name: &'a str,
    kind: InstanceGroupKind,
    device: i32,
}

impl<'a> InstanceContext<'a> {
    /// # Safety
    ///
    /// The instance is being initialised during `'a`.
    pub(crate) unsafe fn new(handle: NonNull<abi::ModelInstance>) -> Result<InstanceContext<'a>> {
        let (mut name, mut kind, mut device) = (ptr::null(), InstanceGroupKind::AUTO, 0);
        // SAFETY: the instance is alive, and the server writes one value behind each pointer; it keeps the text as
        // long.
        unsafe {
            check(sys::TRITONBACKEND_ModelInstanceName(handle.as_ptr(), &mut name))?;
            check(sys::TRITONBACKEND_ModelInstanceKind(handle.as_ptr(), &mut kind))?;
            check(sys::TRITONBACKEND_ModelInstanceDeviceId(handle.as_ptr(), &mut device))?;
            Ok(InstanceContext { name: text(name)?, kind, device })
        }
    }

    /// The instance's name.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Where it is to run.
    pub fn kind(&self) -> InstanceGroupKind {
        self.kind
    }

    /// The number of its device.
    pub fn device(&self) -> i32 {
        self.device
    }
}
