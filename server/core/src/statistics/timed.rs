use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The upper bounds of the buckets, in nanoseconds: 50 µs to 10 s. They are the same for everything that is timed, so
/// that buckets of several phases, models and servers can be added up.
pub const BOUNDS: [u64; 17] = [
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// How many buckets there are: one below each bound, and one above all.
pub const BUCKETS: usize = BOUNDS.len() + 1;

/// The first bound that is not below a power of two, by its exponent. Between two powers of two lies at most one bound,
/// so that a bucket is found by one look here and one comparison, however long something took.
const FIRST: [u8; 64] = first();

const fn first() -> [u8; 64] {
    let mut first = [BOUNDS.len() as u8; 64];
    let mut exponent = 0;
    while exponent < 64 {
        let mut bound = 0;
        while bound < BOUNDS.len() && BOUNDS[bound] < 1 << exponent {
            bound += 1;
        }
        first[exponent] = bound as u8;
        exponent += 1;
    }
    first
}

/// The bucket of what took so many nanoseconds. A bound belongs to the bucket below it.
pub const fn bucket(nanos: u64) -> usize {
    // The bit is for 0, which has no logarithm.
    let bucket = FIRST[(nanos | 1).ilog2() as usize] as usize;
    bucket + (bucket < BOUNDS.len() && BOUNDS[bucket] < nanos) as usize
}

/// How many events took how long, and how long all of them took together.
///
/// An event is two additions, as it would be without the buckets: what the buckets hold together is the number of events.
#[derive(Default)]
pub struct Timed {
    buckets: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
}

impl Timed {
    pub(super) fn add(&self, took: Duration) {
        let nanos = nanos(took);
        self.buckets[bucket(nanos)].fetch_add(1, Relaxed);
        self.nanos.fetch_add(nanos, Relaxed);
    }

    /// How many events.
    pub fn count(&self) -> u64 {
        self.buckets().iter().sum()
    }

    /// The time they took together, in nanoseconds.
    pub fn nanos(&self) -> u64 {
        self.nanos.load(Relaxed)
    }

    /// How many events are in each bucket.
    pub fn buckets(&self) -> [u64; BUCKETS] {
        self.buckets.each_ref().map(|bucket| bucket.load(Relaxed))
    }
}

impl fmt::Debug for Timed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timed").field("count", &self.count()).field("nanos", &self.nanos()).finish()
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bounds_rise_and_no_two_lie_between_the_same_powers_of_two() {
        assert!(BOUNDS.windows(2).all(|pair| pair[0] < pair[1] && pair[0].ilog2() < pair[1].ilog2()));
    }

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it() {
        for (index, bound) in BOUNDS.into_iter().enumerate() {
            assert_eq!([bound - 1, bound, bound + 1].map(bucket), [index, index, index + 1]);
        }
        assert_eq!([0, 1, u64::MAX].map(bucket), [0, 0, BUCKETS - 1]);
    }

    proptest! {
        #[test]
        fn what_is_timed_is_in_the_first_bucket_whose_bound_it_does_not_pass(
            values in prop::collection::vec((any::<u64>(), 0u32..64), 0..50)
        ) {
            let timed = Timed::default();
            let values: Vec<u64> = values.into_iter().map(|(value, shift)| value >> shift >> 10).collect();
            values.iter().for_each(|&value| timed.add(Duration::from_nanos(value)));
            let buckets = timed.buckets();
            for (index, bound) in BOUNDS.into_iter().enumerate() {
                let within = values.iter().filter(|&&value| value <= bound).count() as u64;
                prop_assert_eq!(buckets[..=index].iter().sum::<u64>(), within);
            }
            prop_assert_eq!(timed.count(), values.len() as u64);
            prop_assert_eq!(timed.nanos(), values.iter().fold(0u64, |sum, value| sum.wrapping_add(*value)));
        }
    }
}
