//! What NVIDIA GPUs say of themselves: NVML, the driver's management library, loaded at run time.
//!
//! Nothing of NVIDIA's is needed to build this. Any call may take as long as the driver lets it, which is for ever
//! where the driver hangs: call from a thread that nobody waits for. Everything `unsafe` is in `api`, `library` and
//! `device`.

mod api;
mod device;
mod error;
mod library;

pub use device::{Device, Memory, Reading};
pub use error::{LoadError, NvmlError};
pub use library::Nvml;
