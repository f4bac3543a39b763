//! The gRPC port: HTTP/2 with prior knowledge, or under TLS.

use std::convert::Infallible;
use std::io;
use std::num::NonZeroU32;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;
use tower_service::Service;

use super::accept::{Beyond, Places, accept};
use super::activity::{Activity, Counted};
use super::bound::Bound;
use super::endpoint::{Endpoint, Orders};
use super::impatient::Impatient;
use super::lifetime::{Age, drive};
use super::lingering::Lingering;
use super::peer::{Introduced, Peer};
use super::tls::{self, TlsError};
use crate::settings::{Grpc, Limits};

/// The largest frame that a client may send: with 16 KiB, HTTP/2's default, large tensors cost twice as much.
const MAX_FRAME: u32 = 1 << 20;
/// How much of one request, and of a connection, may be under way before it is read. Nothing is allocated for
/// it, but a client whose requests nobody reads can make us hold a connection's window of data, and no more.
const STREAM_WINDOW: u32 = 16 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;
/// How much of one answer is buffered while the client does not take it.
const SEND_BUFFER: usize = 1 << 20;
/// How large the headers of one request may be, as HTTP/2 counts them.
const MAX_HEADERS: u32 = 64 << 10;
/// How many frames may come, over the life of a connection, for requests that were answered or cancelled long
/// ago. Every upload that outlives its deadline can leave one.
const MAX_LATE_FRAMES: usize = 1 << 16;
/// What every client sends at once: the preface and the head of its settings.
const FIRST_BYTES: usize = 24 + 9;
/// How long a client has to send that, and before that to shake hands.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// As in gRPC, so long a keep-alive time means none.
const NO_KEEPALIVE: Duration = Duration::from_millis(i32::MAX as u64);

/// How the gRPC port is served.
#[derive(Clone)]
pub(crate) struct GrpcOptions {
    tls: Option<TlsAcceptor>,
    keepalive_time: Duration,
    keepalive_timeout: Duration,
    age: Age,
    handshake_limit: Duration,
    places: Places,
    /// How many calls one connection may have in flight.
    streams: NonZeroU32,
    /// Whether calls are told whom they come from.
    tells_peers: bool,
}

impl GrpcOptions {
    /// What the settings ask for; reads the files that TLS needs.
    pub(crate) fn new(settings: &Grpc, limits: &Limits) -> Result<Self, TlsError> {
        Ok(Self {
            tls: settings.tls.as_ref().map(tls::acceptor).transpose()?,
            keepalive_time: settings.keepalive_time,
            keepalive_timeout: settings.keepalive_timeout.min(NO_KEEPALIVE),
            age: Age { limit: settings.max_connection_age, grace: settings.max_connection_age_grace },
            handshake_limit: HANDSHAKE_LIMIT,
            places: Places { limit: limits.connections.get(), beyond: Beyond::IsClosed },
            streams: limits.streams_per_connection,
            tells_peers: false,
        })
    }

    /// The same; if wanted, every request has a [`Peer`] among its extensions, which costs it an allocation.
    pub(crate) fn telling_peers(self, tells_peers: bool) -> Self {
        Self { tells_peers, ..self }
    }

    fn http(&self) -> http2::Builder<TokioExecutor> {
        let streams = self.streams.get();
        // How many calls may have been cancelled between two looks at a connection: a client may cancel all that it has
        // in flight, but one that goes on and on (rapid reset) is told to calm down.
        let pending_resets = streams as usize;
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_frame_size(MAX_FRAME)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_concurrent_streams(streams)
            .max_header_list_size(MAX_HEADERS)
            .max_pending_accept_reset_streams(pending_resets)
            .max_local_error_reset_streams(MAX_LATE_FRAMES)
            .auto_date_header(false);
        if self.keepalive_time < NO_KEEPALIVE {
            http.keep_alive_interval(self.keepalive_time).keep_alive_timeout(self.keepalive_timeout);
        }
        http
    }
}

/// Serves gRPC on `bound` until the returned handle says otherwise.
///
/// `service` is cloned for every request; dropping the future that it returns is how a request is cancelled,
/// by the client, by [`Deadline`](super::Deadline) or by the end of its connection.
///
/// # Errors
///
/// The runtime does not take the socket.
pub(crate) fn serve_grpc<S>(bound: Bound, service: S, options: GrpcOptions) -> io::Result<Endpoint>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let (endpoint, orders) = Endpoint::new(bound.local_addr());
    let socket = bound.into_socket()?;
    let places = options.places;
    let serving = Arc::new(Port { http: options.http(), service, options });
    let serve = move |stream, orders| Arc::clone(&serving).serve(stream, orders);
    tokio::spawn(accept(socket, places, orders, serve));
    Ok(endpoint)
}

/// What the connections of a port share.
struct Port<S> {
    http: http2::Builder<TokioExecutor>,
    service: S,
    options: GrpcOptions,
}

impl<S> Port<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
{
    async fn serve(self: Arc<Self>, stream: TcpStream, mut orders: Orders) {
        let address = if self.options.tells_peers { stream.peer_addr().ok() } else { None };
        let peer = address.map(Peer);
        let Some(tls) = &self.options.tls else { return self.talk(stream, peer, orders).await };
        let handshake = tokio::time::timeout(self.options.handshake_limit, tls.accept(stream));
        let shaken = tokio::select! {
            biased;
            () = orders.drain() => return,
            shaken = handshake => shaken,
        };
        match shaken {
            Ok(Ok(stream)) => Box::pin(self.talk(stream, peer, orders)).await,
            Ok(Err(error)) => tracing::debug!("a TLS handshake failed: {error}"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn talk<IO>(&self, io: IO, peer: Option<Peer>, orders: Orders)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Activity::default();
        let io = Impatient::new(io, FIRST_BYTES, self.options.handshake_limit, activity.clone());
        let service = Introduced::new(TowerToHyperService::new(self.service.clone()), peer);
        let service = Counted::new(service, activity.clone());
        let connection = pin!(self.http.serve_connection(TokioIo::new(Lingering::new(io)), service));
        let farewell = |connection: Pin<&mut http2::Connection<_, _, _>>| {
            connection.graceful_shutdown();
            // Who has said nothing yet has nothing in flight, and would not hear the farewell either.
            activity.has_peer_spoken()
        };
        match drive(connection, farewell, activity.quiet(), orders.clone(), self.options.age).await {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::debug!("a gRPC connection failed: {error}"),
            None => orders.lose(activity.calls()),
        }
    }
}
