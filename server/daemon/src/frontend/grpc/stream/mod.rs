//! ModelStreamInfer: requests on a stream, and their responses on another.
//!
//! ```text
//! Messages ──▶ Driver::begin ──▶ the model's queue ──▶ ordinary: InOrder ──▶ Outgoing ──▶ StreamBody
//!                                                 └──▶ decoupled: Room, as they come ──▶─┘
//! ```
//!
//! All of it happens within the poll of the answer's body, which the connection polls when the client has room for more: a
//! client that does not read keeps requests from being read and models from sending, and what the stream holds is bounded.
//! When the body is dropped, everything that is under way is cancelled.

mod body;
mod driver;
mod in_order;
mod messages;
mod request;

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::Body as HttpBody;
use tokio::sync::mpsc;
use tonic::body::Body;

use super::compression::Encoding;
use super::infer::CallOptions;
use crate::serving::Serving;
use body::StreamBody;
use driver::Driver;
#[cfg(test)]
pub(super) use driver::{MOST_REQUESTS, UNREAD_RESPONSES};
use messages::Messages;

/// A client that sets this header to `true` has the stream end with the status of its first failure; all others are told
/// of failures in a response, and the stream goes on.
const GRPC_ERROR: &str = "triton_grpc_error";

/// Begins the answer to a stream of requests.
pub(super) fn call<B>(serving: &Arc<Serving>, request: Request<B>, options: CallOptions) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (parts, body) = request.into_parts();
    let sent = match Encoding::of_request(&parts.headers) {
        Ok(encoding) => encoding,
        Err(status) => return status.into_http(),
    };
    let encoding = if options.compress { Encoding::accepted(&parts.headers) } else { None };
    let ends_at_failure =
        parts.headers.get(GRPC_ERROR).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
    let messages = Messages::new(body, sent, &serving.inflight, options.limit);
    let (out, responses) = mpsc::channel(1);
    let head = Request::from_parts(parts, ());
    let driver = Driver::new(Arc::clone(serving), head, out, encoding, options.limit);
    let driver = driver.ending_at_failure(ends_at_failure);
    let mut response = Response::new(Body::new(StreamBody::new(Box::pin(driver.drive(messages)), responses)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    if let Some(encoding) = encoding {
        response.headers_mut().insert("grpc-encoding", encoding.header());
    }
    response
}
