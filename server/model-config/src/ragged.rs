//! `allow_ragged_batch`, `batch_input` and `batch_output`: which requests of different shapes share a batch, and how the
//! model is told of them.

use std::collections::BTreeSet;

use nerite_backend::{
    BatchInput, BatchInputKind, BatchInputType, BatchOutput, Configuration, Declaration, Ragged, Shape, Slot,
    TensorDeclaration,
};
use nerite_core::model::LoadError;
use nerite_proto::inference::batch_input::Kind as InputKind;
use nerite_proto::inference::batch_output::Kind as OutputKind;
use nerite_proto::inference::{self, DataType, ModelConfig, ModelInput};

use crate::reason::Reason;

/// Checks what can be told without the model, as Triton does whatever the backend.
pub(crate) fn validate(config: &ModelConfig) -> Result<(), LoadError> {
    let inputs = config.batch_input.iter().try_for_each(|input| validate_input(config, input));
    inputs.and_then(|()| validate_outputs(config)).map_err(|reason| reason.refuses(&config.name))
}

fn validate_input(config: &ModelConfig, input: &inference::BatchInput) -> Result<(), Reason> {
    let kind = InputKind::try_from(input.kind).map_err(|_| {
        Reason::new(format!("unknown batch input kind '{}'", input.kind), "use one of the six that there are")
    })?;
    validate_source(config, "input", kind.as_str_name(), &input.source_input)?;
    match input_type(input) {
        Some(_) => Ok(()),
        None => Err(Reason::new(
            "batch input data type must be TYPE_INT32 or TYPE_FP32",
            format!("set the data_type of the batch_input for {}", listed(&input.target_name)),
        )),
    }
}

fn validate_outputs(config: &ModelConfig) -> Result<(), Reason> {
    let mut seen = BTreeSet::new();
    for output in &config.batch_output {
        let kind = OutputKind::try_from(output.kind).map_err(|_| {
            let what = format!("unknown batch output kind '{}'", output.kind);
            Reason::new(what, "use BATCH_SCATTER_WITH_INPUT_SHAPE")
        })?;
        validate_source(config, "output", kind.as_str_name(), &output.source_input)?;
        for name in &output.target_name {
            if !config.output.iter().any(|output| output.name == *name) {
                let what = format!("unknown target output name '{name}'");
                return Err(Reason::new(what, "list it in output, with the dims of one request's part"));
            }
            if !seen.insert(name) {
                let what = format!("target output name '{name}' can only be specified once");
                return Err(Reason::new(what, "leave one of them"));
            }
        }
    }
    Ok(())
}

fn validate_source(config: &ModelConfig, what: &str, kind: &str, sources: &[String]) -> Result<(), Reason> {
    let [source] = sources else {
        return Err(Reason::new(
            format!("batch {what} kind '{kind}' expects 1 source input, got {}", sources.len()),
            "give it one source_input",
        ));
    };
    match find(config, source) {
        Some(_) => Ok(()),
        None => Err(Reason::new(
            format!("unknown source input name '{source}'"),
            "correct the source_input, or list it in input",
        )),
    }
}

/// Whether an input of the model is one that callers do not send.
pub(crate) fn is_batch_input(config: &ModelConfig, name: &str) -> bool {
    config.batch_input.iter().any(|input| input.target_name.iter().any(|target| target == name))
}

/// Whether an output is cut up by an input's shape, so that the model does not say what callers see of it.
pub(crate) fn is_batch_output(config: &ModelConfig, name: &str) -> bool {
    config.batch_output.iter().any(|output| output.target_name.iter().any(|target| target == name))
}

/// Whether the server makes the model's batches, and not its backend.
pub(crate) fn is_gathered(declaration: &Declaration) -> bool {
    declaration.configuration == Configuration::FromTensors
}

