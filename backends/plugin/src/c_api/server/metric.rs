//! `TRITONSERVER_MetricFamily`, `TRITONSERVER_Metric` and `TRITONSERVER_MetricArgs`: metrics that a plugin keeps.

use std::ffi::c_char;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel};

use nerite_backend::BackendError;
use nerite_backend::metrics::Kind;
use nerite_plugin_abi as abi;
use nerite_plugin_abi::MetricKind;
use parking_lot::Mutex;

use super::parameter::{Parameter, Value};
use super::server;
use crate::guard;
use crate::handle::{self, object};
use crate::metrics::{Cell, Labels, METRICS};

/// A use of a family.
pub(crate) struct MetricFamily(Arc<Shared>);

object!(MetricFamily, MetricFamily, "TRITONSERVER_MetricFamily");

/// What a handle of a family and those of the metrics made with it have in common.
struct Shared {
    name: String,
    kind: Kind,
    /// How many metrics there are.
    metrics: AtomicUsize,
}

/// The family is not used any more when the last of its handles is gone.
impl Drop for Shared {
    fn drop(&mut self) {
        METRICS.remove_family(&self.name);
    }
}

/// A use of a metric.
pub(crate) struct Metric {
    family: Arc<Shared>,
    labels: Labels,
    cell: Arc<Cell>,
}

object!(Metric, Metric, "TRITONSERVER_Metric");

impl Drop for Metric {
    fn drop(&mut self) {
        METRICS.remove(&self.family.name, &self.labels);
        self.family.metrics.fetch_sub(1, AcqRel);
    }
}

/// What a metric is made with besides its labels.
#[derive(Default)]
pub(crate) struct MetricArgs(Mutex<Option<Vec<f64>>>);

object!(MetricArgs, MetricArgs, "TRITONSERVER_MetricArgs");

fn from_abi(kind: MetricKind) -> Result<Kind, BackendError> {
    match kind {
        MetricKind::COUNTER => Ok(Kind::Counter),
        MetricKind::GAUGE => Ok(Kind::Gauge),
        MetricKind::HISTOGRAM => Ok(Kind::Histogram),
        _ => Err(BackendError::invalid(format!("{} is no kind of metrics", kind.0))),
    }
}

fn to_abi(kind: Kind) -> MetricKind {
    match kind {
        Kind::Counter => MetricKind::COUNTER,
        Kind::Gauge => MetricKind::GAUGE,
        Kind::Histogram => MetricKind::HISTOGRAM,
    }
}

/// Makes a family, or one more use of it. Its metrics are on the server's metrics endpoint.
///
/// # Safety
/// `family` may be written; `name` and `description` are texts of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_MetricFamilyNew(
    family: *mut *mut abi::MetricFamily,
    kind: MetricKind,
    name: *const c_char,
    description: *const c_char,
) -> *mut abi::Error {
    guard::answer(|| {
        // SAFETY: by the caller's word.
        let (name, help) = unsafe { (guard::text(name, "name")?, guard::text(description, "description")?) };
        let kind = from_abi(kind)?;
        if server::host().is_ok_and(|host| host.has_metric(&name)) {
            return Err(BackendError::invalid(format!("metric family '{name}' is the server's own")));
        }
        METRICS.add_family(&name, kind, &help)?;
        let shared = Shared { name, kind, metrics: AtomicUsize::new(0) };
        // SAFETY: by the caller's word.
        unsafe { guard::hand_out(family, "family", MetricFamily(Arc::new(shared))) }
    })
}

/// Deletes a family, if it is one, whose metrics have to be deleted before.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_MetricFamilyDelete(family: *mut abi::MetricFamily) -> *mut abi::Error {
    guard::answer(|| {
        if !family.is_null() {
            let found = handle::find::<MetricFamily>(family)?;
            let metrics = found.0.metrics.load(std::sync::atomic::Ordering::Acquire);
            if metrics > 0 {
                return Err(BackendError::internal(format!(
                    "metric family '{}' has {metrics} metrics, which have to be deleted before it",
                    found.0.name
                )));
            }
        }
        handle::delete::<MetricFamily>(family)
    })
}

/// The kind of a family.
///
/// # Safety
/// `kind` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_GetMetricFamilyKind(
    family: *mut abi::MetricFamily,
    kind: *mut MetricKind,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe {
        guard::store(kind, "kind", to_abi(handle::find::<MetricFamily>(family)?.0.kind))
    })
}

/// Makes arguments that say nothing yet.
///
/// # Safety
/// `args` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_MetricArgsNew(args: *mut *mut abi::MetricArgs) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe { guard::hand_out(args, "args", MetricArgs::default()) })
}

