use std::collections::BTreeSet;

use nerite_backend::Shape;
use nerite_core::model::LoadError;
use nerite_proto::inference::model_config::SchedulingChoice;
use nerite_proto::inference::model_input::Format;
use nerite_proto::inference::model_queue_policy::TimeoutAction;
use nerite_proto::inference::{
    DataType, ModelConfig, ModelDynamicBatching, ModelInput, ModelOutput, ModelTensorReshape,
};

use crate::reason::Reason;
use crate::reshape::{self, Mismatch};
use crate::{backend_kind, normalise, ragged, sequences};

/// Checks a normalised configuration, its inputs and outputs aside.
pub(crate) fn validate(config: &ModelConfig) -> Result<(), LoadError> {
    let name = &config.name;
    backend_kind::validate(config)?;
    validate_batch_size(config)?;
    if let Some(batching) = normalise::dynamic_batching(config) {
        validate_dynamic_batching(batching, config.max_batch_size).map_err(|reason| reason.refuses(name))?;
    }
    sequences::validate(config).map_err(|reason| reason.refuses(name))?;
    validate_response_cache(config)
}

/// Checks that answers which are to be kept can be.
pub(crate) fn validate_response_cache(config: &ModelConfig) -> Result<(), LoadError> {
    let name = &config.name;
    let decoupled = config.model_transaction_policy.is_some_and(|policy| policy.decoupled);
    let sequences = matches!(config.scheduling_choice, Some(SchedulingChoice::SequenceBatching(_)));
    let unlike = match () {
        () if sequences => "sequence batching scheduler",
        () if decoupled => "'decoupled' transaction policy",
        () => return Ok(()),
    };
    if config.response_cache.is_some_and(|cache| cache.enable) {
        return Err(LoadError::invalid(format!(
            "Response Cache does not currently support model {name} with {unlike}. Please disable the response cache."
        )));
    }
    Ok(())
}

/// Checks `max_batch_size`.
pub(crate) fn validate_batch_size(config: &ModelConfig) -> Result<(), LoadError> {
    if config.max_batch_size >= 0 {
        return Ok(());
    }
    let what = "'max_batch_size' must be non-negative value";
    Err(Reason::new(what, "use 0 for a model without batching").refuses(&config.name))
}

fn validate_dynamic_batching(batching: &ModelDynamicBatching, max_batch_size: i32) -> Result<(), Reason> {
    for &size in &batching.preferred_batch_size {
        if size <= 0 {
            return Err(Reason::new(
                "dynamic batching preferred size must be positive",
                format!("remove {size} from preferred_batch_size"),
            ));
        }
        if size > max_batch_size {
            return Err(Reason::new(
                "dynamic batching preferred size must be <= max batch size",
                format!(
                    "remove {size} from preferred_batch_size, or raise max_batch_size, which is {max_batch_size}"
                ),
            ));
        }
    }
    let levels = batching.priority_levels;
    if levels > 0 && !(1..=levels).contains(&batching.default_priority_level) {
        return Err(Reason::new(
            format!("default priority level must be in range [1, {levels}]"),
            "set default_priority_level to one of these",
        ));
    }
    let stray = batching.priority_queue_policy.keys().filter(|level| !(1..=levels).contains(*level)).min();
    if let Some(stray) = stray.filter(|_| levels > 0) {
        return Err(Reason::new(
            format!("priority queue policy must have priority level in range [1, {levels}]"),
            format!(
                "remove the policy of level {stray} from priority_queue_policy, or change priority_levels"
            ),
        ));
    }
    if !batching.preserve_ordering {
        return Ok(());
    }
    if levels > 1 {
        return Err(Reason::new(
            "Only one priority level is allowed when 'preserve_ordering' is true",
            "remove preserve_ordering or priority_levels",
        ));
    }
    let mut policies = batching.default_queue_policy.iter().chain(batching.priority_queue_policy.values());
    if policies.any(|policy| {
        policy.default_timeout_microseconds != 0 && policy.timeout_action() == TimeoutAction::Delay
    }) {
        return Err(Reason::new(
            "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true",
            "use the timeout_action REJECT, or remove preserve_ordering",
        ));
    }
    Ok(())
}

/// Checks the inputs and outputs.
pub(crate) fn validate_tensors(config: &ModelConfig) -> Result<(), LoadError> {
    let tensors = Tensors { max_batch_size: config.max_batch_size, platform: &config.platform };
    let inputs = config.input.iter().try_for_each(|input| tensors.input(input));
    let outputs = || config.output.iter().try_for_each(|output| tensors.output(output));
    inputs
        .and_then(|()| outputs())
        .and_then(|()| no_name_twice("input", config.input.iter().map(|input| &input.name)))
        .and_then(|()| no_name_twice("output", config.output.iter().map(|output| &output.name)))
        .map_err(|reason| reason.refuses(&config.name))?;
    ragged::validate(config)
}

fn no_name_twice<'a>(what: &str, mut names: impl Iterator<Item = &'a String>) -> Result<(), Reason> {
    let mut seen = BTreeSet::new();
    match names.find(|name| !seen.insert(name.as_str())) {
        None => Ok(()),
        Some(name) => Err(Reason::new(
            format!("model {what} '{name}' is specified more than once"),
            "leave one of them, or correct its name",
        )),
    }
}

