use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use nerite_backend::Cancel;

use super::parallel::in_parallel;
use super::state::VersionState;
use super::{Loader, OpenedModel, VersionOutcome};
use crate::model::LoadError;
use crate::registry::{PublicState, Registry, Status};
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
pub struct LoadFailure {
    /// The model's name.
    pub model: String,
    /// The version, if it came to that.
    pub version: Option<u64>,
    /// The reason.
    pub error: LoadError,
}

impl fmt::Display for LoadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LoadFailure { model, version, error } = self;
        match version {
            Some(version) => {
                write!(
                    f,
                    "load failed for model '{model}': version {version} is at UNAVAILABLE state: {error};"
                )
            }
            None => write!(f, "failed to load '{model}': {error}"),
        }
    }
}

impl Manager {
    /// A manager of nothing yet, which loads with so many threads at once.
    pub fn new(loader: Arc<Loader>, registry: Arc<Registry>, load_threads: usize) -> Manager {
        Manager { loader, registry, load_threads, stop: Cancel::default(), models: BTreeMap::new() }
    }

    /// Once it is cancelled, no other model begins to be loaded.
    pub fn stop(&self) -> Cancel {
        self.stop.clone()
    }

    /// Loads what was found, in parallel, and returns what failed once each version is ready or failed, or it was told to
    /// stop. It blocks.
    pub fn load_all(&mut self, found: Scanned) -> Vec<LoadFailure> {
        let Scanned { models, refused } = found;
        self.registry.announce(models.keys().chain(refused.keys()));
        let mut failures = Vec::new();
        for (model, reason) in refused {
            self.model_failed(model, LoadError::internal(reason), &mut failures);
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
            let outcome = loader.load(&model, version);
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
            Ok(ready) => {
                tracing::info!("successfully loaded '{name}' version {version}");
                VersionState::Ready(ready)
            }
            Err(error) => {
                let failure =
                    LoadFailure { model: name.to_owned(), version: Some(version), error: error.clone() };
                tracing::error!("{failure}");
                failures.push(failure);
                VersionState::Failed(error)
            }
        };
        self.enter(name, version, state);
    }

    fn model_failed(&mut self, model: String, error: LoadError, failures: &mut Vec<LoadFailure>) {
        let status = Status { state: PublicState::Unavailable, reason: error.to_string() };
        self.registry.update(&model, |entry| entry.model = Some(status));
        let failure = LoadFailure { model, version: None, error };
        tracing::error!("{failure}");
        failures.push(failure);
    }

    fn enter(&mut self, name: &str, version: u64, state: VersionState) {
        self.registry.update(name, |entry| state.publish(version, entry));
        self.models.entry(name.to_owned()).or_default().insert(version, state);
    }
}
