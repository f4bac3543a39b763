//! The metrics, written straight from the models' running accounts.
//!
//! The labels of a model version are made once for each scrape, and numbers are the only thing that is formatted, so that
//! a scrape of 1,000 models takes some milliseconds.

#[cfg(test)]
mod document;
mod exposition;
mod families;
mod format;
mod gpus;
mod machine;
mod plugins;
mod process;
mod rows;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nerite_backend::Code;
use nerite_core::execution::DispatchReason;
use nerite_core::statistics::{BOUNDS, BUCKETS, FailureReason, Phase, Statistics};

use crate::memory;
use crate::serving::Serving;
use crate::settings::MetricsConfig;
use exposition::{Buckets, Exposition, Value, label};
use families::{Family, When};
use machine::Machine;
use process::Process;
use rows::{Row, state_labels};

pub(crate) use format::Format;

/// The bounds of [`BOUNDS`] in seconds, as they are written.
const SECONDS: [&str; BOUNDS.len()] = [
    "0.00005", "0.0001", "0.0002", "0.0005", "0.001", "0.002", "0.005", "0.01", "0.02", "0.05", "0.1", "0.2",
    "0.5", "1", "2", "5", "10",
];

/// The bounds of Triton's histogram of the first response, in milliseconds, and their places in [`BOUNDS`].
const FIRST_RESPONSE: [(&str, usize); 4] = [("100", 10), ("500", 12), ("2000", 14), ("5000", 15)];

/// The bounds of the histogram of batch sizes.
const BATCH_SIZES: [(&str, u32); 9] =
    [("1", 1), ("2", 2), ("4", 4), ("8", 8), ("16", 16), ("32", 32), ("64", 64), ("128", 128), ("256", 256)];

/// The metrics endpoint: what it shows, and what it has to remember.
pub(crate) struct Metrics {
    config: MetricsConfig,
    machine: Machine,
    /// The metrics that plugins keep, if there may be any.
    plugins: Option<PluginMetrics>,
    /// How large the last scrape was.
    size: AtomicUsize,
}

/// Reads the metrics that plugins keep.
type PluginMetrics = fn() -> Vec<nerite_backend::metrics::Family>;

/// Whether the daemon itself has a metric of that name, or a series.
pub(crate) fn has_family(name: &str) -> bool {
    families::is_taken(name)
}

impl Metrics {
    /// Metrics of these kinds, from now on.
    pub(crate) fn new(config: MetricsConfig) -> Metrics {
        Metrics { config, machine: Machine::new(), plugins: None, size: AtomicUsize::new(4 << 10) }
    }

    /// The same with those that plugins keep.
    pub(crate) fn with_plugins(self, plugins: PluginMetrics) -> Metrics {
        Metrics { plugins: Some(plugins), ..self }
    }

    /// Every metric with a series for each version that is ready, and the server's own.
    pub(crate) fn render(&self, serving: &Serving, format: Format) -> Vec<u8> {
        let size = self.size.load(Relaxed);
        let mut scrape = Scrape { config: &self.config, out: Exposition::new(format, size + size / 8) };
        scrape.versions(&rows::read(&serving.registry));
        scrape.states(serving);
        scrape.server(serving);
        scrape.machine(&self.machine);
        gpus::write(&mut scrape.out, &serving.gpus.now());
        scrape.process(&Process::read());
        if let Some(read) = self.plugins {
            plugins::write(&mut scrape.out, &read());
        }
        let text = scrape.out.finish();
        self.size.store(text.len(), Relaxed);
        text
    }
}

/// A scrape on its way.
struct Scrape<'a> {
    config: &'a MetricsConfig,
    out: Exposition,
}

