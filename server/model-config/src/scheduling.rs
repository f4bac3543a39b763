//! `dynamic_batching` in the core's terms, and the queue policy of models without it.

use std::time::Duration;

use nerite_core::model::{LoadError, QueuePolicy, Scheduling, TimeoutAction};
use nerite_proto::inference::model_queue_policy::TimeoutAction as ConfiguredAction;
use nerite_proto::inference::model_sequence_batching::StrategyChoice;
use nerite_proto::inference::{ModelConfig, ModelDynamicBatching, ModelQueuePolicy, ModelSequenceBatching};

use crate::normalise;

/// The most priority levels that a model may have; each is a queue of its own.
const MAX_LEVELS: u64 = 4096;

/// What the names of our own parameters begin with. Triton has no queue policy for models without `dynamic_batching`, and
/// so no field for one; nor does it execute anything on the network's threads.
pub(crate) const PARAMETERS: &str = "nerite.";

/// What the parameters of our own say.
#[derive(Default)]
struct OwnParameters {
    policy: QueuePolicy,
    brief: bool,
}

/// How the requests of a normalised and checked configuration wait. `default_max_queue_size` holds where it says nothing.
pub(crate) fn plan(
    config: &ModelConfig,
    default_max_queue_size: Option<usize>,
) -> Result<Scheduling, LoadError> {
    let OwnParameters { policy, brief } = own_parameters(config)?;
    if let Some(batching) = normalise::sequence_batching(config) {
        return match policy == QueuePolicy::default() {
            true => Ok(Scheduling { brief, ..of_sequences(batching) }),
            false => Err(LoadError::invalid(format!(
                "model '{}' has both sequence_batching and parameters '{PARAMETERS}…' for a queue, which sequences do \
                 not have; remove the parameters",
                config.name
            ))),
        };
    }
    let Some(batching) = normalise::dynamic_batching(config) else {
        let max_queue_size = policy.max_queue_size.or(default_max_queue_size);
        let levels = vec![QueuePolicy { max_queue_size, ..policy }];
        return Ok(Scheduling { levels, brief, ..Scheduling::default() });
    };
    if policy != QueuePolicy::default() {
        return Err(LoadError::invalid(format!(
            "model '{}' has both dynamic_batching and parameters '{PARAMETERS}…' for its queue; use \
             dynamic_batching.default_queue_policy",
            config.name
        )));
    }
    Ok(Scheduling {
        dynamic_batching: true,
        preferred_batch_sizes: preferred(&batching.preferred_batch_size),
        max_queue_delay: Duration::from_micros(batching.max_queue_delay_microseconds),
        preserve_ordering: batching.preserve_ordering,
        default_priority: u32::try_from(batching.default_priority_level).unwrap_or(u32::MAX).max(1),
        levels: levels(config, batching, default_max_queue_size)?,
        brief,
    })
}

/// As in Triton, requests of sequences wait in no queue that has a policy.
fn of_sequences(batching: &ModelSequenceBatching) -> Scheduling {
    match &batching.strategy_choice {
        Some(StrategyChoice::Oldest(oldest)) => Scheduling {
            dynamic_batching: true,
            preferred_batch_sizes: preferred(&oldest.preferred_batch_size),
            max_queue_delay: Duration::from_micros(oldest.max_queue_delay_microseconds),
            preserve_ordering: oldest.preserve_ordering,
            ..Scheduling::default()
        },
        Some(StrategyChoice::Direct(direct)) => Scheduling {
            max_queue_delay: Duration::from_micros(direct.max_queue_delay_microseconds),
            ..Scheduling::default()
        },
        None => Scheduling::default(),
    }
}

fn preferred(configured: &[i32]) -> Vec<u32> {
    let mut sizes: Vec<u32> = configured.iter().filter_map(|&size| u32::try_from(size).ok()).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

fn levels(
    config: &ModelConfig,
    batching: &ModelDynamicBatching,
    default_max_queue_size: Option<usize>,
) -> Result<Vec<QueuePolicy>, LoadError> {
    let count = batching.priority_levels.max(1);
    if count > MAX_LEVELS {
        return Err(LoadError::invalid(format!(
            "priority levels must be <= {MAX_LEVELS} for {}, got {count}; lower priority_levels",
            config.name
        )));
    }
    let default = batching.default_queue_policy.as_ref();
    let level = |level| {
        let configured = batching.priority_queue_policy.get(&level).or(default);
        let policy = configured.map(policy).unwrap_or_default();
        QueuePolicy { max_queue_size: policy.max_queue_size.or(default_max_queue_size), ..policy }
    };
    Ok((1..=count).map(level).collect())
}

fn policy(configured: &ModelQueuePolicy) -> QueuePolicy {
    QueuePolicy {
        max_queue_size: size(u64::from(configured.max_queue_size)),
        default_timeout: timeout(configured.default_timeout_microseconds),
        timeout_action: match configured.timeout_action() {
            ConfiguredAction::Reject => TimeoutAction::Reject,
            ConfiguredAction::Delay => TimeoutAction::Delay,
        },
        allow_timeout_override: configured.allow_timeout_override,
    }
}

/// As in Triton, 0 sets no limit.
fn size(configured: u64) -> Option<usize> {
    usize::try_from(configured).ok().filter(|&size| size > 0)
}

/// As in Triton, 0 sets no limit.
fn timeout(microseconds: u64) -> Option<Duration> {
    Some(Duration::from_micros(microseconds)).filter(|timeout| !timeout.is_zero())
}

fn own_parameters(config: &ModelConfig) -> Result<OwnParameters, LoadError> {
    let OwnParameters { mut policy, mut brief } = OwnParameters::default();
    for (name, value) in &config.parameters {
        let Some(name) = name.strip_prefix(PARAMETERS) else { continue };
        let text = value.string_value.trim();
        let wrong = |expected: &str| {
            LoadError::invalid(format!(
                "parameter '{PARAMETERS}{name}' of model '{}' is '{text}', expected {expected}",
                config.name
            ))
        };
        let number = || text.parse().map_err(|_| wrong("a whole number"));
        let switch = || text.parse().map_err(|_| wrong("true or false"));
        match name {
            "max_queue_size" => policy.max_queue_size = size(number()?),
            "default_timeout_microseconds" => policy.default_timeout = timeout(number()?),
            "timeout_action" => {
                policy.timeout_action = match text {
                    "REJECT" => TimeoutAction::Reject,
                    "DELAY" => TimeoutAction::Delay,
                    _ => return Err(wrong("REJECT or DELAY")),
                }
            }
            "allow_timeout_override" => policy.allow_timeout_override = switch()?,
            "brief" => brief = switch()?,
            _ => {
                return Err(LoadError::invalid(format!(
                    "unknown parameter '{PARAMETERS}{name}' of model '{}'; there are max_queue_size, \
                     default_timeout_microseconds, timeout_action, allow_timeout_override and brief",
                    config.name
                )));
            }
        }
    }
    Ok(OwnParameters { policy, brief })
}
