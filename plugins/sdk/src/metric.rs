//! Metrics of the plugin's own, among the server's.

#![allow(unsafe_code)]

use std::ptr::{self, NonNull};
use std::sync::Arc;

use nerite_plugin_abi as abi;
use nerite_plugin_abi::ParameterType;

pub use nerite_plugin_abi::MetricKind;

use crate::error::{Error, Result, check};
use crate::log;
use crate::sys;
use crate::text::with_c_text;

/// Metrics of one name, which the server shows among its own.
#[derive(Clone)]
pub struct MetricFamily(Arc<Family>);

/// One series of a family. It disappears when it is dropped.
pub struct Metric {
    handle: NonNull<abi::Metric>,
    /// A family has to outlive its metrics.
    _family: Arc<Family>,
}

struct Family(NonNull<abi::MetricFamily>);

// SAFETY: the server makes the functions of families and metrics safe to be called from any thread at any time.
unsafe impl Send for Family {}
// SAFETY: as above.
unsafe impl Sync for Family {}
// SAFETY: as above.
unsafe impl Send for Metric {}
// SAFETY: as above.
unsafe impl Sync for Metric {}

impl MetricFamily {
    /// A family of counters ([`MetricKind::COUNTER`]) or gauges ([`MetricKind::GAUGE`]). Where a plugin has made one of
    /// that name before, this is the same one, and Nerite keeps its description. Fails where that is of the other kind,
    /// and where the name is of a metric of the server's own.
    pub fn new(kind: MetricKind, name: &str, description: &str) -> Result<MetricFamily> {
        let mut family = ptr::null_mut();
        let made = with_c_text(name, |name| {
            with_c_text(description, |description| {
                // SAFETY: both texts end with a zero and outlive the call; the server writes a handle that is ours.
                unsafe { sys::TRITONSERVER_MetricFamilyNew(&mut family, kind, name, description) }
            })
        });
        // SAFETY: what the call returns is the caller's.
        unsafe { check(made??) }?;
        let family =
            NonNull::new(family).ok_or_else(|| Error::internal("the server gave no metric family"))?;
        Ok(MetricFamily(Arc::new(Family(family))))
    }

    /// The series with these labels.
    pub fn metric(&self, labels: &[(&str, &str)]) -> Result<Metric> {
        let labels =
            labels.iter().map(|(name, value)| Label::new(name, value)).collect::<Result<Vec<_>>>()?;
        let mut pointers: Vec<*const abi::Parameter> =
            labels.iter().map(|label| label.0.cast_const()).collect();
        let mut metric = ptr::null_mut();
        let (family, count) = (self.0.0.as_ptr(), pointers.len() as u64);
        // SAFETY: the family is alive, so many labels are there and outlive the call, and the server writes a handle.
        unsafe { check(sys::TRITONSERVER_MetricNew(&mut metric, family, pointers.as_mut_ptr(), count)) }?;
        let handle = NonNull::new(metric).ok_or_else(|| Error::internal("the server gave no metric"))?;
        Ok(Metric { handle, _family: Arc::clone(&self.0) })
    }
}

impl Metric {
    /// Adds to it; to a counter nothing below zero.
    pub fn increment(&self, by: f64) -> Result<()> {
        // SAFETY: the metric is alive.
        unsafe { check(sys::TRITONSERVER_MetricIncrement(self.handle.as_ptr(), by)) }
    }

    /// Sets it, if it is a gauge.
    pub fn set(&self, value: f64) -> Result<()> {
        // SAFETY: the metric is alive.
        unsafe { check(sys::TRITONSERVER_MetricSet(self.handle.as_ptr(), value)) }
    }

    /// What it is.
    pub fn value(&self) -> Result<f64> {
        let mut value = 0.0;
        // SAFETY: the metric is alive, and the server writes a number.
        unsafe { check(sys::TRITONSERVER_MetricValue(self.handle.as_ptr(), &mut value)) }?;
        Ok(value)
    }
}

impl Drop for Metric {
    fn drop(&mut self) {
        // SAFETY: the metric is ours and is not used again.
        if let Err(error) = unsafe { check(sys::TRITONSERVER_MetricDelete(self.handle.as_ptr())) } {
            log::complaint("a metric is not deleted", &error);
        }
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        // SAFETY: the family is ours and is not used again; its metrics hold it, so there are none.
        if let Err(error) = unsafe { check(sys::TRITONSERVER_MetricFamilyDelete(self.0.as_ptr())) } {
            log::complaint("a metric family is not deleted", &error);
        }
    }
}

/// A label, which the server copies.
struct Label(*mut abi::Parameter);

impl Label {
    fn new(name: &str, value: &str) -> Result<Label> {
        let parameter = with_c_text(name, |name| {
            with_c_text(value, |value| {
                // SAFETY: both texts end with a zero and outlive the call, which copies them.
                unsafe { sys::TRITONSERVER_ParameterNew(name, ParameterType::STRING, value.cast()) }
            })
        })??;
        if parameter.is_null() {
            Err(Error::internal("the server gave no label"))
        } else {
            Ok(Label(parameter))
        }
    }
}

impl Drop for Label {
    fn drop(&mut self) {
        // SAFETY: the parameter is ours and is not used again.
        unsafe { sys::TRITONSERVER_ParameterDelete(self.0) };
    }
}
