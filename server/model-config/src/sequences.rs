//! `sequence_batching` in the core's terms.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use nerite_backend::{DType, Declaration, Shape, Slot, Tensor, TensorDeclaration};
use nerite_core::model::{Control, LoadError, SequenceBatching, SequenceStrategy, Signal, StateSpec, Values};
use nerite_proto::inference::ModelConfig;
use nerite_proto::inference::ModelSequenceBatching;
use nerite_proto::inference::model_sequence_batching::control::Kind;
use nerite_proto::inference::model_sequence_batching::{
    Control as ControlConfig, State, StrategyChoice, StrategyDirect, StrategyOldest,
};

use crate::reason::Reason;
use crate::{agreement, initial_state, normalise};

/// The inputs and outputs of a model that callers do not see, since they are its sequences'.
#[derive(Default)]
pub(crate) struct OwnTensors<'a> {
    /// Controls and states.
    pub(crate) inputs: BTreeSet<&'a str>,
    /// States.
    pub(crate) outputs: BTreeSet<&'a str>,
}

/// Those of a configuration.
pub(crate) fn own_tensors(config: &ModelConfig) -> OwnTensors<'_> {
    let Some(batching) = normalise::sequence_batching(config) else { return OwnTensors::default() };
    let controls = batching.control_input.iter().map(|input| input.name.as_str());
    let states = batching.state.iter().map(|state| state.input_name.as_str());
    OwnTensors {
        inputs: controls.chain(states).collect(),
        outputs: batching.state.iter().map(|state| state.output_name.as_str()).collect(),
    }
}

/// Checks what can be told without the model. The words are Triton's where it has some.
pub(crate) fn validate(config: &ModelConfig) -> Result<(), Reason> {
    let Some(batching) = normalise::sequence_batching(config) else { return Ok(()) };
    match &batching.strategy_choice {
        Some(StrategyChoice::Direct(direct)) => validate_direct(direct)?,
        Some(StrategyChoice::Oldest(oldest)) => validate_oldest(oldest, config.max_batch_size)?,
        None => {}
    }
    validate_controls(batching)?;
    validate_states(batching)?;
    let own = own_tensors(config);
    match config.input.iter().find(|input| own.inputs.contains(input.name.as_str())) {
        None => Ok(()),
        Some(input) => Err(Reason::new(
            format!("sequence batching has a control or a state '{}', which is also an input", input.name),
            "remove it from input: callers do not give it",
        )),
    }
}

fn validate_direct(direct: &StrategyDirect) -> Result<(), Reason> {
    if (0.0..=1.0).contains(&direct.minimum_slot_utilization) {
        return Ok(());
    }
    Err(Reason::new(
        format!("sequence batching has a minimum_slot_utilization of {}", direct.minimum_slot_utilization),
        "use a share between 0.0 and 1.0",
    ))
}

fn validate_oldest(oldest: &StrategyOldest, max_batch_size: i32) -> Result<(), Reason> {
    for &size in &oldest.preferred_batch_size {
        if size <= 0 {
            return Err(Reason::new(
                "sequence batching preferred batch size must be positive",
                format!("remove {size} from preferred_batch_size"),
            ));
        }
        if size > max_batch_size {
            return Err(Reason::new(
                "sequence batching preferred batch size must be <= max batch size",
                format!("remove {size} from preferred_batch_size, or raise max_batch_size"),
            ));
        }
    }
    if oldest.max_candidate_sequences < 0 {
        return Err(Reason::new(
            "sequence batching max_candidate_sequences must not be negative",
            "use 0 for as many as a batch has rows",
        ));
    }
    Ok(())
}

fn validate_controls(batching: &ModelSequenceBatching) -> Result<(), Reason> {
    let (mut names, mut kinds) = (BTreeSet::new(), BTreeSet::new());
    for input in &batching.control_input {
        let name = &input.name;
        if name.is_empty() {
            return Err(Reason::new(
                "sequence batching control tensor must have a name",
                "give the name that the input has in the model",
            ));
        }
        if !names.insert(name) || input.control.len() != 1 {
            return Err(Reason::new(
                format!("sequence batching control tensor '{name}' is specified for multiple control kinds"),
                "give each control input one name and one control",
            ));
        }
        for control in &input.control {
            let kind = control.kind().as_str_name();
            if !kinds.insert(kind) {
                return Err(Reason::new(
                    format!("sequence batching specifies multiple {kind} tensors"),
                    "leave one of them",
                ));
            }
            validate_control(control, kind)?;
        }
    }
    Ok(())
}

