//! What became of a model, as everybody who asks is told: the repository index, the metrics, the status page.

use std::time::Instant;

use nerite_core::ModelVersion;
use nerite_core::execution::Mending;
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

/// Why a version that serves is not to be counted on: none of its instances can execute, or one does not come back.
fn unsound(version: &ModelVersion) -> Option<String> {
    if version.is_outage() {
        // One that has come back meanwhile ends it.
        return version.mendings().iter().min_by_key(|mending| mending.next).map(without_instances);
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

/// That no instance can execute, of which this is the next to be made anew.
fn without_instances(mending: &Mending) -> String {
    let Mending { instance, reason, since, failures, next } = mending;
    let attempt = match next {
        Some(next) => {
            let pause = next.saturating_duration_since(Instant::now()).as_secs_f64();
            format!("the next attempt to make one anew is in {pause:.1} s")
        }
        None => "one is being made anew".to_owned(),
    };
    format!(
        "no instance can execute, '{instance}' not for {} s: {reason}; {attempt}, {failures} have failed. To load the model \
         again starts it anew",
        since.elapsed().as_secs()
    )
}
