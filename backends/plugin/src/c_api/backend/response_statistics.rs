//! `TRITONBACKEND_ModelInstanceResponseStatistics`: what a plugin reports of one response of several.
//!
//! It is taken and not used: the server measures responses itself, as they are sent. What is set is checked, so that a
//! plugin that does it wrong hears of it here and not in Triton alone.

use std::ptr;
use std::sync::Arc;

use nerite_backend::BackendError;
use nerite_plugin_abi as abi;

use super::factory::ResponseFactory;
use crate::c_api::server::error::Error;
use crate::guard;
use crate::handle::{self, object};
use crate::instance::ModelInstance;

/// What is reported.
pub(crate) struct ResponseStatistics;

object!(ResponseStatistics, ModelInstanceResponseStatistics, "TRITONBACKEND_ModelInstanceResponseStatistics");

/// Makes an object to report with, which the plugin deletes.
///
/// # Safety
/// `response_statistics` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceResponseStatisticsNew(
    response_statistics: *mut *mut abi::ModelInstanceResponseStatistics,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    guard::answer(|| unsafe {
        guard::hand_out(response_statistics, "response_statistics", ResponseStatistics)
    })
}

/// Says whose instance made the response.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceResponseStatisticsSetModelInstance(
    response_statistics: *mut abi::ModelInstanceResponseStatistics,
    model_instance: *mut abi::ModelInstance,
) -> *mut abi::Error {
    set(response_statistics, || handle::find::<Arc<ModelInstance>>(model_instance).map(drop))
}

/// Says which factory it was made of.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceResponseStatisticsSetResponseFactory(
    response_statistics: *mut abi::ModelInstanceResponseStatistics,
    response_factory: *mut abi::ResponseFactory,
) -> *mut abi::Error {
    set(response_statistics, || handle::find::<ResponseFactory>(response_factory).map(drop))
}

/// Says when its making began.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceResponseStatisticsSetResponseStart(
    response_statistics: *mut abi::ModelInstanceResponseStatistics,
    _response_start: u64,
) -> *mut abi::Error {
    if handle::find::<Arc<ModelInstance>>(response_statistics.cast()).is_ok() {
        return ptr::null_mut();
    }
    set(response_statistics, || Ok(()))
}

/// Says when its outputs were begun.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceResponseStatisticsSetComputeOutputStart(
    response_statistics: *mut abi::ModelInstanceResponseStatistics,
    _compute_output_start: u64,
) -> *mut abi::Error {
    set(response_statistics, || Ok(()))
}

/// Says when it was made.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceResponseStatisticsSetResponseEnd(
    response_statistics: *mut abi::ModelInstanceResponseStatistics,
    _response_end: u64,
) -> *mut abi::Error {
    set(response_statistics, || Ok(()))
}

/// Says that it is an error; null says that it is none. The error stays the plugin's.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceResponseStatisticsSetError(
    response_statistics: *mut abi::ModelInstanceResponseStatistics,
    error: *mut abi::Error,
) -> *mut abi::Error {
    set(response_statistics, || match ptr::eq(error, ptr::null()) {
        true => Ok(()),
        false => handle::find::<Error>(error).map(drop),
    })
}

/// Deletes what was reported, or was not.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceResponseStatisticsDelete(
    response_statistics: *mut abi::ModelInstanceResponseStatistics,
) -> *mut abi::Error {
    guard::answer(|| handle::take::<ResponseStatistics>(response_statistics).map(drop))
}

/// Reports it. An early form of API 1.19 had the instance as the first of several arguments: what a plugin says in that form
/// is passed over, as all that is reported here is.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONBACKEND_ModelInstanceReportResponseStatistics(
    response_statistics: *mut abi::ModelInstanceResponseStatistics,
) -> *mut abi::Error {
    set(response_statistics, || Ok(()))
}

fn set(
    response_statistics: *mut abi::ModelInstanceResponseStatistics,
    check: impl FnOnce() -> Result<(), BackendError>,
) -> *mut abi::Error {
    guard::answer(|| {
        handle::find::<ResponseStatistics>(response_statistics)?;
        check()
    })
}
