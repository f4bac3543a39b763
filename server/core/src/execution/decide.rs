/// How a model forms batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    /// The largest number of rows in a batch.
    pub(super) max_rows: u32,
    /// Whether several requests may share a batch.
    pub(super) combine: bool,
}

impl Policy {
    /// How many batches so many waiting requests make at least.
    pub(super) fn batches(&self, requests: usize, rows: u64) -> usize {
        match self.combine {
            true => usize::try_from(rows.div_ceil(u64::from(self.max_rows.max(1)))).unwrap_or(usize::MAX),
            false => requests,
        }
    }
}

/// A waiting request, as far as deciding needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// How many rows it has.
    pub(super) rows: u32,
    /// Whether its tensors agree with those of the first in the queue.
    pub(super) like_first: bool,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Execute the first so many requests as one batch.
    Dispatch(usize),
    /// Nothing, until a request comes or an instance is free.
    Idle,
}

/// Decides what a model with so many free instances does with its queue, whose first requests come first. A request is
/// never split, and none overtakes another.
pub(super) fn decide(mut queue: impl Iterator<Item = Candidate>, free: usize, policy: &Policy) -> Decision {
    let Some(first) = queue.next().filter(|_| free > 0) else { return Decision::Idle };
    let mut rows = first.rows;
    let others = queue.take_while(|candidate| {
        rows = rows.saturating_add(candidate.rows);
        policy.combine && candidate.like_first && rows <= policy.max_rows
    });
    Decision::Dispatch(1 + others.count())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidates(rows: &[u32]) -> impl Iterator<Item = Candidate> + '_ {
        rows.iter().map(|&rows| Candidate { rows, like_first: true })
    }

    const BATCHES_OF_8: Policy = Policy { max_rows: 8, combine: true };

    #[test]
    fn nothing_is_dispatched_without_a_request_or_without_a_free_instance() {
        assert_eq!(decide(candidates(&[]), 1, &BATCHES_OF_8), Decision::Idle);
        assert_eq!(decide(candidates(&[1, 1]), 0, &BATCHES_OF_8), Decision::Idle);
    }

    #[test]
    fn a_free_instance_takes_all_that_fits_and_is_alike() {
        assert_eq!(decide(candidates(&[3, 4, 1, 1]), 1, &BATCHES_OF_8), Decision::Dispatch(3));
        assert_eq!(decide(candidates(&[3, 6, 1]), 1, &BATCHES_OF_8), Decision::Dispatch(1));
        let odd = Candidate { rows: 1, like_first: false };
        let queue = candidates(&[1, 1]).chain([odd]).chain(candidates(&[1]));
        assert_eq!(decide(queue, 1, &BATCHES_OF_8), Decision::Dispatch(2));
    }

    #[test]
    fn a_model_without_dynamic_batching_takes_one_request_at_a_time() {
        let policy = Policy { combine: false, ..BATCHES_OF_8 };
        assert_eq!(decide(candidates(&[1, 1]), 1, &policy), Decision::Dispatch(1));
    }

    proptest! {
        #[test]
        fn a_batch_is_the_longest_prefix_that_fits(
            queue in prop::collection::vec((1u32..5, any::<bool>()), 1..20), max_rows in 4u32..16
        ) {
            let candidates: Vec<Candidate> =
                queue.iter().enumerate().map(|(i, &(rows, alike))| Candidate { rows, like_first: i == 0 || alike }).collect();
            let policy = Policy { max_rows, combine: true };
            let Decision::Dispatch(count) = decide(candidates.iter().copied(), 1, &policy) else {
                return Err(TestCaseError::fail("a request and a free instance are there"));
            };
            let fits = |count: usize| {
                let batch = &candidates[..count];
                batch.iter().map(|c| c.rows).sum::<u32>() <= max_rows && batch.iter().all(|c| c.like_first)
            };
            prop_assert!(fits(count));
            prop_assert!(count == candidates.len() || !fits(count + 1));
        }
    }
}
