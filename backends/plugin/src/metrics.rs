//! The metrics that plugins keep.
//!
//! A family is there while a plugin has a handle of it, and so is a metric: those who make the same one share it.
//! Values change without a lock; the lock is for what is made, deleted and read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nerite_backend::metrics::{Kind, Series, Value};
use nerite_backend::{BackendError, Code};
use parking_lot::Mutex;

/// The most lines that all metrics of plugins may have on the metrics endpoint, with one for each family.
const MAX_LINES: usize = 10_000;
/// The most bytes of a name, a help text or the value of a label.
const MAX_TEXT: usize = 4_096;

/// What tells the metrics of a family apart: names with values, in the order of the names.
pub(crate) type Labels = BTreeMap<String, String>;

/// All families by name.
pub(crate) struct Metrics(Mutex<State>);

#[derive(Default)]
struct State {
    families: BTreeMap<String, Family>,
    lines: usize,
}

struct Family {
    kind: Kind,
    help: String,
    /// How many handles there are.
    users: usize,
    series: BTreeMap<Labels, (Arc<Cell>, usize)>,
}

/// The one store of the process.
pub(crate) static METRICS: Metrics = Metrics::new();

/// What all metrics of plugins are at.
pub fn metrics() -> Vec<nerite_backend::metrics::Family> {
    METRICS.read()
}

impl Metrics {
    const fn new() -> Metrics {
        Metrics(Mutex::new(State { families: BTreeMap::new(), lines: 0 }))
    }

    /// Adds a family, or one more user of it. Of a family that is there already the help stays as it is.
    pub(crate) fn add_family(&self, name: &str, kind: Kind, help: &str) -> Result<(), BackendError> {
        if !is_name(name, |byte| byte == b':') {
            return Err(BackendError::invalid(format!(
                "'{name}' is no name of metrics: it has letters, digits, '_' and ':' and does not begin with a digit"
            )));
        }
        check_length("the help text", help)?;
        let mut state = self.0.lock();
        match state.families.get_mut(name) {
            Some(family) if family.kind != kind => Err(BackendError::invalid(format!(
                "metric family '{name}' is there already and of another kind"
            ))),
            Some(family) => {
                family.users += 1;
                Ok(())
            }
            None => {
                state.take_lines(1)?;
                let family = Family { kind, help: help.to_owned(), users: 1, series: BTreeMap::new() };
                state.families.insert(name.to_owned(), family);
                Ok(())
            }
        }
    }

    /// One user of a family less.
    pub(crate) fn remove_family(&self, name: &str) {
        let mut state = self.0.lock();
        let Some(family) = state.families.get_mut(name) else { return };
        family.users -= 1;
        if family.users == 0 {
            let gone = state.families.remove(name);
            let lines = gone.iter().flat_map(|family| family.series.values()).map(|(cell, _)| cell.lines());
            state.lines -= 1 + lines.sum::<usize>();
        }
    }

    /// Adds a metric to a family, or one more user of it, whose bounds then stay as they are.
    pub(crate) fn add(&self, family: &str, labels: Labels, new: Cell) -> Result<Arc<Cell>, BackendError> {
        for (name, value) in &labels {
            let is_taken = name == "le" || name.starts_with("__");
            if !is_name(name, |_| false) || is_taken {
                return Err(BackendError::invalid(format!(
                    "'{name}' is no name of a label: it has letters, digits and '_', does not begin with a digit or \
                     '__', and is not 'le'"
                )));
            }
            check_length("the value of a label", value)?;
        }
        let mut state = self.0.lock();
        let gone = || BackendError::internal(format!("metric family '{family}' is there no longer"));
        let found = state.families.get_mut(family).ok_or_else(gone)?;
        if let Some((cell, users)) = found.series.get_mut(&labels) {
            *users += 1;
            return Ok(Arc::clone(cell));
        }
        state.take_lines(new.lines())?;
        let cell = Arc::new(new);
        let found = state.families.get_mut(family).ok_or_else(gone)?;
        found.series.insert(labels, (Arc::clone(&cell), 1));
        Ok(cell)
    }

    /// One user of a metric less.
    pub(crate) fn remove(&self, family: &str, labels: &Labels) {
        let mut state = self.0.lock();
        let Some(found) = state.families.get_mut(family) else { return };
        let Some((cell, users)) = found.series.get_mut(labels) else { return };
        *users -= 1;
        if *users == 0 {
            let lines = cell.lines();
            found.series.remove(labels);
            state.lines -= lines;
        }
    }

    /// What all are at, in the order of their names.
    fn read(&self) -> Vec<nerite_backend::metrics::Family> {
        let state = self.0.lock();
        let families = state.families.iter().map(|(name, family)| {
            let series = family.series.iter().map(|(labels, (cell, _))| Series {
                labels: labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
                value: cell.read(),
            });
            nerite_backend::metrics::Family {
                name: name.clone(),
                help: family.help.clone(),
                kind: family.kind,
                series: series.collect(),
            }
        });
        families.collect()
    }
}

