//! Small HTTP/1.1 endpoints: health and metrics.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::task::coop::unconstrained;

use super::accept::{Beyond, Places, accept};
use super::bound::Bound;
use super::endpoint::{Endpoint, Orders};
use super::lifetime::{Age, drive};
use super::lingering::Lingering;

/// What connections get by default.
const LIMITS: Limits = Limits { connections: 4096, first_head: Duration::from_secs(3) };
/// How long a client may take for the head of a later request, and be silent between two.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// How large the head of a request may be.
const MAX_HEAD: usize = 64 << 10;
/// Connections do not grow old: a client that does not take its answer would hold one of the few for ever.
const AGE: Age = Age { limit: Some(Duration::from_secs(600)), grace: Some(Duration::from_secs(10)) };

/// What connections get.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// How many are served at a time.
    pub(super) connections: usize,
    /// How long a client may take for the head of its first request. Those who come and say nothing must not keep the
    /// places from probes for long.
    pub(super) first_head: Duration,
}

/// Answers every request on `bound` with what `handler` makes of it, until the returned handle says otherwise.
///
/// A HEAD request reaches the handler as a GET; the body of the answer is then left out.
///
/// # Errors
///
/// The runtime does not take the socket.
pub(crate) fn serve_http<H, F>(bound: Bound, handler: H) -> io::Result<Endpoint>
where
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    serve_within(LIMITS, bound, handler)
}

/// The same within other limits.
pub(super) fn serve_within<H, F>(limits: Limits, bound: Bound, handler: H) -> io::Result<Endpoint>
where
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let (endpoint, orders) = Endpoint::new(bound.local_addr());
    let socket = bound.into_socket()?;
    let handler = Arc::new(handler);
    let serve = move |stream, orders| talk(stream, Arc::clone(&handler), limits.first_head, orders);
    let places = Places { limit: limits.connections, beyond: Beyond::Waits };
    tokio::spawn(accept(socket, places, orders, serve));
    Ok(endpoint)
}

async fn talk<H, F>(stream: TcpStream, handler: Arc<H>, first_head: Duration, orders: Orders)
where
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let asked = AtomicBool::new(false);
    let service = service_fn(|mut request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        if request.method() == Method::HEAD {
            *request.method_mut() = Method::GET;
        }
        let answer = handler(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(Lingering::new(stream)), service);
    let farewell = |connection: Pin<&mut http1::Connection<_, _>>| {
        connection.graceful_shutdown();
        true
    };
    let silent = async {
        tokio::time::sleep(first_head).await;
        if asked.load(Ordering::Relaxed) {
            std::future::pending().await
        }
    };
    let connection = pin!(connection);
    tokio::select! {
        biased;
        ended = drive(connection, farewell, std::future::pending(), orders, AGE) => {
            if let Some(Err(error)) = ended {
                tracing::debug!("an HTTP connection failed: {error}");
            }
        }
        () = unconstrained(silent) => tracing::debug!("an HTTP client asked nothing"),
    }
}
