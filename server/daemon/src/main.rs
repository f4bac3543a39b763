//! `nerite`: serves the models of a repository over gRPC.

#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use nerite::serve::Ended;
use nerite::settings::{self, Command};
use nerite::{check, health, logging, serve};

/// Requests are allocated by the network's threads and freed by the engine's, which glibc's allocator answers with
/// locks; ARCHITECTURE.md has the figures.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run() {
        Ok(status) => status,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn complain(error: &anyhow::Error) {
    // Standard error may be closed; there is nowhere else to say it.
    let _ = writeln!(io::stderr(), "error: {error:#}");
}

fn run() -> anyhow::Result<ExitCode> {
    // Before any thread.
    let quiet = nerite_onnxruntime::opt_out_of_telemetry();
    match settings::parse(std::env::args_os(), std::env::vars_os())? {
        Command::Print(text) => {
            write!(io::stdout(), "{text}")?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Check(options) => check::check(&options, &mut io::stdout().lock()),
        Command::Health(listener) => {
            health::health(&listener)?;
            writeln!(io::stdout(), "ready")?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Serve(settings) => {
            let log = logging::init(&settings.log).context("the log cannot be opened")?;
            if !quiet {
                tracing::warn!("ONNX Runtime may report to its makers; set ORT_DISABLE_TELEMETRY=1");
            }
            settings.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            let ended = serve::serve(&settings, &log);
            if let Err(error) = &ended {
                log.complain(&format!("error: {error:#}\n"), logging::LAST_LINES);
            }
            log.flush(logging::LAST_LINES);
            leave(ended)
        }
    }
}

/// Ends the process after serving. Everything has been said.
fn leave(ended: anyhow::Result<Ended>) -> ! {
    let status = match ended {
        Ok(Ended::InOrder) => 0,
        Ok(Ended::CutShort) => 1,
        Err(_) => 1,
    };
    nerite_onnxruntime::exit_without_destructors(status)
}
