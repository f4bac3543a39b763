use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use nerite_backend::{Cancel, Model};

use super::guard::guarded;
use super::life::{Loaded, Provenance, Serial};
use super::loader::{Composed, LoadOrder};
use super::{Loader, OpenedModel, Source};
use crate::execution::OnGone;
use crate::model::{LoadError, OpenError};
use crate::registry::Registry;
use crate::repository::{Found, find};
use crate::statistics::Statistics;
use crate::version::ModelVersion;

/// A loaded version with its number and what it was loaded from.
#[derive(Clone)]
pub(super) struct TrackedVersion {
    serial: Serial,
    pub(super) version: Arc<ModelVersion>,
    provenance: Provenance,
}

impl Loaded for TrackedVersion {
    fn serial(&self) -> Serial {
        self.serial
    }

    fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    fn is_sound(&self) -> bool {
        self.version.is_sound()
    }
}

/// A step of a load, to be done on a thread that may block.
pub(super) enum Job {
    /// Reads a configuration.
    Open(Box<OpenJob>),
    /// Loads a version.
    Load(Box<LoadJob>),
}

pub(super) struct OpenJob {
    pub(super) name: String,
    /// The number of the load that it belongs to.
    pub(super) load: Serial,
    pub(super) source: Source,
    pub(super) cancel: Cancel,
    /// Where the models of an ensemble are looked for.
    pub(super) repositories: Arc<[PathBuf]>,
}

pub(super) struct LoadJob {
    /// The number of the load that it belongs to.
    pub(super) load: Serial,
    pub(super) model: Arc<OpenedModel>,
    pub(super) version: u64,
    /// The weights of the same files, if they are loaded already.
    pub(super) weights: Option<Arc<dyn Model>>,
    /// The account that goes on, if there is one. The version that it was begun for is not kept for it: a load may take
    /// for ever.
    pub(super) account: Option<Arc<Statistics>>,
    /// The models of an ensemble, by step, and the numbers of what they are.
    pub(super) steps: Vec<(Serial, Arc<ModelVersion>)>,
    /// Where an ensemble finds its models.
    pub(super) registry: Weak<Registry>,
    /// The number of what will be loaded.
    pub(super) serial: Serial,
    pub(super) retries: u32,
    pub(super) cancel: Cancel,
    pub(super) on_gone: OnGone,
}

/// What a job came to.
pub(super) enum Outcome {
    /// Nobody wanted it any more.
    Skipped,
    /// A change of the files has begun, so that nothing can be said of them.
    Changed {
        name: String,
        load: Serial,
    },
    Opened {
        name: String,
        load: Serial,
        outcome: Result<Arc<OpenedModel>, OpenError>,
        /// The models of an ensemble that are there.
        found: Vec<(String, Found)>,
    },
    Loaded {
        name: String,
        load: Serial,
        version: u64,
        outcome: Result<Box<TrackedVersion>, LoadError>,
    },
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Job::Open(job) => write!(f, "reading the configuration of '{}'", job.name),
            Job::Load(job) => write!(f, "loading '{}' version {}", job.model.name(), job.version),
        }
    }
}

impl Job {
    /// Whether nobody wants it any more.
    pub(super) fn is_cancelled(&self) -> bool {
        match self {
            Job::Open(job) => job.cancel.is_cancelled(),
            Job::Load(job) => job.cancel.is_cancelled(),
        }
    }

    /// Does it; it may take long. A panic is a failure of the model.
    pub(super) fn run(self, loader: &Loader) -> Outcome {
        match self {
            job if job.is_cancelled() => Outcome::Skipped,
            Job::Open(job) => job.run(loader),
            Job::Load(job) => {
                let (name, load, version) = (job.model.name().to_owned(), job.load, job.version);
                match guarded("loading the version", || job.run(loader).transpose()).transpose() {
                    Some(outcome) => Outcome::Loaded { name, load, version, outcome },
                    None => Outcome::Changed { name, load },
                }
            }
        }
    }
}

impl OpenJob {
    fn run(self, loader: &Loader) -> Outcome {
        let OpenJob { name, load, source, repositories, .. } = self;
        let source = source.refreshed();
        let outcome = guarded("opening the model", || Ok(loader.open(source.clone())));
        let outcome = outcome.map_err(OpenError::Unreadable).flatten().map(Arc::new);
        let models = outcome.iter().flat_map(|opened| opened.models());
        let found = models.filter(|_| !repositories.is_empty());
        let found = found.map(|model| (model.to_owned(), find(&repositories, model))).collect();
        match source.has_changed(None) {
            true => Outcome::Changed { name, load },
            false => Outcome::Opened { name, load, outcome, found },
        }
    }
}

impl LoadJob {
    /// None if a change of the files has begun.
    fn run(self, loader: &Loader) -> Option<Result<Box<TrackedVersion>, LoadError>> {
        let LoadJob {
            model,
            version,
            weights,
            account,
            steps,
            registry,
            serial,
            retries,
            cancel,
            on_gone,
            ..
        } = self;
        if model.source.has_changed(Some(version)) {
            return None;
        }
        let (serials, models): (Vec<Serial>, Vec<_>) = steps.into_iter().unzip();
        let composition = Composed { models, registry };
        let order =
            LoadOrder { version, weights, account, composition, retries, cancel, on_gone: Some(on_gone) };
        let outcome = loader.load_as_ordered(&model, order);
        let wanted = Provenance { steps: serials, ..model.provenance(version) };
        // They may have been others only for the moment in which they were read.
        let were_others = outcome.as_ref().is_ok_and(|loaded| loaded.files != wanted.files);
        if model.source.is_followed() && were_others || model.source.has_changed(Some(version)) {
            return None;
        }
        Some(outcome.map(|loaded| {
            let provenance = Provenance { files: loaded.files, ..wanted };
            Box::new(TrackedVersion { serial, version: loaded.version, provenance })
        }))
    }
}
