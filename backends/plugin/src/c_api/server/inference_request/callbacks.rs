//! Whom a request's end and its responses are told.

use std::ffi::c_void;

use nerite_plugin_abi as abi;
use nerite_plugin_abi::{InferenceRequestReleaseFn, InferenceResponseCompleteFn};

use super::{Release, Respond, change};
use crate::c_api::server::response_allocator::Allocator;
use crate::pointer::Kept;

/// Says whom to tell that a request is over, which it has to be told before it is executed.
///
/// # Safety
/// The function can be called with the pointer from any thread until it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestSetReleaseCallback(
    request: *mut abi::InferenceRequest,
    request_release_fn: Option<InferenceRequestReleaseFn>,
    request_release_userp: *mut c_void,
) -> *mut abi::Error {
    change(request, |state| {
        state.release =
            request_release_fn.map(|function| Release { function, userp: Kept(request_release_userp) });
        Ok(())
    })
}

/// Says whom to give the responses to a request, and who gives memory for their outputs.
///
/// # Safety
/// The functions, and the allocator's, can be called with the pointers from any thread until the last response was
/// given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TRITONSERVER_InferenceRequestSetResponseCallback(
    request: *mut abi::InferenceRequest,
    response_allocator: *mut abi::ResponseAllocator,
    response_allocator_userp: *mut c_void,
    response_fn: Option<InferenceResponseCompleteFn>,
    response_userp: *mut c_void,
) -> *mut abi::Error {
    change(request, |state| {
        let allocator = Allocator::find(response_allocator, response_allocator_userp)?;
        state.respond =
            response_fn.map(|function| Respond { allocator, function, userp: Kept(response_userp) });
        Ok(())
    })
}
