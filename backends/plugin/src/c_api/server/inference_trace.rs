//! `TRITONSERVER_InferenceTrace`: plugins are given none.
//!
//! The server traces requests itself; what a plugin does for one is not told to it. A plugin that has no trace may
//! still hand that on.

use std::ffi::{c_char, c_void};
use std::ptr;

use nerite_backend::BackendError;
use nerite_plugin_abi as abi;
use nerite_plugin_abi::{
    InferenceTrace, InferenceTraceActivity, InferenceTraceActivityFn, InferenceTraceLevel,
    InferenceTraceReleaseFn, InferenceTraceTensorActivityFn,
};

use super::unsupported::unsupported;
use crate::guard;

unsupported! {
    fn TRITONSERVER_InferenceTraceNew(
        trace: *mut *mut InferenceTrace,
        level: InferenceTraceLevel,
        parent_id: u64,
        activity_fn: Option<InferenceTraceActivityFn>,
        release_fn: Option<InferenceTraceReleaseFn>,
        trace_userp: *mut c_void
    );
    fn TRITONSERVER_InferenceTraceTensorNew(
        trace: *mut *mut InferenceTrace,
        level: InferenceTraceLevel,
        parent_id: u64,
        activity_fn: Option<InferenceTraceActivityFn>,
        tensor_activity_fn: Option<InferenceTraceTensorActivityFn>,
        release_fn: Option<InferenceTraceReleaseFn>,
        trace_userp: *mut c_void
    );
    fn TRITONSERVER_InferenceTraceReportActivity(
        trace: *mut InferenceTrace,
        timestamp: u64,
        activity_name: *const c_char
    );
    fn TRITONSERVER_InferenceTraceId(trace: *mut InferenceTrace, id: *mut u64);
    fn TRITONSERVER_InferenceTraceParentId(trace: *mut InferenceTrace, parent_id: *mut u64);
    fn TRITONSERVER_InferenceTraceModelName(trace: *mut InferenceTrace, model_name: *mut *const c_char);
    fn TRITONSERVER_InferenceTraceModelVersion(trace: *mut InferenceTrace, model_version: *mut i64);
    fn TRITONSERVER_InferenceTraceRequestId(trace: *mut InferenceTrace, request_id: *mut *const c_char);
    fn TRITONSERVER_InferenceTraceSetContext(trace: *mut InferenceTrace, trace_context: *const c_char);
    fn TRITONSERVER_InferenceTraceContext(trace: *mut InferenceTrace, trace_context: *mut *const c_char);
}

/// Refuses what is said to be a trace: there is none that it could be.
pub(crate) fn check(trace: *mut InferenceTrace) -> Result<(), BackendError> {
    if trace.is_null() {
        return Ok(());
    }
    Err(BackendError::invalid("the trace is none of this server's, which gives out none: pass NULL"))
}

/// The name of a level; the server's for good.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceTraceLevelString(level: InferenceTraceLevel) -> *const c_char {
    let name = match level {
        InferenceTraceLevel::DISABLED => c"DISABLED",
        InferenceTraceLevel::MIN => c"MIN",
        InferenceTraceLevel::MAX => c"MAX",
        InferenceTraceLevel::TIMESTAMPS => c"TIMESTAMPS",
        InferenceTraceLevel::TENSORS => c"TENSORS",
        _ => c"<unknown>",
    };
    name.as_ptr()
}

/// The name of a step; the server's for good.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceTraceActivityString(
    activity: InferenceTraceActivity,
) -> *const c_char {
    let name = match activity {
        InferenceTraceActivity::REQUEST_START => c"REQUEST_START",
        InferenceTraceActivity::QUEUE_START => c"QUEUE_START",
        InferenceTraceActivity::COMPUTE_START => c"COMPUTE_START",
        InferenceTraceActivity::COMPUTE_INPUT_END => c"COMPUTE_INPUT_END",
        InferenceTraceActivity::COMPUTE_OUTPUT_START => c"COMPUTE_OUTPUT_START",
        InferenceTraceActivity::COMPUTE_END => c"COMPUTE_END",
        InferenceTraceActivity::REQUEST_END => c"REQUEST_END",
        InferenceTraceActivity::TENSOR_QUEUE_INPUT => c"TENSOR_QUEUE_INPUT",
        InferenceTraceActivity::TENSOR_BACKEND_INPUT => c"TENSOR_BACKEND_INPUT",
        InferenceTraceActivity::TENSOR_BACKEND_OUTPUT => c"TENSOR_BACKEND_OUTPUT",
        InferenceTraceActivity::CUSTOM_ACTIVITY => c"CUSTOM_ACTIVITY",
        _ => c"<unknown>",
    };
    name.as_ptr()
}

/// Deletes a trace: there is nothing to delete.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceTraceDelete(trace: *mut InferenceTrace) -> *mut abi::Error {
    guard::answer(|| check(trace))
}

/// Gives no trace for no trace.
///
/// # Safety
/// `child_trace` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceTraceSpawnChildTrace(
    trace: *mut InferenceTrace,
    child_trace: *mut *mut InferenceTrace,
) -> *mut abi::Error {
    guard::answer(|| {
        check(trace)?;
        // SAFETY: by the caller's word.
        unsafe { guard::store(child_trace, "child_trace", ptr::null_mut()) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::c_api::server::error;

    #[test]
    fn no_trace_has_no_child_and_a_trace_cannot_be_made() {
        let mut child = ptr::dangling_mut();
        // SAFETY: the pointers are to what is here, or null.
        unsafe {
            error::take(TRITONSERVER_InferenceTraceSpawnChildTrace(ptr::null_mut(), &mut child)).unwrap();
            assert!(child.is_null());
            assert!(
                error::take(TRITONSERVER_InferenceTraceSpawnChildTrace(&raw mut child as _, &mut child))
                    .is_err()
            );
            let made = TRITONSERVER_InferenceTraceNew(
                &mut child,
                InferenceTraceLevel::TIMESTAMPS,
                0,
                None,
                None,
                ptr::null_mut(),
            );
            let problem = error::take(made).unwrap_err();
            assert!(problem.message.contains("TRITONSERVER_InferenceTraceNew"), "{problem}");
        }
    }
}
