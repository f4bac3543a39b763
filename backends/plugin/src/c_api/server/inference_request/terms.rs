//! How a request may wait.

use nerite_plugin_abi as abi;

use super::{State, change, get};

/// The priority of a request; 0 for the model's default. One that does not fit is the lowest that does.
///
/// # Safety
/// `priority` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestPriority(
    request: *mut abi::InferenceRequest,
    priority: *mut u32,
) -> *mut abi::Error {
    let part = |state: &State| Ok(u32::try_from(state.priority).unwrap_or(u32::MAX));
    // SAFETY: by the caller's word.
    unsafe { get(request, priority, "priority", part) }
}

/// The priority of a request; 0 for the model's default.
///
/// # Safety
/// `priority` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestPriorityUInt64(
    request: *mut abi::InferenceRequest,
    priority: *mut u64,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    unsafe { get(request, priority, "priority", |state| Ok(state.priority)) }
}

/// Gives a request a priority, 1 the highest.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestSetPriority(
    request: *mut abi::InferenceRequest,
    priority: u32,
) -> *mut abi::Error {
    // SAFETY: none is needed.
    unsafe { TRITONSERVER_InferenceRequestSetPriorityUInt64(request, priority.into()) }
}

/// Gives a request a priority, 1 the highest.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestSetPriorityUInt64(
    request: *mut abi::InferenceRequest,
    priority: u64,
) -> *mut abi::Error {
    change(request, |state| {
        state.priority = priority;
        Ok(())
    })
}

/// How long a request may wait, in microseconds; 0 if it does not say.
///
/// # Safety
/// `timeout_us` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestTimeoutMicroseconds(
    request: *mut abi::InferenceRequest,
    timeout_us: *mut u64,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    unsafe { get(request, timeout_us, "timeout_us", |state| Ok(state.timeout_us)) }
}

/// Says how long a request may wait, in microseconds.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestSetTimeoutMicroseconds(
    request: *mut abi::InferenceRequest,
    timeout_us: u64,
) -> *mut abi::Error {
    change(request, |state| {
        state.timeout_us = timeout_us;
        Ok(())
    })
}
