use std::collections::HashSet;

use nerite_backend::{CorrelationId, DType, Data, Inputs, Meta, Shape, Slots, Tensor, bools, strings};
use smallvec::{SmallVec, smallvec};

use super::given::Given;
use super::refusal::Fault;
use super::{InferRequest, QueueTerms, Refusal, StepRequest};
use crate::model::{InputSpec, ModelSpec, SequenceBatching, id_element};
use crate::reshape::reshaped;

/// A request that its model can execute.
#[derive(Debug)]
pub struct Admitted {
    /// The inputs by slot, in the shapes that the engine gets.
    pub inputs: Inputs,
    /// The outputs asked for.
    pub wanted: Slots,
    /// How many rows it has; 1 for a model without batching.
    pub rows: u32,
    /// What it carries besides.
    pub meta: Meta,
    /// How it may wait.
    pub terms: QueueTerms,
}

/// Checks a request against its model, in the order in which Triton does: names given twice, missing data, outputs,
/// count and names of inputs, required inputs, batch, element type, shape, size, values.
pub fn admit(spec: &ModelSpec, request: InferRequest) -> Result<Admitted, Refusal> {
    let InferRequest { id, inputs, outputs, sequence, terms, parameters } = request;
    let QueueTerms { priority, timeout, .. } = terms;
    let meta = Meta { id, sequence, priority, timeout, parameters, trace: None };
    admit_given(spec, inputs, outputs.iter().map(|output| output.name.as_str()), meta, terms)
}

/// The same for a step of an ensemble, whose tensors come from other models.
pub(crate) fn admit_step(spec: &ModelSpec, step: StepRequest<'_>) -> Result<Admitted, Refusal> {
    let StepRequest { inputs, outputs, meta, terms } = step;
    admit_given(spec, inputs, outputs.iter().map(|(output, _)| output.as_str()), meta, terms)
}

fn admit_given<'a>(
    spec: &ModelSpec,
    given: Vec<impl Given>,
    outputs: impl ExactSizeIterator<Item = &'a str> + Clone,
    meta: Meta,
    terms: QueueTerms,
) -> Result<Admitted, Refusal> {
    let checked = check(spec, given, outputs).and_then(|(inputs, wanted, rows)| {
        let batching = spec.sequences.as_deref();
        batching.map_or(Ok(()), |batching| check_sequence(batching, &meta.sequence.id, rows))?;
        Ok((inputs, wanted, rows))
    });
    match checked {
        Ok((inputs, wanted, rows)) => Ok(Admitted { inputs, wanted, rows, meta, terms }),
        Err(fault) => Err(Refusal::new(&spec.name, &meta.id, fault)),
    }
}

fn check<'a>(
    spec: &ModelSpec,
    given: Vec<impl Given>,
    outputs: impl ExactSizeIterator<Item = &'a str> + Clone,
) -> Result<(Inputs, Slots, u32), Fault> {
    if let Some(input) = duplicate(given.iter().map(Given::name)) {
        return Err(Fault::DuplicateInput { input });
    }
    if let Some(output) = duplicate(outputs.clone()) {
        return Err(Fault::DuplicateOutput { output });
    }
    if let Some(bare) = given.iter().find(|input| !input.has_data()) {
        return Err(Fault::NoData { input: bare.name().to_owned() });
    }
    let wanted = wanted(spec, outputs)?;
    check_count(spec, &given)?;
    let specs = given.iter().map(|input| find_input(spec, input)).collect::<Result<SmallVec<[_; 4]>, _>>()?;
    check_required(spec, &given, &specs)?;
    let rows = if spec.batching() { batch_rows(spec, &given)? } else { 1 };
    let mut inputs: Inputs = smallvec![None; spec.slots.inputs];
    for (input, input_spec) in given.into_iter().zip(specs) {
        let tensor = tensor(spec, input_spec, input)?;
        if let Some(place) = inputs.get_mut(input_spec.slot) {
            *place = Some(tensor);
        }
    }
    Ok((inputs, wanted, rows))
}

