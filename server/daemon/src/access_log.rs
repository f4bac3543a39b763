//! The log of inference requests, on demand: a line for each, or for one in so many.
//!
//! ```text
//! a call: AccessLog::begin ──▶ Record, filled as the call goes ──▶ Entry ──▶ Backlog ──▶ the thread that formats and writes
//! ```
//!
//! A call pays for its entry, and never waits: where the thread cannot go on, what finds no room is dropped and counted.

mod entry;
mod record;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::num::NonZeroU32;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use http::Request;

use self::entry::Entry;
use crate::logging::{Backlog, LogControl, LoggingError, open, standard_error, write_patiently};
use crate::settings::{AccessLog as Settings, AccessLogTo};

pub(crate) use self::record::Record;

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
        let file = match &settings.to {
            AccessLogTo::Off => return Ok(None),
            AccessLogTo::StandardError => standard_error().map_err(LoggingError::StandardError)?,
            AccessLogTo::File(path) => open("access-log", path)?,
        };
        Self::start(file, settings.sample, log).map(Some)
    }

    fn start(file: File, sample: NonZeroU32, log: &Arc<LogControl>) -> Result<Arc<AccessLog>, LoggingError> {
        let access = Arc::new(AccessLog { backlog: Backlog::default(), sample, passed: AtomicU32::new(0) });
        let (writer, log) = (Arc::clone(&access), Arc::clone(log));
        let thread = thread::Builder::new().name("nerite-access".to_owned());
        thread.spawn(move || writer.write_on(&file, &log)).map_err(LoggingError::Thread)?;
        Ok(access)
    }

    /// Begins the record of a request, if it is one of those to be taken down.
    pub(crate) fn begin<B>(self: &Arc<Self>, request: &Request<B>) -> Option<Record> {
        let sample = self.sample.get();
        // The first of so many, whichever threads they come on.
        let is_taken = sample == 1 || self.passed.fetch_add(1, Relaxed).is_multiple_of(sample);
        is_taken.then(|| Record::new(Arc::clone(self), request))
    }

    /// How many entries were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.backlog.dropped()
    }

    /// Waits until all is written, at most so long.
    pub(crate) fn flush(&self, limit: Duration) -> bool {
        self.backlog.flush(limit)
    }

    fn write_on(&self, file: &File, log: &LogControl) {
        let (mut entries, mut text) = (Vec::new(), String::new());
        let pid = process::id();
        let mut fails = false;
        loop {
            self.backlog.take(&mut entries);
            let mut rest = entries.as_slice();
            while !rest.is_empty() {
                let (format, before) = (log.levels().format, rest.len());
                text.clear();
                while let [entry, others @ ..] = rest
                    && text.len() < PIECE
                {
                    entry.write(&mut text, format, pid);
                    rest = others;
                }
                let written = write_patiently(file, text.as_bytes());
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
