use std::sync::Arc;

use crate::model::LoadError;
use crate::registry::{ModelEntry, PublicState, Status};
use crate::version::ModelVersion;

/// The state of a version, as its one owner, the manager, has it.
///
/// ```text
/// Loading ──► Ready ──► Draining ──► Unloaded
///    └─────► Failed
/// ```
pub(super) enum VersionState {
    Loading,
    Ready(Arc<ModelVersion>),
    Draining,
    Unloaded,
    Failed(LoadError),
}

impl VersionState {
    /// What users see of it.
    fn status(&self) -> Status {
        let (state, reason) = match self {
            VersionState::Loading => (PublicState::Loading, String::new()),
            VersionState::Ready(_) => (PublicState::Ready, String::new()),
            VersionState::Draining => (PublicState::Unloading, String::new()),
            VersionState::Unloaded => (PublicState::Unavailable, "unloaded".to_owned()),
            VersionState::Failed(error) => (PublicState::Unavailable, error.to_string()),
        };
        Status { state, reason }
    }

    /// Shows it in the registry: a version can be found exactly while it is ready.
    pub(super) fn publish(&self, version: u64, entry: &mut ModelEntry) {
        match self {
            VersionState::Ready(ready) => drop(entry.ready.insert(version, Arc::clone(ready))),
            _ => drop(entry.ready.remove(&version)),
        }
        entry.versions.insert(version, self.status());
    }
}
