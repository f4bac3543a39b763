//! Deadlines, on paused time where no socket is needed.

use std::convert::Infallible;
use std::future::{Pending, pending};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt;
use tokio::time::Instant;
use tonic::body::Body;
use tower_service::Service;

use super::support::{Client, Endless, Gate, read, request, settings, start};
use crate::net::{CallDeadline, Deadline};

/// Answers once the gate is open with a stream that does not end, or never comes to it.
#[derive(Clone, Default)]
struct Slow(Gate);

impl Service<Request<()>> for Slow {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        let gate = self.0.clone();
        Box::pin(async move {
            gate.pass().await;
            Ok(Response::new(Body::new(Endless { first: true, _inside: gate.enter() })))
        })
    }
}

/// Notes the deadline that it sees.
#[derive(Clone, Default)]
struct Watchful(Arc<OnceLock<Option<std::time::Instant>>>);

impl Service<Request<()>> for Watchful {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pending<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        self.0.set(CallDeadline::of(request.extensions())).unwrap();
        pending()
    }
}

fn call(slow: &Slow, timeout: &'static str) -> impl Future<Output = Response<Body>> {
    let mut request = request("/");
    request.headers_mut().insert("grpc-timeout", HeaderValue::from_static(timeout));
    let call = Deadline::new(slow.clone()).call(request);
    async { call.await.unwrap() }
}

#[tokio::test(start_paused = true)]
async fn at_its_deadline_a_call_is_dropped_and_answered_without_a_body() {
    let slow = Slow::default();
    let start = Instant::now();
    let answer = call(&slow, "1500m").await;
    assert_eq!(start.elapsed(), Duration::from_millis(1500));
    slow.0.empty().await;
    assert_eq!(answer.headers()["grpc-status"], "4");
    assert_eq!(answer.headers()["grpc-message"], "Deadline%20Exceeded");
    assert_eq!(answer.headers()["content-type"], "application/grpc");
    assert!(http_body::Body::is_end_stream(answer.body()));
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_answers_ends_at_the_deadline_with_its_trailers() {
    let slow = Slow::default();
    slow.0.open();
    let start = Instant::now();
    let mut body = call(&slow, "2S").await.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
    let trailers = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "4");
    assert_eq!(start.elapsed(), Duration::from_secs(2));
    slow.0.empty().await;
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_after_the_deadline_is_too_late_whatever_it_says() {
    let slow = Slow::default();
    slow.0.open();
    for (timeout, status) in [("2S", "4"), ("3S", "0")] {
        // The service is ready when it is first asked, and that is after two seconds.
        let answer = call(&slow, timeout);
        tokio::time::advance(Duration::from_secs(2)).await;
        let answer = answer.await;
        assert_eq!(
            answer.headers().get("grpc-status").map_or("0", |status| status.to_str().unwrap()),
            status
        );
    }
    slow.0.empty().await;
}

#[tokio::test(start_paused = true)]
async fn the_service_sees_the_deadline_of_its_call() {
    let now = Instant::now().into_std();
    let deadline = |timeout: Option<&'static str>| {
        let mut request = request("/");
        if let Some(timeout) = timeout {
            request.headers_mut().insert("grpc-timeout", HeaderValue::from_static(timeout));
        }
        let watchful = Watchful::default();
        drop(Deadline::new(watchful.clone()).call(request));
        watchful.0.get().copied().unwrap()
    };
    assert_eq!(deadline(Some("1H")), Some(now + Duration::from_secs(3600)));
    assert_eq!(deadline(Some("rubbish")), None);
    assert_eq!(deadline(None), None);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_of_nothing_has_passed_before_the_service_is_called() {
    let slow = Slow::default();
    assert_eq!(call(&slow, "0m").await.headers()["grpc-status"], "4");
    assert_eq!(slow.0.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_longest_deadline_and_one_that_cannot_be_read_are_none() {
    for timeout in ["99999999H", "18446744073709551615S", "rubbish"] {
        let slow = Slow::default();
        let waiting = tokio::time::timeout(Duration::from_secs(1_000_000), call(&slow, timeout));
        assert!(waiting.await.is_err(), "{timeout}");
    }
}

#[tokio::test]
async fn over_a_connection_a_late_call_hears_of_its_deadline_and_others_go_on() {
    let (endpoint, gate) = start(&settings());
    let client = Client::connect(endpoint.local_addr()).await;
    for path in ["/wait", "/stream"] {
        let mut late = request(path);
        late.headers_mut().insert("grpc-timeout", HeaderValue::from_static("20m"));
        let answer = read(client.send(late, vec![1; 100_000]).await.unwrap()).await.unwrap();
        assert_eq!(answer.status(), Some("4"), "{path}");
        gate.empty().await;
    }
    assert!(client.echoes().await);
}
