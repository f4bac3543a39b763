//! The message of a unary call, as it comes.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use tonic::Status;

use super::compression::{self, Encoding};
use crate::inflight::Share;

/// A flag that says whether the message is compressed, and its length in four bytes, the highest first.
pub(super) const PREFIX: usize = 5;

/// How much is reserved for a message before its bytes have come: a client may announce what it likes.
const RESERVED: usize = 16 << 20;

/// Reads the one message of a call, and then to the end of the body. `encoding` is what the call says its messages are
/// compressed with, if they are; `limit` is the longest, in bytes, as it comes and when decompressed. `share` accounts
/// for what the message inflates to; what came is for the body to account for.
///
/// A message that came in one piece, as small ones do, is not copied. But for that of a message over the limit, the
/// texts of the errors are tonic's, which reads all other calls.
pub(super) async fn read<B>(
    body: B,
    encoding: Option<Encoding>,
    share: &Arc<Share>,
    limit: usize,
) -> Result<Bytes, Status>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let sent = whole(body, limit).await?;
    match (sent.compressed, encoding) {
        (false, _) => Ok(sent.message),
        (true, Some(encoding)) => {
            compression::decompress(encoding, sent.message, Arc::clone(share), limit).await
        }
        (true, None) => Err(not_announced()),
    }
}

/// A message as it came.
struct Sent {
    compressed: bool,
    message: Bytes,
}

async fn whole<B>(mut body: B, limit: usize) -> Result<Sent, Status>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut first = Bytes::new();
    while first.is_empty() {
        first = next(&mut body).await?.ok_or_else(|| Status::internal("Missing request message."))?;
    }
    let mut pieces = Pieces::One(first);
    let (compressed, length) = loop {
        if let Some(prefix) = pieces.as_ref().first_chunk() {
            break announced(prefix, limit)?;
        }
        let piece = next(&mut body).await?.ok_or_else(ended)?;
        pieces.add(piece, PREFIX);
    };
    let whole = PREFIX + length;
    while pieces.as_ref().len() < whole {
        let piece = next(&mut body).await?.ok_or_else(ended)?;
        pieces.add(piece, whole);
    }
    // The client ends its side when it has sent the message. What else it may send is not looked at.
    while next(&mut body).await?.is_some() {}
    let mut message = pieces.into_bytes();
    message.truncate(whole);
    message.advance(PREFIX);
    Ok(Sent { compressed, message })
}

/// What has come so far. What came in one piece is not copied.
pub(super) enum Pieces {
    One(Bytes),
    Many(BytesMut),
}

impl Default for Pieces {
    fn default() -> Pieces {
        Pieces::One(Bytes::new())
    }
}

impl Pieces {
    /// Adds a piece of something that is to become so long in all.
    pub(super) fn add(&mut self, piece: Bytes, whole: usize) {
        if let Pieces::One(first) = self {
            if first.is_empty() {
                *first = piece;
                return;
            }
            let come = first.len() + piece.len();
            let mut many = BytesMut::with_capacity(come.max(whole.min(RESERVED)));
            many.extend_from_slice(first);
            *self = Pieces::Many(many);
        }
        if let Pieces::Many(many) = self {
            many.extend_from_slice(&piece);
        }
    }

    /// Takes the first bytes, of which there are so many at least.
    pub(super) fn split_to(&mut self, length: usize) -> Bytes {
        match self {
            Pieces::One(piece) => piece.split_to(length),
            Pieces::Many(pieces) => {
                let first = pieces.split_to(length).freeze();
                // Where no more has come, the next piece need not be copied.
                if pieces.is_empty() {
                    *self = Pieces::default();
                }
                first
            }
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Pieces::One(piece) => piece,
            Pieces::Many(pieces) => pieces.freeze(),
        }
    }
}

impl AsRef<[u8]> for Pieces {
    fn as_ref(&self) -> &[u8] {
        match self {
            Pieces::One(piece) => piece,
            Pieces::Many(pieces) => pieces,
        }
    }
}

