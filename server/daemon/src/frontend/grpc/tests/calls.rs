//! Calls without a connection.

use std::convert::Infallible;

use bytes::Bytes;
use http::Response;
use http::request::Builder;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use nerite_proto::inference::ModelInferRequest;
use nerite_proto::inference::model_infer_request::InferInputTensor;
use prost::Message;
use tokio_stream::StreamExt;
use tonic::body::Body;
use tower_service::Service;

use super::held::Held;
use crate::frontend::grpc::Services;
use crate::frontend::grpc::router::Answered;

pub(super) const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

/// Makes a call whose client sends this, in pieces of 100 bytes, and says that it has ended, or does not.
pub(super) fn send(held: &Held, call: Builder, sent: &[u8], ends: bool) -> Answered {
    let pieces: Vec<_> = sent.chunks(100).map(Bytes::copy_from_slice).map(Frame::data).map(Ok).collect();
    let pieces = tokio_stream::iter::<Vec<Result<_, Infallible>>>(pieces);
    let body = if ends {
        StreamBody::new(pieces).boxed()
    } else {
        StreamBody::new(pieces.chain(tokio_stream::pending())).boxed()
    };
    Services::new(&held.serving, false).call(call.body(body).unwrap())
}

/// A message as it is sent.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat()
}

/// A request for so many elements.
pub(super) fn request(model: &str, elements: usize) -> Vec<u8> {
    let input = InferInputTensor {
        name: "X".to_owned(),
        datatype: "UINT8".to_owned(),
        shape: vec![elements as i64],
        ..Default::default()
    };
    let request = ModelInferRequest {
        model_name: model.to_owned(),
        inputs: vec![input],
        raw_input_contents: vec![vec![1; elements].into()],
        ..Default::default()
    };
    framed(&request.encode_to_vec())
}

pub(super) async fn answer(call: Answered) -> Response<Body> {
    match call.await {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}
