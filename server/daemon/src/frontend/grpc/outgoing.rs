//! Answers as they go: that of a unary call, and the messages of a stream.

use std::collections::VecDeque;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::Frame;
use nerite_proto::inference::{ModelInferResponse, ModelStreamInferResponse};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use tonic::Status;
use tonic::body::Body;

use super::compression::{self, Encoding};
use super::incoming::PREFIX;
use super::status;
use crate::inflight::Share;

/// The number of `raw_output_contents` in `ModelInferResponse`, whose last field it is.
const RAW_OUTPUT_CONTENTS: u32 = 6;

/// The number of `infer_response` in `ModelStreamInferResponse`.
const INFER_RESPONSE: u32 = 2;

/// From how many bytes on an output goes as a piece of its own, and is not copied into the message.
const PIECE: usize = 32 << 10;

/// A call's answer on the wire, compressed if there is an `encoding`. `limit` is the longest message, in bytes. The answer
/// counts in `share` until the client has taken it: it may be much longer than the request, and a client may take its time.
pub(super) async fn reply(
    answer: ModelInferResponse,
    encoding: Option<Encoding>,
    limit: usize,
    share: Arc<Share>,
) -> Response<Body> {
    let pieces = match encode(answer, limit) {
        Ok(pieces) => compressed(pieces, encoding).await,
        Err(status) => Err(status),
    };
    let counted = pieces.and_then(|pieces| {
        let bytes = pieces.iter().map(Bytes::len).sum();
        share.add(bytes).map(|()| pieces).map_err(|full| status::of_full(&full))
    });
    let pieces = match counted {
        Ok(pieces) => pieces,
        Err(status) => return status.into_http(),
    };
    let mut response = Response::new(Body::new(Reply { pieces, trailers: true, _share: share }));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    if let Some(encoding) = encoding {
        response.headers_mut().insert("grpc-encoding", encoding.header());
    }
    response
}

/// The message in `pieces`; if there is an `encoding`, compressed and with a prefix that says so.
pub(super) async fn compressed(
    mut pieces: VecDeque<Bytes>,
    encoding: Option<Encoding>,
) -> Result<VecDeque<Bytes>, Status> {
    let Some(encoding) = encoding else { return Ok(pieces) };
    if let Some(first) = pieces.front_mut() {
        first.advance(PREFIX);
    }
    let message = compression::compress(encoding, pieces).await?;
    let mut prefix = BytesMut::with_capacity(PREFIX);
    prefix.put_u8(1);
    prefix.put_u32(u32::try_from(message.len()).map_err(|_| too_large(message.len(), u32::MAX as usize))?);
    Ok([prefix.freeze(), message].into())
}

/// The message with its prefix. Large outputs are pieces of their own: slices of the engine's buffers.
fn encode(answer: ModelInferResponse, limit: usize) -> Result<VecDeque<Bytes>, Status> {
    encode_within(None, answer, limit)
}

/// The same as the `infer_response` of a stream's message.
pub(super) fn encode_in_stream(answer: ModelInferResponse, limit: usize) -> Result<VecDeque<Bytes>, Status> {
    encode_within(Some(INFER_RESPONSE), answer, limit)
}

/// A stream's message that tells of a failure, with its prefix.
pub(super) fn encode_failure(failure: &ModelStreamInferResponse) -> VecDeque<Bytes> {
    let length = failure.encoded_len();
    let mut buffer = BytesMut::with_capacity(PREFIX + length);
    buffer.put_u8(0);
    // It has a text of limited length, and an id that came in a message.
    buffer.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    failure.encode_raw(&mut buffer);
    [buffer.freeze()].into()
}

/// An answer as a message of its own, or as that field of one.
fn encode_within(
    field: Option<u32>,
    mut answer: ModelInferResponse,
    limit: usize,
) -> Result<VecDeque<Bytes>, Status> {
    let outputs = mem::take(&mut answer.raw_output_contents);
    let length_of = |output: &Bytes| {
        key_len(RAW_OUTPUT_CONTENTS) + encoded_len_varint(output.len() as u64) + output.len()
    };
    let inner = answer.encoded_len() + outputs.iter().map(length_of).sum::<usize>();
    let length = inner + field.map_or(0, |field| key_len(field) + encoded_len_varint(inner as u64));
    let announced =
        u32::try_from(length).ok().filter(|_| length <= limit).ok_or_else(|| too_large(length, limit))?;
    let copied = length - outputs.iter().map(Bytes::len).filter(|length| *length >= PIECE).sum::<usize>();
    let mut buffer = BytesMut::with_capacity(PREFIX + copied);
    buffer.put_u8(0);
    buffer.put_u32(announced);
    if let Some(field) = field {
        encode_key(field, WireType::LengthDelimited, &mut buffer);
        encode_varint(inner as u64, &mut buffer);
    }
    answer.encode_raw(&mut buffer);
    let mut pieces = VecDeque::with_capacity(1);
    for output in outputs {
        encode_key(RAW_OUTPUT_CONTENTS, WireType::LengthDelimited, &mut buffer);
        encode_varint(output.len() as u64, &mut buffer);
        if output.len() < PIECE {
            buffer.put_slice(&output);
        } else {
            pieces.extend([buffer.split().freeze(), output]);
        }
    }
    if !buffer.is_empty() {
        pieces.push_back(buffer.freeze());
    }
    Ok(pieces)
}

