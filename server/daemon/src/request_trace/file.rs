//! The file that traces are written to in Triton's format.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::book::Rule;
use super::clock::Clock;
use super::collector::{Finished, Limits, Sink};
use super::json;
use super::record::Record;

/// A trace is in the file at most so much later.
pub(super) const LIMITS: Limits = Limits { waiting: 4_096, batch: 256, delay: Duration::from_millis(100) };

/// The end of an array, which the next trace is written over.
const END: &str = "\n]";

/// Writes traces to `FILE`, and where a log frequency is set to `FILE.0`, `FILE.1` and so on. Unlike in Triton, where
/// traces stay in memory until a file is complete, each is written when it is there, and what is there is always JSON.
pub(super) struct FileSink {
    path: PathBuf,
    clock: Clock,
    /// The next index.
    index: u64,
    /// The file without an index.
    whole: Option<Array>,
    /// The files with an index that are not full, by the model whose own rule it is.
    parts: HashMap<String, Array>,
    /// Whether the last attempt to write failed.
    failing: bool,
}

/// An array of traces in a file.
struct Array {
    file: File,
    traces: u64,
    /// What is still to be written.
    pending: String,
}

impl FileSink {
    pub(super) fn new(path: PathBuf) -> FileSink {
        let (whole, parts) = (None, HashMap::new());
        FileSink { path, clock: Clock::steady(), index: 0, whole, parts, failing: false }
    }

    fn add(&mut self, record: &Record) -> io::Result<()> {
        let rule = &record.rule;
        let frequency = u64::from(rule.setting.log_frequency);
        let array = if frequency == 0 {
            whole(&mut self.whole, &self.path)?
        } else {
            part(&mut self.parts, &rule.model, &self.path, &mut self.index)?
        };
        array.add(record, &self.clock);
        let last = rule.close_one();
        if frequency > 0 && (array.traces >= frequency || last) {
            array.flush()?;
            self.parts.remove(&rule.model);
        } else if last {
            self.complete(rule)?;
        }
        Ok(())
    }

    /// There will be no more traces by a rule, and so the file gets an index, as in Triton.
    fn complete(&mut self, rule: &Rule) -> io::Result<()> {
        if let Some(mut array) = self.whole.take() {
            array.flush()?;
            let to = indexed(&self.path, &mut self.index);
            tracing::info!("all {} requests to be traced have been, into {}", named(rule), to.display());
            fs::rename(&self.path, to)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.whole.iter_mut().chain(self.parts.values_mut()).try_for_each(Array::flush)
    }
}

impl Sink for FileSink {
    fn take(&mut self, records: Vec<Finished>, dropped: &AtomicU64) {
        let count = records.len() as u64;
        let written = records.iter().try_for_each(|record| self.add(record)).and_then(|()| self.flush());
        match written {
            Ok(()) => self.failing = false,
            Err(error) => {
                dropped.fetch_add(count, Relaxed);
                // Begun anew with the next: what is half written is no JSON.
                self.whole = None;
                self.parts.clear();
                if !self.failing {
                    tracing::error!("traces cannot be written to {}: {error}", self.path.display());
                }
                self.failing = true;
            }
        }
    }
}

fn named(rule: &Rule) -> String {
    if rule.model.is_empty() { String::new() } else { format!("of model '{}'", rule.model) }
}

fn whole<'a>(array: &'a mut Option<Array>, path: &Path) -> io::Result<&'a mut Array> {
    match array {
        Some(array) => Ok(array),
        None => Ok(array.insert(Array::create(path)?)),
    }
}

fn part<'a>(
    parts: &'a mut HashMap<String, Array>,
    model: &str,
    path: &Path,
    index: &mut u64,
) -> io::Result<&'a mut Array> {
    if !parts.contains_key(model) {
        parts.insert(model.to_owned(), Array::create(&indexed(path, index))?);
    }
    parts.get_mut(model).ok_or_else(|| io::Error::other("it was put there above"))
}

/// The path with the next index.
fn indexed(path: &Path, index: &mut u64) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{index}"));
    *index += 1;
    name.into()
}

impl Array {
    fn create(path: &Path) -> io::Result<Array> {
        Ok(Array { file: File::create(path)?, traces: 0, pending: String::new() })
    }

    fn add(&mut self, record: &Record, clock: &Clock) {
        self.pending.push_str(if self.traces == 0 { "[\n" } else { ",\n" });
        json::write(&mut self.pending, record, clock);
        self.traces += 1;
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.pending.push_str(END);
        if self.file.stream_position()? > 0 {
            self.file.seek(SeekFrom::End(-(END.len() as i64)))?;
        }
        self.file.write_all(self.pending.as_bytes())?;
        self.pending.clear();
        Ok(())
    }
}
