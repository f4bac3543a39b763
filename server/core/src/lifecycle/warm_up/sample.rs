use std::sync::Arc;

use nerite_backend::{CorrelationId, DType, Request, Responder, Sequence};

use super::data::{self, Room};
use crate::admission::{Admitted, InferInput, InferRequest, admit};
use crate::execution::{initial_states, supply};
use crate::model::{LoadError, ModelSpec, SequenceBatching, WarmUp, WarmUpInput};

/// A request that was found fit for its model, to be executed any number of times.
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) count: u32,
    admitted: Admitted,
    sequences: Option<Arc<SequenceBatching>>,
}

impl Sample {
    /// One more request, which shares its data with the others.
    pub(super) fn request(&self, responder: Responder) -> Request {
        let Admitted { inputs, wanted, rows, meta, .. } = &self.admitted;
        let mut request = Request::new(inputs.clone(), wanted.clone(), *rows, meta.clone(), responder);
        if let Some(batching) = &self.sequences {
            supply(batching, &mut request, &initial_states(batching));
        }
        request
    }
}

/// The samples of a version, with their data. All of them together must have room.
pub(super) fn prepare(spec: &ModelSpec, warm_ups: &[WarmUp]) -> Result<Vec<Sample>, LoadError> {
    let mut room = Room::default();
    warm_ups.iter().map(|warm_up| sample(spec, warm_up, &mut room)).collect()
}

fn sample(spec: &ModelSpec, warm_up: &WarmUp, room: &mut Room) -> Result<Sample, LoadError> {
    let WarmUp { name, rows, count, inputs } = warm_up;
    let failed =
        |what: String| LoadError::invalid(format!("model '{}', warm-up sample '{name}': {what}", spec.name));
    let rows = if spec.batching() { *rows } else { 1 };
    let given = inputs.iter().map(|input| infer_input(spec, input, rows, room));
    let inputs = given.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let sequence = spec.sequences.as_deref().map(whole_sequence).unwrap_or_default();
    let request = InferRequest { id: name.clone(), inputs, sequence, ..InferRequest::default() };
    let admitted = admit(spec, request)
        .map_err(|refusal| failed(format!("{refusal}; correct the sample in model_warmup, or remove it")))?;
    Ok(Sample { name: name.clone(), count: *count, admitted, sequences: spec.sequences.clone() })
}

/// A sequence of a sample alone.
fn whole_sequence(batching: &SequenceBatching) -> Sequence {
    let id = match batching.id_type() {
        Some(DType::Bytes) => CorrelationId::Text("warm-up".to_owned()),
        _ => CorrelationId::Number(1),
    };
    Sequence { id, start: true, end: true }
}

fn infer_input(
    spec: &ModelSpec,
    input: &WarmUpInput,
    rows: u32,
    room: &mut Room,
) -> Result<InferInput, String> {
    let data = data::make(input, rows, room).map_err(|what| format!("input '{}' {what}", input.name))?;
    let shape = if spec.batching() { input.dims.prepend(i64::from(rows)) } else { input.dims.clone() };
    Ok(InferInput {
        name: input.name.clone(),
        datatype: input.dtype.wire_name().to_owned(),
        shape: shape.to_vec(),
        data: Some(data),
    })
}