impl State {
    fn take_lines(&mut self, lines: usize) -> Result<(), BackendError> {
        if self.lines + lines > MAX_LINES {
            return Err(BackendError::new(
                Code::Unavailable,
                format!("the metrics of plugins would have more than {MAX_LINES} lines, which is the limit"),
            ));
        }
        self.lines += lines;
        Ok(())
    }
}

fn is_name(name: &str, other: impl Fn(u8) -> bool) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || other(byte);
    let begins_well = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    begins_well && name.len() <= MAX_TEXT && name.bytes().all(is_part)
}

fn check_length(what: &str, text: &str) -> Result<(), BackendError> {
    if text.len() <= MAX_TEXT {
        return Ok(());
    }
    Err(BackendError::invalid(format!("{what} has {} bytes, {MAX_TEXT} at most", text.len())))
}

/// A metric's value, which any thread may change at any time.
pub(crate) enum Cell {
    Counter(Real),
    Gauge(Real),
    Histogram { bounds: Box<[f64]>, counts: Box<[AtomicU64]>, sum: Real },
}

impl Cell {
    /// A metric that is at zero, where the kind needs no more.
    pub(crate) fn of(kind: Kind) -> Option<Cell> {
        match kind {
            Kind::Counter => Some(Cell::Counter(Real::default())),
            Kind::Gauge => Some(Cell::Gauge(Real::default())),
            Kind::Histogram => None,
        }
    }

    /// A histogram with these upper bounds.
    pub(crate) fn histogram(bounds: &[f64]) -> Result<Cell, BackendError> {
        let is_sorted = bounds.array_windows().all(|[lower, higher]| lower < higher);
        if bounds.is_empty() || !is_sorted || !bounds.iter().all(|bound| bound.is_finite()) {
            return Err(BackendError::invalid(
                "a histogram needs bounds of its buckets that are finite and each greater than the one before",
            ));
        }
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Ok(Cell::Histogram { bounds: bounds.into(), counts, sum: Real::default() })
    }

    /// How many lines it has on the metrics endpoint.
    fn lines(&self) -> usize {
        match self {
            Cell::Counter(_) | Cell::Gauge(_) => 1,
            Cell::Histogram { counts, .. } => counts.len() + 2,
        }
    }

    /// What a counter or a gauge is at.
    pub(crate) fn value(&self) -> Result<f64, BackendError> {
        match self {
            Cell::Counter(value) | Cell::Gauge(value) => Ok(value.get()),
            Cell::Histogram { .. } => Err(self.cannot("Value")),
        }
    }

    /// Adds to a counter or a gauge.
    pub(crate) fn increment(&self, by: f64) -> Result<(), BackendError> {
        match self {
            // Not "less than zero": NaN is no increment either.
            Cell::Counter(_) if !(0.0..).contains(&by) => Err(BackendError::invalid(
                "TRITONSERVER_METRIC_KIND_COUNTER can only be incremented monotonically by non-negative values.",
            )),
            Cell::Counter(value) | Cell::Gauge(value) => {
                value.add(by);
                Ok(())
            }
            Cell::Histogram { .. } => Err(self.cannot("Increment")),
        }
    }

    /// Sets a gauge.
    pub(crate) fn set(&self, to: f64) -> Result<(), BackendError> {
        match self {
            Cell::Gauge(value) => {
                value.set(to);
                Ok(())
            }
            Cell::Counter(_) | Cell::Histogram { .. } => Err(self.cannot("Set")),
        }
    }

    /// Counts an observation in a histogram.
    pub(crate) fn observe(&self, value: f64) -> Result<(), BackendError> {
        match self {
            Cell::Histogram { bounds, counts, sum } => {
                let bucket = bounds.partition_point(|&bound| bound < value);
                // What is not a number is in no bucket but the last. There is one more than bounds.
                let bucket = if value.is_nan() { bounds.len() } else { bucket };
                if let Some(count) = counts.get(bucket) {
                    count.fetch_add(1, Relaxed);
                }
                sum.add(value);
                Ok(())
            }
            Cell::Counter(_) | Cell::Gauge(_) => Err(self.cannot("Observe")),
        }
    }

    fn cannot(&self, what: &str) -> BackendError {
        let kind = match self {
            Cell::Counter(_) => "COUNTER",
            Cell::Gauge(_) => "GAUGE",
            Cell::Histogram { .. } => "HISTOGRAM",
        };
        BackendError::new(
            Code::Unsupported,
            format!("TRITONSERVER_METRIC_KIND_{kind} does not support {what}"),
        )
    }

    fn read(&self) -> Value {
        match self {
            Cell::Counter(value) | Cell::Gauge(value) => Value::Number(value.get()),
            Cell::Histogram { bounds, counts, sum } => Value::Histogram {
                bounds: bounds.to_vec(),
                counts: counts.iter().map(|count| count.load(Relaxed)).collect(),
                sum: sum.get(),
            },
        }
    }
}

