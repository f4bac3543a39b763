//! `run_server PORT MODEL`: answers every ModelInfer on that port of the loopback interface with what the ONNX model
//! in that file, of one FP32 input and one FP32 output, makes of the request's one row. See `nerite_tests::bare`.

#![forbid(unsafe_code)]

use std::net::Ipv4Addr;
use std::path::Path;
use std::thread::available_parallelism;

use anyhow::Context;
use nerite_tests::bare::run::Run;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, model] = &arguments[..] else { anyhow::bail!("usage: run_server PORT MODEL") };
    let port: u16 = port.parse().context("the port")?;
    let threads = available_parallelism()?.get();
    let run = Run::new(Path::new(model), threads).context("the model")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    Ok(runtime.block_on(nerite_tests::bare::serve((Ipv4Addr::LOCALHOST, port).into(), run))?)
}
