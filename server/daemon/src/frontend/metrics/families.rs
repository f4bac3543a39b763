//! The one list of metrics: name, kind, unit, labels and help. METRICS.md is made of it.

use nerite_core::statistics::Phase;

/// How a metric's values develop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How many values are in each bucket; it only grows.
    Histogram,
    /// Quantiles of the last minute.
    Summary,
}

impl Kind {
    /// As it is called in Prometheus' text format.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        }
    }
}

/// Whether a metric is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Always.
    Always,
    /// Unless `--metrics-config=counter_latencies=false`.
    Counters,
    /// With `--metrics-config=histogram_latencies=true`.
    Histograms,
    /// With `--metrics-config=summary_latencies=true`.
    Summaries,
    /// Unless `--allow-cpu-metrics=false`.
    Cpu,
    /// For each GPU that can tell, unless `--allow-gpu-metrics=false`.
    Gpu,
}

/// A metric.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What is counted or measured in; empty for plain numbers.
    pub(super) unit: &'static str,
    pub(super) help: &'static str,
    /// In alphabetical order, as in Triton, before `le` and `quantile`.
    #[cfg_attr(not(test), expect(dead_code, reason = "for METRICS.md, which a test makes"))]
    pub(super) labels: &'static [&'static str],
    pub(super) when: When,
}

/// What each series of a model version is told apart by, after the tags of its configuration.
const VERSION: &[&str] = &["model", "version"];
const VERSION_AND_REASON: &[&str] = &["model", "reason", "version"];

const COUNT: Family =
    Family { name: "", kind: Kind::Counter, unit: "", help: "", labels: VERSION, when: When::Always };
const GAUGE: Family = Family { kind: Kind::Gauge, ..COUNT };
const MICROS: Family = Family { unit: "us", when: When::Counters, ..COUNT };
const SUMMARY: Family = Family { kind: Kind::Summary, unit: "us", when: When::Summaries, ..COUNT };
const SECONDS: Family = Family { kind: Kind::Histogram, unit: "seconds", ..COUNT };
const OF_GPU: Family = Family { kind: Kind::Gauge, labels: &["gpu_uuid"], when: When::Gpu, ..COUNT };
const SERVER_GAUGE: Family = Family { kind: Kind::Gauge, labels: &[], ..COUNT };
const SERVER_BYTES: Family = Family { unit: "bytes", ..SERVER_GAUGE };
const SERVER_COUNT: Family = Family { labels: &[], ..COUNT };

// Triton's, with Triton's names and help.

pub(super) const SUCCESS: Family = Family {
    name: "nv_inference_request_success",
    help: "Number of successful inference requests, all batch sizes",
    ..COUNT
};
pub(super) const FAILURES: Family = Family {
    name: "nv_inference_request_failure",
    help: "Number of failed inference requests, all batch sizes",
    labels: VERSION_AND_REASON,
    ..COUNT
};
pub(super) const INFERENCES: Family = Family {
    name: "nv_inference_count",
    help: "Number of inferences performed (does not include cached requests)",
    ..COUNT
};
pub(super) const EXECUTIONS: Family = Family {
    name: "nv_inference_exec_count",
    help: "Number of model executions performed (does not include cached requests)",
    ..COUNT
};
/// In the order of [`Phase::ALL`], as the next two.
pub(super) const DURATIONS: [Family; Phase::ALL.len()] = [
    Family {
        name: "nv_inference_request_duration_us",
        help: "Cumulative inference request duration in microseconds (includes cached requests)",
        ..MICROS
    },
    Family {
        name: "nv_inference_queue_duration_us",
        help: "Cumulative inference queuing duration in microseconds (includes cached requests)",
        ..MICROS
    },
    Family {
        name: "nv_inference_compute_input_duration_us",
        help: "Cumulative compute input duration in microseconds (does not include cached requests)",
        ..MICROS
    },
    Family {
        name: "nv_inference_compute_infer_duration_us",
        help: "Cumulative compute inference duration in microseconds (does not include cached requests)",
        ..MICROS
    },
    Family {
        name: "nv_inference_compute_output_duration_us",
        help: "Cumulative inference compute output duration in microseconds (does not include cached requests)",
        ..MICROS
    },
];
pub(super) const SUMMARIES: [Family; Phase::ALL.len()] = [
    Family {
        name: "nv_inference_request_summary_us",
        help: "Summary of inference request duration in microseconds (includes cached requests)",
        ..SUMMARY
    },
    Family {
        name: "nv_inference_queue_summary_us",
        help: "Summary of inference queuing duration in microseconds (includes cached requests)",
        ..SUMMARY
    },
    Family {
        name: "nv_inference_compute_input_summary_us",
        help: "Cumulative compute input duration in microseconds (does not include cached requests)",
        ..SUMMARY
    },
    Family {
        name: "nv_inference_compute_infer_summary_us",
        help: "Cumulative compute inference duration in microseconds (does not include cached requests)",
        ..SUMMARY
    },
    Family {
        name: "nv_inference_compute_output_summary_us",
        help: "Cumulative inference compute output duration in microseconds (does not include cached requests)",
        ..SUMMARY
    },
];
pub(super) const FIRST_RESPONSE: Family = Family {
    name: "nv_inference_first_response_histogram_ms",
    kind: Kind::Histogram,
    unit: "ms",
    when: When::Histograms,
    help: "Duration from request to first response in milliseconds",
    ..COUNT
};
pub(super) const PENDING: Family = Family {
    name: "nv_inference_pending_request_count",
    help: "Instantaneous number of pending requests awaiting execution per-model.",
    ..GAUGE
};
pub(super) const LOAD_DURATION: Family =
    Family { name: "nv_model_load_duration_secs", unit: "secs", help: "Model load time in seconds", ..GAUGE };
