//! Requests with one FP32 input `x` and their answers' FP32 output `y`.

use anyhow::{Context, ensure};
use nerite_proto::inference::model_infer_request::InferInputTensor;
use nerite_proto::inference::{ModelInferRequest, ModelInferResponse};

/// A request to the model with `x` of that shape.
pub fn request(model: &str, shape: &[i64], x: &[f32]) -> ModelInferRequest {
    ModelInferRequest {
        model_name: model.to_owned(),
        inputs: vec![InferInputTensor {
            name: "x".to_owned(),
            datatype: "FP32".to_owned(),
            shape: shape.to_vec(),
            ..InferInputTensor::default()
        }],
        raw_input_contents: vec![x.iter().flat_map(|value| value.to_le_bytes()).collect()],
        ..ModelInferRequest::default()
    }
}

/// The shape and the elements of `y`.
pub fn answer(response: &ModelInferResponse) -> anyhow::Result<(Vec<i64>, Vec<f32>)> {
    let [output] = &response.outputs[..] else { anyhow::bail!("{} outputs", response.outputs.len()) };
    ensure!(output.name == "y" && output.datatype == "FP32", "{} {}", output.name, output.datatype);
    let raw = response.raw_output_contents.first().context("no contents")?;
    let (words, []) = raw.as_chunks::<4>() else { anyhow::bail!("{} bytes", raw.len()) };
    Ok((output.shape.clone(), words.iter().map(|word| f32::from_le_bytes(*word)).collect()))
}
