//! `echo_server PORT FILE`: answers every ModelInfer on that port of the loopback interface with the encoded
//! ModelInferResponse that the file holds. See `nerite_tests::bare`.

#![forbid(unsafe_code)]

use std::net::Ipv4Addr;

use anyhow::Context;
use nerite_proto::inference::ModelInferResponse;
use nerite_tests::bare::echo::Echo;
use prost::Message;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, file] = &arguments[..] else { anyhow::bail!("usage: echo_server PORT FILE") };
    let port: u16 = port.parse().context("the port")?;
    let answer = std::fs::read(file).context("the file with the answer")?;
    let answer = ModelInferResponse::decode(&answer[..]).context("the file with the answer")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    Ok(runtime.block_on(nerite_tests::bare::serve((Ipv4Addr::LOCALHOST, port).into(), Echo::new(answer)))?)
}
