//! Kinds of metrics.

numbers! {
    /// `TRITONSERVER_MetricKind`: what a family's metrics measure.
    MetricKind {
        /// `TRITONSERVER_METRIC_KIND_COUNTER`: a sum that only grows.
        COUNTER = 0,
        /// `TRITONSERVER_METRIC_KIND_GAUGE`: a number that is set.
        GAUGE = 1,
        /// `TRITONSERVER_METRIC_KIND_HISTOGRAM`: observations, counted by buckets.
        HISTOGRAM = 2,
    }
}

numbers! {
    /// `TRITONSERVER_MetricFormat`: how all metrics are written down.
    MetricFormat {
        /// `TRITONSERVER_METRIC_PROMETHEUS`
        PROMETHEUS = 0,
    }
}
