use std::io::{self, Cursor, Read};
use std::sync::Arc;

use bytes::Bytes;
use flate2::bufread::{GzDecoder, ZlibDecoder};
use tonic::Status;

use super::super::status;
use super::offload::{Caller, offload};
use super::{AT_ONCE, Encoding, STEP};
use crate::inflight::Share;

/// Decompresses a message, unless it inflates to more than `limit` bytes.
///
/// Memory is taken, and accounted for by `share`, as the message inflates: a thousand bytes can stand for a million, and
/// nothing says beforehand how many they stand for.
pub(in super::super) async fn decompress(
    encoding: Encoding,
    message: Bytes,
    share: Arc<Share>,
    limit: usize,
) -> Result<Bytes, Status> {
    // What is small may still inflate to much, and what is large to nothing.
    let small = message.len() <= AT_ONCE;
    let mut inflating =
        Inflating::new(encoding, message, share, limit).map_err(|error| unreadable(&error))?;
    if small && inflating.step()? {
        return Ok(inflating.out.into());
    }
    offload(move |caller| inflating.finish(caller)).await?.map(Bytes::from)
}

/// A message that is being decompressed.
struct Inflating {
    source: Box<dyn Read + Send>,
    out: Vec<u8>,
    share: Arc<Share>,
    limit: usize,
}

impl Inflating {
    fn new(encoding: Encoding, message: Bytes, share: Arc<Share>, limit: usize) -> io::Result<Inflating> {
        let message = Cursor::new(message);
        let source: Box<dyn Read + Send> = match encoding {
            Encoding::Gzip => Box::new(GzDecoder::new(message)),
            Encoding::Deflate => Box::new(ZlibDecoder::new(message)),
            Encoding::Zstd => Box::new(zstd::Decoder::with_buffer(message)?),
        };
        Ok(Inflating { source, out: Vec::new(), share, limit })
    }

    fn finish(mut self, caller: &Caller<'_>) -> Result<Vec<u8>, Status> {
        while !self.step()? {
            if caller.is_gone() {
                return Err(Status::cancelled("nobody waits for the message"));
            }
        }
        Ok(self.out)
    }

    /// Inflates a little more of it. Whether that was the end.
    fn step(&mut self) -> Result<bool, Status> {
        let before = self.out.len();
        // One byte over the limit, to see that it is over.
        let most = STEP.min(self.limit.saturating_add(1) - before);
        self.out
            .try_reserve(most)
            .map_err(|_| Status::resource_exhausted("no memory to decompress the message"))?;
        let source = (&mut self.source).take(most as u64).read_to_end(&mut self.out);
        let come = source.map_err(|error| unreadable(&error))?;
        self.share.add(come).map_err(|full| status::of_full(&full))?;
        if self.out.len() > self.limit {
            let limit = self.limit;
            return Err(Status::resource_exhausted(format!(
                "Received message larger than max (over {limit} when decompressed vs. {limit})"
            )));
        }
        Ok(come < most)
    }
}

/// In tonic's words, which decompresses the messages of all other calls.
fn unreadable(error: &io::Error) -> Status {
    Status::internal(format!("Error decompressing: {error}, while sending request"))
}
