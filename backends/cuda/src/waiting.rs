//! What a pool keeps. Pure.

use std::collections::VecDeque;

/// The most buffers that wait: a model may have dozens of outputs.
const MOST: usize = 256;
/// The most that they have together, in bytes.
const MOST_BYTES: usize = 512 << 20;
/// How many times what is asked for a buffer may have: whoever holds a small answer must not hold a large one's memory,
/// for which nobody has counted.
const MOST_SLACK: usize = 4;
/// A buffer of so many bytes is never too large.
const SMALL: usize = 16 << 10;

/// Buffers that wait for their next use.
#[derive(Debug)]
pub(crate) struct Waiting<B> {
    /// Each with its size in bytes, in the order in which they came.
    buffers: VecDeque<(usize, B)>,
    bytes: usize,
}

impl<B> Default for Waiting<B> {
    fn default() -> Waiting<B> {
        Waiting { buffers: VecDeque::new(), bytes: 0 }
    }
}

impl<B> Waiting<B> {
    /// The smallest that has `len` bytes, and not many times as many.
    pub(crate) fn take(&mut self, len: usize) -> Option<B> {
        let fit = len..=len.saturating_mul(MOST_SLACK).max(SMALL);
        let fitting = self.buffers.iter().enumerate().filter(|(_, (size, _))| fit.contains(size));
        let (place, _) = fitting.min_by_key(|(_, (size, _))| *size)?;
        let (size, buffer) = self.buffers.remove(place)?;
        self.bytes -= size;
        Some(buffer)
    }

    /// Keeps a buffer of so many bytes. Returns those that are to go: what has waited longest, of more than may wait.
    pub(crate) fn keep(&mut self, size: usize, buffer: B) -> Vec<B> {
        if size > MOST_BYTES {
            return vec![buffer];
        }
        self.buffers.push_back((size, buffer));
        self.bytes += size;
        let mut gone = Vec::new();
        while self.buffers.len() > MOST || self.bytes > MOST_BYTES {
            let Some((size, buffer)) = self.buffers.pop_front() else { break };
            self.bytes -= size;
            gone.push(buffer);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_small_request_does_not_get_a_large_buffer() {
        let mut waiting = Waiting::default();
        for (size, name) in [(1 << 20, "large"), (4096, "small"), (300 << 20, "huge")] {
            assert!(waiting.keep(size, name).is_empty());
        }
        assert_eq!(waiting.take(100), Some("small"));
        assert_eq!(waiting.take(100), None);
        assert_eq!(waiting.take(1 << 18), Some("large"), "four times as much is close enough");
        assert_eq!(waiting.take(usize::MAX), None);
        assert_eq!(waiting.take(300 << 20), Some("huge"));
    }

    #[test]
    fn what_has_waited_longest_goes_first() {
        let mut waiting = Waiting::default();
        for name in 0..8 {
            assert!(waiting.keep(64 << 20, name).is_empty());
        }
        assert_eq!(
            waiting.keep(4096, 8),
            [0],
            "so that a former load does not keep the next from its memory"
        );
        assert_eq!(waiting.take(1), Some(8));
        assert_eq!(waiting.keep(MOST_BYTES + 1, 9), [9]);
    }

    proptest! {
        #[test]
        fn no_more_waits_than_may_and_nothing_is_lost_or_given_twice(
            steps in prop::collection::vec((any::<bool>(), 1usize..(600 << 20)), 1..600),
        ) {
            let (mut waiting, mut there) = (Waiting::default(), BTreeMap::new());
            for (number, (keeps, size)) in steps.into_iter().enumerate() {
                if keeps {
                    there.insert(number, size);
                    for gone in waiting.keep(size, number) {
                        prop_assert!(there.remove(&gone).is_some());
                    }
                } else if let Some(taken) = waiting.take(size) {
                    prop_assert!(there.remove(&taken).is_some_and(|found| found >= size));
                }
                prop_assert_eq!(waiting.bytes, there.values().sum::<usize>());
                prop_assert!(waiting.bytes <= MOST_BYTES && there.len() <= MOST);
            }
        }
    }
}
