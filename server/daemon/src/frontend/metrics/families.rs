//! The one list of metrics: name, kind, help (with the unit), and where the value comes from.

use std::fmt;

use nerite_core::ModelVersion;
use nerite_core::statistics::Timed;

use crate::memory;
use crate::serving::Serving;

/// How a metric's values develop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A metric's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Number(u64),
    Seconds(f64),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => number.fmt(f),
            Value::Seconds(seconds) => seconds.fmt(f),
        }
    }
}

/// A metric with one series per model version.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    pub(super) value: fn(&ModelVersion) -> Value,
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
    pub(super) value: fn(&Serving) -> Value,
}

/// Failed requests, by reason.
pub(super) const FAILURES: FailureFamily = FailureFamily {
    name: "nv_inference_request_failure",
    kind: Kind::Counter,
    help: "Number of failed inference requests, all batch sizes",
};

/// The metrics with one series per model version.
pub(super) const FAMILIES: [Family; 12] = [
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
        value: |version| size(version.pending()),
    },
    Family {
        name: "nv_model_load_duration_secs",
        kind: Kind::Gauge,
        help: "Model load time in seconds",
        value: |version| Value::Seconds(version.load_duration.as_secs_f64()),
    },
    Family {
        name: "nerite_stalled_instances",
        kind: Kind::Gauge,
        help: "Number of instances that have been executing for longer than --instance-stall-secs",
        value: |version| size(version.stalls().len()),
    },
];

/// The metrics of the whole server.
pub(super) const SERVER_FAMILIES: [ServerFamily; 4] = [
    ServerFamily {
        name: "nerite_inflight_requests",
        kind: Kind::Gauge,
        help: "Number of inference requests being read, queued, executed or answered",
        value: |serving| size(serving.inflight.requests()),
    },
    ServerFamily {
        name: "nerite_inflight_bytes",
        kind: Kind::Gauge,
        help: "Number of bytes that the bodies of the gRPC calls in flight have brought",
        value: |serving| size(serving.inflight.bytes()),
    },
    ServerFamily {
        name: "process_resident_memory_bytes",
        kind: Kind::Gauge,
        help: "Resident memory size in bytes",
        value: |_| Value::Number(memory::resident().unwrap_or_default()),
    },
    ServerFamily {
        name: "nerite_memory_given_back_bytes",
        kind: Kind::Counter,
        help: "Number of bytes that were given back to the system after models were unloaded",
        value: |serving| Value::Number(serving.reclaim.bytes()),
    },
];

const fn counter(name: &'static str, help: &'static str, value: fn(&ModelVersion) -> Value) -> Family {
    Family { name, kind: Kind::Counter, help, value }
}

fn count(count: u64) -> Value {
    Value::Number(count)
}

fn size(size: usize) -> Value {
    Value::Number(size as u64)
}

fn micros(timed: &Timed) -> Value {
    Value::Number(timed.nanos() / 1_000)
}
