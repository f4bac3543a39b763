use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nerite_backend::Code;

/// What became of loads, over all models that are or were: it outlives them.
#[derive(Debug, Default)]
pub struct LoadCounts {
    loaded: AtomicU64,
    unloaded: AtomicU64,
    failed: [AtomicU64; CODES.len()],
}

/// Every kind of failure, with the value of the metric's `reason` label.
pub const CODES: [(Code, &str); 8] = [
    (Code::Unknown, "UNKNOWN"),
    (Code::Internal, "INTERNAL"),
    (Code::NotFound, "NOT_FOUND"),
    (Code::InvalidArgument, "INVALID_ARGUMENT"),
    (Code::Unavailable, "UNAVAILABLE"),
    (Code::Unsupported, "UNSUPPORTED"),
    (Code::AlreadyExists, "ALREADY_EXISTS"),
    (Code::Cancelled, "CANCELLED"),
];

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
        self.of(code).load(Relaxed)
    }

    pub(crate) fn count_loaded(&self, versions: usize) {
        self.loaded.fetch_add(versions as u64, Relaxed);
    }

    pub(crate) fn count_unloaded(&self) {
        self.unloaded.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_failed(&self, code: Code) {
        self.of(code).fetch_add(1, Relaxed);
    }

    fn of(&self, code: Code) -> &AtomicU64 {
        let place = CODES.iter().position(|(other, _)| *other == code);
        &self.failed[place.expect("the list has every code")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_their_code() {
        let loads = LoadCounts::default();
        for (times, (code, _)) in CODES.into_iter().enumerate() {
            (0..times).for_each(|_| loads.count_failed(code));
        }
        assert_eq!(CODES.map(|(code, _)| loads.failed(code)), [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
