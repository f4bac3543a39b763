//! Metrics that backends keep, as they are at one moment.

/// What is measured: metrics of one name, told apart by their labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// The name: letters, digits, `_` and `:`, and no digit in front.
    pub name: String,
    /// One line for people; any text.
    pub help: String,
    /// How the values develop.
    pub kind: Kind,
    /// The metrics.
    pub series: Vec<Series>,
}

/// How values develop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They only grow.
    Counter,
    /// They go up and down.
    Gauge,
    /// Observations are counted by how large they are.
    Histogram,
}

/// One metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Names with values, in the order of the names. A name has letters, digits and `_`, and no digit in front; a value
    /// is any text.
    pub labels: Vec<(String, String)>,
    /// What it is at.
    pub value: Value,
}

/// What a metric is at.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of a counter or a gauge.
    Number(f64),
    /// Of a histogram.
    Histogram {
        /// The upper bounds, from the lowest, all finite.
        bounds: Vec<f64>,
        /// How many observations are in each bucket and in no lower one; one more than bounds.
        counts: Vec<u64>,
        /// The sum of all observations.
        sum: f64,
    },
}
