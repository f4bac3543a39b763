use nerite_backend::{Request, Responder};

use super::data::{self, Room};
use crate::admission::{Admitted, InferInput, InferRequest, admit};
use crate::model::{LoadError, ModelSpec, WarmUp, WarmUpInput};

/// A request that was found fit for its model, to be executed any number of times.
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) count: u32,
    admitted: Admitted,
}

impl Sample {
    /// One more request, which shares its data with the others.
    pub(super) fn request(&self, responder: Responder) -> Request {
        let Admitted { inputs, wanted, rows, meta, .. } = &self.admitted;
        Request::new(inputs.clone(), wanted.clone(), *rows, meta.clone(), responder)
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
    let request = InferRequest { id: name.clone(), inputs, ..InferRequest::default() };
    let admitted = admit(spec, request)
        .map_err(|refusal| failed(format!("{refusal}; correct the sample in model_warmup, or remove it")))?;
    Ok(Sample { name: name.clone(), count: *count, admitted })
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