fn check_sequence(batching: &SequenceBatching, id: &CorrelationId, rows: u32) -> Result<(), Fault> {
    if rows > 1 {
        return Err(Fault::BatchInSequence);
    }
    if !id.is_given() {
        return if batching.iterative { Ok(()) } else { Err(Fault::NoSequence) };
    }
    match batching.id_type().filter(|&dtype| id_element(id, dtype).is_none()) {
        Some(dtype) => Err(Fault::SequenceId { id: id.clone(), dtype: dtype.config_name() }),
        None => Ok(()),
    }
}

/// A name that comes twice.
fn duplicate<'a>(mut names: impl ExactSizeIterator<Item = &'a str> + Clone) -> Option<String> {
    // Comparing each with each costs nothing for a few, and everything for what a hostile client may send.
    if names.len() > 16 {
        let mut seen = HashSet::with_capacity(names.len());
        return names.find(|name| !seen.insert(*name)).map(str::to_owned);
    }
    while let Some(name) = names.next() {
        if names.clone().any(|other| other == name) {
            return Some(name.to_owned());
        }
    }
    None
}

fn wanted<'a>(spec: &ModelSpec, outputs: impl ExactSizeIterator<Item = &'a str>) -> Result<Slots, Fault> {
    if outputs.len() == 0 {
        return Ok(spec.outputs.iter().map(|output| output.slot).collect());
    }
    let slot = |asked: &str| {
        let known = spec.outputs.iter().find(|output| output.name == asked);
        known.map(|output| output.slot).ok_or_else(|| Fault::UnknownOutput { output: asked.to_owned() })
    };
    outputs.map(slot).collect()
}

fn check_count(spec: &ModelSpec, given: &[impl Given]) -> Result<(), Fault> {
    let (least, most) = (spec.required_inputs(), spec.inputs.len());
    if (least..=most).contains(&given.len()) { Ok(()) } else { Err(input_count(spec, given)) }
}

/// The count alone does not say it: an optional input may stand in a required one's place. Where all names are known,
/// and none comes twice, counting the required ones does.
fn check_required(spec: &ModelSpec, given: &[impl Given], known: &[&InputSpec]) -> Result<(), Fault> {
    let required = known.iter().filter(|input| !input.optional).count();
    if required == spec.required_inputs() { Ok(()) } else { Err(input_count(spec, given)) }
}

fn input_count(spec: &ModelSpec, given: &[impl Given]) -> Fault {
    let is_given = |name: &str| given.iter().any(|input| input.name() == name);
    let missing = spec.inputs.iter().filter(|input| !input.optional && !is_given(&input.name));
    Fault::InputCount {
        least: spec.required_inputs(),
        most: spec.inputs.len(),
        got: given.iter().map(|input| input.name().to_owned()).collect(),
        missing: missing.map(|input| input.name.clone()).collect(),
    }
}

fn find_input<'a>(spec: &'a ModelSpec, given: &impl Given) -> Result<&'a InputSpec, Fault> {
    let known = spec.inputs.iter().find(|input| input.name == given.name());
    known.ok_or_else(|| Fault::UnknownInput { input: given.name().to_owned() })
}

/// The number of rows, which is the first extent of every input.
fn batch_rows(spec: &ModelSpec, given: &[impl Given]) -> Result<u32, Fault> {
    let mut batch = None;
    for input in given {
        let Some(&rows) = input.shape().first() else {
            return Err(Fault::NoShape { input: input.name().to_owned() });
        };
        match batch {
            Some(others) if others != rows => {
                return Err(Fault::BatchMismatch { input: input.name().to_owned() });
            }
            _ => batch = Some(rows),
        }
    }
    let rows = batch.unwrap_or(1);
    let input = given.first().map(|input| input.name().to_owned()).unwrap_or_default();
    match u32::try_from(rows) {
        Ok(0) => Err(Fault::EmptyBatch { input }),
        Ok(rows) if rows <= spec.max_batch_size => Ok(rows),
        Err(_) if rows < 0 => Err(Fault::OpenDimension { input, shape: first_shape(given) }),
        _ => Err(Fault::BatchTooLarge { most: spec.max_batch_size }),
    }
}

