#![allow(unsafe_code)]

use std::ptr::null_mut;
use std::sync::Arc;

use nerite_backend::BackendError;

use crate::api::{DevicePointer, EventHandle, StreamHandle, cuda_call};
use crate::device::Device;
use crate::memory::{DeviceBuffer, PinnedBuffer};

/// A queue of work for a device, and the event that tells when it is done.
#[derive(Debug)]
pub struct Stream {
    device: Arc<Device>,
    stream: StreamHandle,
    done: EventHandle,
}

// SAFETY: streams and events belong to no thread.
unsafe impl Send for Stream {}

/// The stream does not wait for the default one, on which other libraries may work.
const NON_BLOCKING: u32 = 1;
/// Who waits for the event sleeps, and does not take the processor from the network's threads; nobody asks it for
/// times.
const BLOCKING_SYNC_WITHOUT_TIMES: u32 = 1 | 2;

impl Stream {
    /// A stream on the current device.
    pub fn new(device: &Arc<Device>) -> Result<Stream, BackendError> {
        let mut made = Stream { device: Arc::clone(device), stream: null_mut(), done: null_mut() };
        let api = device.api();
        // SAFETY: the device's context is current; results go to fields that are released if not null.
        let result = unsafe {
            cuda_call!(api, cuStreamCreate(&mut made.stream, NON_BLOCKING))
                .and_then(|()| cuda_call!(api, cuEventCreate(&mut made.done, BLOCKING_SYNC_WITHOUT_TIMES)))
        };
        result.map_err(|error| device.failed("a stream cannot be made", error))?;
        Ok(made)
    }

    /// For engines.
    pub fn handle(&self) -> StreamHandle {
        self.stream
    }

    /// Begins to copy the first `len` bytes to the device.
    ///
    /// # Panics
    /// If one of the two is shorter.
    pub fn upload(&self, from: &PinnedBuffer, to: &DeviceBuffer, len: usize) -> Result<(), BackendError> {
        assert!(len <= from.capacity() && len <= to.capacity(), "a copy stays within its buffers");
        // SAFETY: both are as long as is said and on this device; whoever drives the stream keeps them, and leaves them
        // alone, until it has waited.
        let begun = unsafe {
            let host = from.as_ptr().cast_const().cast();
            cuda_call!(self.device.api(), cuMemcpyHtoDAsync_v2(to.address(), host, len, self.stream))
        };
        begun.map_err(|error| self.device.failed("an input cannot be copied to it", error))
    }

    /// Begins to copy the first `len` bytes from the device.
    ///
    /// # Panics
    /// If one of the two is shorter.
    pub fn download(
        &self,
        from: &DeviceBuffer,
        to: &mut PinnedBuffer,
        len: usize,
    ) -> Result<(), BackendError> {
        assert!(len <= from.capacity() && len <= to.capacity(), "a copy stays within its buffers");
        // SAFETY: as in `upload`.
        unsafe { self.download_from(from.address(), to, len) }
    }

    /// The same from memory that is not ours.
    ///
    /// # Safety
    /// There are as many bytes on this device, which live, unwritten, until the stream has been waited for; and so does
    /// `to`.
    ///
    /// # Panics
    /// If `to` is shorter.
    pub unsafe fn download_from(
        &self,
        from: DevicePointer,
        to: &mut PinnedBuffer,
        len: usize,
    ) -> Result<(), BackendError> {
        assert!(len <= to.capacity(), "a copy stays within its buffers");
        // SAFETY: `to` is as long as is said; of `from` the caller says so.
        let begun = unsafe {
            cuda_call!(self.device.api(), cuMemcpyDtoHAsync_v2(to.as_ptr().cast(), from, len, self.stream))
        };
        begun.map_err(|error| self.device.failed("an output cannot be copied from it", error))
    }

    /// Waits, asleep, until all that was begun is done.
    pub fn wait(&self) -> Result<(), BackendError> {
        let api = self.device.api();
        // SAFETY: both handles live.
        let waited = unsafe {
            cuda_call!(api, cuEventRecord(self.done, self.stream))
                .and_then(|()| cuda_call!(api, cuEventSynchronize(self.done)))
        };
        waited.map_err(|error| self.device.failed("the model could not be executed", error))
    }

    /// Waits after something failed, so that nothing that was begun is still going on.
    pub fn settle(&self) -> Result<(), BackendError> {
        // SAFETY: the stream lives.
        let settled = unsafe { cuda_call!(self.device.api(), cuStreamSynchronize(self.stream)) };
        settled.map_err(|error| self.device.failed("the model could not be executed", error))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.device.enter_to_release();
        let api = self.device.api();
        // SAFETY: what is not null was made by `new` and is released once.
        unsafe {
            if !self.done.is_null() {
                let _ = cuda_call!(api, cuEventDestroy_v2(self.done));
            }
            if !self.stream.is_null() {
                let _ = cuda_call!(api, cuStreamDestroy_v2(self.stream));
            }
        }
    }
}
