//! Memory that models leave behind goes back to the system.

use std::sync::atomic::{AtomicU64, Ordering};

use nerite_onnxruntime::HeapUse;
use parking_lot::Mutex;

use crate::memory::resident;

/// What was given back so far.
#[derive(Debug, Default)]
pub(crate) struct Reclaim {
    bytes: AtomicU64,
    heap: Mutex<Option<HeapUse>>,
}

impl Reclaim {
    /// Has the engines' allocator give back what it keeps free, after a model was unloaded. It takes some milliseconds.
    pub(crate) fn reclaim(&self) {
        let before = resident();
        nerite_onnxruntime::give_back_memory();
        let given_back = before.zip(resident()).map_or(0, |(before, after)| before.saturating_sub(after));
        self.bytes.fetch_add(given_back, Ordering::Relaxed);
        *self.heap.lock() = nerite_onnxruntime::heap_use();
    }

    /// What the engines' allocator had when a model was last unloaded. To ask it takes its locks for as long as it has free
    /// pieces, so that it is not for scrapes to do.
    pub(crate) fn heap(&self) -> Option<HeapUse> {
        *self.heap.lock()
    }

    /// How many bytes less were resident, over all times.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}