pub(super) const PINNED_TOTAL: Family = Family {
    name: "nv_pinned_memory_pool_total_bytes",
    help: "Pinned memory pool total memory size, in bytes",
    ..SERVER_BYTES
};
pub(super) const PINNED_USED: Family = Family {
    name: "nv_pinned_memory_pool_used_bytes",
    help: "Pinned memory pool used memory size, in bytes",
    ..SERVER_BYTES
};
pub(super) const CPU_UTILIZATION: Family = Family {
    name: "nv_cpu_utilization",
    help: "CPU utilization rate [0.0 - 1.0]",
    when: When::Cpu,
    ..SERVER_GAUGE
};
pub(super) const CPU_MEMORY_TOTAL: Family = Family {
    name: "nv_cpu_memory_total_bytes",
    help: "CPU total memory (RAM), in bytes",
    when: When::Cpu,
    ..SERVER_BYTES
};
pub(super) const CPU_MEMORY_USED: Family = Family {
    name: "nv_cpu_memory_used_bytes",
    help: "CPU used memory (RAM), in bytes",
    when: When::Cpu,
    ..SERVER_BYTES
};

pub(super) const GPU_UTILIZATION: Family =
    Family { name: "nv_gpu_utilization", help: "GPU utilization rate [0.0 - 1.0)", ..OF_GPU };
pub(super) const GPU_MEMORY_TOTAL: Family =
    Family { name: "nv_gpu_memory_total_bytes", unit: "bytes", help: "GPU total memory, in bytes", ..OF_GPU };
pub(super) const GPU_MEMORY_USED: Family =
    Family { name: "nv_gpu_memory_used_bytes", unit: "bytes", help: "GPU used memory, in bytes", ..OF_GPU };
pub(super) const GPU_POWER_USAGE: Family =
    Family { name: "nv_gpu_power_usage", unit: "watts", help: "GPU power usage in watts", ..OF_GPU };
pub(super) const GPU_POWER_LIMIT: Family = Family {
    name: "nv_gpu_power_limit",
    unit: "watts",
    help: "GPU power management limit in watts",
    ..OF_GPU
};
pub(super) const ENERGY: Family = Family {
    name: "nv_energy_consumption",
    kind: Kind::Counter,
    unit: "joules",
    help: "GPU energy consumption in joules since the Triton Server started",
    ..OF_GPU
};

// Nerite's own, of every model version.

