use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use tokio::sync::mpsc::Receiver;
use tonic::Status;

use super::request::Shares;

/// A message of the answer as it goes, and what accounts for it until the client has taken it.
pub(super) struct Outgoing {
    pieces: VecDeque<Bytes>,
    _shares: Shares,
}

impl Outgoing {
    pub(super) fn new(pieces: VecDeque<Bytes>, shares: Shares) -> Outgoing {
        Outgoing { pieces, _shares: shares }
    }
}

/// The answer to a stream. It drives the stream when it is polled, which is when the client has room for more.
pub(super) struct StreamBody<D> {
    /// Until it has come to its end.
    driver: Option<Pin<Box<D>>>,
    messages: Receiver<Outgoing>,
    /// The rest of the message that is being sent.
    going: Option<Outgoing>,
    /// How the stream ends, until the client is told.
    end: Option<Status>,
}

impl<D> StreamBody<D> {
    /// What `driver` sends to `messages`, and how it ends.
    pub(super) fn new(driver: Pin<Box<D>>, messages: Receiver<Outgoing>) -> StreamBody<D> {
        StreamBody { driver: Some(driver), messages, going: None, end: None }
    }
}

impl<D> StreamBody<D>
where
    D: Future<Output = Result<(), Status>>,
{
    /// The next message; `None` when there will be none.
    ///
    /// Only the driver sends, so that looking is enough, and there is nothing to wait for here. Waiting would come to no
    /// end either once the task has done as much as it may at a time: tokio then gives out no message until it has rested.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Outgoing>> {
        if let Ok(message) = self.messages.try_recv() {
            return Poll::Ready(Some(message));
        }
        let Some(driver) = &mut self.driver else { return Poll::Ready(None) };
        let polled = driver.as_mut().poll(cx);
        if let Poll::Ready(end) = polled {
            self.end = Some(end.err().unwrap_or_else(|| Status::ok("")));
            self.driver = None;
            return Poll::Ready(self.messages.try_recv().ok());
        }
        self.messages.try_recv().map_or(Poll::Pending, |message| Poll::Ready(Some(message)))
    }
}

impl<D> Body for StreamBody<D>
where
    D: Future<Output = Result<(), Status>>,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if let Some(piece) = self.going.as_mut().and_then(|going| going.pieces.pop_front()) {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            self.going = None;
            match self.poll_message(cx) {
                Poll::Ready(Some(message)) => self.going = Some(message),
                Poll::Ready(None) => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        let Some(status) = self.end.take() else { return Poll::Ready(None) };
        let mut trailers = HeaderMap::with_capacity(2);
        Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.driver.is_none() && self.end.is_none() && self.going.is_none() && self.messages.is_empty()
    }
}
