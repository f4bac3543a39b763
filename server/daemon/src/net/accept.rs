//! The accept loop: takes connections and survives whatever taking them can fail with.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::endpoint::Orders;

/// The first and the longest pause after a failure that will not go away at once, such as too many open files.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));
/// How often, at most, the log speaks of trouble with accepting.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// How many connections are served at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    pub(super) limit: usize,
    pub(super) beyond: Beyond,
}

/// What becomes of a connection for which there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beyond {
    /// It waits in the backlog: right for short connections.
    Waits,
    /// It is closed at once, so that its client can go elsewhere: right for connections that stay.
    IsClosed,
}

/// Accepts until told to drain; each connection is served in a task of its own.
pub(super) async fn accept<F, Fut>(socket: TcpListener, places: Places, mut orders: Orders, serve: F)
where
    F: Fn(TcpStream, Orders) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let Places { limit, beyond } = places;
    let free = Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS)));
    let given = orders.clone();
    let taking = async {
        let mut trouble = Trouble::default();
        loop {
            let kept = match beyond {
                Beyond::IsClosed => None,
                Beyond::Waits => {
                    if free.available_permits() == 0 && trouble.may_log(Instant::now()) {
                        tracing::warn!("{limit} connections are open, which is the limit; others wait");
                    }
                    Some(Arc::clone(&free).acquire_owned().await.expect("the semaphore is never closed"))
                }
            };
            let stream = take(&socket, &mut trouble).await;
            let Some(place) = kept.or_else(|| Arc::clone(&free).try_acquire_owned().ok()) else {
                if trouble.may_log(Instant::now()) {
                    tracing::warn!("{limit} connections are open, which is the limit; others are closed");
                }
                continue;
            };
            let served = serve(stream, given.clone());
            tokio::spawn(async move {
                served.await;
                drop(place);
            });
        }
    };
    // The order comes first: a stream of new connections must not keep a drain from beginning.
    tokio::select! {
        biased;
        () = orders.drain() => {}
        () = taking => {}
    }
}

/// The next connection.
async fn take(socket: &TcpListener, trouble: &mut Trouble) -> TcpStream {
    loop {
        let error = match socket.accept().await {
            Ok((stream, _)) => {
                trouble.over();
                // Answers are written whole, so there is nothing to wait for before sending them. It fails
                // for a client that has gone already, which reading will notice too.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(error) => error,
        };
        if only_that_connection(&error) {
            continue;
        }
        if trouble.may_log(Instant::now()) {
            tracing::warn!("cannot accept connections: {error}");
        }
        tokio::time::sleep(trouble.next_pause()).await;
    }
}

/// Whether the next connection may well be taken.
fn only_that_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// How accepting has gone of late.
#[derive(Debug, Default)]
struct Trouble {
    pause: Option<Duration>,
    logged: Option<Instant>,
}

impl Trouble {
    /// How long to wait: ever longer while the trouble lasts.
    fn next_pause(&mut self) -> Duration {
        let pause = self.pause.map_or(PAUSE.0, |last| (last * 2).min(PAUSE.1));
        self.pause = Some(pause);
        pause
    }

    fn over(&mut self) {
        self.pause = None;
    }

    /// Whether the log has been silent for long enough; if so, it counts as spoken to.
    fn may_log(&mut self, now: Instant) -> bool {
        let due = self.logged.is_none_or(|last| now.duration_since(last) >= LOG_INTERVAL);
        if due {
            self.logged = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_begin_anew_after_a_success() {
        let mut trouble = Trouble::default();
        let pauses: Vec<u128> = (0..10).map(|_| trouble.next_pause().as_millis()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        trouble.over();
        assert_eq!(trouble.next_pause(), PAUSE.0);
    }

    #[test]
    fn the_log_hears_of_trouble_once_in_a_while() {
        let (mut trouble, start) = (Trouble::default(), Instant::now());
        let logged = (0..=20).filter(|s| trouble.may_log(start + Duration::from_secs(*s))).count();
        assert_eq!(logged, 3);
    }

    #[test]
    fn only_what_concerns_one_connection_is_tried_again_at_once() {
        for (code, only) in [(103, true), (104, true), (4, true), (24, false), (23, false), (12, false)] {
            assert_eq!(only_that_connection(&io::Error::from_raw_os_error(code)), only, "{code}");
        }
    }
}