/// Checks a completed and validated configuration against a model whose batches the server makes.
pub(crate) fn agree(config: &ModelConfig, declared: &[TensorDeclaration]) -> Result<(), LoadError> {
    let refused = |why: String| LoadError::invalid(format!("unable to load model '{}', {why}", config.name));
    if config.max_batch_size == 0
        && let Some(what) = asked(config)
    {
        return Err(refused(format!(
            "configuration asks for {what}, but max_batch_size is 0 and there are no batches; set max_batch_size, or \
             remove it"
        )));
    }
    let ragged = config.input.iter().filter(|input| input.allow_ragged_batch);
    ragged.clone().try_for_each(|input| ragged_input(input, declared)).map_err(refused)?;
    let mut seen = BTreeSet::new();
    for input in &config.batch_input {
        if input.target_name.is_empty() {
            return Err(refused(
                "a batch_input has no target_name; name the model's input that is for it".into(),
            ));
        }
        for name in &input.target_name {
            if find(config, name).is_some() || !seen.insert(name) {
                return Err(refused(format!(
                    "input '{name}' is given by a batch_input and also by another or by callers; leave it in one place"
                )));
            }
            batch_input(config, input, name, declared).map_err(refused)?;
        }
    }
    config.batch_output.iter().try_for_each(|output| batch_output(config, output)).map_err(refused)
}

/// The first thing that the configuration asks for and that needs batches.
fn asked(config: &ModelConfig) -> Option<String> {
    let ragged = config.input.iter().find(|input| input.allow_ragged_batch);
    let ragged = ragged.map(|input| format!("ragged batches of input '{}'", input.name));
    let batch_input = (!config.batch_input.is_empty()).then(|| "batch_input".to_owned());
    let batch_output = (!config.batch_output.is_empty()).then(|| "batch_output".to_owned());
    ragged.or(batch_input).or(batch_output)
}

fn ragged_input(input: &ModelInput, declared: &[TensorDeclaration]) -> Result<(), String> {
    match declared.iter().find(|tensor| tensor.name == input.name) {
        Some(tensor) if *tensor.shape != [-1] => Err(format!(
            "configuration expects model provides input with shape [-1]  for ragged input '{}', model provides {}; \
             remove its allow_ragged_batch, or export the model with one variable dimension for it",
            input.name, tensor.shape
        )),
        // That the model has it is checked elsewhere.
        _ => Ok(()),
    }
}

fn batch_input(
    config: &ModelConfig,
    input: &inference::BatchInput,
    name: &str,
    declared: &[TensorDeclaration],
) -> Result<(), String> {
    let Some(tensor) = declared.iter().find(|tensor| tensor.name == name) else {
        let mut names: Vec<&str> = declared.iter().map(|tensor| tensor.name.as_str()).collect();
        names.sort_unstable();
        return Err(format!(
            "batch_input has the target '{name}', which is no input of the model; its inputs are: {}",
            names.join(", ")
        ));
    };
    let given = input_type(input).map_or("none", |given| given.dtype().config_name());
    if given != tensor.dtype.config_name() {
        let provided = tensor.dtype.config_name();
        return Err(format!(
            "batch_input gives input '{name}' the data_type {given}, but the model's is {provided}; use that of the model"
        ));
    }
    let extents =
        input.source_input.first().and_then(|source| find(config, source)).map(|source| row(source).len());
    let shape = match input.kind() {
        InputKind::BatchItemShape => Shape::new(&[-1, extents.unwrap_or(0) as i64]),
        _ => Shape::new(&[-1]),
    };
    // What the model leaves open may be anything.
    let fits = tensor.shape.len() == shape.len()
        && tensor.shape.first() == Some(&-1)
        && tensor.shape.iter().zip(&*shape).all(|(&model, &given)| model == -1 || model == given);
    match fits {
        true => Ok(()),
        false => Err(format!(
            "batch_input of kind {} gives input '{name}' the shape {shape}, but the model's is {}; use another kind, or \
             export the model with that shape",
            input.kind().as_str_name(),
            tensor.shape
        )),
    }
}