/// Gives the bounds of a histogram's buckets.
///
/// # Safety
/// `buckets` points to `buckets_count` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_MetricArgsSetHistogram(
    args: *mut abi::MetricArgs,
    buckets: *const f64,
    buckets_count: u64,
) -> *mut abi::Error {
    guard::answer(|| {
        /// More than all metrics may have.
        const MAX: u64 = 10_000;
        let args = handle::find::<MetricArgs>(args)?;
        if buckets.is_null() || !buckets.is_aligned() || buckets_count > MAX {
            return Err(BackendError::invalid(format!(
                "buckets is no pointer to {buckets_count} numbers, {MAX} at most"
            )));
        }
        // SAFETY: neither null nor in between and not too many, so by the caller's word there are so many.
        let bounds = unsafe { slice::from_raw_parts(buckets, buckets_count as usize) };
        *args.0.lock() = Some(bounds.to_vec());
        Ok(())
    })
}

/// Deletes arguments, if they are some.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_MetricArgsDelete(args: *mut abi::MetricArgs) -> *mut abi::Error {
    guard::answer(|| handle::delete::<MetricArgs>(args))
}

/// Makes a metric of a family, or one more use of it.
///
/// # Safety
/// `metric` may be written, and `labels` points to `label_count` handles.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_MetricNew(
    metric: *mut *mut abi::Metric,
    family: *mut abi::MetricFamily,
    labels: *mut *const abi::Parameter,
    label_count: u64,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    unsafe { TRITONSERVER_MetricNewWithArgs(metric, family, labels, label_count, std::ptr::null()) }
}

/// Makes a metric of a family, or one more use of it. A histogram needs arguments, and another must have none.
///
/// # Safety
/// `metric` may be written, and `labels` points to `label_count` handles.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_MetricNewWithArgs(
    metric: *mut *mut abi::Metric,
    family: *mut abi::MetricFamily,
    labels: *mut *const abi::Parameter,
    label_count: u64,
    args: *const abi::MetricArgs,
) -> *mut abi::Error {
    guard::answer(|| {
        // SAFETY: by the caller's word.
        let handles = unsafe { server::list(labels, label_count) }?;
        let labels: Labels = handles.iter().map(|&label| label_of(label)).collect::<Result<_, _>>()?;
        let family = Arc::clone(&handle::find::<MetricFamily>(family)?.0);
        let cell = METRICS.add(&family.name, labels.clone(), cell(family.kind, args.cast_mut())?)?;
        family.metrics.fetch_add(1, AcqRel);
        // SAFETY: by the caller's word.
        unsafe { guard::hand_out(metric, "metric", Metric { family, labels, cell }) }
    })
}

fn label_of(handle: *const abi::Parameter) -> Result<(String, String), BackendError> {
    let parameter = handle::find::<Parameter>(handle.cast_mut())?;
    let name = parameter.name.clone();
    let Value::String(text) = &parameter.value else {
        return Err(BackendError::invalid(format!(
            "Parameter [{name}] must have a type of TRITONSERVER_PARAMETER_STRING to be added as a label."
        )));
    };
    Ok((name, text.to_string_lossy().into_owned()))
}

fn cell(kind: Kind, args: *mut abi::MetricArgs) -> Result<Cell, BackendError> {
    let bounds = match args.is_null() {
        true => None,
        false => Some(handle::find::<MetricArgs>(args)?.0.lock().clone()),
    };
    match (Cell::of(kind), bounds) {
        (Some(cell), None) => Ok(cell),
        (Some(_), Some(_)) => Err(BackendError::invalid("a counter or a gauge is made without metric args")),
        (None, Some(Some(bounds))) => Cell::histogram(&bounds),
        (None, _) => Err(BackendError::invalid("Bucket boundaries not found in Metric args.")),
    }
}

/// Deletes a metric, if it is one.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_MetricDelete(metric: *mut abi::Metric) -> *mut abi::Error {
    guard::answer(|| handle::delete::<Metric>(metric))
}

/// What a counter or a gauge is at.
///
/// # Safety
/// `value` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_MetricValue(
    metric: *mut abi::Metric,
    value: *mut f64,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe { guard::store(value, "value", handle::find::<Metric>(metric)?.cell.value()?) })
}

/// Adds to a counter or a gauge.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_MetricIncrement(
    metric: *mut abi::Metric,
    value: f64,
) -> *mut abi::Error {
    guard::answer(|| handle::find::<Metric>(metric)?.cell.increment(value))
}

/// Sets a gauge.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_MetricSet(metric: *mut abi::Metric, value: f64) -> *mut abi::Error {
    guard::answer(|| handle::find::<Metric>(metric)?.cell.set(value))
}

