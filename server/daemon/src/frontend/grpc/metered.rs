//! The body of a call, whose bytes are counted as they come.

use std::borrow::Borrow;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tonic::Status;

use super::status;
use crate::inflight::Share;

/// Passes a body on and counts its bytes, which end the call with UNAVAILABLE when they are too many. What a client
/// announces counts for nothing. Of a stream of messages, all count until the call has ended; only reflection has one yet.
///
/// `S` is the call's share, or an `Arc` of it where the call outlives its body.
pub(super) struct Metered<B, S> {
    body: B,
    share: S,
}

impl<B, S> Metered<B, S> {
    pub(super) fn new(body: B, share: S) -> Self {
        Self { body, share }
    }
}

impl<B, S> Body for Metered<B, S>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    S: Borrow<Share> + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        polled.map(|frame| {
            let frame = match frame? {
                Ok(frame) => frame,
                Err(error) => return Some(Err(Status::from_error(error.into()))),
            };
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            let counted = self.share.borrow().add(bytes);
            Some(counted.map(|()| frame).map_err(|full| status::of_full(&full)))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
