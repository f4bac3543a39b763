//! `storm PORT SEED CLIENTS REQUESTS BODIES`: so many calls of ModelInfer on that port of the loopback interface, of so
//! many clients at a time that have little patience, go away, and break off. BODIES is a file of requests, each with
//! gRPC's prefix.
//!
//! Prints what became of them. See `nerite_tests::load`.

#![forbid(unsafe_code)]

use std::path::Path;

use anyhow::Context;
use nerite_tests::load::bodies;
use nerite_tests::load::storm::Storm;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, seed, clients, requests, file] = &arguments[..] else {
        anyhow::bail!("usage: storm PORT SEED CLIENTS REQUESTS BODIES")
    };
    let storm = Storm {
        port: port.parse().context("the port")?,
        seed: seed.parse().context("the seed")?,
        clients: clients.parse().context("the clients")?,
        requests: requests.parse().context("the requests")?,
        bodies: bodies::read(Path::new(file))?,
    };
    print!("{}", storm.run().await?);
    Ok(())
}
