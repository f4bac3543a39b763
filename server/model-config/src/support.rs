//! What a configuration may ask for that this server does not do.

use nerite_backend::Code;
use nerite_core::model::LoadError;
use nerite_proto::inference::{ModelConfig, ModelInstanceGroup, ModelOptimizationPolicy};

use crate::backend_kind;

/// Refuses what would change answers, or let files pass unchecked, if it were passed over.
pub(crate) fn check(config: &ModelConfig) -> Result<(), LoadError> {
    let operations = config.model_operations.as_ref();
    let agents = config.model_repository_agents.as_ref();
    let asked = [
        ("instance_group.passive", config.instance_group.iter().any(|group| group.passive)),
        ("model_operations", operations.is_some_and(|operations| !operations.op_library_filename.is_empty())),
        ("model_repository_agents", agents.is_some_and(|agents| !agents.agents.is_empty())),
    ];
    match asked.iter().find(|(_, asked)| *asked) {
        None => Ok(()),
        Some((what, _)) => Err(LoadError::new(
            Code::Unsupported,
            format!(
                "model '{}' asks for {what}, which is not supported yet; remove it if the model can be served without",
                config.name
            ),
        )),
    }
}

/// A sentence for each thing that the configuration, as it was written, asks for without effect. None of them changes
/// an answer.
pub(crate) fn notes(config: &ModelConfig) -> Vec<String> {
    let metrics = config.model_metrics.as_ref().is_some_and(|metrics| !metrics.metric_control.is_empty());
    let mut asked = vec![
        ("model_metrics", metrics),
        ("cc_model_filenames", !config.cc_model_filenames.is_empty()),
        ("runtime", !config.runtime.is_empty() && backend_kind::is_built_in(config)),
    ];
    let by_engine = backend_kind::is_built_in(config);
    asked.extend(config.optimization.iter().flat_map(|asked| in_optimization(asked, by_engine)));
    asked.extend(in_instance_groups(&config.instance_group));
    let without_effect = asked.into_iter().filter(|(_, asked)| *asked);
    without_effect.map(|(what, _)| format!("{what} is not supported yet and has no effect")).collect()
}

/// `by_engine` says whether the engine is told of accelerators.
fn in_optimization(optimization: &ModelOptimizationPolicy, by_engine: bool) -> [(&'static str, bool); 5] {
    let accelerators = optimization.execution_accelerators.as_ref().is_some_and(|accelerators| {
        !accelerators.cpu_execution_accelerator.is_empty()
            || !accelerators.gpu_execution_accelerator.is_empty()
    });
    [
        ("optimization.priority", optimization.priority != 0),
        ("optimization.cuda", optimization.cuda.is_some()),
        ("optimization.execution_accelerators", accelerators && !by_engine),
        ("optimization.gather_kernel_buffer_threshold", optimization.gather_kernel_buffer_threshold > 0),
        ("optimization.eager_batching", optimization.eager_batching),
    ]
}

fn in_instance_groups(groups: &[ModelInstanceGroup]) -> [(&'static str, bool); 2] {
    [
        ("instance_group.host_policy", groups.iter().any(|group| !group.host_policy.is_empty())),
        ("instance_group.secondary_devices", groups.iter().any(|group| !group.secondary_devices.is_empty())),
    ]
}
