//! A connection that must begin to speak in time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::activity::Activity;

/// Fails to read unless the peer sends the first so many bytes within a limit. Afterwards it only passes on, and notes what
/// is written.
///
/// HTTP/2's own pings begin only after its preface, so that without this a silent client would stay for ever.
pub(super) struct Impatient<IO> {
    io: IO,
    wait: Option<Wait>,
    activity: Activity,
}

struct Wait {
    bytes: usize,
    limit: Pin<Box<Sleep>>,
}

impl<IO> Impatient<IO> {
    /// `io`, whose peer has `limit` to send `bytes`.
    pub(super) fn new(io: IO, bytes: usize, limit: Duration, activity: Activity) -> Self {
        let wait = Some(Wait { bytes, limit: Box::pin(tokio::time::sleep(limit)) });
        Self { io, wait, activity }
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = written {
            self.activity.wrote(*bytes);
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Impatient<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { io, wait, activity } = &mut *self;
        let Some(waiting) = wait else { return Pin::new(io).poll_read(cx, buf) };
        let before = buf.filled().len();
        let polled = Pin::new(io).poll_read(cx, buf);
        if polled.is_pending() && waiting.limit.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        waiting.bytes = waiting.bytes.saturating_sub(buf.filled().len() - before);
        if waiting.bytes == 0 {
            *wait = None;
            activity.peer_spoke();
        }
        polled
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Impatient<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_trickles_is_given_up_at_the_limit_and_not_later() {
        let (mut peer, io) = tokio::io::duplex(64);
        let activity = Activity::default();
        let mut io = Impatient::new(io, 33, LIMIT, activity.clone());
        let start = tokio::time::Instant::now();
        let trickle = tokio::spawn(async move {
            while peer.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let mut buf = [0; 64];
        let error = loop {
            if let Err(error) = io.read(&mut buf).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), LIMIT.as_secs());
        assert!(!activity.has_peer_spoken());
        drop(io);
        trickle.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_has_begun_may_be_silent_for_as_long_as_it_likes() {
        let (mut peer, io) = tokio::io::duplex(64);
        let activity = Activity::default();
        let mut io = Impatient::new(io, 33, LIMIT, activity.clone());
        peer.write_all(&[0; 40]).await.unwrap();
        io.read_exact(&mut [0; 40]).await.unwrap();
        assert!(activity.has_peer_spoken());
        assert!(tokio::time::timeout(LIMIT * 100, io.read_u8()).await.is_err());
        peer.write_all(b"a").await.unwrap();
        assert_eq!(io.read_u8().await.unwrap(), b'a');
    }
}
