//! The deadline of a call: the client's `grpc-timeout`.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};
use tonic::body::Body;
use tonic::{Code, Status};
use tower_service::Service;

/// Ends calls at their deadline: the future, or the answer's stream, of the service within is dropped, and the
/// client hears DEADLINE_EXCEEDED, also if an answer comes at that very moment: by its own clock it has given up.
/// Calls without a deadline pay for a look at their headers. The service finds the others' in a [`CallDeadline`].
///
/// A `grpc-timeout` that cannot be read sets no deadline, as in gRPC's C++ server. One of 0 has passed already,
/// so that the service is not called. An answer that waits for the client to take what was sent is not looked
/// at, and ends at the first look after the deadline.
#[derive(Debug, Clone)]
pub(crate) struct Deadline<S> {
    inner: S,
}

/// When the client gives up waiting: an extension of the requests of calls that have a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallDeadline(pub std::time::Instant);

impl CallDeadline {
    /// The deadline of the call with these extensions, if it has one.
    pub(crate) fn of(extensions: &Extensions) -> Option<std::time::Instant> {
        extensions.get::<Self>().map(|deadline| deadline.0)
    }
}

impl<S> Deadline<S> {
    /// Gives the calls of `inner` their deadlines.
    pub(crate) fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S, B> Service<Request<B>> for Deadline<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Some(timeout) = request.headers().get("grpc-timeout").and_then(parse) else {
            return DeadlineFuture { call: Some(self.inner.call(request)), limit: None };
        };
        let deadline = Instant::now().checked_add(timeout);
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(CallDeadline(deadline.into_std()));
        }
        let limit = deadline.map(tokio::time::sleep_until);
        let call = (!timeout.is_zero()).then(|| self.inner.call(request));
        DeadlineFuture { call, limit }
    }
}

pin_project! {
    /// What [`Deadline`] makes of a service's future.
    pub struct DeadlineFuture<F> {
        // Nothing if the deadline has passed.
        #[pin]
        call: Option<F>,
        #[pin]
        limit: Option<Sleep>,
    }
}

impl<F, E> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        if let Some(call) = this.call.as_mut().as_pin_mut() {
            let deadline = this.limit.as_ref().as_pin_ref().map(|limit| limit.deadline());
            match call.poll(cx) {
                Poll::Ready(answer) if deadline.is_none_or(|deadline| Instant::now() < deadline) => {
                    return Poll::Ready(answer.map(|answer| DeadlineBody::wrap(answer, deadline)));
                }
                // Too late.
                Poll::Ready(_) => {}
                Poll::Pending => match this.limit.as_pin_mut() {
                    Some(limit) => ready!(limit.poll(cx)),
                    None => return Poll::Pending,
                },
            }
            // The service hears of it now, and not only once the answer has been written.
            this.call.set(None);
        }
        Poll::Ready(Ok(exceeded().into_http()))
    }
}

pin_project! {
    /// The body of an answer, to be ended at the deadline of its call.
    pub struct DeadlineBody {
        // Nothing if the deadline has passed.
        #[pin]
        body: Option<Body>,
        #[pin]
        limit: Sleep,
    }
}

impl DeadlineBody {
    fn wrap(answer: Response<Body>, deadline: Option<Instant>) -> Response<Body> {
        match deadline {
            Some(deadline) if !http_body::Body::is_end_stream(answer.body()) => answer
                .map(|body| Body::new(Self { body: Some(body), limit: tokio::time::sleep_until(deadline) })),
            _ => answer,
        }
    }
}

impl http_body::Body for DeadlineBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut this = self.project();
        let Some(body) = this.body.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        // Asking the clock is enough for an answer that is there; only who has to wait arms the timer.
        if Instant::now() < this.limit.deadline() {
            match body.poll_frame(cx) {
                Poll::Ready(frame) => return Poll::Ready(frame),
                Poll::Pending => ready!(this.limit.poll(cx)),
            }
        }
        this.body.set(None);
        let mut trailers = HeaderMap::with_capacity(2);
        Poll::Ready(Some(exceeded().add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }
}

fn exceeded() -> Status {
    Status::new(Code::DeadlineExceeded, "Deadline Exceeded")
}

/// Reads digits and a unit. More digits than the 8 of the protocol are taken too: some clients send them.
fn parse(value: &HeaderValue) -> Option<Duration> {
    let (unit, digits) = value.as_bytes().split_last()?;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(number.checked_mul(3600)?),
        b'M' => Duration::from_secs(number.checked_mul(60)?),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_what_cannot_be_read_sets_no_deadline() {
        let read = |text: &str| parse(&HeaderValue::from_str(text).unwrap());
        for (text, expected) in [
            ("3H", Some(Duration::from_secs(10_800))),
            ("1M", Some(Duration::from_secs(60))),
            ("42S", Some(Duration::from_secs(42))),
            ("13m", Some(Duration::from_millis(13))),
            ("2u", Some(Duration::from_micros(2))),
            ("82n", Some(Duration::from_nanos(82))),
            ("0S", Some(Duration::ZERO)),
            ("99999999H", Some(Duration::from_secs(359_999_996_400))),
            ("172800000m", Some(Duration::from_secs(172_800))),
            ("18446744073709551615H", None),
            ("99999999999999999999S", None),
            ("", None),
            ("S", None),
            ("5", None),
            ("+5S", None),
            ("-5S", None),
            ("1.5S", None),
            ("5 S", None),
            ("5s", None),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        assert_eq!(parse(&HeaderValue::from_bytes(b"5\xff").unwrap()), None);
    }
}
