use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use nerite_core::ModelVersion;
use nerite_core::registry::{ModelEntry, Status};
use nerite_core::statistics::{BOUNDS, BUCKETS, FailureReason, Phase};
use serde::Serialize;

use crate::frontend::model_states::states;
use crate::gpus::Gpu;
use crate::memory;
use crate::serving::{Serving, Stage};

/// What the server and its models are at, and what they have done so far: whoever looks twice knows rates and quantiles of
/// the time between. A field's unit is the end of its name.
#[derive(Debug, Serialize)]
pub(super) struct Snapshot {
    server: Server,
    /// The upper bounds of the buckets of every duration; one bucket more is above them all.
    bounds_us: [u64; BOUNDS.len()],
    /// By name.
    models: Vec<Model>,
}

#[derive(Debug, Serialize)]
struct Server {
    id: String,
    version: &'static str,
    state: &'static str,
    /// When it was started, since 1970: another start has another.
    started_ms: u64,
    /// For how long it has been. Never goes back.
    uptime_ms: u64,
    inflight_requests: usize,
    inflight_bytes: usize,
    resident_bytes: Option<u64>,
    gpus: Vec<GpuNow>,
}

/// A GPU, with what it can tell.
#[derive(Debug, Serialize)]
struct GpuNow {
    index: u32,
    name: String,
    utilization: Option<f64>,
    memory_used_bytes: Option<u64>,
    memory_total_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Model {
    name: String,
    /// By number. None of what was not loaded, for whatever reason, since it was announced.
    versions: Vec<Version>,
}

#[derive(Debug, Serialize)]
struct Version {
    /// `None` if the model has not come to versions.
    version: Option<u64>,
    state: &'static str,
    /// Whether it is not served because somebody wished that.
    is_unloaded: bool,
    /// Why it is not served, and what to do about it; empty if it is.
    reason: String,
    /// Of what serves.
    work: Option<Work>,
}

/// What a version does, and what it has done since it was first loaded.
#[derive(Debug, Serialize)]
struct Work {
    waiting: usize,
    oldest_us: u64,
    instances: usize,
    busy: usize,
    stalled: usize,
    mending: usize,
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
    load_us: u64,
}

impl Snapshot {
    pub(super) fn of(serving: &Serving) -> Snapshot {
        let models = serving.registry.entries().into_iter();
        Snapshot {
            server: Server::of(serving),
            bounds_us: BOUNDS.map(|nanos| nanos / 1_000),
            models: models.map(|(name, entry)| Model::of(name.to_string(), &entry)).collect(),
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
        let (started, started_at) = serving.started;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Server {
            id: serving.id.clone(),
            version: env!("CARGO_PKG_VERSION"),
            state,
            started_ms: millis(started_at.duration_since(UNIX_EPOCH).unwrap_or_default()),
            uptime_ms: millis(started.elapsed()),
            inflight_requests: serving.inflight.requests(),
            inflight_bytes: serving.inflight.bytes(),
            resident_bytes: memory::resident(),
            gpus: serving.gpus.now().iter().map(GpuNow::of).collect(),
        }
    }
}

impl GpuNow {
    fn of(gpu: &Gpu) -> GpuNow {
        GpuNow {
            index: gpu.index,
            name: gpu.name.clone(),
            utilization: gpu.utilization,
            memory_used_bytes: gpu.memory.map(|memory| memory.used),
            memory_total_bytes: gpu.memory.map(|memory| memory.total),
        }
    }
}

impl Model {
    fn of(name: String, entry: &ModelEntry) -> Model {
        let version = |(number, status): (Option<u64>, Status)| Version {
            version: number,
            state: status.state.name(),
            is_unloaded: status.is_unloaded(),
            reason: status.reason,
            work: number.and_then(|number| entry.ready.get(&number)).map(|version| Work::of(version)),
        };
        Model { name, versions: states(entry).into_iter().map(version).collect() }
    }
}

impl Work {
    fn of(version: &ModelVersion) -> Work {
        let (statistics, activity) = (version.statistics(), version.activity());
        let failures = FailureReason::ALL.map(|reason| (reason.label(), statistics.failures(reason)));
        let batches = statistics.batches().into_iter().map(|(rows, batch)| (rows, batch.executions));
        Work {
            waiting: activity.pending,
            oldest_us: activity.oldest.as_micros() as u64,
            instances: activity.instances,
            busy: activity.busy,
            stalled: version.stalls().len(),
            mending: version.mendings().len(),
            requests: statistics.requests(),
            failures: failures.into(),
            rows: statistics.inferences(),
            executions: statistics.executions(),
            batches: batches.collect(),
            latency: statistics.timed(Phase::Request).buckets(),
            queue: statistics.timed(Phase::Queue).buckets(),
            load_us: version.load_duration.as_micros() as u64,
        }
    }
}
