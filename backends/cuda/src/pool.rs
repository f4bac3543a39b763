use std::sync::Arc;

use bytes::Bytes;
use nerite_backend::BackendError;
use parking_lot::Mutex;

use crate::waiting::Waiting;
use crate::{Device, PinnedBuffer};

/// Pinned memory for outputs. It goes to callers as it is, without a copy, and comes back when the last of them has let
/// go of it: to pin memory takes longer than many a model.
pub struct PinnedPool {
    device: Arc<Device>,
    free: Mutex<Waiting<PinnedBuffer>>,
}

impl PinnedPool {
    /// An empty pool.
    pub fn new(device: &Arc<Device>) -> Arc<PinnedPool> {
        Arc::new(PinnedPool { device: Arc::clone(device), free: Mutex::default() })
    }

    /// A buffer for `len` bytes, one that is there or a new one. The device must be current.
    pub fn take(self: &Arc<Self>, len: usize) -> Result<Lent, BackendError> {
        let kept = self.free.lock().take(len);
        let buffer = match kept {
            Some(buffer) => buffer,
            None => PinnedBuffer::new(&self.device, len)?,
        };
        Ok(Lent { buffer: Some(buffer), len, pool: Arc::clone(self) })
    }

    fn give_back(&self, buffer: PinnedBuffer) {
        let gone = self.free.lock().keep(buffer.capacity(), buffer);
        // Without the lock, since the driver may take its time.
        drop(gone);
    }
}

/// A buffer of a pool, of which the first bytes are used.
pub struct Lent {
    /// `None` once it was given back.
    buffer: Option<PinnedBuffer>,
    len: usize,
    pool: Arc<PinnedPool>,
}

impl Lent {
    /// The buffer.
    pub fn buffer(&mut self) -> &mut PinnedBuffer {
        self.buffer.as_mut().expect("a buffer is given back by dropping it alone")
    }

    /// What is in it, without a copy.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.buffer.as_ref().map_or(&[], |buffer| &buffer.as_slice()[..self.len])
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.pool.give_back(buffer);
        }
    }
}
