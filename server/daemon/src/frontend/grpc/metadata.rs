use nerite_backend::{DType, Shape};
use nerite_core::model::ModelSpec;
use nerite_proto::inference::model_metadata_response::TensorMetadata;
use nerite_proto::inference::{
    ModelConfig, ModelConfigResponse, ModelMetadataResponse, ServerMetadataResponse,
};
use prost::Message;
use tonic::Status;

use super::{status, version};
use crate::serving::Serving;

/// The extensions of the protocol that work.
const EXTENSIONS: [&str; 10] = [
    "classification",
    "sequence",
    "model_repository",
    "model_repository(unload_dependents)",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
    "logging",
    "trace",
];

pub(super) fn server(serving: &Serving) -> ServerMetadataResponse {
    ServerMetadataResponse {
        name: serving.id.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        extensions: EXTENSIONS.map(str::to_owned).to_vec(),
    }
}

pub(super) fn model(serving: &Serving, name: &str, number: &str) -> Result<ModelMetadataResponse, Status> {
    let number = version::parse(number)?;
    let model = serving.registry.lookup(name, number).map_err(|error| status::of_lookup(&error))?;
    let spec = &model.spec;
    let versions = match number {
        Some(_) => vec![model.version.to_string()],
        None => {
            let entry = serving.registry.entry(name);
            entry.map(|entry| entry.ready.keys().map(u64::to_string).collect()).unwrap_or_default()
        }
    };
    let inputs = spec.inputs.iter().map(|input| tensor(spec, &input.name, input.dtype, &input.dims));
    let outputs = spec.outputs.iter().map(|output| tensor(spec, &output.name, output.dtype, &output.dims));
    Ok(ModelMetadataResponse {
        name: spec.name.clone(),
        versions,
        platform: spec.platform.clone(),
        inputs: inputs.collect(),
        outputs: outputs.collect(),
    })
}

fn tensor(spec: &ModelSpec, name: &str, dtype: DType, dims: &Shape) -> TensorMetadata {
    let shape = spec.full_shape(dims).to_vec();
    TensorMetadata { name: name.to_owned(), datatype: dtype.wire_name().to_owned(), shape }
}

pub(super) fn config(serving: &Serving, name: &str, number: &str) -> Result<ModelConfigResponse, Status> {
    let number = version::parse(number)?;
    let model = serving.registry.lookup(name, number).map_err(|error| status::of_lookup(&error))?;
    let config = ModelConfig::decode(model.spec.published.clone()).map_err(|error| {
        status::internal(format!("the configuration of model '{name}' cannot be read: {error}"))
    })?;
    Ok(ModelConfigResponse { config: Some(config) })
}
