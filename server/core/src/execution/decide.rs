//! What a model does with its queue. Pure: the time is an argument.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use crate::model::ModelSpec;

/// How a model forms batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    /// The largest number of rows in a batch.
    max_rows: u32,
    /// Whether several requests may share a batch.
    combine: bool,
    /// Sizes that are executed as soon as they are reached, in rising order; at least one where requests combine.
    preferred: Vec<u32>,
    /// How long a batch of another size may wait to grow.
    delay: Duration,
}

/// A waiting request, as far as deciding needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// How many rows it has.
    pub(super) rows: u32,
    /// Whether its tensors agree with those of the first in the queue.
    pub(super) like_first: bool,
    /// When it came.
    pub(super) enqueued: Instant,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Execute the first so many requests as one batch.
    Dispatch {
        /// How many.
        requests: usize,
        /// Why now, and why not more.
        reason: DispatchReason,
    },
    /// Wait for more requests until then. Before that time nothing changes unless one comes that is unlike the first,
    /// or the queue has so many rows.
    Wait {
        /// When to look again.
        until: Instant,
        /// How many rows the queue is to have for a look before that.
        rows: u32,
    },
    /// Nothing, until a request comes or an instance is free.
    Idle,
}

/// Why a batch is executed when it is, and is not larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DispatchReason {
    /// The model's requests are not combined.
    Single,
    /// It is as large as batches may be, or the next request would make it larger than that.
    Full,
    /// It has a preferred size, or could only pass the largest.
    Preferred,
    /// The next request is unlike: it has other inputs, or they have other shapes.
    Shape,
    /// Its oldest request has waited for the delay.
    Delay,
    /// An instance was free, and nothing else waited.
    Idle,
}

impl DispatchReason {
    /// Every reason.
    pub const ALL: [DispatchReason; 6] = [
        DispatchReason::Single,
        DispatchReason::Full,
        DispatchReason::Preferred,
        DispatchReason::Shape,
        DispatchReason::Delay,
        DispatchReason::Idle,
    ];

    /// The value of the metric's `reason` label.
    pub fn label(self) -> &'static str {
        match self {
            DispatchReason::Single => "single",
            DispatchReason::Full => "full",
            DispatchReason::Preferred => "preferred",
            DispatchReason::Shape => "shape",
            DispatchReason::Delay => "delay",
            DispatchReason::Idle => "idle",
        }
    }
}

impl Policy {
    /// The policy of that model.
    pub(super) fn of(spec: &ModelSpec) -> Policy {
        let scheduling = &spec.scheduling;
        let max_rows = spec.max_batch_size.max(1);
        let mut preferred = scheduling.preferred_batch_sizes.clone();
        if preferred.is_empty() {
            preferred.push(max_rows);
        }
        Policy { max_rows, combine: spec.combines(), preferred, delay: scheduling.max_queue_delay }
    }

    /// Takes what there is, up to so many rows.
    #[cfg(test)]
    pub(super) fn greedy(max_rows: u32) -> Policy {
        Policy { max_rows, combine: true, preferred: vec![max_rows], delay: Duration::ZERO }
    }

    /// Whether several requests may share a batch.
    pub(super) fn combines(&self) -> bool {
        self.combine
    }

    /// Whether a free instance always takes what is there.
    pub(super) fn is_greedy(&self) -> bool {
        !self.combine || self.delay.is_zero()
    }

    /// How many requests a batch can have at most.
    pub(super) fn most_requests(&self) -> usize {
        if self.combine { self.max_rows as usize } else { 1 }
    }

    /// How many batches so many waiting requests make at least.
    pub(super) fn batches(&self, requests: usize, rows: u64) -> usize {
        match self.combine {
            true => usize::try_from(rows.div_ceil(u64::from(self.max_rows))).unwrap_or(usize::MAX),
            false => requests,
        }
    }

    fn largest_preferred(&self) -> u32 {
        self.preferred.last().copied().unwrap_or(self.max_rows)
    }

    /// Why a batch of so many rows is executed that has, or can only pass, a size to be executed at once.
    fn reason_of_size(&self, rows: u32) -> DispatchReason {
        match rows >= self.max_rows {
            true => DispatchReason::Full,
            false => DispatchReason::Preferred,
        }
    }

    fn next_preferred(&self, rows: u32) -> u32 {
        self.preferred.iter().copied().find(|&size| size > rows).unwrap_or(self.max_rows)
    }
}

/// Decides what a model with so many free instances does with its queue, whose first requests come first. A request is
/// never split, and none overtakes another of the queue. The rules are those of Triton's dynamic batcher:
///
/// * of the preferred sizes that can be reached, the largest is executed at once;
/// * a batch that cannot grow is executed at once: because the next request would make it too large or is unlike, or
///   because it is as large as the largest preferred size;
/// * any other is executed when its oldest request has waited for the delay, with all that fits by then.
pub(super) fn decide(
    mut queue: impl Iterator<Item = Candidate>,
    free: usize,
    policy: &Policy,
    now: Instant,
) -> Decision {
    let Some(first) = queue.next().filter(|_| free > 0) else { return Decision::Idle };
    if !policy.combine {
        return Decision::Dispatch { requests: 1, reason: DispatchReason::Single };
    }
    let mut batch = Growing { requests: 1, rows: first.rows, oldest: first.enqueued };
    let mut preferred =
        policy.preferred.contains(&batch.rows).then(|| (batch.requests, policy.reason_of_size(batch.rows)));
    let mut ended = None;
    for candidate in queue {
        let rows = batch.rows.saturating_add(candidate.rows);
        if preferred.is_none() && rows > policy.largest_preferred() {
            preferred = Some((batch.requests, policy.reason_of_size(policy.largest_preferred())));
        }
        if !candidate.like_first {
            ended = Some(DispatchReason::Shape);
            break;
        }
        if rows > policy.max_rows {
            ended = Some(DispatchReason::Full);
            break;
        }
        batch.add(candidate, rows);
        if policy.preferred.contains(&rows) {
            preferred = Some((batch.requests, policy.reason_of_size(rows)));
        }
    }
    let delay_is_over =
        !policy.delay.is_zero() && now.saturating_duration_since(batch.oldest) >= policy.delay;
    match preferred {
        Some((requests, reason)) if !delay_is_over => return Decision::Dispatch { requests, reason },
        _ => {}
    }
    let due = || {
        if batch.rows >= policy.max_rows {
            Some(DispatchReason::Full)
        } else if delay_is_over {
            Some(DispatchReason::Delay)
        } else if batch.rows >= policy.largest_preferred() {
            Some(DispatchReason::Preferred)
        } else {
            policy.delay.is_zero().then_some(DispatchReason::Idle)
        }
    };
    if let Some(reason) = ended.or_else(due) {
        return Decision::Dispatch { requests: batch.requests, reason };
    }
    match batch.oldest.checked_add(policy.delay) {
        Some(until) => Decision::Wait { until, rows: policy.next_preferred(batch.rows) },
        // Longer than time itself can count.
        None => Decision::Idle,
    }
}

/// A batch on its way.
struct Growing {
    requests: usize,
    rows: u32,
    oldest: Instant,
}

impl Growing {
    fn add(&mut self, candidate: Candidate, rows: u32) {
        self.requests += 1;
        self.rows = rows;
        self.oldest = self.oldest.min(candidate.enqueued);
    }
}
