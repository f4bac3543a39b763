//! `open_loop PORT CONNECTIONS RATE SECONDS TIMEOUT BODY`: calls of ModelInfer on that port of the loopback interface,
//! so many a second whatever becomes of them, with a `grpc-timeout` of so many milliseconds. BODY is a file with the
//! request, with gRPC's prefix.
//!
//! Prints what became of them. See `nerite_tests::load`.

#![forbid(unsafe_code)]

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use nerite_tests::load::bodies;
use nerite_tests::load::open::Open;

/// Far more than a server that keeps the deadlines leaves unanswered, and little memory.
const MOST_IN_FLIGHT: usize = 10_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, connections, rate, seconds, timeout, file] = &arguments[..] else {
        anyhow::bail!("usage: open_loop PORT CONNECTIONS RATE SECONDS TIMEOUT BODY")
    };
    let open = Open {
        port: port.parse().context("the port")?,
        connections: connections.parse().context("the connections")?,
        rate: rate.parse().context("the rate")?,
        duration: Duration::from_secs_f64(seconds.parse().context("the seconds")?),
        timeout: Duration::from_millis(timeout.parse().context("the timeout")?),
        most_in_flight: MOST_IN_FLIGHT,
        body: bodies::read(Path::new(file))?.swap_remove(0),
    };
    print!("{}", open.run().await?);
    Ok(())
}
