//! The handle on a port that is being served, and the orders that it gives to the port's tasks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// How long connections that are cut have to end. They do so at once; but whatever keeps one from it must not hold up the
/// process.
const CUT_LIMIT: Duration = Duration::from_secs(1);

/// A port that is being served. Dropping it cuts every connection.
#[derive(Debug)]
pub(crate) struct Endpoint {
    addr: SocketAddr,
    phase: watch::Sender<Phase>,
    lost: Arc<AtomicBool>,
}

/// How an endpoint came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// Every call ended by itself. Connections without calls may have been cut.
    Drained,
    /// Connections had to be cut at the limit, with calls in flight on them.
    Cut,
}

/// ```text
/// Serving ──drain──▶ Draining ──cut──▶ Cut        (never back)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    Draining,
    Cut,
}

/// What a task of the endpoint obeys. The endpoint counts as drained when the last of them is dropped.
#[derive(Debug, Clone)]
pub(super) struct Orders {
    phase: watch::Receiver<Phase>,
    /// Whether calls were lost, for the endpoint to know.
    lost: Arc<AtomicBool>,
}

impl Endpoint {
    /// The handle on the tasks that hold clones of these orders.
    pub(super) fn new(addr: SocketAddr) -> (Self, Orders) {
        let (phase, orders) = watch::channel(Phase::Serving);
        let lost = Arc::default();
        (Self { addr, phase, lost: Arc::clone(&lost) }, Orders { phase: orders, lost })
    }

    /// Where it listens.
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests do not know it already"))]
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops listening and tells every client to go (HTTP/2: GOAWAY); requests in flight go on.
    pub(crate) fn drain(&self) {
        self.advance(Phase::Draining);
    }

    /// Ends every connection at once. Handlers of requests in flight are dropped.
    pub(crate) fn cut(&self) {
        self.advance(Phase::Cut);
    }

    /// Waits until nothing listens and every connection has ended; only of use after [`drain`](Self::drain).
    pub(crate) async fn drained(&self) {
        self.phase.closed().await;
    }

    /// Drains for at most `limit`, then cuts the rest.
    pub(crate) async fn stop(&self, limit: Duration) -> Stopped {
        self.drain();
        if tokio::time::timeout(limit, self.drained()).await.is_ok() {
            return Stopped::Drained;
        }
        self.cut();
        let gone = tokio::time::timeout(CUT_LIMIT, self.drained()).await.is_ok();
        if gone && !self.lost.load(Ordering::Acquire) { Stopped::Drained } else { Stopped::Cut }
    }

    fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let later = *phase < to;
            *phase = (*phase).max(to);
            later
        });
    }
}

impl Orders {
    /// Waits for the order to finish what is in flight, and to begin nothing more.
    pub(super) async fn drain(&mut self) {
        self.reach(Phase::Draining).await;
    }

    /// Waits for the order to end at once.
    pub(super) async fn cut(&mut self) {
        self.reach(Phase::Cut).await;
    }

    async fn reach(&mut self, phase: Phase) {
        // An error says that the handle is gone, which is an order as well.
        let _ = self.phase.wait_for(|now| *now >= phase).await;
    }

    /// Tells the endpoint how many calls were open on a connection that was cut, if it was so ordered.
    pub(super) fn lose(&self, calls: usize) {
        if calls > 0 && *self.phase.borrow() == Phase::Cut {
            self.lost.store(true, Ordering::Release);
        }
    }
}
