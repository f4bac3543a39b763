//! Small HTTP/1.1 endpoints: health and metrics.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::accept::accept;
use super::bound::Bound;
use super::endpoint::{Endpoint, Orders};
use super::lifetime::{Age, drive};
use super::lingering::Lingering;

/// How many connections are served at a time.
const MAX_CONNECTIONS: usize = 256;
/// How long a client may take for the head of a request, and be silent between two.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// How large the head of a request may be.
const MAX_HEAD: usize = 64 << 10;
/// Connections do not grow old: a client that does not take its answer would hold one of the few for ever.
const AGE: Age = Age { limit: Some(Duration::from_secs(600)), grace: Some(Duration::from_secs(10)) };

/// Answers every request on `bound` with what `handler` makes of it, until the returned handle says otherwise.
///
/// A HEAD request reaches the handler as a GET; the body of the answer is then left out.
///
/// # Errors
///
/// The runtime does not take the socket.
pub fn serve_http<H, F>(bound: Bound, handler: H) -> io::Result<Endpoint>
where
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let (endpoint, orders) = Endpoint::new(bound.local_addr());
    let socket = bound.into_socket()?;
    let handler = Arc::new(handler);
    let serve = move |stream, orders| talk(stream, Arc::clone(&handler), orders);
    tokio::spawn(accept(socket, MAX_CONNECTIONS, orders, serve));
    Ok(endpoint)
}

async fn talk<H, F>(stream: TcpStream, handler: Arc<H>, orders: Orders)
where
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let service = service_fn(|mut request: Request<Incoming>| {
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
    if let Some(Err(error)) = drive(pin!(connection), farewell, std::future::pending(), orders, AGE).await {
        tracing::debug!("an HTTP connection failed: {error}");
    }
}
