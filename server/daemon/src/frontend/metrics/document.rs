//! METRICS.md, made of the list of metrics.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::families::*;

const HEAD: &str = "\
# Metrics

`GET /metrics` on the metrics port (8002) answers in Prometheus' text format, or in OpenMetrics where `Accept` asks for
`application/openmetrics-text; version=1.0.0`. Series have the same names and labels in both: Triton's counters, whose names
do not end with `_total`, are of unknown type in OpenMetrics.

A model version has its series while it is served; they go on when it is reloaded, and are gone when it is unloaded. Each
also has a label `_<tag>` for every entry of `metric_tags` in the model's configuration. Everything is counted before the
caller sees its answer, and ModelStatistics reads the same numbers.

Histograms of durations have the same buckets everywhere (50 µs to 10 s), so that they can be added up over versions, models
and servers: `histogram_quantile(0.99, sum by (le) (rate(nerite_inference_request_duration_seconds_bucket[5m])))`.
In OpenMetrics, `nerite_inference_request_duration_seconds` carries the trace of a recent request in each bucket, where
requests are traced.

Models of plugins may have metrics of their own, under the names that their authors gave them, as the Python backend's custom
metrics; they come last, and there may be 10,000 lines of them. The names below are not for them.

Summaries are of the last 60 s, of which the oldest 12 s are forgotten at a time, as in Triton; their `_sum` and `_count`
are of all time. A quantile is within 0.5 % of the exact one. The errors in `summary_quantiles` are read and not needed.

GPUs are asked every `--metrics-interval-ms` (2000) through the driver's library NVML (`libnvidia-ml.so.1`), by a thread that no
scrape waits for. All that it shows are told of, where Triton tells of those that CUDA may use; what a GPU cannot tell has no
series, such as the utilization of one in MIG mode. Where the driver has not answered for three intervals and two seconds, the
series are gone until it does.

The depth of a model's queue is `nv_inference_pending_request_count`; requests being executed are
`nerite_inference_requests_total` less the successful, the failed and the pending.

This page is made of the list in `server/daemon/src/frontend/metrics/families.rs` by
`NERITE_WRITE_METRICS=1 cargo test --release -p nerite metrics_md`.
";

const TAIL: &str = "
## Triton's that are not there

- `nv_cache_num_hits_per_model`, `nv_cache_num_misses_per_model`, `nv_cache_hit_duration_per_model`,
  `nv_cache_miss_duration_per_model` and their summaries: Triton has them only with a response cache, and Nerite has none yet.

Two differ a little from Triton's. `nv_inference_first_response_histogram_ms` is there for every model, where Triton has it
for decoupled ones alone. `nv_pinned_memory_pool_*` are 0, since tensors pass through no such pool.
";

fn document() -> String {
    let mut text = HEAD.to_owned();
    for (title, is_of_it) in [
        ("Triton's", (|name| name.starts_with("nv_")) as fn(&str) -> bool),
        ("Nerite's own", |name| name.starts_with("nerite_")),
        ("The process", |name| name.starts_with("process_")),
    ] {
        let _ = write!(
            text,
            "\n## {title}\n\n| Name | Type | Labels | Unit | There | Help |\n|---|---|---|---|---|---|\n"
        );
        for Family { name, kind, unit, help, labels, when } in
            all().into_iter().filter(|family| is_of_it(family.name))
        {
            let mut labels = labels.to_vec();
            labels.extend(match kind {
                Kind::Histogram => Some("le"),
                Kind::Summary => Some("quantile"),
                Kind::Counter | Kind::Gauge => None,
            });
            let when = match when {
                When::Always => "always",
                When::Counters => "unless `counter_latencies=false`",
                When::Histograms => "with `histogram_latencies=true`",
                When::Summaries => "with `summary_latencies=true`",
                When::Cpu => "unless `--allow-cpu-metrics=false`",
                When::Gpu => "of GPUs that can tell, unless `--allow-gpu-metrics=false`",
            };
            let (kind, labels) = (kind.name(), labels.join(", "));
            let _ = writeln!(text, "| `{name}` | {kind} | {labels} | {unit} | {when} | {help} |");
        }
    }
    text + TAIL
}

#[test]
fn metrics_md_is_made_of_the_list_of_metrics() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../METRICS.md");
    if std::env::var_os("NERITE_WRITE_METRICS").is_some() {
        fs::write(&path, document()).unwrap();
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    assert!(found == document(), "METRICS.md is out of date: NERITE_WRITE_METRICS=1 writes it anew");
}