/// Counts an observation in a histogram.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_MetricObserve(metric: *mut abi::Metric, value: f64) -> *mut abi::Error {
    guard::answer(|| handle::find::<Metric>(metric)?.cell.observe(value))
}

/// The kind of a metric.
///
/// # Safety
/// `kind` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_GetMetricKind(
    metric: *mut abi::Metric,
    kind: *mut MetricKind,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe {
        guard::store(kind, "kind", to_abi(handle::find::<Metric>(metric)?.family.kind))
    })
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;
    use crate::c_api::server::error;
    use crate::c_api::server::parameter::{TRITONSERVER_ParameterDelete, TRITONSERVER_ParameterNew};

    #[test]
    fn a_metric_lives_from_new_to_delete_and_outlives_no_family() {
        // SAFETY: texts, and pointers to what is here.
        unsafe {
            let (mut family, mut metric, mut kind) = (ptr::null_mut(), ptr::null_mut(), MetricKind::COUNTER);
            let (name, help) = (c"lives".as_ptr(), c"Help".as_ptr());
            error::take(TRITONSERVER_MetricFamilyNew(&mut family, MetricKind::GAUGE, name, help)).unwrap();
            error::take(TRITONSERVER_GetMetricFamilyKind(family, &mut kind)).unwrap();
            assert_eq!(kind, MetricKind::GAUGE);
            let value = c"b";
            let label =
                TRITONSERVER_ParameterNew(c"a".as_ptr(), abi::ParameterType::STRING, value.as_ptr().cast());
            let mut labels = [label.cast_const()];
            error::take(TRITONSERVER_MetricNew(&mut metric, family, labels.as_mut_ptr(), 1)).unwrap();
            error::take(TRITONSERVER_MetricSet(metric, 2.5)).unwrap();
            let mut number = 0.0;
            error::take(TRITONSERVER_MetricValue(metric, &mut number)).unwrap();
            assert_eq!(number, 2.5);
            let found = crate::metrics::metrics();
            let found = found.iter().find(|family| family.name == "lives").unwrap();
            assert_eq!(found.series[0].labels, [("a".to_owned(), "b".to_owned())]);
            assert!(error::take(TRITONSERVER_MetricFamilyDelete(family)).is_err());
            error::take(TRITONSERVER_MetricDelete(metric)).unwrap();
            assert!(error::take(TRITONSERVER_MetricSet(metric, 1.0)).is_err());
            assert!(error::take(TRITONSERVER_MetricDelete(metric)).is_err());
            error::take(TRITONSERVER_MetricFamilyDelete(family)).unwrap();
            assert!(crate::metrics::metrics().iter().all(|family| family.name != "lives"));
            TRITONSERVER_ParameterDelete(label);
        }
    }

    #[test]
    fn a_histogram_needs_bounds_and_a_label_is_a_text() {
        // SAFETY: texts, and pointers to what is here.
        unsafe {
            let (mut family, mut metric, mut args) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
            let (name, help) = (c"needs".as_ptr(), c"Help".as_ptr());
            error::take(TRITONSERVER_MetricFamilyNew(&mut family, MetricKind::HISTOGRAM, name, help))
                .unwrap();
            error::take(TRITONSERVER_MetricArgsNew(&mut args)).unwrap();
            let mut make = |labels: &mut [*const abi::Parameter], args| {
                let count = labels.len() as u64;
                let new =
                    TRITONSERVER_MetricNewWithArgs(&mut metric, family, labels.as_mut_ptr(), count, args);
                error::take(new).map(|()| metric)
            };
            assert!(make(&mut [], ptr::null()).is_err());
            assert!(make(&mut [], args).is_err());
            error::take(TRITONSERVER_MetricArgsSetHistogram(args, [1.0, 2.0].as_ptr(), 2)).unwrap();
            let number = 7_i64;
            let number = TRITONSERVER_ParameterNew(
                c"a".as_ptr(),
                abi::ParameterType::INT,
                ptr::from_ref(&number).cast(),
            );
            assert!(make(&mut [number], args).is_err());
            assert!(make(&mut [ptr::null()], args).is_err());
            let metric = make(&mut [], args).unwrap();
            error::take(TRITONSERVER_MetricArgsDelete(args)).unwrap();
            error::take(TRITONSERVER_MetricObserve(metric, 1.5)).unwrap();
            error::take(TRITONSERVER_MetricDelete(metric)).unwrap();
            error::take(TRITONSERVER_MetricFamilyDelete(family)).unwrap();
            TRITONSERVER_ParameterDelete(number);
        }
    }
}
