//! The sequence that a request is of, and its place there.

use std::ffi::c_char;

use nerite_backend::BackendError;
use nerite_plugin_abi as abi;

use super::{Correlation, State, change, get};
use crate::c_api::server::error::c_string;
use crate::guard;

/// The place of a request in its sequence, of [`abi::RequestFlags`].
///
/// # Safety
/// `flags` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestFlags(
    request: *mut abi::InferenceRequest,
    flags: *mut u32,
) -> *mut abi::Error {
    // SAFETY: by the caller's word.
    unsafe { get(request, flags, "flags", |state| Ok(state.flags)) }
}

/// Gives a request its place in its sequence.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestSetFlags(
    request: *mut abi::InferenceRequest,
    flags: u32,
) -> *mut abi::Error {
    change(request, |state| {
        state.flags = flags;
        Ok(())
    })
}

/// The number of a request's sequence, if it has a number.
///
/// # Safety
/// `correlation_id` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestCorrelationId(
    request: *mut abi::InferenceRequest,
    correlation_id: *mut u64,
) -> *mut abi::Error {
    let part = |state: &State| match &state.correlation {
        Correlation::Number(number) => Ok(*number),
        Correlation::Text(_) => Err(BackendError::invalid("the correlation ID of the request is a string")),
    };
    // SAFETY: by the caller's word.
    unsafe { get(request, correlation_id, "correlation_id", part) }
}

/// The name of a request's sequence, if it has a name. The request has it until it is changed or deleted.
///
/// # Safety
/// `correlation_id` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestCorrelationIdString(
    request: *mut abi::InferenceRequest,
    correlation_id: *mut *const c_char,
) -> *mut abi::Error {
    let part = |state: &State| match &state.correlation {
        Correlation::Text(text) => Ok(text.as_ptr()),
        Correlation::Number(_) => {
            Err(BackendError::invalid("the correlation ID of the request is an unsigned integer"))
        }
    };
    // SAFETY: by the caller's word.
    unsafe { get(request, correlation_id, "correlation_id", part) }
}

/// Makes a request one of a sequence that has a number.
///
/// # Safety
/// None is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestSetCorrelationId(
    request: *mut abi::InferenceRequest,
    correlation_id: u64,
) -> *mut abi::Error {
    change(request, |state| {
        state.correlation = Correlation::Number(correlation_id);
        Ok(())
    })
}

/// Makes a request one of a sequence that has a name.
///
/// # Safety
/// `correlation_id` is a text of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestSetCorrelationIdString(
    request: *mut abi::InferenceRequest,
    correlation_id: *const c_char,
) -> *mut abi::Error {
    change(request, |state| {
        // SAFETY: by the caller's word.
        let text = unsafe { guard::text(correlation_id, "correlation_id") }?;
        state.correlation = Correlation::Text(c_string(text));
        Ok(())
    })
}
