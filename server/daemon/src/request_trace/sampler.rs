//! Which requests are traced.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// One request in `rate`, and no more than `count`. Takes no lock.
#[derive(Debug)]
pub(super) struct Sampler {
    rate: u64,
    seen: AtomicU64,
    /// How many more it takes; without limit if negative.
    left: AtomicI64,
}

impl Sampler {
    /// A sampler that has seen nothing yet. A rate of 0 takes no request by itself; without `count` there is no limit.
    pub(super) fn new(rate: u32, count: Option<u32>) -> Sampler {
        let left = count.map_or(-1, i64::from);
        Sampler { rate: rate.into(), seen: AtomicU64::new(0), left: AtomicI64::new(left) }
    }

    /// Whether to trace the next request. What its caller decided, if it did, counts alone, and does not count here: a
    /// trace is to be whole.
    pub(super) fn takes(&self, decided: Option<bool>) -> bool {
        if let Some(decided) = decided {
            return decided;
        }
        if self.rate == 0 || self.left.load(Relaxed) == 0 {
            return false;
        }
        (self.seen.fetch_add(1, Relaxed) + 1).is_multiple_of(self.rate) && self.spend()
    }

    /// How many more it takes; `None` without limit.
    pub(super) fn left(&self) -> Option<u32> {
        u32::try_from(self.left.load(Relaxed)).ok()
    }

    fn spend(&self) -> bool {
        let spent = |left: i64| match left {
            0 => None,
            1.. => Some(left - 1),
            unlimited => Some(unlimited),
        };
        // Without a limit nothing is written: all threads would share the line.
        self.left.load(Relaxed) < 0 || self.left.fetch_update(Relaxed, Relaxed, spent).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_rate_th_request_is_taken_until_the_count_is_used_up(
            rate in 0u32..20, count in prop::option::of(0u32..20), requests in 0u32..500,
        ) {
            let sampler = Sampler::new(rate, count);
            let taken: Vec<u32> = (1..=requests).filter(|_| sampler.takes(None)).collect();
            let multiples = (1..=requests).filter(|number| rate != 0 && number.is_multiple_of(rate));
            let expected: Vec<u32> = multiples.take(count.unwrap_or(u32::MAX) as usize).collect();
            prop_assert_eq!(sampler.left(), count.map(|count| count - expected.len() as u32));
            prop_assert_eq!(taken, expected);
        }

        #[test]
        fn what_callers_decided_is_done_and_does_not_count(
            rate in 0u32..5, count in prop::option::of(0u32..5),
            callers in prop::collection::vec(any::<Option<bool>>(), 0..100),
        ) {
            let (sampler, alone) = (Sampler::new(rate, count), Sampler::new(rate, count));
            for decided in callers {
                let expected = decided.unwrap_or_else(|| alone.takes(None));
                prop_assert_eq!(sampler.takes(decided), expected);
            }
            prop_assert_eq!(sampler.left(), alone.left());
        }
    }

    #[test]
    fn threads_that_sample_at_once_take_as_many_as_one_does() {
        for (rate, count, expected) in [(7, None, 4_000 / 7), (3, Some(100), 100), (1, Some(3_999), 3_999)] {
            let sampler = Sampler::new(rate, count);
            let taken: usize = thread::scope(|scope| {
                let sample = || (0..1_000).filter(|_| sampler.takes(None)).count();
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(sample)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert_eq!(taken, expected, "{rate} {count:?}");
        }
    }
}
