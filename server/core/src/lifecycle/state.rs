use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::LoadError;
use crate::registry::{ModelEntry, PublicState, Status};
use crate::version::ModelVersion;

/// The state of a version, as its one owner, the manager, has it.
///
/// ```text
/// Loading ──► Loaded ──► Ready ──► Draining ──► Unloaded
///    │           └─────► Withdrawn
///    └─────► Failed
/// ```
pub(super) enum VersionState {
    Loading,
    /// It could serve, and waits for the model's other versions.
    Loaded(Arc<ModelVersion>),
    /// It could serve, had not another version failed.
    Withdrawn {
        failed: u64,
    },
    Ready(Arc<ModelVersion>),
    Draining,
    Unloaded,
    Failed(LoadError),
}

impl VersionState {
    /// What users see of it.
    fn status(&self) -> Status {
        let (state, reason) = match self {
            VersionState::Loading | VersionState::Loaded(_) => (PublicState::Loading, String::new()),
            VersionState::Withdrawn { failed } => {
                (PublicState::Unavailable, format!("unloaded: version {failed} could not be loaded"))
            }
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

/// Moves a model's loaded versions on, and says which: all become ready once every version is loaded, and all are
/// withdrawn once one has failed. What is withdrawn is let go of, for it may hold a lot of memory.
pub(super) fn settle(versions: &mut BTreeMap<u64, VersionState>) -> Vec<u64> {
    let all_loaded = versions.values().all(|state| matches!(state, VersionState::Loaded(_)));
    let failed = versions.iter().find(|(_, state)| matches!(state, VersionState::Failed(_)));
    let failed = failed.map(|(&version, _)| version);
    let mut moved = Vec::new();
    for (&version, state) in versions {
        let VersionState::Loaded(loaded) = state else { continue };
        *state = match failed {
            Some(failed) => VersionState::Withdrawn { failed },
            None if all_loaded => VersionState::Ready(Arc::clone(loaded)),
            None => continue,
        };
        moved.push(version);
    }
    moved
}
