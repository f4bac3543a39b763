//! `timed_loop PORT CONNECTIONS MILLISECONDS BODIES`: calls of ModelInfer for so long, one at a time over each connection.
//! BODIES is a file of requests, each with gRPC's prefix, which are sent by turns.
//!
//! Prints a line for each call: when it began, in microseconds of the system's clock since 1970, and how many it took.
//! Fails if one is not answered with OK.

#![forbid(unsafe_code)]

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use bytes::Bytes;
use nerite_tests::load::bodies;
use nerite_tests::load::connection::Connection;
use tokio::task::JoinSet;
use tonic::Code;

/// When a call began, and how long it took.
type Sample = (SystemTime, Duration);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, connections, milliseconds, file] = &arguments[..] else {
        anyhow::bail!("usage: timed_loop PORT CONNECTIONS MILLISECONDS BODIES")
    };
    let port = port.parse().context("the port")?;
    let until = Instant::now() + Duration::from_millis(milliseconds.parse().context("the milliseconds")?);
    let bodies = bodies::read(Path::new(file))?;
    let mut callers = JoinSet::new();
    for _ in 0..connections.parse().context("the connections")? {
        callers.spawn(call(Connection::open(port).await?, bodies.clone(), until));
    }
    let mut lines = String::new();
    while let Some(samples) = callers.join_next().await {
        for (begun, took) in samples?? {
            let begun = begun.duration_since(SystemTime::UNIX_EPOCH)?.as_micros();
            writeln!(lines, "{begun} {:.3}", took.as_secs_f64() * 1e6)?;
        }
    }
    print!("{lines}");
    Ok(())
}

async fn call(connection: Connection, bodies: Vec<Bytes>, until: Instant) -> anyhow::Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for body in bodies.iter().cycle() {
        let (at, begun) = (SystemTime::now(), Instant::now());
        if begun >= until {
            break;
        }
        let code = connection.call(body.clone(), None).await?;
        ensure!(code == Code::Ok, "a call was answered with {code:?}");
        samples.push((at, begun.elapsed()));
    }
    Ok(samples)
}
