//! `--metrics-config=KEY=VALUE`.

use std::time::Duration;

use super::error::{Origin, SettingsError, Warning};
use super::kind::{Kind, boolean};
use super::values::MetricsValues;

/// Which metrics of latencies there are besides those that always are.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsConfig {
    /// `counter_latencies`: the time that each phase took, all requests together.
    pub counters: bool,
    /// `histogram_latencies`: Triton's histogram of the time to the first response.
    pub histograms: bool,
    /// `summary_latencies`: quantiles of the time that each phase took.
    pub summaries: bool,
    /// `summary_quantiles`: which, in rising order and none twice.
    pub quantiles: Vec<f64>,
    /// `--allow-cpu-metrics`: how busy the machine is.
    pub cpu: bool,
    /// `--allow-gpu-metrics`: how busy the GPUs are.
    pub gpu: bool,
    /// `--metrics-interval-ms`: how long what was read of the GPUs is good for.
    pub interval: Duration,
}

const COUNTERS: &str = "counter_latencies";
const HISTOGRAMS: &str = "histogram_latencies";
const SUMMARIES: &str = "summary_latencies";
const QUANTILES: &str = "summary_quantiles";

impl Default for MetricsConfig {
    fn default() -> Self {
        let quantiles = vec![0.5, 0.9, 0.95, 0.99, 0.999];
        Self {
            counters: true,
            histograms: false,
            summaries: false,
            quantiles,
            cpu: true,
            gpu: true,
            interval: Duration::from_secs(2),
        }
    }
}

impl MetricsConfig {
    /// Reads all of `values`, whose list `origin` gives; the later of two on the same key counts.
    pub(super) fn read(
        values: &MetricsValues,
        origin: &Origin,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, SettingsError> {
        let MetricsValues { cpu, gpu, interval, .. } = *values;
        let mut this = Self { cpu, gpu, interval, ..Self::default() };
        let mut any_quantiles = false;
        for text in &values.config {
            let wrong = |found: &str, expected: String| {
                let (origin, found) = (origin.clone(), found.to_owned());
                SettingsError::Value { origin, found, expected }
            };
            // As in Triton, a name before the key is refused.
            let (key, value) = text
                .split_once('=')
                .filter(|(key, value)| !key.is_empty() && !key.contains(',') && !value.is_empty())
                .ok_or_else(|| wrong(text, "KEY=VALUE".to_owned()))?;
            let flag = || {
                boolean(value).ok_or_else(|| wrong(value, format!("{} for '{key}'", Kind::Bool.expected())))
            };
            match key {
                COUNTERS => this.counters = flag()?,
                HISTOGRAMS => this.histograms = flag()?,
                SUMMARIES => this.summaries = flag()?,
                QUANTILES => {
                    this.quantiles = quantiles(value).ok_or_else(|| {
                        let form = "QUANTILE:ERROR[,QUANTILE:ERROR...], all from 0 to 1,";
                        wrong(value, format!("{form} for '{key}'"))
                    })?;
                    any_quantiles = true;
                }
                _ => {
                    let known = [COUNTERS, HISTOGRAMS, SUMMARIES, QUANTILES].join(", ");
                    let (origin, key) = (origin.clone(), key.to_owned());
                    return Err(SettingsError::UnknownMetricsKey { origin, key, known });
                }
            }
        }
        if any_quantiles && !this.summaries {
            let (unless, is) = ("metrics-config=summary_latencies", "true");
            warnings.push(Warning::Ignored { origin: origin.clone(), unless, is });
        }
        Ok(this)
    }
}

/// Takes `0.5:0.05,0.9:0.01` apart. The errors, which in Triton are about ranks, are read and not needed: a quantile's
/// value is never off by more than a part of it that is less than any of them asks for in practice.
fn quantiles(text: &str) -> Option<Vec<f64>> {
    let part = |text: &str| text.trim().parse().ok().filter(|part| (0.0..=1.0).contains(part));
    let mut quantiles = Vec::new();
    for pair in text.split(',') {
        let (quantile, error) = pair.split_once(':')?;
        let _: f64 = part(error)?;
        quantiles.push(part(quantile)?);
    }
    quantiles.sort_by(f64::total_cmp);
    quantiles.dedup();
    Some(quantiles)
}
