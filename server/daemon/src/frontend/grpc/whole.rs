//! Messages that are passed on when they are there in full.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use pin_project_lite::pin_project;
use tonic::Status;

use super::incoming::{self, PREFIX};

pin_project! {
    /// Holds a message back until all of it has come.
    ///
    /// tonic sets memory aside for a message as soon as it has read the message's length, and a client may announce what
    /// it likes. From here it learns of a length only when as much has been sent.
    pub(super) struct Whole<B> {
        #[pin]
        inner: B,
        held: BytesMut,
        limit: usize,
    }
}

impl<B> Whole<B> {
    /// `limit` is the longest message, in bytes.
    pub(super) fn new(inner: B, limit: usize) -> Self {
        Self { inner, held: BytesMut::new(), limit }
    }
}

impl<B> Body for Whole<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut this = self.project();
        loop {
            if let Some(whole) = whole(this.held, *this.limit)? {
                return Poll::Ready(Some(Ok(Frame::data(this.held.split_to(whole).freeze()))));
            }
            let data = match ready!(this.inner.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(Status::from_error(error.into())))),
                None if this.held.is_empty() => return Poll::Ready(None),
                None => return Poll::Ready(Some(Err(incoming::ended()))),
            };
            if this.held.is_empty() && whole(&data, *this.limit)? == Some(data.len()) {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            this.held.extend_from_slice(&data);
        }
    }
}

/// The length, with its prefix, of the message that `held` begins with, if all of it is there.
fn whole(held: &[u8], limit: usize) -> Result<Option<usize>, Status> {
    let Some(prefix) = held.first_chunk() else { return Ok(None) };
    let (_, length) = incoming::announced(prefix, limit)?;
    let whole = PREFIX + length;
    Ok((held.len() >= whole).then_some(whole))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt, StreamBody};
    use tonic::Code;

    use super::*;

    /// What is passed on of `bytes` that come in pieces of so many: the messages, and how it ended.
    async fn passed_on(size: usize, bytes: &[u8]) -> (Vec<Vec<u8>>, Option<Status>) {
        let pieces: Vec<_> = bytes.chunks(size).map(Bytes::copy_from_slice).map(Frame::data).collect();
        let inner = StreamBody::new(tokio_stream::iter(pieces.into_iter().map(Ok::<_, Infallible>)));
        let mut body = Whole::new(inner, 1000);
        let mut messages = Vec::new();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => messages.push(frame.into_data().unwrap().to_vec()),
                Err(status) => return (messages, Some(status)),
            }
        }
        (messages, None)
    }

    #[tokio::test]
    async fn messages_are_passed_on_one_by_one_and_whole_in_whatever_pieces_they_come() {
        let messages = [vec![0, 0, 0, 0, 3, 1, 2, 3], vec![1, 0, 0, 0, 0], vec![0, 0, 0, 0, 1, 9]];
        let sent = messages.concat();
        for size in 1..=sent.len() {
            let (passed, end) = passed_on(size, &sent).await;
            assert!(passed == messages && end.is_none(), "in pieces of {size}: {passed:?} {end:?}");
        }
    }

    #[tokio::test]
    async fn a_length_is_not_heard_of_before_as_much_has_come() {
        for size in [1, 5, 100] {
            let (passed, end) = passed_on(size, &[0, 0, 0, 3, 0, 7, 7]).await;
            assert!(passed.is_empty());
            assert_eq!(end.unwrap().code(), Code::Internal);
            let (passed, end) = passed_on(size, &[0, 0, 0, 0, 1, 7, 0, 127, 255, 255, 255]).await;
            assert_eq!(passed, [[0, 0, 0, 0, 1, 7]]);
            let end = end.unwrap();
            assert_eq!(end.code(), Code::ResourceExhausted);
            assert_eq!(end.message(), "Received message larger than max (2147483647 vs. 1000)");
        }
    }
}