/// The next piece of data; `None` at the end.
pub(super) async fn next<B>(body: &mut B) -> Result<Option<Bytes>, Status>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    loop {
        if body.is_end_stream() {
            return Ok(None);
        }
        match body.frame().await {
            None => return Ok(None),
            Some(Err(error)) => return Err(Status::from_error(error.into())),
            // Trailers say nothing to a server.
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// Whether the message is compressed, and its length.
pub(super) fn announced(&[flag, a, b, c, d]: &[u8; PREFIX], limit: usize) -> Result<(bool, usize), Status> {
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    match flag {
        0 | 1 if length <= limit => Ok((flag == 1, length)),
        0 | 1 => Err(too_large(length, limit)),
        flag => Err(Status::internal(format!(
            "protocol error: received message with invalid compression flag: {flag} (valid flags are 0 and 1)"
        ))),
    }
}

/// In the words of gRPC's core, which Triton's clients know.
fn too_large(length: usize, limit: usize) -> Status {
    Status::resource_exhausted(format!("Received message larger than max ({length} vs. {limit})"))
}

pub(super) fn not_announced() -> Status {
    Status::internal(
        "protocol error: received message with compressed-flag but no grpc-encoding was specified",
    )
}

pub(super) fn ended() -> Status {
    Status::internal("Unexpected EOF decoding stream.")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body::Frame;
    use http_body_util::StreamBody;
    use tonic::Code;

    use super::*;
    use crate::inflight::Inflight;

    fn share() -> Arc<Share> {
        Arc::new(Arc::new(Inflight::default()).call())
    }

    /// A body that comes in these pieces.
    fn pieced(pieces: Vec<Bytes>) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        StreamBody::new(tokio_stream::iter(pieces.into_iter().map(Frame::data).map(Ok)))
    }

    /// What is read of `bytes` that come in pieces of so many.
    async fn read_in(size: usize, bytes: &[u8]) -> Result<Bytes, Status> {
        let pieces = bytes.chunks(size.max(1)).map(Bytes::copy_from_slice).collect();
        read(pieced(pieces), None, &share(), 1000).await
    }

    #[tokio::test]
    async fn a_message_is_read_whole_in_whatever_pieces_it_comes() {
        let message: Vec<u8> = (0..=255).collect();
        let sent = [&[0, 0, 0, 1, 0], &message[..], b"and more"].concat();
        for size in 1..=sent.len() {
            assert_eq!(read_in(size, &sent).await.unwrap(), message, "in pieces of {size}");
        }
        assert_eq!(read_in(9, &[0; 5]).await.unwrap(), Bytes::new());
    }

    #[tokio::test]
    async fn a_message_in_one_piece_is_not_copied() {
        let sent = Bytes::from_static(&[0, 0, 0, 0, 2, 7, 8]);
        let message = read(pieced(vec![sent.clone()]), None, &share(), 1000).await.unwrap();
        assert_eq!(message.as_ptr(), sent[PREFIX..].as_ptr());
    }

    #[tokio::test]
    async fn a_compressed_message_is_decompressed_if_its_flag_says_so() {
        let message = [7; 500];
        let compressed =
            compression::compress(Encoding::Gzip, [Bytes::copy_from_slice(&message)].into()).await.unwrap();
        for (flag, content) in [(1, &compressed[..]), (0, &message)] {
            let sent = [&[flag], &(content.len() as u32).to_be_bytes()[..], content].concat();
            let read = read(pieced(vec![sent.into()]), Some(Encoding::Gzip), &share(), 1000).await;
            assert_eq!(read.unwrap(), message[..], "{flag}");
        }
    }

    #[tokio::test]
    async fn what_is_no_message_is_refused_with_a_reason() {
        for (sent, code, text) in [
            (&b""[..], Code::Internal, "Missing request message"),
            (&[0, 0, 0], Code::Internal, "Unexpected EOF"),
            (&[0, 0, 0, 0, 9, 1, 2], Code::Internal, "Unexpected EOF"),
            (&[1, 0, 0, 0, 1, 1], Code::Internal, "no grpc-encoding"),
            (&[2, 0, 0, 0, 1, 1], Code::Internal, "invalid compression flag: 2"),
            (
                &[0, 255, 255, 255, 255, 1],
                Code::ResourceExhausted,
                "Received message larger than max (4294967295 vs. 1000)",
            ),
        ] {
            for size in [1, 100] {
                let status = read_in(size, sent).await.unwrap_err();
                assert_eq!(status.code(), code, "{sent:?}");
                assert!(status.message().contains(text), "{sent:?}: {}", status.message());
            }
        }
    }
}
