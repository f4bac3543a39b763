//! `ensemble_scheduling` in the core's terms.

use nerite_backend::{Configuration, Declaration, Shape, TensorDeclaration};
use nerite_core::ensemble::Graph;
use nerite_core::model::{EnsemblePlan, LoadError, StepPlan};
use nerite_proto::inference::model_config::SchedulingChoice;
use nerite_proto::inference::model_ensembling::Step;
use nerite_proto::inference::{ModelConfig, ModelEnsembling, ModelTensorReshape, ModelTransactionPolicy};

use crate::{agreement, scheduling};

/// The platform of ensembles.
const PLATFORM: &str = "ensemble";

/// Whether it is an ensemble's configuration, or is meant to be.
pub(crate) fn is_ensemble(config: &ModelConfig) -> bool {
    config.platform == PLATFORM || steps(config).is_some()
}

/// Fills in the platform where it is missing.
pub(crate) fn fill_in(config: &mut ModelConfig) {
    if config.platform.is_empty() && config.backend.is_empty() {
        config.platform = PLATFORM.to_owned();
    }
}

/// The plan of a configuration as it was written, if it is an ensemble's; it is sound in itself then. The complaints are
/// those of Triton.
pub(crate) fn plan(config: &ModelConfig) -> Result<Option<EnsemblePlan>, LoadError> {
    if !is_ensemble(config) {
        return Ok(None);
    }
    let name = &config.name;
    let refused = |text: String| Err(LoadError::invalid(text));
    let Some(ensembling) = steps(config) else {
        return refused(format!(
            "ensemble scheduling must be set for ensemble '{name}' whose platform is {PLATFORM}; add ensemble_scheduling"
        ));
    };
    if config.platform != PLATFORM || !config.backend.is_empty() {
        return refused(format!(
            "ensemble scheduling cannot be set for model '{name}' whose platform is not {PLATFORM}; set platform to \
             {PLATFORM} and remove backend"
        ));
    }
    let no_place = [
        ("instance group should not be specified", "instance_group", !config.instance_group.is_empty()),
        ("optimization should not be specified", "optimization", config.optimization.is_some()),
        ("model_warmup can not be specified", "model_warmup", !config.model_warmup.is_empty()),
        ("batch_input can not be specified", "batch_input", !config.batch_input.is_empty()),
        ("batch_output can not be specified", "batch_output", !config.batch_output.is_empty()),
    ];
    if let Some((what, field, _)) = no_place.into_iter().find(|&(_, _, is_set)| is_set) {
        return refused(format!(
            "{what} for ensemble '{name}'; remove {field}, or set it for the steps' models"
        ));
    }
    let own = config.parameters.keys().filter(|key| key.starts_with(scheduling::PARAMETERS)).min();
    if let Some(parameter) = own {
        return refused(format!(
            "parameter '{parameter}' can not be specified for ensemble '{name}', whose requests wait in the queues of its \
             models; set it for these"
        ));
    }
    let plan = EnsemblePlan {
        max_batch_size: u32::try_from(config.max_batch_size).unwrap_or_default(),
        declaration: declaration(config),
        steps: ensembling.step.iter().map(|step| step_plan(name, step)).collect::<Result<_, _>>()?,
        max_inflight_requests: usize::try_from(ensembling.max_inflight_requests).unwrap_or(usize::MAX),
    };
    Graph::new(name, &plan)?;
    Ok(Some(plan))
}

/// The configuration of an ensemble whose steps let a request have any number of responses, or do not.
pub(crate) fn composed(config: &ModelConfig, decoupled: bool) -> ModelConfig {
    ModelConfig { model_transaction_policy: Some(ModelTransactionPolicy { decoupled }), ..config.clone() }
}

fn steps(config: &ModelConfig) -> Option<&ModelEnsembling> {
    match &config.scheduling_choice {
        Some(SchedulingChoice::EnsembleScheduling(ensembling)) => Some(ensembling),
        _ => None,
    }
}

fn step_plan(name: &str, step: &Step) -> Result<StepPlan, LoadError> {
    let version = match u64::try_from(step.model_version) {
        Ok(version) => Some(version),
        Err(_) if step.model_version == -1 => None,
        Err(_) => {
            return Err(LoadError::invalid(format!(
                "step of model '{}' of ensemble '{name}' has model_version {}; use -1 for the latest, or a version's \
                 number",
                step.model_name, step.model_version
            )));
        }
    };
    let sorted = |map: &std::collections::HashMap<String, String>| map.clone().into_iter().collect();
    Ok(StepPlan {
        model: step.model_name.clone(),
        version,
        inputs: sorted(&step.input_map),
        outputs: sorted(&step.output_map),
    })
}

/// What an ensemble says of itself is what is configured. A tensor without a type is complained of elsewhere.
fn declaration(config: &ModelConfig) -> Declaration {
    let tensor = |name: &str, data_type, dims: &[i64], reshape: Option<&ModelTensorReshape>, optional| {
        let dims = Shape::new(reshape.map_or(dims, |reshape| &reshape.shape));
        let shape = if config.max_batch_size > 0 { dims.prepend(-1) } else { dims };
        let dtype = agreement::dtype(data_type)?;
        Some(TensorDeclaration { name: name.to_owned(), dtype, shape, optional })
    };
    let inputs = config.input.iter().filter_map(|input| {
        tensor(&input.name, input.data_type, &input.dims, input.reshape.as_ref(), input.optional)
    });
    let outputs = config.output.iter().filter_map(|output| {
        tensor(&output.name, output.data_type, &output.dims, output.reshape.as_ref(), false)
    });
    Declaration {
        inputs: inputs.collect(),
        outputs: outputs.collect(),
        configuration: Configuration::AsWritten,
    }
}
