//! Memory that models leave behind goes back to the system.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

/// What was given back so far.
#[derive(Debug, Default)]
pub(crate) struct Reclaim {
    bytes: AtomicU64,
}

impl Reclaim {
    /// Has the engines' allocator give back what it keeps free, after a model was unloaded. It takes some milliseconds.
    pub(crate) fn reclaim(&self) {
        let before = resident();
        nerite_onnxruntime::give_back_memory();
        let given_back = before.zip(resident()).map_or(0, |(before, after)| before.saturating_sub(after));
        self.bytes.fetch_add(given_back, Ordering::Relaxed);
    }

    /// How many bytes less were resident, over all times.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// How much of the process is in memory, in bytes; nothing if the system does not say.
pub(crate) fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    kibibytes.trim().trim_end_matches("kB").trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_resident_can_be_read() {
        assert!(resident().is_some_and(|bytes| bytes > 1 << 20));
    }
}