fn validate_control(control: &ControlConfig, kind: &str) -> Result<(), Reason> {
    let values = [
        ("int32_false_true", control.int32_false_true.len()),
        ("fp32_false_true", control.fp32_false_true.len()),
        ("bool_false_true", control.bool_false_true.len()),
    ];
    let given: Vec<_> = values.iter().filter(|(_, count)| *count > 0).collect();
    let all = "'int32_false_true', 'fp32_false_true' and 'bool_false_true'";
    if control.kind() == Kind::ControlSequenceCorrid {
        let types = [DType::U64, DType::I64, DType::U32, DType::I32, DType::Bytes];
        if !given.is_empty() {
            return Err(Reason::new(
                format!("sequence batching must not specify either {all} for {kind}"),
                "give its data_type instead",
            ));
        }
        return match agreement::dtype(control.data_type) {
            Some(dtype) if types.contains(&dtype) => Ok(()),
            _ => Err(Reason::new(
                "unexpected control data type, expected TYPE_UINT64, TYPE_INT64, TYPE_UINT32, TYPE_INT32, or \
                 TYPE_STRING for CONTROL_SEQUENCE_CORRID",
                "set data_type to one of these",
            )),
        };
    }
    match given.as_slice() {
        [(_, 2)] => Ok(()),
        [(field, _)] => Err(Reason::new(
            format!("sequence batching control '{field}' must have exactly 2 entries for {kind}"),
            "give the value for false and the value for true",
        )),
        [] => Err(Reason::new(
            format!(
                "sequence batching must specify either 'int32_false_true', 'fp32_false_true' or \
                 'bool_false_true' for {kind}"
            ),
            "give the value for false and the value for true in the type of the model's input",
        )),
        _ => Err(Reason::new(
            format!("sequence batching specifies more than one from {all} for {kind}"),
            "leave that of the model's type",
        )),
    }
}

fn validate_states(batching: &ModelSequenceBatching) -> Result<(), Reason> {
    let (mut inputs, mut outputs) = (BTreeSet::new(), BTreeSet::new());
    inputs.extend(batching.control_input.iter().map(|input| &input.name));
    for state in &batching.state {
        let State { input_name, output_name, .. } = state;
        if input_name.is_empty() || output_name.is_empty() {
            return Err(Reason::new(
                "sequence batching state must have an input_name and an output_name",
                "give the names that the state has in the model",
            ));
        }
        for (names, name) in [(&mut inputs, input_name), (&mut outputs, output_name)] {
            if !names.insert(name) {
                return Err(Reason::new(
                    format!("State name '{name}' specified more than once"),
                    "give each state an input and an output of its own",
                ));
            }
        }
        if agreement::dtype(state.data_type).is_none() {
            return Err(Reason::new(
                format!("sequence batching state '{input_name}' must specify 'data_type'"),
                "give the type that it has in the model, for instance TYPE_FP32",
            ));
        }
        if let Some(dim) = state.dims.iter().find(|&&dim| dim < 1 && dim != -1) {
            return Err(Reason::new(
                format!("sequence batching state '{input_name}' dimension must be integer >= 1, or -1"),
                format!("change {dim} in its dims"),
            ));
        }
        if state.use_growable_memory && !state.use_same_buffer_for_input_output {
            return Err(Reason::new(
                format!(
                    "In order to 'use_growable_memory', you must also enable 'use_same_buffer_for_input_output' for \
                     state input name '{input_name}'"
                ),
                "set it to true",
            ));
        }
        initial_state::validate(state)?;
    }
    Ok(())
}

/// How the sequences of a configuration are served, if the model has any; checked against what the engine says of it.
pub(crate) fn plan(
    config: &ModelConfig,
    declaration: &Declaration,
    directory: &Path,
) -> Result<Option<SequenceBatching>, LoadError> {
    let Some(batching) = normalise::sequence_batching(config) else { return Ok(None) };
    let most = config.max_batch_size.unsigned_abs().max(1);
    let strategy = match &batching.strategy_choice {
        Some(StrategyChoice::Oldest(oldest)) => {
            let candidates = oldest.max_candidate_sequences.unsigned_abs();
            SequenceStrategy::Oldest { candidates: if candidates == 0 { most } else { candidates } }
        }
        Some(StrategyChoice::Direct(direct)) => {
            SequenceStrategy::Direct { fewest: fewest(direct.minimum_slot_utilization, most) }
        }
        None => SequenceStrategy::Direct { fewest: 0 },
    };
    let model = Model { config, declaration, batching: config.max_batch_size > 0 };
    let controls = batching.control_input.iter().flat_map(|input| {
        let control = |control| model.control(&input.name, control);
        input.control.iter().map(control).collect::<Vec<_>>()
    });
    let states = batching.state.iter().map(|state| model.state(state, directory));
    Ok(Some(SequenceBatching {
        strategy,
        max_idle: Duration::from_micros(batching.max_sequence_idle_microseconds),
        iterative: batching.iterative_sequence,
        controls: controls.collect::<Result<_, _>>()?,
        states: states.collect::<Result<_, _>>()?,
    }))
}

/// The fewest of so many rows that are that share of them.
fn fewest(share: f32, rows: u32) -> u32 {
    (0..=rows).find(|&few| few as f32 / rows as f32 >= share).unwrap_or(rows)
}

struct Model<'a> {
    config: &'a ModelConfig,
    declaration: &'a Declaration,
    batching: bool,
}

