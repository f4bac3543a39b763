//! An open loop: requests come at their times, as those of many clients do, who know nothing of each other.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time;

use super::connection::Connection;
use super::tally::Tally;

/// How long after the last request its answer may come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Requests at a constant rate.
#[derive(Clone, Debug)]
pub struct Open {
    /// The server's port on the loopback interface.
    pub port: u16,
    /// Over how many connections, by turns.
    pub connections: usize,
    /// Requests in a second.
    pub rate: f64,
    /// For how long.
    pub duration: Duration,
    /// The requests' `grpc-timeout`, by which an answer must come to be of use.
    pub timeout: Duration,
    /// How many may be in flight; at more, the next one is not sent and counted as that.
    pub most_in_flight: usize,
    /// What is sent.
    pub body: Bytes,
}

impl Open {
    /// Sends them. A request's time counts from when it is due: one that is sent late has waited already. (It may be
    /// a millisecond late, which is how fine tokio's timer is.)
    pub async fn run(self) -> anyhow::Result<Tally> {
        let mut connections = Vec::new();
        for _ in 0..self.connections {
            connections.push(Connection::open(self.port).await?);
        }
        let (mut tally, mut in_flight) = (Tally::default(), JoinSet::new());
        let (begun, requests) = (Instant::now(), (self.rate * self.duration.as_secs_f64()) as usize);
        for (number, connection) in (0..requests).zip(connections.iter().cycle()) {
            let due = begun + Duration::from_secs_f64(number as f64 / self.rate);
            time::sleep_until(due.into()).await;
            while let Some(answered) = in_flight.try_join_next() {
                self.count(&mut tally, answered?);
            }
            if in_flight.len() >= self.most_in_flight {
                tally.unsent += 1;
                continue;
            }
            let call = connection.call(self.body.clone(), Some(self.timeout));
            in_flight.spawn(async move { (call.await, due.elapsed()) });
        }
        tally.elapsed = begun.elapsed();
        let last = async {
            while let Some(answered) = in_flight.join_next().await {
                self.count(&mut tally, answered?);
            }
            anyhow::Ok(())
        };
        match time::timeout(PATIENCE, last).await {
            Ok(counted) => counted?,
            Err(_) => tally.unanswered += in_flight.len(),
        }
        Ok(tally)
    }

    fn count(&self, tally: &mut Tally, (answer, took): (Result<tonic::Code, h2::Error>, Duration)) {
        tally.count(answer, took, Some(self.timeout));
    }
}
