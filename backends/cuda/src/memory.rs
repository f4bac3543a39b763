//! Memory of a device, and memory of the host that a device can reach.
#![allow(unsafe_code)]

use std::ptr::{NonNull, null_mut};
use std::slice;
use std::sync::Arc;

use nerite_backend::BackendError;

use crate::api::{DevicePointer, cuda_call};
use crate::device::Device;

/// Sizes are rounded up to this many bytes, so that no buffer is empty, and a tensor that grows by little fits. It is
/// more than the alignment that any engine asks for.
const GRAIN: usize = 4096;

fn rounded(len: usize) -> usize {
    len.max(1).checked_next_multiple_of(GRAIN).unwrap_or(usize::MAX)
}

/// Memory on a device.
#[derive(Debug)]
pub struct DeviceBuffer {
    device: Arc<Device>,
    /// 0 if there is none.
    address: DevicePointer,
    capacity: usize,
}

impl DeviceBuffer {
    /// A buffer without memory.
    pub fn new(device: &Arc<Device>) -> DeviceBuffer {
        DeviceBuffer { device: Arc::clone(device), address: 0, capacity: 0 }
    }

    /// Makes room for `len` bytes, on the current device; what was in it is lost if it has to grow. Nothing that was
    /// begun may still use it.
    pub fn reserve(&mut self, len: usize) -> Result<(), BackendError> {
        if len <= self.capacity && self.address != 0 {
            return Ok(());
        }
        // First, so that there is room for the new one.
        self.release();
        let wanted = rounded(len);
        let mut address = 0;
        // SAFETY: the result goes to a local.
        let made = unsafe { cuda_call!(self.device.api(), cuMemAlloc_v2(&mut address, wanted)) };
        made.map_err(|error| {
            self.device.failed(format_args!("{wanted} bytes for a tensor cannot be allocated on it"), error)
        })?;
        (self.address, self.capacity) = (address, wanted);
        Ok(())
    }

    /// Where it is, on the device; 0 before the first [`reserve`](DeviceBuffer::reserve).
    pub fn address(&self) -> DevicePointer {
        self.address
    }

    /// How many bytes there is room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    fn release(&mut self) {
        if self.address != 0 {
            // SAFETY: allocated by `reserve`, released once.
            let _ = unsafe { cuda_call!(self.device.api(), cuMemFree_v2(self.address)) };
            (self.address, self.capacity) = (0, 0);
        }
    }
}

impl Drop for DeviceBuffer {
    fn drop(&mut self) {
        self.device.enter_to_release();
        self.release();
    }
}

/// Memory of the host that stays in its place, which a device can read and write while the processor does other things.
#[derive(Debug)]
pub struct PinnedBuffer {
    device: Arc<Device>,
    memory: NonNull<u8>,
    capacity: usize,
}

// SAFETY: the memory belongs to no thread.
unsafe impl Send for PinnedBuffer {}
// SAFETY: through a shared reference it is only read.
unsafe impl Sync for PinnedBuffer {}

/// Every context may use it.
const PORTABLE: u32 = 1;

impl PinnedBuffer {
    /// Room for `len` bytes, all 0, made through the current device.
    pub fn new(device: &Arc<Device>, len: usize) -> Result<PinnedBuffer, BackendError> {
        let capacity = rounded(len);
        let failed = |error| {
            device.failed(format_args!("{capacity} bytes of pinned memory cannot be allocated"), error)
        };
        let mut memory = null_mut();
        let api = device.api();
        // SAFETY: the result goes to a local.
        unsafe { cuda_call!(api, cuMemHostAlloc(&mut memory, capacity, PORTABLE)) }.map_err(failed)?;
        let memory = NonNull::new(memory.cast::<u8>())
            .ok_or_else(|| BackendError::internal("the NVIDIA driver gave no pinned memory and no error"))?;
        // SAFETY: there are as many bytes, and nobody else knows of them. They are then initialized for good.
        unsafe { memory.write_bytes(0, capacity) };
        Ok(PinnedBuffer { device: Arc::clone(device), memory, capacity })
    }

    /// How many bytes there is room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Where it is, for a device.
    pub fn as_ptr(&self) -> *mut u8 {
        self.memory.as_ptr()
    }

    /// The bytes. No device may be writing to them.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: as many bytes were allocated and initialized; who has had a device write to them has waited.
        unsafe { slice::from_raw_parts(self.memory.as_ptr(), self.capacity) }
    }

    /// The bytes, to be written. No device may be using them.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the reference is exclusive.
        unsafe { slice::from_raw_parts_mut(self.memory.as_ptr(), self.capacity) }
    }
}

impl Drop for PinnedBuffer {
    fn drop(&mut self) {
        self.device.enter_to_release();
        // SAFETY: allocated by `new`, released once.
        let _ = unsafe { cuda_call!(self.device.api(), cuMemFreeHost(self.memory.as_ptr().cast())) };
    }
}
