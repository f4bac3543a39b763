//! The log: what is written, where to, and what a line looks like.
//!
//! A line is Triton's: `I1124 04:04:07.123456 4711 model.rs:12] message key=value`, or an object of JSON. Times are UTC.

mod backlog;
mod control;
mod json;
mod line;
mod outlet;
mod plugin;
mod utc;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tracing::Subscriber;
use tracing_subscriber::Layer as _;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

use self::control::Admit;
use self::line::Line;
use self::outlet::Lines;
use crate::settings::Log;

pub(crate) use self::backlog::Backlog;
pub use self::control::LogControl;
pub(crate) use self::control::LogLevels;
pub(crate) use self::json::string as json_string;
pub(crate) use self::outlet::{Outlet, standard_error, write_patiently};
pub(crate) use self::utc::Utc;

/// How long to wait at the end for whoever reads a log.
pub const LAST_LINES: Duration = Duration::from_secs(1);

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The file cannot be opened for appending.
    #[error("--{flag}: cannot open {}: {reason}", file.display())]
    File {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        file: PathBuf,
        /// Why not.
        reason: io::Error,
    },
    /// Standard error cannot be written to.
    #[error("standard error cannot be written to: {0}")]
    StandardError(io::Error),
    /// The thread that writes cannot start.
    #[error("the thread that writes the access log cannot start: {0}")]
    Thread(io::Error),
    /// Something in this process has set up a log before.
    #[error("the log is set up already")]
    Twice,
}

/// Sets up the log of the process, once: to standard error, or appended to a file of the user's.
///
/// Every line is one write, so that several processes may share a file.
pub fn init(log: &Log) -> Result<Arc<LogControl>, LoggingError> {
    let file = match &log.file {
        None => standard_error().map_err(LoggingError::StandardError)?,
        Some(path) => open("log-file", path)?,
    };
    let outlet = Outlet::new(file);
    let control = LogControl::new(log, Arc::clone(&outlet));
    let set = tracing::subscriber::set_global_default(subscriber(&control, Lines(outlet)));
    set.map_err(|_| LoggingError::Twice)?;
    Ok(control)
}

/// Opens the file that a flag names, for appending.
pub(crate) fn open(flag: &'static str, path: &Path) -> Result<File, LoggingError> {
    outlet::open(path).map_err(|reason| LoggingError::File { flag, file: path.to_owned(), reason })
}

fn subscriber<W>(control: &Arc<LogControl>, writer: W) -> impl Subscriber + Send + Sync + use<W>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        // The outlet counts what cannot be written; the layer would complain of each, on a standard error that may hang.
        .log_internal_errors(false)
        .event_format(Line { control: Arc::clone(control), pid: std::process::id() })
        .with_writer(writer);
    tracing_subscriber::registry().with(layer.with_filter(Admit(Arc::clone(control))))
}

#[cfg(test)]
mod tests;
