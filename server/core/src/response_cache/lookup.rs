use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What the response cache did for a request that it did not answer at once, for the request's account.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    nanos: AtomicU64,
    is_hit: AtomicBool,
}

impl Lookup {
    /// One that took so long and found nothing.
    pub(super) fn new(took: Duration) -> Lookup {
        let lookup = Lookup::default();
        lookup.add(took);
        lookup
    }

    /// So much more time went into it.
    pub(super) fn add(&self, took: Duration) {
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// The request is answered without being executed.
    pub(super) fn hit(&self) {
        self.is_hit.store(true, Relaxed);
    }

    /// Whether the request was answered without being executed.
    pub(crate) fn is_hit(&self) -> bool {
        self.is_hit.load(Relaxed)
    }

    /// How long it took to look the request up and, if its answer was kept, to keep it.
    pub(crate) fn took(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Relaxed))
    }
}
