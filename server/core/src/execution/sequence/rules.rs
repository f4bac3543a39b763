use std::time::Duration;

use crate::execution::decide::Policy;

/// What holds for all sequences of a model.
#[derive(Clone, Debug)]
pub(in crate::execution) struct Rules {
    /// How batches are made.
    pub(in crate::execution) strategy: Batching,
    /// How many sequences an instance has at once.
    pub(in crate::execution) rows: usize,
    /// How long a sequence may have no request.
    pub(in crate::execution) max_idle: Duration,
    /// Whether each request is a sequence of its own, which its engine may have executed again and again.
    pub(in crate::execution) iterative: bool,
}

/// How batches are made.
#[derive(Clone, Debug)]
pub(in crate::execution) enum Batching {
    /// A sequence has the same row in every batch.
    Direct {
        /// So many ready ones are executed at once,
        fewest: usize,
        /// and fewer when the first of them has waited for so long.
        delay: Duration,
        /// The size of a full batch.
        most: usize,
    },
    /// The requests that are ready make batches like those of any other model.
    Oldest(Policy),
}
