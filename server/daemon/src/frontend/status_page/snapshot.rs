use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use nerite_core::ModelVersion;
use nerite_core::registry::Status;
use nerite_core::statistics::{BOUNDS, BUCKETS, FailureReason, Phase};
use serde::Serialize;

use crate::frontend::model_states::states;
use crate::memory;
use crate::serving::{Serving, Stage};

/// What the server and its models are at, and what they have done so far: whoever looks twice knows rates and quantiles of
/// the time between. Times are in microseconds.
#[derive(Debug, Serialize)]
pub(super) struct Snapshot {
    /// When this was so, in milliseconds since 1970.
    at: u64,
    server: Server,
    /// The upper bounds of the buckets of every duration; one bucket more is above them all.
    bounds: [u64; BOUNDS.len()],
    /// By name.
    models: Vec<Model>,
}

#[derive(Debug, Serialize)]
struct Server {
    id: String,
    version: &'static str,
    state: &'static str,
    /// For how long it has been, in seconds.
    uptime: u64,
    inflight_requests: usize,
    inflight_bytes: usize,
    resident_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Model {
    name: String,
    /// By number. Empty if nothing is known of the model but its name.
    versions: Vec<Version>,
}

#[derive(Debug, Serialize)]
struct Version {
    /// `None` if the model never came to versions.
    version: Option<u64>,
    state: &'static str,
    /// Why it is not served, and what to do about it; empty if it is.
    reason: String,
    /// Of what serves.
    work: Option<Work>,
}

/// What a version does, and what it has done since it was first loaded.
#[derive(Debug, Serialize)]
struct Work {
    waiting: usize,
    oldest: u64,
    instances: usize,
    busy: usize,
    stalled: usize,
    requests: u64,
    /// By reason.
    failures: BTreeMap<&'static str, u64>,
    rows: u64,
    executions: u64,
    /// Executions by how many rows they had.
    batches: BTreeMap<u32, u64>,
    /// Answered requests by how long they took, from arrival to answer.
    latency: [u64; BUCKETS],
    /// The same of their time in the queue.
    queue: [u64; BUCKETS],
    load: u64,
}

impl Snapshot {
    pub(super) fn of(serving: &Serving) -> Snapshot {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let models = serving.registry.entries().into_iter().map(|(name, entry)| {
            let version = |(number, status): (Option<u64>, Status)| {
                let ready = number.and_then(|number| entry.ready.get(&number));
                let (state, reason) = (status.state.name(), status.reason);
                Version { version: number, state, reason, work: ready.map(|version| Work::of(version)) }
            };
            Model { name: name.to_string(), versions: states(&entry).into_iter().map(version).collect() }
        });
        Snapshot {
            at: at.as_millis() as u64,
            server: Server::of(serving),
            bounds: BOUNDS.map(|nanos| nanos / 1_000),
            models: models.collect(),
        }
    }
}

impl Server {
    fn of(serving: &Serving) -> Server {
        let state = match serving.stage() {
            Stage::Starting => "STARTING",
            Stage::Running if serving.is_ready() => "READY",
            Stage::Running => "NOT READY",
            Stage::Exiting => "EXITING",
        };
        Server {
            id: serving.id.clone(),
            version: env!("CARGO_PKG_VERSION"),
            state,
            uptime: serving.started.elapsed().as_secs(),
            inflight_requests: serving.inflight.requests(),
            inflight_bytes: serving.inflight.bytes(),
            resident_bytes: memory::resident(),
        }
    }
}

impl Work {
    fn of(version: &ModelVersion) -> Work {
        let (statistics, activity) = (version.statistics(), version.activity());
        let failures = FailureReason::ALL.map(|reason| (reason.label(), statistics.failures(reason)));
        let batches = statistics.batches().into_iter().map(|(rows, batch)| (rows, batch.executions));
        Work {
            waiting: activity.pending,
            oldest: activity.oldest.as_micros() as u64,
            instances: activity.instances,
            busy: activity.busy,
            stalled: version.stalls().len(),
            requests: statistics.requests(),
            failures: failures.into(),
            rows: statistics.inferences(),
            executions: statistics.executions(),
            batches: batches.collect(),
            latency: statistics.timed(Phase::Request).buckets(),
            queue: statistics.timed(Phase::Queue).buckets(),
            load: version.load_duration.as_micros() as u64,
        }
    }
}
