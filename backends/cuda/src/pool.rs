use std::sync::Arc;

use bytes::Bytes;
use nerite_backend::BackendError;
use parking_lot::Mutex;

use crate::{Device, PinnedBuffer};

/// The most buffers that wait for their next use: a model may have dozens of outputs, and instances share nothing.
const MOST_KEPT: usize = 256;
/// The most that they have together, in bytes.
const MOST_BYTES_KEPT: usize = 512 << 20;
/// A buffer larger than this is not kept, in bytes.
const LARGEST_KEPT: usize = 64 << 20;
/// How many times what is asked for a buffer may have: whoever holds a small answer must not hold a large one's memory,
/// for which nobody has counted.
const MOST_SLACK: usize = 4;

/// Pinned memory for outputs. It goes to callers as it is, without a copy, and comes back when the last of them has let
/// go of it: to pin memory takes longer than many a model.
pub struct PinnedPool {
    device: Arc<Device>,
    free: Mutex<Vec<PinnedBuffer>>,
}

impl PinnedPool {
    /// An empty pool.
    pub fn new(device: &Arc<Device>) -> Arc<PinnedPool> {
        Arc::new(PinnedPool { device: Arc::clone(device), free: Mutex::default() })
    }

    /// A buffer for `len` bytes: the smallest one that is there and fits, or a new one. The device must be current.
    pub fn take(self: &Arc<Self>, len: usize) -> Result<Lent, BackendError> {
        let fit = len..=MOST_SLACK.saturating_mul(len.max(PinnedBuffer::SMALLEST));
        let kept = {
            let mut free = self.free.lock();
            let fitting = free.iter().enumerate().filter(|(_, buffer)| fit.contains(&buffer.capacity()));
            let best = fitting.min_by_key(|(_, buffer)| buffer.capacity()).map(|(place, _)| place);
            best.map(|place| free.swap_remove(place))
        };
        let buffer = match kept {
            Some(buffer) => buffer,
            None => PinnedBuffer::new(&self.device, len)?,
        };
        Ok(Lent { buffer: Some(buffer), len, pool: Arc::clone(self) })
    }

    /// Keeps it. Of more than may be kept the smallest go, which take the least to be made again.
    fn give_back(&self, buffer: PinnedBuffer) {
        if buffer.capacity() > LARGEST_KEPT {
            return;
        }
        let mut gone = Vec::new();
        let mut free = self.free.lock();
        free.push(buffer);
        while free.len() > MOST_KEPT
            || free.iter().map(PinnedBuffer::capacity).sum::<usize>() > MOST_BYTES_KEPT
        {
            let smallest = free.iter().enumerate().min_by_key(|(_, kept)| kept.capacity());
            let Some((place, _)) = smallest else { break };
            gone.push(free.swap_remove(place));
        }
        drop(free);
        // Outside the lock, since the driver may take its time.
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
