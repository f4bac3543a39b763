//! The one list of metrics: name, kind, help (with the unit), and where the value comes from.

use nerite_core::ModelVersion;
use nerite_core::statistics::Timed;

use crate::inflight::Inflight;

/// How a metric's values develop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A metric with one series per model version.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    pub(super) value: fn(&ModelVersion) -> i64,
}

/// A metric with one series per model version and reason.
pub(super) struct FailureFamily {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
}

/// A metric of the whole server, with one series.
pub(super) struct ServerFamily {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    pub(super) value: fn(&Inflight) -> usize,
}

/// Failed requests, by reason.
pub(super) const FAILURES: FailureFamily = FailureFamily {
    name: "nv_inference_request_failure",
    kind: Kind::Counter,
    help: "Number of failed inference requests, all batch sizes",
};

/// The metrics with one series per model version.
pub(super) const FAMILIES: [Family; 10] = [
    counter(
        "nv_inference_request_success",
        "Number of successful inference requests, all batch sizes",
        |v| count(v.statistics().success.count()),
    ),
    counter("nv_inference_count", "Number of inferences performed (does not include cached requests)", |v| {
        count(v.statistics().inferences())
    }),
    counter(
        "nv_inference_exec_count",
        "Number of model executions performed (does not include cached requests)",
        |v| count(v.statistics().executions()),
    ),
    counter(
        "nv_inference_request_duration_us",
        "Cumulative inference request duration in microseconds (includes cached requests)",
        |v| micros(&v.statistics().success),
    ),
    counter(
        "nv_inference_queue_duration_us",
        "Cumulative inference queuing duration in microseconds (includes cached requests)",
        |v| micros(&v.statistics().queue),
    ),
    counter(
        "nv_inference_compute_input_duration_us",
        "Cumulative compute input duration in microseconds (does not include cached requests)",
        |v| micros(&v.statistics().compute_input),
    ),
    counter(
        "nv_inference_compute_infer_duration_us",
        "Cumulative compute inference duration in microseconds (does not include cached requests)",
        |v| micros(&v.statistics().compute_infer),
    ),
    counter(
        "nv_inference_compute_output_duration_us",
        "Cumulative inference compute output duration in microseconds (does not include cached requests)",
        |v| micros(&v.statistics().compute_output),
    ),
    counter(
        "nerite_inference_rerun_count",
        "Number of requests run again by themselves because their batch had failed",
        |v| count(v.statistics().reruns()),
    ),
    Family {
        name: "nv_inference_pending_request_count",
        kind: Kind::Gauge,
        help: "Instantaneous number of pending requests awaiting execution per-model.",
        value: |version| i64::try_from(version.pending()).unwrap_or(i64::MAX),
    },
];

/// The metrics of the whole server.
pub(super) const SERVER_FAMILIES: [ServerFamily; 2] = [
    ServerFamily {
        name: "nerite_inflight_requests",
        kind: Kind::Gauge,
        help: "Number of inference requests being read, queued, executed or answered",
        value: Inflight::requests,
    },
    ServerFamily {
        name: "nerite_inflight_bytes",
        kind: Kind::Gauge,
        help: "Number of bytes that the bodies of the gRPC calls in flight have brought",
        value: Inflight::bytes,
    },
];

const fn counter(name: &'static str, help: &'static str, value: fn(&ModelVersion) -> i64) -> Family {
    Family { name, kind: Kind::Counter, help, value }
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn micros(timed: &Timed) -> i64 {
    count(timed.nanos() / 1_000)
}
