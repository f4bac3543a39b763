//! The file that traces are written to in Triton's format.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::mem;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::batch_processor::{Exporter, Finished, Limits};
use super::clock::Clock;
use super::record::Record;
use super::rules::Rule;
use super::triton_format;

/// A trace is in the file at most so much later.
pub(super) const LIMITS: Limits = Limits { waiting: 4_096, batch: 256, delay: Duration::from_millis(100) };

/// How many bytes of text may wait to be written.
const MOST_PENDING: usize = 1 << 20;

/// The end of an array, which the next trace is written over.
const END: &str = "\n]";

/// Writes traces to `FILE`, and where a log frequency is set to `FILE.0`, `FILE.1` and so on. Unlike in Triton, where
/// traces stay in memory until a file is complete, each is written when it is there, and what is there is always JSON.
pub(super) struct FileExporter {
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
    /// How long it is, with the end of the array.
    length: u64,
    /// How many traces it has, with those that are still to be written.
    traces: u64,
    pending: String,
    pending_traces: u64,
}

/// Traces that could not be written.
struct Lost {
    traces: u64,
    error: io::Error,
}

impl FileExporter {
    pub(super) fn new(path: PathBuf) -> FileExporter {
        let (whole, parts) = (None, HashMap::new());
        FileExporter { path, clock: Clock::steady(), index: 0, whole, parts, failing: false }
    }

    fn add(&mut self, record: &Record) -> Result<(), Lost> {
        let rule = record.trace.rule();
        let frequency = u64::from(rule.setting.log_frequency);
        let array = if frequency == 0 {
            whole(&mut self.whole, &self.path)
        } else {
            part(&mut self.parts, &rule.model, &self.path, &mut self.index)
        };
        let array = array.map_err(|error| Lost { traces: 1, error })?;
        array.add(record, &self.clock);
        let last = record.trace.is_last();
        if frequency > 0 && (array.traces >= frequency || last) {
            let flushed = array.flush();
            self.parts.remove(&rule.model);
            flushed
        } else if last {
            self.complete(rule)
        } else if array.pending.len() > MOST_PENDING {
            array.flush()
        } else {
            Ok(())
        }
    }

    /// There will be no more traces by a rule, and so the file gets an index, as in Triton.
    fn complete(&mut self, rule: &Rule) -> Result<(), Lost> {
        if let Some(mut array) = self.whole.take() {
            let flushed = array.flush();
            let to = indexed(&self.path, &mut self.index);
            tracing::info!("all {} requests to be traced have been, into {}", named(rule), to.display());
            fs::rename(&self.path, to).map_err(|error| Lost { traces: 0, error })?;
            flushed?;
        }
        Ok(())
    }
}

impl Exporter for FileExporter {
    fn take(&mut self, records: Vec<Finished>, dropped: &AtomicU64) {
        // Each is let go of before the next is written, which may then be the last that is open.
        let mut losses: Vec<Lost> =
            records.into_iter().filter_map(|record| self.add(&record).err()).collect();
        let arrays = self.whole.iter_mut().chain(self.parts.values_mut());
        losses.extend(arrays.filter_map(|array| array.flush().err()));
        dropped.fetch_add(losses.iter().map(|lost| lost.traces).sum(), Relaxed);
        if let Some(Lost { error, .. }) = losses.first()
            && !self.failing
        {
            tracing::error!("traces cannot be written to {}: {error}", self.path.display());
        }
        self.failing = !losses.is_empty();
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
        let file = File::create(path)?;
        Ok(Array { file, length: 0, traces: 0, pending: String::new(), pending_traces: 0 })
    }

    fn add(&mut self, record: &Record, clock: &Clock) {
        self.pending.push_str(if self.traces == 0 { "[\n" } else { ",\n" });
        triton_format::write(&mut self.pending, record, clock);
        self.traces += 1;
        self.pending_traces += 1;
    }

    /// Writes what is pending. What cannot be written is lost, and what was there before is as it was.
    fn flush(&mut self) -> Result<(), Lost> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.pending.push_str(END);
        let before = self.length.saturating_sub(END.len() as u64);
        let written = self.file.write_all_at(self.pending.as_bytes(), before);
        let bytes = mem::take(&mut self.pending).len() as u64;
        let traces = mem::take(&mut self.pending_traces);
        written.map(|()| self.length = before + bytes).map_err(|error| {
            self.traces -= traces;
            // On a full disk there is room again for the end, where the file has been cut off.
            let end = if self.length > 0 { END } else { "" };
            let _ = self.file.set_len(before).and_then(|()| self.file.write_all_at(end.as_bytes(), before));
            Lost { traces, error }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(file: File) -> Array {
        Array { file, length: 0, traces: 0, pending: String::new(), pending_traces: 0 }
    }

    fn put(array: &mut Array, trace: &str) {
        array.pending.push_str(if array.traces == 0 { "[\n" } else { ",\n" });
        array.pending.push_str(trace);
        array.traces += 1;
        array.pending_traces += 1;
    }

    #[test]
    fn what_was_written_is_json_whatever_cannot_be_written_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.json");
        let mut written = array(File::create(&path).unwrap());
        put(&mut written, "1");
        assert!(written.flush().is_ok());
        // A file that is open for reading alone is not written to.
        let writable = mem::replace(&mut written.file, File::open(&path).unwrap());
        put(&mut written, "2");
        put(&mut written, "3");
        assert!(written.flush().is_err_and(|lost| lost.traces == 2));
        assert_eq!(fs::read_to_string(&path).unwrap(), "[\n1\n]");
        written.file = writable;
        put(&mut written, "4");
        assert!(written.flush().is_ok());
        assert_eq!(fs::read_to_string(&path).unwrap(), "[\n1,\n4\n]");
    }
}
