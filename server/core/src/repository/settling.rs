use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::directory::ModelDirectory;

/// For how long after it was last written to a file that was not closed holds up the end of a change.
const OPEN_FILE_PATIENCE: Duration = Duration::from_secs(60);

/// What a look at a model found, where it found something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// Its directory.
    Model(ModelDirectory),
    /// A directory that cannot be served, and why.
    Refused(String),
}

/// A change of a model that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new, or its files are other ones.
    Present(ModelDirectory),
    /// Its directory cannot be served any more.
    Refused {
        /// The model.
        name: String,
        /// Why.
        reason: String,
    },
    /// It is gone.
    Absent {
        /// The model.
        name: String,
    },
}

/// Decides when a change of a model is over: when two looks that are a window apart, and all between, found the same, and
/// no file is known to be open for writing.
///
/// A look is told by [`Settling::observe`]. When [`Settling::next`] has come, [`Settling::due`] says which models to look
/// at again, and after that [`Settling::settled`] gives the changes that are over.
#[derive(Debug)]
pub struct Settling {
    window: Duration,
    /// As told of last.
    known: BTreeMap<String, Sighting>,
    /// What was found to differ from what is known.
    pending: BTreeMap<String, Pending>,
    /// The files that are open for writing, by model, and when each was last written to.
    open: BTreeMap<String, BTreeMap<PathBuf, Instant>>,
}

#[derive(Debug)]
struct Pending {
    seen: Option<Sighting>,
    /// When it was seen first.
    since: Instant,
    /// When it was seen last, with nothing else between.
    last: Instant,
}

impl Settling {
    /// Nothing pending, where this is known.
    pub fn new(window: Duration, known: BTreeMap<String, Sighting>) -> Settling {
        Settling { window, known, pending: BTreeMap::new(), open: BTreeMap::new() }
    }

    /// Takes note of what a look at a model found; `None` if there is no such model.
    pub fn observe(&mut self, name: &str, seen: Option<Sighting>, now: Instant) {
        if seen.is_none() {
            self.open.remove(name);
        }
        if self.known.get(name) == seen.as_ref() {
            self.pending.remove(name);
            return;
        }
        match self.pending.get_mut(name) {
            Some(pending) if pending.seen == seen => pending.last = now,
            _ => drop(self.pending.insert(name.to_owned(), Pending { seen, since: now, last: now })),
        }
    }

    /// Takes note that a model could not be looked at: nothing is said of it until it is looked at again.
    pub fn dismiss(&mut self, name: &str) {
        self.pending.remove(name);
        self.open.remove(name);
    }

    /// A file of a model was written to and is still open.
    pub fn writing(&mut self, name: &str, file: &Path, now: Instant) {
        self.open.entry(name.to_owned()).or_default().insert(file.to_owned(), now);
    }

    /// A file of a model was closed; or it, or the directory that it was in, is gone from there.
    pub fn written(&mut self, name: &str, file: &Path) {
        if let Some(files) = self.open.get_mut(name) {
            files.retain(|open, _| !open.starts_with(file));
            if files.is_empty() {
                self.open.remove(name);
            }
        }
    }

    /// Nothing is known any more of which files are open.
    pub fn forget_writing(&mut self) {
        self.open.clear();
    }

    /// When to look again at what is pending.
    pub fn next(&self) -> Option<Instant> {
        self.pending.iter().map(|(name, pending)| self.end(name, pending)).min()
    }

    /// The models to look at again now.
    pub fn due(&self, now: Instant) -> Vec<String> {
        let due = self.pending.iter().filter(|(name, pending)| self.end(name, pending) <= now);
        due.map(|(name, _)| name.clone()).collect()
    }

    /// The changes that are over, each told of once. What they led to is known from now on.
    pub fn settled(&mut self, now: Instant) -> Vec<Change> {
        let is_over = |name: &str, pending: &Pending| {
            let end = self.end(name, pending);
            end <= now && end <= pending.last
        };
        let over = self.pending.iter().filter(|(name, pending)| is_over(name, pending));
        let over: Vec<String> = over.map(|(name, _)| name.clone()).collect();
        over.into_iter().filter_map(|name| self.settle(name)).collect()
    }

    /// What is known of a model.
    pub fn known(&self, name: &str) -> Option<&Sighting> {
        self.known.get(name)
    }

    /// The models that are known or pending, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.known.keys().chain(self.pending.keys()).cloned().collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// When the change is over if nothing else happens.
    fn end(&self, name: &str, pending: &Pending) -> Instant {
        let closed = self.open.get(name).and_then(|files| files.values().max());
        let closed = closed.map(|&written| written + OPEN_FILE_PATIENCE);
        closed.into_iter().fold(pending.since + self.window, Instant::max)
    }

    fn settle(&mut self, name: String) -> Option<Change> {
        self.open.remove(&name);
        let seen = self.pending.remove(&name)?.seen;
        let Some(sighting) = seen else {
            self.known.remove(&name);
            return Some(Change::Absent { name });
        };
        self.known.insert(name.clone(), sighting.clone());
        Some(match sighting {
            Sighting::Model(model) => Change::Present(model),
            Sighting::Refused(reason) => Change::Refused { name, reason },
        })
    }
}

#[cfg(test)]
mod tests;
