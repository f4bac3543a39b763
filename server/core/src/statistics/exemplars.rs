use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::timed::{BUCKETS, bucket, nanos};

/// A request that was traced, as an example of all that took about as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// The trace's id, as in W3C's trace context.
    pub trace_id: u128,
    /// How long the request took, from its arrival to its answer.
    pub value: Duration,
    /// When it was answered.
    pub at: SystemTime,
}

/// The latest exemplar of each bucket.
#[derive(Default)]
pub(super) struct Exemplars([Mutex<Option<Exemplar>>; BUCKETS]);

impl Exemplars {
    /// Puts one in the place of the last of its bucket. Where somebody else is at it, theirs is as good.
    pub(super) fn put(&self, exemplar: Exemplar) {
        if let Some(mut place) = self.0[bucket(nanos(exemplar.value))].try_lock() {
            *place = Some(exemplar);
        }
    }

    pub(super) fn latest(&self) -> [Option<Exemplar>; BUCKETS] {
        self.0.each_ref().map(|place| *place.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_of_each_bucket_is_kept() {
        let exemplars = Exemplars::default();
        let of = |id, micros| Exemplar {
            trace_id: id,
            value: Duration::from_micros(micros),
            at: SystemTime::UNIX_EPOCH,
        };
        for exemplar in [of(1, 50), of(2, 51), of(3, 100), of(4, u64::MAX >> 20)] {
            exemplars.put(exemplar);
        }
        let latest = exemplars.latest().map(|exemplar| exemplar.map(|exemplar| exemplar.trace_id));
        assert_eq!((latest[0], latest[1], latest[BUCKETS - 1]), (Some(1), Some(3), Some(4)));
        assert!(latest[2..BUCKETS - 1].iter().all(Option::is_none));
    }
}
