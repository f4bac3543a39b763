use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use http_body::Body;
use tonic::Status;

use super::super::compression::{self, Encoding};
use super::super::incoming::{self, PREFIX, Pieces};
use super::super::status;
use crate::inflight::{Inflight, Share};

/// The messages of a stream, one after another.
///
/// Memory is taken for what has come and not for what was announced. Every byte counts as in flight from when it comes.
pub(super) struct Messages<B> {
    body: B,
    /// What compressed messages are compressed with, if the call has said so.
    encoding: Option<Encoding>,
    limit: usize,
    /// What has come of the messages that have not been given out.
    come: Pieces,
    /// Accounts for that.
    share: Share,
    inflating: Option<Inflating>,
}

/// A message, and what accounts for it.
pub(super) struct Message {
    pub(super) bytes: Bytes,
    pub(super) share: Arc<Share>,
}

type Inflating = Pin<Box<dyn Future<Output = Result<Message, Status>> + Send>>;

impl<B> Messages<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Those of a body. `limit` is the longest, in bytes, as it comes and when decompressed.
    pub(super) fn new(
        body: B,
        encoding: Option<Encoding>,
        inflight: &Arc<Inflight>,
        limit: usize,
    ) -> Messages<B> {
        Messages { body, encoding, limit, come: Pieces::default(), share: inflight.call(), inflating: None }
    }

    /// The next message; `None` if the client has ended its side. Whoever does not wait any longer loses nothing: what
    /// has come by then is found by the next call.
    pub(super) async fn next(&mut self) -> Result<Option<Message>, Status> {
        loop {
            if let Some(inflating) = &mut self.inflating {
                let message = inflating.as_mut().await;
                self.inflating = None;
                return message.map(Some);
            }
            let (missing, announced) = match self.come.as_ref().first_chunk() {
                Some(prefix) => {
                    let (compressed, length) = incoming::announced(prefix, self.limit)?;
                    let whole = PREFIX + length;
                    (self.come.as_ref().len() < whole, Some((compressed, whole)))
                }
                None => (true, None),
            };
            match announced {
                Some((compressed, whole)) if !missing => {
                    let message = self.take(whole);
                    if !compressed {
                        return Ok(Some(message));
                    }
                    self.inflate(message)?;
                }
                _ => {
                    let Some(piece) = incoming::next(&mut self.body).await? else {
                        let is_whole = self.come.as_ref().is_empty();
                        return if is_whole { Ok(None) } else { Err(incoming::ended()) };
                    };
                    self.share.add(piece.len()).map_err(|full| status::of_full(&full))?;
                    self.come.add(piece, announced.map_or(PREFIX, |(_, whole)| whole));
                }
            }
        }
    }

    /// Takes the first bytes that have come, which are a message and its prefix.
    fn take(&mut self, whole: usize) -> Message {
        let mut bytes = self.come.split_to(whole);
        bytes.advance(PREFIX);
        Message { bytes, share: Arc::new(self.share.split(whole)) }
    }

    fn inflate(&mut self, Message { bytes, share }: Message) -> Result<(), Status> {
        let encoding = self.encoding.ok_or_else(incoming::not_announced)?;
        let limit = self.limit;
        self.inflating = Some(Box::pin(async move {
            let bytes = compression::decompress(encoding, bytes, Arc::clone(&share), limit).await?;
            Ok(Message { bytes, share })
        }));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;

    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    fn messages(
        encoding: Option<Encoding>,
        sent: &[u8],
        size: usize,
        inflight: &Arc<Inflight>,
    ) -> Messages<impl Body<Data = Bytes, Error = Infallible> + Unpin + use<>> {
        let pieces: Vec<_> = sent.chunks(size).map(Bytes::copy_from_slice).map(Frame::data).map(Ok).collect();
        Messages::new(StreamBody::new(tokio_stream::iter(pieces)), encoding, inflight, 1000)
    }

    fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
        [&[flag], &(message.len() as u32).to_be_bytes()[..], message].concat()
    }

    #[tokio::test]
    async fn messages_are_read_one_by_one_in_whatever_pieces_they_come_and_count_until_they_are_dropped() {
        let expected: [&[u8]; 4] = [b"one", b"", &[7; 300], b"last"];
        let sent = expected.map(|message| framed(0, message)).concat();
        for size in 1..=sent.len() {
            let inflight = Arc::new(Inflight::default());
            let mut messages = messages(None, &sent, size, &inflight);
            let mut kept = Vec::new();
            while let Some(message) = messages.next().await.unwrap() {
                kept.push(message);
            }
            assert!(kept.iter().map(|message| &message.bytes[..]).eq(expected), "in pieces of {size}");
            assert_eq!(inflight.bytes(), sent.len());
            drop(kept.remove(2));
            assert_eq!(inflight.bytes(), sent.len() - 305);
            drop(kept);
            assert_eq!((inflight.bytes(), inflight.requests()), (0, 0));
        }
    }

    #[tokio::test]
    async fn each_message_says_whether_it_is_compressed() {
        let inflight = Arc::new(Inflight::default());
        let large = [7; 900];
        let pieces: VecDeque<Bytes> = [Bytes::copy_from_slice(&large)].into();
        let compressed = compression::compress(Encoding::Gzip, pieces).await.unwrap();
        let sent = [framed(1, &compressed), framed(0, b"plain"), framed(1, &compressed)].concat();
        let mut messages = messages(Some(Encoding::Gzip), &sent, 50, &inflight);
        for expected in [&large[..], b"plain", &large[..]] {
            assert_eq!(messages.next().await.unwrap().unwrap().bytes, expected);
        }
        assert!(messages.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_is_no_message_ends_the_stream_with_a_reason_after_those_before_it() {
        for (bad, text) in [
            (vec![0, 0], "Unexpected EOF"),
            (vec![0, 0, 0, 0, 9, 1], "Unexpected EOF"),
            (framed(1, b"x"), "no grpc-encoding"),
            (framed(3, b"x"), "invalid compression flag"),
            (vec![0, 255, 255, 255, 255], "Received message larger than max (4294967295 vs. 1000)"),
        ] {
            let inflight = Arc::new(Inflight::default());
            let sent = [framed(0, b"good"), bad].concat();
            let mut messages = messages(None, &sent, 3, &inflight);
            assert_eq!(messages.next().await.unwrap().unwrap().bytes, b"good"[..]);
            let status = messages.next().await.err().unwrap();
            assert!(status.message().contains(text), "{status}");
        }
    }
}