impl Scrape<'_> {
    fn has(&self, family: &Family) -> bool {
        match family.when {
            When::Always => true,
            When::Counters => self.config.counters,
            When::Histograms => self.config.histograms,
            When::Summaries => self.config.summaries,
            When::Cpu => self.config.cpu,
            When::Gpu => self.config.gpu,
        }
    }

    fn versions(&mut self, rows: &[Row]) {
        if rows.is_empty() {
            return;
        }
        let count = |number: u64| Value::Number(number);
        self.each(&families::SUCCESS, rows, |row| count(row.statistics().success.count()));
        self.by_reason(
            &families::FAILURES,
            rows,
            &FailureReason::ALL,
            FailureReason::label,
            Statistics::failures,
        );
        self.each(&families::INFERENCES, rows, |row| count(row.statistics().inferences()));
        self.each(&families::EXECUTIONS, rows, |row| count(row.statistics().executions()));
        for (family, phase) in families::DURATIONS.iter().zip(Phase::ALL) {
            self.each(family, rows, |row| micros(row, phase));
        }
        for (family, phase) in families::SUMMARIES.iter().zip(Phase::ALL) {
            self.summary(family, phase, rows);
        }
        self.first_response(rows);
        self.each(&families::PENDING, rows, |row| size(row.activity.pending));
        self.each(&families::LOAD_DURATION, rows, |row| nanos(row.version.load_duration));
        self.each(&families::REQUESTS, rows, |row| count(row.statistics().requests()));
        for (family, phase) in families::PHASES.iter().zip(Phase::ALL) {
            self.phase(family, phase, rows);
        }
        self.batch_sizes(rows);
        self.by_reason(
            &families::BATCHES,
            rows,
            &DispatchReason::ALL,
            DispatchReason::label,
            Statistics::dispatches,
        );
        self.each(&families::INLINE, rows, |row| count(row.statistics().inline()));
        self.each(&families::RERUNS, rows, |row| count(row.statistics().reruns()));
        self.each(&families::RESTARTS, rows, |row| count(row.statistics().restarts()));
        self.each(&families::OLDEST, rows, |row| nanos(row.activity.oldest));
        self.each(&families::INSTANCES, rows, |row| size(row.activity.instances));
        self.each(&families::BUSY, rows, |row| size(row.activity.busy));
        self.each(&families::STALLED, rows, |row| size(row.version.stalls().len()));
        self.each(&families::MENDING, rows, |row| size(row.version.mendings().len()));
    }

    /// A family with one number for each version.
    fn each(&mut self, family: &Family, rows: &[Row], value: impl Fn(&Row) -> Value) {
        if !self.has(family) {
            return;
        }
        self.out.family(family);
        for row in rows {
            self.out.series(family.name, &[&row.labels], value(row));
        }
    }

    /// A family with one number for each version and reason.
    fn by_reason<R: Copy>(
        &mut self,
        family: &Family,
        rows: &[Row],
        reasons: &[R],
        label: impl Fn(R) -> &'static str,
        count: impl Fn(&Statistics, R) -> u64,
    ) {
        self.out.family(family);
        let labels: Vec<String> = reasons.iter().map(|&reason| between("reason", label(reason))).collect();
        for row in rows {
            for (&reason, label) in reasons.iter().zip(&labels) {
                let count = Value::Number(count(row.statistics(), reason));
                self.out.series(family.name, &[row.before_version(), label, row.of_version()], count);
            }
        }
    }

    fn phase(&mut self, family: &Family, phase: Phase, rows: &[Row]) {
        self.out.family(family);
        for row in rows {
            let timed = row.statistics().timed(phase);
            let exemplars: [_; BUCKETS] = match phase {
                Phase::Request => row.statistics().exemplars(),
                _ => [None; BUCKETS],
            };
            let buckets = Buckets {
                bounds: &SECONDS,
                counts: &timed.buckets(),
                sum: Value::Nanos(timed.nanos()),
                exemplars: &exemplars,
            };
            self.out.histogram(family.name, &row.labels, &buckets);
        }
    }

    /// In Triton only decoupled models have it. A model that gives one response gives the first with it.
    fn first_response(&mut self, rows: &[Row]) {
        let family = &families::FIRST_RESPONSE;
        if !self.has(family) {
            return;
        }
        self.out.family(family);
        for row in rows {
            let timed = match row.version.spec.decoupled {
                true => row.statistics().first_response(),
                false => row.statistics().timed(Phase::Request),
            };
            let finer = timed.buckets();
            let mut counts = [0; FIRST_RESPONSE.len() + 1];
            for (place, count) in finer.into_iter().enumerate() {
                let bucket = FIRST_RESPONSE.iter().take_while(|(_, bound)| *bound < place).count();
                counts[bucket] += count;
            }
            let buckets = Buckets {
                bounds: &FIRST_RESPONSE.map(|(bound, _)| bound),
                counts: &counts,
                sum: Value::Real(timed.nanos() as f64 / 1e6),
                exemplars: &[],
            };
            self.out.histogram(family.name, &row.labels, &buckets);
        }
    }

    fn batch_sizes(&mut self, rows: &[Row]) {
        let family = &families::BATCH_SIZE;
        self.out.family(family);
        for row in rows {
            let (mut counts, mut sum) = ([0; BATCH_SIZES.len() + 1], 0);
            for (size, batch) in row.statistics().batches() {
                let bucket = BATCH_SIZES.iter().take_while(|(_, bound)| *bound < size).count();
                counts[bucket] += batch.executions;
                sum += u64::from(size) * batch.executions;
            }
            let bounds = BATCH_SIZES.map(|(bound, _)| bound);
            let buckets =
                Buckets { bounds: &bounds, counts: &counts, sum: Value::Number(sum), exemplars: &[] };
            self.out.histogram(family.name, &row.labels, &buckets);
        }
    }

    fn summary(&mut self, family: &Family, phase: Phase, rows: &[Row]) {
        if !self.has(family) {
            return;
        }
        self.out.family(family);
        let (wanted, now) = (&self.config.quantiles, Instant::now());
        for row in rows {
            let values = row.statistics().quantiles(phase, wanted, now).unwrap_or_default();
            let quantiles: Vec<(f64, f64)> = wanted.iter().copied().zip(values).collect();
            let count = row.statistics().timed(phase).count();
            self.out.summary(family.name, &row.labels, &quantiles, micros(row, phase), count);
        }
    }

    fn states(&mut self, serving: &Serving) {
        let states = state_labels(&serving.registry);
        if !states.is_empty() {
            self.out.family(&families::STATE);
        }
        for labels in &states {
            self.out.series(families::STATE.name, &[labels], Value::Number(1));
        }
    }

    fn server(&mut self, serving: &Serving) {
        let loads = serving.registry.loads();
        self.one(&families::LOADED, Some(Value::Number(loads.loaded())));
        let family = &families::LOAD_FAILURES;
        self.out.family(family);
        for code in Code::ALL {
            let failed = Value::Number(loads.failed(code));
            self.out.series(family.name, &[&label("reason", code.label())], failed);
        }
        self.one(&families::UNLOADED, Some(Value::Number(loads.unloaded())));
        self.one(&families::INFLIGHT_REQUESTS, Some(size(serving.inflight.requests())));
        self.one(&families::INFLIGHT_BYTES, Some(size(serving.inflight.bytes())));
        self.one(&families::INFLIGHT_REFUSED, Some(Value::Number(serving.inflight.refused())));
        self.one(&families::GIVEN_BACK, Some(Value::Number(serving.reclaim.bytes())));
        self.one(&families::HEAP, memory::committed().map(Value::Number));
        let engines = serving.reclaim.heap();
        self.one(&families::ENGINE_HEAP_USED, engines.map(|heap| size(heap.used)));
        self.one(&families::ENGINE_HEAP_FREE, engines.map(|heap| size(heap.free)));
        self.one(&families::TRACES, Some(Value::Number(serving.tracer.begun())));
        self.one(&families::TRACES_DROPPED, Some(Value::Number(serving.tracer.dropped())));
        self.one(&families::LOG_DROPPED, serving.log.as_ref().map(|log| Value::Number(log.dropped())));
        let dropped = serving.access_log.as_ref().map(|log| log.dropped());
        self.one(&families::ACCESS_LOG_DROPPED, dropped.map(Value::Number));
        // There is no such pool: tensors go to the engines as they come.
        self.one(&families::PINNED_TOTAL, Some(Value::Number(0)));
        self.one(&families::PINNED_USED, Some(Value::Number(0)));
        let family = &families::BUILD;
        self.out.family(family);
        let version = label("version", env!("CARGO_PKG_VERSION"));
        self.out.series(family.name, &[&version], Value::Number(1));
    }

    fn machine(&mut self, machine: &Machine) {
        if self.has(&families::CPU_UTILIZATION) {
            self.one(&families::CPU_UTILIZATION, machine.utilization().map(Value::Real));
        }
        if self.has(&families::CPU_MEMORY_TOTAL) {
            let memory = machine::memory();
            self.one(&families::CPU_MEMORY_TOTAL, memory.map(|memory| Value::Number(memory.total)));
            self.one(&families::CPU_MEMORY_USED, memory.map(|memory| Value::Number(memory.used)));
        }
    }

    fn process(&mut self, process: &Process) {
        self.one(&families::PROCESS_CPU, Some(Value::Nanos(process.cpu_nanos)));
        self.one(&families::PROCESS_RESIDENT, process.resident.map(Value::Number));
        self.one(&families::PROCESS_VIRTUAL, process.virtual_memory.map(Value::Number));
        self.one(&families::PROCESS_THREADS, process.threads.map(Value::Number));
        self.one(&families::PROCESS_OPEN_FDS, process.open_files.map(Value::Number));
        self.one(&families::PROCESS_MAX_FDS, process.most_files.map(Value::Number));
        self.one(&families::PROCESS_START, process.started_nanos.map(Value::Nanos));
    }

    /// A family with one series, unless its value is not known.
    fn one(&mut self, family: &Family, value: Option<Value>) {
        if let Some(value) = value {
            self.out.family(family);
            self.out.series(family.name, &[], value);
        }
    }
}

/// A label that stands between others.
fn between(name: &str, value: &str) -> String {
    format!("{},", label(name, value))
}

fn size(size: usize) -> Value {
    Value::Number(size as u64)
}

fn nanos(duration: Duration) -> Value {
    Value::Nanos(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

fn micros(row: &Row, phase: Phase) -> Value {
    Value::Number(row.statistics().timed(phase).nanos() / 1_000)
}
