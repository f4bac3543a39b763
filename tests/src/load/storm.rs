//! A storm: clients whose patience ends before the answer comes, that go away with requests in flight, and whose
//! connections break off in the middle of a frame.
//!
//! What each client does is drawn from a seed; what the server is doing then is not, so that two storms of one seed
//! are alike and not the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time;

use super::connection::{Connection, tcp};
use super::cut::Cut;
use super::tally::Tally;

/// Microseconds of a request's deadline.
const DEADLINES: std::ops::RangeInclusive<u64> = 500..=10_000;

/// Requests over a connection, at most; and how many of them are in flight at a time, at most.
const CALLS: usize = 100;
const IN_FLIGHT: usize = 8;

/// One client in so many lets its connection break off after some bytes, one leaves without waiting for its answers.
const CUT: usize = 3;
const LEAVE: usize = 3;
/// How many bytes of a connection are written before it breaks off, at most: some of its requests.
const BYTES: usize = 32_000;

/// One request in so many is cancelled.
const CANCEL: usize = 4;

/// After how long a request must have been answered: its deadline is far behind it.
const LIMIT: Duration = Duration::from_secs(30);

/// So many requests of clients that behave badly.
#[derive(Clone, Debug)]
pub struct Storm {
    /// The server's port on the loopback interface.
    pub port: u16,
    /// What all is drawn from.
    pub seed: u64,
    /// How many clients at a time.
    pub clients: usize,
    /// How many requests in all.
    pub requests: usize,
    /// What is sent, at random.
    pub bodies: Vec<Bytes>,
}

impl Storm {
    /// Sends them. Fails if the server takes no more connections.
    pub async fn run(self) -> anyhow::Result<Tally> {
        let (clients, mut seeds) = (self.clients, Rng::with_seed(self.seed));
        let (storm, sent, begun) = (Arc::new(self), Arc::new(AtomicUsize::new(0)), Instant::now());
        let mut running = JoinSet::new();
        for _ in 0..clients {
            let rng = Rng::with_seed(seeds.u64(..));
            running.spawn(clients_in_turn(Arc::clone(&storm), Arc::clone(&sent), rng));
        }
        let mut tally = Tally::default();
        while let Some(counted) = running.join_next().await {
            tally.add(counted??);
        }
        tally.elapsed = begun.elapsed();
        Ok(tally)
    }
}

/// One client after the other, until all requests are sent.
async fn clients_in_turn(storm: Arc<Storm>, sent: Arc<AtomicUsize>, mut rng: Rng) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    while sent.load(Ordering::Relaxed) < storm.requests {
        tally.add(client(&storm, &sent, &mut rng).await?);
    }
    Ok(tally)
}

/// One connection's life.
async fn client(storm: &Storm, sent: &AtomicUsize, rng: &mut Rng) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    let bytes = if rng.usize(..CUT) == 0 { rng.usize(..BYTES) } else { usize::MAX };
    let stream = tcp(storm.port).await?;
    let Ok(connection) = Connection::over(Cut::after(bytes, stream), storm.port).await else {
        // It broke off before the first request.
        return Ok(tally);
    };
    let (mut in_flight, leaves) = (JoinSet::new(), rng.usize(..LEAVE) == 0);
    let at_once = rng.usize(1..=IN_FLIGHT);
    for _ in 0..rng.usize(1..=CALLS) {
        if tally.broken > 0 || sent.fetch_add(1, Ordering::Relaxed) >= storm.requests {
            break;
        }
        let body = rng.choice(&storm.bodies).cloned().unwrap_or_default();
        let deadline = Duration::from_micros(rng.u64(DEADLINES));
        let patience = (rng.usize(..CANCEL) == 0).then(|| deadline.mul_f64(rng.f64()));
        in_flight.spawn(one(connection.call(body, Some(deadline)), deadline, patience));
        if in_flight.len() >= at_once
            && let Some(counted) = in_flight.join_next().await
        {
            tally.add(counted?);
        }
    }
    if leaves {
        drop(connection);
        tally.abandoned += in_flight.len();
        return Ok(tally);
    }
    while let Some(counted) = in_flight.join_next().await {
        tally.add(counted?);
    }
    Ok(tally)
}

/// One call, of somebody who cancels it after a while or waits until it must have been answered.
async fn one(
    call: impl Future<Output = Result<tonic::Code, h2::Error>>,
    deadline: Duration,
    patience: Option<Duration>,
) -> Tally {
    let (mut tally, begun) = (Tally::default(), Instant::now());
    match time::timeout(patience.unwrap_or(LIMIT), call).await {
        Ok(answer) => tally.count(answer, begun.elapsed(), Some(deadline)),
        Err(_) if patience.is_some() => tally.abandoned += 1,
        Err(_) => tally.unanswered += 1,
    }
    tally
}
