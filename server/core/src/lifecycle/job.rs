use std::sync::Arc;

use nerite_backend::Cancel;

use super::life::{Loaded, Provenance, Provision, Serial};
use super::loader::LoadOrder;
use super::{Loader, OpenedModel, Source};
use crate::execution::OnGone;
use crate::model::{LoadError, OpenError};
use crate::version::ModelVersion;

/// A loaded version with what it was loaded from.
#[derive(Clone)]
pub(super) struct LoadedModel {
    serial: Serial,
    pub(super) version: Arc<ModelVersion>,
    provenance: Provenance,
}

impl Loaded for LoadedModel {
    fn serial(&self) -> Serial {
        self.serial
    }

    fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    fn is_stalled(&self) -> bool {
        self.version.is_stalled()
    }
}

/// A step of a load, to be done on a thread that may block.
pub(super) enum Job {
    /// Reads a configuration.
    Open(OpenJob),
    /// Loads a version.
    Load(Box<LoadJob>),
}

pub(super) struct OpenJob {
    pub(super) name: String,
    /// The number of the load that it belongs to.
    pub(super) load: Serial,
    pub(super) source: Source,
    pub(super) cancel: Cancel,
}

pub(super) struct LoadJob {
    /// The number of the load that it belongs to.
    pub(super) load: Serial,
    pub(super) model: Arc<OpenedModel>,
    pub(super) version: u64,
    pub(super) provision: Provision<LoadedModel>,
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
    },
    Loaded {
        name: String,
        load: Serial,
        version: u64,
        outcome: Result<LoadedModel, LoadError>,
    },
}

impl Job {
    /// Does it; it may take long.
    pub(super) fn run(self, loader: &Loader) -> Outcome {
        match self {
            Job::Open(OpenJob { cancel, .. }) if cancel.is_cancelled() => Outcome::Skipped,
            Job::Open(OpenJob { name, load, source, .. }) => {
                let source = source.refreshed();
                let outcome = loader.open(source.clone()).map(Arc::new);
                match source.has_changed(None) {
                    true => Outcome::Changed { name, load },
                    false => Outcome::Opened { name, load, outcome },
                }
            }
            Job::Load(job) if job.cancel.is_cancelled() => Outcome::Skipped,
            Job::Load(job) => job.run(loader),
        }
    }
}

impl LoadJob {
    fn run(self, loader: &Loader) -> Outcome {
        let LoadJob { load, model, version, provision, serial, retries, cancel, on_gone } = self;
        let name = model.name().to_owned();
        if model.source.has_changed(Some(version)) {
            return Outcome::Changed { name, load };
        }
        let (weights, predecessor) = match provision {
            Provision::Keep(other) | Provision::Reuse(other) => (Some(other.version), None),
            Provision::Load(other) => (None, other.map(|other| other.version)),
        };
        let on_gone = Some(on_gone);
        let order = LoadOrder { version, weights, predecessor, retries, cancel, on_gone };
        let outcome = loader.fulfil(&model, order);
        let wanted = model.provenance(version);
        // They may have been others only for the moment in which they were read.
        let were_others = outcome.as_ref().is_ok_and(|loaded| loaded.files != wanted.files);
        if model.source.is_followed() && were_others || model.source.has_changed(Some(version)) {
            return Outcome::Changed { name, load };
        }
        let outcome = outcome.map(|loaded| {
            let provenance = Provenance { files: loaded.files, ..wanted };
            LoadedModel { serial, version: loaded.version, provenance }
        });
        Outcome::Loaded { name, load, version, outcome }
    }
}
