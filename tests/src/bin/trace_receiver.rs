//! A receiver of OpenTelemetry's traces that forgets them. Prints its port, and lives until its standard input ends.

use std::io::{self, Read, Write};

use nerite_tests::otlp::{Manner, Receiver};

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let receiver = runtime.block_on(Receiver::start(Manner::Forgets))?;
    writeln!(io::stdout(), "{}", receiver.port())?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