fn batch_output(config: &ModelConfig, output: &inference::BatchOutput) -> Result<(), String> {
    let Some(source) = output.source_input.first().and_then(|source| find(config, source)) else {
        return Ok(());
    };
    if output.target_name.is_empty() {
        return Err("a batch_output has no target_name; name the output that is cut up".to_owned());
    }
    for name in &output.target_name {
        let shape = part(config, name);
        let last = shape.iter().rposition(|&extent| extent == -1).unwrap_or(0);
        if last > row(source).len() {
            return Err(format!(
                "batch_output takes the variable dimensions of output '{name}' from input '{}', which has no dimension \
                 {} besides that of the batch; give the output dims like those of the input, or another source_input",
                source.name,
                last - 1
            ));
        }
    }
    Ok(())
}

/// What the core and the engine are told, of a configuration that is checked. A backend that makes batches itself needs
/// only requests that may go together.
pub(crate) fn build(config: &ModelConfig, declaration: &Declaration) -> Ragged {
    let slot = |name: &String| declaration.inputs.iter().position(|tensor| tensor.name == *name);
    let ragged = config.input.iter().filter(|input| input.allow_ragged_batch);
    let inputs = ragged.filter_map(|input| slot(&input.name)).collect();
    if !is_gathered(declaration) {
        return Ragged { inputs, ..Ragged::default() };
    }
    let batch_inputs = config.batch_input.iter().filter_map(|input| {
        Some(BatchInput {
            kind: input_kind(input.kind()),
            dtype: input_type(input)?,
            source: slot(input.source_input.first()?)?,
            targets: input.target_name.iter().filter_map(slot).collect(),
        })
    });
    let batch_outputs = config.batch_output.iter().flat_map(|output| {
        let source = output.source_input.first().and_then(slot);
        output.target_name.iter().filter_map(move |name| Some((name, source?)))
    });
    let batch_outputs = batch_outputs.filter_map(|(name, source)| {
        let target: Slot = declaration.outputs.iter().position(|tensor| tensor.name == *name)?;
        Some(BatchOutput { target, source, shape: part(config, name) })
    });
    Ragged { inputs, batch_inputs: batch_inputs.collect(), batch_outputs: batch_outputs.collect() }
}

fn input_kind(kind: InputKind) -> BatchInputKind {
    match kind {
        InputKind::BatchElementCount => BatchInputKind::ElementCount,
        InputKind::BatchAccumulatedElementCount => BatchInputKind::AccumulatedElementCount,
        InputKind::BatchAccumulatedElementCountWithZero => BatchInputKind::AccumulatedElementCountWithZero,
        InputKind::BatchMaxElementCountAsShape => BatchInputKind::MaxElementCountAsShape,
        InputKind::BatchItemShape => BatchInputKind::ItemShape,
        InputKind::BatchItemShapeFlatten => BatchInputKind::ItemShapeFlatten,
    }
}

fn input_type(input: &inference::BatchInput) -> Option<BatchInputType> {
    match input.data_type() {
        DataType::TypeInt32 => Some(BatchInputType::Int32),
        DataType::TypeFp32 => Some(BatchInputType::Float32),
        _ => None,
    }
}

fn find<'a>(config: &'a ModelConfig, input: &str) -> Option<&'a ModelInput> {
    config.input.iter().find(|configured| configured.name == input)
}

/// The shape of a row of an input, as the engine gets it.
fn row(input: &ModelInput) -> &[i64] {
    input.reshape.as_ref().map_or(&input.dims, |reshape| &reshape.shape)
}

/// The shape of a request's part of an output, as the engine gives it, with the batch dimension.
fn part(config: &ModelConfig, output: &str) -> Shape {
    let output = config.output.iter().find(|configured| configured.name == output);
    let row = output.map(|output| output.reshape.as_ref().map_or(&output.dims, |reshape| &reshape.shape));
    Shape::new(row.map_or(&[], |row| row)).prepend(-1)
}

fn listed(names: &[String]) -> String {
    names.join(", ")
}
