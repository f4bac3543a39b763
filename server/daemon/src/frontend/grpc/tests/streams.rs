//! Requests on a stream.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use nerite_backend::{BackendError, DType, Request as EngineRequest, Response, Sent, Shape, Tensor};
use nerite_core::statistics::FailureReason;
use nerite_proto::inference::infer_parameter::ParameterChoice;
use nerite_proto::inference::model_infer_request::InferInputTensor;
use nerite_proto::inference::{InferParameter, ModelInferRequest, ModelStreamInferResponse};
use prost::Message;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::body::Body;
use tower_service::Service;

use super::calls::{answer, framed};
use super::held::Held;
use crate::frontend::grpc::Services;
use crate::frontend::grpc::stream::{MOST_REQUESTS, UNREAD_RESPONSES};
use crate::serving::Stage;

const STREAM: &str = "/inference.GRPCInferenceService/ModelStreamInfer";

/// A client of a stream.
struct Client {
    /// Its side of the stream; `None` when it has ended it.
    sends: Option<UnboundedSender<Bytes>>,
    responses: Body,
    read: BytesMut,
    trailers: Option<HeaderMap>,
}

impl Client {
    async fn open(held: &Held, headers: &[(&str, &str)]) -> Client {
        let (sends, sent) = unbounded_channel();
        let frames = UnboundedReceiverStream::new(sent).map(Frame::data).map(Ok::<_, Infallible>);
        let mut request = Request::post(STREAM);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(StreamBody::new(frames).boxed_unsync()).unwrap();
        let responses = answer(Services::new(&held.serving, false).call(request)).await.into_body();
        Client { sends: Some(sends), responses, read: BytesMut::new(), trailers: None }
    }

    fn send(&self, request: &ModelInferRequest) {
        self.send_bytes(&framed(&request.encode_to_vec()));
    }

    fn send_bytes(&self, bytes: &[u8]) {
        self.sends.as_ref().unwrap().send(Bytes::copy_from_slice(bytes)).unwrap();
    }

    /// A response that has been read in full, if one has.
    fn take(&mut self) -> Option<ModelStreamInferResponse> {
        let length = u32::from_be_bytes(self.read.get(1..5)?.try_into().unwrap()) as usize;
        if self.read.len() < 5 + length {
            return None;
        }
        let message = self.read.split_to(5 + length);
        Some(ModelStreamInferResponse::decode(&message[5..]).unwrap())
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<ModelStreamInferResponse>> {
        loop {
            if let Some(response) = self.take() {
                return Poll::Ready(Some(response));
            }
            match Pin::new(&mut self.responses).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(frame)) => match frame.unwrap().into_data() {
                    Ok(data) => self.read.extend_from_slice(&data),
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
            }
        }
    }

    async fn next(&mut self) -> ModelStreamInferResponse {
        poll_fn(|cx| self.poll_next(cx)).await.unwrap_or_else(|| panic!("it ended: {:?}", self.trailers))
    }

