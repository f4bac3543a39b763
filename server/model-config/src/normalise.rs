use nerite_core::model::VersionPolicy;
use nerite_proto::inference::model_config::SchedulingChoice;
use nerite_proto::inference::model_optimization_policy::PinnedMemoryBuffer;
use nerite_proto::inference::model_sequence_batching::StrategyChoice;
use nerite_proto::inference::model_version_policy::{Latest, PolicyChoice};
use nerite_proto::inference::{ModelConfig, ModelDynamicBatching, ModelSequenceBatching};

/// Writes the defaults of fields that are missing into the configuration, so that what is published says them.
/// To be repeated when `max_batch_size` or the scheduling has changed; otherwise a second time changes nothing.
pub(crate) fn normalise(config: &mut ModelConfig) {
    normalise_policy(config);
    if let Some(SchedulingChoice::DynamicBatching(batching)) = &mut config.scheduling_choice
        && batching.preferred_batch_size.is_empty()
        && config.max_batch_size > 0
    {
        batching.preferred_batch_size.push(config.max_batch_size);
    }

    if let Some(SchedulingChoice::SequenceBatching(batching)) = &mut config.scheduling_choice {
        normalise_sequences(batching, config.max_batch_size);
    }

    let optimization = config.optimization.get_or_insert_default();
    optimization.input_pinned_memory.get_or_insert(PinnedMemoryBuffer { enable: true });
    optimization.output_pinned_memory.get_or_insert(PinnedMemoryBuffer { enable: true });
}

/// Writes the default version policy into it where it has none.
pub(crate) fn normalise_policy(config: &mut ModelConfig) {
    let policy = config.version_policy.get_or_insert_default();
    let choice = policy.policy_choice.get_or_insert(PolicyChoice::Latest(Latest { num_versions: 1 }));
    if let PolicyChoice::Latest(latest) = choice {
        latest.num_versions = latest.num_versions.max(1);
    }
}

/// How long a sequence may have no request where the configuration does not say.
const IDLE_MICROSECONDS: u64 = 1_000_000;

fn normalise_sequences(batching: &mut ModelSequenceBatching, max_batch_size: i32) {
    if batching.max_sequence_idle_microseconds == 0 {
        batching.max_sequence_idle_microseconds = IDLE_MICROSECONDS;
    }
    if let Some(StrategyChoice::Oldest(oldest)) = &mut batching.strategy_choice
        && oldest.preferred_batch_size.is_empty()
        && max_batch_size > 0
    {
        oldest.preferred_batch_size.push(max_batch_size);
    }
}

/// The version policy of a normalised configuration.
pub(crate) fn version_policy(config: &ModelConfig) -> VersionPolicy {
    match config.version_policy.as_ref().and_then(|policy| policy.policy_choice.as_ref()) {
        None => VersionPolicy::default(),
        Some(PolicyChoice::Latest(latest)) => VersionPolicy::Latest(latest.num_versions),
        Some(PolicyChoice::All(_)) => VersionPolicy::All,
        Some(PolicyChoice::Specific(specific)) => VersionPolicy::Specific(specific.versions.clone()),
    }
}

/// The configuration's `sequence_batching`, if it has it.
pub(crate) fn sequence_batching(config: &ModelConfig) -> Option<&ModelSequenceBatching> {
    match &config.scheduling_choice {
        Some(SchedulingChoice::SequenceBatching(batching)) => Some(batching),
        _ => None,
    }
}

/// The configuration's `dynamic_batching`, if it has it.
pub(crate) fn dynamic_batching(config: &ModelConfig) -> Option<&ModelDynamicBatching> {
    match &config.scheduling_choice {
        Some(SchedulingChoice::DynamicBatching(batching)) => Some(batching),
        _ => None,
    }
}
