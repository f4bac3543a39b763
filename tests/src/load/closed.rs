//! A closed loop: each answer brings the next request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;

use super::connection::Connection;
use super::tally::Tally;

/// So many requests, so many at a time.
#[derive(Clone, Debug)]
pub struct Closed {
    /// The server's port on the loopback interface.
    pub port: u16,
    /// How many connections.
    pub connections: usize,
    /// How many requests each has in flight.
    pub streams: usize,
    /// How many requests in all.
    pub requests: usize,
    /// What is sent, by turns.
    pub bodies: Vec<Bytes>,
    /// The requests' `grpc-timeout`.
    pub timeout: Option<Duration>,
}

impl Closed {
    /// Sends them all. Fails if it cannot connect; a connection that breaks later shows in the tally.
    pub async fn run(self) -> anyhow::Result<Tally> {
        let mut connections = Vec::new();
        for _ in 0..self.connections {
            connections.push(Arc::new(Connection::open(self.port).await?));
        }
        let streams = self.streams;
        let (plan, next, begun) = (Arc::new(self), Arc::new(AtomicUsize::new(0)), Instant::now());
        let mut callers = JoinSet::new();
        for connection in connections.iter().flat_map(|connection| std::iter::repeat_n(connection, streams)) {
            callers.spawn(caller(Arc::clone(connection), Arc::clone(&plan), Arc::clone(&next)));
        }
        let mut tally = Tally::default();
        while let Some(counted) = callers.join_next().await {
            tally.add(counted?);
        }
        tally.elapsed = begun.elapsed();
        Ok(tally)
    }
}

async fn caller(connection: Arc<Connection>, plan: Arc<Closed>, next: Arc<AtomicUsize>) -> Tally {
    let mut tally = Tally::default();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= plan.requests {
            return tally;
        }
        let body = plan.bodies[number % plan.bodies.len()].clone();
        let begun = Instant::now();
        let answer = connection.call(body, plan.timeout).await;
        tally.count(answer, begun.elapsed(), plan.timeout);
    }
}