/// A number that any thread may add to. It orders nothing.
#[derive(Default)]
pub(crate) struct Real(AtomicU64);

impl Real {
    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }

    fn set(&self, to: f64) {
        self.0.store(to.to_bits(), Relaxed);
    }

    fn add(&self, by: f64) {
        let sum = |bits| Some((f64::from_bits(bits) + by).to_bits());
        let _ = self.0.fetch_update(Relaxed, Relaxed, sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(value: &str) -> Labels {
        Labels::from([("label".to_owned(), value.to_owned())])
    }

    fn counter() -> Cell {
        Cell::of(Kind::Counter).unwrap()
    }

    #[test]
    fn a_metric_is_shared_by_those_who_make_the_same_and_gone_with_the_last() {
        let metrics = Metrics::new();
        metrics.add_family("f_total", Kind::Counter, "help").unwrap();
        metrics.add_family("f_total", Kind::Counter, "other").unwrap();
        let one = metrics.add("f_total", labels("a"), counter()).unwrap();
        let other = metrics.add("f_total", labels("a"), counter()).unwrap();
        one.increment(1.5).unwrap();
        other.increment(1.0).unwrap();
        let read = metrics.read();
        assert_eq!((read[0].help.as_str(), read[0].series.len()), ("help", 1));
        assert_eq!(read[0].series[0].value, Value::Number(2.5));
        metrics.remove("f_total", &labels("a"));
        assert_eq!(metrics.read()[0].series.len(), 1);
        metrics.remove("f_total", &labels("a"));
        assert!(metrics.read()[0].series.is_empty());
        metrics.remove_family("f_total");
        assert_eq!(metrics.read().len(), 1);
        metrics.remove_family("f_total");
        assert_eq!((metrics.read().len(), metrics.0.lock().lines), (0, 0));
    }

    #[test]
    fn metrics_have_so_many_lines_and_no_more() {
        let metrics = Metrics::new();
        metrics.add_family("f", Kind::Histogram, "").unwrap();
        let bounds: Vec<f64> = (0..997).map(f64::from).collect();
        let histogram = || Cell::histogram(&bounds).unwrap();
        for number in 0..9 {
            metrics.add("f", labels(&number.to_string()), histogram()).unwrap();
        }
        // 9,001 lines so far, and 1,000 more would be one too many.
        let error = metrics.add("f", labels("last"), histogram()).err().unwrap();
        assert_eq!(error.code, Code::Unavailable);
        metrics.remove("f", &labels("0"));
        metrics.add("f", labels("last"), histogram()).unwrap();
        metrics.remove_family("f");
        assert_eq!(metrics.0.lock().lines, 0, "a family takes its metrics with it");
    }

    #[test]
    fn names_that_scrapers_do_not_take_are_refused() {
        let metrics = Metrics::new();
        for name in ["", "1a", "a-b", "a b", "é", "a\n"] {
            assert!(metrics.add_family(name, Kind::Gauge, "").is_err(), "{name:?}");
        }
        metrics.add_family("a:b_1", Kind::Gauge, "").unwrap();
        assert!(metrics.add_family("a:b_1", Kind::Counter, "").is_err(), "of another kind");
        for name in ["", "le", "__name", "a:b", "2"] {
            let labels = Labels::from([(name.to_owned(), String::new())]);
            assert!(metrics.add("a:b_1", labels, Cell::of(Kind::Gauge).unwrap()).is_err(), "{name:?}");
        }
    }

    #[test]
    fn each_kind_takes_what_is_its_own() {
        let (counter, gauge) = (counter(), Cell::of(Kind::Gauge).unwrap());
        let histogram = Cell::histogram(&[1.0, 2.0]).unwrap();
        assert_eq!(counter.increment(-1.0).unwrap_err().code, Code::InvalidArgument);
        assert_eq!(counter.increment(f64::NAN).unwrap_err().code, Code::InvalidArgument);
        assert_eq!(counter.set(1.0).unwrap_err().code, Code::Unsupported);
        gauge.set(4.0).unwrap();
        gauge.increment(-1.0).unwrap();
        assert_eq!(gauge.value(), Ok(3.0));
        assert_eq!(gauge.observe(1.0).unwrap_err().code, Code::Unsupported);
        assert_eq!(histogram.increment(1.0).unwrap_err().code, Code::Unsupported);
        assert_eq!(histogram.value().unwrap_err().code, Code::Unsupported);
        for value in [0.5, 1.0, 1.5, 9.0] {
            histogram.observe(value).unwrap();
        }
        let read = Value::Histogram { bounds: vec![1.0, 2.0], counts: vec![2, 1, 1], sum: 12.0 };
        assert_eq!(histogram.read(), read);
        for bounds in [&[][..], &[1.0, 1.0], &[2.0, 1.0], &[f64::NAN], &[f64::INFINITY]] {
            assert!(Cell::histogram(bounds).is_err(), "{bounds:?}");
        }
    }
}
