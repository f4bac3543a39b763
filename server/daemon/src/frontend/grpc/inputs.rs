use bytes::Bytes;
use nerite_backend::DType;
use nerite_core::admission::InferInput;
use nerite_proto::inference::model_infer_request::InferInputTensor;
use tonic::Status;

use super::{contents, parameters, status};

/// A request's inputs with their bytes: each has its typed contents, or the next of the raw ones.
pub(super) fn inputs(
    model: &str,
    tensors: Vec<InferInputTensor>,
    raw: Vec<Bytes>,
) -> Result<Vec<InferInput>, Status> {
    let (expected, got) = (tensors.len(), raw.len());
    let any_raw = got > 0;
    let mut raw = raw.into_iter();
    let mut inputs = Vec::with_capacity(expected);
    for tensor in tensors {
        parameters::no_shared_memory(&tensor.parameters)?;
        let data = match &tensor.contents {
            None => raw.next(),
            Some(_) if any_raw => return Err(raw_and_typed(&tensor.name, model)),
            Some(contents) => match DType::from_wire_name(&tensor.datatype) {
                Some(dtype) => {
                    let bytes = contents::to_raw(contents, dtype);
                    Some(bytes.map_err(|held| wrong_contents(&tensor.name, model, held, dtype))?)
                }
                // The datatype is refused with the model's own when the request is admitted.
                None => Some(Bytes::new()),
            },
        };
        let InferInputTensor { name, datatype, shape, .. } = tensor;
        inputs.push(InferInput { name, datatype, shape, data });
    }
    if raw.next().is_some() {
        return Err(status::invalid(format!(
            "expected {expected} raw_input_contents for the {expected} inputs of the request for model '{model}', got {got}"
        )));
    }
    Ok(inputs)
}

fn raw_and_typed(input: &str, model: &str) -> Status {
    status::invalid(format!(
        "contents field must not be specified when using raw_input_contents for '{input}' for model '{model}'"
    ))
}

fn wrong_contents(input: &str, model: &str, held: &str, dtype: DType) -> Status {
    status::invalid(format!(
        "unexpected explicit tensor data for input tensor '{input}' for model '{model}' of type '{held}', expected \
         datatype '{dtype}'"
    ))
}
