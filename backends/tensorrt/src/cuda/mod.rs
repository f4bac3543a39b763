//! CUDA's driver, loaded at run time.

mod api;
mod device;
mod driver;
mod error;
mod memory;
mod stream;

pub(crate) use api::StreamHandle;
pub(crate) use device::Device;
pub(crate) use driver::Driver;
pub(crate) use memory::{DeviceBuffer, PinnedBuffer};
pub(crate) use stream::Stream;