/// What checking a tensor needs to know of the rest of the configuration.
struct Tensors<'a> {
    max_batch_size: i32,
    platform: &'a str,
}

/// What inputs and outputs have in common.
struct Tensor<'a> {
    /// `model input` or `model output`.
    what: &'static str,
    name: &'a str,
    data_type: i32,
    dims: &'a [i64],
    reshape: Option<&'a ModelTensorReshape>,
    is_shape_tensor: bool,
    is_non_linear_format_io: bool,
}

impl Tensors<'_> {
    fn input(&self, input: &ModelInput) -> Result<(), Reason> {
        let tensor = Tensor {
            what: "model input",
            name: &input.name,
            data_type: input.data_type,
            dims: &input.dims,
            reshape: input.reshape.as_ref(),
            is_shape_tensor: input.is_shape_tensor,
            is_non_linear_format_io: input.is_non_linear_format_io,
        };
        self.shape(&tensor)?;
        if matches!(input.format(), Format::Nhwc | Format::Nchw) && input.dims.len() != 3 {
            return Err(Reason::new(
                "model input NHWC/NCHW require 3 dims",
                format!("remove the format of input '{}', or give it 3 dims", input.name),
            ));
        }
        self.layout(&tensor)
    }

    fn output(&self, output: &ModelOutput) -> Result<(), Reason> {
        let tensor = Tensor {
            what: "model output",
            name: &output.name,
            data_type: output.data_type,
            dims: &output.dims,
            reshape: output.reshape.as_ref(),
            is_shape_tensor: output.is_shape_tensor,
            is_non_linear_format_io: output.is_non_linear_format_io,
        };
        self.shape(&tensor)?;
        self.layout(&tensor)
    }

    fn shape(&self, tensor: &Tensor<'_>) -> Result<(), Reason> {
        let Tensor { what, name, dims, .. } = tensor;
        if name.is_empty() {
            return Err(Reason::new(
                format!("{what} must specify 'name'"),
                "give the name that it has in the model",
            ));
        }
        if DataType::try_from(tensor.data_type).unwrap_or_default() == DataType::TypeInvalid {
            return Err(Reason::new(
                format!("{what} '{name}' must specify 'data_type'"),
                "give the type that it has in the model, for instance TYPE_FP32",
            ));
        }
        if dims.is_empty() && self.max_batch_size > 0 {
            return Err(Reason::new(
                format!("{what} '{name}' must specify 'dims'"),
                "give its shape without the batch dimension, or dims [1] with an empty reshape where nothing is left",
            ));
        }
        // A batch has rows, and a row has something in it; a model without batching may take anything.
        let least = if self.max_batch_size > 0 { 1 } else { 0 };
        let illegal = |dims: &[i64]| dims.iter().copied().find(|&dim| dim < least && dim != -1);
        let rule = format!("must be integer >= {least}, or -1 to indicate a variable-size dimension");
        if let Some(dim) = illegal(dims) {
            return Err(Reason::new(
                format!("{what} '{name}' dimension {rule}"),
                format!("change {dim} in its dims"),
            ));
        }
        let Some(reshape) = tensor.reshape else {
            return Ok(());
        };
        if let Some(dim) = illegal(&reshape.shape) {
            return Err(Reason::new(
                format!("{what} '{name}' reshape dimensions {rule}"),
                format!("change {dim} in its reshape"),
            ));
        }
        reshape::compare(dims, &reshape.shape).map_err(|mismatch| {
            let differs = match mismatch {
                Mismatch::Size => "size",
                Mismatch::Variable => "number of variable-size dimensions",
            };
            let (dims, reshape) = (Shape::new(dims), Shape::new(&reshape.shape));
            Reason::new(
                format!("{what} '{name}' has different {differs} for dims and reshape"),
                format!(
                    "a reshape keeps the number of elements before, between and after variable dimensions: change dims \
                     {dims} or reshape {reshape}"
                ),
            )
        })
    }

    fn layout(&self, tensor: &Tensor<'_>) -> Result<(), Reason> {
        let tensorrt = self.platform == "tensorrt_plan";
        if tensor.is_shape_tensor && !tensorrt {
            return Err(Reason::new(
                "shape tensors are only supported for TensorRT platform",
                format!("remove is_shape_tensor of '{}'", tensor.name),
            ));
        }
        if tensor.is_non_linear_format_io && !tensorrt {
            return Err(Reason::new(
                "Non-linear IO format is only supported for the TensorRT platform",
                format!("remove is_non_linear_format_io of '{}'", tensor.name),
            ));
        }
        if tensor.is_non_linear_format_io && tensor.dims.len() != 3 {
            let which = tensor.what.trim_start_matches("model ");
            return Err(Reason::new(
                format!("Non-linear IO format {which} requires 3 dims"),
                format!("remove is_non_linear_format_io of '{}', or give it 3 dims", tensor.name),
            ));
        }
        Ok(())
    }
}
