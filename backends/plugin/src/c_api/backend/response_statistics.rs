//! `TRITONBACKEND_ModelInstanceResponseStatistics`: what a plugin says of one response of several.
//!
//! The server measures responses itself, as they are sent: what is said here is checked, and no more.

use nerite_backend::BackendError;
use nerite_plugin_abi as abi;
use parking_lot::Mutex;

use super::factory::ResponseFactory;
use crate::guard;
use crate::handle::{self, object};
use crate::instance::ModelInstance;
use crate::pointer::Kept;
use std::sync::Arc;

/// Whose response it is.
pub(crate) struct ResponseStatistics(Mutex<Said>);

object!(ResponseStatistics, ModelInstanceResponseStatistics, "TRITONBACKEND_ModelInstanceResponseStatistics");

struct Said {
    instance: Kept<abi::ModelInstance>,
    factory: Kept<abi::ResponseFactory>,
}

fn set(
    statistics: *mut abi::ModelInstanceResponseStatistics,
    change: impl FnOnce(&mut Said) -> Result<(), BackendError>,
) -> *mut abi::Error {
    guard::answer(|| change(&mut handle::find::<ResponseStatistics>(statistics)?.0.lock()))
}

/// Makes statistics of which nothing is said yet.
///
/// # Safety
/// `statistics` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceResponseStatisticsNew(
    statistics: *mut *mut abi::ModelInstanceResponseStatistics,
) -> *mut abi::Error {
    guard::answer(|| {
        let said = Mutex::new(Said { instance: Kept::NULL, factory: Kept::NULL });
        // SAFETY: by the caller's word.
        unsafe { guard::hand_out(statistics, "response_statistics", ResponseStatistics(said)) }
    })
}

/// Says which instance makes the response.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceResponseStatisticsSetModelInstance(
    statistics: *mut abi::ModelInstanceResponseStatistics,
    instance: *mut abi::ModelInstance,
) -> *mut abi::Error {
    set(statistics, |said| {
        handle::find::<Arc<ModelInstance>>(instance)?;
        said.instance = Kept(instance);
        Ok(())
    })
}

/// Says which factory makes the response.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceResponseStatisticsSetResponseFactory(
    statistics: *mut abi::ModelInstanceResponseStatistics,
    response_factory: *mut abi::ResponseFactory,
) -> *mut abi::Error {
    set(statistics, |said| {
        handle::find::<ResponseFactory>(response_factory)?;
        said.factory = Kept(response_factory);
        Ok(())
    })
}

/// Says when the response was begun.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceResponseStatisticsSetResponseStart(
    statistics: *mut abi::ModelInstanceResponseStatistics,
    _response_start: u64,
) -> *mut abi::Error {
    set(statistics, |_| Ok(()))
}

/// Says when its outputs were begun.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceResponseStatisticsSetComputeOutputStart(
    statistics: *mut abi::ModelInstanceResponseStatistics,
    _compute_output_start: u64,
) -> *mut abi::Error {
    set(statistics, |_| Ok(()))
}

/// Says when it was complete.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceResponseStatisticsSetResponseEnd(
    statistics: *mut abi::ModelInstanceResponseStatistics,
    _response_end: u64,
) -> *mut abi::Error {
    set(statistics, |_| Ok(()))
}

/// Says that it is a failure. The error stays the plugin's.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceResponseStatisticsSetError(
    statistics: *mut abi::ModelInstanceResponseStatistics,
    _error: *mut abi::Error,
) -> *mut abi::Error {
    set(statistics, |_| Ok(()))
}

/// Deletes statistics, if they are some.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceResponseStatisticsDelete(
    statistics: *mut abi::ModelInstanceResponseStatistics,
) -> *mut abi::Error {
    guard::answer(|| handle::delete::<ResponseStatistics>(statistics))
}

/// Takes what was said, which has to name the instance and the factory.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceReportResponseStatistics(
    statistics: *mut abi::ModelInstanceResponseStatistics,
) -> *mut abi::Error {
    set(statistics, |said| {
        handle::find::<Arc<ModelInstance>>(said.instance.0)?;
        handle::find::<ResponseFactory>(said.factory.0).map(drop)
    })
}
