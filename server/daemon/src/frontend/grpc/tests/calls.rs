//! Calls without a connection.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http::request::Builder;
use http_body::Frame;
use nerite_proto::inference::ModelInferRequest;
use nerite_proto::inference::model_infer_request::InferInputTensor;
use prost::Message;
use tonic::body::Body;
use tower_service::Service;

use super::held::Held;
use crate::frontend::grpc::Services;
use crate::frontend::grpc::router::Answered;

pub(super) const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

/// What a client sends, and whether it ends there.
struct Sent {
    pieces: VecDeque<Bytes>,
    ends: bool,
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.pieces.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None if self.ends => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

/// Makes a call whose client sends this, in pieces of 100 bytes, and says that it has ended, or does not.
pub(super) fn send(held: &Held, call: Builder, sent: &[u8], ends: bool) -> Answered {
    let pieces = sent.chunks(100).map(Bytes::copy_from_slice).collect();
    Services::new(&held.serving, false).call(call.body(Sent { pieces, ends }).unwrap())
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