fn first_shape(given: &[impl Given]) -> Shape {
    given.first().map(|input| Shape::new(input.shape())).unwrap_or_default()
}

fn tensor(spec: &ModelSpec, input_spec: &InputSpec, given: impl Given) -> Result<Tensor, Fault> {
    let dtype = input_spec.dtype;
    // An input's name is that of its specification.
    let input = &input_spec.name;
    if given.datatype() != dtype.wire_name() {
        let got = given.datatype().to_owned();
        return Err(Fault::DType { input: input.clone(), got, want: dtype.wire_name() });
    }
    let shape = Shape::new(given.shape());
    if shape.is_dynamic() {
        return Err(Fault::OpenDimension { input: input.clone(), shape });
    }
    let (batch, dims) = shape.split_at(usize::from(spec.batching()));
    if !accepts(input_spec, dims) {
        let want = spec.full_shape(&input_spec.dims);
        return Err(Fault::WrongShape { input: input.clone(), want, got: shape, batching: spec.batching() });
    }
    let Some(elements) = shape.elements() else {
        return Err(Fault::TooManyElements { input: input.clone(), shape });
    };
    let data = in_one_piece(given.into_data());
    check_size(input, &shape, dtype, elements, data.contiguous().unwrap_or_default())?;
    let shape = match &input_spec.reshape {
        Some(target) => batch.iter().copied().chain(reshaped(&input_spec.dims, dims, target)).collect(),
        // A scalar also comes as [1].
        None if input_spec.dims.is_empty() => Shape::new(batch),
        None => shape,
    };
    Ok(Tensor::new(dtype, shape, data))
}

/// What an engine gave in pieces can only be looked at as a whole.
fn in_one_piece(data: Data) -> Data {
    if data.contiguous().is_some() { data } else { Data::from(data.into_bytes()) }
}

fn accepts(input: &InputSpec, dims: &[i64]) -> bool {
    input.dims.allows(dims) || (input.dims.is_empty() && dims == [1])
}

fn check_size(input: &str, shape: &Shape, dtype: DType, elements: usize, data: &[u8]) -> Result<(), Fault> {
    let Some(size) = dtype.size() else { return check_strings(input, elements, data) };
    let Some(want) = elements.checked_mul(size) else {
        return Err(Fault::TooManyElements { input: input.to_owned(), shape: shape.clone() });
    };
    match data.len() {
        got if got == want => check_values(input, dtype, data),
        got => Err(Fault::ByteSize { input: input.to_owned(), want, got }),
    }
}

/// Every pattern of bits is a number, but not a BOOL.
fn check_values(input: &str, dtype: DType, data: &[u8]) -> Result<(), Fault> {
    if dtype == DType::Bool
        && let Some((place, byte)) = bools::first_stray(data)
    {
        return Err(Fault::NoBool { input: input.to_owned(), place, byte });
    }
    Ok(())
}

fn check_strings(input: &str, want: usize, data: &[u8]) -> Result<(), Fault> {
    let mut got = 0;
    for element in strings::elements(data) {
        element.map_err(|truncated| {
            let input = input.to_owned();
            match truncated {
                strings::Truncated::Length { available } => Fault::StringLength { input, available },
                strings::Truncated::Content { expected: want, available } => {
                    Fault::StringContent { input, want, available }
                }
            }
        })?;
        got += 1;
        if got > want {
            return Err(Fault::TooManyStrings { input: input.to_owned(), want, got });
        }
    }
    if got < want { Err(Fault::TooFewStrings { input: input.to_owned(), want, got }) } else { Ok(()) }
}
