//! `stopwatch ready:PORT COMMAND…` or `stopwatch exit COMMAND…`: times a command from before it is started until it
//! answers ServerReady on that port of the loopback interface, or until it ends with status 0.
//!
//! Prints microseconds, and then, for a daemon, its resident memory in kB at that moment. A daemon is killed after.

#![forbid(unsafe_code)]

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use nerite_tests::probe;

const LIMIT: Duration = Duration::from_secs(60);

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let until = arguments.next().context("usage: stopwatch ready:PORT|exit COMMAND...")?;
    let port = until.strip_prefix("ready:").map(str::parse::<u16>).transpose().context("the port")?;
    anyhow::ensure!(port.is_some() || until == "exit", "'{until}' is neither ready:PORT nor exit");
    let mut command = Command::new(arguments.next().context("there is no command")?);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());

    let begun = Instant::now();
    let mut child = command.spawn().context("starting the command")?;
    match port {
        Some(port) => {
            let ready = probe::wait_ready(port, begun + LIMIT, || Ok(child.try_wait()?.is_none()));
            let elapsed = begun.elapsed();
            let resident = resident_kb(&child);
            child.kill()?;
            child.wait()?;
            ready?;
            println!("{} {}", elapsed.as_micros(), resident?);
        }
        None => {
            let status = child.wait()?;
            let elapsed = begun.elapsed();
            anyhow::ensure!(status.success(), "the command ended with {status}");
            println!("{}", elapsed.as_micros());
        }
    }
    Ok(())
}

/// `VmRSS` of the process.
fn resident_kb(child: &Child) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
