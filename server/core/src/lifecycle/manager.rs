use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use nerite_backend::Cancel;

use super::parallel::in_parallel;
use super::state::{VersionState, settle};
use super::{Loader, OpenedModel, VersionOutcome};
use crate::model::{LoadError, OpenError};
use crate::registry::Registry;
use crate::repository::Scanned;

/// The one owner of every version's state. It publishes each change to the registry.
pub struct Manager {
    loader: Arc<Loader>,
    registry: Arc<Registry>,
    load_threads: usize,
    stop: Cancel,
    models: BTreeMap<String, BTreeMap<u64, VersionState>>,
}

/// A model, or a version of one, that could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadFailure {
    /// It never came to versions.
    Model {
        /// The model's name.
        model: String,
        /// The reason.
        error: OpenError,
    },
    /// One of its versions failed.
    Version {
        /// The model's name.
        model: String,
        /// The version.
        version: u64,
        /// The reason.
        error: LoadError,
    },
}

/// The texts are those of Triton, which hides the cause behind the first.
impl fmt::Display for LoadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadFailure::Model { model, error: OpenError::Unreadable(error) } => {
                write!(f, "failed to load '{model}', failed to poll from model repository: {error}")
            }
            LoadFailure::Model { model, error: OpenError::NoVersion(error) } => {
                write!(f, "load failed for model '{model}': {}", error.message)
            }
            LoadFailure::Version { model, version, error } => write!(
                f,
                "load failed for model '{model}': version {version} is at UNAVAILABLE state: {error};"
            ),
        }
    }
}

impl Manager {
    /// A manager of nothing yet, which loads with so many threads at once.
    pub fn new(loader: Arc<Loader>, registry: Arc<Registry>, load_threads: usize) -> Manager {
        Manager { loader, registry, load_threads, stop: Cancel::default(), models: BTreeMap::new() }
    }

    /// Once it is cancelled, no other model begins to be loaded.
    pub fn stop_signal(&self) -> Cancel {
        self.stop.clone()
    }

    /// Loads what was found, in parallel, and returns what failed. It blocks. A model is served as soon as every version
    /// that its policy selects is loaded; if one of them fails, none is.
    pub fn load_all(&mut self, found: Scanned) -> Vec<LoadFailure> {
        let Scanned { models, refused } = found;
        self.registry.announce(models.keys().chain(refused.keys()));
        let mut failures = Vec::new();
        for (model, reason) in refused {
            let error = OpenError::Unreadable(LoadError::internal(reason));
            self.model_failed(model, error, &mut failures);
        }
        let (loader, stop) = (Arc::clone(&self.loader), self.stop.clone());
        let models = models.into_values();
        let mut versions = Vec::new();
        let open = |directory| (Clone::clone(&directory), loader.open(directory));
        in_parallel(self.load_threads, models, &stop, open, |(directory, opened)| match opened {
            Ok(opened) => versions.extend(self.opened(opened)),
            Err(error) => self.model_failed(directory.name, error, &mut failures),
        });
        let load = |(model, version): (Arc<OpenedModel>, u64)| {
            let outcome = loader.load(&model, version, &Cancel::default());
            (model, version, outcome)
        };
        in_parallel(self.load_threads, versions.into_iter(), &stop, load, |(model, version, outcome)| {
            self.loaded(&model.directory.name, version, outcome, &mut failures);
        });
        failures
    }

    /// Stops serving: what waits is answered with an error, what is being executed is waited for, models are unloaded.
    pub async fn unload_all(&mut self) {
        let mut draining = Vec::new();
        for (name, versions) in &mut self.models {
            for (&version, state) in versions {
                let VersionState::Ready(ready) = state else { continue };
                // All are closed before any is waited for: an engine that hangs holds up no other model's callers.
                let ready = Arc::clone(ready);
                ready.close();
                *state = VersionState::Draining;
                self.registry.update(name, |entry| state.publish(version, entry));
                draining.push((name.clone(), version, ready));
            }
        }
        for (name, version, ready) in draining {
            ready.settled().await;
            drop(ready);
            self.enter(&name, version, VersionState::Unloaded);
        }
    }

    fn opened(&mut self, opened: OpenedModel) -> Vec<(Arc<OpenedModel>, u64)> {
        let opened = Arc::new(opened);
        let name = &opened.directory.name;
        opened.versions.iter().for_each(|&version| self.enter(name, version, VersionState::Loading));
        opened.versions.iter().map(|&version| (Arc::clone(&opened), version)).collect()
    }

    fn loaded(&mut self, name: &str, version: u64, outcome: VersionOutcome, failures: &mut Vec<LoadFailure>) {
        let state = match outcome {
            Ok(loaded) => VersionState::Loaded(loaded),
            Err(error) => {
                let failure = LoadFailure::Version { model: name.to_owned(), version, error: error.clone() };
                tracing::error!("{failure}");
                failures.push(failure);
                VersionState::Failed(error)
            }
        };
        let versions = self.models.entry(name.to_owned()).or_default();
        versions.insert(version, state);
        let moved = settle(versions);
        // At once, so that nobody finds a lower version where a higher one is ready too.
        self.registry.update(name, |entry| {
            versions.iter().for_each(|(&version, state)| state.publish(version, entry));
        });
        for version in moved {
            match &versions[&version] {
                VersionState::Withdrawn { failed } => tracing::warn!(
                    "unloaded '{name}' version {version}, because version {failed} could not be loaded"
                ),
                _ => tracing::info!("successfully loaded '{name}' version {version}"),
            }
        }
    }

    fn model_failed(&mut self, model: String, error: OpenError, failures: &mut Vec<LoadFailure>) {
        self.registry.update(&model, |entry| entry.failure = Some(error.clone()));
        let failure = LoadFailure::Model { model, error };
        tracing::error!("{failure}");
        failures.push(failure);
    }

    fn enter(&mut self, name: &str, version: u64, state: VersionState) {
        self.registry.update(name, |entry| state.publish(version, entry));
        self.models.entry(name.to_owned()).or_default().insert(version, state);
    }
}
