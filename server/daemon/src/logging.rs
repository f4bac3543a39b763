//! The log: what is written, where to, and what a line looks like.
//!
//! A line is Triton's: `I1124 04:04:07.123456 4711 model.rs:12] message key=value`. Times are UTC.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

use crate::settings::{Log, LogFormat};

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The file cannot be opened for appending.
    #[error("--log-file: cannot open {}: {reason}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why not.
        reason: io::Error,
    },
    /// Something in this process has set up a log before.
    #[error("the log is set up already")]
    Twice,
}

/// Sets up the log of the process, once: to standard error, or appended to a file of the user's.
///
/// Every line is one write, so that several processes may share a file.
pub fn init(log: &Log) -> Result<(), LoggingError> {
    let set = match &log.file {
        None => tracing::subscriber::set_global_default(subscriber(log, io::stderr)),
        Some(path) => {
            let file = open(path)?;
            tracing::subscriber::set_global_default(subscriber(log, Arc::new(file)))
        }
    };
    set.map_err(|_| LoggingError::Twice)
}

fn open(path: &PathBuf) -> Result<File, LoggingError> {
    let options = OpenOptions::new().append(true).create(true).open(path);
    options.map_err(|reason| LoggingError::File { file: path.clone(), reason })
}

fn subscriber<W>(log: &Log, writer: W) -> impl Subscriber + Send + Sync + use<W>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let levels = Levels::of(log);
    let most = levels.most_detailed();
    let filter = FilterFn::new(move |metadata| levels.admit(metadata)).with_max_level_hint(most);
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .event_format(Line { format: log.format, pid: std::process::id() })
        .with_writer(writer);
    tracing_subscriber::registry().with(layer.with_filter(filter))
}

/// What is written, by severity. Each can be turned off by itself, as in Triton.
#[derive(Debug, Clone, Copy)]
struct Levels {
    error: bool,
    warning: bool,
    info: bool,
    debug: bool,
    trace: bool,
}

impl Levels {
    fn of(log: &Log) -> Self {
        Self {
            error: log.error,
            warning: log.warning,
            info: log.info,
            debug: log.verbosity >= 1,
            trace: log.verbosity >= 2,
        }
    }

    /// Details are written of our own crates only: those of the libraries beneath would bury them.
    fn admit(self, metadata: &Metadata<'_>) -> bool {
        let ours = metadata.target().starts_with("nerite");
        match *metadata.level() {
            Level::ERROR => self.error,
            Level::WARN => self.warning,
            Level::INFO => self.info,
            Level::DEBUG => self.debug && ours,
            Level::TRACE => self.trace && ours,
        }
    }

    /// Lets what is never written cost nothing.
    fn most_detailed(self) -> LevelFilter {
        let by_detail = [
            (self.trace, LevelFilter::TRACE),
            (self.debug, LevelFilter::DEBUG),
            (self.info, LevelFilter::INFO),
            (self.warning, LevelFilter::WARN),
            (self.error, LevelFilter::ERROR),
        ];
        by_detail.iter().find(|(on, _)| *on).map_or(LevelFilter::OFF, |(_, level)| *level)
    }
}

/// Writes an event as a line.
#[derive(Debug)]
struct Line {
    format: LogFormat,
    pid: u32,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let now = Utc::at(SystemTime::now());
        match self.format {
            LogFormat::Default => write!(writer, "{}{}", letter(metadata.level()), now.short())?,
            LogFormat::Iso8601 => write!(writer, "{} {}", now.iso8601(), letter(metadata.level()))?,
        }
        let path = metadata.file().unwrap_or(metadata.target());
        let file = path.rsplit('/').next().unwrap_or(path);
        write!(writer, " {} {file}:{}] ", self.pid, metadata.line().unwrap_or(0))?;
        context.format_fields(Writer::new(&mut OneEntry(&mut writer)), event)?;
        writeln!(writer)
    }
}

fn letter(level: &Level) -> char {
    match *level {
        Level::ERROR => 'E',
        Level::WARN => 'W',
        // Triton has no letter of its own for details.
        Level::INFO | Level::DEBUG | Level::TRACE => 'I',
    }
}

/// Keeps an entry recognisable as one, whatever clients put into names and messages: further lines are indented,
/// and other control characters written as escapes.
struct OneEntry<'a, 'w>(&'a mut Writer<'w>);

impl fmt::Write for OneEntry<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| c.is_control() && c != '\t') {
            let (before, from) = rest.split_at(at);
            self.0.write_str(before)?;
            let mut characters = from.chars();
            match characters.next() {
                Some('\n') => self.0.write_str("\n    ")?,
                Some(control) => write!(self.0, "\\x{:02x}", u32::from(control))?,
                None => {}
            }
            rest = characters.as_str();
        }
        self.0.write_str(rest)
    }
}

/// A moment, as the calendar and the clock in Greenwich show it.
#[derive(Debug, PartialEq, Eq)]
struct Utc {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    microsecond: u32,
}

impl Utc {
    /// Moments before 1970 are taken for its beginning.
    fn at(time: SystemTime) -> Self {
        let since: Duration = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since.as_secs();
        let (year, month, day) = date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        Self { year, month, day, hour, minute, second, microsecond: since.subsec_micros() }
    }

    fn short(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(move |f| {
            let Self { month, day, hour, minute, second, microsecond, .. } = self;
            write!(f, "{month:02}{day:02} {hour:02}:{minute:02}:{second:02}.{microsecond:06}")
        })
    }

    fn iso8601(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(move |f| {
            let Self { year, month, day, hour, minute, second, .. } = self;
            write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
        })
    }
}

/// Year, month and day of the month, of a number of days after 1 January 1970.
fn date(days: u64) -> (u64, u64, u64) {
    // The calendar repeats itself every 400 years, which have 97 leap days.
    const CYCLE: u64 = 400 * 365 + 97;
    let (mut year, mut days) = (1970 + days / CYCLE * 400, days % CYCLE);
    while days >= 365 + leap_day(year) {
        days -= 365 + leap_day(year);
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + leap_day(year), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

fn leap_day(year: u64) -> u64 {
    let leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    leap.into()
}

#[cfg(test)]
mod tests;
