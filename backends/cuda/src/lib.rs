//! CUDA's driver, loaded at run time, for engines that run on NVIDIA GPUs: devices, streams, memory on both sides, and
//! instances on a device.
//!
//! Nothing of NVIDIA's is needed to build it. Everything `unsafe` is in `api`, `device`, `driver`, `memory` and
//! `stream`.

mod api;
mod device;
mod driver;
mod error;
mod instance;
mod memory;
mod pool;
mod stream;
mod waiting;

pub use api::{DevicePointer, StreamHandle};
pub use device::Device;
pub use driver::{Driver, device_count, why};
pub use error::CudaError;
pub use instance::DeviceInstance;
pub use memory::{DeviceBuffer, PinnedBuffer};
pub use pool::{Lent, PinnedPool};
pub use stream::Stream;
