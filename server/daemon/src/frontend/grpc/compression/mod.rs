//! Compressed messages.
//!
//! The small ones are dealt with where they come; whatever takes longer is done elsewhere, since a network thread that is
//! busy with one message serves nobody.

mod compress;
mod decompress;
mod offload;

use http::{HeaderMap, HeaderValue};
use tonic::Status;
use tonic::metadata::MetadataValue;

pub(super) use self::compress::compress;
pub(super) use self::decompress::decompress;

/// How many bytes are compressed or decompressed on a network thread: a millisecond's work.
const AT_ONCE: usize = 64 << 10;

/// How many bytes are worked on between two looks at whether anybody still waits for them.
const STEP: usize = 64 << 10;

/// How a message can be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Gzip,
    /// The zlib format, in spite of its name.
    Deflate,
    Zstd,
}

/// All that is understood, for those who used something else.
const UNDERSTOOD: &str = "gzip,deflate,zstd,identity";

impl Encoding {
    /// What the messages of a request are compressed with, if they are.
    pub(super) fn of_request(headers: &HeaderMap) -> Result<Option<Encoding>, Status> {
        match headers.get("grpc-encoding").map(HeaderValue::as_bytes) {
            None | Some(b"identity") => Ok(None),
            Some(name) => Encoding::named(name).map(Some).ok_or_else(|| unknown(name)),
        }
    }

    /// What an answer may be compressed with: the first that the caller names and that is known.
    pub(super) fn accepted(headers: &HeaderMap) -> Option<Encoding> {
        let names = headers.get("grpc-accept-encoding")?.as_bytes().split(|byte| *byte == b',');
        names.map(<[u8]>::trim_ascii).find_map(Encoding::named)
    }

    fn named(name: &[u8]) -> Option<Encoding> {
        match name {
            b"gzip" => Some(Encoding::Gzip),
            b"deflate" => Some(Encoding::Deflate),
            b"zstd" => Some(Encoding::Zstd),
            _ => None,
        }
    }

    /// The value of `grpc-encoding`.
    pub(super) fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Encoding::Gzip => "gzip",
            Encoding::Deflate => "deflate",
            Encoding::Zstd => "zstd",
        })
    }
}

fn unknown(name: &[u8]) -> Status {
    let name = String::from_utf8_lossy(name);
    let mut status =
        Status::unimplemented(format!("Content is compressed with `{name}` which isn't supported"));
    status.metadata_mut().insert("grpc-accept-encoding", MetadataValue::from_static(UNDERSTOOD));
    status
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::poll_fn;
    use std::num::NonZeroUsize;
    use std::pin::pin;
    use std::sync::{Arc, mpsc};
    use std::task::Poll;

    use bytes::Bytes;
    use tokio::runtime::Builder;
    use tonic::Code;

    use super::*;
    use crate::inflight::{Inflight, Share};

    const ALL: [Encoding; 3] = [Encoding::Gzip, Encoding::Deflate, Encoding::Zstd];

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(name), HeaderValue::from_static(value))])
    }

    fn share() -> Arc<Share> {
        Arc::new(Arc::new(Inflight::default()).call())
    }

    /// Bytes that compress to about half.
    fn data(length: usize) -> Bytes {
        (0..length as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 28) as u8).collect()
    }

    #[tokio::test]
    async fn what_is_compressed_comes_back_small_and_large_in_one_piece_and_in_many() {
        for encoding in ALL {
            for length in [0, 1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 5 * AT_ONCE, 3_000_000] {
                let data = data(length);
                let pieces: VecDeque<Bytes> = data.chunks(100_000).map(Bytes::copy_from_slice).collect();
                let compressed = compress(encoding, pieces).await.unwrap();
                let back = decompress(encoding, compressed, share(), length).await.unwrap();
                assert!(back == data, "{encoding:?}, {length} bytes");
            }
        }
    }

    /// Does the work on a runtime whose only thread for such work is busy at first.
    fn offloaded<T>(work: impl Future<Output = T>) -> T {
        let runtime = Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            let (free, busy) = mpsc::channel::<()>();
            tokio::task::spawn_blocking(move || busy.recv());
            let mut work = pin!(work);
            let waits = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx).is_pending())).await;
            assert!(waits, "it is done on the caller's thread");
            drop(free);
            work.await
        })
    }

    #[test]
    fn what_takes_long_is_not_done_on_the_callers_thread() {
        let large = Bytes::from(vec![0; 10 * AT_ONCE]);
        for encoding in ALL {
            let compressed = offloaded(compress(encoding, [large.clone()].into())).unwrap();
            assert!(compressed.len() < AT_ONCE / 10);
            let inflated = offloaded(decompress(encoding, compressed, share(), large.len()));
            assert!(inflated.unwrap() == large);
        }
    }

    #[tokio::test]
    async fn what_inflates_to_more_than_the_limit_is_refused() {
        for encoding in ALL {
            for length in [1000, 10 * AT_ONCE] {
                let compressed = compress(encoding, [data(length)].into()).await.unwrap();
                let status = decompress(encoding, compressed, share(), length - 1).await.unwrap_err();
                assert_eq!(status.code(), Code::ResourceExhausted, "{encoding:?}");
            }
        }
    }

    #[tokio::test]
    async fn what_inflates_to_more_bytes_than_may_be_in_flight_is_refused() {
        let inflight = Arc::new(Inflight::new(None, NonZeroUsize::new(5 * AT_ONCE)));
        for encoding in ALL {
            let compressed = compress(encoding, [Bytes::from(vec![0; 10 * AT_ONCE])].into()).await.unwrap();
            let status = decompress(encoding, compressed, Arc::new(inflight.call()), usize::MAX).await;
            assert_eq!(status.unwrap_err().code(), Code::Unavailable, "{encoding:?}");
            assert_eq!(inflight.bytes(), 0);
        }
    }

    #[tokio::test]
    async fn what_was_never_compressed_or_was_cut_off_is_refused_with_a_reason() {
        for encoding in ALL {
            for length in [100, 10 * AT_ONCE] {
                let compressed = compress(encoding, [data(length)].into()).await.unwrap();
                for damaged in [compressed.slice(..compressed.len() / 2), data(length)] {
                    let status = decompress(encoding, damaged, share(), usize::MAX).await.unwrap_err();
                    assert_eq!(status.code(), Code::Internal, "{encoding:?}");
                    assert!(status.message().contains("decompressing"), "{}", status.message());
                }
            }
        }
    }

    #[test]
    fn headers_say_what_is_compressed_and_what_is_understood() {
        let sent = |value| Encoding::of_request(&headers("grpc-encoding", value));
        assert_eq!(sent("gzip").unwrap(), Some(Encoding::Gzip));
        assert_eq!(sent("identity").unwrap(), None);
        assert_eq!(Encoding::of_request(&HeaderMap::new()).unwrap(), None);
        let refusal = sent("snappy").unwrap_err();
        assert_eq!(refusal.code(), Code::Unimplemented);
        assert_eq!(refusal.metadata().get("grpc-accept-encoding").unwrap(), UNDERSTOOD);
        let accepted = |value| Encoding::accepted(&headers("grpc-accept-encoding", value));
        assert_eq!(accepted("identity, br, zstd,gzip"), Some(Encoding::Zstd));
        assert_eq!(accepted("identity"), None);
        assert_eq!(Encoding::accepted(&HeaderMap::new()), None);
    }
}
