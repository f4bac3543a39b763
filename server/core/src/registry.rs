//! The models that are served, and what became of the others.

mod loads;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use nerite_backend::Code;
use tokio::sync::watch;

use crate::changes::Changes;
use crate::model::OpenError;
use crate::version::ModelVersion;

pub use loads::LoadCounts;

/// The state of a model version as users see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicState {
    /// It is being loaded.
    Loading,
    /// It is served.
    Ready,
    /// It finishes its last requests.
    Unloading,
    /// It is not served; the reason says why.
    Unavailable,
}

impl PublicState {
    /// The name in the repository index.
    pub fn name(self) -> &'static str {
        match self {
            PublicState::Loading => "LOADING",
            PublicState::Ready => "READY",
            PublicState::Unloading => "UNLOADING",
            PublicState::Unavailable => "UNAVAILABLE",
        }
    }
}

/// A version of a model, or the model itself where none of its versions is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it does.
    pub state: PublicState,
    /// Why it does not serve; empty if it does.
    pub reason: String,
}

/// The reason of a version that is not served because it was unloaded; as in Triton.
pub(crate) const UNLOADED: &str = "unloaded";

impl Status {
    /// Whether it is not served because it was unloaded, and not for any failure.
    pub fn is_unloaded(&self) -> bool {
        self.state == PublicState::Unavailable && self.reason == UNLOADED
    }
}

/// What is known of a model; replaced as a whole when anything of it changes.
#[derive(Clone, Default)]
pub struct ModelEntry {
    /// The versions that are served.
    pub ready: BTreeMap<u64, Arc<ModelVersion>>,
    /// Whether it is to be loaded and its configuration has not been read yet.
    pub is_opening: bool,
    /// What became of each version.
    pub versions: BTreeMap<u64, Status>,
    /// Why the last load of the model never came to versions, if so.
    pub failure: Option<OpenError>,
}

impl ModelEntry {
    /// What became of the model itself, if it never came to versions.
    pub fn model_status(&self) -> Option<Status> {
        if self.is_opening {
            return Some(Status { state: PublicState::Loading, reason: String::new() });
        }
        let failure = self.failure.as_ref()?;
        Some(Status { state: PublicState::Unavailable, reason: failure.to_string() })
    }
}

/// The models that are served. A lookup takes no lock and never waits for a load.
#[derive(Default)]
pub struct Registry {
    models: ArcSwap<HashMap<Arc<str>, Arc<ArcSwap<ModelEntry>>>>,
    loads: LoadCounts,
    changes: Changes,
}

/// Why a lookup found nothing to serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// There is no model of that name, or nothing that could be read of it but the name.
    #[error("Request for unknown model: '{model}' is not found")]
    UnknownModel {
        /// The name.
        model: String,
    },
    /// The model has no such version.
    #[error("Request for unknown model: '{model}' version {version} is not found")]
    UnknownVersion {
        /// The model's name.
        model: String,
        /// The version asked for.
        version: u64,
    },
    /// None of the model's versions is served.
    #[error("Request for unknown model: '{model}' has no available versions")]
    NothingReady {
        /// The model's name.
        model: String,
    },
    /// That version is not served.
    #[error("Request for unknown model: '{model}' version {version} is not at ready state")]
    NotReady {
        /// The model's name.
        model: String,
        /// The version asked for.
        version: u64,
    },
}

impl LookupError {
    /// The kind of failure.
    pub fn code(&self) -> Code {
        match self {
            LookupError::NotReady { .. } => Code::Unavailable,
            _ => Code::NotFound,
        }
    }
}

impl Registry {
    /// The version of the model that a request names; without one, the highest that is ready.
    pub fn lookup(&self, model: &str, version: Option<u64>) -> Result<Arc<ModelVersion>, LookupError> {
        let models = self.models.load();
        let Some(entry) = models.get(model) else {
            return Err(LookupError::UnknownModel { model: model.to_owned() });
        };
        let entry = entry.load();
        let found = match version {
            Some(version) => entry.ready.get(&version),
            None => entry.ready.last_key_value().map(|(_, version)| version),
        };
        found.cloned().ok_or_else(|| not_found(model, version, &entry))
    }

    /// What became of loads so far.
    pub fn loads(&self) -> &LoadCounts {
        &self.loads
    }

    /// The entry of a model.
    pub fn entry(&self, model: &str) -> Option<Arc<ModelEntry>> {
        self.models.load().get(model).map(|entry| entry.load_full())
    }

    /// Every model with its entry, by name.
    pub fn entries(&self) -> BTreeMap<Arc<str>, Arc<ModelEntry>> {
        self.models.load().iter().map(|(name, entry)| (Arc::clone(name), entry.load_full())).collect()
    }

    /// Whether that is so of every model.
    pub fn all(&self, is_so: impl Fn(&ModelEntry) -> bool) -> bool {
        self.models.load().values().all(|entry| is_so(&entry.load()))
    }

    /// Tells of every change of what is known of any model, and of instances that come or cease to be such as can be
    /// counted on. A lookup changes nothing.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Every version that is served, by model name and version.
    pub fn ready(&self) -> Vec<Arc<ModelVersion>> {
        self.entries().values().flat_map(|entry| entry.ready.values().cloned()).collect()
    }

    /// No more requests will come: what waits is executed, and no sequence is kept for what cannot follow.
    pub fn retire(&self) {
        self.ready().iter().for_each(|version| version.retire());
    }

    /// Returns when every request that a served version has taken was released. Others are still taken: who wants none
    /// refuses them first.
    pub async fn settled(&self) {
        for version in self.ready() {
            version.settled().await;
        }
    }

    /// Makes models known; those that already are keep their entries. Only the lifecycle's one owner calls this.
    pub(crate) fn announce<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let known = self.models.load();
        let mut new = names.filter(|name| !known.contains_key(*name)).peekable();
        if new.peek().is_none() {
            return;
        }
        let mut models = HashMap::clone(&known);
        models.extend(new.map(|name| (Arc::from(name), Arc::default())));
        self.models.store(Arc::new(models));
        self.changes.notify();
    }

    /// Replaces what is known of an announced model. Only the lifecycle's one owner calls this.
    pub(crate) fn publish(&self, model: &str, entry: ModelEntry) {
        if let Some(known) = self.models.load().get(model) {
            entry.ready.values().for_each(|version| version.notify_of_soundness(&self.changes));
            let entry = Arc::new(entry);
            let former = known.swap(Arc::clone(&entry));
            let is_kept = |version: &Arc<ModelVersion>| {
                entry.ready.get(&version.version).is_some_and(|kept| Arc::ptr_eq(kept, version))
            };
            former.ready.values().filter(|version| !is_kept(version)).for_each(|version| version.retire());
            self.changes.notify();
        }
    }

    /// Forgets a model. Only the lifecycle's one owner calls this.
    pub(crate) fn forget(&self, model: &str) {
        let mut models = HashMap::clone(&self.models.load());
        if models.remove(model).is_some() {
            self.models.store(Arc::new(models));
            self.changes.notify();
        }
    }
}

fn not_found(model: &str, version: Option<u64>, entry: &ModelEntry) -> LookupError {
    let model = model.to_owned();
    match version {
        _ if entry.ready.is_empty() && matches!(entry.failure, Some(OpenError::Unreadable(_))) => {
            LookupError::UnknownModel { model }
        }
        None => LookupError::NothingReady { model },
        Some(version) if entry.versions.contains_key(&version) => LookupError::NotReady { model, version },
        Some(version) => LookupError::UnknownVersion { model, version },
    }
}
