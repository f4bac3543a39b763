use bytes::Bytes;
use nerite_backend::{DType, Response, Shape, Tensor};
use nerite_core::ModelVersion;
use nerite_core::model::OutputSpec;
use nerite_proto::inference::ModelInferResponse;
use nerite_proto::inference::model_infer_request::InferRequestedOutputTensor;
use nerite_proto::inference::model_infer_response::InferOutputTensor;
use tonic::Status;

use super::{classification, parameters, status};

/// An output asked for by name, and how it is to be given.
pub(super) struct Wanted {
    name: String,
    classes: Option<usize>,
}

impl Wanted {
    pub(super) fn parse(output: &InferRequestedOutputTensor) -> Result<Wanted, Status> {
        parameters::no_shared_memory(&output.parameters)?;
        Ok(Wanted { name: output.name.clone(), classes: parameters::classes(&output.parameters)? })
    }
}

/// The answer on the wire: the outputs asked for, in the order in which they were, or all in the configuration's. A response
/// of a decoupled model may lack any of them.
pub(super) fn encode(
    model: &ModelVersion,
    id: String,
    wanted: &[Wanted],
    response: Response,
) -> Result<ModelInferResponse, Status> {
    let spec = &model.spec;
    let mut given = response.outputs;
    let mut encoded = ModelInferResponse {
        model_name: spec.name.clone(),
        model_version: model.version.to_string(),
        id,
        parameters: parameters::to_wire(response.parameters),
        ..Default::default()
    };
    let mut add = |output: &OutputSpec, classes: Option<usize>| -> Result<(), Status> {
        let Some(place) = given.iter().position(|(slot, _)| *slot == output.slot) else {
            if spec.decoupled {
                return Ok(());
            }
            return Err(status::internal(format!("model '{}' gave no output '{}'", spec.name, output.name)));
        };
        let (_, tensor) = given.swap_remove(place);
        let tensor = output.as_configured(tensor, spec.batching());
        let (dtype, shape, raw) = match classes {
            None => (tensor.dtype, tensor.shape, tensor.data.into_bytes()),
            Some(count) => classify(output, tensor, count, spec.batching())?,
        };
        encoded.outputs.push(InferOutputTensor {
            name: output.name.clone(),
            datatype: dtype.wire_name().to_owned(),
            shape: shape.to_vec(),
            ..Default::default()
        });
        encoded.raw_output_contents.push(raw);
        Ok(())
    };
    if wanted.is_empty() {
        spec.outputs.iter().try_for_each(|output| add(output, None))?;
    }
    for asked in wanted {
        if let Some(output) = spec.outputs.iter().find(|output| output.name == asked.name) {
            add(output, asked.classes)?;
        }
    }
    Ok(encoded)
}

fn classify(
    output: &OutputSpec,
    tensor: Tensor,
    count: usize,
    batching: bool,
) -> Result<(DType, Shape, Bytes), Status> {
    let rows =
        if batching { tensor.shape.first().and_then(|&rows| usize::try_from(rows).ok()) } else { None };
    let labels = output.labels.as_deref().unwrap_or_default();
    let bytes = tensor.data.into_bytes();
    let classes = classification::classify(tensor.dtype, &bytes, rows.unwrap_or(1), count, labels)
        .ok_or_else(|| {
            status::invalid(format!(
                "class result not available for output due to unsupported type '{}'",
                tensor.dtype
            ))
        })?;
    let width = classes.width as i64;
    let shape = rows.map_or_else(|| Shape::new(&[width]), |rows| Shape::new(&[rows as i64, width]));
    Ok((DType::Bytes, shape, classes.wire.into()))
}
