//! `closed_loop PORT CONNECTIONS STREAMS REQUESTS TIMEOUT BODIES`: so many calls of ModelInfer on that port of the
//! loopback interface, as many at a time as streams of all connections, with a `grpc-timeout` of so many milliseconds
//! (0 for none). BODIES is a file of requests, each with gRPC's prefix, which are sent by turns.
//!
//! Prints what became of them. See `nerite_tests::load`.

#![forbid(unsafe_code)]

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use nerite_tests::load::bodies;
use nerite_tests::load::closed::Closed;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, connections, streams, requests, timeout, file] = &arguments[..] else {
        anyhow::bail!("usage: closed_loop PORT CONNECTIONS STREAMS REQUESTS TIMEOUT BODIES")
    };
    let timeout: u64 = timeout.parse().context("the timeout")?;
    let closed = Closed {
        port: port.parse().context("the port")?,
        connections: connections.parse().context("the connections")?,
        streams: streams.parse().context("the streams")?,
        requests: requests.parse().context("the requests")?,
        timeout: (timeout > 0).then(|| Duration::from_millis(timeout)),
        bodies: bodies::read(Path::new(file))?,
    };
    print!("{}", closed.run().await?);
    Ok(())
}
