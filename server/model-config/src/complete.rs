use nerite_backend::{Declaration, TensorDeclaration};
use nerite_core::model::LoadError;
use nerite_proto::inference::model_config::SchedulingChoice;
use nerite_proto::inference::{
    DataType, ModelConfig, ModelDynamicBatching, ModelInput, ModelOutput, ModelTensorReshape,
};

use crate::{json, ragged, sequences};

/// Whether inputs or outputs are missing. A configuration that has both is taken as complete, without a look at what
/// else it may lack.
pub(crate) fn is_needed(config: &ModelConfig) -> bool {
    config.input.is_empty() || config.output.is_empty()
}

/// Fills in, from what the engine says of the model, whether it batches and the inputs or outputs that are missing.
pub(crate) fn complete(
    config: &mut ModelConfig,
    declaration: &Declaration,
    default_max_batch_size: u32,
) -> Result<(), LoadError> {
    if !is_needed(config) {
        return Ok(());
    }
    complete_batching(config, declaration, default_max_batch_size)?;

    let batching = config.max_batch_size > 0;
    let own = sequences::own_tensors(config);
    let is_sent = |tensor: &&TensorDeclaration| {
        !own.inputs.contains(tensor.name.as_str()) && !ragged::is_batch_input(config, &tensor.name)
    };
    // The model does not say what a request's part of a batch output is like.
    let is_answered = |tensor: &&TensorDeclaration| {
        !own.outputs.contains(tensor.name.as_str()) && !ragged::is_batch_output(config, &tensor.name)
    };
    let inputs = required_inputs(declaration).filter(is_sent).map(|tensor| input(tensor, batching)).collect();
    let outputs = declaration.outputs.iter().filter(is_answered);
    let outputs = outputs.map(|tensor| output(tensor, batching)).collect();
    if config.input.is_empty() {
        config.input = inputs;
    }
    if config.output.is_empty() {
        config.output = outputs;
    }
    Ok(())
}

/// The configuration as its backend completed it, in JSON. What the server has acted upon already cannot be changed by
/// it: the name, the backend, the selection of versions, the instances.
pub(crate) fn by_backend(config: &ModelConfig, text: &str) -> Result<ModelConfig, LoadError> {
    let completed = json::parse_model_config(text).map_err(|error| {
        LoadError::invalid(format!(
            "backend '{}' completed the configuration of model '{}' to one that cannot be read: {error}; write the \
             configuration out in config.pbtxt",
            config.backend, config.name
        ))
    })?;
    Ok(ModelConfig {
        name: config.name.clone(),
        backend: config.backend.clone(),
        platform: config.platform.clone(),
        version_policy: config.version_policy.clone(),
        instance_group: config.instance_group.clone(),
        ..completed
    })
}

fn complete_batching(
    config: &mut ModelConfig,
    declaration: &Declaration,
    default_max_batch_size: u32,
) -> Result<(), LoadError> {
    if !can_batch(declaration) {
        if config.max_batch_size == 0 {
            return Ok(());
        }
        return Err(LoadError::invalid(format!(
            "autofill failed for model '{}': model does not support batching while non-zero max_batch_size is \
             specified; \
             set max_batch_size to 0, or export the model with a variable first dimension of every input and output",
            config.name
        )));
    }
    if config.max_batch_size == 0 {
        config.max_batch_size = i32::try_from(default_max_batch_size).unwrap_or(i32::MAX);
    }
    if config.max_batch_size > 1 && config.scheduling_choice.is_none() {
        config.scheduling_choice = Some(SchedulingChoice::DynamicBatching(ModelDynamicBatching::default()));
    }
    Ok(())
}

/// Whether every tensor has a variable first dimension. Without an input there is nothing to tell the size of a batch
/// from, and an empty tensor is legal only where there are no batches.
fn can_batch(declaration: &Declaration) -> bool {
    let batched =
        |tensor: &TensorDeclaration| tensor.shape.first() == Some(&-1) && !tensor.shape.contains(&0);
    let mut inputs = required_inputs(declaration).peekable();
    inputs.peek().is_some() && inputs.all(batched) && declaration.outputs.iter().all(batched)
}

/// Optional inputs are served only if they are configured.
fn required_inputs(declaration: &Declaration) -> impl Iterator<Item = &TensorDeclaration> {
    declaration.inputs.iter().filter(|tensor| !tensor.optional)
}

fn input(tensor: &TensorDeclaration, batching: bool) -> ModelInput {
    let (dims, reshape) = dims(tensor, batching);
    let data_type = data_type(tensor);
    ModelInput { name: tensor.name.clone(), data_type, dims, reshape, ..Default::default() }
}

fn output(tensor: &TensorDeclaration, batching: bool) -> ModelOutput {
    let (dims, reshape) = dims(tensor, batching);
    let data_type = data_type(tensor);
    ModelOutput { name: tensor.name.clone(), data_type, dims, reshape, ..Default::default() }
}

/// A row without dimensions of its own is `[1]` to callers; a scalar of a model without batching stays one.
fn dims(tensor: &TensorDeclaration, batching: bool) -> (Vec<i64>, Option<ModelTensorReshape>) {
    match (batching, &tensor.shape[..]) {
        (true, [] | [_]) => (vec![1], Some(ModelTensorReshape::default())),
        (true, [_, row @ ..]) => (row.to_vec(), None),
        (false, whole) => (whole.to_vec(), None),
    }
}

fn data_type(tensor: &TensorDeclaration) -> i32 {
    DataType::from_str_name(tensor.dtype.config_name()).unwrap_or_default().into()
}
