//! What calls have in flight, and that they are refused when it is too much.

use std::task::{Context, Waker};

use bytes::Bytes;
use http::{Request, Response};
use nerite_backend::{DType, Shape, Tensor};
use tonic::body::Body;

use super::calls::{INFER, answer, framed, request, send};
use super::held::Held;

const LIVE: &str = "/inference.GRPCInferenceService/ServerLive";

/// The requests and the bytes in flight.
fn inflight(held: &Held) -> (usize, usize) {
    (held.serving.inflight.requests(), held.serving.inflight.bytes())
}

#[track_caller]
fn assert_unavailable(answer: &Response<Body>, flag: &str) {
    let text = |name: &str| answer.headers()[name].to_str().unwrap();
    assert_eq!(text("grpc-status"), "14");
    let message = text("grpc-message");
    for part in ["Exceeds%20maximum%20queue%20size.", flag] {
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn an_inference_beyond_the_limit_is_refused_before_its_body_is_read() {
    let held = Held::new(1, 0);
    let first = send(&held, Request::post(INFER), &[], false);
    let refused = answer(send(&held, Request::post(INFER), &[0; 1000], false)).await;
    assert_unavailable(&refused, "--max-inflight-requests");
    assert_eq!(inflight(&held), (1, 0));
    let live = answer(send(&held, Request::post(LIVE), &framed(&[]), true)).await;
    assert!(!live.headers().contains_key("grpc-status"), "only inferences are counted");
    drop(first);
    assert_eq!(inflight(&held), (0, 0));
    let unknown = answer(send(&held, Request::post(INFER), &request("unknown", 1), true)).await;
    assert_eq!(unknown.headers()["grpc-status"], "5");
    assert_eq!(inflight(&held), (0, 0));
}

#[tokio::test]
async fn bytes_beyond_the_limit_end_any_call_with_unavailable_and_are_given_back() {
    let held = Held::new(0, 1000);
    for path in [INFER, LIVE] {
        let refused = answer(send(&held, Request::post(path), &framed(&[0; 996]), true)).await;
        assert_unavailable(&refused, "--max-inflight-bytes");
        assert_eq!(inflight(&held), (0, 0));
    }
    let mut fits = request("unknown", 900);
    fits.resize(1000, 0);
    for _ in 0..3 {
        let unknown = answer(send(&held, Request::post(INFER), &fits, true)).await;
        assert_eq!(unknown.headers()["grpc-status"], "5");
    }
}

#[tokio::test]
async fn what_a_client_announces_counts_for_nothing_before_it_comes() {
    let held = Held::new(0, 1000);
    let announced = [&[0][..], &i32::MAX.to_be_bytes(), &[0; 15]].concat();
    let mut call = send(&held, Request::post(INFER), &announced, false);
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(inflight(&held), (1, 20));
    drop(call);
    assert_eq!(inflight(&held), (0, 0));
}

#[tokio::test]
async fn a_request_counts_until_its_answer_is_made() {
    let mut held = Held::new(0, 0);
    let sent = request("held", 500);
    let call = tokio::spawn(answer(send(&held, Request::post(INFER), &sent, true)));
    let batch = held.batches.recv().await.unwrap();
    assert_eq!(inflight(&held), (1, sent.len()));
    drop(batch);
    let answer = call.await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "13", "it was dropped unanswered");
    assert_eq!(inflight(&held), (0, 0));
}

/// The answer to a request for the held model, whose output has so many elements.
async fn answered(held: &mut Held, elements: usize) -> Response<Body> {
    let call = tokio::spawn(answer(send(held, Request::post(INFER), &request("held", 500), true)));
    for request in held.batches.recv().await.unwrap().into_requests() {
        let output = Tensor::new(DType::U8, Shape::new(&[elements as i64]), Bytes::from(vec![1; elements]));
        request.responder().send(nerite_backend::Response::complete([(0, output)].into_iter().collect()));
    }
    call.await.unwrap()
}

#[tokio::test]
async fn an_answer_counts_until_its_client_has_taken_it() {
    let mut held = Held::new(0, 0);
    let answer = answered(&mut held, 100_000).await;
    let (requests, bytes) = inflight(&held);
    assert!(requests == 1 && bytes > 100_000, "{requests} {bytes}");
    drop(answer);
    assert_eq!(inflight(&held), (0, 0));
}

#[tokio::test]
async fn an_answer_for_which_there_is_no_room_is_unavailable() {
    let mut held = Held::new(0, 10_000);
    let answer = answered(&mut held, 100_000).await;
    assert_unavailable(&answer, "--max-inflight-bytes");
    assert_eq!(inflight(&held), (0, 0));
}

#[tokio::test]
async fn a_call_that_is_dropped_gives_everything_back() {
    let mut held = Held::new(0, 0);
    let sent = request("held", 500);
    let call = tokio::spawn(answer(send(&held, Request::post(INFER), &sent, true)));
    let batch = held.batches.recv().await.unwrap();
    call.abort();
    assert!(call.await.is_err());
    assert_eq!(inflight(&held), (0, 0));
    drop(batch);
}
