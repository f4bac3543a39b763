//! What type is a file? Asks the sample model `magika`: `cargo run --release -p nerite-tests --example file_type FILE`.

use std::collections::HashMap;

use anyhow::Context;
use nerite_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use nerite_proto::inference::infer_parameter::ParameterChoice;
use nerite_proto::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use nerite_proto::inference::{InferParameter, ModelInferRequest};
use tonic::transport::Channel;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let path = std::env::args().nth(1).context("usage: file_type FILE")?;
    let channel = Channel::from_static("http://127.0.0.1:8001").connect().await?;
    let mut client = GrpcInferenceServiceClient::new(channel);

    let top1 = InferParameter { parameter_choice: Some(ParameterChoice::Int64Param(1)) };
    let request = ModelInferRequest {
        model_name: "magika".into(),
        inputs: vec![InferInputTensor {
            name: "bytes".into(),
            datatype: "INT32".into(),
            shape: vec![1, 2048],
            ..Default::default()
        }],
        outputs: vec![InferRequestedOutputTensor {
            name: "target_label".into(),
            parameters: HashMap::from([("classification".into(), top1)]),
        }],
        raw_input_contents: vec![features(&std::fs::read(&path)?).into()],
        ..Default::default()
    };
    let answer = client.model_infer(request).await?.into_inner();
    let class = answer.raw_output_contents[0].slice(4..); // behind the string's length: "0.998:183:rust"
    println!("{path}: {}", String::from_utf8_lossy(&class));
    Ok(())
}

/// The first and the last 1,024 bytes of a file without the white space around it, each as a little-endian INT32; 256
/// fills what is missing.
fn features(file: &[u8]) -> Vec<u8> {
    let text = file.trim_ascii();
    let mut features = [256i32; 2048];
    for (feature, &byte) in features.iter_mut().zip(text.iter().take(1024)) {
        *feature = i32::from(byte);
    }
    for (feature, &byte) in features.iter_mut().rev().zip(text.iter().rev().take(1024)) {
        *feature = i32::from(byte);
    }
    features.iter().flat_map(|feature| feature.to_le_bytes()).collect()
}