impl Model<'_> {
    fn control(&self, name: &str, control: &ControlConfig) -> Result<Control, LoadError> {
        let (dtype, signal) = signal(control);
        let (slot, tensor) = self.find("control", "input", name, dtype, &self.declaration.inputs)?;
        let dims = if self.batching { tensor.shape.get(1..) } else { Some(&tensor.shape[..]) };
        let has_batch = !self.batching || tensor.shape.first() == Some(&-1);
        let shape = match dims {
            Some([]) if has_batch && self.batching => Shape::new(&[1]),
            Some([]) if has_batch => Shape::default(),
            Some([1 | -1]) if has_batch && self.batching => Shape::new(&[1, 1]),
            Some([1 | -1]) if has_batch => Shape::new(&[1]),
            _ => {
                let expected = if self.batching { "[-1,1]" } else { "[1]" };
                return Err(self.cannot_load(&format!(
                    "sequence control '{name}' has shape {} in the model, expected {expected}: one element for each \
                     request",
                    tensor.shape
                )));
            }
        };
        Ok(Control { slot, dtype, shape, signal })
    }

    fn state(&self, state: &State, directory: &Path) -> Result<StateSpec, LoadError> {
        let Declaration { inputs, outputs, .. } = self.declaration;
        let dtype = agreement::dtype(state.data_type)
            .ok_or_else(|| self.cannot_load(&format!("state '{}' has no type", state.input_name)))?;
        let dims = Shape::new(&state.dims);
        let full = if self.batching { dims.prepend(-1) } else { dims };
        let (input, input_tensor) = self.find("state", "input", &state.input_name, dtype, inputs)?;
        let (output, output_tensor) = self.find("state", "output", &state.output_name, dtype, outputs)?;
        for (name, tensor) in [(&state.input_name, input_tensor), (&state.output_name, output_tensor)] {
            let fits = |(&model, &dim): (&i64, &i64)| model == -1 || dim == -1 || model == dim;
            if tensor.shape.len() != full.len() || !tensor.shape.iter().zip(full.iter()).all(fits) {
                return Err(self.cannot_load(&format!(
                    "state '{name}' has shape {} in the model, but the configuration says {full}; correct the dims of \
                     the state",
                    tensor.shape
                )));
            }
        }
        let initial = initial_state::make(state, dtype, directory)
            .map_err(|what| self.cannot_load(&format!("state '{}' {what}", state.input_name)))?;
        let for_one = |dims: &Shape| if self.batching { dims.prepend(1) } else { dims.clone() };
        let shape = for_one(&Shape::new(&state.dims));
        let initial = Tensor { shape: for_one(&initial.shape), ..initial };
        Ok(StateSpec { input, output, initial, shape })
    }

    fn find<'a>(
        &self,
        what: &str,
        side: &str,
        name: &str,
        dtype: DType,
        declared: &'a [TensorDeclaration],
    ) -> Result<(Slot, &'a TensorDeclaration), LoadError> {
        let found = declared.iter().enumerate().find(|(_, tensor)| tensor.name == name);
        let (slot, tensor) = found.ok_or_else(|| {
            self.cannot_load(&format!(
                "sequence batching has a {what} '{name}', which is no {side} of the model; correct its name, or remove \
                 it"
            ))
        })?;
        if tensor.dtype != dtype {
            let (configured, provided) = (dtype.config_name(), tensor.dtype.config_name());
            return Err(self.cannot_load(&format!(
                "sequence batching has a {what} '{name}' of type {configured}, model provides {provided}; use that"
            )));
        }
        Ok((slot, tensor))
    }

    fn cannot_load(&self, why: &str) -> LoadError {
        LoadError::invalid(format!("unable to load model '{}', {why}", self.config.name))
    }
}

fn signal(control: &ControlConfig) -> (DType, Signal) {
    let bytes = |no: [u8; 4], yes: [u8; 4]| Values {
        no: Bytes::copy_from_slice(&no),
        yes: Bytes::copy_from_slice(&yes),
    };
    let (dtype, values) = if let [no, yes] = control.fp32_false_true[..] {
        (DType::F32, bytes(no.to_le_bytes(), yes.to_le_bytes()))
    } else if let [no, yes] = control.int32_false_true[..] {
        (DType::I32, bytes(no.to_le_bytes(), yes.to_le_bytes()))
    } else {
        let (no, yes) = match control.bool_false_true[..] {
            [no, yes] => (no, yes),
            _ => (false, true),
        };
        let element = |value: bool| Bytes::copy_from_slice(&[u8::from(value)]);
        (DType::Bool, Values { no: element(no), yes: element(yes) })
    };
    match control.kind() {
        Kind::ControlSequenceStart => (dtype, Signal::Start(values)),
        Kind::ControlSequenceReady => (dtype, Signal::Ready(values)),
        Kind::ControlSequenceEnd => (dtype, Signal::End(values)),
        Kind::ControlSequenceCorrid => {
            (agreement::dtype(control.data_type).unwrap_or(DType::U64), Signal::CorrelationId)
        }
    }
}
