//! The log of inference requests, on demand: a line for each, or for one in so many.
//!
//! ```text
//! a call: AccessLog::begin ──▶ OpenEntry, filled as the call goes ──▶ Entry ──▶ Backlog ──▶ the thread that formats and writes
//! ```
//!
//! A call pays for its entry, and never waits: where the thread cannot go on, what finds no room is dropped and counted.

mod entry;
mod open_entry;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::num::NonZeroU32;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use http::Request;

use self::entry::Entry;
use crate::logging::{Backlog, LogControl, LoggingError, Outlet, open, standard_error, write_patiently};
use crate::settings::{AccessLog as Settings, AccessLogTo};

pub(crate) use self::open_entry::OpenEntry;

/// How many entries may wait for the thread. Each has 1 KiB at most.
const ROOM: usize = 16 << 10;
/// How long entries come together before they are written, so that not each of them calls the thread.
const TOGETHER: Duration = Duration::from_millis(5);
/// How much is written at a time, in bytes.
const PIECE: usize = 64 << 10;

/// The log of inference requests.
pub(crate) struct AccessLog {
    backlog: Backlog<Box<Entry>>,
    sample: NonZeroU32,
    /// How many requests came since the last that was taken down.
    passed: AtomicU32,
}

impl AccessLog {
    /// Opens it if it is wanted, and starts the thread that writes it, in the format that `log` has at the time.
    pub(crate) fn open(
        settings: &Settings,
        log: &Arc<LogControl>,
    ) -> Result<Option<Arc<AccessLog>>, LoggingError> {
        let to = match &settings.to {
            AccessLogTo::Off => return Ok(None),
            // Two writers to one pipe would tear each other's lines, and make each other wait.
            AccessLogTo::StandardError if log.file().is_none() => To::Log(Arc::clone(log.outlet())),
            AccessLogTo::StandardError => To::File(standard_error().map_err(LoggingError::StandardError)?),
            AccessLogTo::File(path) => To::File(open("access-log", path)?),
        };
        Self::start(to, settings.sample, log).map(Some)
    }

    fn start(to: To, sample: NonZeroU32, log: &Arc<LogControl>) -> Result<Arc<AccessLog>, LoggingError> {
        let access = Arc::new(AccessLog { backlog: Backlog::default(), sample, passed: AtomicU32::new(0) });
        let (writer, log) = (Arc::clone(&access), Arc::clone(log));
        let thread = thread::Builder::new().name("nerite-access".to_owned());
        thread.spawn(move || writer.write_on(&to, &log)).map_err(LoggingError::Thread)?;
        Ok(access)
    }

    /// Begins the record of a request, if it is one of those to be taken down.
    pub(crate) fn begin<B>(self: &Arc<Self>, request: &Request<B>) -> Option<OpenEntry> {
        let sample = self.sample.get();
        // The first of so many, whichever threads they come on.
        let is_taken = sample == 1 || self.passed.fetch_add(1, Relaxed).is_multiple_of(sample);
        is_taken.then(|| OpenEntry::new(Arc::clone(self), request))
    }

    /// How many entries were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.backlog.dropped()
    }

    /// Waits until all is written, at most so long.
    pub(crate) fn flush(&self, limit: Duration) -> bool {
        self.backlog.flush(limit)
    }

    fn write_on(&self, to: &To, log: &LogControl) {
        let (mut entries, mut text) = (Vec::new(), String::new());
        let mut fails = false;
        loop {
            self.backlog.take(&mut entries);
            let mut rest = entries.as_slice();
            while !rest.is_empty() {
                let before = rest.len();
                text.clear();
                while let [entry, others @ ..] = rest
                    && text.len() < to.piece()
                {
                    entry.write(&mut text, log.levels().format, process::id());
                    rest = others;
                }
                let written = to.write(text.as_bytes());
                if let Err(error) = &written {
                    self.backlog.lose((before - rest.len()) as u64);
                    if !fails {
                        tracing::error!("the access log cannot be written: {error}");
                    }
                }
                fails = written.is_err();
            }
            self.backlog.gather(TOGETHER);
        }
    }
}

/// Where it is written to.
enum To {
    File(File),
    /// Between the lines of the log, which then counts those that it has to drop.
    Log(Arc<Outlet>),
}

impl To {
    /// From how many bytes on lines are written, however many more there are.
    fn piece(&self) -> usize {
        match self {
            To::File(_) => PIECE,
            // One line, for each may be dropped.
            To::Log(_) => 1,
        }
    }

    fn write(&self, text: &[u8]) -> io::Result<()> {
        match self {
            To::File(file) => write_patiently(file, text),
            To::Log(outlet) => {
                outlet.write_beside(text);
                Ok(())
            }
        }
    }
}