pub(super) const REQUESTS: Family = Family {
    name: "nerite_inference_requests_total",
    help: "Number of inference requests that named the model: those that succeeded, those that failed, and those in flight",
    ..COUNT
};
pub(super) const PHASES: [Family; Phase::ALL.len()] = [
    Family {
        name: "nerite_inference_request_duration_seconds",
        help: "Time from a successful request's arrival to its answer",
        ..SECONDS
    },
    Family {
        name: "nerite_inference_queue_duration_seconds",
        help: "Time that a successful request waited to be executed",
        ..SECONDS
    },
    Family {
        name: "nerite_inference_compute_input_duration_seconds",
        help: "Time spent on the inputs of a successful request's batch",
        ..SECONDS
    },
    Family {
        name: "nerite_inference_compute_infer_duration_seconds",
        help: "Time that a successful request's batch spent in the model",
        ..SECONDS
    },
    Family {
        name: "nerite_inference_compute_output_duration_seconds",
        help: "Time spent on the outputs of a successful request's batch",
        ..SECONDS
    },
];
pub(super) const BATCH_SIZE: Family = Family {
    name: "nerite_inference_batch_size",
    kind: Kind::Histogram,
    unit: "rows",
    help: "Number of rows that the model was executed with at a time",
    ..COUNT
};
pub(super) const BATCHES: Family = Family {
    name: "nerite_inference_batches_total",
    help: "Number of batches sent to be executed, by why it was then and with no more requests: single (the model's requests \
           are not combined), full, preferred (a preferred size), shape (the next request is unlike), delay (its oldest \
           request has waited for max_queue_delay_microseconds), idle (an instance was free and nothing else waited)",
    labels: VERSION_AND_REASON,
    ..COUNT
};
pub(super) const INLINE: Family = Family {
    name: "nerite_inference_inline_batches_total",
    help: "Number of batches executed on a thread of the network, as those of fast models are",
    ..COUNT
};
pub(super) const RERUNS: Family = Family {
    name: "nerite_inference_reruns_total",
    help: "Number of requests run again by themselves because their batch had failed",
    ..COUNT
};
pub(super) const RESTARTS: Family = Family {
    name: "nerite_instance_restarts_total",
    help: "Number of instances made anew because they could not execute any more",
    ..COUNT
};
pub(super) const OLDEST: Family = Family {
    name: "nerite_inference_queue_oldest_age_seconds",
    unit: "seconds",
    help: "For how long the oldest of the waiting requests has waited",
    ..GAUGE
};
pub(super) const INSTANCES: Family =
    Family { name: "nerite_instances", help: "Number of instances of the model", ..GAUGE };
pub(super) const BUSY: Family =
    Family { name: "nerite_instances_busy", help: "Number of instances that execute", ..GAUGE };
pub(super) const STALLED: Family = Family {
    name: "nerite_instances_stalled",
    help: "Number of instances that have been executing for longer than --instance-stall-secs",
    ..GAUGE
};
pub(super) const MENDING: Family = Family {
    name: "nerite_instances_mending",
    help: "Number of instances that cannot execute any more and are made anew",
    ..GAUGE
};
pub(super) const STATE: Family = Family {
    name: "nerite_model_state",
    help: "1 for the state that the version is in: LOADING, READY, UNLOADING, UNAVAILABLE. A model that came to no version \
           has an empty one, and one that was unloaded has none",
    labels: &["model", "state", "version"],
    ..GAUGE
};

// Nerite's own, of the process.

pub(super) const LOADED: Family = Family {
    name: "nerite_model_loads_total",
    help: "Number of model versions that were loaded and came to be served",
    ..SERVER_COUNT
};
pub(super) const LOAD_FAILURES: Family = Family {
    name: "nerite_model_load_failures_total",
    help: "Number of loads that failed, of a version or of a model that never came to versions, by the kind of the error",
    labels: &["reason"],
    ..SERVER_COUNT
};
pub(super) const UNLOADED: Family = Family {
    name: "nerite_model_unloads_total",
    help: "Number of model versions that were served and are gone, with everything that they held",
    ..SERVER_COUNT
};
pub(super) const INFLIGHT_REQUESTS: Family = Family {
    name: "nerite_inflight_requests",
    help: "Number of inference requests being read, queued, executed or answered",
    ..SERVER_GAUGE
};
pub(super) const INFLIGHT_BYTES: Family = Family {
    name: "nerite_inflight_bytes",
    help: "Number of bytes that the bodies of the gRPC calls in flight have brought",
    ..SERVER_BYTES
};
pub(super) const INFLIGHT_REFUSED: Family = Family {
    name: "nerite_inflight_refused_total",
    help: "Number of calls that were answered UNAVAILABLE since --max-inflight-requests or --max-inflight-bytes was reached; \
           which model they were for is mostly not known, so that no other metric counts them",
    ..SERVER_COUNT
};
pub(super) const GIVEN_BACK: Family = Family {
    name: "nerite_memory_given_back_bytes_total",
    unit: "bytes",
    help: "Number of bytes that were given back to the system after models were unloaded",
    ..SERVER_COUNT
};
pub(super) const HEAP: Family = Family {
    name: "nerite_heap_committed_bytes",
    help: "Memory that the allocator of the daemon itself has from the system, in bytes",
    ..SERVER_BYTES
};
pub(super) const ENGINE_HEAP_USED: Family = Family {
    name: "nerite_engine_heap_used_bytes",
    help: "Memory of the allocator of the engines (the C library's) that was in use when a model was last unloaded, if one was, in bytes",
    ..SERVER_BYTES
};
pub(super) const ENGINE_HEAP_FREE: Family = Family {
    name: "nerite_engine_heap_free_bytes",
    help: "Memory of the allocator of the engines that was free then and not given back to the system, in bytes",
    ..SERVER_BYTES
};
pub(super) const TRACES: Family = Family {
    name: "nerite_traces_total",
    help: "Number of inference requests that were traced",
    ..SERVER_COUNT
};
pub(super) const TRACES_DROPPED: Family = Family {
    name: "nerite_traces_dropped_total",
    help: "Number of traces that were dropped, as too many waited or nobody took them",
    ..SERVER_COUNT
};
pub(super) const LOG_DROPPED: Family = Family {
    name: "nerite_log_lines_dropped_total",
    help: "Number of lines of the log that were dropped, since nobody read those before them",
    ..SERVER_COUNT
};
pub(super) const ACCESS_LOG_DROPPED: Family = Family {
    name: "nerite_access_log_lines_dropped_total",
    help: "Number of lines of the access log, if there is one, that were dropped, since they could not be written as fast",
    ..SERVER_COUNT
};
pub(super) const BUILD: Family = Family {
    name: "nerite_build_info",
    help: "Always 1; the label says which version of Nerite this is",
    labels: &["version"],
    ..SERVER_GAUGE
};
pub(super) const PROCESS_CPU: Family = Family {
    name: "process_cpu_seconds_total",
    unit: "seconds",
    help: "Total user and system CPU time spent in seconds",
    ..SERVER_COUNT
};
pub(super) const PROCESS_RESIDENT: Family =
    Family { name: "process_resident_memory_bytes", help: "Resident memory size in bytes", ..SERVER_BYTES };
