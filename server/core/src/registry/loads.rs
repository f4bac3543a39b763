use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nerite_backend::Code;

/// What became of loads, over all models that are or were: it outlives them.
#[derive(Debug, Default)]
pub struct LoadCounts {
    loaded: AtomicU64,
    unloaded: AtomicU64,
    failed: [AtomicU64; Code::ALL.len()],
}

impl LoadCounts {
    /// How many versions were loaded and came to be served.
    pub fn loaded(&self) -> u64 {
        self.loaded.load(Relaxed)
    }

    /// How many versions that served were let go of, to the last of what they held.
    pub fn unloaded(&self) -> u64 {
        self.unloaded.load(Relaxed)
    }

    /// How many versions, or models that never came to versions, could not be loaded for that reason.
    pub fn failed(&self, code: Code) -> u64 {
        self.failed[code as usize].load(Relaxed)
    }

    pub(crate) fn count_loaded(&self, versions: usize) {
        self.loaded.fetch_add(versions as u64, Relaxed);
    }

    pub(crate) fn count_unloaded(&self) {
        self.unloaded.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_failed(&self, code: Code) {
        self.failed[code as usize].fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_their_code() {
        let loads = LoadCounts::default();
        for (times, code) in Code::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| loads.count_failed(code));
        }
        assert_eq!(Code::ALL.map(|code| loads.failed(code)), [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
