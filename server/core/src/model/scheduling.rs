use std::time::Duration;

/// How a model's requests wait, and which of them are executed together. The terms are those of `dynamic_batching` in
/// `inference.ModelConfig`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduling {
    /// Whether requests that wait are put together into batches, and dispatch may wait for more of them.
    pub dynamic_batching: bool,
    /// Batch sizes, in rows, that are executed as soon as they are reached; in rising order, none above the model's
    /// `max_batch_size`.
    pub preferred_batch_sizes: Vec<u32>,
    /// How long the oldest request of a batch that is not of a preferred size may wait for others.
    pub max_queue_delay: Duration,
    /// Whether responses are sent in the order in which their requests came.
    pub preserve_ordering: bool,
    /// The level of requests that name none, from 1.
    pub default_priority: u32,
    /// How requests of each priority level wait, the highest first; at least one level.
    pub levels: Vec<QueuePolicy>,
    /// Whether the configuration says that executions take so little, whatever they are given, that a caller need not be
    /// able to give up meanwhile; an engine may know it besides ([`nerite_backend::Model::is_brief`]).
    pub brief: bool,
}

/// How requests of one priority level wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueuePolicy {
    /// How many requests may wait; `None` sets no limit.
    pub max_queue_size: Option<usize>,
    /// How long a request waits before the action is taken; `None` for ever.
    pub default_timeout: Option<Duration>,
    /// What becomes of a request that waited so long.
    pub timeout_action: TimeoutAction,
    /// Whether a request may name a shorter timeout than the default.
    pub allow_timeout_override: bool,
}

/// What becomes of a request that has waited for longer than its timeout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeoutAction {
    /// It is answered with an error and never executed.
    #[default]
    Reject,
    /// It lets all others of its level that are in time go first.
    Delay,
}

impl Default for Scheduling {
    fn default() -> Scheduling {
        Scheduling {
            dynamic_batching: false,
            preferred_batch_sizes: Vec::new(),
            max_queue_delay: Duration::ZERO,
            preserve_ordering: false,
            default_priority: 1,
            levels: vec![QueuePolicy::default()],
            brief: false,
        }
    }
}

impl QueuePolicy {
    /// How long a request that asks for `requested` may wait. As in Triton, a request can only ask for less than a
    /// default that there is.
    pub(crate) fn timeout(&self, requested: Option<Duration>) -> Option<Duration> {
        let default = self.default_timeout?;
        Some(requested.filter(|_| self.allow_timeout_override).map_or(default, |asked| asked.min(default)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_may_shorten_a_timeout_where_that_is_allowed_and_never_lengthen_it() {
        let ms = Duration::from_millis;
        let policy = |default_timeout, allow_timeout_override| QueuePolicy {
            default_timeout,
            allow_timeout_override,
            ..QueuePolicy::default()
        };
        for (policy, requested, expected) in [
            (policy(Some(ms(10)), true), Some(ms(4)), Some(ms(4))),
            (policy(Some(ms(10)), true), Some(ms(40)), Some(ms(10))),
            (policy(Some(ms(10)), true), None, Some(ms(10))),
            (policy(Some(ms(10)), false), Some(ms(4)), Some(ms(10))),
            (policy(None, true), Some(ms(4)), None),
        ] {
            assert_eq!(policy.timeout(requested), expected, "{policy:?} {requested:?}");
        }
    }
}