pub(super) const PROCESS_VIRTUAL: Family =
    Family { name: "process_virtual_memory_bytes", help: "Virtual memory size in bytes", ..SERVER_BYTES };
pub(super) const PROCESS_THREADS: Family =
    Family { name: "process_threads", help: "Number of OS threads in the process", ..SERVER_GAUGE };
pub(super) const PROCESS_OPEN_FDS: Family =
    Family { name: "process_open_fds", help: "Number of open file descriptors", ..SERVER_GAUGE };
pub(super) const PROCESS_MAX_FDS: Family =
    Family { name: "process_max_fds", help: "Maximum number of open file descriptors", ..SERVER_GAUGE };
pub(super) const PROCESS_START: Family = Family {
    name: "process_start_time_seconds",
    unit: "seconds",
    help: "Start time of the process since unix epoch in seconds",
    ..SERVER_GAUGE
};

/// Every metric, in the order in which they are written.
pub(super) fn all() -> Vec<Family> {
    let mut all = vec![SUCCESS, FAILURES, INFERENCES, EXECUTIONS];
    all.extend(DURATIONS);
    all.extend(SUMMARIES);
    all.extend([FIRST_RESPONSE, PENDING, LOAD_DURATION, REQUESTS]);
    all.extend(PHASES);
    all.extend([
        BATCH_SIZE, BATCHES, INLINE, RERUNS, RESTARTS, OLDEST, INSTANCES, BUSY, STALLED, MENDING, STATE,
    ]);
    all.extend([
        LOADED,
        LOAD_FAILURES,
        UNLOADED,
        INFLIGHT_REQUESTS,
        INFLIGHT_BYTES,
        INFLIGHT_REFUSED,
        GIVEN_BACK,
    ]);
    all.extend([HEAP, ENGINE_HEAP_USED, ENGINE_HEAP_FREE]);
    all.extend([TRACES, TRACES_DROPPED, LOG_DROPPED, ACCESS_LOG_DROPPED]);
    all.extend([PINNED_TOTAL, PINNED_USED, BUILD, CPU_UTILIZATION, CPU_MEMORY_TOTAL, CPU_MEMORY_USED]);
    all.extend([GPU_UTILIZATION, GPU_MEMORY_TOTAL, GPU_MEMORY_USED]);
    all.extend([GPU_POWER_USAGE, GPU_POWER_LIMIT, ENERGY]);
    all.extend([PROCESS_CPU, PROCESS_RESIDENT, PROCESS_VIRTUAL, PROCESS_THREADS]);
    all.extend([PROCESS_OPEN_FDS, PROCESS_MAX_FDS, PROCESS_START]);
    all
}

/// Whether a family, or a series of one, is called so.
pub(super) fn is_taken(name: &str) -> bool {
    let parts = ["_bucket", "_sum", "_count", "_total", "_created"];
    let base = |name: &str| parts.iter().find_map(|part| name.strip_suffix(part)).map(str::to_owned);
    let is_same = |own: &Family| {
        own.name == name
            || base(name).is_some_and(|base| base == own.name)
            || base(own.name).is_some_and(|own| own == name)
    };
    all().iter().any(is_same)
}