/// In the words of gRPC's core, which Triton's clients know.
fn too_large(length: usize, limit: usize) -> Status {
    Status::resource_exhausted(format!("Sent message larger than max ({length} vs. {limit})"))
}

/// The message, and a status that says that all went well.
struct Reply {
    pieces: VecDeque<Bytes>,
    /// Whether the status is still to come.
    trailers: bool,
    _share: Arc<Share>,
}

impl http_body::Body for Reply {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(piece) = self.pieces.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if !mem::take(&mut self.trailers) {
            return Poll::Ready(None);
        }
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        !self.trailers
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use nerite_proto::inference::model_infer_response::InferOutputTensor;
    use proptest::prelude::*;

    use super::*;
    use crate::inflight::Inflight;

    fn share() -> Arc<Share> {
        Arc::new(Arc::new(Inflight::default()).call())
    }

    fn answer(outputs: &[usize]) -> ModelInferResponse {
        ModelInferResponse {
            model_name: "model".to_owned(),
            id: "1".to_owned(),
            outputs: outputs.iter().map(|_| InferOutputTensor::default()).collect(),
            raw_output_contents: outputs.iter().map(|&length| Bytes::from(vec![7; length])).collect(),
            ..Default::default()
        }
    }

    proptest! {
        #[test]
        fn an_answer_in_pieces_is_the_message_that_prost_writes(
            outputs in prop::collection::vec(prop_oneof![0usize..100, PIECE - 2..PIECE + 2, 100_000usize..200_000], 0..5)
        ) {
            let answer = answer(&outputs);
            let expected = answer.encode_to_vec();
            let sent: Vec<u8> = encode(answer, usize::MAX).unwrap().iter().flatten().copied().collect();
            prop_assert_eq!(&sent[..PREFIX], [&[0], &(expected.len() as u32).to_be_bytes()[..]].concat());
            prop_assert_eq!(&sent[PREFIX..], expected);
        }

        #[test]
        fn an_answer_of_a_stream_in_pieces_is_the_message_that_prost_writes(
            outputs in prop::collection::vec(prop_oneof![0usize..100, PIECE - 2..PIECE + 2, 100_000usize..200_000], 0..5)
        ) {
            let infer_response = Some(answer(&outputs));
            let expected = ModelStreamInferResponse { infer_response, ..Default::default() }.encode_to_vec();
            let sent: Vec<u8> =
                encode_in_stream(answer(&outputs), usize::MAX).unwrap().iter().flatten().copied().collect();
            prop_assert_eq!(&sent[..PREFIX], [&[0], &(expected.len() as u32).to_be_bytes()[..]].concat());
            prop_assert_eq!(&sent[PREFIX..], expected);
        }
    }

    #[test]
    fn a_large_output_is_not_copied() {
        let answer = answer(&[10, PIECE]);
        let large = answer.raw_output_contents[1].clone();
        let pieces = encode(answer, usize::MAX).unwrap();
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces[1].as_ptr(), large.as_ptr());
    }

    #[tokio::test]
    async fn an_answer_ends_with_a_good_status() {
        let reply = reply(answer(&[4]), None, 1000, share()).await;
        assert_eq!(reply.headers()[header::CONTENT_TYPE], "application/grpc");
        let whole = reply.into_body().collect().await.unwrap();
        assert_eq!(whole.trailers().unwrap()[Status::GRPC_STATUS], "0");
    }

    #[tokio::test]
    async fn a_compressed_answer_is_the_same_message_and_says_how_it_is_compressed() {
        let answer = answer(&[100, 2 * PIECE]);
        let expected = answer.encode_to_vec();
        let reply = reply(answer, Some(Encoding::Zstd), usize::MAX, share()).await;
        assert_eq!(reply.headers()["grpc-encoding"], "zstd");
        let sent = reply.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(sent[..PREFIX], [&[1], &(sent.len() as u32 - 5).to_be_bytes()[..]].concat());
        assert!(sent.len() < 1000, "{} bytes", sent.len());
        let share = Arc::new(Arc::new(Inflight::default()).call());
        let message = compression::decompress(Encoding::Zstd, sent.slice(PREFIX..), share, usize::MAX).await;
        assert_eq!(message.unwrap(), expected);
    }

    #[tokio::test]
    async fn an_answer_over_the_limit_is_an_error() {
        let reply = reply(answer(&[2000]), None, 1000, share()).await;
        assert_eq!(reply.headers()[Status::GRPC_STATUS], "8");
        let message = reply.headers()[Status::GRPC_MESSAGE].to_str().unwrap();
        assert!(message.contains("larger%20than%20max"), "{message}");
    }
}