    /// Whether nothing has come, after all has been done that can be.
    fn is_waiting(&mut self) -> bool {
        self.poll_next(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Ends its side, and gives the status that the stream then ends with.
    async fn end(mut self) -> (String, String) {
        self.sends = None;
        self.status().await
    }

    async fn status(&mut self) -> (String, String) {
        assert_eq!(poll_fn(|cx| self.poll_next(cx)).await, None);
        let trailers = self.trailers.take().unwrap();
        let text = |name: &str| trailers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        (text("grpc-status"), text("grpc-message"))
    }
}

fn request(model: &str, id: &str) -> ModelInferRequest {
    let input = InferInputTensor {
        name: "X".to_owned(),
        datatype: "UINT8".to_owned(),
        shape: vec![3],
        ..Default::default()
    };
    ModelInferRequest {
        model_name: model.to_owned(),
        id: id.to_owned(),
        inputs: vec![input],
        raw_input_contents: vec![vec![1; 3].into()],
        ..Default::default()
    }
}

/// A request that wants to hear of the end, though there be nothing else in it.
fn until_the_end(request: ModelInferRequest) -> ModelInferRequest {
    let value = InferParameter { parameter_choice: Some(ParameterChoice::BoolParam(true)) };
    let parameters = HashMap::from([("triton_enable_empty_final_response".to_owned(), value)]);
    ModelInferRequest { parameters, ..request }
}

/// An engine's response with so many elements.
fn part(elements: usize, last: bool) -> Response {
    let output = Tensor::new(DType::U8, Shape::new(&[elements as i64]), Bytes::from(vec![1; elements]));
    Response { last, ..Response::part([(0, output)].into_iter().collect()) }
}

/// What a client is told: the id, the size of the output or the error, and whether it is the last.
fn told(response: ModelStreamInferResponse) -> (String, Result<usize, String>, bool) {
    let ModelStreamInferResponse { error_message, infer_response } = response;
    let of = infer_response.unwrap();
    let last =
        of.parameters["triton_final_response"].parameter_choice == Some(ParameterChoice::BoolParam(true));
    let outcome = match error_message.is_empty() {
        true => Ok(of.raw_output_contents.first().map_or(0, Bytes::len)),
        false => Err(error_message),
    };
    (of.id, outcome, last)
}

fn ok(id: &str, size: usize, last: bool) -> (String, Result<usize, String>, bool) {
    (id.to_owned(), Ok(size), last)
}

/// The next request that the engine is given, while the client waits for a response.
async fn executed(held: &mut Held, client: &mut Client) -> EngineRequest {
    let batch = poll_fn(|cx| {
        if let Poll::Ready(response) = client.poll_next(cx) {
            panic!("nothing was sent, but {response:?} came");
        }
        held.batches.poll_recv(cx)
    });
    batch.await.unwrap().into_requests().remove(0)
}

#[tokio::test]
async fn answers_of_ordinary_models_come_in_the_order_of_their_requests() {
    let mut held = Held::new(0, 0);
    let mut client = Client::open(&held, &[]).await;
    let mut requests = Vec::new();
    for id in ["a", "b", "c"] {
        client.send(&request("held", id));
        requests.push(executed(&mut held, &mut client).await);
    }
    client.send(&request("unknown", "d"));
    for (size, request) in [1, 2, 3].into_iter().zip(&requests).rev() {
        assert!(client.is_waiting(), "the first has not been answered");
        assert!(request.responder().send(part(size, true)).is_taken());
    }
    for (size, id) in (1..).zip(["a", "b", "c"]) {
        assert_eq!(told(client.next().await), ok(id, size, true));
    }
    let (id, outcome, last) = told(client.next().await);
    assert!(id == "d" && last && outcome.unwrap_err().contains("unknown model"));
    assert_eq!(client.end().await.0, "0");
}

#[tokio::test]
async fn responses_of_a_decoupled_model_come_as_they_are_sent_whatever_else_is_under_way() {
    let mut held = Held::new(0, 0);
    let mut client = Client::open(&held, &[]).await;
    client.send(&request("held", "slow"));
    let slow = executed(&mut held, &mut client).await;
    client.send(&request("many", "a"));
    let a = executed(&mut held, &mut client).await;
    client.send(&until_the_end(request("many", "b")));
    let b = executed(&mut held, &mut client).await;
    for (responder, id, size) in [(&b, "b", 5), (&a, "a", 6), (&b, "b", 7)] {
        assert!(responder.responder().send(part(size, false)).is_taken());
        assert_eq!(told(client.next().await), ok(id, size, false));
    }
    let error = Response { last: false, ..Response::error(BackendError::internal("a hitch")) };
    assert!(b.responder().send(error).is_taken());
    assert_eq!(told(client.next().await), ("b".to_owned(), Err("a hitch".to_owned()), false));
    assert!(b.responder().send(part(8, false)).is_taken());
    assert_eq!(told(client.next().await), ok("b", 8, false));
    assert!(a.responder().send(Response::end()).is_taken());
    assert!(client.is_waiting(), "nobody wants to hear of an end with nothing in it");
    assert!(b.responder().send(Response::end()).is_taken());
    assert_eq!(told(client.next().await), ok("b", 0, true));
    assert!(slow.responder().send(part(1, true)).is_taken());
    assert_eq!(told(client.next().await), ok("slow", 1, true));
    let many = held.serving.registry.lookup("many", None).unwrap();
    drop((a, b));
    assert_eq!(many.statistics().success.count(), 1);
    assert_eq!(many.statistics().failures(FailureReason::Backend), 1, "it got an error");
    assert_eq!(client.end().await.0, "0");
}

#[tokio::test]
async fn a_last_response_with_outputs_says_that_it_is_the_last() {
    let mut held = Held::new(0, 0);
    let mut client = Client::open(&held, &[]).await;
    client.send(&request("many", "a"));
    let a = executed(&mut held, &mut client).await;
    assert!(a.responder().send(part(1, false)).is_taken());
    assert!(a.responder().send(part(2, true)).is_taken());
    assert_eq!(told(client.next().await), ok("a", 1, false));
    assert_eq!(told(client.next().await), ok("a", 2, true));
    assert_eq!(client.end().await.0, "0");
}

#[tokio::test]
async fn a_failure_names_its_request_and_the_stream_goes_on() {
    let mut held = Held::new(0, 0);
    let mut client = Client::open(&held, &[]).await;
    let wrong =
        ModelInferRequest { inputs: Vec::new(), raw_input_contents: Vec::new(), ..request("held", "wrong") };
    client.send(&wrong);
    let (id, outcome, last) = told(client.next().await);
    assert!(id == "wrong" && last && outcome.is_err());
    for model in ["held", "many"] {
        client.send(&request(model, "a"));
        let failing = executed(&mut held, &mut client).await;
        failing.fail(BackendError::invalid("index out of range"));
        let response = client.next().await;
        let of = response.infer_response.clone().unwrap();
        assert_eq!((of.model_name.as_str(), of.model_version.as_str()), (model, "1"));
        assert_eq!(told(response), ("a".to_owned(), Err("index out of range".to_owned()), true));
    }
    assert_eq!(client.end().await.0, "0");
}

#[tokio::test]
async fn a_client_that_asks_for_it_has_the_stream_end_with_the_status_of_the_first_failure() {
    let mut held = Held::new(0, 0);
    let mut client = Client::open(&held, &[("triton_grpc_error", "true")]).await;
    client.send(&request("held", "a"));
    client.send(&request("held", "b"));
    let a = executed(&mut held, &mut client).await;
    let b = executed(&mut held, &mut client).await;
    a.fail(BackendError::invalid("index out of range"));
    assert_eq!(client.status().await, ("3".to_owned(), "index%20out%20of%20range".to_owned()));
    assert!(b.cancel().is_cancelled(), "the others are given up");
    let mut client = Client::open(&held, &[("triton_grpc_error", "true")]).await;
    client.send(&request("unknown", "a"));
    assert_eq!(client.status().await.0, "5");
}

#[tokio::test]
async fn a_client_that_breaks_off_cancels_all_its_requests() {
    let mut held = Held::new(0, 0);
    let mut client = Client::open(&held, &[]).await;
    let mut requests = Vec::new();
    for model in ["held", "many", "held", "many"] {
        client.send(&request(model, "a"));
        requests.push(executed(&mut held, &mut client).await);
    }
    assert_eq!(held.serving.inflight.requests(), 4);
    drop(client);
    assert!(requests.iter().all(|request| request.cancel().is_cancelled()));
    assert!(requests.iter().all(|request| request.responder().send(part(1, true)).is_gone()));
    assert_eq!((held.serving.inflight.requests(), held.serving.inflight.bytes()), (0, 0));
}

#[tokio::test]
async fn a_slow_client_bounds_what_its_stream_holds() {
    let mut held = Held::new(0, 0);
    let mut client = Client::open(&held, &[]).await;
    client.send(&request("many", "a"));
    let a = executed(&mut held, &mut client).await;
    for _ in 0..UNREAD_RESPONSES {
        assert!(a.responder().send(part(1, false)).is_taken());
    }
    let full = a.responder().send(part(1, false));
    assert!(matches!(full, Sent::Full(_)), "what is not read has to wait");
    assert_eq!(told(client.next().await), ok("a", 1, false));
    assert!(a.responder().send(part(1, false)).is_taken());
}

#[tokio::test]
async fn so_many_requests_of_a_stream_are_under_way_and_the_others_wait_with_the_client() {
    let mut held = Held::new(0, 0);
    let mut client = Client::open(&held, &[]).await;
    // Until an answer has told how long they are, they are taken to be long.
    for _ in 0..MOST_REQUESTS + 100 {
        client.send(&request("held", ""));
    }
    for _ in 0..10 * MOST_REQUESTS {
        assert!(client.is_waiting());
        tokio::task::yield_now().await;
    }
    assert_eq!(held.serving.inflight.requests(), 64);
    let first = executed(&mut held, &mut client).await;
    assert!(first.responder().send(part(1, true)).is_taken());
    drop(first);
    assert_eq!(told(client.next().await), ok("", 1, true));
    client.send(&request("held", ""));
    assert!(client.is_waiting());
    // A task may do only so much at a time.
    while held.serving.inflight.requests() < MOST_REQUESTS {
        tokio::task::yield_now().await;
        assert!(client.is_waiting());
    }
    for _ in 0..10 {
        tokio::task::yield_now().await;
        assert!(client.is_waiting());
    }
    assert_eq!(held.serving.inflight.requests(), MOST_REQUESTS);
    for _ in 0..MOST_REQUESTS + 100 {
        let request = executed(&mut held, &mut client).await;
        assert!(request.responder().send(part(1, true)).is_taken());
        assert_eq!(told(client.next().await), ok("", 1, true));
        // Besides those whose answers are on their way to the client.
        assert!(held.serving.inflight.requests() <= MOST_REQUESTS + 2);
    }
    assert_eq!(client.end().await.0, "0");
}

#[tokio::test]
async fn each_request_of_a_stream_counts_as_in_flight_until_its_client_has_the_answer() {
    let mut held = Held::new(2, 0);
    let mut client = Client::open(&held, &[]).await;
    assert!(client.is_waiting());
    let inflight = |held: &Held| (held.serving.inflight.requests(), held.serving.inflight.bytes());
    assert_eq!(inflight(&held), (0, 0), "a stream by itself is none");
    let size = framed(&request("held", "a").encode_to_vec()).len();
    client.send(&request("held", "a"));
    let first = executed(&mut held, &mut client).await;
    client.send(&request("many", "b"));
    let second = executed(&mut held, &mut client).await;
    assert_eq!(inflight(&held), (2, 2 * size));
    client.send(&request("many", "c"));
    assert!(client.is_waiting(), "the refusal comes in its turn");
    assert!(first.responder().send(part(100_000, true)).is_taken());
    // The first piece of the answer.
    poll_fn(|cx| Pin::new(&mut client.responses).poll_frame(cx)).await.unwrap().unwrap().into_data().unwrap();
    let (requests, bytes) = inflight(&held);
    assert!(requests >= 2 && bytes > 100_000, "{requests} {bytes}");
    while let Poll::Ready(Some(_)) =
        Pin::new(&mut client.responses).poll_frame(&mut Context::from_waker(Waker::noop()))
    {}
    assert_eq!(inflight(&held), (1, size));
    drop(second);
    drop(client);
    assert_eq!(inflight(&held), (0, 0));
}

#[tokio::test]
async fn a_request_of_a_stream_that_would_be_too_many_in_flight_is_refused_and_the_stream_goes_on() {
    let mut held = Held::new(1, 0);
    let mut client = Client::open(&held, &[]).await;
    client.send(&request("many", "a"));
    let a = executed(&mut held, &mut client).await;
    client.send(&request("many", "b"));
    let (id, outcome, last) = told(client.next().await);
    assert!(id == "b" && last && outcome.unwrap_err().contains("--max-inflight-requests"));
    assert!(a.responder().send(part(1, true)).is_taken());
    assert_eq!(told(client.next().await), ok("a", 1, true));
    assert!(client.is_waiting());
    client.send(&request("many", "c"));
    executed(&mut held, &mut client).await;
    let (id, outcome, _) = told(client.next().await);
    assert!(id == "c" && outcome.unwrap_err().contains("gave up the request unanswered"));
    assert_eq!(client.end().await.0, "0");
}

#[tokio::test]
async fn a_stream_of_more_bytes_than_may_be_in_flight_ends_with_unavailable() {
    let held = Held::new(0, 1000);
    let mut client = Client::open(&held, &[]).await;
    client.send_bytes(&framed(&[0; 1000]));
    let (code, message) = client.status().await;
    assert!(code == "14" && message.contains("--max-inflight-bytes"), "{code} {message}");
    assert_eq!(held.serving.inflight.bytes(), 0);
}

#[tokio::test]
async fn what_is_no_request_ends_the_stream() {
    let mut held = Held::new(0, 0);
    let mut client = Client::open(&held, &[]).await;
    client.send(&request("held", "a"));
    let a = executed(&mut held, &mut client).await;
    client.send_bytes(&framed(&[255, 255, 255]));
    assert_eq!(client.status().await.0, "13");
    assert!(a.cancel().is_cancelled());
}

#[tokio::test]
async fn at_the_exit_a_stream_is_answered_what_it_has_begun_and_ends() {
    let mut held = Held::new(0, 0);
    let mut client = Client::open(&held, &[]).await;
    client.send(&request("held", "a"));
    let a = executed(&mut held, &mut client).await;
    client.send(&request("many", "b"));
    let b = executed(&mut held, &mut client).await;
    held.serving.enter(Stage::Exiting);
    assert!(client.is_waiting());
    assert!(b.responder().send(part(1, false)).is_taken());
    assert_eq!(told(client.next().await), ok("b", 1, false));
    assert!(a.responder().send(part(2, true)).is_taken());
    assert_eq!(told(client.next().await), ok("a", 2, true));
    assert!(client.is_waiting());
    assert!(b.responder().send(part(3, true)).is_taken());
    assert_eq!(told(client.next().await), ok("b", 3, true));
    assert_eq!(client.status().await, ("14".to_owned(), "Server%20exiting".to_owned()));
}
