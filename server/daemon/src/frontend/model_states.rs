//! What became of a model, as everybody who asks is told: the repository index, the metrics, the status page.

use nerite_core::ModelVersion;
use nerite_core::registry::{ModelEntry, PublicState, Status};

/// What became of each version of a model; of the model itself, under no number, if it never came to versions. Nothing if
/// nothing is known of it but its name.
pub(crate) fn states(entry: &ModelEntry) -> Vec<(Option<u64>, Status)> {
    if entry.versions.is_empty() {
        return entry.model_status().map(|status| (None, status)).into_iter().collect();
    }
    let state = |(&version, status): (&u64, &Status)| {
        let unsound = entry.ready.get(&version).and_then(|ready| unsound(ready));
        let unavailable = |reason| Status { state: PublicState::Unavailable, reason };
        (Some(version), unsound.map_or_else(|| status.clone(), unavailable))
    };
    entry.versions.iter().map(state).collect()
}

/// Why a version that serves is not to be counted on: it has lost its instances, or one does not come back.
fn unsound(version: &ModelVersion) -> Option<String> {
    if version.is_lost() {
        let lost =
            "its engine panicked, and could not make other instances: to load the model again starts it anew";
        return Some(lost.to_owned());
    }
    let stalls = version.stalls();
    let longest = stalls.iter().min_by_key(|stall| stall.since)?;
    Some(format!(
        "{} of its instances have been executing for longer than --instance-stall-secs, '{}' for {} s; to load the model \
         again puts others in their place",
        stalls.len(),
        longest.instance,
        longest.since.elapsed().as_secs()
    ))
}
