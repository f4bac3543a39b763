//! A service whose calls the test holds by a gate, and a bare HTTP/2 client.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::body::Body;
use tower_service::Service;

use crate::net::{Bound, Deadline, Endpoint, GrpcOptions, serve_grpc};
use crate::settings::{Compression, Grpc, Host, Limits, Listener};

/// The settings of a gRPC port as they are by default, on a free port.
pub(super) fn settings() -> Grpc {
    Grpc {
        listener: listener("127.0.0.1", 0),
        tls: None,
        response_compression: Compression::None,
        keepalive_time: Duration::from_secs(7200),
        keepalive_timeout: Duration::from_secs(20),
        max_connection_age: None,
        max_connection_age_grace: None,
    }
}

/// The limits as they are by default.
pub(super) fn limits() -> Limits {
    Limits {
        inflight_requests: None,
        inflight_bytes: None,
        connections: NonZeroUsize::new(65_536).unwrap(),
        streams_per_connection: NonZeroU32::new(4_096).unwrap(),
    }
}

pub(super) fn listener(host: &str, port: u16) -> Listener {
    Listener { enabled: true, host: host.parse::<Host>().unwrap(), port }
}

pub(super) fn bind() -> Bound {
    Bound::bind(&listener("127.0.0.1", 0), "grpc").unwrap()
}

/// A gRPC port with those settings, and the gate of its calls.
pub(super) fn start(settings: &Grpc) -> (Endpoint, Gate) {
    start_within(settings, &limits())
}

/// The same with limits of the test's own.
pub(super) fn start_within(settings: &Grpc, limits: &Limits) -> (Endpoint, Gate) {
    let gate = Gate::default();
    let service = Deadline::new(TestService { gate: gate.clone() });
    let bound = Bound::bind(&settings.listener, "grpc").unwrap();
    (serve_grpc(bound, service, GrpcOptions::new(settings, limits).unwrap()).unwrap(), gate)
}

/// What must come about soon.
#[track_caller]
pub(super) fn within<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        let limit = Duration::from_secs(30);
        tokio::time::timeout(limit, future).await.unwrap_or_else(|_| panic!("took too long: {caller}"))
    }
}

/// Holds calls of `/wait` and `/stream`, and counts them.
#[derive(Clone)]
pub(super) struct Gate {
    open: watch::Sender<bool>,
    entered: watch::Sender<usize>,
    left: watch::Sender<usize>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { open: watch::Sender::new(false), entered: watch::Sender::new(0), left: watch::Sender::new(0) }
    }
}

impl Gate {
    /// Lets all calls of `/wait` go.
    pub(super) fn open(&self) {
        self.open.send_replace(true);
    }

    /// Waits until so many calls have come in.
    pub(super) async fn entered(&self, count: usize) {
        within(self.entered.subscribe().wait_for(|n| *n >= count)).await.unwrap();
    }

    /// Waits until every call that came in has ended or was dropped.
    pub(super) async fn empty(&self) {
        let mut left = self.left.subscribe();
        within(left.wait_for(|n| *n == *self.entered.borrow())).await.unwrap();
    }

    /// How many calls have come in.
    pub(super) fn count(&self) -> usize {
        *self.entered.borrow()
    }

    pub(super) async fn pass(&self) {
        let _inside = self.enter();
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
    }

    pub(super) fn enter(&self) -> Inside {
        self.entered.send_modify(|n| *n += 1);
        Inside(self.clone())
    }
}

/// A call that is under way.
pub(super) struct Inside(Gate);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.left.send_modify(|n| *n += 1);
    }
}

/// Answers `/wait` once the gate is open, `/stream` with one message and then nothing more, and anything else
/// with what was sent.
#[derive(Clone)]
pub(super) struct TestService {
    pub(super) gate: Gate,
}

impl Service<Request<Incoming>> for TestService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let gate = self.gate.clone();
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            if path == "/stream" {
                return Ok(Response::new(Body::new(Endless { first: true, _inside: gate.enter() })));
            }
            let data = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            if path == "/wait" {
                gate.pass().await;
            }
            Ok(Response::new(Body::new(Full::new(data).with_trailers(async { Some(Ok(ok())) }))))
        })
    }
}

fn ok() -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))])
}

/// One message and no end.
pub(super) struct Endless {
    pub(super) first: bool,
    pub(super) _inside: Inside,
}

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !std::mem::take(&mut self.first) {
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"first")))))
    }
}

/// A client's connection.
pub(super) struct Client {
    pub(super) requests: SendRequest<Bytes>,
    /// How the connection ended.
    pub(super) end: JoinHandle<Result<(), h2::Error>>,
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) data: Vec<u8>,
    pub(super) trailers: Option<HeaderMap>,
}

impl Client {
    pub(super) async fn connect(addr: SocketAddr) -> Self {
        Self::over(within(TcpStream::connect(addr)).await.unwrap()).await.unwrap()
    }

    pub(super) async fn over<IO>(io: IO) -> Result<Self, h2::Error>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(32 << 20).initial_connection_window_size(32 << 20);
        let (requests, connection) = within(builder.handshake(io)).await?;
        Ok(Self { requests, end: tokio::spawn(connection) })
    }

    /// A call that was sent whole, to be awaited.
    pub(super) async fn send(
        &self,
        request: Request<()>,
        data: Vec<u8>,
    ) -> Result<h2::client::ResponseFuture, h2::Error> {
        let mut ready = within(self.requests.clone().ready()).await?;
        let (answer, mut stream) = ready.send_request(request, false)?;
        stream.send_data(data.into(), true)?;
        Ok(answer)
    }

    pub(super) async fn call(&self, path: &str, data: Vec<u8>) -> Result<Answer, h2::Error> {
        read(self.send(request(path), data).await?).await
    }

    /// Whether the connection does its work.
    pub(super) async fn echoes(&self) -> bool {
        let answer = self.call("/echo", b"hello".to_vec()).await;
        answer.is_ok_and(|answer| answer.data == b"hello" && answer.status() == Some("0"))
    }
}

/// The rest of an answer.
pub(super) async fn read(answer: h2::client::ResponseFuture) -> Result<Answer, h2::Error> {
    let (head, mut body) = within(answer).await?.into_parts();
    let mut data = Vec::new();
    while let Some(chunk) = within(body.data()).await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        data.extend_from_slice(&chunk);
    }
    Ok(Answer { headers: head.headers, data, trailers: within(body.trailers()).await? })
}

impl Answer {
    pub(super) fn status(&self) -> Option<&str> {
        let trailers = self.trailers.as_ref().unwrap_or(&self.headers);
        trailers.get("grpc-status").and_then(|status| status.to_str().ok())
    }
}

pub(super) fn request(path: &str) -> Request<()> {
    Request::post(format!("http://localhost{path}")).body(()).unwrap()
}

/// An address on which nobody listens any more, as soon as that is so.
pub(super) async fn refused(addr: SocketAddr) {
    within(async {
        while TcpStream::connect(addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

pub(super) fn loopback(addr: SocketAddr) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, addr.port()))
}
