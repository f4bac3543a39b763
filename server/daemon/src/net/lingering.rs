//! A connection that is closed gently.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::{Unconstrained, unconstrained};
use tokio::time::Sleep;

/// How long a peer may take to close its side after we closed ours.
const LIMIT: Duration = Duration::from_secs(1);

/// After our side is shut down, reads what the peer still sends, and drops it, until the peer closes as well or the time
/// is up. Otherwise it only passes on.
///
/// To close a socket with something unread in it makes the system reset the connection, upon which the peer may lose
/// our last answers. And there often is something: a window update, an acknowledgement, a ping.
pub(super) struct Lingering<IO> {
    io: IO,
    /// Set when our side is shut down. A peer that sends and sends uses up what the task may do at a time, and must not
    /// keep it from looking at the clock.
    limit: Option<Pin<Box<Unconstrained<Sleep>>>>,
}

impl<IO> Lingering<IO> {
    pub(super) fn new(io: IO) -> Self {
        Self { io, limit: None }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<IO> {
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, limit } = &mut *self;
        let limit = match limit {
            Some(limit) => limit,
            None => {
                ready!(Pin::new(&mut *io).poll_shutdown(cx))?;
                limit.insert(Box::pin(unconstrained(tokio::time::sleep(LIMIT))))
            }
        };
        // It pauses when the task has done enough for now, so a peer that sends and sends does not keep it in this loop.
        let mut scratch = [0; 4096];
        loop {
            let mut unread = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *io).poll_read(cx, &mut unread) {
                Poll::Ready(Ok(())) if !unread.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return limit.as_mut().poll(cx).map(Ok),
            }
        }
    }

    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Lingering<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// How a client fares that sends something while the answer is on its way, and reads late.
    async fn late_reader(linger: bool) -> io::Result<Vec<u8>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut client = TcpStream::connect(listener.local_addr()?).await?;
        let (server, _) = listener.accept().await?;
        // Nobody reads this.
        client.write_all(b"ping").await?;
        server.readable().await?;
        let mut server = Lingering::new(server);
        server.write_all(&[7; 100_000]).await?;
        let closing =
            tokio::spawn(
                async move { if linger { server.shutdown().await } else { server.io.shutdown().await } },
            );
        if !linger {
            closing.await??;
        }
        let mut answer = Vec::new();
        client.write_all(b"pong").await?;
        client.read_to_end(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn a_peer_that_sent_something_unread_reads_the_answer_to_its_end() {
        assert_eq!(late_reader(true).await.unwrap().len(), 100_000);
        assert!(late_reader(false).await.is_err(), "then there would be no need to linger");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_close_is_left_after_the_limit() {
        let (mut peer, io) = tokio::io::duplex(64);
        let start = tokio::time::Instant::now();
        let trickle = tokio::spawn(async move {
            while peer.write_all(b"x").await.is_ok() {
                tokio::time::sleep(LIMIT / 10).await;
            }
        });
        let mut io = Lingering::new(io);
        io.shutdown().await.unwrap();
        assert_eq!(start.elapsed().as_millis(), LIMIT.as_millis());
        drop(io);
        trickle.await.unwrap();
    }

    /// A peer that always has more to say.
    struct Flood;

    impl AsyncRead for Flood {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            ready!(std::pin::pin!(tokio::task::coop::consume_budget()).poll(cx));
            buf.put_slice(b"more");
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Flood {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_peer_that_sends_without_pause_is_left_after_the_limit_too() {
        let closing = tokio::spawn(async { Lingering::new(Flood).shutdown().await });
        tokio::time::timeout(LIMIT * 20, closing).await.expect("it lingers for ever").unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_closes_is_not_waited_for_any_longer() {
        let (peer, io) = tokio::io::duplex(64);
        let start = tokio::time::Instant::now();
        drop(peer);
        Lingering::new(io).shutdown().await.unwrap();
        assert_eq!(start.elapsed().as_millis(), 0);
    }
}
