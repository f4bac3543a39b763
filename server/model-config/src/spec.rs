use std::path::Path;
use std::sync::Arc;

use nerite_backend::{DType, Declaration, Shape, Slot, TensorDeclaration};
use nerite_core::model::{InputSpec, LoadError, ModelSpec, OutputSpec, Scheduling, SlotCounts};
use nerite_proto::inference::{ModelConfig, ModelInput, ModelOutput, ModelTensorReshape};
use prost::Message;

use crate::{agreement, labels, ragged};

/// What the core serves, from a configuration that is complete and agrees with the model; but for its sequences.
pub(crate) fn build(
    config: &ModelConfig,
    declaration: &Declaration,
    directory: &Path,
    scheduling: Scheduling,
) -> Result<ModelSpec, LoadError> {
    let batching = config.max_batch_size > 0;
    let inputs = config.input.iter().map(|config| input(config, &declaration.inputs, batching));
    let outputs = config.output.iter().map(|output_config| {
        let labels = labels::read(config, output_config, directory)?;
        Ok(OutputSpec { labels, ..output(output_config, &declaration.outputs, batching)? })
    });
    let platform = if config.platform.is_empty() { &config.backend } else { &config.platform };
    Ok(ModelSpec {
        name: config.name.clone(),
        platform: platform.clone(),
        max_batch_size: config.max_batch_size.unsigned_abs(),
        scheduling,
        ragged: Arc::new(ragged::build(config, declaration)),
        sequences: None,
        decoupled: config.model_transaction_policy.is_some_and(|policy| policy.decoupled),
        response_cache: config.response_cache.is_some_and(|cache| cache.enable),
        inputs: inputs.collect::<Result<_, _>>()?,
        outputs: outputs.collect::<Result<_, LoadError>>()?,
        slots: SlotCounts { inputs: declaration.inputs.len(), outputs: declaration.outputs.len() },
        metric_tags: config.metric_tags.clone().into_iter().collect(),
        published: config.encode_to_vec().into(),
    })
}

fn input(
    config: &ModelInput,
    declared: &[TensorDeclaration],
    batching: bool,
) -> Result<InputSpec, LoadError> {
    let (slot, dtype, tensor) = find(&config.name, config.data_type, declared)?;
    let reshape = reshape(&config.dims, config.reshape.as_ref(), tensor, batching);
    Ok(InputSpec {
        name: config.name.clone(),
        dtype,
        dims: Shape::new(&config.dims),
        reshape,
        optional: config.optional,
        slot,
    })
}

fn output(
    config: &ModelOutput,
    declared: &[TensorDeclaration],
    batching: bool,
) -> Result<OutputSpec, LoadError> {
    let (slot, dtype, tensor) = find(&config.name, config.data_type, declared)?;
    let reshape = reshape(&config.dims, config.reshape.as_ref(), tensor, batching);
    Ok(OutputSpec {
        name: config.name.clone(),
        dtype,
        dims: Shape::new(&config.dims),
        reshape,
        labels: None,
        slot,
    })
}

fn find<'a>(
    name: &str,
    data_type: i32,
    declared: &'a [TensorDeclaration],
) -> Result<(Slot, DType, &'a TensorDeclaration), LoadError> {
    let slot = declared.iter().position(|tensor| tensor.name == name);
    slot.and_then(|slot| Some((slot, agreement::dtype(data_type)?, &declared[slot])))
        .ok_or_else(|| LoadError::internal(format!("tensor '{name}' was configured but not checked")))
}

/// The shape at the engine where it is another than at the callers. A scalar that is configured as `[1]`, as Triton
/// wants it, is still a scalar to the engine.
fn reshape(
    dims: &[i64],
    configured: Option<&ModelTensorReshape>,
    declared: &TensorDeclaration,
    batching: bool,
) -> Option<Shape> {
    if declared.shape.is_empty() && !batching {
        return (!dims.is_empty()).then(Shape::default);
    }
    configured.map(|reshape| Shape::new(&reshape.shape))
}
